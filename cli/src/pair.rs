//! `lowtouch pair`.

use console::style;
use lowtouch_installer::label::{Label, Transport};
use lowtouch_installer::pairing::{PairRequest, Paired, SecurityFlags, WifiCredentials};
use lowtouch_installer::{Config, Installer, LinkAddress};

use crate::args::{DeviceArgs, PairArgs, WifiSecretArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupts;
use crate::output::print;
use crate::progress::Progress;
use crate::story::attestation_text;

/// The address that ESP-IDF's devices give themselves in their own Wi-Fi.
const SOFTAP: &str = "http://192.168.4.1";

/// `lowtouch pair`.
pub(crate) async fn run(arguments: &PairArgs, data_dir: std::path::PathBuf, json: bool) -> Result<(), Failure> {
    let label = input::read_label(&arguments.device.label)?;
    let link = link(arguments.device.link.as_ref(), Some(&label))?;
    let config = Config {
        api_url: Some(arguments.api.api.clone()),
        token: Some(input::token(&arguments.api)?),
        extra_ca_pem: input::added_roots(&arguments.api)?,
        ..Config::new(data_dir)
    };
    let installer = Installer::new(config).await?;
    let wifi = match &arguments.wifi {
        Some(ssid) => Some(wifi(ssid, &arguments.wifi_secret).await?),
        None => None,
    };
    let interrupts = Interrupts::listen();
    let request = PairRequest { wifi, security: security(&arguments.device), ..PairRequest::new(label, link) };
    let paired = Progress::new(json).follow(installer.pair(request), &interrupts).await?;
    if !json {
        print(&summary(&paired));
    }
    Ok(())
}

/// The link that was given, or the one that the label means.
pub(crate) fn link(given: Option<&LinkAddress>, label: Option<&Label>) -> Result<LinkAddress, Failure> {
    let softap = label.is_some_and(|label| label.transport == Some(Transport::Softap));
    match (given, SOFTAP.parse()) {
        (Some(link), _) => Ok(link.clone()),
        (None, Ok(link)) if softap => Ok(link),
        _ => Err(Failure::new(Exit::Usage, "link-missing", "It is not clear how to reach the device.")
            .help("Say it with --link, for example --link serial:///dev/ttyUSB0 or --link http://192.168.4.1.")),
    }
}

/// What is allowed although it is weak.
pub(crate) fn security(arguments: &DeviceArgs) -> SecurityFlags {
    SecurityFlags { allow_none: arguments.allow_security_0, allow_downgrade: arguments.allow_downgrade }
}

/// The Wi-Fi for the device.
pub(crate) async fn wifi(ssid: &str, secret: &WifiSecretArgs) -> Result<WifiCredentials, Failure> {
    let passphrase = input::passphrase(ssid, secret).await?.unwrap_or_else(|| String::new().into());
    Ok(WifiCredentials::new(ssid, passphrase))
}

/// Success, to be seen from afar, and the facts below it.
pub(crate) fn summary(paired: &Paired) -> String {
    let device_id =
        if paired.device_id == paired.registration_id { String::new() } else { format!(" as {}", paired.device_id) };
    format!(
        "{} {} is assigned to {}{device_id}\n  DPS instance {} ({}), {}, {} round trips, {} bytes, {:.1} s",
        style("✓").green().bold(),
        style(&paired.registration_id).bold(),
        style(&paired.hub).bold(),
        paired.dps_instance,
        paired.id_scope,
        attestation_text(&paired.attestation),
        paired.round_trips,
        paired.bytes_sent + paired.bytes_received,
        paired.seconds,
    )
}
