//! The device's one retry layer. Nothing underneath retries: not reqwest, not the shells.
//!
//! `Retry-After` wins. Without one: after throttling a random delay between 1 s and a cap; after a broken connection at
//! most one immediate retry; else exponential back-off with full jitter. All of it within a budget of time and tries.

use std::time::Duration;

use backon::Retryable as _;
use tokio::time::Instant;

/// What an error says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The same request will fail in the same way.
    Never,
    /// The connection broke or could not be made.
    Connection,
    /// The service is in trouble.
    Trouble,
    /// The service asked for less (429) and did not say when to come back.
    Throttled,
    /// The service said when to come back.
    After(Duration),
}

/// An error that knows whether trying again makes sense.
pub trait Retry {
    /// What the retry layer needs to know.
    fn hint(&self) -> Hint;
}

/// How often and how long.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// The first back-off is between 0 and this.
    pub base: Duration,
    /// No back-off is longer.
    pub cap: Duration,
    /// Tries after the first one, for one request.
    pub retries: u32,
    /// From the start of a registration; no wait begins that would end after it.
    pub budget: Duration,
    /// The longest delay after throttling without a hint.
    pub throttle_cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(250),
            cap: Duration::from_secs(20),
            retries: 8,
            budget: Duration::from_secs(120),
            throttle_cap: throttle_cap(1.0, 10_000, 1_000.0 / 60.0).min(Duration::from_secs(60)),
        }
    }
}

/// The longest delay after throttling for a fleet: (1 / `load`) · (`devices` / `per_second`) seconds, where `load` is
/// the share of the service's rate that this fleet may use. Source: Microsoft, best practices for large-scale IoT
/// device deployments.
pub fn throttle_cap(load: f64, devices: u32, per_second: f64) -> Duration {
    let seconds = (1.0 / load) * (f64::from(devices) / per_second);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).max(MIN_THROTTLE)
}

/// The shortest delay after throttling without a hint.
const MIN_THROTTLE: Duration = Duration::from_secs(1);

impl RetryPolicy {
    /// Repeats `request` as its errors advise until it succeeds, its error says never, or the budget (which ends at
    /// `deadline`) or the tries run out; then the last error is the answer.
    pub async fn run<T, E, F>(&self, deadline: Instant, request: impl FnMut() -> F) -> Result<T, E>
    where
        E: Retry + std::fmt::Display,
        F: Future<Output = Result<T, E>>,
    {
        let mut immediate_left = true;
        let throttle_cap = self.throttle_cap.max(MIN_THROTTLE);
        request
            .retry(FullJitter { next: self.base, cap: self.cap, left: self.retries })
            .sleep(backon::TokioSleeper)
            .when(|error: &E| error.hint() != Hint::Never)
            .adjust(|error: &E, jittered: Option<Duration>| {
                let delay = match (error.hint(), jittered?) {
                    (Hint::After(told), _) => told,
                    (Hint::Throttled, _) => rand::random_range(MIN_THROTTLE..=throttle_cap),
                    (Hint::Connection, _) if std::mem::take(&mut immediate_left) => Duration::ZERO,
                    (_, jittered) => jittered,
                };
                Instant::now().checked_add(delay).filter(|end| *end <= deadline).map(|_| delay)
            })
            .notify(|error: &E, delay| tracing::info!(%error, ?delay, "trying again"))
            .await
    }
}

/// Exponential back-off whose every delay is random between 0 and the step's bound. backon's own jitter only adds to
/// the bound.
struct FullJitter {
    next: Duration,
    cap: Duration,
    left: u32,
}

impl Iterator for FullJitter {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let bound = self.next.min(self.cap);
        self.next = bound.saturating_mul(2);
        Some(rand::random_range(Duration::ZERO..=bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[derive(Debug, thiserror::Error)]
    #[error("{0:?}")]
    struct Fails(Hint);
    impl Retry for Fails {
        fn hint(&self) -> Hint {
            self.0
        }
    }

    /// The pauses between tries when every try fails with `hints` in turn (the last one for ever).
    async fn pauses(policy: &RetryPolicy, hints: &[Hint]) -> Vec<Duration> {
        let times = RefCell::new(Vec::new());
        let deadline = Instant::now() + policy.budget;
        let result: Result<(), Fails> = policy
            .run(deadline, || async {
                let mut times = times.borrow_mut();
                times.push(Instant::now());
                Err(Fails(hints[(times.len() - 1).min(hints.len() - 1)]))
            })
            .await;
        assert!(result.is_err());
        assert!(Instant::now() <= deadline, "the budget holds");
        times.into_inner().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// tokio's clock counts in milliseconds and rounds up.
    const GRAIN: Duration = Duration::from_millis(2);

    #[tokio::test(start_paused = true)]
    async fn retry_after_wins_over_every_back_off() {
        let policy = RetryPolicy { retries: 3, ..RetryPolicy::default() };
        let told = Duration::from_secs(7);
        for pause in pauses(&policy, &[Hint::After(told)]).await {
            assert!(pause >= told && pause <= told + GRAIN, "{pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_without_a_hint_waits_at_random_between_a_second_and_the_cap() {
        let policy = RetryPolicy { retries: 20, throttle_cap: Duration::from_secs(4), ..RetryPolicy::default() };
        let pauses = pauses(&policy, &[Hint::Throttled]).await;
        assert!(pauses.len() > 10);
        assert!(pauses.iter().all(|pause| *pause >= MIN_THROTTLE && *pause <= Duration::from_secs(4) + GRAIN));
        let first = pauses[0];
        assert!(pauses.iter().any(|pause| pause.abs_diff(first) > GRAIN), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_one_retry_is_immediate() {
        let policy = RetryPolicy { retries: 6, base: Duration::from_secs(5), ..RetryPolicy::default() };
        // Full jitter may fall near zero by luck, so the sum of many runs is looked at, not one pause.
        let mut rest = Duration::ZERO;
        for _ in 0..20 {
            let pauses = pauses(&policy, &[Hint::Connection]).await;
            assert!(pauses[0] <= GRAIN, "{pauses:?}");
            rest += pauses[1..].iter().sum::<Duration>();
        }
        assert!(rest > Duration::from_secs(60), "{rest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn back_off_stays_within_the_tries_the_cap_and_the_budget() {
        let policy = RetryPolicy { cap: Duration::from_secs(2), ..RetryPolicy::default() };
        let pauses_seen = pauses(&policy, &[Hint::Trouble]).await;
        assert_eq!(pauses_seen.len(), 8);
        assert!(pauses_seen.iter().all(|pause| *pause <= Duration::from_secs(2) + GRAIN), "{pauses_seen:?}");
        let short = RetryPolicy { budget: Duration::from_secs(5), ..policy };
        assert!(pauses(&short, &[Hint::After(Duration::from_secs(6))]).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_that_will_not_go_away_is_not_repeated() {
        assert!(pauses(&RetryPolicy::default(), &[Hint::Never]).await.is_empty());
    }

    #[test]
    fn the_throttle_cap_is_microsofts_formula() {
        assert_eq!(throttle_cap(1.0, 1_000, 10.0), Duration::from_secs(100));
        assert_eq!(throttle_cap(0.5, 1_000, 10.0), Duration::from_secs(200));
        assert_eq!(throttle_cap(1.0, 1, 1_000.0), MIN_THROTTLE);
        assert_eq!(throttle_cap(0.0, 1, 1.0), Duration::MAX);
    }
}
