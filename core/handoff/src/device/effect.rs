//! What the device role asks of the shell around it.

use std::time::Duration;

use crate::{dps_config, protocomm::device::Refusal, prov_config, prov_scan};

/// What to do next.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "handed on at once and never kept in numbers")]
pub enum Step {
    /// Answer the request with these bytes.
    Reply(Vec<u8>),
    /// Do this, then call [`Device::resume`](super::Device::resume).
    Perform(Effect),
    /// The handler fails: an ATT error on BLE, a closed socket on HTTP (404 for
    /// [`FailReason::UnknownEndpoint`]). The client is told no more.
    Fail(Failure),
    /// Nothing.
    Done,
}

/// Something that only the shell can do.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "handed on at once and never kept in numbers")]
pub enum Effect {
    /// Of the hand-off's transaction. Answer [`EffectResult::HandOff`].
    HandOff(dps_config::device::Effect),
    /// Of the Wi-Fi station. Answer [`EffectResult::Wifi`].
    Wifi(prov_config::device::Effect),
    /// Of the Wi-Fi scan. Answer [`EffectResult::Scan`].
    Scan(prov_scan::device::Effect),
    /// Write how many wrong proofs of possession came since the last right one, for
    /// [`Device::restore_wrong_proofs`](super::Device::restore_wrong_proofs): who guesses must not be able to start anew by
    /// cutting the power. Answer [`EffectResult::WrongProofsKept`], also where it could not be written.
    KeepWrongProofs(u32),
}

/// What came of an [`Effect`], of the same kind.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectResult {
    /// For [`Effect::HandOff`].
    HandOff(dps_config::device::EffectResult),
    /// For [`Effect::Wifi`].
    Wifi {
        /// Whether it was begun.
        begun: bool,
    },
    /// For [`Effect::Scan`].
    Scan(prov_scan::device::ScanOutcome),
    /// For [`Effect::KeepWrongProofs`].
    WrongProofsKept,
}

/// A request that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// For the device's own log.
    pub reason: FailReason,
    /// Also close the connection.
    pub close: bool,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailReason {
    /// No such endpoint.
    #[error("an unknown endpoint")]
    UnknownEndpoint,
    /// An endpoint that needs a session, before there is one.
    #[error("a request before the session is secure")]
    NotSecure,
    /// Longer than the link's largest value.
    #[error("a request that is longer than the link carries")]
    TooLong,
    /// The session refuses it.
    #[error("the session refuses a request")]
    Session(#[source] Refusal),
    /// The endpoint cannot decode it, or is in the middle of something.
    #[error("a request that its endpoint cannot take")]
    Undecodable,
    /// Too many wrong proofs of possession: wait.
    #[error("too many wrong proofs of possession; the next is taken in {wait:?}")]
    SlowedDown {
        /// Until a handshake is taken again.
        wait: Duration,
    },
    /// Far too many wrong proofs of possession: no handshake until the device restarts or its button is pressed.
    #[error("closed after too many wrong proofs of possession")]
    Closed,
}

impl Failure {
    pub(super) fn of(reason: FailReason) -> Self {
        Self { reason, close: false }
    }
}
