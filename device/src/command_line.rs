//! The command line: plays a device, for demos, tests and work on an app without hardware.
// The lines on standard output are this program's interface: `ready {…}` for scripts, the QR code for people.
#![allow(clippy::print_stdout)]

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::label;
use crate::sim::{
    ApiAddress, Attestation, Running, Security, SimConfig, SimError, SimLink, Simulated, Wifi, read_around,
};
use crate::storage::StorageError;
use crate::tpm::TpmAddress;

/// A device as the field has them, in software.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play one device until interrupted. SIGUSR1 presses its reset button: it belongs to nobody then.
    Sim(Box<Sim>),
}

#[derive(Args)]
struct Sim {
    /// How an app reaches the device: http:127.0.0.1:PORT, serial:PATH, pty, ble[:hciN] (this machine's
    /// Bluetooth), or ble-sim:127.0.0.1:PORT (port 0: any).
    #[arg(long, value_parser = parse_link)]
    link: SimLink,
    /// Stands for the device's flash; made when it does not exist.
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// The registration ID [default: the state folder's, or a new one].
    #[arg(long, value_name = "ID")]
    registration_id: Option<String>,
    /// User name of Security 2.
    #[arg(long, default_value = "wifiprov", value_name = "NAME")]
    username: String,
    /// Proof of possession [default: the label's, or a new random one].
    #[arg(long, env = "LOWTOUCH_DEVICE_POP", hide_env_values = true)]
    pop: Option<SecretString>,
    /// Security version of the session.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    security: u8,
    /// Patch of Security 2: 0 plays firmware up to ESP-IDF 5.4, whose nonce never changes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    sec_patch_ver: u8,
    /// The Wi-Fi network that the device is meant for; without it the device is connected already.
    #[arg(long, value_parser = parse_wifi, value_name = "SSID:PASSPHRASE")]
    wifi: Option<WifiArgument>,
    /// JSON file of the networks around: [{"ssid":"Plant 5","passphrase":"…","auth":"wpa2","hidden":true,"rssi":-60}]
    /// [default: one of each kind].
    #[arg(long, value_name = "FILE")]
    wifi_around: Option<PathBuf>,
    /// Play older firmware without prov-ctrl, which cannot be told to forget a failed Wi-Fi attempt.
    #[arg(long)]
    no_prov_ctrl: bool,
    /// PEM file of certificates to trust for DPS beside the system's and the hand-off's own.
    #[arg(long, value_name = "FILE")]
    dps_ca: Option<PathBuf>,
    /// Renew the certificate of the company's CA at this provisioning API, https://HOST[:PORT], when two thirds of its life are over.
    #[arg(long, value_name = "URL", value_parser = parse_api)]
    renewal_api: Option<Url>,
    /// PEM file of certificates to trust for it beside the system's.
    #[arg(long, value_name = "FILE", requires = "renewal_api")]
    renewal_ca: Option<PathBuf>,
    /// Write the label's JSON here, as a label printer would; read back at a later start. It holds the PoP.
    #[arg(long, value_name = "FILE")]
    label_out: Option<PathBuf>,
    /// What the device calls its model.
    #[arg(long, default_value = "lowtouch-sim")]
    model: String,
    /// What the device calls its firmware version.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    firmware: String,
    /// What the device can do, best first [default: x509,symmetric-key, and tpm before them where there is one].
    #[arg(long, value_delimiter = ',')]
    attestation: Vec<AttestationArgument>,
    /// The device's TPM 2.0: device:/dev/tpmrm0, unix:PATH or tcp:IP:PORT (swtpm socket --tpm2 --server type=unixio,path=PATH
    /// --flags not-need-init,startup-clear --tpmstate dir=DIR).
    #[arg(long, value_name = "ADDRESS")]
    tpm: Option<TpmAddress>,
    /// Draw the label's QR code in the terminal.
    #[arg(long)]
    qr: bool,
    /// Hold the device's reset button at power-on: its configuration, credential and owner are gone.
    #[arg(long)]
    factory_reset: bool,
    /// Play firmware that keeps its owner's key and does not check signatures: whoever has the label can take it.
    #[arg(long)]
    no_owner_check: bool,
    /// Play firmware that cannot ask DPS for its certificate.
    #[arg(long)]
    no_certificate_from_dps: bool,
    /// End when standard input closes, so that no device outlives the program that started it.
    #[arg(long)]
    until_stdin_closes: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum AttestationArgument {
    X509,
    SymmetricKey,
    Tpm,
}

// clap wants its values cloneable; the passphrase stays secret in it.
#[derive(Clone)]
struct WifiArgument(Wifi);

fn parse_link(text: &str) -> Result<SimLink, String> {
    let address = |rest: &str| {
        SocketAddr::from_str(rest.trim_start_matches("//"))
            .map_err(|_| format!("{rest:?} is no IP address with a port, as in 127.0.0.1:8080"))
    };
    match text.split_once(':') {
        None if text == "pty" => Ok(SimLink::Pty),
        None if text == "ble" => Ok(SimLink::Ble { adapter: None, readvertise: None }),
        Some(("ble", name)) if name.starts_with("hci") => {
            Ok(SimLink::Ble { adapter: Some(name.to_owned()), readvertise: None })
        }
        Some(("http", rest)) => address(rest).map(SimLink::Http),
        Some(("ble-sim", rest)) => address(rest).map(SimLink::BleSim),
        Some(("serial", path)) if !path.is_empty() => {
            Ok(SimLink::Serial(path.strip_prefix("//").unwrap_or(path).into()))
        }
        _ => Err("use http:127.0.0.1:PORT, serial:PATH, pty, ble, ble:hciN, or ble-sim:127.0.0.1:PORT".to_owned()),
    }
}

/// Refused now, not when the certificate is two thirds old.
fn parse_api(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.host().is_some());
    url.ok_or_else(|| "write https://HOST or https://HOST:PORT".to_owned())
}

fn parse_wifi(text: &str) -> Result<WifiArgument, String> {
    let (ssid, passphrase) = text.split_once(':').ok_or("write SSID:PASSPHRASE, or SSID: for an open network")?;
    if ssid.is_empty() || ssid.len() > 32 {
        return Err("an SSID has 1 to 32 bytes".to_owned());
    }
    if passphrase.len() > 63 {
        return Err("a passphrase has at most 63 bytes".to_owned());
    }
    Ok(WifiArgument(Wifi { ssid: ssid.to_owned(), passphrase: passphrase.into() }))
}

/// Does what the arguments say; the first is the program's name.
///
/// # Errors
/// In words for whoever typed them.
#[tokio::main]
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> miette::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,lowtouch_device=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Command::Sim(sim) = Cli::parse_from(arguments).command;
    let until_stdin_closes = sim.until_stdin_closes;
    let qr = sim.qr;
    let running = Simulated::start(sim.into_config()?).await.map_err(CannotStart::from)?;
    if qr && let Some(drawn) = label::draw(running.label()) {
        println!("{drawn}");
    }
    // Before the line that says so: from then on whoever started this may press it.
    let mut button = signal(SignalKind::user_defined1()).into_diagnostic()?;
    announce(&running)?;
    let pressed = async {
        while button.recv().await.is_some() {
            tracing::info!("the reset button is pressed: the device belongs to nobody");
            running.press_reset_button().await;
        }
    };
    tokio::select! {
        ended = wait_for_the_end(&running, until_stdin_closes) => ended?,
        () = pressed => {}
    }
    running.stop().await;
    Ok(())
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the device cannot start")]
struct CannotStart {
    #[source]
    error: SimError,
    #[help]
    help: Option<&'static str>,
}

impl From<SimError> for CannotStart {
    fn from(error: SimError) -> Self {
        let help = match &error {
            SimError::Storage(StorageError::Damaged { .. }) | SimError::State(_) => {
                Some("--factory-reset makes the device new again; a damaged factory record needs a new --state-dir")
            }
            // Its source says what to do.
            SimError::Link { link, .. } if link.starts_with("ble:") => None,
            SimError::Link { .. } => {
                Some("another program may have the address or port, or you may lack the permission to use it")
            }
            _ => None,
        };
        Self { error, help }
    }
}

/// A file of PEM text.
fn read(path: Option<&Path>) -> miette::Result<Option<String>> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).into_diagnostic();
        text.wrap_err_with(|| format!("{} cannot be read", path.display()))
    };
    path.map(read).transpose()
}

fn announce(running: &Running) -> miette::Result<()> {
    if !running.knows_pop() {
        tracing::warn!("the PoP stands on the printed label only; give it with --pop or --label-out to see it");
    }
    let label: Value = serde_json::from_str(running.label()).into_diagnostic()?;
    let ready = json!({ "link": running.address(), "label": label, "registrationId": running.registration_id() });
    println!("ready {ready}");
    std::io::stdout().flush().into_diagnostic()
}

async fn wait_for_the_end(running: &Running, until_stdin_closes: bool) -> miette::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.into_diagnostic(),
        () = stdin_closes(), if until_stdin_closes => Ok(()),
        () = running.wait_broken() => Err(miette!("the link {} is gone", running.address())),
    }
}

/// On a thread of its own, which the end of the program need not wait for.
async fn stdin_closes() {
    let (closed, closes) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        // Nobody waits any more when the program is ending for another reason.
        let _ = closed.send(());
    });
    let _ = closes.await;
}

impl Sim {
    fn into_config(self) -> miette::Result<SimConfig> {
        let mut config = SimConfig::new(self.link, self.state_dir);
        config.registration_id = self.registration_id;
        config.username = self.username;
        config.pop = self.pop;
        config.security = match self.security {
            0 => Security::V0,
            1 => Security::V1,
            _ => Security::V2 { patch_ver: self.sec_patch_ver },
        };
        config.wifi = self.wifi.map(|WifiArgument(wifi)| wifi);
        config.around = match &self.wifi_around {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .into_diagnostic()
                    .and_then(|json| read_around(&json).map_err(|wrong| miette!("{wrong}")))
                    .wrap_err_with(|| format!("{} cannot be read", path.display()))?,
            ),
            None => None,
        };
        config.prov_ctrl = !self.no_prov_ctrl;
        config.dps_ca_pem = read(self.dps_ca.as_deref())?;
        let ca_pem = read(self.renewal_ca.as_deref())?;
        config.renewal_api = self.renewal_api.map(|url| ApiAddress { url, ca_pem });
        config.model = self.model;
        config.firmware = self.firmware;
        config.attestations = self
            .attestation
            .iter()
            .map(|attestation| match attestation {
                AttestationArgument::X509 => Attestation::X509,
                AttestationArgument::SymmetricKey => Attestation::SymmetricKey,
                AttestationArgument::Tpm => Attestation::Tpm,
            })
            .collect();
        if config.attestations.is_empty() {
            config.attestations.extend(self.tpm.as_ref().map(|_| Attestation::Tpm));
            config.attestations.extend([Attestation::X509, Attestation::SymmetricKey]);
        }
        config.tpm = self.tpm;
        config.label_out = self.label_out;
        config.factory_reset = self.factory_reset;
        config.checks_owner = !self.no_owner_check;
        config.certificate_from_dps = !self.no_certificate_from_dps;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_as_the_help_spells_them() {
        assert_eq!(parse_link("pty"), Ok(SimLink::Pty));
        assert_eq!(parse_link("http:127.0.0.1:80"), Ok(SimLink::Http("127.0.0.1:80".parse().unwrap())));
        assert_eq!(parse_link("serial:/dev/ttyUSB0"), Ok(SimLink::Serial("/dev/ttyUSB0".into())));
        assert_eq!(parse_link("serial:///dev/ttyUSB0"), Ok(SimLink::Serial("/dev/ttyUSB0".into())));
        assert_eq!(parse_link("ble-sim:127.0.0.1:0"), Ok(SimLink::BleSim("127.0.0.1:0".parse().unwrap())));
        assert_eq!(parse_link("ble"), Ok(SimLink::Ble { adapter: None, readvertise: None }));
        assert_eq!(parse_link("ble:hci1"), Ok(SimLink::Ble { adapter: Some("hci1".to_owned()), readvertise: None }));
        for bad in ["", "http:localhost", "serial:", "ble:NAME", "ptyx"] {
            assert!(parse_link(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_certificate_is_renewed_over_tls_only() {
        assert_eq!(parse_api("https://api.example.com:8443").unwrap().port(), Some(8443));
        for bad in ["http://api.example.com", "api.example.com", "api.example.com:8443", "https://", ""] {
            assert!(parse_api(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_passphrase_may_hold_colons_and_an_open_network_has_none() {
        use secrecy::ExposeSecret as _;
        let Ok(WifiArgument(wifi)) = parse_wifi("Plant 4:a:b") else { panic!("refused") };
        assert_eq!((wifi.ssid.as_str(), wifi.passphrase.expose_secret()), ("Plant 4", "a:b"));
        assert!(parse_wifi("open:").is_ok());
        assert!(parse_wifi("no colon").is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
