use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use secrecy::SecretString;

use super::{SecretStore, SecretsError};

/// Keeps secrets until the program ends: for tests, and for a token that came from a file and stays there.
#[derive(Debug, Default)]
pub struct Memory {
    secrets: Mutex<HashMap<String, SecretString>>,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Self {
        Memory::default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, SecretString>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SecretStore for Memory {
    async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        Ok(self.lock().get(name).cloned())
    }

    async fn set(&self, name: &str, value: &SecretString) -> Result<(), SecretsError> {
        self.lock().insert(name.into(), value.clone());
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), SecretsError> {
        self.lock().remove(name);
        Ok(())
    }

    fn describe(&self) -> String {
        "this program's memory".into()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test]
    async fn a_secret_is_kept_replaced_and_forgotten() {
        let store = Memory::new();
        assert!(store.get("a").await.unwrap().is_none());
        store.set("a", &"1".to_owned().into()).await.unwrap();
        store.set("a", &"2".to_owned().into()).await.unwrap();
        assert_eq!(store.get("a").await.unwrap().unwrap().expose_secret(), "2");
        store.delete("a").await.unwrap();
        store.delete("a").await.unwrap();
        assert!(store.get("a").await.unwrap().is_none());
    }
}
