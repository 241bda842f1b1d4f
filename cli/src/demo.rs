//! `lowtouch demo`: a local cloud, simulated devices, and the code that pairs real ones.

use std::path::{Path, PathBuf};
use std::time::Instant;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use console::style;
use lowtouch_installer::demo::{
    Cloud, CloudError, DemoDevice, Missing, ProcessError, ProcessTree, WIFI_PASSPHRASE, WIFI_SSID, find_program,
    start_devices,
};
use lowtouch_installer::label;
use lowtouch_installer::pairing::{PairRequest, Paired, WifiCredentials};
use lowtouch_installer::{Config, Installer, PairingError};
use serde_json::json;

use crate::args::DemoArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::output::{print, print_json, print_table};
use crate::pair::summary;
use crate::progress::Progress;
use crate::story::attestation_text;

/// `lowtouch demo`.
pub(crate) async fn run(arguments: &DemoArgs, json: bool) -> Result<(), Failure> {
    let executable = std::env::current_exe().map_err(|error| {
        Failure::new(Exit::Unexpected, "internal", "This program does not know where it is.").because(error)
    })?;
    let program = find_program(executable.parent().unwrap_or(Path::new(".")))?;
    let interrupts = Interrupts::listen();
    let mut tree = ProcessTree::new()?;
    let result = tokio::select! {
        result = play(arguments, json, &mut tree, &program, &interrupts) => result,
        // Ctrl-C while a pairing runs is the pairing's to answer; this one is for the rest, and for impatience.
        () = interrupts.urged() => Err(Failure::cancelled()),
    };
    tree.stop().await;
    result.map_err(|failure| match failure.exit {
        Exit::Cancelled => failure.help("Everything that the demo had started is gone."),
        _ => failure,
    })
}

async fn play(
    arguments: &DemoArgs,
    json: bool,
    tree: &mut ProcessTree,
    program: &Path,
    interrupts: &Interrupts,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let (cloud, devices) = tokio::select! {
        started = start(arguments, json, tree, program) => started?,
        () = interrupts.asked() => return Err(Failure::cancelled()),
    };
    let data_dir = tree.make_dir("journal")?;
    let folder = tree.dir().to_owned();
    let pairings = async {
        let paired = pair_all(&cloud, &devices, data_dir, json, interrupts).await?;
        finish(&devices, &paired, begun, json);
        if arguments.keep {
            keep(&cloud, &devices, &folder, json);
            interrupts.asked().await;
        }
        Ok(())
    };
    tokio::select! {
        result = pairings => result,
        died = tree.first_end() => Err(died.into()),
    }
}

async fn start(
    arguments: &DemoArgs,
    json: bool,
    tree: &mut ProcessTree,
    program: &Path,
) -> Result<(Cloud, Vec<DemoDevice>), Failure> {
    if !json {
        print(&format!("{}", style("Starting two local DPS instances and the provisioning API").bold()));
    }
    let cloud = Cloud::start(tree, program).await?;
    for instance in &cloud.instances {
        if json {
            print_json(&json!({
                "event": "dps-instance-ready", "name": instance.name, "idScope": instance.id_scope,
                "address": instance.address, "hubs": instance.hubs,
            }));
        } else {
            print(&format!(
                "  {} DPS instance {:<8} https://{}  ID scope {}  hubs {}",
                style("✓").green(),
                instance.name,
                instance.address,
                instance.id_scope,
                instance.hubs.join(", ")
            ));
        }
    }
    if json {
        print_json(&json!({ "event": "api-ready", "url": cloud.api }));
    } else {
        print(&format!("  {} provisioning API      {}", style("✓").green(), cloud.api));
        let count = arguments.devices;
        print("");
        print(&format!(
            "{}",
            style(format!("Starting {count} simulated device{}", if count == 1 { "" } else { "s" })).bold()
        ));
    }
    let devices = start_devices(tree, program, &cloud, arguments.devices).await?;
    for device in &devices {
        if json {
            print_json(&json!({
                "event": "device-ready", "device": device.registration_id, "link": device.link.to_string(),
            }));
        } else {
            print(&format!("  {} {:<12} {}", style("✓").green(), device.registration_id, device.link));
        }
    }
    Ok((cloud, devices))
}

/// One after the other, as an installer would.
async fn pair_all(
    cloud: &Cloud,
    devices: &[DemoDevice],
    data_dir: PathBuf,
    json: bool,
    interrupts: &Interrupts,
) -> Result<Vec<Paired>, Failure> {
    let installer = Installer::new(Config {
        api_url: Some(cloud.api.clone()),
        token: Some(cloud.token.clone()),
        extra_ca_pem: Some(cloud.ca_pem.clone()),
        ..Config::new(data_dir)
    })
    .await?;
    let mut all = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        if !json {
            print("");
            let title = format!(
                "Device {} of {}: {}, {}",
                index + 1,
                devices.len(),
                device.registration_id,
                device.kind.title()
            );
            print(&format!("{}", style(title).bold()));
            print(&label::qr_terminal(&device.label.to_text()).map_err(PairingError::from)?);
        }
        let wifi = device.kind.needs_wifi().then(|| WifiCredentials::new(WIFI_SSID, WIFI_PASSPHRASE.to_owned()));
        let request = PairRequest { wifi, ..PairRequest::new(device.label.clone(), device.link.clone()) };
        let progress = Progress::of_device(json, &device.registration_id);
        let paired = progress.follow(installer.pair(request), interrupts).await?;
        if !json {
            print(&summary(&paired));
        }
        all.push(paired);
    }
    Ok(all)
}

fn finish(devices: &[DemoDevice], paired: &[Paired], begun: Instant, json: bool) {
    let seconds = begun.elapsed().as_secs_f64();
    if json {
        print_json(&json!({ "event": "demo-finished", "seconds": seconds, "devices": paired }));
        return;
    }
    print("");
    print_table(table(devices, paired));
    print(&format!(
        "{} {} device{} paired in {seconds:.1} s, everything started anew.",
        style("✓").green().bold(),
        paired.len(),
        if paired.len() == 1 { "" } else { "s" },
    ));
}

fn table(devices: &[DemoDevice], paired: &[Paired]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header([
        "Registration ID",
        "Link",
        "Attestation",
        "DPS instance",
        "Assigned hub",
        "Round trips\n(to commit)",
        "Bytes",
        "Seconds",
    ]);
    for (demo, device) in devices.iter().zip(paired) {
        table.add_row([
            device.registration_id.clone(),
            demo.kind.name().to_owned(),
            attestation_text(&device.attestation),
            device.dps_instance.clone(),
            device.hub.clone(),
            format!("{} ({})", device.round_trips, device.round_trips_to_commit),
            (device.bytes_sent + device.bytes_received).to_string(),
            format!("{:.2}", device.seconds),
        ]);
    }
    // Host names are folded between their labels.
    if let Some(hub) = table.column_mut(4) {
        hub.set_delimiter('.');
    }
    for column in table.column_iter_mut().skip(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `--keep`: where everything is, and what to try.
fn keep(cloud: &Cloud, devices: &[DemoDevice], folder: &Path, json: bool) {
    let api = &cloud.api;
    if json {
        let devices: Vec<_> = devices
            .iter()
            .map(|device| {
                json!({
                    "device": device.registration_id, "link": device.link.to_string(), "labelFile": device.label_file,
                })
            })
            .collect();
        print_json(&json!({
            "event": "keeping", "api": api, "caFile": cloud.ca_file, "tokenFile": cloud.token_file,
            "dps": cloud.instances.iter().map(|instance| instance.address.as_str()).collect::<Vec<_>>(),
            "devices": devices, "folder": folder,
        }));
        return;
    }
    print("");
    print(&format!("{}", style("All of it keeps running until Ctrl-C").bold()));
    let line = |name: &str, value: String| print(&format!("  {name:<18}{value}"));
    line("provisioning API", api.clone());
    line("  its roots", cloud.ca_file.display().to_string());
    line("  a token", cloud.token_file.display().to_string());
    for instance in &cloud.instances {
        line(
            &format!("DPS {}", instance.name),
            format!("https://{}, ID scope {}", instance.address, instance.id_scope),
        );
    }
    for device in devices {
        line(&device.registration_id, format!("{}  label {}", device.link, device.label_file.display()));
    }
    line("logs", folder.display().to_string());
    if let Some(device) = devices.last() {
        print("");
        print("  Pair a device again, as in the field:");
        print(&format!(
            "  lowtouch pair @{} --link {} --api {api} --ca {} --token-file {}",
            device.label_file.display(),
            device.link,
            cloud.ca_file.display(),
            cloud.token_file.display(),
        ));
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        Failure::new(
            Exit::Usage,
            "demo-not-built",
            format!("The demo needs {}, which is not beside this program.", missing.name),
        )
        .help("The desktop app's package has it. In a copy of the source, `cargo xtask demo` builds it and starts the demo.")
        .because(missing)
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        Failure::new(Exit::Unexpected, "demo-process", "A part of the demo could not run.")
            .help("Look at what it said, below. `cargo xtask demo` builds all parts anew.")
            .because(error)
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::Process(error) => error.into(),
            other => {
                Failure::new(Exit::Unexpected, "demo-process", "A part of the demo could not be set up.").because(other)
            }
        }
    }
}
