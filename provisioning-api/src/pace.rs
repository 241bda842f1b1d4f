//! How many requests a caller may make: a bucket of turns for each, filled again as time goes by.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<String, (f64, Instant)>>,
}

impl Pace {
    pub(crate) fn new(per_minute: u32) -> Self {
        let burst = (per_minute / 10).max(per_minute.min(200));
        Self { per_second: f64::from(per_minute) / 60.0, burst: f64::from(burst), buckets: Mutex::default() }
    }

    /// Takes one turn, or says how long until there is one. Only callers with a valid token get here, so that the map
    /// has no more entries than there are tokens.
    pub(crate) fn take(&self, caller: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (turns, seen) = buckets.entry(caller.to_owned()).or_insert((self.burst, now));
        *turns = (*turns + now.duration_since(*seen).as_secs_f64() * self.per_second).min(self.burst);
        *seen = now;
        if *turns >= 1.0 {
            *turns -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - *turns) / self.per_second).unwrap_or(Duration::from_secs(60)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_asks_too_often_waits_and_others_do_not() {
        let pace = Pace::new(3);
        for _ in 0..3 {
            pace.take("Ida").unwrap();
        }
        let wait = pace.take("Ida").unwrap_err();
        assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20), "{wait:?}");
        pace.take("Ole").unwrap();
    }
}
