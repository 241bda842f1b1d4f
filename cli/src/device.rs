//! `lowtouch device info` and `lowtouch device reset`.

use console::style;
use lowtouch_installer::pairing::{DeviceInfo, SecurityFlags};
use lowtouch_installer::{Config, Installer, device_info};
use serde_json::{Value, json};

use crate::access::Access;
use crate::args::{Common, DeviceInfoArgs, DeviceResetArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupts;
use crate::output::{complain, print, print_json};
use crate::pair;
use crate::story::attestation_text;

/// `lowtouch device info`.
pub(crate) async fn info(arguments: &DeviceInfoArgs, json: bool) -> Result<(), Failure> {
    let label = arguments.label.as_deref().map(input::read_label).transpose()?;
    let link = pair::link(arguments.link.as_ref(), label.as_ref())?;
    let interrupts = Interrupts::listen();
    let security = SecurityFlags { allow_none: arguments.allow_security_0, allow_downgrade: false };
    let info = tokio::select! {
        info = device_info(&link, label, security) => info?,
        () = interrupts.asked() => return Err(Failure::cancelled()),
    };
    if json {
        let mut value = json!({ "event": "device-info" });
        if let (Value::Object(all), Ok(Value::Object(fields))) = (&mut value, serde_json::to_value(&info)) {
            all.extend(fields);
        }
        print_json(&value);
    } else {
        show(&info);
    }
    Ok(())
}

/// `lowtouch device reset`.
pub(crate) async fn reset(arguments: &DeviceResetArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let label = input::read_label(&arguments.device.label)?;
    let link = pair::link(arguments.device.link.as_ref(), Some(&label))?;
    let security = pair::security(&arguments.device);
    if !arguments.yes {
        if json || !input::can_ask() {
            return Err(Failure::new(Exit::Usage, "confirmation-missing", "A reset must be confirmed.")
                .help("Say --yes where nobody can be asked."));
        }
        let info = device_info(&link, Some(label.clone()), security).await?;
        let id = info.identity.map(|identity| identity.registration_id).unwrap_or_default();
        complain(&format!("{id} loses its configuration, its credential and its owner. It must be paired again."));
        if input::line("Type its registration ID to go on: ").await?.trim() != id || id.is_empty() {
            return Err(Failure::cancelled());
        }
    }
    let access = Access::open(common, &arguments.api)?;
    let config = Config { secrets: Some(access.secrets.clone()), ..access.config(&arguments.api).await? };
    let installer = Installer::new(config).await?;
    let interrupts = Interrupts::listen();
    let reset = tokio::select! {
        reset = installer.reset_device(&link, &label, security) => reset?,
        () = interrupts.asked() => return Err(Failure::cancelled()),
    };
    if json {
        print_json(&json!({
            "event": "device-reset",
            "registrationId": reset.registration_id,
            "wasOwned": reset.was_owned,
        }));
    } else {
        let id = style(&reset.registration_id).bold();
        print(&format!("{} {id} is reset and belongs to nobody", style("✓").green().bold()));
    }
    Ok(())
}

fn show(info: &DeviceInfo) {
    let line = |name: &str, value: &str| print(&format!("{name:<18}{value}"));
    line("link", &info.link);
    line("protocol", &format!("protocomm {}, Security {} patch {}", info.version, info.security, info.security_patch));
    line("capabilities", &info.capabilities.join(", "));
    match &info.lowtouch {
        Some(capabilities) if capabilities.is_empty() => line("lowtouch", "yes"),
        Some(capabilities) => line("lowtouch", &capabilities.join(", ")),
        None => line("lowtouch", "no: its firmware cannot take a hand-off; `lowtouch network` works"),
    }
    let Some(identity) = &info.identity else {
        if info.lowtouch.is_some() {
            line("identity", "give the label to see it");
        }
        return;
    };
    line("registration ID", &identity.registration_id);
    line("model", &identity.model);
    line("firmware", &identity.firmware);
    line("attestation", &identity.attestations.iter().map(attestation_text).collect::<Vec<_>>().join(", "));
    let phase = serde_json::to_value(identity.phase).unwrap_or_default();
    line("state", phase.as_str().unwrap_or("unknown"));
    if let Some(id) = identity.active_handoff_id {
        line("hand-off", &id.to_string());
    }
    line(
        "owner",
        match (identity.owned, identity.checks_owner) {
            (false, _) => "nobody",
            (true, true) => "somebody; checks the owner's signature",
            (true, false) => "somebody; does not check the owner's signature",
        },
    );
    line(
        "network",
        match identity.on_network {
            Some(true) => "connected",
            Some(false) => "none: give it one with --wifi",
            None => "not said",
        },
    );
}
