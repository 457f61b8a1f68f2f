//! Statements: closing a day's, and reading what was closed.
//!
//! What is on a line beside its place is the payment's own row, which nothing changes once it is final.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::notices::{self, Notice};
use super::rows::{OutOfPlace, amount, signed, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::event::STATEMENT_CLOSED;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::statement::{Account, Hash, Line, Period, Statement};
use crate::domain::time::Timestamp;

/// How far the database's clock may be off the chain's, in seconds: what became final by the one may seem to have done so
/// this much before its block by the other.
const SKEW_MAX: i64 = 3_600;

/// Rows that one statement writes.
const CHUNK: usize = 5_000;

statements! {
    LAST_CLOSED = "select max(ends_at) from statements where network = $1";
    // Those that became final first: after a long time without statements, their number has no bound.
    FIRST_OPEN = "select min(o.landed_time) from (
            select s.landed_time from settlements s join payments p on p.id = s.payment_id
            where s.state = 'final' and s.final_at >= to_timestamp($2) and p.network = $1
                and not exists (select 1 from statement_lines l where l.payment_id = s.payment_id)
            order by s.final_at, s.payment_id limit 1000) o";
    UNSETTLED = "select exists (select 1 from settlements s join payments p on p.id = s.payment_id
        where s.state = 'confirmed' and p.network = $1 and s.landed_time < $2)";
    // What a statement consists of, in the order of the chain.
    OPEN = "select p.asset, p.pay_to, p.id as payment_id, p.amount::text as amount, s.landed_tx, s.landed_log_index,
            s.landed_height, s.landed_hash, s.landed_time
        from settlements s join payments p on p.id = s.payment_id
        where s.state = 'final' and s.final_at >= to_timestamp($2) and p.network = $1 and s.landed_time < $3
            and not exists (select 1 from statement_lines l where l.payment_id = s.payment_id)
        order by p.asset, p.pay_to, s.landed_height, s.landed_log_index, p.id";
    PREVIOUS = "select distinct on (t.asset, t.pay_to) t.network, t.asset, t.pay_to, t.sequence, t.starts_at, t.ends_at,
            t.opening::text as opening, t.credits::text as credits, t.closing::text as closing, t.lines, t.late,
            t.merkle_root, t.previous, t.hash, t.created_at
        from statements t join unnest($2::text[], $3::text[]) as a(asset, pay_to)
            on a.asset = t.asset and a.pay_to = t.pay_to
        where t.network = $1
        order by t.asset, t.pay_to, t.sequence desc";
    CLOSE = "insert into statements (network, asset, pay_to, sequence, starts_at, ends_at, opening, credits, closing, lines,
            late, merkle_root, previous, hash, created_at)
        values ($1, $2, $3, $4, $5, $6, $7::text::numeric, $8::text::numeric, $9::text::numeric, $10, $11, $12, $13, $14,
            now())";
    LINES_ADD = "insert into statement_lines (network, asset, pay_to, sequence, position, payment_id)
        select $1, $2, $3, $4, n.position, n.payment_id from unnest($5::bigint[], $6::uuid[]) as n(position, payment_id)";
    LIST = "select t.network, t.asset, t.pay_to, t.sequence, t.starts_at, t.ends_at, t.opening::text as opening,
            t.credits::text as credits, t.closing::text as closing, t.lines, t.late, t.merkle_root, t.previous, t.hash,
            t.created_at
        from statements t
        where t.network = $1 and t.asset = $2 and t.pay_to = $3 and t.sequence > $4
        order by t.sequence limit $5";
    LINES = "select p.asset, p.pay_to, p.id as payment_id, p.amount::text as amount, s.landed_tx, s.landed_log_index,
            s.landed_height, s.landed_hash, s.landed_time
        from statement_lines l join payments p on p.id = l.payment_id join settlements s on s.payment_id = l.payment_id
        where l.network = $1 and l.asset = $2 and l.pay_to = $3 and l.sequence = $4 and l.position >= $5
        order by l.position limit $6";
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
struct StatementRow {
    network: String,
    asset: String,
    pay_to: String,
    sequence: i64,
    starts_at: i64,
    ends_at: i64,
    opening: String,
    credits: String,
    closing: String,
    lines: i64,
    late: i64,
    merkle_root: Hash,
    previous: Option<Hash>,
    hash: Hash,
    created_at: DateTime<Utc>,
}

impl StatementRow {
    fn read(self) -> Result<Closed, OutOfPlace> {
        let network = self.network.parse();
        Ok(Closed {
            statement: Statement {
                account: Account {
                    network: network.map_err(|_| OutOfPlace("network"))?,
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
                closing: amount("closing", &self.closing)?,
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
struct LineRow {
    asset: String,
    pay_to: String,
    payment_id: Uuid,
    amount: String,
    landed_tx: String,
    landed_log_index: i64,
    landed_height: i64,
    landed_hash: String,
    landed_time: i64,
}

impl LineRow {
    fn read(self) -> Result<Line, OutOfPlace> {
        Ok(Line {
            payment: PaymentId::from_uuid(self.payment_id),
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

impl Store {
    /// The end of the newest period of the network that is closed; none when nothing was.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn statements_closed(&self, network: &NetworkId) -> Result<Option<Timestamp>, StoreFault> {
        let operation = "statements_closed";
        let last: Option<i64> = sqlx::query_scalar(LAST_CLOSED)
            .bind(network.as_str())
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let last = last.map(|ends| unsigned("ends_at", ends).map(Timestamp)).transpose();
        last.map_err(OutOfPlace::during(operation))
    }

    /// The earliest block time among the payments of the network that have been final for longest without being on a
    /// statement.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn statements_open(&self, network: &NetworkId) -> Result<Option<Timestamp>, StoreFault> {
        let operation = "statements_open";
        let since = since(operation, self.statements_closed(network).await?)?;
        let first: Option<i64> = sqlx::query_scalar(FIRST_OPEN)
            .bind(network.as_str())
            .bind(since)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let first = first
            .map(|time| unsigned("landed_time", time).map(Timestamp))
            .transpose();
        first.map_err(OutOfPlace::during(operation))
    }

    /// Whether something of the network has landed before this block time that is not final yet.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn statements_unsettled(&self, network: &NetworkId, before: Timestamp) -> Result<bool, StoreFault> {
        let operation = "statements_unsettled";
        sqlx::query_scalar(UNSETTLED)
            .bind(network.as_str())
            .bind(signed("landed_time", before.0).map_err(OutOfPlace::during(operation))?)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))
    }

    /// Closes the period for every account of the network that has something of it: all that is final, landed before the
    /// period's end and is on no statement yet. All of it or nothing is written; nothing where this period or a later one of
    /// the network is closed already, or another process closes it at the same time. Holds the lines in memory.
    ///
    /// # Errors
    /// [`StoreFault::Corrupt`] where sums are beyond all amounts; [`StoreFault::Unavailable`];
    /// [`StoreFault::OutcomeUnknown`].
    pub async fn statements_close(&self, network: &NetworkId, period: Period) -> Result<Vec<Statement>, StoreFault> {
        let operation = "statements_close";
        let last = self.statements_closed(network).await?;
        if last >= Some(period.ends) {
            return Ok(Vec::new());
        }
        let since = since(operation, last)?;
        let ends = signed("ends_at", period.ends.0).map_err(OutOfPlace::during(operation))?;
        let mut transaction = self.begin(operation).await?;
        let rows: Vec<LineRow> = sqlx::query_as(OPEN)
            .persistent(false)
            .bind(network.as_str())
            .bind(since)
            .bind(ends)
            .fetch_all(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let mut lines: BTreeMap<Account, Vec<Line>> = BTreeMap::new();
        for row in rows {
            let account = Account {
                network: network.clone(),
                asset: row.asset.clone(),
                pay_to: row.pay_to.clone(),
            };
            let line = row.read().map_err(OutOfPlace::during(operation))?;
            lines.entry(account).or_default().push(line);
        }
        let previous = previous(&mut transaction, operation, network, lines.keys()).await?;
        let mut closed = Vec::new();
        for (account, lines) in lines {
            let before = previous.get(&account);
            let starts = before.map_or(period.starts, |it| it.period.ends.max(period.starts));
            if starts >= period.ends {
                // Another process has closed it between the two reads.
                return Ok(Vec::new());
            }
            let period = Period { starts, ..period };
            let statement = Statement::close(account, before, period, &lines)
                .map_err(|_| OutOfPlace("closing"))
                .map_err(OutOfPlace::during(operation))?;
            match write(&mut transaction, operation, &statement, &lines).await {
                Err(fault) if is_closed_by_another(&fault) => return Ok(Vec::new()),
                written => written?,
            }
            closed.push(statement);
        }
        let told: Vec<Notice> = closed.iter().map(notice).collect();
        notices::add(&mut transaction, operation, &told).await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(closed)
    }

    /// The account's statements after the one of this sequence (0: from the first), at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn statements_list(&self, account: &Account, after: u64, limit: u16) -> Result<Vec<Closed>, StoreFault> {
        let operation = "statements_list";
        let rows: Vec<StatementRow> = sqlx::query_as(LIST)
            .bind(account.network.as_str())
            .bind(&account.asset)
            .bind(&account.pay_to)
            .bind(signed("sequence", after).map_err(OutOfPlace::during(operation))?)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = rows.into_iter().map(StatementRow::read).collect::<Result<_, _>>();
        read.map_err(OutOfPlace::during(operation))
    }

    /// The statement's lines from the one at `position` on, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn statement_lines(
        &self,
        account: &Account,
        sequence: u64,
        position: u64,
        limit: u16,
    ) -> Result<Vec<Line>, StoreFault> {
        let operation = "statement_lines";
        let number = |what, value| signed(what, value).map_err(OutOfPlace::during(operation));
        let rows: Vec<LineRow> = sqlx::query_as(LINES)
            .bind(account.network.as_str())
            .bind(&account.asset)
            .bind(&account.pay_to)
            .bind(number("sequence", sequence)?)
            .bind(number("position", position)?)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = rows.into_iter().map(LineRow::read).collect::<Result<_, _>>();
        read.map_err(OutOfPlace::during(operation))
    }
}

fn notice(statement: &Statement) -> Notice {
    let Account { network, asset, pay_to } = &statement.account;
    Notice {
        kind: STATEMENT_CLOSED,
        subject: format!("{network}/{asset}/{pay_to}"),
        data: json!({
            "network": network.as_str(),
            "asset": asset,
            "payTo": pay_to,
            "sequence": statement.sequence,
            "startsAt": statement.period.starts.0,
            "endsAt": statement.period.ends.0,
            "opening": statement.opening.to_string(),
            "credits": statement.credits.to_string(),
            "closing": statement.closing.to_string(),
            "lines": statement.lines,
            "hash": hex::encode(statement.hash()),
        }),
    }
}

/// When what is on no statement can have become final at the earliest, in Unix seconds.
fn since(operation: &'static str, closed: Option<Timestamp>) -> Result<f64, StoreFault> {
    let ends = closed.map_or(Ok(0), |ends| signed("ends_at", ends.0));
    let ends = ends.map_err(OutOfPlace::during(operation))?;
    let seconds = u32::try_from(ends.saturating_sub(SKEW_MAX).max(0)).unwrap_or(u32::MAX);
    Ok(f64::from(seconds))
}

async fn previous(
    connection: &mut PgConnection,
    operation: &'static str,
    network: &NetworkId,
    accounts: impl Iterator<Item = &Account>,
) -> Result<BTreeMap<Account, Statement>, StoreFault> {
    let (assets, recipients): (Vec<&str>, Vec<&str>) =
        accounts.map(|it| (it.asset.as_str(), it.pay_to.as_str())).unzip();
    let rows: Vec<StatementRow> = sqlx::query_as(PREVIOUS)
        .bind(network.as_str())
        .bind(assets)
        .bind(recipients)
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let read = rows.into_iter().map(|row| {
        let statement = row.read()?.statement;
        Ok((statement.account.clone(), statement))
    });
    read.collect::<Result<_, _>>().map_err(OutOfPlace::during(operation))
}

async fn write(
    connection: &mut PgConnection,
    operation: &'static str,
    statement: &Statement,
    lines: &[Line],
) -> Result<(), StoreFault> {
    let number = |what, value| signed(what, value).map_err(OutOfPlace::during(operation));
    let account = &statement.account;
    let sequence = number("sequence", statement.sequence)?;
    sqlx::query(CLOSE)
        .bind(account.network.as_str())
        .bind(&account.asset)
        .bind(&account.pay_to)
        .bind(sequence)
        .bind(number("starts_at", statement.period.starts.0)?)
        .bind(number("ends_at", statement.period.ends.0)?)
        .bind(statement.opening.to_string())
        .bind(statement.credits.to_string())
        .bind(statement.closing.to_string())
        .bind(number("lines", statement.lines)?)
        .bind(number("late", statement.late)?)
        .bind(statement.merkle_root)
        .bind(statement.previous)
        .bind(statement.hash())
        .execute(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let places: Vec<(i64, Uuid)> = (0..).zip(lines.iter().map(|line| line.payment.as_uuid())).collect();
    for chunk in places.chunks(CHUNK) {
        let (positions, payments): (Vec<i64>, Vec<Uuid>) = chunk.iter().copied().unzip();
        sqlx::query(LINES_ADD)
            .bind(account.network.as_str())
            .bind(&account.asset)
            .bind(&account.pay_to)
            .bind(sequence)
            .bind(positions)
            .bind(payments)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::reading(operation))?;
    }
    Ok(())
}

fn is_closed_by_another(fault: &StoreFault) -> bool {
    matches!(
        fault.constraint(),
        Some("statements_name" | "statements_period_once" | "statement_lines_payment_once")
    )
}
