//! A place in the order of payments, as text and back.

use std::fmt;
use std::str::FromStr;

use sqlx::types::Uuid;

use super::{DateTime, Record, Utc};

/// Later than any payment: 9999-12-31T23:59:59Z. A bound that is always there lets the index end the walk.
const END_OF_TIME_SECONDS: i64 = 253_402_300_799;

/// A place in the order of payments: after this one. Its text is opaque to callers: 48 lower-case hexadecimal
/// digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub(super) at: DateTime<Utc>,
    pub(super) id: Uuid,
}

/// The text is not a cursor that [`Page::next`](super::Page::next) gave.
#[derive(Debug, thiserror::Error)]
#[error("a cursor is the text of an earlier page's `next`")]
pub struct NotACursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.at.timestamp_micros().to_be_bytes()))?;
        f.write_str(&hex::encode(self.id.as_bytes()))
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 24];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotACursor)?;
        let (micros, id) = bytes.split_first_chunk().ok_or(NotACursor)?;
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros)).ok_or(NotACursor)?;
        let cursor = Self {
            at,
            id: Uuid::from_slice(id).map_err(|_| NotACursor)?,
        };
        if (DateTime::UNIX_EPOCH..=end_of_time()).contains(&at) && cursor.to_string() == text {
            Ok(cursor)
        } else {
            Err(NotACursor)
        }
    }
}

impl Cursor {
    /// The place just before whatever was reserved at this time.
    #[must_use]
    pub const fn before(at: DateTime<Utc>) -> Self {
        Self { at, id: Uuid::nil() }
    }

    /// The place of this payment.
    #[must_use]
    pub fn after(record: &Record) -> Self {
        Self {
            at: record.created_at,
            id: record.id.as_uuid(),
        }
    }
}

/// Later than any payment.
pub(super) fn end_of_time() -> DateTime<Utc> {
    DateTime::from_timestamp(END_OF_TIME_SECONDS, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nothing_else_parses() {
        let cursor = Cursor {
            at: DateTime::from_timestamp_micros(1_764_000_000_123_456).unwrap(),
            id: Uuid::from_u128(0x0199_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001),
        };
        let text = cursor.to_string();
        assert_eq!(text.parse::<Cursor>().unwrap(), cursor);
        let negative = format!("ff{}", &text[2..]);
        for bad in [
            "",
            "00",
            &text[1..],
            &format!("{text}00"),
            &text.to_uppercase(),
            &negative,
            &"7f".repeat(24),
        ] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }
}
