//! All that happens, in one order that no late commit upsets.
//!
//! Rows are numbered as they are written and become visible as they are committed, which is another order: whoever
//! followed the numbers would skip what is committed late. So a row carries the transaction that wrote it, and is shown
//! once every transaction before that one is over: what is shown later then always comes later. This is PostgreSQL's own
//! (`pg_current_xact_id`, `pg_snapshot_xmin`); for databases without it see deploy/DATABASES.md. What it costs is time: a
//! transaction that is left open, in any database of the same server, holds the feed up until it ends.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;

use super::columns::Columns;
use super::records::in_time;
use super::rows::OutOfPlace;
use super::{DateTime, Store, StoreFault, Utc};
use crate::domain::authorization::PaymentKey;
use crate::domain::event::{Event, EventId};
use crate::domain::id::{NoticeId, PaymentId};
use crate::seeded::Bug;

/// `entries!("and …", "and …")`: the statement that reads [`EntryRow`]s of `events e` and `notices n`, those of each that
/// the conditions let through, in the feed's order.
macro_rules! entries {
    ($events:expr, $notices:expr, $limit:literal) => {
        concat!(
            "select f.written_by::text as written_by, f.source, f.seq, f.payment_id, f.version, f.kind, f.created_at,
                f.network, f.state, f.tx, f.reason, f.scheme, f.asset, f.payer, f.pay_to, f.amount, f.key, f.resource_url,
                f.memo, f.merchant_reference, f.order_id, f.notice_id, f.data
            from (
                (select e.written_by, 0::bigint as source, e.seq, e.payment_id, e.version, e.kind, e.created_at,
                    p.network, e.body ->> 'state' as state, e.body ->> 'tx' as tx, e.body ->> 'reason' as reason,
                    p.scheme, p.asset, p.payer, p.pay_to, p.amount::text as amount, p.key, p.resource_url, p.memo,
                    p.merchant_reference, p.order_id,
                    null::uuid as notice_id, null::text as data
                from events e join payments p on p.id = e.payment_id
                where ", $events, " order by e.written_by, e.seq ", $limit, ")
                union all
                (select n.written_by, 1::bigint, n.seq, null::uuid, null::bigint, n.kind, n.created_at, null::text,
                    null::text, null::text, null::text, null::text, null::text, null::text, null::text, null::text,
                    null::bytea, null::text, null::text, null::text, null::text, n.id, n.body::text
                from notices n
                where ", $notices, " order by n.written_by, n.seq ", $limit, ")
            ) f
            order by f.written_by, f.source, f.seq ", $limit
        )
    };
}
pub(super) use entries;

statements! {
    PAGE = entries!(
        "(e.written_by, e.seq) > ($1::text::xid8, $2) and e.written_by < pg_snapshot_xmin(pg_current_snapshot())",
        "(n.written_by, n.seq) > ($1::text::xid8, $3) and n.written_by < pg_snapshot_xmin(pg_current_snapshot())",
        "limit $4"
    );
    HASTY_PAGE = entries!(
        "(e.written_by, e.seq) > ($1::text::xid8, $2)", "(n.written_by, n.seq) > ($1::text::xid8, $3)", "limit $4"
    );
    // What is one tenant's, along indices of its own.
    TENANTS_PAGE = entries!(
        "e.tenant = $5 and (e.written_by, e.seq) > ($1::text::xid8, $2)
            and e.written_by < pg_snapshot_xmin(pg_current_snapshot())",
        "n.tenant = $5 and (n.written_by, n.seq) > ($1::text::xid8, $3)
            and n.written_by < pg_snapshot_xmin(pg_current_snapshot())",
        "limit $4"
    );
    OF_PAYMENT = entries!("e.payment_id = $1 and ($3::uuid is null or e.tenant = $3)", "false", "limit $2");
    END = "select pg_snapshot_xmin(pg_current_snapshot())::text";
    HIDDEN = "select coalesce((
            select extract(epoch from clock_timestamp() - e.created_at) from events e
            where e.written_by >= pg_snapshot_xmin(pg_current_snapshot()) order by e.written_by, e.seq limit 1), 0)::bigint";
    AHEAD = "select coalesce(max(e.written_by) >= pg_snapshot_xmax(pg_current_snapshot()), false) from events e";
}

/// The most entries of one page.
pub const FEED_PAGE_MAX: u16 = 1000;

/// A place in the feed: after one entry and before the next. Its text is opaque to callers: 34 lower-case hexadecimal
/// digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    written_by: u64,
    source: Source,
    seq: i64,
}

/// Which table holds an entry. What one transaction wrote of payments comes before its notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    Events,
    Notices,
}

impl Source {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Events => 0,
            Self::Notices => 1,
        }
    }

    pub(super) fn numbered(number: i64) -> Result<Self, OutOfPlace> {
        match number {
            0 => Ok(Self::Events),
            1 => Ok(Self::Notices),
            _ => Err(OutOfPlace("source")),
        }
    }
}

impl Place {
    /// Before everything.
    pub const BEGINNING: Self = Self {
        written_by: 0,
        source: Source::Events,
        seq: 0,
    };

    /// Which row it stands after.
    pub(super) const fn row(self) -> (Source, i64) {
        (self.source, self.seq)
    }

    /// The numbers after which events and notices of this very transaction come.
    const fn floors(self) -> (i64, i64) {
        match self.source {
            Source::Events => (self.seq, 0),
            Source::Notices => (i64::MAX, self.seq),
        }
    }
}

/// The text is no place in the feed.
#[derive(Debug, thiserror::Error)]
#[error("expected a cursor that the feed gave")]
pub struct NotAPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x}{:02x}{:016x}",
            self.written_by,
            self.source.number(),
            self.seq
        )
    }
}

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 17];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAPlace)?;
        let [writer @ .., _, _, _, _, _, _, _, _, _] = bytes;
        let [_, _, _, _, _, _, _, _, source, seq @ ..] = bytes;
        let place = Self {
            written_by: u64::from_be_bytes(writer),
            source: Source::numbered(source.into()).map_err(|_| NotAPlace)?,
            seq: i64::from_be_bytes(seq),
        };
        if place.seq >= 0 && place.to_string() == text {
            Ok(place)
        } else {
            Err(NotAPlace)
        }
    }
}

/// Something that happened, and where it stands.
#[derive(Debug, Clone)]
pub struct Happening {
    /// The place just after it.
    pub place: Place,
    /// What it is.
    pub event: Event,
}

/// A row of [`entries!`].
pub(super) struct EntryRow {
    written_by: String,
    source: i64,
    seq: i64,
    payment_id: Option<Uuid>,
    version: Option<i64>,
    kind: String,
    created_at: DateTime<Utc>,
    network: Option<String>,
    state: Option<String>,
    tx: Option<String>,
    reason: Option<String>,
    scheme: Option<String>,
    asset: Option<String>,
    payer: Option<String>,
    pay_to: Option<String>,
    amount: Option<String>,
    key: Option<Vec<u8>>,
    resource_url: Option<String>,
    memo: Option<String>,
    merchant_reference: Option<String>,
    order_id: Option<String>,
    notice_id: Option<Uuid>,
    data: Option<String>,
}

/// What is told of a payment: what it was reserved with, and what became of it now.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentData<'a> {
    state: &'a Option<String>,
    transaction: &'a Option<String>,
    reason: &'a Option<String>,
    network: &'a Option<String>,
    scheme: &'a Option<String>,
    asset: &'a Option<String>,
    payer: &'a Option<String>,
    pay_to: &'a Option<String>,
    amount: &'a Option<String>,
    authorization_reference: Option<String>,
    resource: &'a Option<String>,
    memo: &'a Option<String>,
    merchant_reference: &'a Option<String>,
    order_id: &'a Option<String>,
}

impl FromRow<'_, PgRow> for EntryRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut columns = Columns::of(row);
        Ok(Self {
            written_by: columns.take()?,
            source: columns.take()?,
            seq: columns.take()?,
            payment_id: columns.take()?,
            version: columns.take()?,
            kind: columns.take()?,
            created_at: columns.take()?,
            network: columns.take()?,
            state: columns.take()?,
            tx: columns.take()?,
            reason: columns.take()?,
            scheme: columns.take()?,
            asset: columns.take()?,
            payer: columns.take()?,
            pay_to: columns.take()?,
            amount: columns.take()?,
            key: columns.take()?,
            resource_url: columns.take()?,
            memo: columns.take()?,
            merchant_reference: columns.take()?,
            order_id: columns.take()?,
            notice_id: columns.take()?,
            data: columns.take()?,
        })
    }
}

impl EntryRow {
    pub(super) fn read(self) -> Result<Happening, OutOfPlace> {
        let source = Source::numbered(self.source)?;
        let (id, data) = match (source, self.payment_id, self.version, self.notice_id, &self.data) {
            (Source::Events, Some(payment), Some(version), ..) => {
                let id = EventId::Payment(PaymentId::from_uuid(payment), version);
                (
                    id,
                    serde_json::value::to_raw_value(&self.of_payment()?).map_err(|_| OutOfPlace("body"))?,
                )
            }
            (Source::Notices, _, _, Some(id), Some(data)) => {
                let data = RawValue::from_string(data.clone()).map_err(|_| OutOfPlace("body"))?;
                (EventId::Notice(NoticeId::from_uuid(id)), data)
            }
            _ => return Err(OutOfPlace("source")),
        };
        Ok(Happening {
            place: Place {
                written_by: self.written_by.parse().map_err(|_| OutOfPlace("written_by"))?,
                source,
                seq: self.seq,
            },
            event: Event {
                id,
                kind: self.kind,
                at: self.created_at,
                data,
            },
        })
    }

    fn of_payment(&self) -> Result<PaymentData<'_>, OutOfPlace> {
        let key = self
            .key
            .as_ref()
            .map(|key| <[u8; 32]>::try_from(key.as_slice()).map_err(|_| OutOfPlace("key")));
        Ok(PaymentData {
            state: &self.state,
            transaction: &self.tx,
            reason: &self.reason,
            network: &self.network,
            scheme: &self.scheme,
            asset: &self.asset,
            payer: &self.payer,
            pay_to: &self.pay_to,
            amount: &self.amount,
            authorization_reference: key.transpose()?.map(|key| PaymentKey(key).to_string()),
            resource: &self.resource_url,
            memo: &self.memo,
            merchant_reference: &self.merchant_reference,
            order_id: &self.order_id,
        })
    }
}

pub(super) fn read_entries(operation: &'static str, rows: Vec<EntryRow>) -> Result<Vec<Happening>, StoreFault> {
    let entries: Result<_, _> = rows.into_iter().map(EntryRow::read).collect();
    entries.map_err(OutOfPlace::during(operation))
}

impl Store {
    /// What comes after this place, in order, at most `limit` (1 ..= [`FEED_PAGE_MAX`], bounds applied). What was committed
    /// but has an older transaction beside it is not shown yet; following the last entry's place meets every entry exactly
    /// once, and each payment's in the order of its versions.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn feed_page(&self, after: Place, limit: u16) -> Result<Vec<Happening>, StoreFault> {
        let operation = "feed_page";
        let (events, notices) = after.floors();
        let seen = self.seen();
        let statement = match seen {
            Some(_) => TENANTS_PAGE,
            None if Bug::FeedSkipsLateCommits.is_on() => HASTY_PAGE,
            None => PAGE,
        };
        let page = async {
            let mut query = sqlx::query_as(statement)
                .bind(after.written_by.to_string())
                .bind(events)
                .bind(notices)
                .bind(i64::from(limit.clamp(1, FEED_PAGE_MAX)));
            if seen.is_some() {
                query = query.bind(seen);
            }
            query
                .fetch_all(&mut *self.reading(operation).await?)
                .await
                .map_err(StoreFault::reading(operation))
        };
        read_entries(operation, in_time(operation, Box::pin(page)).await?)
    }

    /// What happened to a payment, in order; nothing when there is no such payment. No payment has as many events as a page.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn feed_of(&self, payment: PaymentId) -> Result<Vec<Happening>, StoreFault> {
        let operation = "feed_of";
        let rows = async {
            sqlx::query_as(OF_PAYMENT)
                .bind(payment.as_uuid())
                .bind(i64::from(FEED_PAGE_MAX))
                .bind(self.seen())
                .fetch_all(&mut *self.reading(operation).await?)
                .await
                .map_err(StoreFault::reading(operation))
        };
        read_entries(operation, in_time(operation, Box::pin(rows)).await?)
    }

    /// Whether there are events by transactions that this server has not made yet: the rows were moved here from another,
    /// and the feed does not show what comes until that is put right (deploy/DATABASES.md).
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn feed_is_ahead(&self) -> Result<bool, StoreFault> {
        sqlx::query_scalar(AHEAD)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading("feed_is_ahead"))
    }

    /// For how many seconds the oldest event that is not shown yet has been on record; 0 when all are shown. More than moments
    /// is a transaction that somebody left open.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn feed_hidden_for(&self) -> Result<u64, StoreFault> {
        let operation = "feed_hidden_for";
        let seconds: i64 = sqlx::query_scalar(HIDDEN)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        Ok(seconds.try_into().unwrap_or_default())
    }

    /// The place after all that is shown now; what comes later is shown after it.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn feed_end(&self) -> Result<Place, StoreFault> {
        let operation = "feed_end";
        let end = async {
            let end: String = sqlx::query_scalar(END)
                .fetch_one(&self.pool)
                .await
                .map_err(StoreFault::reading(operation))?;
            end.parse()
                .map_err(|_| OutOfPlace("written_by"))
                .map_err(OutOfPlace::during(operation))
        };
        Ok(Place {
            written_by: in_time(operation, end).await?,
            ..Place::BEGINNING
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_its_text_and_nothing_else_parses() {
        let place = Place {
            written_by: 0x0123,
            source: Source::Notices,
            seq: 7,
        };
        let text = place.to_string();
        assert_eq!(text, "0000000000000123010000000000000007");
        assert_eq!(text.parse::<Place>().unwrap(), place);
        for bad in [
            "",
            "00",
            &text[1..],
            &format!("{text}0"),
            "0000000000000ABC010000000000000007",
            "0000000000000123020000000000000007",
            "000000000000012301ff00000000000007",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
