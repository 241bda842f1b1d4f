//! The command line: one emulated DPS instance with its hubs, until it is told to end.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use tracing_subscriber::EnvFilter;

use crate::{CertificatePolicy, Config, Emulator, Hub, SigningCa};

/// A local Device Provisioning Service with linked IoT hubs, for tests. Nothing that it is told outlives it.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(flatten)]
    serve: Option<Serve>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "127.0.0.1:PORT", value_parser = address)]
    https: SocketAddr,
    /// Holds the CA and the server certificate; they are made where they are missing. Clients trust its ca.pem.
    #[arg(long, value_name = "DIR")]
    tls_dir: PathBuf,
    /// The instance's ID scope.
    #[arg(long, value_name = "0ne…")]
    id_scope: String,
    /// The key of the policy provisioningserviceowner.
    #[arg(long, value_name = "BASE64")]
    service_key: String,
    /// Registrations a minute before 429 is answered; without it there is no limit.
    #[arg(long, value_name = "N/min", value_parser = per_minute)]
    throttle: Option<u32>,
    /// A linked hub, may be repeated; two hubs when it is left out. Options after commas: latency=MILLISECONDS, weight=N.
    #[arg(long = "hub", value_name = "NAME", value_parser = hub)]
    hubs: Vec<Hub>,
    /// A credential policy that enrollments may name, may be repeated: DPS then issues certificates. Its certificates are valid for
    /// 30 days; option after a comma: valid=SECONDS.
    #[arg(long = "certificate-policy", value_name = "NAME", value_parser = certificate_policy)]
    certificate_policies: Vec<CertificatePolicy>,
    /// How often an operation answers "assigning" before it is done.
    #[arg(long, value_name = "N", default_value_t = 1)]
    assigning_polls: u32,
    /// What answers of 202 carry as Retry-After.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    retry_after: u64,
    /// End when standard input ends, so that no instance outlives the program that started it.
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make a device's certificate for tests: DIR/ID.pem (chain) and DIR/ID.key, signed by DIR/signing-ca.pem, which is made first
    /// where it is missing.
    MakeCert {
        /// Where the files go.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The certificate's common name.
        #[arg(long, value_name = "ID")]
        registration_id: String,
    },
}

/// Does what the arguments say; the first is the program's name.
///
/// # Errors
/// In words for whoever typed them.
#[tokio::main]
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> miette::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(io::stderr)
        .init();
    let cli = Cli::parse_from(arguments);
    match (cli.command, cli.serve) {
        (Some(Command::MakeCert { dir, registration_id }), _) => make_cert(&dir, &registration_id),
        (None, Some(serve)) => self::serve(serve).await,
        (None, None) => Err(miette!("nothing to do; see --help")),
    }
}

async fn serve(serve: Serve) -> miette::Result<()> {
    let mut config = Config::new(serve.tls_dir);
    config.listen = serve.https;
    config.id_scope = serve.id_scope;
    config.service_key = serve.service_key;
    config.throttle_per_min = serve.throttle;
    config.assigning_polls = serve.assigning_polls;
    config.retry_after = Duration::from_secs(serve.retry_after);
    config.certificate_policies = serve.certificate_policies;
    if !serve.hubs.is_empty() {
        config.hubs = serve.hubs;
    }
    // Listened for before "ready" is said, so that whoever reads it may end us at once.
    let told_to_end = told_to_end()?;
    let running = Emulator::start(config).await.into_diagnostic().wrap_err("the emulator did not start")?;
    let ready = serde_json::json!({"https": running.url(), "idScope": running.id_scope, "ca": running.ca_file});
    writeln!(io::stdout(), "ready {ready}").into_diagnostic()?;
    tokio::select! {
        () = told_to_end => {}
        () = stdin_closed(), if serve.until_stdin_closes => {}
    }
    running.stop().await;
    Ok(())
}

/// Ends at SIGINT (Ctrl-C) or SIGTERM.
fn told_to_end() -> miette::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
        let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Reads on a thread of its own: such a read cannot be cancelled, and the runtime would wait for one of its own threads.
async fn stdin_closed() {
    let (closed, is_closed) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut ignored = [0; 256];
        while io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
        drop(closed);
    });
    // It comes as an error, because nothing is ever sent.
    let _ = is_closed.await;
}

fn make_cert(dir: &PathBuf, registration_id: &str) -> miette::Result<()> {
    fs::create_dir_all(dir).into_diagnostic()?;
    let (ca_file, ca_key_file) = (dir.join("signing-ca.pem"), dir.join("signing-ca.key"));
    let read = |path| fs::read_to_string(path).into_diagnostic();
    let ca = if ca_file.exists() {
        SigningCa::from_pem(&read(&ca_file)?, &read(&ca_key_file)?).into_diagnostic()?
    } else {
        let ca = SigningCa::new("azure-emulator signing CA").into_diagnostic()?;
        fs::write(&ca_key_file, ca.key_pem()).into_diagnostic()?;
        fs::write(&ca_file, ca.certificate_pem()).into_diagnostic()?;
        ca
    };
    let device = ca.device(registration_id).into_diagnostic()?;
    fs::write(dir.join(format!("{registration_id}.pem")), device.chain_pem).into_diagnostic()?;
    fs::write(dir.join(format!("{registration_id}.key")), device.key_pem).into_diagnostic()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("not HOST:PORT: {error}"))?;
    found.next().ok_or_else(|| "no such host".to_owned())
}

fn per_minute(text: &str) -> Result<u32, String> {
    text.strip_suffix("/min").unwrap_or(text).parse().map_err(|_| "not a number like 100/min".to_owned())
}

fn hub(text: &str) -> Result<Hub, String> {
    let mut parts = text.split(',');
    let name = parts.next().filter(|name| !name.is_empty()).ok_or("a hub needs a name")?;
    let mut hub = Hub::new(name);
    for part in parts {
        hub = match part.split_once('=') {
            Some(("latency", value)) => hub.with_latency(Duration::from_millis(
                value.parse().map_err(|_| "latency is not in whole milliseconds")?,
            )),
            Some(("weight", value)) => hub.with_weight(value.parse().map_err(|_| "weight is not a whole number")?),
            _ => return Err(format!("{part} is neither latency=… nor weight=…")),
        };
    }
    Ok(hub)
}

fn certificate_policy(text: &str) -> Result<CertificatePolicy, String> {
    let (name, valid) = match text.split_once(",valid=") {
        Some((name, seconds)) => {
            (name, seconds.parse().ok().filter(|seconds| *seconds > 0).ok_or("valid is not in whole seconds")?)
        }
        None => (text, 30 * 24 * 60 * 60),
    };
    if name.is_empty() || name.contains(',') {
        return Err("a credential policy is NAME or NAME,valid=SECONDS".to_owned());
    }
    Ok(CertificatePolicy { name: name.to_owned(), valid: Duration::from_secs(valid) })
}
