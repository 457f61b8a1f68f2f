//! Which day a block time falls into.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use serde::Deserialize;

use crate::domain::statement::Period;
use crate::domain::time::Timestamp;

/// Midnights may be missing where clocks are put forward; by so much at most, in every zone that there is.
const GAP_MAX: TimeDelta = TimeDelta::hours(24);

/// Midnights that are missing are looked for in steps of this.
const GAP_STEP: TimeDelta = TimeDelta::minutes(15);

/// The days of one time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Calendar(Tz);

/// The text is not the name of a time zone.
#[derive(Debug, thiserror::Error)]
#[error("expected a name of the IANA time zone database, such as UTC or Europe/Berlin")]
pub struct NotAZone;

impl FromStr for Calendar {
    type Err = NotAZone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| NotAZone)
    }
}

impl TryFrom<String> for Calendar {
    type Error = NotAZone;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl Calendar {
    /// Days as the chains' own times have them.
    pub const UTC: Self = Self(Tz::UTC);

    /// The day that this time falls into, from midnight to midnight; one beyond all calendars has none.
    #[must_use]
    pub fn day_of(self, at: Timestamp) -> Option<Period> {
        let date = self.date_of(at)?;
        Some(Period {
            starts: self.midnight(date)?,
            ends: self.midnight(date.checked_add_days(Days::new(1))?)?,
        })
    }

    /// The date that this time falls on; one beyond all calendars has none.
    #[must_use]
    pub fn date_of(self, at: Timestamp) -> Option<NaiveDate> {
        let seconds = i64::try_from(at.0).ok()?;
        Some(
            DateTime::from_timestamp(seconds, 0)?
                .with_timezone(&self.0)
                .date_naive(),
        )
    }

    /// The first instant of a date: of two midnights the earlier, and where clocks skip it, what they show next.
    fn midnight(self, date: NaiveDate) -> Option<Timestamp> {
        let midnight = date.and_time(NaiveTime::MIN);
        let mut later = TimeDelta::zero();
        while later <= GAP_MAX {
            let local = midnight.checked_add_signed(later)?;
            if let Some(first) = self.0.from_local_datetime(&local).earliest() {
                return u64::try_from(first.timestamp()).ok().map(Timestamp);
            }
            later = later.checked_add(&GAP_STEP)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(zone: &str, at: &str) -> (String, u64) {
        let at = DateTime::parse_from_rfc3339(at).unwrap().timestamp();
        let calendar: Calendar = zone.parse().unwrap();
        let day = calendar.day_of(Timestamp(at.try_into().unwrap())).unwrap();
        let starts = DateTime::from_timestamp(day.starts.0.try_into().unwrap(), 0).unwrap();
        (starts.to_rfc3339(), day.ends.since(day.starts) / 3_600)
    }

    #[test]
    fn a_day_goes_from_midnight_to_midnight_where_it_is_counted() {
        for (zone, at, starts, length) in [
            ("UTC", "2026-11-25T00:00:00Z", "2026-11-25T00:00:00+00:00", 24),
            ("UTC", "2026-11-25T23:59:59Z", "2026-11-25T00:00:00+00:00", 24),
            ("Europe/Berlin", "2026-07-01T22:00:00Z", "2026-07-01T22:00:00+00:00", 24),
            ("Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00+00:00", 23),
            ("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00+00:00", 25),
            ("Asia/Kolkata", "2026-11-25T18:29:59Z", "2026-11-24T18:30:00+00:00", 24),
            // No midnight: clocks go from 23:59:59 to 01:00:00.
            ("Asia/Beirut", "2026-03-29T12:00:00Z", "2026-03-28T22:00:00+00:00", 23),
            // Two midnights: clocks go back from 00:59:59 to 00:00:00.
            (
                "America/Havana",
                "2026-11-01T12:00:00Z",
                "2026-11-01T04:00:00+00:00",
                25,
            ),
        ] {
            assert_eq!(hours(zone, at), (starts.to_owned(), length), "{zone} {at}");
        }
    }

    #[test]
    fn days_follow_one_another_without_a_gap() {
        for zone in ["UTC", "Europe/Berlin", "Asia/Beirut", "America/Havana", "Pacific/Apia"] {
            let calendar: Calendar = zone.parse().unwrap();
            let mut day = calendar.day_of(Timestamp(1_300_000_000)).unwrap();
            for _ in 0..700 {
                let next = calendar.day_of(day.ends).unwrap();
                assert_eq!(next.starts, day.ends, "{zone}");
                day = next;
            }
        }
    }

    #[test]
    fn what_is_no_zone_or_no_time_has_no_day() {
        for bad in ["", "utc+1", "Europe/Atlantis", "CET/../etc"] {
            assert!(bad.parse::<Calendar>().is_err(), "{bad}");
        }
        assert_eq!(Calendar::UTC.day_of(Timestamp(u64::MAX)), None);
    }
}
