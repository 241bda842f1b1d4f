//! `lowtouch config`, and the settings of every other command.

use std::path::PathBuf;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use console::style;
use lowtouch_installer::settings::{
    self, Key, PROXY_PASSWORD, Setting, Settings, SettingsError, Source, process_environment,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::args::{ApiArgs, Common, ConfigCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{complain, print, print_json, print_table};
use crate::{block_on, data_dir, input, secrets};

/// `lowtouch config …`.
pub(crate) fn run(command: &ConfigCommand, common: &Common, json: bool) -> Result<(), Failure> {
    let file = file(common)?;
    match command {
        ConfigCommand::Path => {
            if json {
                print_json(&json!({ "event": "settings-file", "path": file, "exists": file.exists() }));
            } else {
                print(&file.display().to_string());
            }
            Ok(())
        }
        ConfigCommand::List => {
            list(&load(common)?, json);
            Ok(())
        }
        ConfigCommand::Get { key } => get(&load(common)?.get(Key::find(key)?), json),
        ConfigCommand::Set { key, values } if key == PROXY_PASSWORD => {
            if !values.is_empty() {
                return Err(Failure::new(
                    Exit::Usage,
                    "settings-secret",
                    "A password is not given on the command line.",
                )
                .help("Other users of this computer can see it there. Leave it out: you are asked for it."));
            }
            set_proxy_password(common, json)
        }
        ConfigCommand::Set { key, values } => {
            let key = Key::find(key)?;
            settings::set(&file, key, values)?;
            let (now, _) = Settings::read(&file, &process_environment);
            said(&now.get(key), json);
            Ok(())
        }
        ConfigCommand::Unset { key } if key == PROXY_PASSWORD => {
            let settings = load(common)?;
            let store = secrets::store(&settings, &data_dir(common)?);
            block_on(async { Ok(store.delete(PROXY_PASSWORD).await.map_err(failure)?) })?;
            done(json, &format!("The proxy's password is no longer in {}.", store.describe()));
            Ok(())
        }
        ConfigCommand::Unset { key } => {
            if !settings::unset(&file, key)? {
                // A name that there is not and that was not there is most likely a slip.
                let key = Key::find(key)?;
                done(json, &format!("{key} was not set in {}.", file.display()));
                return Ok(());
            }
            done(json, &format!("{key} is no longer set in {}.", file.display()));
            Ok(())
        }
        ConfigCommand::Check => check(common, json),
    }
}

/// The settings file, whether or not it is there.
pub(crate) fn file(common: &Common) -> Result<PathBuf, Failure> {
    common.config.clone().or_else(settings::default_file).ok_or_else(|| {
        Failure::new(Exit::Usage, "no-data-dir", "This user has no home folder, so the settings have no place.")
            .help("Name a file with --config or LOWTOUCH_CONFIG_FILE.")
    })
}

/// File and environment.
pub(crate) fn load(common: &Common) -> Result<Settings, Failure> {
    Ok(Settings::load(&file(common)?, &process_environment)?)
}

/// With the options for the provisioning API above them.
pub(crate) fn for_api(common: &Common, arguments: &ApiArgs) -> Result<Settings, Failure> {
    let mut settings = load(common)?;
    if let Some(api) = &arguments.api {
        settings.put_flag(Key::Api, "--api", std::slice::from_ref(api))?;
    }
    if !arguments.ca.is_empty() {
        let files: Vec<String> = arguments.ca.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        settings.put_flag(Key::CaFiles, "--ca", &files)?;
    }
    Ok(settings)
}

fn list(settings: &Settings, json: bool) {
    let warnings = settings.warnings();
    if json {
        for setting in settings.all() {
            let warning = warnings.iter().find(|(key, _)| *key == setting.key).map(|(_, text)| *text);
            print_json(&as_event(setting, warning));
        }
        return;
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["Setting", "Value", "From"]);
    for setting in settings.all() {
        table.add_row([setting.key.to_string(), setting.to_string(), setting.source.to_string()]);
    }
    print_table(table);
    for (key, text) in warnings {
        complain(&format!("{} {key}: {text}", style("!").yellow().bold().for_stderr()));
    }
}

fn get(setting: &Setting, json: bool) -> Result<(), Failure> {
    if json {
        print_json(&as_event(setting, None));
        return Ok(());
    }
    match &setting.value {
        Some(settings::Value::List(values)) => values.iter().for_each(|value| print(value)),
        Some(value) => print(&value.to_string()),
        None => {
            return Err(Failure::new(Exit::Usage, "setting-not-set", format!("{} is not set.", setting.key))
                .help(format!("Set it with `lowtouch config set {} VALUE`.", setting.key)));
        }
    }
    Ok(())
}

/// What holds now, which may be something that stands above the file.
fn said(now: &Setting, json: bool) {
    if json {
        print_json(&as_event(now, None));
        return;
    }
    match &now.source {
        Source::File { path, .. } => print(&format!("{} is set in {}: {now}", now.key, path.display())),
        above => print(&format!("{} is set in the file, but {above} stands above it: {now}", now.key)),
    }
}

fn done(json: bool, text: &str) {
    if json {
        print_json(&json!({ "event": "done", "message": text }));
    } else {
        print(text);
    }
}

fn set_proxy_password(common: &Common, json: bool) -> Result<(), Failure> {
    let settings = load(common)?;
    let store = secrets::store(&settings, &data_dir(common)?);
    let missing = || {
        Failure::new(Exit::Usage, "password-missing", "The password is missing.")
            .help("Type it when asked, or give it as the first line of standard input.")
    };
    block_on(async {
        let password = if input::can_ask() {
            input::secret("Password of the proxy (not shown): ").await?
        } else {
            input::piped_secret().map_err(|error| missing().because(error))?
        };
        if password.expose_secret().is_empty() {
            return Err(missing());
        }
        Ok(store.set(PROXY_PASSWORD, &password).await.map_err(failure)?)
    })?;
    done(json, &format!("The proxy's password is kept in {}.", store.describe()));
    Ok(())
}

fn failure(error: lowtouch_installer::secrets::SecretsError) -> lowtouch_installer::PairingError {
    error.into()
}

fn check(common: &Common, json: bool) -> Result<(), Failure> {
    let file = file(common)?;
    let (settings, mut problems) = Settings::read(&file, &process_environment);
    if let Err(problem) = settings.extra_ca_pem() {
        problems.push(problem);
    }
    let Some(last) = problems.pop() else {
        let there = if file.exists() { "is well" } else { "is not there; everything has its default" };
        done(json, &format!("{} {there}.", file.display()));
        return Ok(());
    };
    // The last one is what the command ends with, and is shown as every error.
    for problem in problems {
        if json {
            print_json(&problem_event(&problem));
        } else {
            complain(&format!("{} {problem}.\n  → {}", style("✗").red().bold().for_stderr(), problem.wrong.mend()));
        }
    }
    Err(last.into())
}

fn problem_event(problem: &SettingsError) -> Value {
    json!({
        "event": "settings-problem", "code": problem.code, "key": problem.key, "message": problem.to_string(),
        "help": problem.wrong.mend(), "source": source(&problem.source),
    })
}

fn as_event(setting: &Setting, warning: Option<&str>) -> Value {
    let mut event = json!({
        "event": "setting", "key": setting.key.as_str(), "value": setting.value, "source": source(&setting.source),
    });
    if let Some(warning) = warning {
        event["warning"] = warning.into();
    }
    event
}

fn source(source: &Source) -> Value {
    match source {
        Source::Default => json!({ "from": "default" }),
        Source::File { path, line, column } => {
            json!({ "from": "file", "path": path, "line": line, "column": column })
        }
        Source::Environment(name) => json!({ "from": "environment", "name": name }),
        Source::Flag(name) => json!({ "from": "flag", "name": name }),
        _ => Value::Null,
    }
}
