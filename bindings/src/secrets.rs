//! Where the phone keeps secrets: Android Keystore, iOS Keychain.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lowtouch_installer::secrets::{self, SecretsError};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use uniffi::UnexpectedUniFFICallbackError;
use zeroize::Zeroizing;

/// A person may have to answer a prompt; nobody answers one for longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// A place for secrets, each under a name. The names are no secrets. The app implements it.
#[uniffi::export(foreign)]
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The secret of that name, null if there is none.
    async fn get(&self, name: String) -> Result<Option<Vec<u8>>, SecretStoreError>;

    /// Keeps a secret; one of the same name is replaced.
    async fn set(&self, name: String, value: Vec<u8>) -> Result<(), SecretStoreError>;

    /// Forgets a secret; not an error when there is none.
    async fn delete(&self, name: String) -> Result<(), SecretStoreError>;
}

/// Why secrets cannot be read or kept.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Error, thiserror::Error)]
pub enum SecretStoreError {
    /// Locked, and stayed so: the phone itself is locked, or the prompt was not answered.
    #[error("locked")]
    Locked,
    /// The person or the system said no.
    #[error("no access")]
    Denied,
    /// Anything else. No secrets in it.
    #[error("{detail}")]
    Failed {
        /// What happened.
        detail: String,
    },
}

impl From<UnexpectedUniFFICallbackError> for SecretStoreError {
    fn from(error: UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { detail: error.reason }
    }
}

/// The app's store as the core's.
pub(crate) struct Store(pub(crate) Arc<dyn SecretStore>);

async fn asked<T>(call: impl Future<Output = Result<T, SecretStoreError>>) -> Result<T, SecretsError> {
    match timeout(DEADLINE, call).await {
        Ok(done) => done.map_err(|error| match error {
            SecretStoreError::Locked => SecretsError::Locked,
            SecretStoreError::Denied => SecretsError::Denied,
            SecretStoreError::Failed { detail } => SecretsError::Failed(detail),
        }),
        Err(_) => Err(SecretsError::TimedOut(DEADLINE)),
    }
}

#[async_trait]
impl secrets::SecretStore for Store {
    async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        let Some(bytes) = asked(self.0.get(name.to_owned())).await?.map(Zeroizing::new) else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretsError::Failed("what is kept is no text".into()))?;
        Ok(Some(text.into()))
    }

    async fn set(&self, name: &str, value: &SecretString) -> Result<(), SecretsError> {
        asked(self.0.set(name.to_owned(), value.expose_secret().as_bytes().to_vec())).await
    }

    async fn delete(&self, name: &str) -> Result<(), SecretsError> {
        asked(self.0.delete(name.to_owned())).await
    }

    fn describe(&self) -> String {
        "the phone's own store".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use lowtouch_installer::secrets::SecretStore as _;
    use tokio::time::Instant;

    use super::*;

    struct Silent;

    #[async_trait]
    impl SecretStore for Silent {
        async fn get(&self, _: String) -> Result<Option<Vec<u8>>, SecretStoreError> {
            pending().await
        }

        async fn set(&self, _: String, _: Vec<u8>) -> Result<(), SecretStoreError> {
            pending().await
        }

        async fn delete(&self, _: String) -> Result<(), SecretStoreError> {
            pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_prompt_that_nobody_answers_ends_after_a_minute() {
        let store = Store(Arc::new(Silent));
        let before = Instant::now();
        let asked = async {
            assert!(matches!(store.get("a").await, Err(SecretsError::TimedOut(DEADLINE))));
            assert!(matches!(store.set("a", &"b".into()).await, Err(SecretsError::TimedOut(DEADLINE))));
            assert!(matches!(store.delete("a").await, Err(SecretsError::TimedOut(DEADLINE))));
        };
        assert!(timeout(4 * DEADLINE, asked).await.is_ok());
        assert_eq!(before.elapsed(), 3 * DEADLINE);
    }
}
