//! Rows of CSV (RFC 4180), and amounts as text.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, Timelike, Utc};
use memchr::{memchr, memchr3};

use crate::domain::time::Timestamp;

/// One row, with the line break that the RFC asks for.
pub fn row<S: AsRef<str>>(fields: &[S]) -> String {
    let fields: Vec<Cow<'_, str>> = fields.iter().map(|field| escape(field.as_ref())).collect();
    format!("{}\r\n", fields.join(","))
}

/// Quotes a field where RFC 4180 asks for it, and disarms text that a spreadsheet would take for a formula. A number below
/// zero is none.
#[must_use]
pub fn escape(field: &str) -> Cow<'_, str> {
    let is_number = || {
        let digits = field.strip_prefix('-');
        digits.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    };
    let is_formula = matches!(field.bytes().next(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'));
    let text = if is_formula && !is_number() {
        Cow::Owned(format!("'{field}"))
    } else {
        Cow::Borrowed(field)
    };
    let bytes = text.as_bytes();
    if memchr3(b',', b'"', b'\n', bytes)
        .or_else(|| memchr(b'\r', bytes))
        .is_some()
    {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        text
    }
}

/// Units of which 10^`places` are a whole coin, in whole coins: with all decimals and a point, without thousands
/// separators.
#[must_use]
pub fn decimal(units: i128, places: u8) -> String {
    let sign = if units < 0 { "-" } else { "" };
    format!("{sign}{}", coins(units.unsigned_abs(), places))
}

/// The same without a sign.
#[must_use]
pub fn coins(units: u128, places: u8) -> String {
    let places = usize::from(places);
    let digits = format!("{units:0>width$}", width = places.saturating_add(1));
    let (whole, rest) = digits.split_at(digits.len().saturating_sub(places));
    if places == 0 {
        whole.to_owned()
    } else {
        format!("{whole}.{rest}")
    }
}

/// A block time, as RFC 3339 has it; the number where it is beyond all calendars.
#[must_use]
pub fn time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0).ok();
    let time = seconds.and_then(|it| DateTime::from_timestamp(it, 0));
    time.map_or_else(|| at.0.to_string(), |it| it.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The time with its milliseconds, in UTC. Reports write millions of them, for which patterns are slow.
#[must_use]
pub fn rfc3339(at: DateTime<Utc>) -> String {
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut part = |place: usize, digits: usize, mut number: u32| {
        for digit in text.iter_mut().skip(place).take(digits).rev() {
            *digit = b'0'.saturating_add(u8::try_from(number % 10).unwrap_or_default());
            number /= 10;
        }
    };
    let at = at.naive_utc();
    part(0, 4, u32::try_from(at.year()).unwrap_or_default());
    part(5, 2, at.month());
    part(8, 2, at.day());
    part(11, 2, at.hour());
    part(14, 2, at.minute());
    part(17, 2, at.second());
    part(20, 3, at.nanosecond() / 1_000_000);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_all_their_decimals() {
        for (units, places, text) in [
            (10_000, 6, "0.010000"),
            (0, 6, "0.000000"),
            (1_234_567, 6, "1.234567"),
            (-1_234_567, 6, "-1.234567"),
            (5, 0, "5"),
            (1, 18, "0.000000000000000001"),
        ] {
            assert_eq!(decimal(units, places), text);
        }
    }

    #[test]
    fn times_are_written_with_their_milliseconds() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_255_200_250_999, "2026-11-21T10:00:00.250Z"),
            (253_402_300_799_999_000, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(DateTime::from_timestamp_micros(micros).unwrap()), text);
        }
    }

    #[test]
    fn fields_are_quoted_where_rfc_4180_asks_and_formulas_are_disarmed() {
        for (field, text) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("-1+1", "'-1+1"),
            ("-1.50", "-1.50"),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(escape(field), text);
        }
        assert_eq!(row(&["a", "b,c"]), "a,\"b,c\"\r\n");
    }
}
