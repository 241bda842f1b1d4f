//! What time it is, where that decides something: certificates, tokens, downloaded work orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// The system's clock, unless an app knows better and says so. Clones are one clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Milliseconds.
    ahead_of_system: Arc<AtomicI64>,
}

impl Clock {
    /// The time. From the first year to the last that can be written where the sum is beyond.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_millis(self.ahead_of_system.load(Ordering::Relaxed));
        Timestamp::now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// It is this time now, whatever the system's clock says; what passes from here on is measured by that one.
    pub fn set(&self, now: Timestamp) {
        let ahead = now.duration_since(Timestamp::now()).as_millis();
        self.ahead_of_system.store(i64::try_from(ahead).unwrap_or_default(), Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = self.now().duration_since(Timestamp::UNIX_EPOCH);
        // Before 1970 no certificate is valid.
        Some(UnixTime::since_unix_epoch(since_1970.try_into().unwrap_or_default()))
    }
}
