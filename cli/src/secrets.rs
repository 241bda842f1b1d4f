//! Where this command keeps secrets, and who tells it the passphrase of a secrets file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lowtouch_installer::secrets::{AskPassphrase, EncryptedFile, Keyring, PassphraseFor, SecretStore, SecretsError};
use lowtouch_installer::settings::{SecretsIn, Settings};
use secrecy::{ExposeSecret as _, SecretString};

use crate::input;
use crate::output::complain;

/// Names the file whose first line is the passphrase of the secrets file.
pub(crate) const PASSPHRASE_FILE_VARIABLE: &str = "LOWTOUCH_PASSPHRASE_FILE";

/// As the settings say. Asks nothing yet.
pub(crate) fn store(settings: &Settings, data_dir: &Path) -> Arc<dyn SecretStore> {
    match settings.secrets() {
        SecretsIn::File => Arc::new(EncryptedFile::new(data_dir, Arc::new(Terminal))),
        _ => Arc::new(Keyring::new()),
    }
}

/// As [`store`], but nobody is asked: a secrets file opens only if the environment names its passphrase.
pub(crate) fn unasked(settings: &Settings, data_dir: &Path) -> Arc<dyn SecretStore> {
    match settings.secrets() {
        SecretsIn::File => Arc::new(EncryptedFile::new(data_dir, Arc::new(Nobody))),
        _ => Arc::new(Keyring::new()),
    }
}

/// Whether the console may still be asked: `lowtouch serve` reads it itself later.
#[derive(Clone, Default)]
pub(crate) struct Asking(Arc<std::sync::atomic::AtomicBool>);

/// As long as it is not told otherwise.
pub(crate) fn while_asking() -> Asking {
    let asking = Asking::default();
    asking.0.store(true, std::sync::atomic::Ordering::Release);
    asking
}

impl Asking {
    /// From now on only the environment is asked.
    pub(crate) fn no_more(&self) {
        self.0.store(false, std::sync::atomic::Ordering::Release);
    }
}

#[async_trait]
impl AskPassphrase for Asking {
    async fn passphrase(&self, file: PassphraseFor) -> Result<SecretString, SecretsError> {
        if self.0.load(std::sync::atomic::Ordering::Acquire) {
            Terminal.passphrase(file).await
        } else {
            Nobody.passphrase(file).await
        }
    }
}

/// A secrets file whose passphrase is asked for as `asking` allows.
pub(crate) fn file(data_dir: &Path, asking: Asking) -> Arc<dyn SecretStore> {
    Arc::new(EncryptedFile::new(data_dir, Arc::new(asking)))
}

/// The system's keyring.
pub(crate) fn keyring() -> Arc<dyn SecretStore> {
    Arc::new(Keyring::new())
}

struct Nobody;

#[async_trait]
impl AskPassphrase for Nobody {
    async fn passphrase(&self, file: PassphraseFor) -> Result<SecretString, SecretsError> {
        match std::env::var_os(PASSPHRASE_FILE_VARIABLE).filter(|path| !path.is_empty()) {
            Some(_) => Terminal.passphrase(file).await,
            None => Err(SecretsError::PassphraseMissing),
        }
    }
}

/// A file that the environment names, else the person before the terminal.
struct Terminal;

#[async_trait]
impl AskPassphrase for Terminal {
    async fn passphrase(&self, file: PassphraseFor) -> Result<SecretString, SecretsError> {
        if let Some(path) = std::env::var_os(PASSPHRASE_FILE_VARIABLE).filter(|path| !path.is_empty()) {
            return input::first_line("passphrase file", Path::new(&path)).map_err(|_| SecretsError::Storage {
                path: PathBuf::from(path),
                source: std::io::Error::other("the passphrase file cannot be read"),
            });
        }
        if !input::can_ask() {
            return Err(SecretsError::PassphraseMissing);
        }
        let ask = |question: &'static str| async move {
            input::secret(question).await.map_err(|_| SecretsError::PassphraseMissing)
        };
        if file == PassphraseFor::Opening {
            return ask("Passphrase of the secrets file (not shown): ").await;
        }
        loop {
            let first = ask("New passphrase for the secrets file (not shown): ").await?;
            let second = ask("Once more: ").await?;
            if first.expose_secret() == second.expose_secret() {
                return Ok(first);
            }
            complain("The two differ; try again.");
        }
    }
}
