//! What an emulated DPS instance is started with.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

/// What an emulated DPS instance is started with; [`Config::new`] gives values that suit a test.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the CA (`ca.pem`, `ca.key`) and the server certificate (`server.pem`, `server.key`) are kept: made when they are
    /// missing, used again when they are there.
    pub tls_dir: PathBuf,
    /// `0ne` and eight hexadecimal digits in Azure.
    pub id_scope: String,
    /// The key of the shared access policy [`Config::POLICY`], in base64.
    pub service_key: String,
    /// The linked IoT hubs; at least one, else every registration fails as it does in Azure.
    pub hubs: Vec<Hub>,
    /// How many registrations a minute before 429 is answered; `None` for no limit.
    pub throttle_per_min: Option<u32>,
    /// How often the operation status answers 202 `assigning` before it answers 200.
    pub assigning_polls: u32,
    /// What 202 answers carry as `Retry-After`, in whole seconds (Azure usually says 3).
    pub retry_after: Duration,
    /// How many operation status polls one device may make in 10 s before 429 (Azure: 5); `None` for no limit.
    pub polls_per_10_s: Option<u32>,
    /// An application that may use the service API with an access token of Entra ID, whose token endpoint is played as well:
    /// `POST /{tenant}/oauth2/v2.0/token`.
    pub entra: Option<EntraApp>,
    /// The credential policies of Azure Device Registry that enrollments may name, so that DPS issues their devices'
    /// certificates.
    pub certificate_policies: Vec<CertificatePolicy>,
    /// What time it is, for the expiry of tokens and certificates and for the times in answers.
    pub clock: Clock,
}

impl Config {
    /// The one shared access policy; it is the policy that Azure makes for a new DPS instance.
    pub const POLICY: &'static str = "provisioningserviceowner";

    /// A free port of 127.0.0.1, a random ID scope and service key, two hubs, no throttling.
    #[must_use]
    pub fn new(tls_dir: impl Into<PathBuf>) -> Self {
        let scope: u32 = rand::random();
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls_dir: tls_dir.into(),
            id_scope: format!("0ne{scope:08X}"),
            service_key: STANDARD.encode(rand::random::<[u8; 32]>()),
            hubs: vec![Hub::new("hub-1"), Hub::new("hub-2")],
            throttle_per_min: None,
            assigning_polls: 1,
            retry_after: Duration::from_secs(1),
            polls_per_10_s: Some(5),
            entra: None,
            certificate_policies: Vec::new(),
            clock: Clock::system(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("tls_dir", &self.tls_dir)
            .field("id_scope", &self.id_scope)
            .field("hubs", &self.hubs)
            .field("throttle_per_min", &self.throttle_per_min)
            .finish_non_exhaustive()
    }
}

/// An application in Entra ID that has a role at the instance.
#[derive(Clone)]
pub struct EntraApp {
    /// The directory's ID.
    pub tenant: String,
    /// The application's ID.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// How long its access tokens are good (Entra ID: 60 to 90 minutes).
    pub token_lifetime: Duration,
}

/// A credential policy: what DPS issues certificates by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePolicy {
    /// What an enrollment calls it (`credentialPolicyName`).
    pub name: String,
    /// How long its certificates are valid (Azure: 7 to 90 days), in whole seconds.
    pub valid: Duration,
}

/// A linked IoT hub.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hub {
    /// Its host name, `NAME.azure-devices.net`.
    pub host_name: String,
    /// How far it is from every device, for the allocation policy `geoLatency`. `None`: 10 ms times its place in the list of hubs.
    pub latency: Option<Duration>,
    /// Its share under the allocation policy `hashed`; 1 is Azure's default.
    pub allocation_weight: u32,
}

impl Hub {
    /// A hub of weight 1. A name without a dot gets Azure's `.azure-devices.net`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let host_name = if name.contains('.') { name.to_owned() } else { format!("{name}.azure-devices.net") };
        Self { host_name, latency: None, allocation_weight: 1 }
    }

    /// The same hub at another distance.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }

    /// The same hub with another share.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.allocation_weight = weight;
        self
    }
}

/// What time it is; tests put their own in.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// Whatever the function says.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}
