//! The one retry layer of this side. No library underneath retries on its own.
//!
//! `Retry-After` wins; else exponential back-off with full jitter; never past the budget or the number of tries; at most
//! one retry is immediate. Time is tokio's, so a paused clock simulates it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, Retryable};
use tokio::time::Instant;

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Upper bound of the first delay; it doubles from retry to retry.
    pub first: Duration,
    /// No delay is longer, unless the other side asked for it.
    pub longest: Duration,
    /// No retry begins later than this after the first try.
    pub budget: Duration,
    /// Tries in all, the first one included.
    pub tries: u32,
    /// Whether the first retry may come at once, for what a second try usually mends (a connection that was closed
    /// while idle).
    pub immediate: bool,
    /// After throttling without a hint the delay is random between 1 s and this.
    pub throttled: Duration,
}

impl Policy {
    /// For calls of the provisioning API during a pairing, while a device and a person wait.
    pub const API: Policy = Policy {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(15),
        budget: Duration::from_secs(60),
        tries: 6,
        immediate: true,
        throttled: Duration::from_secs(20),
    };

    /// For opening a lost link again while nobody answers. (The try that comes first is at once.)
    pub const LINK: Policy = Policy {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(5),
        budget: Duration::from_secs(30),
        tries: 5,
        immediate: false,
        throttled: Duration::from_secs(5),
    };

    /// For opening a link again that is there and is lost again: a bad radio drops one connection after the other, and
    /// the next may hold. The steps' deadlines end it too.
    pub const RADIO: Policy = Policy {
        first: Duration::from_millis(250),
        longest: Duration::from_secs(1),
        budget: Duration::from_secs(60),
        tries: 40,
        immediate: false,
        throttled: Duration::from_secs(1),
    };
}

/// What an error means for the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No retry will help.
    GiveUp,
    /// Worth another try.
    Again,
    /// The other side said when.
    After(Duration),
    /// Throttled, without a hint.
    Throttled,
}

/// Runs `op` until it succeeds, `verdict` gives up, or the policy ends. `notify` hears of every retry before its delay.
///
/// # Errors
/// The last error of `op`.
pub async fn run<T, E, F, Fut>(
    policy: Policy,
    verdict: impl Fn(&E) -> Verdict,
    notify: impl FnMut(&E, Duration),
    op: F,
) -> Result<T, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    op.retry(policy)
        .sleep(tokio::time::sleep)
        .when(|error| verdict(error) != Verdict::GiveUp)
        .adjust(|error, backoff| {
            let backoff = backoff?;
            let delay = match verdict(error) {
                Verdict::GiveUp => return None,
                Verdict::Again => backoff,
                Verdict::After(after) => after,
                Verdict::Throttled => {
                    let least = Duration::from_secs(1).min(policy.throttled);
                    rand::random_range(least..=policy.throttled)
                }
            };
            (start.elapsed() + delay <= policy.budget).then_some(delay)
        })
        .notify(notify)
        .await
}

/// The delays of a policy.
#[derive(Debug)]
pub struct Delays {
    policy: Policy,
    retries: u32,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.retries += 1;
        if self.retries >= self.policy.tries {
            return None;
        }
        let mut doublings = self.retries - 1;
        if self.policy.immediate {
            if self.retries == 1 {
                return Some(Duration::ZERO);
            }
            doublings -= 1;
        }
        let most = self.policy.first.saturating_mul(1 << doublings.min(16)).min(self.policy.longest);
        Some(rand::random_range(Duration::ZERO..=most))
    }
}

impl BackoffBuilder for Policy {
    type Backoff = Delays;

    fn build(self) -> Delays {
        Delays { policy: self, retries: 0 }
    }
}

/// A circuit breaker for one endpoint, shared by all that call it: after many failures in a row nobody calls for a
/// while, so that an endpoint that is down is not kept down by a batch of pairings. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Breaker(Arc<Mutex<Circuit>>);

#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Failures in a row that open it: more than the tries of one call.
    pub const FAILURES: u32 = 10;

    /// How long it stays open. Afterwards calls go through again, and the first failure opens it anew.
    pub const OPEN: Duration = Duration::from_secs(20);

    /// How long nobody should call, if it is open.
    pub fn open(&self) -> Option<Duration> {
        let until = self.lock().open_until?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// The endpoint answered, whatever it said.
    pub fn answered(&self) {
        *self.lock() = Circuit::default();
    }

    /// The endpoint did not answer, or answered that it is broken.
    pub fn failed(&self) {
        let mut circuit = self.lock();
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures >= Self::FAILURES {
            circuit.open_until = Some(Instant::now() + Self::OPEN);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const POLICY: Policy = Policy { immediate: false, ..Policy::API };

    async fn tries(policy: Policy, verdict: Verdict) -> (u32, Vec<Duration>, Duration) {
        let start = Instant::now();
        let count = RefCell::new(0);
        let delays = RefCell::new(Vec::new());
        let outcome: Result<(), ()> = run(
            policy,
            |_| verdict,
            |_, delay| delays.borrow_mut().push(delay),
            || async {
                *count.borrow_mut() += 1;
                Err(())
            },
        )
        .await;
        assert!(outcome.is_err());
        (count.into_inner(), delays.into_inner(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_retry_helps_is_tried_once() {
        assert_eq!(tries(POLICY, Verdict::GiveUp).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_stay_under_a_bound_that_doubles_and_tries_end() {
        for _ in 0..50 {
            let (count, delays, _) = tries(POLICY, Verdict::Again).await;
            assert!(count <= POLICY.tries);
            for (index, delay) in delays.iter().enumerate() {
                assert!(*delay <= (POLICY.first * (1 << index)).min(POLICY.longest));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_retry_may_be_immediate() {
        let (_, delays, _) = tries(Policy::API, Verdict::Again).await;
        assert_eq!(delays[0], Duration::ZERO);
        assert!(delays[1..].iter().all(|delay| !delay.is_zero()), "{delays:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_sides_word_for_the_delay_wins() {
        let (count, delays, _) = tries(POLICY, Verdict::After(Duration::from_secs(25))).await;
        assert_eq!(delays, [Duration::from_secs(25); 2]);
        assert_eq!(count, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_past_the_budget_is_not_waited_for() {
        let (count, _, took) = tries(POLICY, Verdict::After(Duration::from_secs(3600))).await;
        assert_eq!((count, took), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_in_a_row_stop_everybody_for_a_while() {
        let breaker = Breaker::default();
        for _ in 1..Breaker::FAILURES {
            breaker.failed();
        }
        assert_eq!(breaker.open(), None);
        breaker.clone().failed();
        assert_eq!(breaker.open(), Some(Breaker::OPEN));
        tokio::time::advance(Breaker::OPEN).await;
        assert_eq!(breaker.open(), None);
        breaker.failed();
        assert_eq!(breaker.open(), Some(Breaker::OPEN), "one failure is enough now");
        breaker.answered();
        assert_eq!(breaker.open(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_without_a_hint_waits_at_least_a_second() {
        let (_, delays, _) = tries(POLICY, Verdict::Throttled).await;
        assert!(delays.iter().all(|delay| *delay >= Duration::from_secs(1) && *delay <= POLICY.throttled));
    }
}
