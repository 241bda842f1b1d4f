//! Slows down, then stops, somebody who guesses the proof of possession.

use std::time::Duration;

use super::{FailReason, Failure};
use crate::protocomm::device::Refusal;

/// What wrong proofs of possession lead to. They are counted over all connections, because a guesser reconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuessPolicy {
    /// Wrong proofs that cost nothing: people mistype.
    pub free: u32,
    /// The wait after the next one; it doubles with each further.
    pub first_wait: Duration,
    /// Longest wait.
    pub longest_wait: Duration,
    /// After this many wrong proofs no handshake is taken until the device restarts or its button is pressed. A restart
    /// leaves the count one below this: a device that somebody has closed from afar is opened by its power switch, for one
    /// handshake after the longest wait.
    pub close_after: u32,
}

impl Default for GuessPolicy {
    fn default() -> Self {
        Self { free: 3, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(60), close_after: 20 }
    }
}

#[derive(Debug, Default)]
pub(super) struct Guesses {
    wrong: u32,
    wait_until: Duration,
}

/// What `proto-ver` says of wrong proofs, so that an app need not guess why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guarded {
    /// Rounded up; 0: the next handshake is taken at once.
    pub(super) wait_s: u32,
    pub(super) closed: bool,
}

impl Guesses {
    pub(super) fn wrong(&self) -> u32 {
        self.wrong
    }

    pub(super) fn guarded(&self, policy: &GuessPolicy, now: Duration) -> Guarded {
        let closed = self.wrong >= policy.close_after;
        let wait = if closed { Duration::ZERO } else { self.wait_until.saturating_sub(now) };
        let wait_s = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        Guarded { wait_s, closed }
    }

    pub(super) fn in_the_way(&self, policy: &GuessPolicy, now: Duration) -> Option<Failure> {
        if self.wrong >= policy.close_after {
            return Some(Failure { reason: FailReason::Closed, close: true });
        }
        let wait = self.wait_until.checked_sub(now).filter(|wait| !wait.is_zero())?;
        Some(Failure::of(FailReason::SlowedDown { wait }))
    }

    /// What was counted before a restart. Any wait begins again, for the device does not know how long it was off.
    pub(super) fn before_restart(policy: &GuessPolicy, wrong: u32) -> Self {
        let mut guesses = Self { wrong: wrong.min(policy.close_after.saturating_sub(1)), ..Self::default() };
        guesses.wait(policy, Duration::ZERO);
        guesses
    }

    fn wait(&mut self, policy: &GuessPolicy, now: Duration) {
        if let Some(further) = self.wrong.checked_sub(policy.free + 1) {
            let wait = policy.first_wait.saturating_mul(1 << further.min(16)).min(policy.longest_wait);
            self.wait_until = now.saturating_add(wait);
        }
    }

    /// Counts a wrong proof and says how to fail it.
    pub(super) fn count(&mut self, policy: &GuessPolicy, now: Duration) -> Failure {
        self.wrong = self.wrong.saturating_add(1);
        self.wait(policy, now);
        // Not closed: whoever mistyped is told that the proof is wrong, and not that the link is lost.
        Failure::of(FailReason::Session(Refusal::WrongProof))
    }
}
