//! Looks at everything that a pairing stands on and says what is well, what is not, and the mend. All faces show the same
//! [`Report`]. docs/doctor.md explains each check for people.
//!
//! The checks run side by side, each with a deadline; the whole is over in less than five seconds, also where there is no
//! network. It changes nothing, but that a sign-in which is about to end may be renewed. Nothing secret is in a report.

mod account;
mod certificate;
mod cloud;
mod finding;
mod machine;
mod probe;
mod seen;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::net::NetSettings;
use crate::retry::{CircuitReport, Connectivity, Routes};
use crate::secrets::SecretStore;
use crate::settings::{Key, SettingsError};
use crate::sign_in::SignIn;

pub use self::finding::Finding;
use self::finding::Found;
pub use self::seen::{PortState, Seen};

/// The endpoint of the public cloud that every DPS instance answers at.
pub const GLOBAL_DEVICE_ENDPOINT: &str = "global.azure-devices-provisioning.net";

/// For one check, so that all of them, side by side, end within five seconds.
const DEADLINE: Duration = Duration::from_secs(4);

/// What a check is about. The texts are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Topic {
    /// The settings file and the environment.
    Settings,
    /// This machine's way to the provisioning API: route, name, proxy, captive portal.
    Network,
    /// This machine's clock.
    Time,
    /// The provisioning API's certificate.
    Tls,
    /// The provisioning API itself.
    Api,
    /// Who is signed in.
    SignIn,
    /// The global device endpoint.
    Dps,
    /// Where secrets are kept.
    Keyring,
    /// Bluetooth.
    Adapter,
    /// Serial ports.
    Ports,
    /// The journal, and room on its disk.
    Journal,
}

impl Topic {
    /// All of them, in the order of a report.
    pub const ALL: [Topic; 11] = [
        Topic::Settings,
        Topic::Network,
        Topic::Time,
        Topic::Tls,
        Topic::Api,
        Topic::SignIn,
        Topic::Dps,
        Topic::Keyring,
        Topic::Adapter,
        Topic::Ports,
        Topic::Journal,
    ];

    /// As it is in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Topic::Settings => "settings",
            Topic::Network => "network",
            Topic::Time => "time",
            Topic::Tls => "tls",
            Topic::Api => "api",
            Topic::SignIn => "sign-in",
            Topic::Dps => "dps",
            Topic::Keyring => "keyring",
            Topic::Adapter => "adapter",
            Topic::Ports => "ports",
            Topic::Journal => "journal",
        }
    }
}

/// How a check ended; the later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// All is well.
    Ok,
    /// Not looked at, for the reason given: nothing to look at, or another check has failed that this one needs.
    Skipped,
    /// Pairing may work; something should be looked after.
    Warning,
    /// Pairing will not work before this is mended.
    Failed,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Check {
    /// What it is about.
    pub topic: Topic,
    /// How it ended.
    pub status: Status,
    /// The stable code: of [`Finding`], or of [`ErrorCode`](crate::ErrorCode) where a call of the same kind would fail with
    /// that.
    pub code: String,
    /// What that means, for a person.
    pub text: String,
    /// What exactly was seen, in plain English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// The same, for a page that has words of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Seen>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// When, by this machine's clock.
    pub at: Timestamp,
    /// Of this program.
    pub version: String,
    /// The worst status of all checks; `skipped` is no worse than `ok`.
    pub worst: Status,
    /// How long it took.
    pub seconds: f64,
    /// All checks, in the order of [`Topic::ALL`].
    pub checks: Vec<Check>,
    /// The circuit breakers of this program: which endpoints are left alone at the moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circuits: Vec<CircuitReport>,
}

/// As whom the provisioning API would be called.
#[derive(Clone, Default)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "there is one of them")]
pub enum Identity {
    /// Nobody is known.
    #[default]
    Nobody,
    /// A token from a file or the environment.
    Token(SecretString),
    /// An account that has signed in: the named one, or the current one.
    Account(SignIn, Option<String>),
}

/// What the settings are.
#[derive(Debug, Clone, Default)]
pub struct SettingsSeen {
    /// The file; whether or not it is there.
    pub file: PathBuf,
    /// What is wrong with them.
    pub problems: Vec<SettingsError>,
    /// What is valid and deserves a second look: [`Settings::warnings`](crate::settings::Settings::warnings).
    pub warnings: Vec<(Key, &'static str)>,
}

/// What is looked at.
#[derive(Clone)]
pub struct Examination {
    /// Folder of the journal.
    pub data_dir: PathBuf,
    /// The provisioning API's address, if one is set.
    pub api: Option<String>,
    /// Added certificates and proxy. Its deadlines are not used.
    pub net: NetSettings,
    /// As whom.
    pub identity: Identity,
    /// Where secrets are kept.
    pub secrets: Option<Arc<dyn SecretStore>>,
    /// The settings that were read.
    pub settings: Option<SettingsSeen>,
    /// Host or host:port; [`GLOBAL_DEVICE_ENDPOINT`] where nothing else is set.
    pub device_endpoint: String,
    /// The circuit breakers of this program ([`Installer::circuits`](crate::Installer::circuits)).
    pub circuits: Vec<CircuitReport>,
    /// Who knows whether this machine has a network.
    pub connectivity: Arc<dyn Connectivity>,
    /// Where a captive portal is looked for: plain HTTP at the API's host.
    #[doc(hidden)]
    pub plain_port: u16,
}

impl Examination {
    /// Of a machine of which nothing is set.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Examination {
            data_dir: data_dir.into(),
            api: None,
            net: NetSettings::default(),
            identity: Identity::Nobody,
            secrets: None,
            settings: None,
            device_endpoint: GLOBAL_DEVICE_ENDPOINT.into(),
            circuits: Vec::new(),
            connectivity: Arc::new(Routes),
            plain_port: 80,
        }
    }

    /// Looks at everything. Never fails: what cannot be looked at is a finding.
    pub async fn run(self) -> Report {
        let started = Instant::now();
        let net =
            NetSettings { connect_timeout: Duration::from_millis(2500), call_timeout: DEADLINE, ..self.net.clone() };
        let api = timed(cloud::api(&self, &net));
        let sign_in = timed(in_time(Topic::SignIn, account::sign_in(&self, &net)));
        let dps = timed(cloud::dps(&self, &net));
        let keyring = timed(in_time(Topic::Keyring, machine::keyring(&self)));
        let adapter = timed(in_time(Topic::Adapter, machine::adapter()));
        let ports = timed(in_time(Topic::Ports, machine::ports()));
        let journal = timed(in_time(Topic::Journal, machine::journal(&self)));
        let (api, sign_in, dps, keyring, adapter, ports, journal) =
            tokio::join!(api, sign_in, dps, keyring, adapter, ports, journal);

        let ((api, api_s), (dps, dps_s)) = (api, dps);
        let time = cloud::time(api.clock.or(dps.clock));
        let checks = vec![
            (machine::settings(&self), 0.0).check(),
            (api.network, api_s).check(),
            (time, 0.0).check(),
            (api.tls, api_s).check(),
            (api.api, api_s).check(),
            sign_in.check(),
            (dps.dps, dps_s).check(),
            keyring.check(),
            adapter.check(),
            ports.check(),
            journal.check(),
        ];
        let worst = checks.iter().map(|check| check.status).filter(|status| *status != Status::Skipped).max();
        Report {
            at: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION").into(),
            worst: worst.unwrap_or(Status::Ok),
            seconds: started.elapsed().as_secs_f64(),
            checks,
            circuits: self.circuits,
        }
    }
}

impl Report {
    /// The check of a topic.
    pub fn of(&self, topic: Topic) -> Option<&Check> {
        self.checks.iter().find(|check| check.topic == topic)
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, f64) {
    let started = Instant::now();
    let done = work.await;
    (done, started.elapsed().as_secs_f64())
}

async fn in_time(topic: Topic, work: impl Future<Output = Found>) -> Found {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(found) => found,
        Err(_) => Found::late(topic, DEADLINE),
    }
}

trait ToCheck {
    fn check(self) -> Check;
}

impl ToCheck for (Found, f64) {
    fn check(self) -> Check {
        let (found, seconds) = self;
        found.check(seconds)
    }
}
