//! `accounts.toml`: who is signed in where. No secrets: those are in the [`SecretStore`](crate::secrets::SecretStore).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use jiff::Timestamp;
use provisioning_api_contract::Role;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::lock::{Lock, failed};
use crate::error::{ErrorCode, PairingError};

const VERSION: u32 = 1;

const HEAD: &str =
    "# Written by lowtouch: who is signed in where. The tokens are not here, but where secrets are kept.\n\n";

/// One person at one provisioning API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Account {
    /// What it is called here, `NAME@HOST`; unique on this machine.
    pub name: String,
    /// Of this sign-in on this machine; names its secret and its lock.
    pub id: Uuid,
    /// The provisioning API's address.
    pub server: Url,
    /// Who issues its tokens.
    pub issuer: String,
    /// What this program is called there.
    pub client_id: String,
    /// Where tokens are renewed.
    pub token_endpoint: Url,
    /// Where they are revoked, if that is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<Url>,
    /// The API's ID of the account.
    pub account_id: String,
    /// The person, as the API knows them.
    pub person: String,
    /// What they may do, as the API said last.
    pub role: Role,
    /// Whose devices they see; `None`: every tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When they signed in.
    pub signed_in_at: Timestamp,
    /// Whether they have to sign in again before anything else.
    #[serde(default)]
    pub signed_out: bool,
    /// CA certificates (PEM) that were added for this server at sign-in, beside those of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

impl Account {
    /// The name of its secret.
    pub(super) fn secret(&self) -> String {
        format!("sign-in {}", self.id)
    }

    /// The file whose lock its renewals hold.
    pub(super) fn lock_file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("sign-in-{}.lock", self.id))
    }
}

/// All accounts of this machine's user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accounts {
    /// The one that is used when none is named.
    pub current: Option<String>,
    /// In the order in which they came.
    pub all: Vec<Account>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    account: Vec<Account>,
}

impl Accounts {
    /// The one of this name, or the only one whose name begins so; without a name the current one.
    ///
    /// # Errors
    /// `account-unknown`; without a name `api-token-missing`.
    pub fn find(&self, name: Option<&str>) -> Result<&Account, PairingError> {
        let Some(name) = name else {
            let current = self.all.iter().find(|account| Some(&account.name) == self.current.as_ref());
            return current.ok_or_else(|| ErrorCode::ApiTokenMissing.into());
        };
        let name = name.trim().to_lowercase();
        if let Some(exact) = self.all.iter().find(|account| account.name.to_lowercase() == name) {
            return Ok(exact);
        }
        let mut beginning = self.all.iter().filter(|account| account.name.to_lowercase().starts_with(&name));
        match (beginning.next(), beginning.next()) {
            (Some(only), None) if !name.is_empty() => Ok(only),
            _ => {
                let names: Vec<&str> = self.all.iter().map(|account| account.name.as_str()).collect();
                let there =
                    if names.is_empty() { "there is none".into() } else { format!("there are: {}", names.join(", ")) };
                Err(PairingError::with_detail(ErrorCode::AccountUnknown, there))
            }
        }
    }

    /// A name that no other account has.
    pub(super) fn new_name(&self, person: &str, server: &Url) -> String {
        let host = server.host_str().unwrap_or_default();
        let host = server.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let person: String = person.chars().filter(|c| !c.is_control()).collect();
        let person = person.trim();
        (1_u32..)
            .map(|n| if n == 1 { format!("{person}@{host}") } else { format!("{person}-{n}@{host}") })
            .find(|name| self.all.iter().all(|account| account.name.to_lowercase() != name.to_lowercase()))
            .unwrap_or_default()
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("accounts.toml")
}

/// Reads the file; one that is not there is no account.
pub(super) fn load(folder: &Path) -> Result<Accounts, PairingError> {
    let text = match std::fs::read_to_string(file(folder)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Accounts::default()),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(unreadable("it is no text")),
        Err(error) => return Err(failed(error)),
    };
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let invalid = |error: toml::de::Error| unreadable(error.message());
    let Version { version } = toml::from_str(&text).map_err(invalid)?;
    if version > VERSION {
        return Err(unreadable(&format!("it has version {version}; this program knows {VERSION}")));
    }
    let File { current, account: all, .. } = toml::from_str(&text).map_err(invalid)?;
    Ok(Accounts { current, all })
}

/// Changes the file: one window at a time, and wholly or not at all.
pub(super) async fn change<T>(
    folder: &Path,
    how: impl FnOnce(&mut Accounts) -> Result<T, PairingError>,
) -> Result<T, PairingError> {
    let _lock = Lock::take(&folder.join("accounts.lock")).await?;
    let mut accounts = load(folder)?;
    let before = accounts.clone();
    let done = how(&mut accounts)?;
    if accounts != before {
        save(folder, accounts)?;
    }
    Ok(done)
}

fn save(folder: &Path, accounts: Accounts) -> Result<(), PairingError> {
    let text = File { version: VERSION, current: accounts.current, account: accounts.all };
    let text = toml::to_string(&text).map_err(|error| unreadable(&error.to_string()))?;
    let mut file = AtomicWriteFile::open(file(folder)).map_err(failed)?;
    file.write_all(HEAD.as_bytes()).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.commit().map_err(failed)
}

fn unreadable(why: &str) -> PairingError {
    PairingError::with_detail(ErrorCode::AccountsUnreadable, why)
}
