//! A circuit breaker for one DPS instance: after many failures in a row nobody asks for a while, so that an instance that is
//! down is not kept down, and callers are told at once instead of after their deadline.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use provisioning_api_contract as wire;
use tokio::time::Instant;

/// Failures in a row that open it: more than the tries of one call.
const FAILURES: u32 = 10;

/// How long it stays open before one call may try.
const OPEN: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub(crate) struct Circuit(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    failures: u32,
    open_until: Option<Instant>,
    trying: bool,
}

/// Leave to make one attempt; whoever drops it without a word (a cancelled request) leaves the circuit as it was.
pub(crate) struct Leave<'a> {
    circuit: &'a Circuit,
    is_trial: bool,
}

impl Circuit {
    /// Leave to call, or how long nobody should.
    pub(crate) fn enter(&self) -> Result<Leave<'_>, Duration> {
        let mut inner = self.lock();
        let Some(until) = inner.open_until else { return Ok(Leave { circuit: self, is_trial: false }) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && !inner.trying {
            inner.trying = true;
            return Ok(Leave { circuit: self, is_trial: true });
        }
        // While another one tries: its attempt has a deadline of seconds.
        Err(left.max(Duration::from_secs(1)))
    }

    /// What an operator sees of it.
    pub(crate) fn state(&self) -> wire::Circuit {
        let inner = self.lock();
        match inner.open_until {
            None => wire::Circuit::Closed,
            Some(_) if inner.trying => wire::Circuit::HalfOpen,
            Some(_) => wire::Circuit::Open,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// The instance answered, whatever it said: a refusal and throttling are answers.
    pub(crate) fn answered(self) {
        *self.circuit.lock() = Inner::default();
    }

    /// It did not answer, or answered that it is broken. True when this opened the circuit.
    pub(crate) fn failed(self) -> bool {
        let mut inner = self.circuit.lock();
        inner.failures = inner.failures.saturating_add(1);
        if self.is_trial || inner.failures >= FAILURES {
            inner.open_until = Some(Instant::now() + OPEN);
            return true;
        }
        false
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.circuit.lock().trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(circuit: &Circuit, times: u32) {
        for _ in 0..times {
            circuit.enter().ok().unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_lets_one_call_try_when_its_time_is_over() {
        let circuit = Circuit::default();
        fail(&circuit, FAILURES - 1);
        circuit.enter().ok().unwrap().answered();
        fail(&circuit, FAILURES - 1);
        assert_eq!(circuit.state(), wire::Circuit::Closed);
        fail(&circuit, 1);
        assert_eq!(circuit.state(), wire::Circuit::Open);
        assert_eq!(circuit.enter().err(), Some(OPEN));

        tokio::time::advance(OPEN).await;
        let trial = circuit.enter().ok().unwrap();
        assert_eq!(circuit.state(), wire::Circuit::HalfOpen);
        assert!(circuit.enter().is_err(), "one tries, not all");
        assert!(trial.failed());
        assert_eq!(circuit.state(), wire::Circuit::Open);

        tokio::time::advance(OPEN).await;
        circuit.enter().ok().unwrap().answered();
        assert_eq!(circuit.state(), wire::Circuit::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_given_up_leaves_room_for_another() {
        let circuit = Circuit::default();
        fail(&circuit, FAILURES);
        tokio::time::advance(OPEN).await;
        drop(circuit.enter().ok().unwrap());
        assert!(circuit.enter().is_ok());
    }
}
