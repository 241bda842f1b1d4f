//! The operating system's keyring: Secret Service (Linux), Keychain (macOS), Credential Manager (Windows).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keyring_core::{CredentialStore, Entry, Error};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::{SecretStore, SecretsError};

/// What all our items have in common in the keyring.
const SERVICE: &str = "lowtouch";

/// Long enough for a person to find and type the keyring's password.
const DEADLINE: Duration = Duration::from_secs(30);

/// Calls that wait for a keyring at the same time, those counted that nobody waits for any more. Each has a thread.
const AT_ONCE: usize = 4;

type Store = Arc<CredentialStore>;

/// Asks the keyring through the `keyring` libraries, which block: each call has a thread of its own and a deadline. A call
/// that answers later is not waited for, and the next one begins with a new connection.
pub struct Keyring {
    service: String,
    deadline: Duration,
    store: Arc<Mutex<Option<Store>>>,
    turns: Arc<Semaphore>,
}

impl Default for Keyring {
    fn default() -> Self {
        Keyring::new()
    }
}

impl Keyring {
    /// Asks nothing yet.
    pub fn new() -> Self {
        Keyring::with_deadline(DEADLINE)
    }

    /// With another deadline for each call, for example a short one where nobody is there to answer a prompt.
    pub fn with_deadline(deadline: Duration) -> Self {
        Keyring { service: SERVICE.into(), deadline, store: Arc::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    async fn call<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(Entry) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, SecretsError> {
        let (service, name, store) = (self.service.clone(), name.to_owned(), self.store.clone());
        let done = tokio::time::timeout(self.deadline, async {
            let turn = self.turns.clone().acquire_owned().await.map_err(|closed| failed(&closed))?;
            let job = tokio::task::spawn_blocking(move || {
                let _turn: OwnedSemaphorePermit = turn;
                entry(&store, &service, &name).and_then(work)
            });
            job.await.map_err(|stopped| failed(&stopped))?.map_err(of_keyring)
        })
        .await;
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                // A keyring that was restarted is found by a new connection only.
                if !matches!(error, SecretsError::Locked | SecretsError::Denied | SecretsError::NotSetUp) {
                    self.forget_connection();
                }
                Err(error)
            }
            Err(_) => {
                self.forget_connection();
                Err(SecretsError::TimedOut(self.deadline))
            }
        }
    }

    fn forget_connection(&self) {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[async_trait]
impl SecretStore for Keyring {
    async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        let found = self.call(name, |entry| match entry.get_secret() {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        });
        match found.await? {
            None => Ok(None),
            Some(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(Some(text.to_owned().into())),
                Err(_) => Err(SecretsError::Failed("the item is no text".into())),
            },
        }
    }

    async fn set(&self, name: &str, value: &SecretString) -> Result<(), SecretsError> {
        // As bytes: Windows would store text in UTF-16, of which half as much fits.
        let bytes = Zeroizing::new(value.expose_secret().as_bytes().to_vec());
        self.call(name, move |entry| entry.set_secret(&bytes)).await
    }

    async fn delete(&self, name: &str) -> Result<(), SecretsError> {
        let deleted = self.call(name, |entry| match entry.delete_credential() {
            Err(Error::NoEntry) => Ok(()),
            other => other,
        });
        deleted.await
    }

    fn describe(&self) -> String {
        NAME.into()
    }
}

/// The item of that name. Connects first where that was not done yet.
fn entry(store: &Mutex<Option<Store>>, service: &str, name: &str) -> Result<Entry, Error> {
    // Not held while connecting, which may hang.
    let known = store.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let connected = match known {
        Some(known) => known,
        None => {
            let new = open()?;
            store.lock().unwrap_or_else(PoisonError::into_inner).insert(new).clone()
        }
    };
    let label = format!("Lowtouch: {name}");
    let modifiers = HashMap::from([("label", label.as_str())]);
    connected.build(service, name, LABELLED.then_some(&modifiers))
}

fn failed(error: &dyn std::error::Error) -> SecretsError {
    SecretsError::Failed(error.to_string())
}

#[cfg(target_os = "linux")]
const NAME: &str = "Secret Service";
#[cfg(target_os = "macos")]
const NAME: &str = "Keychain";
#[cfg(target_os = "windows")]
const NAME: &str = "Credential Manager";

/// Whether items have a label that a person sees in the keyring's own window.
const LABELLED: bool = cfg!(target_os = "linux");

#[cfg(target_os = "linux")]
fn open() -> Result<Store, Error> {
    Ok(zbus_secret_service_keyring_store::Store::new()?)
}

#[cfg(target_os = "macos")]
fn open() -> Result<Store, Error> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(target_os = "windows")]
fn open() -> Result<Store, Error> {
    Ok(windows_native_keyring_store::Store::new()?)
}

fn of_keyring(error: Error) -> SecretsError {
    match error {
        Error::PlatformFailure(cause) | Error::NoStorageAccess(cause) if of_platform(cause.as_ref()).is_some() => {
            of_platform(cause.as_ref()).unwrap_or(SecretsError::Denied)
        }
        Error::NoStorageAccess(_) => SecretsError::Denied,
        // These hold the secret itself; their words are ours.
        Error::BadEncoding(_) | Error::BadDataFormat(..) => SecretsError::Failed("the item cannot be read".into()),
        Error::Ambiguous(_) => SecretsError::Failed("there are several items of this name".into()),
        other => failed(&other),
    }
}

#[cfg(target_os = "linux")]
fn of_platform(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<SecretsError> {
    use secret_service::Error as Service;
    match cause.downcast_ref::<Service>()? {
        // Dismissed, or nothing on this machine can show it.
        Service::Locked | Service::Prompt => Some(SecretsError::Locked),
        Service::NoResult => Some(SecretsError::NotSetUp),
        Service::Unavailable => Some(SecretsError::NoSessionBus),
        Service::Zbus(error) => of_zbus(error),
        Service::ZbusFdo(error) => of_fdo(error),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn of_platform(_: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<SecretsError> {
    None
}

#[cfg(target_os = "linux")]
fn of_zbus(error: &zbus::Error) -> Option<SecretsError> {
    match error {
        zbus::Error::Address(_)
        | zbus::Error::InputOutput(_)
        | zbus::Error::Connection(..)
        | zbus::Error::Handshake(_) => Some(SecretsError::NoSessionBus),
        zbus::Error::FDO(error) => of_fdo(error),
        zbus::Error::MethodError(name, ..) => of_name(name.as_str()),
        _ => None,
    }
}

#[cfg(target_os = "linux")]
fn of_fdo(error: &zbus::fdo::Error) -> Option<SecretsError> {
    match error {
        zbus::fdo::Error::ZBus(error) => of_zbus(error),
        other => of_name(zbus::DBusError::name(other).as_str()),
    }
}

/// By the D-Bus specification's names and those of the Secret Service's.
#[cfg(target_os = "linux")]
fn of_name(name: &str) -> Option<SecretsError> {
    match name.strip_prefix("org.freedesktop.") {
        Some("DBus.Error.ServiceUnknown" | "DBus.Error.NameHasNoOwner") => Some(SecretsError::NoService),
        // It is installed and could not be started.
        Some(name) if name.starts_with("DBus.Error.Spawn.") => Some(SecretsError::NoService),
        Some("DBus.Error.Disconnected") => Some(SecretsError::NoService),
        Some("DBus.Error.AccessDenied" | "DBus.Error.AuthFailed") => Some(SecretsError::Denied),
        Some("DBus.Error.NoReply" | "DBus.Error.Timeout" | "DBus.Error.TimedOut") => {
            // The bus's own limit.
            Some(SecretsError::TimedOut(Duration::from_secs(25)))
        }
        Some("Secret.Error.IsLocked") => Some(SecretsError::Locked),
        _ => None,
    }
}
