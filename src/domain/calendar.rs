//! Which day a block time falls into.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Weekday};
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

/// How long the periods are that a time zone's days are gathered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cadence {
    /// Each day by itself.
    #[default]
    Daily,
    /// From Monday to Sunday, as ISO 8601 has it.
    Weekly,
    /// The months of the calendar.
    Monthly,
}

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
        self.period_of(Cadence::Daily, at)
    }

    /// The period that this time falls into, from midnight to midnight; one beyond all calendars has none.
    #[must_use]
    pub fn period_of(self, cadence: Cadence, at: Timestamp) -> Option<Period> {
        let date = self.date_of(at)?;
        let (first, next) = match cadence {
            Cadence::Daily => (date, date.checked_add_days(Days::new(1))?),
            Cadence::Weekly => {
                let monday = date.week(Weekday::Mon).checked_first_day()?;
                (monday, monday.checked_add_days(Days::new(7))?)
            }
            Cadence::Monthly => {
                let first = date.with_day(1)?;
                (first, first.checked_add_months(Months::new(1))?)
            }
        };
        Some(Period {
            starts: self.midnight(first)?,
            ends: self.midnight(next)?,
        })
    }

    /// The periods that are over by now, from the one that begins at `after` on, oldest first, but at most the newest `most`
    /// of them; the newest alone where `after` is none.
    #[must_use]
    pub fn periods_over(self, cadence: Cadence, after: Option<Timestamp>, now: Timestamp, most: usize) -> Vec<Period> {
        let mut over = Vec::new();
        let mut next = self.period_of(cadence, now).map(|it| it.starts);
        while let Some(ends) = next {
            let before = ends.0.checked_sub(1).map(Timestamp);
            let Some(period) = before.and_then(|it| self.period_of(cadence, it)) else {
                break;
            };
            if over.len() >= most || after.map_or(!over.is_empty(), |after| period.ends <= after) {
                break;
            }
            next = Some(period.starts);
            over.push(period);
        }
        over.reverse();
        over
    }

    /// What the period that begins then is called: `2026-11-25`, `2026-W48` or `2026-11`.
    #[must_use]
    pub fn name_of(self, cadence: Cadence, starts: Timestamp) -> Option<String> {
        let date = self.date_of(starts)?;
        let format = match cadence {
            Cadence::Daily => "%Y-%m-%d",
            Cadence::Weekly => "%G-W%V",
            Cadence::Monthly => "%Y-%m",
        };
        Some(date.format(format).to_string())
    }

    /// When clocks first show this time on the date that `at` falls on, or the next that they show.
    #[must_use]
    pub fn at(self, at: Timestamp, time: NaiveTime) -> Option<Timestamp> {
        self.instant(self.date_of(at)?, time)
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

    fn midnight(self, date: NaiveDate) -> Option<Timestamp> {
        self.instant(date, NaiveTime::MIN)
    }

    /// When clocks show this time of a date: of two such instants the earlier, and where clocks skip it, what they show next.
    fn instant(self, date: NaiveDate, time: NaiveTime) -> Option<Timestamp> {
        let asked = date.and_time(time);
        let mut later = TimeDelta::zero();
        while later <= GAP_MAX {
            let local = asked.checked_add_signed(later)?;
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
    fn what_is_over_is_named_once_and_only_so_much_of_it() {
        let time = |text: &str| {
            Timestamp(
                DateTime::parse_from_rfc3339(text)
                    .unwrap()
                    .timestamp()
                    .try_into()
                    .unwrap(),
            )
        };
        let berlin: Calendar = "Europe/Berlin".parse().unwrap();
        let names = |cadence, after: Option<&str>, most| -> Vec<String> {
            let over = berlin.periods_over(cadence, after.map(time), time("2026-11-25T23:30:00Z"), most);
            assert!(over.windows(2).all(|two| two[0].ends == two[1].starts));
            let named = over.iter().map(|it| berlin.name_of(cadence, it.starts).unwrap());
            named.collect()
        };
        assert_eq!(names(Cadence::Daily, None, 9), ["2026-11-25"]);
        assert_eq!(
            names(Cadence::Daily, Some("2026-11-23T23:00:00Z"), 9),
            ["2026-11-24", "2026-11-25"]
        );
        assert_eq!(names(Cadence::Daily, Some("2026-11-25T23:00:00Z"), 9), [""; 0]);
        assert_eq!(names(Cadence::Daily, Some("2020-01-01T00:00:00Z"), 2).len(), 2);
        assert_eq!(names(Cadence::Weekly, None, 9), ["2026-W47"]);
        assert_eq!(
            names(Cadence::Monthly, Some("2026-08-31T22:00:00Z"), 9),
            ["2026-09", "2026-10"]
        );
        let at = |hour| {
            berlin.at(
                time("2026-03-29T00:30:00Z"),
                NaiveTime::from_hms_opt(hour, 30, 0).unwrap(),
            )
        };
        assert_eq!(at(6), Some(time("2026-03-29T04:30:00Z")));
        assert_eq!(at(2), Some(time("2026-03-29T01:00:00Z")), "clocks skip it");
    }

    #[test]
    fn what_is_no_zone_or_no_time_has_no_day() {
        for bad in ["", "utc+1", "Europe/Atlantis", "CET/../etc"] {
            assert!(bad.parse::<Calendar>().is_err(), "{bad}");
        }
        assert_eq!(Calendar::UTC.day_of(Timestamp(u64::MAX)), None);
    }
}
