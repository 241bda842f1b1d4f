//! `lowtouch logs path|bundle`, and what every command logs.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;

use lowtouch_installer::logs::{self, Bundle, BundleError, Contents};
use lowtouch_installer::settings::Settings;
use serde_json::json;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Common, LogsBundleArgs, LogsCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::{block_on, config, data_dir, doctor};

/// `lowtouch logs …`.
pub(crate) fn run(command: &LogsCommand, common: &Common, json: bool) -> Result<(), Failure> {
    match command {
        LogsCommand::Path => {
            let folder = logs::folder(&data_dir(common)?);
            if json {
                print_json(&json!({ "event": "logs", "path": folder, "exists": folder.exists() }));
            } else {
                print(&folder.display().to_string());
            }
            Ok(())
        }
        LogsCommand::Bundle(arguments) => block_on(bundle(arguments, common, json)),
    }
}

async fn bundle(arguments: &LogsBundleArgs, common: &Common, json: bool) -> Result<(), Failure> {
    let path = arguments.file.clone().unwrap_or_else(|| Bundle::file_name().into());
    let mut options = OpenOptions::new();
    options.write(true);
    // Before the checks, which take a while: a name that is taken is said at once.
    let file = match arguments.force {
        true => options.create(true).truncate(true).open(&path),
        false => options.create_new(true).open(&path),
    };
    let file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::Usage, "file-exists", format!("{} exists already.", path.display()))
                .help("Give another name, or --force to replace it.")
        }
        _ => Failure::unwritable(&path, error),
    })?;
    let data_dir = data_dir(common)?;
    let report = doctor::examination(&arguments.api, common).await?.run().await;
    let bundle = Bundle {
        report: Some(&report),
        settings: std::fs::read_to_string(config::file(common)?).ok(),
        journal: logs::newest_rows(&data_dir).await,
        versions: versions(),
        data_dir,
    };
    let contents = bundle.write(file).map_err(|error| {
        // Half a bundle is none.
        let _ = std::fs::remove_file(&path);
        match error {
            BundleError::Write(error) => Failure::unwritable(&path, error),
            other => Failure::new(Exit::Storage, "file-unwritable", format!("{} cannot be written.", path.display()))
                .because(other),
        }
    })?;
    if json {
        print_json(&json!({ "event": "logs-bundle", "file": path, "contents": contents }));
    } else {
        say(&path, &contents);
    }
    Ok(())
}

fn say(path: &Path, contents: &Contents) {
    print(&format!(
        "{} is written; it was sent nowhere. Look through it before you send it.\n\nIn it:",
        path.display()
    ));
    for file in &contents.files {
        print(&format!("  {:<34} {} ({} bytes)", file.name, file.what, file.bytes));
    }
    print("\nNot in it:");
    for what in &contents.left_out {
        print(&format!("  {what}"));
    }
}

fn versions() -> BTreeMap<String, String> {
    [("lowtouch", env!("CARGO_PKG_VERSION")), ("system", std::env::consts::OS), ("processor", std::env::consts::ARCH)]
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .into()
}

/// Into the ring of the data folder, and to standard error where that is wanted. The environment's filter stands above
/// `-v`, that above the settings file. What is wrong with the file is said by the commands that need it.
pub(crate) fn start(common: &Common, to_ring: bool) {
    let of_environment = std::env::var(logs::VARIABLE).ok();
    let of_file = || Settings::read(&config::file(common).ok()?, &|_| None).0.log();
    let wanted = of_environment.clone().or_else(of_file);
    let to_stderr = match (&of_environment, common.verbose) {
        (None, 1) => Some("info".to_owned()),
        (None, 2..) => Some("debug".to_owned()),
        _ => wanted.clone(),
    };
    let stderr = to_stderr.map(|filter| {
        let filter = tracing_subscriber::EnvFilter::try_new(filter)
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter)
    });
    let ring = data_dir(common).ok().filter(|_| to_ring);
    let ring = ring.map(|data_dir| logs::layer(&data_dir, logs::filter(wanted.as_deref())));
    let _ = tracing_subscriber::registry().with(ring).with(stderr).try_init();
}
