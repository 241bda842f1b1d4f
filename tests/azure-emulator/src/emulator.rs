//! Starting and stopping an emulated DPS instance inside a process.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum_server::Handle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::Config;
use crate::faults::Faults;
use crate::issuance::Issuance;
use crate::tls::{TlsAccept, TlsFiles};

/// An emulated DPS instance with its hubs.
#[derive(Debug)]
pub struct Emulator;

impl Emulator {
    /// Listens and serves until the answer is stopped or dropped.
    ///
    /// # Errors
    /// [`StartError`] when the configuration is not usable, the TLS files cannot be read or made, or the address cannot be had.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let service_key = STANDARD
            .decode(&config.service_key)
            .ok()
            .filter(|key| !key.is_empty())
            .ok_or_else(|| StartError::Config("the service key is not base64".into()))?;
        if config.id_scope.is_empty() || !config.id_scope.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(StartError::Config("an ID scope has letters and digits only".into()));
        }
        let dir = config.tls_dir.clone();
        let tls = tokio::task::spawn_blocking(move || TlsFiles::load_or_make(&dir))
            .await
            .map_err(Into::into)
            .and_then(|files| files)
            .map_err(|source| StartError::Tls { dir: config.tls_dir.clone(), source })?;

        let issuance = Issuance::new(config.certificate_policies.clone()).map_err(|error| {
            StartError::Config(format!("the CA of the credential policies cannot be made: {error}"))
        })?;
        let at = config.listen;
        let listen_error = |source| StartError::Listen { addr: at, source };
        let listener = std::net::TcpListener::bind(at).map_err(listen_error)?;
        listener.set_nonblocking(true).map_err(listen_error)?;
        let addr = listener.local_addr().map_err(listen_error)?;
        let server = axum_server::from_tcp(listener).map_err(listen_error)?;

        let faults = Arc::new(Faults::default());
        let (id_scope, service_key_text) = (config.id_scope.clone(), config.service_key.clone());
        let app = Arc::new(App::new(config, service_key, issuance, Arc::clone(&faults)));
        let handle = Handle::new();
        let service = Arc::clone(&app).router().into_make_service();
        let serving = server.http1_only().acceptor(TlsAccept::new(tls.server)).handle(handle.clone()).serve(service);
        let serving = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the server ended");
            }
        });
        Ok(Running {
            addr,
            id_scope,
            ca_pem: tls.ca_pem,
            ca_file: tls.ca_file,
            service_key: service_key_text,
            faults,
            app,
            handle,
            serving: Some(serving),
        })
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
    app: Arc<App>,
    handle: Handle<SocketAddr>,
    serving: Option<JoinHandle<()>>,
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

    /// Ends every access token of Entra ID that was given.
    pub fn revoke_entra_tokens(&self) {
        if let Some(directory) = &self.app.entra {
            directory.revoke_all();
        }
    }

    /// The devices that stand in the hubs' identity registries, by hub and device ID.
    #[must_use]
    pub fn hub_devices(&self) -> Vec<HubDevice> {
        self.app.state.lock().hub_devices()
    }

    /// The root (DER) of the certificates that the credential policies issue: what the linked hubs trust. `None` without a
    /// policy.
    #[must_use]
    pub fn issuance_root(&self) -> Option<&[u8]> {
        self.app.issuance.root()
    }

    /// Every request so far with its answer's status, oldest first; at most the last 10,000.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.app.seen()
    }

    /// Closes every connection and waits until the port is free.
    pub async fn stop(mut self) {
        self.handle.shutdown();
        if let Some(serving) = self.serving.take() {
            // It ends at once; a task that was cancelled has ended too.
            let _ = serving.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr).field("id_scope", &self.id_scope).finish_non_exhaustive()
    }
}

/// One request that an emulator answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The answer's HTTP status; 503 where the connection was reset before an answer.
    pub status: u16,
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
    /// The certificate that DPS issued for it last (DER); `None`: it shows the hub what it shows DPS.
    pub certificate: Option<Vec<u8>>,
    /// The key that its TPM was given for the hub: it signs its tokens there with it.
    pub tpm_key: Option<[u8; 32]>,
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
