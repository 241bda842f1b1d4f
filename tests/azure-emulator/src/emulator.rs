//! Starting and stopping an emulated DPS instance inside a process.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::faults::Faults;

/// An emulated DPS instance with its hubs.
#[derive(Debug)]
pub struct Emulator;

impl Emulator {
    /// Listens and serves until the answer is stopped or dropped.
    ///
    /// # Errors
    /// [`StartError`] when the configuration is not usable, the TLS files cannot be read or made, or the address cannot be had.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        Err(StartError::Config(format!("not built yet: {config:?}")))
    }
}

/// A started [`Emulator`]; it ends when this is dropped.
pub struct Running {
    /// The address that it listens on, with the real port.
    pub addr: SocketAddr,
    /// Its ID scope.
    pub id_scope: String,
    /// The certificate (PEM) that clients must trust.
    pub ca_pem: String,
    /// The file that holds it.
    pub ca_file: PathBuf,
    /// The key of the policy [`Config::POLICY`], in base64.
    pub service_key: String,
    faults: Arc<Faults>,
}

impl Running {
    /// `https://127.0.0.1:PORT`: the base URL of both APIs.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// `127.0.0.1:PORT`: what devices and the provisioning API call the endpoint.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.addr.to_string()
    }

    /// Where a test puts faults in.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The devices that stand in the hubs' identity registries, by hub and device ID.
    #[must_use]
    pub fn hub_devices(&self) -> Vec<HubDevice> {
        Vec::new()
    }

    /// Closes every connection and waits until the port is free.
    pub async fn stop(self) {}
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr).field("id_scope", &self.id_scope).finish_non_exhaustive()
    }
}

/// A device in a hub's identity registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct HubDevice {
    /// The hub's host name.
    pub hub: String,
    /// The hub's name for the device.
    pub device_id: String,
    /// The registration that put it there.
    pub registration_id: String,
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A value of [`Config`] cannot be used; the text says which.
    #[error("{0}")]
    Config(String),
    /// The TLS files could not be read, made or used.
    #[error("the TLS files in {} cannot be used", dir.display())]
    Tls {
        /// Where they were looked for.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address cannot be had.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Which one.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}
