//! Starting and stopping the service.

use std::path::PathBuf;

use provisioning_api_contract::DeviceRequest;
use secrecy::SecretString;

use crate::config::{Config, ConfigError};
use crate::role::Role;

/// The service.
#[derive(Debug)]
pub struct Server;

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is not usable.
    #[error("the configuration is not usable")]
    Config(#[from] ConfigError),
    /// The address cannot be listened on, or a file cannot be read or written.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
}

/// A service that listens. Dropping it ends it at once; [`Running::stop`] lets open requests finish.
#[derive(Debug)]
pub struct Running {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    /// The CA (PEM) that clients must trust.
    pub ca_pem: String,
    /// The same as a file.
    pub ca_file: PathBuf,
}

impl Server {
    /// Opens the database, makes what is missing (TLS, keys), listens, and returns when requests are answered.
    ///
    /// # Errors
    /// [`StartError`].
    #[allow(clippy::unused_async)]
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let _ = config;
        Err(StartError::Io { what: "not built yet".into(), source: std::io::ErrorKind::Unsupported.into() })
    }
}

impl Running {
    /// Issues a bearer token, valid for 30 days; only its hash is stored.
    ///
    /// # Errors
    /// The database's.
    #[allow(clippy::unused_async)]
    pub async fn issue_token(&self, role: Role, name: &str) -> Result<SecretString, StartError> {
        let _ = (role, name);
        Err(StartError::Io { what: "not built yet".into(), source: std::io::ErrorKind::Unsupported.into() })
    }

    /// Puts a device into the inventory, or changes it there.
    ///
    /// # Errors
    /// The database's, or a registration ID that breaks the rules.
    #[allow(clippy::unused_async)]
    pub async fn add_device(&self, registration_id: &str, device: DeviceRequest) -> Result<(), StartError> {
        let _ = (registration_id, device);
        Err(StartError::Io { what: "not built yet".into(), source: std::io::ErrorKind::Unsupported.into() })
    }

    /// Takes no new requests, lets the open ones finish (at most 5 s), and ends.
    #[allow(clippy::unused_async)]
    pub async fn stop(self) {}
}
