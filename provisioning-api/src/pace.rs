//! How many requests one caller, or one address, may make: a bucket of turns for each, filled again as time goes by.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

/// Full buckets are forgotten each time that so many turns were asked for.
const TIDY: u32 = 4096;

pub(crate) struct Pace {
    buckets: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
    asked: AtomicU32,
}

impl Pace {
    /// A tenth of it at once, and at least 200 or as many as there are in a minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self::with_burst(per_minute, (per_minute / 10).max(per_minute.min(200)))
    }

    pub(crate) fn with_burst(per_minute: u32, burst: u32) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_minute(at_least_one(per_minute)).allow_burst(at_least_one(burst));
        Self {
            buckets: DefaultKeyedRateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            asked: AtomicU32::new(0),
        }
    }

    /// Takes one turn, or says how long until there is one.
    pub(crate) fn take(&self, caller: &str) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % TIDY == TIDY - 1 {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        self.buckets.check_key(&caller.to_owned()).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// The same for an address. Whoever has an IPv6 address has all of its /64.
    pub(crate) fn take_from(&self, address: IpAddr) -> Result<(), Duration> {
        let key = match address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => address.segments()[..4].iter().map(|segment| format!("{segment:x}:")).collect(),
        };
        self.take(&key)
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

    #[test]
    fn a_network_of_ipv6_addresses_is_one_address() {
        let pace = Pace::with_burst(1, 1);
        pace.take_from("2001:db8::1".parse().unwrap()).unwrap();
        pace.take_from("2001:db8::ffff:2".parse().unwrap()).unwrap_err();
        pace.take_from("2001:db8:0:1::1".parse().unwrap()).unwrap();
        pace.take_from("192.0.2.1".parse().unwrap()).unwrap();
        pace.take_from("::ffff:192.0.2.1".parse().unwrap()).unwrap_err();
        pace.take_from("192.0.2.2".parse().unwrap()).unwrap();
    }
}
