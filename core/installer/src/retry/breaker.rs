use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

/// A circuit breaker for one endpoint, shared by all that call it: after many failures in a row nobody calls for a
/// while, so that an endpoint that is down is not kept down by a batch of pairings. Then one call goes ahead, and the
/// others wait for what comes of it. Cheap to clone; clones are the same breaker.
#[derive(Clone, Default)]
pub struct Breaker(Arc<Inner>);

#[derive(Default)]
struct Inner {
    circuit: Mutex<Circuit>,
    changed: Notify,
}

#[derive(Default)]
struct Circuit {
    /// In a row.
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Copy)]
struct Open {
    until: Instant,
    /// One call is under way to see whether the endpoint is well again.
    probing: bool,
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CircuitState {
    /// Calls go through.
    #[default]
    Closed,
    /// Nobody calls until its time is over.
    Open,
    /// Its time is over: one call goes through, the others wait for what comes of it.
    HalfOpen,
}

/// How the breaker of one endpoint stands, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CircuitReport {
    /// What is called, without anything secret: `https://provisioning.example.com`.
    pub endpoint: String,
    /// How it stands.
    pub state: CircuitState,
    /// Failures in a row.
    pub failures: u32,
    /// Where it is open: milliseconds until it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_in_ms: Option<u64>,
}

/// Why a call may not go through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocked {
    /// Open for so long.
    For(Duration),
    /// Another call finds out.
    Probing,
}

impl Breaker {
    /// Failures in a row that open it: more than the tries of one call.
    pub const FAILURES: u32 = 10;

    /// How long it stays open.
    pub const OPEN: Duration = Duration::from_secs(20);

    /// How it stands, and when it is tried again where it is open.
    pub fn state(&self) -> (CircuitState, Option<Duration>) {
        match self.lock().open {
            None => (CircuitState::Closed, None),
            Some(open) => match open.left() {
                Some(left) if !open.probing => (CircuitState::Open, Some(left)),
                _ => (CircuitState::HalfOpen, None),
            },
        }
    }

    /// As [`state`](Self::state), for people and programs.
    pub fn report(&self, endpoint: impl Into<String>) -> CircuitReport {
        let (state, again) = self.state();
        CircuitReport {
            endpoint: endpoint.into(),
            state,
            failures: self.lock().failures,
            again_in_ms: again.map(|again| u64::try_from(again.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Leave for one call. Say on it how the call ended; a leave that is dropped instead (the call was cancelled) says
    /// nothing of the endpoint.
    pub(super) fn pass(&self) -> Result<Pass, Blocked> {
        let mut circuit = self.lock();
        let probe = match &mut circuit.open {
            None => false,
            Some(open) if open.probing => return Err(Blocked::Probing),
            Some(open) => match open.left() {
                Some(left) => return Err(Blocked::For(left)),
                None => {
                    open.probing = true;
                    true
                }
            },
        };
        drop(circuit);
        Ok(Pass { breaker: self.clone(), probe, ended: false })
    }

    /// Waits until the state may have changed since `before` was made.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.0.changed.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.0.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn left(&self) -> Option<Duration> {
        self.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}

impl std::fmt::Debug for Breaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Breaker").field(&self.state()).finish()
    }
}

/// Leave for one call.
#[derive(Debug)]
pub struct Pass {
    breaker: Breaker,
    probe: bool,
    ended: bool,
}

impl Pass {
    /// Whether this is the one call that a half-open circuit lets through.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// The endpoint answered, whatever it said.
    pub fn answered(mut self) {
        self.ended = true;
        *self.breaker.lock() = Circuit::default();
        self.breaker.0.changed.notify_waiters();
    }

    /// The endpoint did not answer, or answered that it is broken.
    pub fn failed(mut self) {
        self.ended = true;
        {
            let mut circuit = self.breaker.lock();
            circuit.failures = circuit.failures.saturating_add(1);
            let opens = match circuit.open {
                // A call from before it opened tells nothing new.
                Some(_) => self.probe,
                None => circuit.failures >= Breaker::FAILURES,
            };
            if opens {
                circuit.open = Some(Open { until: Instant::now() + Breaker::OPEN, probing: false });
            }
        }
        self.breaker.0.changed.notify_waiters();
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.ended || !self.probe {
            return;
        }
        // The next one may find out at once.
        if let Some(open) = &mut self.breaker.lock().open {
            open.probing = false;
        }
        self.breaker.0.changed.notify_waiters();
    }
}

/// The breakers of one program, by endpoint. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Breakers(Arc<Mutex<BTreeMap<String, Breaker>>>);

impl Breakers {
    /// The breaker of an endpoint, made where there is none. `endpoint` is shown: nothing secret in it.
    pub fn of(&self, endpoint: &str) -> Breaker {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(endpoint.to_owned()).or_default().clone()
    }

    /// How all of them stand.
    pub fn report(&self) -> Vec<CircuitReport> {
        let breakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        breakers.iter().map(|(endpoint, breaker)| breaker.report(endpoint.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..Breaker::FAILURES {
            breaker.pass().unwrap().failed();
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_in_a_row_stop_everybody_for_a_while() {
        let breaker = Breaker::default();
        for _ in 1..Breaker::FAILURES {
            breaker.pass().unwrap().failed();
        }
        assert_eq!(breaker.state(), (CircuitState::Closed, None));
        breaker.clone().pass().unwrap().failed();
        assert_eq!(breaker.state(), (CircuitState::Open, Some(Breaker::OPEN)));
        assert_eq!(breaker.pass().unwrap_err(), Blocked::For(Breaker::OPEN));
        assert_eq!(breaker.report("x").again_in_ms, Some(20_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_in_between_begins_the_count_anew() {
        let breaker = Breaker::default();
        for _ in 1..Breaker::FAILURES {
            breaker.pass().unwrap().failed();
        }
        breaker.pass().unwrap().answered();
        breaker.pass().unwrap().failed();
        assert_eq!(breaker.state().0, CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_lets_exactly_one_through() {
        let breaker = opened();
        tokio::time::advance(Breaker::OPEN).await;
        assert_eq!(breaker.state(), (CircuitState::HalfOpen, None));
        let probe = breaker.pass().unwrap();
        assert!(probe.is_probe());
        for _ in 0..5 {
            assert_eq!(breaker.pass().unwrap_err(), Blocked::Probing);
        }
        probe.failed();
        assert_eq!(breaker.state(), (CircuitState::Open, Some(Breaker::OPEN)), "one failure is enough now");
        tokio::time::advance(Breaker::OPEN).await;
        breaker.pass().unwrap().answered();
        assert_eq!(breaker.state(), (CircuitState::Closed, None));
        assert!(!breaker.pass().unwrap().is_probe());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_cancelled_leaves_its_place_to_the_next() {
        let breaker = opened();
        tokio::time::advance(Breaker::OPEN).await;
        drop(breaker.pass().unwrap());
        assert!(breaker.pass().unwrap().is_probe());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_neither_prolong_nor_probe() {
        let breaker = Breaker::default();
        let late = breaker.pass().unwrap();
        for _ in 0..Breaker::FAILURES {
            breaker.pass().unwrap().failed();
        }
        tokio::time::advance(Breaker::OPEN / 2).await;
        late.failed();
        assert_eq!(breaker.state(), (CircuitState::Open, Some(Breaker::OPEN / 2)));
    }

    #[test]
    fn each_endpoint_has_its_own() {
        let breakers = Breakers::default();
        for _ in 0..Breaker::FAILURES {
            breakers.of("https://a.example").pass().unwrap().failed();
        }
        let states: Vec<_> = [&breakers.of("https://b.example"), &breakers.of("https://a.example")]
            .iter()
            .map(|breaker| breaker.state().0)
            .collect();
        assert_eq!(states, [CircuitState::Closed, CircuitState::Open]);
        assert_eq!(breakers.report().len(), 2);
    }
}
