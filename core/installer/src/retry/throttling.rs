use std::time::Duration;

use super::Dice;

/// How long to wait after throttling without a hint, as the architecture has it for large fleets (IoT Hub Device
/// Provisioning Service, best practices for large-scale deployments): a random time between 1 s and
/// `(1 / load) · (N / cps)` s, so that N callers that were turned away together come back spread over the time that the
/// service needs for all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttling {
    /// The share of the service's limit that the callers together may use, above 0; 1 is all of it. The smaller, the
    /// further apart they come back.
    pub load: f64,
    /// N: how many callers there may be at once (pairings under way at one API, devices on one DPS instance).
    pub callers: f64,
    /// cps: how many calls a second the service's limit allows.
    pub per_second: f64,
}

impl Throttling {
    /// The least that is waited.
    pub const LEAST: Duration = Duration::from_secs(1);

    /// The most that is waited, whatever the inputs say: longer than anybody stands in front of a device.
    pub const MOST: Duration = Duration::from_secs(3600);

    /// For a pairing: 200 pairings at once, DPS's default limit of 1,000 registrations a minute, of which they use six
    /// tenths. That is 20 s at most.
    pub const API: Throttling = Throttling { load: 0.6, callers: 200.0, per_second: 1000.0 / 60.0 };

    /// For what is never throttled: the least.
    pub const NONE: Throttling = Throttling { load: 1.0, callers: 1.0, per_second: 1.0 };

    /// The end of the range. Inputs that make no sense (nothing, negative, not a number) give the least.
    pub fn longest(&self) -> Duration {
        let seconds = (1.0 / self.load) * (self.callers / self.per_second);
        if !(self.load > 0.0 && self.callers > 0.0 && self.per_second > 0.0) || seconds.is_nan() {
            return Self::LEAST;
        }
        Duration::from_secs_f64(seconds.clamp(Self::LEAST.as_secs_f64(), Self::MOST.as_secs_f64()))
    }

    /// One draw.
    pub fn delay(&self, dice: &Dice) -> Duration {
        dice.between(Self::LEAST, self.longest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_ends_where_the_architecture_says() {
        let end = |load, callers, per_second| Throttling { load, callers, per_second }.longest();
        // 1,000 devices at 200 a minute, at full and at half load.
        assert_eq!(end(1.0, 1000.0, 200.0 / 60.0), Duration::from_secs(300));
        assert_eq!(end(0.5, 1000.0, 200.0 / 60.0), Duration::from_secs(600));
        assert_eq!(Throttling::API.longest().as_secs(), 20);
        assert_eq!(end(1.0, 1.0, 100.0), Throttling::LEAST);
    }

    #[test]
    fn inputs_that_make_no_sense_neither_panic_nor_wait_for_ever() {
        for load in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
            for callers in [0.0, -5.0, f64::NAN, f64::INFINITY, 1e300] {
                for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
                    let throttling = Throttling { load, callers, per_second };
                    let longest = throttling.longest();
                    assert!((Throttling::LEAST..=Throttling::MOST).contains(&longest), "{throttling:?}: {longest:?}");
                }
            }
        }
    }

    #[test]
    fn draws_cover_the_range() {
        let dice = Dice::seeded(1);
        let draws: Vec<_> = (0..500).map(|_| Throttling::API.delay(&dice)).collect();
        assert!(draws.iter().all(|draw| (Duration::from_secs(1)..=Duration::from_secs(20)).contains(draw)));
        assert!(draws.iter().any(|draw| *draw < Duration::from_secs(3)));
        assert!(draws.iter().any(|draw| *draw > Duration::from_secs(18)));
    }
}
