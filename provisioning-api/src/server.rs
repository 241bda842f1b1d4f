//! Starting and stopping the service.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use provisioning_api_contract::DeviceRequest;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Notify, Semaphore};
use url::{Host, Url};

use crate::api;
use crate::app::App;
use crate::authorities::{self, Authorities};
use crate::authority::AuthorityError;
use crate::config::{Config, ConfigError, Options};
use crate::connection::Acceptor;
use crate::dps_client::DpsClient;
use crate::enrollments::Instance;
use crate::issuers::Issuers;
use crate::office::{Office, OfficeError};
use crate::outbox;
use crate::owner::{OwnerError, Owners};
use crate::pace::Pace;
use crate::placement::Configured;
use crate::role::Role;
use crate::settings;
use crate::store::Store;
use crate::tls::{Tls, TlsError};
use crate::vault::{Vault, VaultError};

/// How long open requests may go on after a stop.
const GRACE: Duration = Duration::from_secs(5);

/// Imports that go on at once: each may remember a hundred bytes for each of its rows.
const IMPORTS: usize = 2;

/// A TLS handshake takes at most so long.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Requests at once on one connection.
const MAX_STREAMS: u32 = 64;

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
    /// The public URL cannot be one.
    #[error("the public URL must be https://HOST or https://HOST:PORT")]
    PublicUrl,
    /// The issuers of tokens cannot be asked.
    #[error("the issuers of tokens cannot be asked")]
    Issuers(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Two DPS instances have the same name.
    #[error("two DPS instances are named {0}")]
    SameName(String),
    /// A DPS instance's CA file or key is not usable.
    #[error("DPS instance {name} cannot be used")]
    Instance {
        /// The instance.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The TLS folder is not usable.
    #[error("the server has no certificate")]
    Tls(#[from] TlsError),
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    /// Secrets cannot be kept.
    #[error("secrets cannot be kept")]
    Vault(#[from] VaultError),
    /// There is no CA for devices' certificates.
    #[error("devices' certificates cannot be signed")]
    Authority(#[from] AuthorityError),
    /// Devices would have no owner.
    #[error("hand-offs cannot be signed for owned devices")]
    Owner(#[from] OwnerError),
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
    pub(crate) app: Arc<App>,
    office: Office,
    handle: Handle<SocketAddr>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    outbox: tokio::task::JoinHandle<()>,
    /// Ends with the service; whatever it was doing is done again after the next start.
    tending: tokio::task::JoinHandle<()>,
    /// Looks after the server's certificate.
    fresh: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens the database, makes what is missing (TLS, keys), listens, and returns when requests are answered.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config) -> Result<Running, StartError> {
        Self::start_with(config, Options::default()).await
    }

    /// As [`Server::start`], with a CA of one's own or other limits.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_with(config: Config, options: Options) -> Result<Running, StartError> {
        let Options { device_ca, public_url, issuers, zero_touch_ca, limits } = options;
        let mut instances = BTreeMap::new();
        for instance in config.dps.clone() {
            instance.check()?;
            instance.check_for(limits.replicas)?;
            let name = instance.name.clone();
            let dps = DpsClient::new(&instance, &limits)
                .map_err(|source| StartError::Instance { name: name.clone(), source })?;
            if instances.insert(name.clone(), Instance::new(instance, dps)).is_some() {
                return Err(StartError::SameName(name));
            }
        }
        for issuer in &issuers {
            issuer.check()?;
        }
        let issuers = Issuers::new(issuers).map_err(StartError::Issuers)?;
        let public_url = public_url.as_ref().map(origin).transpose()?;
        let host = public_url.as_ref().and_then(|url| Url::parse(url).ok());
        let host = host.as_ref().and_then(Url::host).map(|host| match host {
            Host::Ipv6(address) => address.to_string(),
            other => other.to_string(),
        });
        let tls = Tls::open(&config.tls_dir, &zero_touch_ca, host.as_deref())?;
        let store = Store::open(config.database.expose_secret()).await?;
        let vault = Vault::open(&config.key_file(), &store).await?;
        let authorities = Authorities::open(device_ca.as_ref(), &store, &vault).await?;
        let device_cas = authorities::certificates(&store).await?;
        let tls_config = tls.files.load(&device_cas)?;
        let owners = Owners::open(&store, &vault).await?;
        let mut tx = store.begin().await?;
        sqlx::query("UPDATE instances SET configured = NULL").execute(&mut *tx).await?;
        for instance in &config.dps {
            sqlx::query(
                "INSERT INTO instances (name, id_scope, endpoint, configured) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO UPDATE SET id_scope = $2, endpoint = $3, configured = $4",
            )
            .bind(&instance.name)
            .bind(&instance.id_scope)
            .bind(&instance.global_device_endpoint)
            .bind(serde_json::to_string(&Configured::of(instance)).unwrap_or_default())
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;

        let listen = |source| StartError::Listen { address: config.listen, source };
        let listener = std::net::TcpListener::bind(config.listen).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let office = Office::over(store.clone());
        let public_url = public_url.unwrap_or_else(|| url(address));
        settings::put(&store, settings::PUBLIC_URL, &public_url).await?;
        let pace = Pace::new(limits.requests_per_minute);
        let strangers_pace = Pace::new(limits.strangers_per_minute);
        let (header_timeout, most_connections) = (limits.header_timeout, limits.connections);
        let app = Arc::new(App {
            store,
            vault,
            authorities,
            owners,
            instances,
            limits,
            pace,
            strangers_pace,
            issuers,
            public_url,
            outbox: Notify::new(),
            imports: Semaphore::new(IMPORTS),
        });
        let handle = Handle::new();
        let certificate = RustlsConfig::from_config(tls_config);
        let acceptor = Acceptor::new(
            RustlsAcceptor::new(certificate.clone()).handshake_timeout(header_timeout.min(HANDSHAKE)),
            tls.files.trust(),
            most_connections,
            header_timeout,
        );
        let mut server = axum_server::from_tcp(listener).map_err(listen)?.acceptor(acceptor);
        let fresh = tokio::spawn(tls.files.keep_fresh(certificate, device_cas, app.clone()));
        let http = server.http_builder();
        http.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
        // A client that has gone, or answers nothing, is noticed within two of these.
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(header_timeout)
            .keep_alive_timeout(header_timeout)
            .max_concurrent_streams(MAX_STREAMS);
        let outbox = tokio::spawn(outbox::work(app.clone()));
        let tending = tokio::spawn(tend(app.clone()));
        let running = app.clone();
        let service = api::router(app).into_make_service_with_connect_info::<SocketAddr>();
        let serving = server.handle(handle.clone()).serve(service);
        let task = tokio::spawn(serving);
        tracing::info!(%address, "listening");
        Ok(Running {
            url: url(address),
            ca_pem: tls.ca_pem,
            ca_file: tls.ca_file,
            app: running,
            office,
            handle,
            task,
            outbox,
            tending,
            fresh,
        })
    }
}

impl Running {
    /// Issues a bearer token, valid for 30 days; only its hash is stored.
    ///
    /// # Errors
    /// The database's.
    pub async fn issue_token(&self, role: Role, name: &str) -> Result<SecretString, OfficeError> {
        self.office.issue_token(role, name, 30).await.map(|(_, token)| token)
    }

    /// Puts a device into the inventory, or changes it there.
    ///
    /// # Errors
    /// The database's, or a registration ID that breaks the rules.
    pub async fn add_device(&self, registration_id: &str, device: DeviceRequest) -> Result<(), OfficeError> {
        self.office.add_device(registration_id, &device).await.map(drop)
    }

    /// The administration of this service's database.
    #[must_use]
    pub fn office(&self) -> &Office {
        &self.office
    }

    /// Takes no new requests, lets the open ones finish (at most 5 s), and ends.
    pub async fn stop(mut self) {
        self.handle.graceful_shutdown(Some(GRACE));
        if let Ok(Err(error)) = (&mut self.task).await {
            tracing::warn!(%error, "the server did not end well");
        }
        // What it leaves is done on the next start.
        self.outbox.abort();
        self.tending.abort();
        self.fresh.abort();
        self.office.close().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.task.abort();
        self.outbox.abort();
        self.tending.abort();
        self.fresh.abort();
    }
}

/// What comes up with time, without a request.
async fn tend(app: Arc<App>) {
    loop {
        if let Err(error) = authorities::tend(&app).await {
            tracing::warn!(?error, "the device CA could not be looked after");
        }
        tokio::time::sleep(authorities::TEND).await;
    }
}

/// The URL without a slash at its end, when it is a host and nothing more.
fn origin(url: &Url) -> Result<String, StartError> {
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if url.scheme() != "https" || url.host_str().is_none() || !bare || url.password().is_some() {
        return Err(StartError::PublicUrl);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn url(address: SocketAddr) -> String {
    // An unspecified address is nobody's name, and the certificate that is made here names localhost.
    if address.ip().is_unspecified() {
        return format!("https://localhost:{}", address.port());
    }
    format!("https://{address}")
}
