//! The command line: serves the API, and administers its database.
#![allow(clippy::print_stdout, reason = "a command line speaks on standard output")]

mod audit;
mod import;
mod orders;
mod people;

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use miette::{IntoDiagnostic as _, WrapErr as _};
use provisioning_api_contract::{Attestation, DeviceRequest, Ring};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::{Config, DeviceCa, Limits, Office, Options, Role, Server, openapi, read_instances, read_issuers};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or SIGINT
    Serve(Serve),
    /// Issue a bearer token and print it, once; or list and revoke tokens
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Token {
        #[command(subcommand)]
        command: Option<TokenCommand>,
        #[command(flatten)]
        issue: Option<Issue>,
    },
    /// Let a person's app sign in, once: print an invite; or list and withdraw invites
    Invite(people::Invite),
    /// Who may come in: list accounts, disable and enable them
    Account {
        #[command(subcommand)]
        command: people::Account,
    },
    /// Whose devices there are
    Tenant {
        #[command(subcommand)]
        command: people::Tenant,
    },
    /// Work orders: who may pair which devices
    Order {
        #[command(subcommand)]
        command: orders::Order,
    },
    /// The inventory
    Device {
        #[command(subcommand)]
        command: DeviceCommand,
    },
    /// The record of who did what, when and why
    Audit {
        #[command(subcommand)]
        command: audit::Audit,
    },
    /// Print the API's description (OpenAPI 3.1)
    Openapi,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    database: Database,
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Holds ca.pem, server.pem and server.key; made when empty
    #[arg(long)]
    tls_dir: PathBuf,
    /// DPS instances (TOML); one or more, may be repeated
    #[arg(long, required = true, num_args = 1..)]
    dps: Vec<PathBuf>,
    /// The key that secrets in the database are encrypted under; made when missing [default: at-rest.key in the TLS folder]
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// The CA for devices' certificates (PEM, the signing one first) [default: one that is made on first start]
    #[arg(long, requires = "device_ca_key")]
    device_ca: Option<PathBuf>,
    /// Its key (PEM, PKCS#8)
    #[arg(long, requires = "device_ca")]
    device_ca_key: Option<PathBuf>,
    /// Where apps find the service, https://HOST[:PORT]; it is what invites and sign-ins name [default: the address that it listens on]
    #[arg(long)]
    public_url: Option<Url>,
    /// Issuers whose tokens are accepted beside our own (TOML); may be repeated
    #[arg(long)]
    issuers: Vec<PathBuf>,
    /// CAs of the certificates that devices prove themselves with for zero-touch (PEM); may be repeated
    #[arg(long)]
    zero_touch_ca: Vec<PathBuf>,
    /// How many processes serve this database at most (PostgreSQL); the same number for each
    #[arg(long, default_value_t = NonZeroU32::MIN)]
    replicas: NonZeroU32,
    /// End when standard input closes as well
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Args)]
struct Database {
    /// sqlite:FILE, made when missing, or postgres://USER@HOST/DATABASE (docs/configuration.md)
    #[arg(long)]
    database: String,
}

#[derive(Args)]
struct Issue {
    // Not flattened: clap takes an optional group for absent when its only given arguments are a group's within it.
    /// sqlite:FILE, made when missing, or postgres://USER@HOST/DATABASE (docs/configuration.md)
    #[arg(long)]
    database: String,
    /// What its holder may do
    #[arg(long)]
    role: Role,
    /// Whose it is, for the events
    #[arg(long)]
    name: String,
    /// How many days it is valid
    #[arg(long, default_value_t = 30)]
    days: u32,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// End a token at once
    Revoke {
        #[command(flatten)]
        database: Database,
        /// Its ID, as `token list` shows it
        id: String,
    },
    /// Show all tokens (not the tokens themselves)
    List {
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Subcommand)]
enum DeviceCommand {
    /// Put a device into the inventory, or change what is asked of it
    Add {
        #[command(flatten)]
        database: Database,
        /// Its registration ID
        registration_id: String,
        /// Whose it is [default: whoever has a device of this registration ID, else the tenant default]
        #[arg(long)]
        tenant: Option<String>,
        /// Its model
        #[arg(long)]
        model: Option<String>,
        /// The only attestation that it may use: x509 or symmetricKey
        #[arg(long, value_parser = attestation)]
        attestation: Option<Attestation>,
        /// The only DPS instance that it may go to
        #[arg(long)]
        dps_instance: Option<String>,
        /// Where its data must stay, as the instances name their regions
        #[arg(long)]
        region: Option<String>,
        /// Its ring: production or test
        #[arg(long, value_parser = ring)]
        ring: Option<Ring>,
        /// Why; needed where a device that is there loses its place, or what it was pinned to
        #[arg(long)]
        reason: Option<String>,
    },
    /// Put the devices of a file into the inventory
    Import(import::Import),
    /// Print devices, one JSON object a line
    List {
        #[command(flatten)]
        database: Database,
        /// Start after this registration ID
        #[arg(long, default_value = "")]
        after: String,
        /// At most so many
        #[arg(long, default_value_t = 1000)]
        limit: u32,
    },
}

/// Does what the arguments say; the first is the program's name.
///
/// # Errors
/// In words for whoever typed them.
#[tokio::main]
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> miette::Result<()> {
    let command = Cli::parse_from(arguments).command;
    log();
    match command {
        Command::Serve(options) => serve(options).await,
        Command::Token { command, issue } => token(command, issue).await,
        Command::Invite(options) => people::invite(options).await,
        Command::Account { command } => people::account(command).await,
        Command::Tenant { command } => people::tenant(command).await,
        Command::Order { command } => orders::order(command).await,
        Command::Device { command } => device(command).await,
        Command::Audit { command } => audit::audit(command).await,
        Command::Openapi => say(openapi().trim_end()),
    }
}

async fn serve(options: Serve) -> miette::Result<()> {
    let mut dps = Vec::new();
    for file in &options.dps {
        dps.extend(read_instances(file).into_diagnostic()?);
    }
    let device_ca =
        options.device_ca.zip(options.device_ca_key).map(|(certificates, key)| DeviceCa { certificates, key });
    let config = Config {
        database: options.database.database.into(),
        listen: options.listen,
        tls_dir: options.tls_dir,
        dps,
        key_file: options.key_file,
    };
    let mut issuers = Vec::new();
    for file in &options.issuers {
        issuers.extend(read_issuers(file).into_diagnostic()?);
    }
    let options_of_service = Options {
        device_ca,
        public_url: options.public_url,
        issuers,
        zero_touch_ca: options.zero_touch_ca,
        limits: Limits { replicas: options.replicas, ..Limits::default() },
    };
    // Before "ready", so that an early signal ends the service in order, too.
    let end = end(options.until_stdin_closes)?;
    let running = Server::start_with(config, options_of_service).await.into_diagnostic()?;
    say(&format!("ready {}", json!({ "url": running.url, "ca": running.ca_file })))?;
    end.await;
    running.stop().await;
    Ok(())
}

async fn token(command: Option<TokenCommand>, issue: Option<Issue>) -> miette::Result<()> {
    match (command, issue) {
        (Some(TokenCommand::Revoke { database, id }), _) => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            if !office.revoke_token(&id).await.into_diagnostic()? {
                miette::bail!("no valid token has the ID {id}");
            }
            Ok(())
        }
        (Some(TokenCommand::List { database }), _) => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            for token in office.tokens().await.into_diagnostic()? {
                let revoked = token.revoked_at.map(|at| at.to_string());
                let expires = token.expires_at.to_string();
                say(&json!({ "id": token.id, "name": token.name, "role": token.role, "expiresAt": expires, "revokedAt": revoked }).to_string())?;
            }
            Ok(())
        }
        (None, Some(issue)) => {
            let office = Office::open(&issue.database).await.into_diagnostic()?;
            let (_, token) = office.issue_token(issue.role, &issue.name, issue.days).await.into_diagnostic()?;
            say(token.expose_secret())
        }
        (None, None) => miette::bail!("say --database, --role and --name"),
    }
}

async fn device(command: DeviceCommand) -> miette::Result<()> {
    match command {
        DeviceCommand::Add {
            database,
            registration_id,
            tenant,
            model,
            attestation,
            dps_instance,
            region,
            ring,
            reason,
        } => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            let device = DeviceRequest { model, attestation, dps_instance, region, ring, reason };
            office.add_device_of(tenant.as_deref(), &registration_id, &device).await.into_diagnostic()?;
            Ok(())
        }
        DeviceCommand::Import(options) => import::import(options).await,
        DeviceCommand::List { database, after, limit } => {
            let office = Office::open(&database.database).await.into_diagnostic()?;
            for device in office.devices(&after, limit).await.into_diagnostic()? {
                say(&serde_json::to_string(&device).into_diagnostic()?)?;
            }
            Ok(())
        }
    }
}

/// Prints a line at once; whoever waits for it reads through a pipe.
fn say(line: &str) -> miette::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).into_diagnostic().wrap_err("cannot print")
}

fn attestation(text: &str) -> Result<Attestation, String> {
    serde_json::from_value(text.into()).map_err(|_| "x509 or symmetricKey".into())
}

fn ring(text: &str) -> Result<Ring, String> {
    serde_json::from_value(text.into()).map_err(|_| "production or test".into())
}

/// Resolves when the service is to end.
fn end(until_stdin_closes: bool) -> miette::Result<impl Future<Output = ()>> {
    let (closed, mut stdin) = tokio::sync::mpsc::channel::<()>(1);
    if until_stdin_closes {
        // A thread of its own: a blocked read of tokio's would keep the process from ending.
        std::thread::spawn(move || {
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            drop(closed);
        });
    } else {
        std::mem::forget(closed);
    }
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).into_diagnostic()?;
    #[cfg(unix)]
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).into_diagnostic()?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = stdin.recv() => {}
        }
        #[cfg(not(unix))]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = stdin.recv() => {}
        }
    })
}

/// To standard error; RUST_LOG chooses. Libraries that could write headers or frames are held down whatever it says.
fn log() {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    for quiet in ["h2=warn", "hyper=warn", "hyper_util=warn", "rustls=warn", "reqwest=warn", "sqlx=warn"] {
        if let Ok(directive) = quiet.parse() {
            filter = filter.add_directive(directive);
        }
    }
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
