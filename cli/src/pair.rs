//! `lowtouch pair`.

use std::time::Duration;

use console::style;
use lowtouch_installer::label::Label;
use lowtouch_installer::pairing::{PairRequest, Paired, SecurityFlags};
use lowtouch_installer::{Config, Installer, LinkAddress};
use serde_json::json;

use crate::access::Access;
use crate::args::{Common, DeviceArgs, PairArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupts;
use crate::output::{print, print_json};
use crate::progress::Progress;
use crate::story::attestation_text;
use crate::wifi::Given;

/// How long the end of a pairing waits for earlier ones to be told; the next command goes on with it.
const TELLING: Duration = Duration::from_secs(2);

/// `lowtouch pair`.
pub(crate) async fn run(arguments: &PairArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let label = input::read_label(&arguments.device.label)?;
    let link = link(arguments.device.link.as_ref(), Some(&label))?;
    let access = Access::open(common, &arguments.api)?;
    let config = Config { secrets: Some(access.secrets.clone()), ..access.config(&arguments.api).await? };
    let installer = Installer::new(config).await?;
    // Of earlier pairings without a network. It goes on beside this one.
    let telling = installer.tell_in_background();
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
    let told = telling.finish(TELLING).await;
    match told.told.len() {
        0 => {}
        _ if json => print_json(&json!({ "event": "journal-synced", "told": told.told, "refused": [] })),
        1 => print("The provisioning API was also told of 1 earlier pairing."),
        several => print(&format!("The provisioning API was also told of {several} earlier pairings.")),
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
