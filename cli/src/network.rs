//! `lowtouch network`.

use console::style;
use lowtouch_installer::network_only;
use lowtouch_installer::pairing::{Deadlines, NetworkRequest};

use crate::args::NetworkArgs;
use crate::failure::Failure;
use crate::input;
use crate::interrupt::Interrupts;
use crate::output::print;
use crate::pair;
use crate::progress::Progress;

/// `lowtouch network`.
pub(crate) async fn run(arguments: &NetworkArgs, json: bool) -> Result<(), Failure> {
    let label = input::read_label(&arguments.device.label)?;
    let link = pair::link(arguments.device.link.as_ref(), Some(&label))?;
    let wifi = pair::wifi(&arguments.wifi, &arguments.wifi_secret).await?;
    let interrupts = Interrupts::listen();
    let request = NetworkRequest {
        label,
        link,
        wifi,
        security: pair::security(&arguments.device),
        deadlines: Deadlines::default(),
    };
    let set = Progress::new(json).follow(network_only(request), &interrupts).await?;
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
