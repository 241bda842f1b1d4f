//! Opening hours by the clock on a site's wall.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use provisioning_api_contract::OpeningHours;

use crate::store::time;

/// Hours of each day in a time zone.
#[derive(Debug, Clone)]
pub(crate) struct Hours {
    from: Time,
    until: Time,
    zone: TimeZone,
}

impl Hours {
    /// `None` when they are none: other forms than `HH:MM`, equal ends, or a time zone that nobody knows.
    pub(crate) fn parse(hours: &OpeningHours) -> Option<Self> {
        let (from, until) = (clock(&hours.from)?, clock(&hours.until)?);
        // Names only: "+02:00" is no place with a summer.
        let named = hours.time_zone.len() <= 64
            && hours.time_zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
        let zone = TimeZone::get(&hours.time_zone).ok().filter(|_| named)?;
        (from != until).then_some(Self { from, until, zone })
    }

    /// Whether the site is open at this time, in milliseconds since 1970.
    pub(crate) fn is_open(&self, at: i64) -> bool {
        let clock = time(at).to_zoned(self.zone.clone()).time();
        if self.from < self.until {
            self.from <= clock && clock < self.until
        } else {
            self.from <= clock || clock < self.until
        }
    }

    /// When it opens next, if it is closed.
    pub(crate) fn opens_after(&self, at: i64) -> Option<i64> {
        if self.is_open(at) {
            return None;
        }
        let date = time(at).to_zoned(self.zone.clone()).date();
        // A day on which that hour does not exist (the clock is put forward) opens an hour later.
        let openings = (0..3_i64).filter_map(|days| {
            let day = date.checked_add(days.days()).ok()?;
            let opens = day.to_datetime(self.from).to_zoned(self.zone.clone()).ok()?;
            Some(opens.timestamp().as_millisecond())
        });
        Some(openings.filter(|opens| *opens > at).min().unwrap_or(Timestamp::MAX.as_millisecond()))
    }
}

fn clock(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: &str, until: &str, zone: &str) -> Option<Hours> {
        Hours::parse(&OpeningHours { from: from.into(), until: until.into(), time_zone: zone.into() })
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn the_clock_on_the_wall_counts_in_summer_and_in_winter() {
        let site = hours("08:00", "17:00", "Europe/Berlin").unwrap();
        assert!(site.is_open(at("2026-07-01T06:00:00Z")) && !site.is_open(at("2026-07-01T15:00:00Z")));
        assert!(!site.is_open(at("2026-12-01T06:59:59Z")) && site.is_open(at("2026-12-01T07:00:00Z")));
        assert_eq!(site.opens_after(at("2026-12-01T20:00:00Z")), Some(at("2026-12-02T07:00:00Z")));
        assert_eq!(site.opens_after(at("2026-12-01T01:00:00Z")), Some(at("2026-12-01T07:00:00Z")));
        assert_eq!(site.opens_after(at("2026-12-01T08:00:00Z")), None);
    }

    #[test]
    fn hours_may_pass_midnight() {
        let night = hours("22:00", "06:00", "Asia/Tokyo").unwrap();
        assert!(night.is_open(at("2026-12-01T13:00:00Z")) && night.is_open(at("2026-12-01T20:59:00Z")));
        assert!(!night.is_open(at("2026-12-01T21:00:00Z")));
    }

    #[test]
    fn an_hour_that_the_clock_skips_opens_when_it_is_over() {
        // 2026-03-29, 02:00 to 03:00 does not exist in Berlin.
        let site = hours("02:30", "04:00", "Europe/Berlin").unwrap();
        let opens = site.opens_after(at("2026-03-29T00:30:00Z")).unwrap();
        assert!(site.is_open(opens), "{}", time(opens));
    }

    #[test]
    fn what_are_no_hours_is_refused() {
        for (from, until, zone) in [
            ("8:00", "17:00", "Europe/Berlin"),
            ("08:00", "08:00", "Europe/Berlin"),
            ("08:00", "24:00", "Europe/Berlin"),
            ("08:00", "17:00", "Europe/Atlantis"),
            ("08:00", "17:00", "../../etc/passwd"),
            ("08:00\r\n", "17:00", "UTC"),
            ("", "", ""),
        ] {
            assert!(hours(from, until, zone).is_none(), "{from} {until} {zone}");
        }
    }
}
