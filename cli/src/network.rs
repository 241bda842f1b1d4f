//! `lowtouch network`.

use std::time::Duration;

use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lowtouch_installer::label::Label;
use lowtouch_installer::pairing::{Deadlines, NetworkRequest, SecurityFlags, WifiNetwork};
use lowtouch_installer::{LinkAddress, network_only, wifi_scan};
use serde_json::json;

use crate::args::NetworkArgs;
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupts;
use crate::output::{print, print_json};
use crate::pair;
use crate::progress::Progress;
use crate::wifi::{self, Given};

/// `lowtouch network`.
pub(crate) async fn run(arguments: &NetworkArgs, json: bool) -> Result<(), Failure> {
    let label = input::read_label(&arguments.device.label)?;
    let link = pair::link(arguments.device.link.as_ref(), Some(&label))?;
    let security = pair::security(&arguments.device);
    if arguments.scan {
        let networks = scan(&link, &label, security, &Interrupts::listen()).await?;
        show(&networks, json);
        return Ok(());
    }
    // Before the signals are taken over: what asks listens to Ctrl-C itself.
    let named = match &arguments.wifi {
        Some(ssid) => Some(Given::named(ssid, &arguments.wifi_secret).await?),
        None if input::can_ask() && !json => None,
        None => return Err(wifi::missing()),
    };
    let interrupts = Interrupts::listen();
    let mut given = match named {
        Some(given) => given,
        None => {
            let networks = scan(&link, &label, security, &interrupts).await?;
            Given::chosen(&networks, &arguments.wifi_secret).await?
        }
    };
    let set = loop {
        let request = NetworkRequest {
            label: label.clone(),
            link: link.clone(),
            wifi: given.wifi.clone(),
            security,
            deadlines: Deadlines::default(),
        };
        match Progress::new(json).follow(network_only(request), &interrupts).await {
            Ok(set) => break set,
            Err(error) if !json && given.again(&error).await? => {}
            Err(error) => return Err(error.into()),
        }
    };
    if !json {
        let address = set.ip.map(|ip| format!(" with the address {ip}")).unwrap_or_default();
        print(&format!(
            "{} {} is on the Wi-Fi \"{}\"{address}\n  {} round trips, {:.1} s",
            style("✓").green().bold(),
            style(&set.name).bold(),
            set.ssid,
            set.round_trips,
            set.seconds,
        ));
    }
    Ok(())
}

async fn scan(
    link: &LinkAddress,
    label: &Label,
    security: SecurityFlags,
    interrupts: &Interrupts,
) -> Result<Vec<WifiNetwork>, Failure> {
    let waiting = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    waiting.set_style(ProgressStyle::default_spinner());
    waiting.set_message("The device is looking for Wi-Fi networks");
    waiting.enable_steady_tick(Duration::from_millis(120));
    let networks = tokio::select! {
        networks = wifi_scan(link, label.clone(), security) => networks.map_err(Failure::from),
        () = interrupts.asked() => Err(Failure::cancelled()),
    };
    waiting.finish_and_clear();
    networks
}

fn show(networks: &[WifiNetwork], json: bool) {
    if json {
        print_json(&json!({ "event": "wifi-scan", "networks": networks }));
    } else if networks.is_empty() {
        print("The device hears no Wi-Fi network. Move it nearer to one, or try again.");
    } else {
        for line in wifi::table(networks, false) {
            print(&line);
        }
    }
}
