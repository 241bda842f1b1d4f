//! Where this program keeps its things: where the command line has them, so that both show the same pairings and accounts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use directories::ProjectDirs;
use lowtouch_installer::commands::{Commands, Host, HostKind};
use lowtouch_installer::logs;
use lowtouch_installer::secrets::{AskPassphrase, EncryptedFile, Keyring, PassphraseFor, SecretStore, SecretsError};
use lowtouch_installer::settings::{self, SecretsIn, Settings};
use secrecy::SecretString;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Names the data folder in place of the user's own, as for the command line.
const DATA_DIR_VARIABLE: &str = "LOWTOUCH_DATA_DIR";
/// Names the settings file, as for the command line.
const CONFIG_VARIABLE: &str = "LOWTOUCH_CONFIG_FILE";
/// Names the file whose first line opens the secrets file, as for the command line.
const PASSPHRASE_VARIABLE: &str = "LOWTOUCH_PASSPHRASE_FILE";

/// Logs into the data folder, and the commands of the core. An error is a sentence for the person who started us.
pub(crate) fn start() -> Result<Commands, String> {
    let own = ProjectDirs::from("", "", "lowtouch").map(|dirs| dirs.data_local_dir().to_owned());
    let data_dir = path(DATA_DIR_VARIABLE)
        .or(own)
        .ok_or("This user has no home folder; name a data folder in LOWTOUCH_DATA_DIR.")?;
    let settings = path(CONFIG_VARIABLE)
        .or_else(settings::default_file)
        .ok_or("This user has no home folder; name a settings file in LOWTOUCH_CONFIG_FILE.")?;
    log(&data_dir, &settings);
    if cfg!(target_os = "linux") && path("DISPLAY").or_else(|| path("WAYLAND_DISPLAY")).is_none() {
        return Err(
            "There is no display here. `lowtouch serve` shows the same page in the browser of another machine.".into(),
        );
    }
    let host = Host::new(HostKind::Desktop, env!("CARGO_PKG_VERSION"), data_dir, settings, Arc::new(store));
    // The commands live on Tauri's runtime.
    Ok(tauri::async_runtime::block_on(async { Commands::new(host) }))
}

fn path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The environment's filter stands above the settings'. What is wrong with the settings is said by the page.
fn log(data_dir: &Path, settings: &Path) {
    let wanted = std::env::var(logs::VARIABLE).ok().or_else(|| Settings::read(settings, &|_| None).0.log());
    let ring = logs::layer(data_dir, logs::filter(wanted.as_deref()));
    // Fails only where logs are set up already, and nobody has done that.
    let _ = tracing_subscriber::registry().with(ring).try_init();
}

fn store(settings: &Settings, data_dir: &Path) -> Arc<dyn SecretStore> {
    match settings.secrets() {
        SecretsIn::File => Arc::new(EncryptedFile::new(data_dir, Arc::new(PassphraseFile))),
        _ => Arc::new(Keyring::new()),
    }
}

/// The passphrase of the secrets file; without one the page says which variable is missing.
struct PassphraseFile;

#[async_trait]
impl AskPassphrase for PassphraseFile {
    async fn passphrase(&self, _for: PassphraseFor) -> Result<SecretString, SecretsError> {
        let path = path(PASSPHRASE_VARIABLE).ok_or(SecretsError::PassphraseMissing)?;
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => {
                let text = zeroize::Zeroizing::new(text);
                Ok(SecretString::from(text.lines().next().unwrap_or_default()))
            }
            Err(source) => Err(SecretsError::Storage { path, source }),
        }
    }
}
