//! Staggered schedules: which slot a device starts in, so that no DPS instance gets more registrations a minute than it
//! may. A pure decision over the slots that are taken; `placement.rs` keeps them.

use std::collections::BTreeMap;

/// Milliseconds in a minute, the unit that slots are counted in.
pub(crate) const MINUTE: i64 = 60_000;

/// How far ahead slots are given: a device that finds none within a year gets none.
const HORIZON: i64 = 366 * 24 * 60;

/// The first slot that is free, in milliseconds since 1970; takes it.
///
/// Minutes are filled one after the other, and the slots of a minute lie evenly in it: so no 60 seconds, wherever they
/// begin, hold more than `limit` of them. `closed` says for a time when its site opens next, if it is closed then.
pub(crate) fn take(
    taken: &mut BTreeMap<i64, u32>,
    limit: u32,
    from: i64,
    closed: impl Fn(i64) -> Option<i64>,
) -> Option<i64> {
    let limit = limit.max(1);
    let last = from.div_euclid(MINUTE) + HORIZON;
    let mut minute = from.div_euclid(MINUTE);
    while minute <= last {
        // A minute that began already still has its later slots.
        let start = (minute * MINUTE).max(from);
        if let Some(opens) = closed(start) {
            // Ahead by one minute at least, whatever the hours say: this must come to an end.
            minute = opens.div_euclid(MINUTE).max(minute + 1);
            continue;
        }
        let used = taken.get(&minute).copied().unwrap_or(0);
        let first = earliest(minute, limit, from).max(used);
        if first < limit {
            // What lies before `from` is passed over for good.
            taken.insert(minute, first + 1);
            return Some(minute * MINUTE + i64::from(first) * MINUTE / i64::from(limit));
        }
        minute += 1;
    }
    None
}

/// The first of a minute's slots that is not before `from`.
fn earliest(minute: i64, limit: u32, from: i64) -> u32 {
    let into = (from - minute * MINUTE).clamp(0, MINUTE);
    // Rounded up; at most `limit`, as `into` is at most a minute.
    u32::try_from((into * i64::from(limit) + MINUTE - 1) / MINUTE).unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn always(_: i64) -> Option<i64> {
        None
    }

    proptest! {
        #[test]
        fn no_sixty_seconds_hold_more_slots_than_the_limit(
            limit in 1..40_u32,
            // Several schedules of one instance, asked for at any time and in any order.
            asks in prop::collection::vec(0..600_000_i64, 1..200),
        ) {
            let mut taken = BTreeMap::new();
            let mut slots: Vec<i64> = asks.iter().map(|&from| take(&mut taken, limit, from, always).unwrap()).collect();
            for (slot, from) in slots.iter().zip(&asks) {
                prop_assert!(slot >= from, "a slot in the past");
            }
            slots.sort_unstable();
            for (index, start) in slots.iter().enumerate() {
                // A slot's place is rounded down to a millisecond.
                let within = slots[index..].iter().take_while(|slot| **slot < start + MINUTE - 1).count();
                prop_assert!(within <= limit as usize, "{within} within a minute of {start}");
            }
            for minute in taken.values() {
                prop_assert!(*minute <= limit);
            }
        }

        #[test]
        fn a_slot_is_never_given_outside_the_hours(limit in 1..5_u32, count in 1..60_usize, from in 0..7_200_000_i64) {
            // Open in the first ten minutes of each hour.
            let closed = |at: i64| (at.rem_euclid(60 * MINUTE) >= 10 * MINUTE).then(|| (at.div_euclid(60 * MINUTE) + 1) * 60 * MINUTE);
            let mut taken = BTreeMap::new();
            for _ in 0..count {
                let slot = take(&mut taken, limit, from, closed).unwrap();
                prop_assert!(slot >= from && closed(slot).is_none());
            }
        }
    }

    #[test]
    fn slots_follow_each_other_evenly_and_the_next_minute_follows_the_full_one() {
        let mut taken = BTreeMap::new();
        let slots: Vec<_> = (0..5).map(|_| take(&mut taken, 3, 0, always).unwrap()).collect();
        assert_eq!(slots, [0, 20_000, 40_000, 60_000, 80_000]);
        // Half a minute later the first two slots of that minute are past.
        assert_eq!(take(&mut BTreeMap::new(), 4, 30_001, always), Some(45_000));
    }

    #[test]
    fn a_site_that_never_opens_gives_no_slot_and_no_endless_search() {
        assert_eq!(take(&mut BTreeMap::new(), 1, 0, |at| Some(at + 1)), None);
    }
}
