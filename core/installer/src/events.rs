//! What a pairing tells while it runs.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;
use futures::StreamExt;
use futures::stream::BoxStream;
use provisioning_api_contract::Attestation;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::error::{ErrorCode, PairingError};
use crate::retry::{CircuitState, Reason};

/// The steps of a pairing, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Step {
    /// Find the device and what the journal knows of it.
    Discover,
    /// Open the link and ask `proto-ver`.
    Connect,
    /// Make the secured session.
    Secure,
    /// Learn the registration ID and what the device can do.
    Identify,
    /// Ask the provisioning API for the DPS instance and the credential.
    Allocate,
    /// Give the device Wi-Fi, if it needs it.
    Network,
    /// Stage and commit.
    HandOff,
    /// Wait until the device says which hub it was assigned to.
    Confirm,
    /// Tell the API and the journal.
    Record,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Step; 9] = [
        Step::Discover,
        Step::Connect,
        Step::Secure,
        Step::Identify,
        Step::Allocate,
        Step::Network,
        Step::HandOff,
        Step::Confirm,
        Step::Record,
    ];

    /// The text of the events and the journal, for example `hand-off`.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Discover => "discover",
            Step::Connect => "connect",
            Step::Secure => "secure",
            Step::Identify => "identify",
            Step::Allocate => "allocate",
            Step::Network => "network",
            Step::HandOff => "hand-off",
            Step::Confirm => "confirm",
            Step::Record => "record",
        }
    }

    /// The step of this text, as the journal has it.
    pub fn of(text: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// Whom a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WaitingFor {
    /// The device, over its link.
    Device,
    /// The provisioning API.
    Api,
    /// The device, which itself waits for its network or for DPS.
    Cloud,
    /// This machine's disk.
    Journal,
}

/// Something that works but that the person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "warning", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Warning {
    /// The session has no protection at all (Security 0).
    SessionUnprotected,
    /// Security 1: encrypted, but nobody notices when messages are changed on the way.
    SessionWithoutIntegrity,
    /// Security 2 of an ESP-IDF up to 5.4: all messages share one nonce.
    SessionNonceReuse,
    /// The device announces less security than its label, and this was allowed.
    SecurityDowngraded {
        /// Of the label.
        label: u8,
        /// Of the device.
        device: u8,
    },
    /// The firmware does not check the owner's signature: whoever has the label can take the device.
    OwnerNotChecked,
    /// The device already has an owner, and this API cannot say whether it is the same.
    AlreadyOwned,
    /// Somebody tried codes at this device that are not its label's.
    CodesGuessed {
        /// How many, since the last right one.
        count: u32,
    },
    /// The API could not be told how the pairing ended; the journal knows, and a rerun tells it.
    OutcomeNotRecorded {
        /// Why.
        code: ErrorCode,
    },
    /// The link was lost after the commit; the hub is from DPS by way of the API.
    ConfirmedByApi,
    /// Settings replaced the ID scope that the API gave: the device registers with another DPS instance than the API counts.
    IdScopeOverridden {
        /// By the API.
        given: String,
        /// To the device.
        sent: String,
    },
    /// Settings replaced the global device endpoint that the API gave.
    EndpointOverridden {
        /// By the API.
        given: String,
        /// To the device.
        sent: String,
    },
    /// The firmware has no `prov-ctrl`: it may hold on to the Wi-Fi attempt that failed until its own button is pressed.
    WifiNotCleared,
}

/// Where a device stands with its configuration, as `dps-config` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DevicePhase {
    /// No configuration.
    Empty,
    /// A hand-off is staged.
    Staged,
    /// Reaching its network or the endpoint.
    Connecting,
    /// DPS is assigning.
    Registering,
    /// Registered.
    Assigned,
    /// Refused or given up.
    Failed,
    /// A phase that this build does not know.
    Unknown,
}

/// The network step as the device tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NetworkState {
    /// The device looks which networks there are.
    Scanning,
    /// Credentials are on the way to the device.
    Sending,
    /// The device tries them.
    Connecting,
    /// The device is on the network.
    Connected,
    /// It failed; the credentials are wiped so that others can be tried.
    Failed,
}

/// Progress of a pairing. Serialised, it is a line of the command line's `--json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum PairingEvent {
    /// The pairing has its hand-off ID.
    Started {
        /// The idempotency key of the whole pairing.
        handoff_id: Uuid,
        /// True: an earlier run was interrupted and this one finishes it.
        resumed: bool,
        /// The label's name for the device.
        name: String,
        /// The link, for example `http://192.168.4.1:80`.
        link: String,
    },
    /// A step begins.
    StepStarted {
        /// Which.
        step: Step,
        /// Whom it waits for.
        waiting_for: WaitingFor,
        /// The step ends in an error after this many seconds.
        deadline_s: u64,
    },
    /// A step is done.
    StepDone {
        /// Which.
        step: Step,
        /// How long it took.
        seconds: f64,
        /// Link exchanges in this step.
        round_trips: u64,
    },
    /// The radio listens for the device. Told again whenever the number changes.
    Searching {
        /// Devices that are heard so far, the right one not among them.
        heard: usize,
    },
    /// The device is heard.
    DeviceFound {
        /// What it calls itself.
        name: String,
        /// `AA:BB:CC:DD:EE:FF`, or the system's identifier.
        address: String,
        /// Signal strength in dBm, if the radio can tell.
        rssi: Option<i16>,
    },
    /// A call is repeated after a while.
    Retrying {
        /// In which step.
        step: Step,
        /// Why.
        code: ErrorCode,
        /// After how many milliseconds.
        after_ms: u64,
        /// Why so long.
        #[serde(default)]
        reason: Reason,
    },
    /// This machine has no network. That is no error: the step waits, its deadline stands still, and no try is used up.
    Offline {
        /// In which step.
        step: Step,
        /// It ends in `offline` after so many seconds.
        at_most_s: u64,
    },
    /// The network is back; the step goes on.
    Online {
        /// In which step.
        step: Step,
        /// How long it was away.
        after_ms: u64,
    },
    /// Many calls in a row have failed, so the circuit breaker of the endpoint lets none through (`open`), only one
    /// (`half-open`), or all again (`closed`).
    Circuit {
        /// In which step.
        step: Step,
        /// What is called.
        endpoint: String,
        /// How the breaker stands.
        state: CircuitState,
        /// Where it is open: milliseconds until it is tried again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again_in_ms: Option<u64>,
    },
    /// The session stands.
    Secured {
        /// Of protocomm: 0, 1 or 2.
        security: u8,
    },
    /// The device said who it is.
    DeviceIdentified {
        /// As on the label.
        registration_id: String,
        /// The device's own word.
        model: String,
        /// The device's own word.
        firmware: String,
        /// Best first.
        attestations: Vec<Attestation>,
        /// Where it stands.
        phase: DevicePhase,
    },
    /// The API said where the device belongs.
    Allocated {
        /// The DPS instance's name.
        dps_instance: String,
        /// `0ne…`.
        id_scope: String,
        /// Host or host:port.
        global_device_endpoint: String,
        /// How the device will attest.
        attestation: Attestation,
    },
    /// The device's DPS instance takes only so many registrations a minute: this one's turn comes later, and is waited
    /// for. Cancelling keeps the turn.
    WaitingForSlot {
        /// Its turn, by the API's clock.
        starts_at: jiff::Timestamp,
        /// Seconds until then, whatever this machine's clock says.
        wait_s: u64,
    },
    /// The API cannot be reached, and the device is paired with what was downloaded with its work order.
    Unsealed {
        /// The work order.
        order: Uuid,
    },
    /// News of the network step.
    Network {
        /// How it stands.
        state: NetworkState,
    },
    /// The device has put the configuration in force.
    HandedOff {
        /// SHA-256 of the configuration in hex, as computed by both sides.
        digest: String,
    },
    /// The device's phase changed.
    DeviceStatus {
        /// The phase.
        phase: DevicePhase,
        /// Attempts made in it.
        attempts: u32,
    },
    /// The link was lost and is being opened again.
    Reconnecting {
        /// The how-manieth time.
        attempt: u32,
    },
    /// Something that the person should know.
    Warning {
        /// What.
        #[serde(flatten)]
        warning: Warning,
    },
    /// The end: the device is assigned.
    Finished {
        /// The facts.
        #[serde(flatten)]
        paired: crate::pairing::Paired,
    },
    /// The end of a Wi-Fi-only job.
    NetworkFinished {
        /// The facts.
        #[serde(flatten)]
        set: crate::pairing::NetworkSet,
    },
    /// The end: it did not work.
    Failed {
        /// Why, with `hint` beside it.
        #[serde(flatten)]
        error: PairingError,
        /// What happened and what to do next, in plain English.
        hint: String,
    },
}

impl PairingEvent {
    /// Nothing comes after this one.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            PairingEvent::Finished { .. } | PairingEvent::NetworkFinished { .. } | PairingEvent::Failed { .. }
        )
    }
}

/// Where events are put in. Everybody who subscribes, however late, gets all of them from the first one on.
#[derive(Clone)]
pub(crate) struct EventLog {
    log: Arc<Mutex<Vec<PairingEvent>>>,
    len: Arc<watch::Sender<usize>>,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        EventLog { log: Arc::default(), len: Arc::new(watch::Sender::new(0)) }
    }

    pub(crate) fn emit(&self, event: PairingEvent) {
        if tracing::enabled!(tracing::Level::INFO)
            && let Ok(event) = serde_json::to_string(&event)
        {
            tracing::info!(event, "told");
        }
        let len = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(event);
            log.len()
        };
        self.len.send_replace(len);
    }

    /// Whether the final event was told.
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
    pub(crate) fn is_over(&self) -> bool {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).last().is_some_and(PairingEvent::is_final)
    }

    pub(crate) fn subscribe(&self) -> Events {
        let log = self.log.clone();
        let len = self.len.subscribe();
        let stream = futures::stream::unfold((log, len, 0usize), |(log, mut len, next)| async move {
            let at = |index: usize| log.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned();
            if next > 0 && at(next - 1).is_some_and(|last| last.is_final()) {
                return None;
            }
            // An error means that the pairing was dropped; what is in the log is still given out.
            let _ = len.wait_for(|len| *len > next).await;
            let event = at(next)?;
            Some((event, (log, len, next + 1)))
        });
        // Whoever asks once more after the end is told so again.
        Events { stream: stream.fuse().boxed() }
    }
}

/// The events of one pairing from its first one on; ends after `Finished`, `NetworkFinished` or `Failed`.
pub struct Events {
    stream: BoxStream<'static, PairingEvent>,
}

impl Events {
    /// The next event, or `None` when the pairing is over.
    pub async fn next(&mut self) -> Option<PairingEvent> {
        self.stream.next().await
    }
}

impl Stream for Events {
    type Item = PairingEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PairingEvent>> {
        self.stream.poll_next_unpin(cx)
    }
}
