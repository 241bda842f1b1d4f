//! What a pairing tells while it runs.

use std::time::{Duration, SystemTime};

use lowtouch_installer as core;
use uuid::Uuid;

use crate::failure::mirror;
use crate::{ErrorCode, Failure, NetworkSet, Paired};

mirror! {
    /// The steps of a pairing, in their order.
    Step of core::Step {
        /// Find the device and what the journal knows of it.
        Discover,
        /// Open the link and ask what it is.
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
}

mirror! {
    /// Whom a step waits for.
    WaitingFor of core::events::WaitingFor {
        /// The device, over its link.
        Device,
        /// The provisioning API.
        Api,
        /// The device, which itself waits for its network or for DPS.
        Cloud,
        /// The phone's storage.
        Journal,
    }
}

mirror! {
    /// Where a device stands with its configuration.
    DevicePhase of core::events::DevicePhase {
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
    }
}

mirror! {
    /// The network step as the device tells it.
    NetworkStep of core::events::NetworkState {
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
}

mirror! {
    /// Why a delay is as long as it is.
    RetryReason of core::retry::Reason {
        /// The one immediate retry.
        Immediate,
        /// Longer from time to time, by chance.
        BackOff,
        /// The other side said when.
        RetryAfter,
        /// Throttled without a hint.
        Throttled,
    }
}

mirror! {
    /// How a circuit breaker stands.
    CircuitState of core::retry::CircuitState {
        /// All calls go through.
        Closed,
        /// None goes through.
        Open,
        /// One goes through, to see.
        HalfOpen,
    }
}

mirror! {
    /// How a device proves to DPS who it is.
    Attestation of core::Attestation {
        /// A certificate of its own key.
        X509,
        /// A key of its own, derived by the API.
        SymmetricKey,
        /// Its TPM.
        Tpm,
    }
}

/// Something that works but that the person should know.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum PairingWarning {
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
    /// Settings replaced the ID scope that the API gave.
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
    /// The firmware has no `prov-ctrl`: it may hold on to the Wi-Fi attempt that failed.
    WifiNotCleared,
    /// One that these bindings do not know.
    Unknown,
}

impl From<core::Warning> for PairingWarning {
    fn from(warning: core::Warning) -> Self {
        use core::Warning as Core;
        match warning {
            Core::SessionUnprotected => Self::SessionUnprotected,
            Core::SessionWithoutIntegrity => Self::SessionWithoutIntegrity,
            Core::SessionNonceReuse => Self::SessionNonceReuse,
            Core::SecurityDowngraded { label, device } => Self::SecurityDowngraded { label, device },
            Core::OwnerNotChecked => Self::OwnerNotChecked,
            Core::AlreadyOwned => Self::AlreadyOwned,
            Core::CodesGuessed { count } => Self::CodesGuessed { count },
            Core::OutcomeNotRecorded { code } => Self::OutcomeNotRecorded { code: code.into() },
            Core::ConfirmedByApi => Self::ConfirmedByApi,
            Core::IdScopeOverridden { given, sent } => Self::IdScopeOverridden { given, sent },
            Core::EndpointOverridden { given, sent } => Self::EndpointOverridden { given, sent },
            Core::WifiNotCleared => Self::WifiNotCleared,
            _ => Self::Unknown,
        }
    }
}

/// Progress of a pairing or of a Wi-Fi-only job.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
pub enum PairingEvent {
    /// The pairing has its hand-off ID.
    Started {
        /// The idempotency key of the whole pairing.
        handoff_id: Uuid,
        /// True: an earlier run was interrupted and this one finishes it.
        resumed: bool,
        /// The label's name for the device.
        name: String,
        /// The link.
        link: String,
    },
    /// A step begins.
    StepStarted {
        /// Which.
        step: Step,
        /// Whom it waits for.
        waiting_for: WaitingFor,
        /// The step ends in an error after this time.
        deadline: Duration,
    },
    /// A step is done.
    StepDone {
        /// Which.
        step: Step,
        /// How long it took.
        took: Duration,
        /// Link exchanges in this step.
        round_trips: u64,
    },
    /// The radio listens for the device.
    Searching {
        /// Devices that are heard so far, the right one not among them.
        heard: u32,
    },
    /// The device is heard.
    DeviceFound {
        /// What it calls itself.
        name: String,
        /// Its address.
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
        /// After how long.
        after: Duration,
        /// Why so long.
        reason: RetryReason,
    },
    /// The phone has no network. That is no error: the step waits, its deadline stands still.
    Offline {
        /// In which step.
        step: Step,
        /// After this time it ends in an error all the same.
        at_most: Duration,
    },
    /// The network is back; the step goes on.
    Online {
        /// In which step.
        step: Step,
        /// How long it was away.
        after: Duration,
    },
    /// The circuit breaker of an endpoint lets no call through, only one, or all again.
    Circuit {
        /// In which step.
        step: Step,
        /// What is called.
        endpoint: String,
        /// How the breaker stands.
        state: CircuitState,
        /// Where it is open: until it is tried again.
        again_in: Option<Duration>,
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
    /// The device's turn to register comes later, and is waited for. Cancelling keeps the turn.
    WaitingForSlot {
        /// Its turn, by the API's clock.
        starts_at: SystemTime,
        /// How long until then.
        wait: Duration,
    },
    /// The API cannot be reached, and the device is paired with what was downloaded with its work order.
    Unsealed {
        /// The work order.
        order: Uuid,
    },
    /// News of the network step.
    Network {
        /// How it stands.
        state: NetworkStep,
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
        warning: PairingWarning,
    },
    /// The end: the device is assigned.
    Finished {
        /// The facts.
        paired: Paired,
    },
    /// The end of a Wi-Fi-only job.
    NetworkFinished {
        /// The facts.
        set: NetworkSet,
    },
    /// The end: it did not work.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// One that these bindings do not know.
    Unknown,
}

/// Of a measured time; one that cannot be is none.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

impl From<core::PairingEvent> for PairingEvent {
    fn from(event: core::PairingEvent) -> Self {
        use core::PairingEvent as Core;
        let ms = Duration::from_millis;
        match event {
            Core::Started { handoff_id, resumed, name, link } => Self::Started { handoff_id, resumed, name, link },
            Core::StepStarted { step, waiting_for, deadline_s } => Self::StepStarted {
                step: step.into(),
                waiting_for: waiting_for.into(),
                deadline: Duration::from_secs(deadline_s),
            },
            Core::StepDone { step, seconds: took, round_trips } => {
                Self::StepDone { step: step.into(), took: seconds(took), round_trips }
            }
            Core::Searching { heard } => Self::Searching { heard: u32::try_from(heard).unwrap_or(u32::MAX) },
            Core::DeviceFound { name, address, rssi } => Self::DeviceFound { name, address, rssi },
            Core::Retrying { step, code, after_ms, reason } => {
                Self::Retrying { step: step.into(), code: code.into(), after: ms(after_ms), reason: reason.into() }
            }
            Core::Offline { step, at_most_s } => {
                Self::Offline { step: step.into(), at_most: Duration::from_secs(at_most_s) }
            }
            Core::Online { step, after_ms } => Self::Online { step: step.into(), after: ms(after_ms) },
            Core::Circuit { step, endpoint, state, again_in_ms } => {
                Self::Circuit { step: step.into(), endpoint, state: state.into(), again_in: again_in_ms.map(ms) }
            }
            Core::Secured { security } => Self::Secured { security },
            Core::DeviceIdentified { registration_id, model, firmware, attestations, phase } => {
                Self::DeviceIdentified {
                    registration_id,
                    model,
                    firmware,
                    attestations: attestations.into_iter().map(Attestation::from).collect(),
                    phase: phase.into(),
                }
            }
            Core::Allocated { dps_instance, id_scope, global_device_endpoint, attestation } => {
                Self::Allocated { dps_instance, id_scope, global_device_endpoint, attestation: attestation.into() }
            }
            Core::WaitingForSlot { starts_at, wait_s } => {
                Self::WaitingForSlot { starts_at: starts_at.into(), wait: Duration::from_secs(wait_s) }
            }
            Core::Unsealed { order } => Self::Unsealed { order },
            Core::Network { state } => Self::Network { state: state.into() },
            Core::HandedOff { digest } => Self::HandedOff { digest },
            Core::DeviceStatus { phase, attempts } => Self::DeviceStatus { phase: phase.into(), attempts },
            Core::Reconnecting { attempt } => Self::Reconnecting { attempt },
            Core::Warning { warning } => Self::Warning { warning: warning.into() },
            Core::Finished { paired } => Self::Finished { paired: paired.into() },
            Core::NetworkFinished { set } => Self::NetworkFinished { set: set.into() },
            Core::Failed { error, .. } => Self::Failed { failure: error.into() },
            _ => Self::Unknown,
        }
    }
}
