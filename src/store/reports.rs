//! Listing payments page by page, by when they came in.
//!
//! A cursor is a place in that order, not a count of rows, so that a page costs the same wherever it is and rows
//! that come in meanwhile neither shift nor hide others. Which index leads is decided here, by what the filter
//! names: a plan made for all filters at once would walk the whole table for a rare payer.

use std::fmt;
use std::str::FromStr;

use sqlx::types::Uuid;

use super::rows::{RecordRow, read_all, records};
use super::{DateTime, Record, Store, StoreFault, Utc};
use crate::domain::network::NetworkId;
use crate::domain::settlement::State;

/// A page: `$lead` is the condition that an index begins with, `$at` and `$id` its order.
macro_rules! page {
    ($lead:literal, $at:literal, $id:literal) => {
        records!(
            "where ",
            $lead,
            " (",
            $at,
            ", ",
            $id,
            ") > ($1, $2) and ",
            $at,
            " < $3
                and ($4::text is null or s.state = $4) and ($5::text is null or p.network = $5)
                and ($6::text is null or p.asset = $6) and ($7::text is null or p.payer = $7)
                and ($8::text is null or p.pay_to = $8) and ($9::text is null or p.nonce = $9)
                and ($10::text is null or p.memo = $10)
            order by ",
            $at,
            ", ",
            $id,
            " limit $11"
        )
    };
}

statements! {
    BY_TIME = page!("", "p.created_at", "p.id");
    BY_NONCE = page!("p.nonce = $9 and", "p.created_at", "p.id");
    BY_MEMO = page!("p.memo = $10 and", "p.created_at", "p.id");
    BY_PAYER = page!("p.payer = $7 and", "p.created_at", "p.id");
    BY_RECIPIENT = page!("p.pay_to = $8 and", "p.created_at", "p.id");
    BY_STATE = page!("s.state = $4 and s.state <> 'final' and", "s.created_at", "s.payment_id");
}

/// The most records on one page.
pub const PAGE_MAX: u16 = 1000;

/// Later than any payment: 9999-12-31T23:59:59Z. A bound that is always there lets the index end the walk.
const END_OF_TIME_SECONDS: i64 = 253_402_300_799;

/// Which payments to list: those that meet every condition named. Addresses and nonces are compared as the rail's
/// canonical text.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// On this network.
    pub network: Option<NetworkId>,
    /// In this asset.
    pub asset: Option<String>,
    /// By this payer.
    pub payer: Option<String>,
    /// To this recipient.
    pub pay_to: Option<String>,
    /// With this nonce.
    pub nonce: Option<String>,
    /// With this memo.
    pub memo: Option<String>,
    /// First reserved at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// First reserved before this time.
    pub created_before: Option<DateTime<Utc>>,
}

/// A place in the order of payments: after this one. Its text is opaque to callers: 48 lower-case hexadecimal
/// digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub(super) at: DateTime<Utc>,
    pub(super) id: Uuid,
}

/// The text is not a cursor that [`Page::next`] gave.
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

/// Some payments, in the order of when they were first reserved, then of their ids.
#[derive(Debug, Clone)]
pub struct Page {
    /// The payments.
    pub records: Vec<Record>,
    /// Where the next page begins; none on the last one.
    pub next: Option<Cursor>,
}

impl Store {
    /// The payments that meet `filter`, from just after `after` on, at most `limit` of them (1 ..= [`PAGE_MAX`],
    /// bounds applied). Following `next` meets every payment that was there at the start exactly once, in the state
    /// that it has when its page is read.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_list(&self, filter: &Filter, after: Option<&Cursor>, limit: u16) -> Result<Page, StoreFault> {
        let operation = "payments_list";
        let limit = usize::from(limit.clamp(1, PAGE_MAX));
        let (from_at, from_id) = filter.start(after);
        // Planned anew for these values: a plan kept for all values cannot know that the walk ends early, and at
        // 300,000 payments took a second instead of a millisecond.
        let mut rows: Vec<RecordRow> = sqlx::query_as(filter.statement())
            .persistent(false)
            .bind(from_at)
            .bind(from_id)
            .bind(filter.created_before.unwrap_or_else(end_of_time).min(end_of_time()))
            .bind(filter.state.map(State::as_str))
            .bind(filter.network.as_ref().map(NetworkId::as_str))
            .bind(&filter.asset)
            .bind(&filter.payer)
            .bind(&filter.pay_to)
            .bind(&filter.nonce)
            .bind(&filter.memo)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let records = read_all(operation, rows)?;
        let next = if is_last {
            None
        } else {
            records.last().map(Cursor::after)
        };
        Ok(Page { records, next })
    }
}

impl Cursor {
    /// The place of this payment.
    #[must_use]
    pub fn after(record: &Record) -> Self {
        Self {
            at: record.created_at,
            id: record.id.as_uuid(),
        }
    }
}

impl Filter {
    /// The place to begin after. The nil id comes before every payment of its instant.
    fn start(&self, after: Option<&Cursor>) -> (DateTime<Utc>, Uuid) {
        let from = self
            .created_from
            .unwrap_or(DateTime::UNIX_EPOCH)
            .clamp(DateTime::UNIX_EPOCH, end_of_time());
        let start = (from, Uuid::nil());
        after.map_or(start, |cursor| start.max((cursor.at, cursor.id)))
    }

    /// The statement whose index leads to the fewest rows. Nearly every payment is final, so that state leads
    /// nowhere.
    fn statement(&self) -> &'static str {
        if self.nonce.is_some() {
            BY_NONCE
        } else if self.memo.is_some() {
            BY_MEMO
        } else if self.payer.is_some() {
            BY_PAYER
        } else if self.state.is_some_and(|state| state != State::Final) {
            BY_STATE
        } else if self.pay_to.is_some() {
            BY_RECIPIENT
        } else {
            BY_TIME
        }
    }
}

fn end_of_time() -> DateTime<Utc> {
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
