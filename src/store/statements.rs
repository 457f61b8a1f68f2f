//! Statements as they were closed.
//!
//! What is on a line beside its place is the payment's own row, or the refund's, which nothing changes once it is final.

use sqlx::types::Uuid;

use super::rows::{OutOfPlace, amount, network as network_of, signed, unsigned};
use super::{DateTime, Store, StoreFault, Utc};
use crate::domain::id::{PaymentId, RefundId, StatementId};
use crate::domain::merkle::Hash;
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::statement::{Account, Balance, Detail, Line, Period, Statement};
use crate::domain::time::Timestamp;

/// `closed!("where ...")`: the statement that reads [`StatementRow`]s, of `statements t`.
macro_rules! closed {
    ($tail:expr) => {
        concat!(
            "select t.id, t.network, t.asset, t.pay_to, t.sequence, t.starts_at, t.ends_at, t.opening::text as opening,
                t.credits::text as credits, t.late_credits::text as late_credits,
                t.other_credits::text as other_credits, t.debits::text as debits, t.refunds::text as refunds,
                t.unexplained::text as unexplained, t.closing::text as closing, t.balance::text as balance,
                t.block_height, t.block_hash, t.block_time, t.gas::text as gas, t.lines, t.late, t.merkle_root,
                t.previous, t.hash, t.created_at
            from statements t ",
            $tail
        )
    };
}
pub(super) use closed;

/// `tenant_of!("$3", "$1", "$2")`: of whom these payments all are; null where they are of several. Of none, it is whoever has the
/// account on the network.
macro_rules! tenant_of {
    ($payments:literal, $network:literal, $account:literal) => {
        concat!(
            "(select case count(distinct p.tenant)
                when 0 then coalesce((select m.tenant from merchant_accounts m where m.network = ",
            $network,
            " and m.address = ",
            $account,
            "), '00000000-0000-0000-0000-000000000000')
                when 1 then min(p.tenant::text)::uuid end
            from payments p where p.id = any(",
            $payments,
            "::uuid[]))"
        )
    };
}
pub(super) use tenant_of;

statements! {
    GET = closed!("where t.id = $1 and ($2::uuid is null or t.tenant = $2)");
    FIND = closed!("where t.id > $1 and ($2::text is null or t.network = $2) and ($3::text is null or t.asset = $3)
            and ($4::text is null or t.pay_to = $4) and t.starts_at >= $5 and t.starts_at < $6
            and ($8::uuid is null or t.tenant = $8) order by t.id limit $7");
    LINES = "select t.asset, t.pay_to, coalesce(f.payment_id, p.id) as payment_id, f.id as refund_id,
            coalesce(f.amount, p.amount)::text as amount, coalesce(f.paid_tx, s.landed_tx) as landed_tx,
            coalesce(f.paid_log_index, s.landed_log_index) as landed_log_index,
            coalesce(f.paid_height, s.landed_height) as landed_height,
            coalesce(f.paid_hash, s.landed_hash) as landed_hash, coalesce(f.paid_time, s.landed_time) as landed_time,
            coalesce(f.recipient, p.payer) as payer,
            coalesce(f.merchant_reference, p.merchant_reference, p.order_id, p.memo,
                (select min(r.value) from payment_references r
                    where r.payment_id = p.id and r.kind = 'payment_identifier')) as reference
        from statements t
            join statement_lines l on l.network = t.network and l.asset = t.asset and l.pay_to = t.pay_to
                and l.sequence = t.sequence
            left join payments p on p.id = l.payment_id left join settlements s on s.payment_id = l.payment_id
            left join refunds f on f.id = l.refund_id
        where t.id = $1 and l.position >= $2 and ($4::uuid is null or t.tenant = $4)
        order by l.position limit $3";
}

/// Which statements to list. Assets and recipients are in canonical text.
#[derive(Debug, Clone, Default)]
pub struct StatementFilter {
    /// Of this network.
    pub network: Option<NetworkId>,
    /// Of this asset.
    pub asset: Option<String>,
    /// Of this recipient.
    pub pay_to: Option<String>,
    /// Whose period begins at this time or later.
    pub from: Option<Timestamp>,
    /// Whose period begins earlier.
    pub before: Option<Timestamp>,
}

/// A statement as it was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// What it says.
    pub statement: Statement,
    /// The hash that it was closed with; another than [`Statement::hash`] when it was changed since.
    pub hash: Hash,
    /// When it was closed, by the database's clock.
    pub at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
pub(super) struct StatementRow {
    id: Uuid,
    network: String,
    asset: String,
    pay_to: String,
    sequence: i64,
    starts_at: i64,
    ends_at: i64,
    opening: String,
    credits: String,
    late_credits: String,
    other_credits: String,
    debits: String,
    refunds: String,
    unexplained: String,
    closing: String,
    balance: Option<String>,
    block_height: Option<i64>,
    block_hash: Option<String>,
    block_time: Option<i64>,
    gas: String,
    lines: i64,
    late: i64,
    merkle_root: Hash,
    previous: Option<Hash>,
    hash: Hash,
    created_at: DateTime<Utc>,
}

impl StatementRow {
    pub(super) fn read(self) -> Result<Closed, OutOfPlace> {
        let balance = match (self.balance, self.block_height, self.block_hash, self.block_time) {
            (Some(held), Some(height), Some(hash), Some(time)) => Some(Balance {
                block: ChainPoint {
                    height: unsigned("block_height", height)?,
                    hash,
                    time: Timestamp(unsigned("block_time", time)?),
                },
                amount: amount("balance", &held)?,
            }),
            _ => None,
        };
        Ok(Closed {
            statement: Statement {
                id: StatementId::from_uuid(self.id),
                account: Account {
                    network: network_of(&self.network)?,
                    asset: self.asset,
                    pay_to: self.pay_to,
                },
                sequence: unsigned("sequence", self.sequence)?,
                period: Period {
                    starts: Timestamp(unsigned("starts_at", self.starts_at)?),
                    ends: Timestamp(unsigned("ends_at", self.ends_at)?),
                },
                opening: amount("opening", &self.opening)?,
                credits: amount("credits", &self.credits)?,
                late_credits: amount("late_credits", &self.late_credits)?,
                other_credits: self.other_credits.parse().map_err(|_| OutOfPlace("other_credits"))?,
                debits: amount("debits", &self.debits)?,
                refunds: amount("refunds", &self.refunds)?,
                unexplained: self.unexplained.parse().map_err(|_| OutOfPlace("unexplained"))?,
                closing: amount("closing", &self.closing)?,
                balance,
                gas: amount("gas", &self.gas)?,
                lines: unsigned("lines", self.lines)?,
                late: unsigned("late", self.late)?,
                merkle_root: self.merkle_root,
                previous: self.previous,
            },
            hash: self.hash,
            at: self.created_at,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct LineRow {
    asset: String,
    pay_to: String,
    payment_id: Uuid,
    refund_id: Option<Uuid>,
    amount: String,
    landed_tx: String,
    landed_log_index: i64,
    landed_height: i64,
    landed_hash: String,
    landed_time: i64,
}

impl LineRow {
    pub(super) fn account(&self, network: &NetworkId) -> Account {
        Account {
            network: network.clone(),
            asset: self.asset.clone(),
            pay_to: self.pay_to.clone(),
        }
    }

    pub(super) fn read(self) -> Result<Line, OutOfPlace> {
        Ok(Line {
            payment: PaymentId::from_uuid(self.payment_id),
            refund: self.refund_id.map(RefundId::from_uuid),
            amount: amount("amount", &self.amount)?,
            tx: TxId(self.landed_tx),
            log_index: unsigned("landed_log_index", self.landed_log_index)?,
            block: ChainPoint {
                height: unsigned("landed_height", self.landed_height)?,
                hash: self.landed_hash,
                time: Timestamp(unsigned("landed_time", self.landed_time)?),
            },
        })
    }
}

#[derive(sqlx::FromRow)]
struct DetailRow {
    #[sqlx(flatten)]
    line: LineRow,
    payer: String,
    reference: Option<String>,
}

impl DetailRow {
    fn read(self) -> Result<Detail, OutOfPlace> {
        Ok(Detail {
            line: self.line.read()?,
            payer: self.payer,
            reference: self.reference,
        })
    }
}

impl Store {
    /// The statement of this id.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn statement_get(&self, id: StatementId) -> Result<Option<Closed>, StoreFault> {
        let operation = "statement_get";
        let row: Option<StatementRow> = sqlx::query_as(GET)
            .bind(id.as_uuid())
            .bind(self.seen())
            .fetch_optional(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        row.map(StatementRow::read)
            .transpose()
            .map_err(OutOfPlace::during(operation))
    }

    /// The statements that the filter lets through, in the order in which they were closed, from just after this one on, at
    /// most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn statements_find(
        &self,
        filter: &StatementFilter,
        after: Option<StatementId>,
        limit: u16,
    ) -> Result<Vec<Closed>, StoreFault> {
        let operation = "statements_find";
        let time = |time: Option<Timestamp>, other: i64| {
            let seconds = time.map(|it| signed("starts_at", it.0)).transpose();
            seconds
                .map(|it| it.unwrap_or(other))
                .map_err(OutOfPlace::during(operation))
        };
        let rows: Vec<StatementRow> = sqlx::query_as(FIND)
            .bind(after.map_or(Uuid::nil(), |id| id.as_uuid()))
            .bind(filter.network.as_ref().map(NetworkId::as_str))
            .bind(&filter.asset)
            .bind(&filter.pay_to)
            .bind(time(filter.from, 0)?)
            .bind(time(filter.before, i64::MAX)?)
            .bind(i64::from(limit))
            .bind(self.seen())
            .fetch_all(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = rows.into_iter().map(StatementRow::read).collect::<Result<_, _>>();
        read.map_err(OutOfPlace::during(operation))
    }

    /// The statement's lines from the one at `position` on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a column is not what it must be.
    pub async fn statement_lines(&self, id: StatementId, position: u64, limit: u16) -> Result<Vec<Detail>, StoreFault> {
        let operation = "statement_lines";
        let rows: Vec<DetailRow> = sqlx::query_as(LINES)
            .bind(id.as_uuid())
            .bind(signed("position", position).map_err(OutOfPlace::during(operation))?)
            .bind(i64::from(limit))
            .bind(self.seen())
            .fetch_all(&mut *self.reading(operation).await?)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = rows.into_iter().map(DetailRow::read).collect::<Result<_, _>>();
        read.map_err(OutOfPlace::during(operation))
    }
}
