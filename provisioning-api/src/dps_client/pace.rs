//! Never more requests a minute to a DPS instance than are ours.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

const MINUTE: Duration = Duration::from_secs(60);

/// What the service API grants in a minute, as a token bucket.
pub(crate) struct Pace {
    bucket: RateLimiter<NotKeyed, InMemoryState, Tokio, NoOpMiddleware<Instant>>,
}

/// tokio's clock, so that a paused one simulates it.
#[derive(Debug, Clone, Default)]
struct Tokio;

impl Clock for Tokio {
    type Instant = Instant;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl Pace {
    /// A tenth at once, and the rest evenly: so no minute, wherever it begins, has more than `per_minute`.
    pub(crate) fn new(per_minute: u32) -> Self {
        let burst = NonZeroU32::new(per_minute / 10).unwrap_or(NonZeroU32::MIN);
        let evenly = per_minute.saturating_sub(burst.get()).max(1);
        let quota = Quota::with_period(MINUTE / evenly).unwrap_or(Quota::per_minute(burst)).allow_burst(burst);
        Self { bucket: RateLimiter::direct_with_clock(quota, Tokio) }
    }

    /// Waits for its turn, or says how long it would be when that is longer than `patience`.
    pub(crate) async fn turn(&self, patience: Duration) -> Result<(), Duration> {
        let end = tokio::time::Instant::now() + patience;
        loop {
            let Err(early) = self.bucket.check() else { return Ok(()) };
            let wait = early.wait_time_from(Tokio.now());
            if tokio::time::Instant::now() + wait >= end {
                return Err(wait);
            }
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn no_minute_has_more_requests_than_are_granted(per_minute in 10..300_u32, pauses in prop::collection::vec(0..4000_u64, 1..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let times = runtime.block_on(async {
                let pace = Pace::new(per_minute);
                let start = tokio::time::Instant::now();
                let mut times = Vec::new();
                for pause in pauses {
                    tokio::time::sleep(Duration::from_millis(pause / 4)).await;
                    if pace.turn(MINUTE).await.is_ok() {
                        times.push(start.elapsed());
                    }
                }
                times
            });
            for (index, first) in times.iter().enumerate() {
                let within = times[index..].iter().take_while(|time| **time < *first + MINUTE).count();
                prop_assert!(within <= per_minute as usize);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_no_patience_is_told_how_long_it_would_be() {
        let pace = Pace::new(10);
        pace.turn(Duration::ZERO).await.unwrap();
        let wait = pace.turn(Duration::from_secs(1)).await.unwrap_err();
        assert!(wait > Duration::from_secs(1) && wait <= MINUTE);
        pace.turn(MINUTE).await.unwrap();
    }
}
