//! `lowtouch doctor`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use console::style;
use lowtouch_installer::doctor::{Check, Examination, GLOBAL_DEVICE_ENDPOINT, Identity, Report, SettingsSeen, Status};
use lowtouch_installer::net::NetSettings;
use lowtouch_installer::secrets::SecretStore;
use lowtouch_installer::settings::{Key, Settings, process_environment};
use lowtouch_installer::sign_in::SignIn;
use serde_json::{Value, json};

use crate::args::{ApiArgs, Common};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::output::{print, print_json};
use crate::{access, config, data_dir, secrets};

/// The settings may have to ask the keyring for a proxy's password, before anything else can be looked at.
const ASKING: Duration = Duration::from_secs(1);

/// `lowtouch doctor`.
pub(crate) async fn run(arguments: &ApiArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let interrupts = Interrupts::listen();
    let examination = examination(arguments, common).await?;
    let report = tokio::select! {
        report = examination.run() => report,
        () = interrupts.asked() => return Err(Failure::cancelled()),
    };
    if json {
        print_json(&as_event(&report));
    } else {
        show(&report);
    }
    match report.worst {
        Status::Failed => {
            Err(Failure::new(Exit::Ill, "doctor-failed", "Something has to be mended before pairing works.")
                .help("The lines with ✗ say what and how."))
        }
        Status::Warning => {
            Err(Failure::new(Exit::Warned, "doctor-warned", "Pairing may work; something needs a look.")
                .help("The lines with ! say what and how."))
        }
        _ => Ok(()),
    }
}

/// What is looked at, from settings that may themselves be ill.
pub(crate) async fn examination(arguments: &ApiArgs, common: &Common) -> Result<Examination, Failure> {
    let (file, data_dir) = (config::file(common)?, data_dir(common)?);
    let (mut settings, mut problems) = Settings::read(&file, &process_environment);
    let api: Vec<String> = arguments.api.iter().cloned().collect();
    let ca: Vec<String> = arguments.ca.iter().map(|path| path.display().to_string()).collect();
    for (key, flag, values) in [(Key::Api, "--api", api), (Key::CaFiles, "--ca", ca)] {
        if !values.is_empty()
            && let Err(problem) = settings.put_flag(key, flag, &values)
        {
            problems.push(problem);
        }
    }
    let store = secrets::unasked(&settings, &data_dir);
    if let Err(problem) = settings.extra_ca_pem() {
        problems.push(problem);
    }
    let net = tokio::time::timeout(ASKING, settings.net(store.as_ref(), &process_environment)).await;
    let net = net.ok().and_then(Result::ok).unwrap_or_else(|| NetSettings {
        extra_ca_pem: settings.extra_ca_pem().ok().flatten(),
        ..NetSettings::default()
    });
    let (identity, api) = identity(arguments, &settings, &data_dir, store.clone(), &net);
    let endpoint = settings.overrides().global_device_endpoint;
    Ok(Examination {
        api,
        net,
        identity,
        secrets: Some(store),
        device_endpoint: endpoint.unwrap_or_else(|| GLOBAL_DEVICE_ENDPOINT.into()),
        settings: Some(SettingsSeen { file, problems, warnings: settings.warnings() }),
        ..Examination::new(data_dir)
    })
}

/// As whom, and where: a token beside all accounts, else the account that a pairing would use.
fn identity(
    arguments: &ApiArgs,
    settings: &Settings,
    data_dir: &Path,
    store: Arc<dyn SecretStore>,
    net: &NetSettings,
) -> (Identity, Option<String>) {
    if let Ok(Some(token)) = access::token(arguments) {
        return (Identity::Token(token), settings.api());
    }
    let sign_in = SignIn::new(data_dir, store.clone(), net.clone());
    let access = access::Access::of(settings.clone(), store, data_dir);
    match access.account(&sign_in, arguments) {
        Ok(account) => {
            let api = account.server.to_string();
            (Identity::Account(sign_in, Some(account.name)), Some(api))
        }
        Err(_) => (Identity::Nobody, settings.api()),
    }
}

fn show(report: &Report) {
    for check in &report.checks {
        print(&line(check));
    }
    for circuit in report.circuits.iter().filter(|circuit| circuit.again_in_ms.is_some()) {
        print(&format!(
            "  {} {} is left alone for a while: many calls in a row failed",
            style("!").yellow(),
            circuit.endpoint
        ));
    }
    print(&format!("  {}", style(format!("{:.1} s", report.seconds)).dim()));
}

fn line(check: &Check) -> String {
    let mark = match check.status {
        Status::Ok => style("✓").green().bold(),
        Status::Skipped => style("–").dim(),
        Status::Warning => style("!").yellow().bold(),
        _ => style("✗").red().bold(),
    };
    let mut text = format!("  {mark} {:<9} {}", check.topic.as_str(), check.text);
    if let Some(seen) = &check.seen {
        text.push_str(&format!("\n              {}", style(seen).dim()));
    }
    if let Some(mend) = &check.mend {
        text.push_str(&format!("\n              → {mend}"));
    }
    if check.status >= Status::Warning {
        text.push_str(&format!("\n              {}", style(&check.code).dim()));
    }
    text
}

fn as_event(report: &Report) -> Value {
    let mut value = json!({ "event": "doctor" });
    if let (Value::Object(all), Ok(Value::Object(fields))) = (&mut value, serde_json::to_value(report)) {
        all.extend(fields);
    }
    value
}
