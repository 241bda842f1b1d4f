//! The one retry layer of this side. No library underneath retries on its own.
//!
//! `Retry-After` wins; else exponential back-off with full jitter; never past the budget or the number of tries; at most
//! one retry is immediate. After throttling without a hint the delay follows the architecture's formula
//! ([`Throttling`]). An [`Endpoint`] puts a circuit breaker around it, and waits where this machine is offline, which is no
//! error and costs no try. Every wait is told with its reason ([`Told`]).
//!
//! Time is tokio's, so a paused clock simulates it; chance comes from [`Dice`], which a test seeds.

mod breaker;
mod dice;
mod endpoint;
mod offline;
mod throttling;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::Retryable;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::breaker::{Breaker, Breakers, CircuitReport, CircuitState, Pass};
pub use self::dice::Dice;
pub use self::endpoint::{Endpoint, Told};
pub use self::offline::{Connectivity, Routes, Standing};
pub use self::throttling::Throttling;

/// No `Retry-After` is believed beyond this: a day. What asks for more has its clock or its header wrong.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// No wait is shorter, but for the one immediate retry: full jitter may draw nothing at all.
const SHORTEST: Duration = Duration::from_millis(1);

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Upper bound of the first delay; it doubles from retry to retry.
    pub first: Duration,
    /// No delay is longer, unless the other side asked for it.
    pub longest: Duration,
    /// No retry begins later than this after the first try. Time without a network does not count.
    pub budget: Duration,
    /// Tries in all, the first one included.
    pub tries: u32,
    /// Whether the first retry may come at once, for what a second try usually mends (a connection that was closed
    /// while idle).
    pub immediate: bool,
    /// How long to wait after throttling without a hint.
    pub throttling: Throttling,
    /// How long a call waits for this machine's network to come back, in all.
    pub offline: Duration,
}

impl Policy {
    /// For calls of the provisioning API during a pairing, while a device and a person wait. A quarter of an hour is
    /// enough to find a signal, and to notice that there is none.
    pub const API: Policy = Policy {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(15),
        budget: Duration::from_secs(60),
        tries: 6,
        immediate: true,
        throttling: Throttling::API,
        offline: Duration::from_secs(15 * 60),
    };

    /// For opening a lost link again while nobody answers. (The try that comes first is at once.)
    pub const LINK: Policy = Policy {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(5),
        budget: Duration::from_secs(30),
        tries: 5,
        immediate: false,
        throttling: Throttling::NONE,
        offline: Duration::ZERO,
    };

    /// For opening a link again that is there and is lost again: a bad radio drops one connection after the other, and
    /// the next may hold. The steps' deadlines end it too.
    pub const RADIO: Policy = Policy {
        first: Duration::from_millis(100),
        longest: Duration::from_millis(500),
        budget: Duration::from_secs(120),
        tries: 200,
        immediate: false,
        throttling: Throttling::NONE,
        offline: Duration::ZERO,
    };
}

/// What an error means for the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No retry will help.
    GiveUp,
    /// Worth another try.
    Again,
    /// The other side said when. Nothing at all is "again", not "at once and for ever".
    After(Duration),
    /// Throttled, without a hint.
    Throttled,
}

/// Why a delay is as long as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The one immediate retry.
    Immediate,
    /// Exponential back-off with full jitter.
    #[default]
    BackOff,
    /// The other side said when.
    RetryAfter,
    /// Throttled without a hint: the formula of [`Throttling`].
    Throttled,
}

/// The wait before a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// How long.
    pub delay: Duration,
    /// Why.
    pub reason: Reason,
}

/// Runs `op` until it succeeds, `verdict` gives up, or the policy ends. `notify` hears of every retry before its delay.
///
/// # Errors
/// The last error of `op`.
pub async fn run<T, E, F, Fut>(
    policy: Policy,
    dice: &Dice,
    verdict: impl Fn(&E) -> Verdict,
    notify: impl FnMut(&E, Wait),
    op: F,
) -> Result<T, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    run_within(policy, dice, || Duration::ZERO, verdict, notify, op).await
}

/// As [`run`]; `elsewhere` says how much of the time so far does not count.
async fn run_within<T, E, F, Fut>(
    policy: Policy,
    dice: &Dice,
    elsewhere: impl Fn() -> Duration,
    verdict: impl Fn(&E) -> Verdict,
    mut notify: impl FnMut(&E, Wait),
    op: F,
) -> Result<T, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    // `adjust` decides on the delay, `notify` comes after it and has to say why.
    let reason = Mutex::new(Reason::default());
    op.retry(Delays::of(policy, dice.clone()))
        .sleep(tokio::time::sleep)
        .when(|error| verdict(error) != Verdict::GiveUp)
        .adjust(|error, backoff| {
            let backoff = backoff?;
            let wait = wait(policy, dice, verdict(error), backoff)?;
            let spent = start.elapsed().saturating_sub(elsewhere());
            *reason.lock().unwrap_or_else(PoisonError::into_inner) = wait.reason;
            (spent.saturating_add(wait.delay) <= policy.budget).then_some(wait.delay)
        })
        .notify(|error, delay| {
            notify(error, Wait { delay, reason: *reason.lock().unwrap_or_else(PoisonError::into_inner) });
        })
        .await
}

fn wait(policy: Policy, dice: &Dice, verdict: Verdict, backoff: Duration) -> Option<Wait> {
    let backed_off =
        Wait { delay: backoff, reason: if backoff.is_zero() { Reason::Immediate } else { Reason::BackOff } };
    Some(match verdict {
        Verdict::GiveUp => return None,
        Verdict::Again => backed_off,
        // "At once" may be obeyed once at most; after that it is a loop, and our own delays hold.
        Verdict::After(after) if after.is_zero() => backed_off,
        Verdict::After(after) => Wait { delay: after.min(LONGEST_RETRY_AFTER), reason: Reason::RetryAfter },
        Verdict::Throttled => Wait { delay: policy.throttling.delay(dice), reason: Reason::Throttled },
    })
}

/// The delays of a policy.
#[derive(Debug)]
pub(crate) struct Delays {
    policy: Policy,
    dice: Dice,
    retries: u32,
}

impl Delays {
    pub(crate) fn of(policy: Policy, dice: Dice) -> Self {
        Delays { policy, dice, retries: 0 }
    }
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
        let most = self.policy.first.saturating_mul(1 << doublings.min(16)).min(self.policy.longest).max(SHORTEST);
        Some(self.dice.between(SHORTEST, most))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { immediate: false, ..Policy::API };

    async fn tries(policy: Policy, verdict: Verdict) -> (u32, Vec<Wait>, Duration) {
        seeded(policy, verdict, 7).await
    }

    async fn seeded(policy: Policy, verdict: Verdict, seed: u64) -> (u32, Vec<Wait>, Duration) {
        let start = Instant::now();
        let count = RefCell::new(0);
        let waits = RefCell::new(Vec::new());
        let outcome: Result<(), ()> = run(
            policy,
            &Dice::seeded(seed),
            |_| verdict,
            |_, wait| waits.borrow_mut().push(wait),
            || async {
                *count.borrow_mut() += 1;
                Err(())
            },
        )
        .await;
        assert!(outcome.is_err());
        (count.into_inner(), waits.into_inner(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_retry_helps_is_tried_once() {
        assert_eq!(tries(POLICY, Verdict::GiveUp).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_stay_under_a_bound_that_doubles_and_tries_end() {
        for seed in 0..50 {
            let (count, waits, _) = seeded(POLICY, Verdict::Again, seed).await;
            assert!(count <= POLICY.tries);
            for (index, wait) in waits.iter().enumerate() {
                assert!(wait.delay <= (POLICY.first * (1 << index)).min(POLICY.longest));
                assert_eq!(wait.reason, Reason::BackOff);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_is_full_and_the_same_seed_draws_the_same() {
        let mut low = 0;
        let mut high = 0;
        for seed in 0..200 {
            let (_, waits, _) = seeded(POLICY, Verdict::Again, seed).await;
            assert_eq!(waits, seeded(POLICY, Verdict::Again, seed).await.1);
            low += u32::from(waits[0].delay < POLICY.first / 4);
            high += u32::from(waits[0].delay > POLICY.first * 3 / 4);
        }
        // A quarter of 200 each, give or take.
        assert!((20..=80).contains(&low) && (20..=80).contains(&high), "{low} {high}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_retry_may_be_immediate() {
        let (_, waits, _) = tries(Policy::API, Verdict::Again).await;
        assert_eq!(waits[0], Wait { delay: Duration::ZERO, reason: Reason::Immediate });
        assert!(waits[1..].iter().all(|wait| !wait.delay.is_zero()), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_of_nothing_is_no_licence_to_call_without_end() {
        let (_, waits, took) = tries(Policy::API, Verdict::After(Duration::ZERO)).await;
        assert_eq!(waits.iter().filter(|wait| wait.delay.is_zero()).count(), 1, "{waits:?}");
        assert!(took > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_sides_word_for_the_delay_wins() {
        let (count, waits, _) = tries(POLICY, Verdict::After(Duration::from_secs(25))).await;
        assert_eq!(waits, [Wait { delay: Duration::from_secs(25), reason: Reason::RetryAfter }; 2]);
        assert_eq!(count, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_past_the_budget_is_not_waited_for() {
        for absurd in [Duration::from_secs(3600), Duration::MAX] {
            let (count, _, took) = tries(POLICY, Verdict::After(absurd)).await;
            assert_eq!((count, took), (1, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_without_a_hint_waits_between_a_second_and_the_formulas_end() {
        for seed in 0..50 {
            let (_, waits, _) = seeded(POLICY, Verdict::Throttled, seed).await;
            assert!(!waits.is_empty());
            for wait in waits {
                assert!(wait.delay >= Duration::from_secs(1) && wait.delay <= POLICY.throttling.longest(), "{wait:?}");
                assert_eq!(wait.reason, Reason::Throttled);
            }
        }
    }

    fn verdicts() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Again),
            Just(Verdict::Throttled),
            (0u64..200).prop_map(|s| Verdict::After(Duration::from_secs(s))),
        ]
    }

    proptest! {
        /// Whatever the other side answers: it ends, within tries and budget, and at most one retry is immediate.
        #[test]
        fn no_answers_make_it_endless(
            answers in proptest::collection::vec(verdicts(), 1..40),
            seed: u64,
            immediate: bool,
            tries in 1u32..60,
        ) {
            let policy = Policy { immediate, tries, ..Policy::API };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let (count, waits, took) = runtime.block_on(async {
                let start = Instant::now();
                let count = RefCell::new(0usize);
                let waits = RefCell::new(Vec::new());
                let _: Result<(), Verdict> = run(
                    policy,
                    &Dice::seeded(seed),
                    |verdict| *verdict,
                    |_, wait| waits.borrow_mut().push(wait),
                    || {
                        let answer = answers[*count.borrow() % answers.len()];
                        *count.borrow_mut() += 1;
                        async move { Err(answer) }
                    },
                )
                .await;
                (count.into_inner(), waits.into_inner(), start.elapsed())
            });
            prop_assert!(count <= tries as usize);
            // tokio's timers have a grain of a millisecond.
            prop_assert!(took <= policy.budget + Duration::from_millis(u64::from(tries)));
            prop_assert!(waits.iter().filter(|wait| wait.delay.is_zero()).count() <= 1);
        }
    }
}
