//! The whole job for one device: discover → connect → secure → identify → allocate → (network) → hand off → confirm →
//! record.

mod context;
mod hand_off;
mod info;
mod network;
mod owner;
mod radio;
mod refusal;
mod reset;
mod run;
mod scan;
mod slot;
mod talk;
mod wifi;

use std::sync::Arc;
use std::time::Duration;

use lowtouch_links::ble::Target;
use lowtouch_links::foreign::Central;
use lowtouch_links::{Link, LinkAddress};
use provisioning_api_contract::Attestation;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use self::context::Context;
pub use self::reset::DeviceReset;
pub use self::wifi::{NotJoinable, Ssid, WifiAuth, WifiCredentials, WifiNetwork};
use crate::error::{ErrorCode, PairingError};
use crate::events::{DevicePhase, EventLog, Events, PairingEvent};
use crate::fault::Faults;
use crate::installer::Installer;
use crate::label::Label;

/// How long each step may take, from its start to its end, retries included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// One exchange over the link.
    pub exchange: Duration,
    /// Finding the device's entry in the journal.
    pub discover: Duration,
    /// Opening the link and `proto-ver`.
    pub connect: Duration,
    /// The session handshake; a slow chip needs seconds for the big numbers, a bad radio several connections.
    pub secure: Duration,
    /// Identify, a fresh key pair included.
    pub identify: Duration,
    /// The API's part, with its retries.
    pub allocate: Duration,
    /// From Wi-Fi credentials to a connection.
    pub network: Duration,
    /// Stage and commit.
    pub hand_off: Duration,
    /// From commit to the device's final word; DPS may throttle meanwhile.
    pub confirm: Duration,
    /// Telling API and journal.
    pub record: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let s = Duration::from_secs;
        Deadlines {
            exchange: s(15),
            discover: s(10),
            connect: s(30),
            // What a radio that drops one connection after the other may take (`retry::Policy::RADIO`).
            secure: s(120),
            identify: s(120),
            allocate: s(90),
            network: s(60),
            hand_off: s(180),
            confirm: s(300),
            record: s(60),
        }
    }
}

/// What a person allows although it is weak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecurityFlags {
    /// Security 0: no protection at all.
    pub allow_none: bool,
    /// A device that announces less security than its label.
    pub allow_downgrade: bool,
}

/// What devices are given instead of what the API gave: settings of an administrator. Both stay in the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Breaks the API's allocation: the device registers with whichever DPS instance this is.
    pub id_scope: Option<String>,
    /// Host or host:port.
    pub global_device_endpoint: Option<String>,
}

/// What is to be paired, and how it is reached.
#[derive(Debug)]
pub struct PairRequest {
    /// The device's label.
    pub label: Label,
    /// How to reach the device.
    pub link: LinkAddress,
    /// Given to the device if it says that it needs a network.
    pub wifi: Option<WifiCredentials>,
    /// What is allowed although it is weak.
    pub security: SecurityFlags,
    /// The attestations that may be used, best first; empty: what the device prefers.
    pub attestations: Vec<Attestation>,
}

impl PairRequest {
    /// Without Wi-Fi, nothing weak allowed, the device's preferred attestation.
    pub fn new(label: Label, link: LinkAddress) -> Self {
        PairRequest { label, link, wifi: None, security: SecurityFlags::default(), attestations: Vec::new() }
    }
}

/// What is to be put on Wi-Fi.
#[derive(Debug)]
pub struct NetworkRequest {
    /// The device's label.
    pub label: Label,
    /// How to reach the device.
    pub link: LinkAddress,
    /// For the device. Unless it is hidden or [`WifiCredentials::auth`] is known, the device looks for it first where it
    /// can, so that what cannot work is said before anything is sent.
    pub wifi: WifiCredentials,
    /// What is allowed although it is weak.
    pub security: SecurityFlags,
    /// How long the steps may take.
    pub deadlines: Deadlines,
}

/// A paired device. Round trips and bytes are those of the link, from connect to the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Paired {
    /// The idempotency key of the pairing.
    pub handoff_id: Uuid,
    /// As on the label.
    pub registration_id: String,
    /// The link.
    pub link: String,
    /// How the device attests.
    pub attestation: Attestation,
    /// The DPS instance's name.
    pub dps_instance: String,
    /// `0ne…`.
    pub id_scope: String,
    /// The assigned hub's host name.
    pub hub: String,
    /// The hub's name for the device.
    pub device_id: String,
    /// DPS's substatus, as DPS spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substatus: Option<String>,
    /// Link exchanges until the commit was acknowledged.
    pub round_trips_to_commit: u64,
    /// Link exchanges of the whole pairing.
    pub round_trips: u64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
    /// From start to end.
    pub seconds: f64,
}

/// A device on its network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NetworkSet {
    /// The label's name for the device.
    pub name: String,
    /// The link.
    pub link: String,
    /// The network's name, with what could disturb a terminal escaped.
    pub ssid: String,
    /// The device's address there, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Link exchanges.
    pub round_trips: u64,
    /// From start to end.
    pub seconds: f64,
}

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The link.
    pub link: String,
    /// `prov.ver`.
    pub version: String,
    /// `prov.sec_ver`: 0, 1 or 2.
    pub security: u8,
    /// `prov.sec_patch_ver`.
    pub security_patch: u8,
    /// `prov.cap`.
    pub capabilities: Vec<String>,
    /// `lowtouch.cap`, when the firmware has the `dps-config` endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowtouch: Option<Vec<String>>,
    /// From inside the session, when a label was given and the endpoint exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<DeviceIdentity>,
}

/// What a device says of itself inside a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DeviceIdentity {
    /// As on the label.
    pub registration_id: String,
    /// The device's own word.
    pub model: String,
    /// The device's own word.
    pub firmware: String,
    /// Best first.
    pub attestations: Vec<Attestation>,
    /// Where it stands.
    pub phase: DevicePhase,
    /// The hand-off in force, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_handoff_id: Option<Uuid>,
    /// Somebody owns it.
    pub owned: bool,
    /// Whether the firmware checks the owner's signature.
    pub checks_owner: bool,
    /// Whether it is on a network; `None` when it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_network: Option<bool>,
}

/// A running pairing (or Wi-Fi-only job). Dropping it cancels it.
pub struct Pairing<T = Paired> {
    log: EventLog,
    cancel: CancellationToken,
    task: Option<JoinHandle<Result<T, PairingError>>>,
}

impl<T: Send + 'static> Pairing<T> {
    /// All events from the first one on, whenever this is called.
    pub fn events(&self) -> Events {
        self.log.subscribe()
    }

    /// Where the events are, also when this is gone.
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
    pub(crate) fn log(&self) -> &EventLog {
        &self.log
    }

    /// Stops at the next possible moment; [`outcome`](Self::outcome) is then `cancelled`. What was begun is in the
    /// journal, and the next pairing of the same label continues there.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Something that cancels this pairing from elsewhere (a signal handler, another thread).
    pub fn canceller(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// What ended the pairing, with a stable code.
    pub async fn outcome(mut self) -> Result<T, PairingError> {
        match self.task.take() {
            Some(task) => match task.await {
                Ok(outcome) => outcome,
                Err(stopped) => Err(PairingError::with_detail(ErrorCode::Internal, stopped.to_string())),
            },
            None => Err(ErrorCode::Internal.into()),
        }
    }
}

impl<T> Drop for Pairing<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

pub(crate) enum LinkFrom {
    Address(LinkAddress),
    /// By the app's own radio.
    Radio(Arc<dyn Central>, Target),
    Open(Box<dyn Link>),
}

impl LinkFrom {
    /// `radio`: the app's own, which `ble://` then means.
    pub(crate) fn address(link: &LinkAddress, radio: Option<&Arc<dyn Central>>) -> LinkFrom {
        match (link, radio) {
            (LinkAddress::Ble { target }, Some(radio)) => LinkFrom::Radio(radio.clone(), Target::parse(target)),
            _ => LinkFrom::Address(link.clone()),
        }
    }
}

pub(crate) fn start(installer: Installer, request: PairRequest, link: Option<Box<dyn Link>>) -> Pairing {
    let faults = installer.faults.clone();
    spawn(faults, |paired| PairingEvent::Finished { paired }, |context| run::run(context, installer, request, link))
}

pub(crate) fn network_only(request: NetworkRequest, from: LinkFrom) -> Pairing<NetworkSet> {
    spawn(
        Faults::default(),
        |set| PairingEvent::NetworkFinished { set },
        |context| network::only(context, request, from),
    )
}

pub(crate) use info::device_info;
pub(crate) use scan::wifi_scan;

fn spawn<T, F>(
    faults: Faults,
    finished: impl FnOnce(T) -> PairingEvent + Send + 'static,
    job: impl FnOnce(Context) -> F,
) -> Pairing<T>
where
    T: Clone + Send + 'static,
    F: Future<Output = Result<T, PairingError>> + Send + 'static,
{
    let context = Context::new(faults);
    let (log, cancel, killed) = (context.events.clone(), context.cancel.clone(), context.killed.clone());
    let span = context.span.clone();
    let job = job(context);
    let events = log.clone();
    let work = async move {
        let outcome = tokio::select! {
            biased;
            () = killed.cancelled() => Err(PairingError::with_detail(ErrorCode::Internal, "killed by a test")),
            outcome = job => outcome,
        };
        events.emit(match &outcome {
            Ok(done) => finished(done.clone()),
            Err(error) => PairingEvent::Failed { hint: error.hint().into(), error: error.clone() },
        });
        outcome
    };
    let task = tokio::spawn(work.instrument(span));
    Pairing { log, cancel, task: Some(task) }
}

/// As a failed connection of a pairing.
pub(crate) fn link_error(error: &lowtouch_links::LinkError) -> PairingError {
    refusal::of_link(error, None)
}
