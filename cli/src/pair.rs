//! `lowtouch pair`.

use console::style;
use lowtouch_installer::label::Label;
use lowtouch_installer::pairing::{PairRequest, Paired, SecurityFlags};
use lowtouch_installer::{Config, Installer, LinkAddress};

use crate::access::Access;
use crate::args::{Common, DeviceArgs, PairArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupts;
use crate::output::print;
use crate::progress::Progress;
use crate::story::attestation_text;
use crate::wifi::Given;

/// `lowtouch pair`.
pub(crate) async fn run(arguments: &PairArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let label = input::read_label(&arguments.device.label)?;
    let link = link(arguments.device.link.as_ref(), Some(&label))?;
    let access = Access::open(common, &arguments.api)?;
    let config = Config { secrets: Some(access.secrets.clone()), ..access.config(&arguments.api).await? };
    let installer = Installer::new(config).await?;
    let mut given = match &arguments.wifi {
        Some(ssid) => Some(Given::named(ssid, &arguments.wifi_secret).await?),
        None => None,
    };
    let interrupts = Interrupts::listen();
    let paired = loop {
        let request = PairRequest {
            wifi: given.as_ref().map(|given| given.wifi.clone()),
            security: security(&arguments.device),
            ..PairRequest::new(label.clone(), link.clone())
        };
        let error = match Progress::new(json).follow(installer.pair(request), &interrupts).await {
            Ok(paired) => break paired,
            Err(error) => error,
        };
        let again = match &mut given {
            Some(given) if !json => given.again(&error).await?,
            _ => false,
        };
        if !again {
            return Err(error.into());
        }
    };
    if !json {
        print(&summary(&paired));
    }
    Ok(())
}

/// The link that was given, or else the one that the label means.
pub(crate) fn link(given: Option<&LinkAddress>, label: Option<&Label>) -> Result<LinkAddress, Failure> {
    given.cloned().or_else(|| label.and_then(Label::link)).ok_or_else(|| {
        Failure::new(Exit::Usage, "link-missing", "It is not clear how to reach the device.")
            .help("Say it with --link, for example --link serial:///dev/ttyUSB0 or --link http://192.168.4.1.")
    })
}

/// What is allowed although it is weak.
pub(crate) fn security(arguments: &DeviceArgs) -> SecurityFlags {
    SecurityFlags { allow_none: arguments.allow_security_0, allow_downgrade: arguments.allow_downgrade }
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
