//! A whole simulated device in this process.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::faults::FaultPlan;

/// How an app reaches the device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimLink {
    /// protocomm over HTTP, as a SoftAP serves it. Port 0 lets the system choose.
    Http(SocketAddr),
    /// A serial port of this machine, at 115,200 baud.
    Serial(PathBuf),
    /// A new pseudo terminal; [`Running::address`] tells its path.
    Pty,
    /// A simulated radio over TCP. Port 0 lets the system choose.
    BleSim(SocketAddr),
}

/// protocomm's security, as the label and `proto-ver` announce it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// None at all.
    V0,
    /// X25519 and the PoP.
    V1,
    /// SRP-6a; `patch_ver` is `sec_patch_ver`, 0 or 1.
    V2 {
        /// 1: the nonce's counter advances; 0: it does not (ESP-IDF up to 5.4).
        patch_ver: u8,
    },
}

impl Security {
    /// As the label and `proto-ver` write it.
    pub fn number(self) -> u8 {
        match self {
            Security::V0 => 0,
            Security::V1 => 1,
            Security::V2 { .. } => 2,
        }
    }
}

/// How the device can prove itself to DPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attestation {
    /// A client certificate for the key that the device made.
    X509,
    /// A derived symmetric key.
    SymmetricKey,
}

/// The one Wi-Fi network that exists around the device.
#[derive(Debug, Clone)]
pub struct Wifi {
    /// At most 32 bytes.
    pub ssid: String,
    /// At most 63 bytes; empty for an open network.
    pub passphrase: SecretString,
}

/// What to simulate. [`SimConfig::new`] fills in sensible defaults.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// How an app reaches the device.
    pub link: SimLink,
    /// Stands for the flash. Made when it does not exist.
    pub state_dir: PathBuf,
    /// `None`: the one in the state folder, or a new one (`lt-` and 12 hex digits).
    pub registration_id: Option<String>,
    /// Security 2's user name.
    pub username: String,
    /// `None`: the one of the state folder where it can still be known, or a new random one.
    pub pop: Option<SecretString>,
    /// Which security `prov-session` speaks.
    pub security: Security,
    /// `None`: the device is connected already (a cable); else it needs the network step.
    pub wifi: Option<Wifi>,
    /// PEM of certificates to trust for DPS beside the system's roots and the hand-off's own.
    pub dps_ca_pem: Option<String>,
    /// What the device calls its model.
    pub model: String,
    /// The firmware's version.
    pub firmware: String,
    /// What it can do, best first.
    pub attestations: Vec<Attestation>,
    /// Where the label's JSON is written, as a printer would; read back on a later start.
    pub label_out: Option<PathBuf>,
    /// What goes wrong.
    pub faults: FaultPlan,
}

impl SimConfig {
    /// A device with Security 2 that is connected already and can do X.509 and symmetric keys.
    pub fn new(link: SimLink, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            link,
            state_dir: state_dir.into(),
            registration_id: None,
            username: "wifiprov".to_owned(),
            pop: None,
            security: Security::V2 { patch_ver: 1 },
            wifi: None,
            dps_ca_pem: None,
            model: "lowtouch-sim".to_owned(),
            firmware: env!("CARGO_PKG_VERSION").to_owned(),
            attestations: vec![Attestation::X509, Attestation::SymmetricKey],
            label_out: None,
            faults: FaultPlan::default(),
        }
    }
}

/// Why a simulated device cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The configuration contradicts itself or the state folder.
    #[error("{0}")]
    Config(String),
    /// The link cannot be opened.
    #[error("the link {link} cannot be opened")]
    Link {
        /// As [`Running::address`] would have it.
        link: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Starts simulated devices.
#[derive(Debug)]
pub struct Simulated;

impl Simulated {
    /// Boots a device; it answers on [`Running::address`] when this returns.
    pub async fn start(config: SimConfig) -> Result<Running, SimError> {
        let _ = config;
        Err(SimError::Config("not built yet".to_owned()))
    }
}

/// A simulated device. Dropping it takes its power away.
#[derive(Debug)]
pub struct Running {
    address: String,
    label: String,
    registration_id: String,
}

impl Running {
    /// `http://127.0.0.1:PORT`, `serial:///dev/pts/N` or `ble-sim://127.0.0.1:PORT`, for the app.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The JSON text in the label's QR code. It holds the PoP.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// As the device tells it.
    pub fn registration_id(&self) -> &str {
        &self.registration_id
    }

    /// Takes the power away at once, as the plug does; the device stays off until [`Running::power_on`].
    pub async fn kill(&self) {}

    /// Boots again from the state folder, on the same address. Nothing happens when the power is on.
    pub async fn power_on(&self) -> Result<(), SimError> {
        Ok(())
    }

    /// Returns when the power is off, by [`Running::kill`] or by the fault plan.
    pub async fn wait_off(&self) {}

    /// How often it has booted, the first time included.
    pub fn boots(&self) -> u32 {
        0
    }

    /// Ends the device and frees its address.
    pub async fn stop(self) {}
}
