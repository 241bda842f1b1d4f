//! A whole simulated device in this process.

mod supervisor;

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lowtouch_handoff::device::GuessPolicy;
use lowtouch_handoff::dps_config::StatusResponse;
use lowtouch_handoff::dps_config::device::StateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::faults::FaultPlan;
use crate::hardware::Hardware;
use crate::hub::HubIdentity;
use crate::identity::Identity;
use crate::keys::KeyError;
use crate::label;
use crate::power::Power;
use crate::responder::Responder;
use crate::retry::RetryPolicy;
use crate::storage::{Flash, StorageError};
use crate::tpm::{TpmAddress, TpmError};
use supervisor::{Command, Machine};

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
    /// A Bluetooth adapter of this machine, through BlueZ.
    Ble {
        /// `hci1`; `None`: the first.
        adapter: Option<String>,
        /// How often to begin to advertise anew while nobody is connected. BlueZ's virtual radio (btvirt) shows an
        /// advertiser to a scanner only once per beginning; a real radio needs none of it.
        readvertise: Option<Duration>,
    },
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
    /// A TPM 2.0; needs [`SimConfig::tpm`].
    Tpm,
}

pub use crate::provisioning_api::ApiAddress;
pub use crate::wifi::{AccessPoint, read_around};

/// The Wi-Fi network that the device is meant for.
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
    /// With neither this nor [`SimConfig::around`], the device is connected already (a cable); else it needs the network
    /// step.
    pub wifi: Option<Wifi>,
    /// What else is in the air. `None`: one network of each kind (WPA2, enterprise, open, hidden).
    pub around: Option<Vec<AccessPoint>>,
    /// Whether the firmware has `prov-ctrl`, through which it is told to forget a failed Wi-Fi attempt.
    pub prov_ctrl: bool,
    /// PEM of certificates to trust for DPS beside the system's roots and the hand-off's own.
    pub dps_ca_pem: Option<String>,
    /// What the device calls its model.
    pub model: String,
    /// The firmware's version.
    pub firmware: String,
    /// What it can do, best first.
    pub attestations: Vec<Attestation>,
    /// Its TPM 2.0.
    pub tpm: Option<TpmAddress>,
    /// Where the label's JSON is written, as a printer would; read back on a later start.
    pub label_out: Option<PathBuf>,
    /// The reset button is held at power-on: configuration, credential and owner are gone, even when their record is
    /// damaged.
    pub factory_reset: bool,
    /// How patiently it registers with DPS.
    pub retry: RetryPolicy,
    /// Whether an owned device takes a hand-off or a reset over the air only with its owner's signature. False plays
    /// firmware that keeps the owner's key and does not check.
    pub checks_owner: bool,
    /// Whether it asks DPS for a certificate where a hand-off says so. False plays firmware from before that.
    pub certificate_from_dps: bool,
    /// Where it renews the certificate of the company's CA. `None` plays firmware that does not: such a device is paired again
    /// before its certificate ends.
    pub renewal_api: Option<ApiAddress>,
    /// What wrong proofs of possession lead to. A power cycle forgets their count.
    pub guesses: GuessPolicy,
    /// What goes wrong.
    pub faults: FaultPlan,
}

impl SimConfig {
    /// A device with Security 2 that is connected already, can do X.509 and symmetric keys, and checks its owner.
    pub fn new(link: SimLink, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            link,
            state_dir: state_dir.into(),
            registration_id: None,
            username: "wifiprov".to_owned(),
            pop: None,
            security: Security::V2 { patch_ver: 1 },
            wifi: None,
            around: None,
            prov_ctrl: true,
            dps_ca_pem: None,
            model: "lowtouch-sim".to_owned(),
            firmware: env!("CARGO_PKG_VERSION").to_owned(),
            attestations: vec![Attestation::X509, Attestation::SymmetricKey],
            tpm: None,
            label_out: None,
            factory_reset: false,
            retry: RetryPolicy::default(),
            checks_owner: true,
            certificate_from_dps: true,
            renewal_api: None,
            guesses: GuessPolicy::default(),
            faults: FaultPlan::default(),
        }
    }
}

impl SimConfig {
    /// It takes Wi-Fi credentials.
    pub(crate) fn has_wifi(&self) -> bool {
        self.wifi.is_some() || self.around.is_some()
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
    /// The state folder cannot be used. The device does not start as if it were new: it would forget its
    /// owner. [`SimConfig::factory_reset`] makes it new.
    #[error("the state folder cannot be used")]
    Storage(#[from] StorageError),
    /// The record of the hand-off is whole and makes no sense.
    #[error("the state folder cannot be used")]
    State(#[source] StateError),
    /// The device has no key.
    #[error("the device has no key")]
    Key(#[source] KeyError),
    /// It has a TPM, and that does not work.
    #[error("the device's TPM cannot be used")]
    Tpm(#[source] TpmError),
    /// The power went off during the boot, as the fault plan says.
    #[error(transparent)]
    PowerLost(#[from] crate::power::PowerLost),
    /// The device has been stopped.
    #[error("the simulated device has ended")]
    Ended,
}

impl From<KeyError> for SimError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Storage(error) => Self::Storage(error),
            error => Self::Key(error),
        }
    }
}

/// Starts simulated devices.
#[derive(Debug)]
pub struct Simulated;

impl Simulated {
    /// Boots a device; it answers on [`Running::address`] when this returns. Needs a tokio runtime.
    pub async fn start(config: SimConfig) -> Result<Running, SimError> {
        if config.tpm.is_none() && config.attestations.contains(&Attestation::Tpm) {
            return Err(SimError::Config("attestation with a TPM needs a TPM".to_owned()));
        }
        let endpoint_ca = match &config.dps_ca_pem {
            Some(pem) => certificates(pem)?,
            None => Vec::new(),
        };
        if config.attestations.is_empty() {
            return Err(SimError::Config("a device needs at least one attestation".to_owned()));
        }
        let power = Power::new(config.faults.clone());
        let boot = power.boot();
        let flash = Flash::open(&config.state_dir, boot.clone())?;
        let identity = Identity::load_or_make(&flash, &config)?;
        if config.factory_reset {
            Responder::forget(&flash)?;
        }
        if let Some(path) = config.label_out.as_deref().filter(|_| identity.knows_pop) {
            print_label(path, &identity.label).map_err(|error| {
                SimError::Config(format!("the label cannot be written to {}: {error}", path.display()))
            })?;
        }
        let (hardware, address) = Hardware::open(&config.link, &label::device_name(&identity.registration_id)).await?;
        let (label, registration_id) = (identity.label.clone(), identity.registration_id.clone());
        let knows_pop = identity.knows_pop;
        let (commands, received) = mpsc::channel(4);
        let present = Arc::new(watch::Sender::new(None));
        let broken = Arc::new(watch::Sender::new(false));
        let machine = Machine {
            config: Arc::new(config),
            identity,
            endpoint_ca: Arc::new(endpoint_ca),
            power: power.clone(),
            hardware,
            present: Arc::clone(&present),
            broken: Arc::clone(&broken),
        };
        let booted = machine.boot(boot, flash).await?;
        let task = AbortOnDropHandle::new(tokio::spawn(machine.run(booted, received)));
        Ok(Running { address, label, knows_pop, registration_id, power, present, broken, commands, task })
    }
}

/// A simulated device. Dropping it takes its power away.
pub struct Running {
    address: String,
    label: String,
    knows_pop: bool,
    registration_id: String,
    power: Power,
    /// The booted device; `None` while it is off.
    present: Arc<watch::Sender<Option<Responder>>>,
    broken: Arc<watch::Sender<bool>>,
    commands: mpsc::Sender<Command>,
    task: AbortOnDropHandle<()>,
}

impl Running {
    /// `http://127.0.0.1:PORT`, `serial:///dev/pts/N`, `ble-sim://127.0.0.1:PORT` or `ble://PROV_1A2B3C`, for the app.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The JSON text in the label's QR code. It holds the PoP, unless [`Running::knows_pop`] says otherwise.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// False for a device of Security 2 that was made earlier: the flash has the verifier only, the PoP is on the label.
    pub fn knows_pop(&self) -> bool {
        self.knows_pop
    }

    /// As the device tells it.
    pub fn registration_id(&self) -> &str {
        &self.registration_id
    }

    /// Takes the power away at once, as the plug does; the device stays off until [`Running::power_on`].
    pub async fn kill(&self) {
        self.power.cut();
        self.wait_off().await;
    }

    /// Boots again from the state folder, on the same address. Nothing happens when the power is on.
    pub async fn power_on(&self) -> Result<(), SimError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(Command::PowerOn(answer)).await.map_err(|_| SimError::Ended)?;
        answered.await.map_err(|_| SimError::Ended)?
    }

    /// Returns when the power is off, by [`Running::kill`] or by the fault plan, and nothing of the device runs any more.
    pub async fn wait_off(&self) {
        let mut present = self.present.subscribe();
        // The sender lives as long as this device.
        let _ = present.wait_for(Option::is_none).await;
    }

    /// Returns when the link itself is gone for good: the port was pulled out, the socket closed.
    pub async fn wait_broken(&self) {
        let mut broken = self.broken.subscribe();
        let _ = broken.wait_for(|broken| *broken).await;
    }

    /// How often it has booted, the first time included.
    pub fn boots(&self) -> u32 {
        self.power.boots()
    }

    /// What the device would say to a status request; `None` while it is off.
    pub async fn status(&self) -> Option<StatusResponse> {
        let responder = self.present.borrow().clone()?;
        let mut present = self.present.subscribe();
        tokio::select! {
            status = responder.status() => Some(status),
            _ = present.wait_for(Option::is_none) => None,
        }
    }

    /// The hub that the device works with, and what it shows it; `None` while it has none, or is off.
    pub async fn hub(&self) -> Option<HubIdentity> {
        let responder = self.present.borrow().clone()?;
        let mut present = self.present.subscribe();
        tokio::select! {
            hub = responder.hub() => hub,
            _ = present.wait_for(Option::is_none) => None,
        }
    }

    /// The button on the device: configuration, credential and owner are gone, whoever the owner is. Nothing happens
    /// while it is off.
    pub async fn press_reset_button(&self) {
        let responder = self.present.borrow().clone();
        if let Some(responder) = responder {
            // Power lost in the middle: the device shows what became of it when it boots.
            let _ = responder.press_reset_button().await;
        }
    }

    /// Ends the device and frees its address.
    pub async fn stop(self) {
        self.power.cut();
        // A machine that has ended already needs no command.
        let _ = self.commands.send(Command::Stop).await;
        let _ = self.task.await;
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("address", &self.address)
            .field("registration_id", &self.registration_id)
            .finish_non_exhaustive()
    }
}

pub(crate) fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, SimError> {
    let wrong = |_| SimError::Config("the CA file for DPS is no PEM certificate".to_owned());
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    if certificates.is_empty() {
        return Err(SimError::Config("the CA file for DPS holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// The label holds the PoP: for its owner only.
fn print_label(path: &Path, label: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{label}")
}
