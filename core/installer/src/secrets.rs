//! Where secrets are kept: tokens of accounts, a proxy's password. One trait, which phones implement too.

mod encrypted_file;
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod keyring;
mod memory;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use thiserror::Error;

use crate::error::{ErrorCode, PairingError};

pub use encrypted_file::{AskPassphrase, EncryptedFile, FILE_NAME, PassphraseFor};
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub use keyring::Keyring;
pub use memory::Memory;

/// A place for secrets, each under a name. The names are no secrets: they are seen in the keyring's own window.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The secret of that name, `None` if there is none.
    ///
    /// # Errors
    /// See [`SecretsError`].
    async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretsError>;

    /// Keeps a secret; one of the same name is replaced.
    ///
    /// # Errors
    /// See [`SecretsError`].
    async fn set(&self, name: &str, value: &SecretString) -> Result<(), SecretsError>;

    /// Forgets a secret; not an error when there is none.
    ///
    /// # Errors
    /// See [`SecretsError`].
    async fn delete(&self, name: &str) -> Result<(), SecretsError>;

    /// What keeps them, for a person, for example `Secret Service`.
    fn describe(&self) -> String;

    /// The file that secrets are kept in, where it is a file.
    fn file(&self) -> Option<&std::path::Path> {
        None
    }
}

/// Why secrets cannot be read or kept. `Display` says what happened; [`mend`](Self::mend) what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretsError {
    /// Linux: no D-Bus session, as in a plain SSH login or a container.
    #[error("there is no D-Bus session, so no keyring can be asked")]
    NoSessionBus,
    /// The system has no keyring, or it is not running.
    #[error("no keyring answers on this machine")]
    NoService,
    /// The keyring is locked and stayed so.
    #[error("the keyring is locked")]
    Locked,
    /// The keyring runs, and has no collection to keep anything in.
    #[error("the keyring has no default collection")]
    NotSetUp,
    /// The person or the system did not allow it.
    #[error("the keyring did not give access")]
    Denied,
    /// No answer, or a prompt that nobody answered.
    #[error("the keyring did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The secrets file needs its passphrase, and there was nobody to ask.
    #[error("the secrets file needs its passphrase")]
    PassphraseMissing,
    /// The secrets file is whole, the passphrase is another one.
    #[error("the passphrase does not open the secrets file")]
    WrongPassphrase,
    /// The secrets file is cut off or was changed. It is left as it is.
    #[error("the secrets file {} is damaged: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. No secret.
        what: String,
    },
    /// Another program holds the secrets file.
    #[error("another program holds the secrets file {}", .0.display())]
    Busy(PathBuf),
    /// The secrets file cannot be read or written.
    #[error("the secrets file {} cannot be used", .path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Anything else that a keyring says.
    #[error("the keyring failed: {0}")]
    Failed(String),
}

impl SecretsError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            SecretsError::NoSessionBus => ErrorCode::KeyringNoSession,
            SecretsError::NoService => ErrorCode::KeyringMissing,
            SecretsError::Locked => ErrorCode::KeyringLocked,
            SecretsError::NotSetUp => ErrorCode::KeyringNotSetUp,
            SecretsError::Denied => ErrorCode::KeyringDenied,
            SecretsError::TimedOut(_) => ErrorCode::KeyringTimeout,
            SecretsError::PassphraseMissing => ErrorCode::SecretsPassphraseMissing,
            SecretsError::WrongPassphrase => ErrorCode::SecretsPassphraseWrong,
            SecretsError::Damaged { .. } => ErrorCode::SecretsFileDamaged,
            SecretsError::Busy(_) => ErrorCode::SecretsFileBusy,
            SecretsError::Storage { .. } => ErrorCode::SecretsFileFailed,
            SecretsError::Failed(_) => ErrorCode::KeyringFailed,
        }
    }

    /// What to do about it: the hint of its code without the first sentence, which says what happened.
    pub fn mend(&self) -> &'static str {
        let hint = self.code().hint();
        hint.split_once(". ").map_or(hint, |(_, mend)| mend)
    }
}

impl From<SecretsError> for PairingError {
    fn from(error: SecretsError) -> Self {
        let detail = match &error {
            SecretsError::Storage { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        };
        PairingError::with_detail(error.code(), detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_code_and_says_what_to_do() {
        let file = || PathBuf::from("secrets");
        let mut codes = Vec::new();
        for error in [
            SecretsError::NoSessionBus,
            SecretsError::NoService,
            SecretsError::Locked,
            SecretsError::NotSetUp,
            SecretsError::Denied,
            SecretsError::TimedOut(Duration::from_secs(5)),
            SecretsError::PassphraseMissing,
            SecretsError::WrongPassphrase,
            SecretsError::Damaged { path: file(), what: "cut off".into() },
            SecretsError::Busy(file()),
            SecretsError::Storage { path: file(), source: std::io::ErrorKind::StorageFull.into() },
            SecretsError::Failed("x".into()),
        ] {
            assert!(error.mend().ends_with('.') && error.mend().len() > 10, "{error}");
            assert_ne!(error.mend(), error.code().hint(), "{error} lacks a second sentence");
            codes.push(error.code());
        }
        let all = codes.len();
        codes.sort_by_key(|code| code.as_str());
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
