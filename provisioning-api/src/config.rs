//! What the operator says: where to listen, where to keep things, and the DPS instances.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provisioning_api_contract::{InstanceState, Ring};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::issuers::IssuerConfig;
use crate::sign_in::sessions::Lifetimes;

/// Everything that [`crate::Server::start`] needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// `sqlite:FILE`, made when missing, or `postgres://USER@HOST/DATABASE` (docs/configuration.md). It may hold a password.
    pub database: SecretString,
    /// Port 0 takes a free port; [`crate::Running::url`] says which.
    pub listen: SocketAddr,
    /// Holds `ca.pem`, `server.pem` (chain) and `server.key`. When it holds no `server.pem`, a CA and a certificate for
    /// localhost, 127.0.0.1 and ::1 are made in it, with a warning: good for a demo, not for the field.
    pub tls_dir: PathBuf,
    /// The DPS instances; see [`read_instances`]. Names are unique.
    pub dps: Vec<InstanceConfig>,
    /// The key (32 bytes, base64) that group keys and the CA's key are encrypted under in the database. Made with mode
    /// 0600 when missing. Default: `at-rest.key` in `tls_dir`.
    pub key_file: Option<PathBuf>,
}

/// What [`crate::Server::start_with`] takes beside the configuration; the default is good.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The CA that signs devices' certificates. Absent: one is made on first start, with a warning, and kept in the
    /// database, its key encrypted.
    pub device_ca: Option<DeviceCa>,
    /// Where clients find this service, `https://HOST[:PORT]`; it is the embedded authorization server's name, too.
    /// Default: the address that it listens on.
    pub public_url: Option<Url>,
    /// Whose tokens are accepted beside our own; see [`crate::read_issuers`].
    pub issuers: Vec<IssuerConfig>,
    /// CAs (PEM files) of the certificates that devices prove themselves with for zero-touch; none: no device is asked for one.
    pub zero_touch_ca: Vec<PathBuf>,
    /// How long and how much.
    pub limits: Limits,
}

/// A CA for devices' certificates, from files.
#[derive(Debug, Clone)]
pub struct DeviceCa {
    /// PEM: the certificate that signs first, then those above it. A self-signed one is not sent to devices.
    pub certificates: PathBuf,
    /// PEM, PKCS#8: the first certificate's key.
    pub key: PathBuf,
}

/// How long and how much.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a pairing that does not go on keeps others from its device.
    pub handoff_hold: Duration,
    /// Requests a minute for each token; a tenth of it at once, and at least 200.
    pub requests_per_minute: u32,
    /// A request's longest time, its body's included.
    pub request_timeout: Duration,
    /// An import's longest time.
    pub import_timeout: Duration,
    /// The largest file of an import, in bytes.
    pub import_bytes: u64,
    /// How long an import waits for its client in all, beside a second for each [`Limits::import_bytes_per_second`].
    pub import_patience: Duration,
    /// A client that sends less is too slow.
    pub import_bytes_per_second: u64,
    /// One attempt at a DPS instance.
    pub dps_attempt: Duration,
    /// All attempts of one call to a DPS instance, and the waiting between them.
    pub dps_budget: Duration,
    /// How long the API trusts that an enrollment group which it saw in DPS is still there.
    pub group_trust: Duration,
    /// How long a device's certificate is valid.
    pub certificate_validity: Duration,
    /// How long an owner's signature is good. The device's clock, where it has one, is compared with ours.
    pub owner_signature_validity: Duration,
    /// Requests a minute for each address (IPv6: each /64) that come without a valid token; at most 200 at once.
    pub strangers_per_minute: u32,
    /// How many minutes an invite is good when nothing else is said.
    pub invite_minutes: u32,
    /// How long an access token of a sign-in is good.
    pub access_token: Duration,
    /// How long a sign-in lasts that nobody uses: the life of a refresh token.
    pub refresh_idle: Duration,
    /// How long an app that lost the answer may present the same refresh token again, unless somebody used that answer.
    pub refresh_retry: Duration,
    /// How long a client may take over the head of a request, and keep a connection open without one.
    pub header_timeout: Duration,
    /// How often the files of the TLS folder are looked at for a change, and the certificate for its end.
    pub tls_check: Duration,
    /// How many processes serve one database at most (PostgreSQL): each keeps to its part of what a DPS instance may be asked.
    pub replicas: NonZeroU32,
    /// Connections that are open at once; who comes then is turned away before the TLS handshake.
    pub connections: usize,
}

impl Limits {
    pub(crate) fn lifetimes(&self) -> Lifetimes {
        Lifetimes { access: self.access_token, idle: self.refresh_idle, retry: self.refresh_retry }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handoff_hold: Duration::from_secs(5 * 60),
            requests_per_minute: 6000,
            request_timeout: Duration::from_secs(30),
            import_timeout: Duration::from_secs(60 * 60),
            import_bytes: 1024 * 1024 * 1024,
            import_patience: Duration::from_secs(30),
            import_bytes_per_second: 10 * 1024,
            dps_attempt: Duration::from_secs(5),
            dps_budget: Duration::from_secs(12),
            group_trust: Duration::from_secs(10 * 60),
            certificate_validity: Duration::from_secs(365 * 24 * 60 * 60),
            owner_signature_validity: Duration::from_secs(10 * 60),
            strangers_per_minute: 300,
            invite_minutes: 15,
            access_token: Duration::from_secs(15 * 60),
            refresh_idle: Duration::from_secs(30 * 24 * 60 * 60),
            refresh_retry: Duration::from_secs(5 * 60),
            header_timeout: Duration::from_secs(20),
            tls_check: Duration::from_secs(30),
            replicas: NonZeroU32::MIN,
            connections: 4096,
        }
    }
}

impl Config {
    /// A free port of 127.0.0.1, no DPS instance yet, everything else as by default.
    #[must_use]
    pub fn new(database: impl Into<String>, tls_dir: impl Into<PathBuf>) -> Self {
        Self {
            database: SecretString::from(database.into()),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls_dir: tls_dir.into(),
            dps: Vec::new(),
            key_file: None,
        }
    }

    /// Where the key of [`Config::key_file`] is.
    pub fn key_file(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.tls_dir.join("at-rest.key"))
    }
}

/// One DPS instance.
#[derive(Debug, Clone)]
pub struct InstanceConfig {
    /// Its name here; 1 to 64 characters, unique.
    pub name: String,
    /// `0ne…`.
    pub id_scope: String,
    /// Of the service API: `https://NAME.azure-devices-provisioning.net`.
    pub service_endpoint: Url,
    /// Host or host:port that devices register with.
    pub global_device_endpoint: String,
    /// How this API shows DPS who it is.
    pub credential: DpsCredential,
    /// Where Azure Resource Manager knows the instance, with an application of Entra ID that may write its certificates: the
    /// possession of the device CA's key is then proven there without an operator.
    pub resource: Option<ResourceConfig>,
    /// How many operations of the service API a minute are ours (Azure's limit for one instance is 1,000, PROTOCOLS.md; replicas
    /// share it, so each of several is given its part).
    pub operations_per_minute: u32,
    /// Roots (PEM) for both endpoints beside the public ones; handed to devices as `endpointCa`.
    pub ca_pem: Option<String>,
    /// The devices' firmware trusts these roots already, so they are not handed over: a round trip less over BLE.
    pub ca_in_firmware: bool,
    /// Devices may have Ed25519 keys: false unless the instance is known to take them (TLS at Azure's public endpoint does not).
    pub ed25519: bool,
    /// The credential policy (of the Azure Device Registry namespace that the instance is linked to) by which DPS issues devices'
    /// certificates for their hubs. Absent: it issues none. Devices that cannot ask for one use at the hub what they show DPS.
    pub certificate_policy: Option<String>,
    /// How many devices may be allocated to it.
    pub capacity: u64,
    /// Whether it takes new devices.
    pub state: InstanceState,
    /// Which devices may go to it.
    pub placement: Placement,
}

/// What the allocation goes by, beside state and capacity (docs/allocation.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Where it keeps data: 1 to 64 of `a-z 0-9 -`. Absent: it takes no device whose data must stay somewhere.
    pub region: Option<String>,
    /// The only tenant whose devices it takes; absent: it is shared.
    pub tenant: Option<String>,
    /// Devices of the same ring only.
    pub ring: Ring,
    /// How many scheduled registrations it gets in a minute; at least 1.
    pub registrations_per_minute: u32,
    /// The hubs that it assigns; for people.
    pub linked_hubs: Vec<String>,
    /// The scale unit that it belongs to; for people.
    pub stamp: Option<String>,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            region: None,
            tenant: None,
            ring: Ring::Production,
            // Azure's limit for one instance (PROTOCOLS.md, limits).
            registrations_per_minute: 1000,
            linked_hubs: Vec::new(),
            stamp: None,
        }
    }
}

/// A region as it is compared: in lower case. `None` when it is none.
pub(crate) fn region(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let good = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    good.then_some(text)
}

/// Azure Device Registry's names of policies have 3 to 50 characters; a longer one that it may take some day is no harm.
pub(crate) fn is_policy_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= 128
}

/// How the API shows a DPS instance's service API who it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DpsCredential {
    /// A shared access policy and its key: every request carries a SAS token.
    SharedAccess {
        /// The policy's name.
        policy: String,
        /// Its key.
        key: ServiceKey,
    },
    /// An application in Microsoft Entra ID that has a role at the instance: every request carries its access token.
    Entra(EntraApp),
}

/// An application that Entra ID knows, by the client credentials grant (RFC 6749, 4.4).
#[derive(Debug, Clone)]
pub struct EntraApp {
    /// Of the directory: `https://login.microsoftonline.com` but in national clouds.
    pub authority: Url,
    /// The directory's ID.
    pub tenant: String,
    /// The application's ID.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: SecretString,
}

/// A DPS instance as Azure Resource Manager names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceConfig {
    /// `https://management.azure.com` but in national clouds.
    #[serde(default = "public_resource_manager")]
    pub endpoint: Url,
    /// The subscription's ID.
    pub subscription: String,
    /// The resource group's name.
    pub resource_group: String,
    /// The instance's name.
    pub name: String,
}

/// The key of a DPS shared access policy, base64 as Azure shows it.
#[derive(Clone)]
pub struct ServiceKey(SecretString);

impl ServiceKey {
    /// Takes the base64 text; white space around it is dropped.
    pub fn new(base64: &str) -> Self {
        Self(base64.trim().to_owned().into())
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceKey([hidden])")
    }
}

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An issuer cannot be right.
    #[error("the issuer {name} cannot be used: {reason}")]
    Issuer {
        /// The issuer.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A named file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML of the form that [`read_instances`] describes.
    #[error("{path} is no list of DPS instances")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// An instance that says something impossible.
    #[error("DPS instance {name}: {reason}")]
    Instance {
        /// The instance.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    instance: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    id_scope: String,
    service_endpoint: Url,
    #[serde(default = "public_endpoint")]
    global_device_endpoint: String,
    #[serde(default = "default_policy")]
    policy: String,
    key_file: Option<PathBuf>,
    key_env: Option<String>,
    entra: Option<EntraEntry>,
    resource: Option<ResourceConfig>,
    #[serde(default = "default_operations")]
    operations_per_minute: u32,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    ca_in_firmware: bool,
    #[serde(default)]
    ed25519: bool,
    certificate_policy: Option<String>,
    #[serde(default = "default_capacity")]
    capacity: u64,
    #[serde(default = "active")]
    state: InstanceState,
    region: Option<String>,
    tenant: Option<String>,
    #[serde(default)]
    ring: Ring,
    #[serde(default = "default_registrations")]
    registrations_per_minute: u32,
    #[serde(default)]
    linked_hubs: Vec<String>,
    stamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntraEntry {
    #[serde(default = "public_authority")]
    authority: Url,
    tenant: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    client_secret_env: Option<String>,
}

#[allow(clippy::unwrap_used, reason = "a constant that a test reads")]
fn public_authority() -> Url {
    Url::parse("https://login.microsoftonline.com").unwrap()
}

#[allow(clippy::unwrap_used, reason = "a constant that a test reads")]
fn public_resource_manager() -> Url {
    Url::parse("https://management.azure.com").unwrap()
}

/// Azure's limit for one instance (PROTOCOLS.md, limits).
fn default_operations() -> u32 {
    1000
}

fn public_endpoint() -> String {
    "global.azure-devices-provisioning.net".into()
}

fn default_policy() -> String {
    "provisioningserviceowner".into()
}

/// Azure's documented maximum of registrations an instance (PROTOCOLS.md, limits).
fn default_capacity() -> u64 {
    1_000_000
}

/// As [`Placement::default`].
fn default_registrations() -> u32 {
    Placement::default().registrations_per_minute
}

fn active() -> InstanceState {
    InstanceState::Active
}

/// Reads DPS instances from TOML, one `[[instance]]` each: `name`, `id_scope`, `service_endpoint`, and `key_file` or
/// `key_env` (or a table `entra` with `tenant`, `client_id` and `client_secret_file` or `client_secret_env`) are required; `global_device_endpoint`, `policy`, `ca_file`, `ca_in_firmware`, `ed25519`, `certificate_policy`, `capacity`, `state` (`active`, `draining`,
/// `down`), `region`, `tenant`, `ring` (`production`, `test`), `registrations_per_minute`, `linked_hubs` and `stamp` have defaults. Paths are relative to the TOML file.
///
/// # Errors
/// [`ConfigError`]: a file that cannot be read, is malformed, or names an impossible instance.
pub fn read_instances(path: &Path) -> Result<Vec<InstanceConfig>, ConfigError> {
    let text = read(path)?;
    let file: File = toml::from_str(&text)
        .map_err(|source| ConfigError::Malformed { path: path.into(), source: Box::new(source) })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    file.instance.into_iter().map(|entry| resolve(entry, folder)).collect()
}

const REGION: &str = "its region must be 1 to 64 of a-z 0-9 -";

fn resolve(entry: Entry, folder: &Path) -> Result<InstanceConfig, ConfigError> {
    let wrong = |reason| ConfigError::Instance { name: entry.name.clone(), reason };
    let secret = |file: &Option<PathBuf>, variable: &Option<String>, neither: &'static str| match (file, variable) {
        (Some(file), None) => read(&folder.join(file)),
        (None, Some(name)) => std::env::var(name).map_err(|_| wrong("the variable that holds its secret is not set")),
        _ => Err(wrong(neither)),
    };
    let credential = match &entry.entra {
        None => DpsCredential::SharedAccess {
            policy: entry.policy.clone(),
            key: ServiceKey::new(&secret(
                &entry.key_file,
                &entry.key_env,
                "give either key_file or key_env, or entra",
            )?),
        },
        Some(_) if entry.key_file.is_some() || entry.key_env.is_some() => {
            return Err(wrong("give either a key or entra, not both"));
        }
        Some(entra) => DpsCredential::Entra(EntraApp {
            authority: entra.authority.clone(),
            tenant: entra.tenant.clone(),
            client_id: entra.client_id.clone(),
            client_secret: secret(
                &entra.client_secret_file,
                &entra.client_secret_env,
                "give either client_secret_file or client_secret_env",
            )?
            .trim()
            .into(),
        }),
    };
    let region = entry.region.as_deref().map(|text| region(text).ok_or_else(|| wrong(REGION))).transpose()?;
    let instance = InstanceConfig {
        ca_pem: entry.ca_file.as_ref().map(|file| read(&folder.join(file))).transpose()?,
        ca_in_firmware: entry.ca_in_firmware,
        ed25519: entry.ed25519,
        certificate_policy: entry.certificate_policy,
        credential,
        resource: entry.resource,
        operations_per_minute: entry.operations_per_minute,
        name: entry.name,
        id_scope: entry.id_scope,
        service_endpoint: entry.service_endpoint,
        global_device_endpoint: entry.global_device_endpoint,
        capacity: entry.capacity,
        state: entry.state,
        placement: Placement {
            region,
            tenant: entry.tenant.clone(),
            ring: entry.ring,
            registrations_per_minute: entry.registrations_per_minute,
            linked_hubs: entry.linked_hubs.clone(),
            stamp: entry.stamp.clone(),
        },
    };
    instance.check()?;
    Ok(instance)
}

impl InstanceConfig {
    /// Whether it can work at all.
    ///
    /// # Errors
    /// [`ConfigError::Instance`].
    pub fn check(&self) -> Result<(), ConfigError> {
        use base64::Engine as _;
        let wrong = |reason| Err(ConfigError::Instance { name: self.name.clone(), reason });
        if self.name.is_empty() || self.name.len() > 64 {
            return wrong("its name must have 1 to 64 characters");
        }
        if self.service_endpoint.scheme() != "https" || self.service_endpoint.host_str().is_none() {
            return wrong("service_endpoint must be an https URL");
        }
        if self.id_scope.is_empty() || self.global_device_endpoint.is_empty() {
            return wrong("id_scope and global_device_endpoint must not be empty");
        }
        match &self.credential {
            DpsCredential::SharedAccess { key, .. } => {
                if base64::engine::general_purpose::STANDARD.decode(key.expose()).is_err() {
                    return wrong("its key is not base64");
                }
            }
            DpsCredential::Entra(app) => {
                if app.authority.scheme() != "https" || app.authority.host_str().is_none() {
                    return wrong("the authority of entra must be an https URL");
                }
                if app.tenant.is_empty() || app.client_id.is_empty() {
                    return wrong("entra needs tenant and client_id");
                }
            }
        }
        if let Some(resource) = &self.resource {
            if !matches!(self.credential, DpsCredential::Entra(_)) {
                return wrong("resource needs entra: Azure Resource Manager takes no shared access policies");
            }
            if resource.endpoint.scheme() != "https" || resource.endpoint.host_str().is_none() {
                return wrong("the endpoint of resource must be an https URL");
            }
        }
        if self.certificate_policy.as_ref().is_some_and(|name| !is_policy_name(name)) {
            return wrong("certificate_policy must have 1 to 128 characters");
        }
        if self.operations_per_minute < 10 {
            return wrong("operations_per_minute must be at least 10");
        }
        if self.placement.registrations_per_minute == 0 {
            return wrong("registrations_per_minute must be above zero");
        }
        if self.placement.region.as_ref().is_some_and(|text| region(text).as_ref() != Some(text)) {
            return wrong(REGION);
        }
        if self.capacity > i64::MAX as u64 {
            return wrong("its capacity is too large");
        }
        Ok(())
    }

    /// Whether there is enough of it for so many processes.
    pub(crate) fn check_for(&self, replicas: NonZeroU32) -> Result<(), ConfigError> {
        if self.operations_per_minute / replicas < 10 {
            let reason = "operations_per_minute must be at least 10 for each of the replicas";
            return Err(ConfigError::Instance { name: self.name.clone(), reason });
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.into(), source })
}
