//! `lowtouch scan`.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use lowtouch_installer::{DeviceInReach, scan};
use serde_json::{Value, json};

use crate::args::ScanArgs;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::output::{print, print_json, print_table};

/// `lowtouch scan`.
pub(crate) async fn run(arguments: &ScanArgs, json: bool) -> Result<(), Failure> {
    let interrupts = Interrupts::listen();
    let found = tokio::select! {
        found = scan(Duration::from_secs(arguments.seconds)) => found?,
        () = interrupts.asked() => return Err(Failure::cancelled()),
    };
    let (shown, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|device| arguments.all || device.kind != "unknown");
    if json {
        shown.iter().for_each(|device| print_json(&as_event(device)));
        return Ok(());
    }
    if shown.is_empty() {
        print("No device that can be provisioned is in reach. Check that it has power and is in its setup mode.");
    } else {
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        table.set_header(["Name", "Signal", "Speaks", "Provisioned", "Address"]);
        for device in &shown {
            table.add_row([
                device.name.clone().unwrap_or_default(),
                device.rssi.map(|rssi| format!("{rssi} dBm")).unwrap_or_default(),
                device.kind.to_owned(),
                device.provisioned.map(|yes| if yes { "yes" } else { "no" }).unwrap_or("unknown").to_owned(),
                device.address.clone(),
            ]);
        }
        print_table(table);
    }
    if !others.is_empty() {
        print(&format!("{} of other kinds; --all shows them.", others.len()));
    }
    Ok(())
}

fn as_event(device: &DeviceInReach) -> Value {
    let mut value = json!({ "event": "device-in-reach" });
    if let (Value::Object(all), Ok(Value::Object(fields))) = (&mut value, serde_json::to_value(device)) {
        all.extend(fields);
    }
    value
}
