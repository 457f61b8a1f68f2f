//! Closing a period's statements.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use sqlx::postgres::PgConnection;

use super::notices::{self, Notice, Whose};
use super::rows::{OutOfPlace, amount, signed, unsigned};
use super::statements::{LineRow, StatementRow, closed, tenant_of};
use super::{Store, StoreFault, commit};
use crate::domain::amount::Amount;
use crate::domain::event::STATEMENT_CLOSED;
use crate::domain::id::StatementId;
use crate::domain::network::NetworkId;
use crate::domain::statement::{Account, Bounds, Entry, Line, Period, Shown, Statement};
use crate::domain::time::Timestamp;

/// Seconds that the database's clock may be off the chain's: so much before its block something may seem to be final.
pub(super) const SKEW_MAX: i64 = 3_600;

/// What refuses what another process has closed.
const ONCE: [&str; 4] = [
    "statements_name",
    "statements_period_once",
    "statement_lines_payment_once",
    "statement_lines_refund_once",
];

/// Rows that one statement writes.
const CHUNK: usize = 5_000;

/// `open!("...")`: what is final, landed before `$3` and is on no statement: of `payments p` and `settlements s`. Those
/// that became final before `$2` are on one. What pays a refund is no sale: it is among the debits of where it left.
macro_rules! open {
    () => {
        "s.state = 'final' and s.final_at >= to_timestamp($2) and p.network = $1 and s.landed_time < $3
            and not exists (select 1 from statement_lines l where l.payment_id = s.payment_id)
            and not exists (select 1 from refund_attempts a where a.key = p.key)"
    };
}

statements! {
    LAST_CLOSED = "select max(ends_at) from statements where network = $1";
    // Those that became final first: after a long time without statements, their number has no bound.
    FIRST_OPEN = concat!("select min(o.landed_time) from (
            select s.landed_time from settlements s join payments p on p.id = s.payment_id where ", open!(), "
            order by s.final_at, s.payment_id limit 1000) o");
    FIRST_MOVED = "select min(block_time) from observed_transfers where network = $1 and block_time >= $2";
    // A refund that we have paid is a line once that is on record.
    UNSETTLED = "select exists (select 1 from settlements s join payments p on p.id = s.payment_id
            where s.state = 'confirmed' and p.network = $1 and s.landed_time < $2)
        or exists (select 1 from refunds r
            join refund_attempts a on a.refund_id = r.id and a.attempt = r.attempts
            join payments p on p.key = a.key join settlements s on s.payment_id = p.id
            where r.network = $1 and r.state = 'executing' and r.is_out and s.landed_time < $2)";
    DUE = concat!("select a.asset, a.pay_to, min(a.height) as first_height,
            (select o.block_height from observed_transfers o
                where o.network = $1 and o.asset = a.asset and o.holder = a.pay_to and o.block_time < $3
                order by o.block_time desc, o.block_height desc limit 1) as last_height,
            not exists (select 1 from statements t
                where t.network = $1 and t.asset = a.asset and t.pay_to = a.pay_to) as is_first
        from (
            select p.asset, p.pay_to, s.landed_height as height
                from settlements s join payments p on p.id = s.payment_id where ", open!(), "
            union all
            select o.asset, o.holder, o.block_height from observed_transfers o
                where o.network = $1 and o.block_time >= $4 and o.block_time < $3
        ) as a
        group by a.asset, a.pay_to order by a.asset, a.pay_to");
    // What it consists of, in the chain's order. A transfer of an earlier day counts where that day's statement has seen it.
    OPEN = concat!("select p.asset, p.pay_to, p.id as payment_id, null::uuid as refund_id, p.amount::text as amount, s.landed_tx, s.landed_log_index,
            s.landed_height, s.landed_hash, s.landed_time,
            (select o.amount::text from observed_transfers o
                where o.network = p.network and o.tx = s.landed_tx and o.log_index = s.landed_log_index
                    and o.direction = 'credit' and o.holder = p.pay_to and o.asset = p.asset
                    and (o.block_time >= $4 or exists (select 1 from statements t
                        where t.network = o.network and t.asset = o.asset and t.pay_to = o.holder
                            and t.starts_at <= o.block_time and t.ends_at > o.block_time
                            and t.created_at >= o.created_at))) as counted,
            (select sum(case e.credit when 'facilitator:gas' then -e.amount else e.amount end)::text
                from ledger_entries e where e.payment_id = p.id and e.purpose = 'gas') as gas
        from settlements s join payments p on p.id = s.payment_id where ", open!(), "
        order by p.asset, p.pay_to, s.landed_height, s.landed_log_index, p.id");
    // The refunds that left each account in the period, of those that are among its debits.
    REFUNDED = "select o.asset, o.holder as pay_to, r.payment_id, r.id as refund_id, r.amount::text as amount,
            r.paid_tx as landed_tx, r.paid_log_index as landed_log_index, r.paid_height as landed_height,
            r.paid_hash as landed_hash, r.paid_time as landed_time, null::text as counted, null::text as gas
        from refunds r join observed_transfers o on o.network = r.network and o.tx = r.paid_tx and o.asset = r.asset
            and o.log_index = r.paid_log_index and o.direction = 'debit' and o.holder = coalesce(r.wallet, r.pay_to)
        where r.network = $1 and r.paid_time >= $2 and r.paid_time < $3
            and not exists (select 1 from statement_lines l where l.refund_id = r.id)
        order by o.asset, o.holder, r.paid_height, r.paid_log_index, r.id";
    MOVED = "select asset, holder as pay_to, coalesce(sum(amount) filter (where direction = 'credit'), 0)::text as credits,
            coalesce(sum(amount) filter (where direction = 'debit'), 0)::text as debits
        from observed_transfers where network = $1 and block_time >= $2 and block_time < $3
        group by asset, holder";
    PREVIOUS = closed!("join (select n.asset, n.pay_to, (select max(o.sequence) from statements o
                where o.network = $1 and o.asset = n.asset and o.pay_to = n.pay_to) as sequence
            from unnest($2::text[], $3::text[]) as n(asset, pay_to)) as a
            on a.asset = t.asset and a.pay_to = t.pay_to and a.sequence = t.sequence
        where t.network = $1");
    CLOSE = concat!("insert into statements (id, network, asset, pay_to, sequence, starts_at, ends_at, opening, credits,
            late_credits, other_credits, debits, unexplained, closing, balance, block_height, block_hash, block_time, gas,
            lines, late, merkle_root, previous, hash, refunds, created_at, tenant)
        values ($1, $2, $3, $4, $5, $6, $7, $8::text::numeric, $9::text::numeric, $10::text::numeric,
            $11::text::numeric, $12::text::numeric, $13::text::numeric, $14::text::numeric, $15::text::numeric, $16,
            $17, $18, $19::text::numeric, $20, $21, $22, $23, $24, $25::text::numeric, now(), ", tenant_of!("$26", "$2", "$4"), ")");
    LINES_ADD = "insert into statement_lines (network, asset, pay_to, sequence, position, payment_id, refund_id)
        select $1, $2, $3, $4, n.position, n.payment_id, n.refund_id
        from unnest($5::bigint[], $6::uuid[], $7::uuid[]) as n(position, payment_id, refund_id)";
}

/// An account that a period's statement is due of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub account: Account,
    /// The height of the first block that counts.
    pub first_height: u64,
    /// That of the last transfer that was seen before the period's end.
    pub last_height: Option<u64>,
    /// The account has no statement yet.
    pub is_first: bool,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    asset: String,
    pay_to: String,
    first_height: i64,
    last_height: Option<i64>,
    is_first: bool,
}

impl DueRow {
    fn read(self, network: &NetworkId) -> Result<Due, OutOfPlace> {
        let last = self.last_height.map(|it| unsigned("last_height", it)).transpose()?;
        Ok(Due {
            account: Account {
                network: network.clone(),
                asset: self.asset,
                pay_to: self.pay_to,
            },
            first_height: unsigned("first_height", self.first_height)?,
            last_height: last,
            is_first: self.is_first,
        })
    }
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    #[sqlx(flatten)]
    line: LineRow,
    counted: Option<String>,
    gas: Option<String>,
}

impl EntryRow {
    fn read(self) -> Result<Entry, OutOfPlace> {
        let optional = |column, text: Option<String>| text.map(|it| amount(column, &it)).transpose();
        Ok(Entry {
            counted: optional("counted", self.counted)?,
            gas: optional("gas", self.gas)?.unwrap_or(Amount::ZERO),
            line: self.line.read()?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct MovedRow {
    asset: String,
    pay_to: String,
    credits: String,
    debits: String,
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

    /// The earliest block time of what is due to be on a statement of the network: of the payments that have been final for
    /// longest without being on one, and of the transfers since the newest closed period.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn statements_open(&self, network: &NetworkId) -> Result<Option<Timestamp>, StoreFault> {
        let operation = "statements_open";
        let closed = self.statements_closed(network).await?;
        let mut first: Option<i64> = sqlx::query_scalar(FIRST_OPEN)
            .bind(network.as_str())
            .bind(since(operation, closed)?)
            .bind(i64::MAX)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let moved: Option<i64> = sqlx::query_scalar(FIRST_MOVED)
            .bind(network.as_str())
            .bind(seconds(operation, closed)?)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        first = first.into_iter().chain(moved).min();
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

    /// The accounts of the network that this period's statement is due of: something of theirs moved in it, or is final,
    /// landed before its end and is on no statement yet. `starts` is not before the end of the newest closed period.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn statements_due(&self, network: &NetworkId, period: Period) -> Result<Vec<Due>, StoreFault> {
        let operation = "statements_due";
        let closed = self.statements_closed(network).await?;
        let rows: Vec<DueRow> = sqlx::query_as(DUE)
            .persistent(false)
            .bind(network.as_str())
            .bind(since(operation, closed)?)
            .bind(seconds(operation, Some(period.ends))?)
            .bind(seconds(operation, Some(period.starts))?)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let due: Result<_, _> = rows.into_iter().map(|row| row.read(network)).collect();
        due.map_err(OutOfPlace::during(operation))
    }

    /// Closes the period for every account that it is due of, with what is known of what they held. All of it or nothing is
    /// written; nothing where this period or a later one of the network is closed already, where another process closes it at
    /// the same time, or where it is due of an account that `held` does not name: it became so meanwhile. Holds the lines in
    /// memory.
    ///
    /// # Errors
    /// [`StoreFault::Corrupt`] where sums are beyond all amounts; [`StoreFault::Unavailable`];
    /// [`StoreFault::OutcomeUnknown`].
    pub async fn statements_close(
        &self,
        network: &NetworkId,
        period: Period,
        held: &HashMap<Account, Bounds>,
    ) -> Result<Vec<Statement>, StoreFault> {
        let operation = "statements_close";
        let last = self.statements_closed(network).await?;
        if last > Some(period.starts) {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin(operation).await?;
        let mut entries = entries(&mut transaction, operation, network, period, last).await?;
        let moved = moved(&mut transaction, operation, network, period).await?;
        for account in moved.keys() {
            entries.entry(account.clone()).or_default();
        }
        let previous = previous(&mut transaction, operation, network, entries.keys()).await?;
        let mut closed = Vec::new();
        for (account, entries) in entries {
            let before = previous.get(&account);
            let Some(bounds) = held
                .get(&account)
                .filter(|_| before.is_none_or(|it| it.period.ends <= period.starts))
            else {
                return Ok(Vec::new());
            };
            let shown = Shown {
                held: bounds.clone(),
                ..moved.get(&account).cloned().unwrap_or_default()
            };
            let statement = Statement::close(StatementId::mint(), account, before, period, &entries, shown)
                .map_err(|_| OutOfPlace("closing"))
                .map_err(OutOfPlace::during(operation))?;
            match write(&mut transaction, operation, &statement, &entries).await {
                Err(fault) if is_closed_by_another(&fault) => return Ok(Vec::new()),
                written => written?,
            }
            closed.push(statement);
        }
        let told: Vec<Notice> = closed.iter().map(notice).collect();
        notices::add(&mut transaction, operation, &told).await?;
        commit(transaction, operation).await?;
        Ok(closed)
    }
}

fn notice(statement: &Statement) -> Notice {
    let Account { network, asset, pay_to } = &statement.account;
    Notice {
        kind: STATEMENT_CLOSED,
        subject: format!("{network}/{asset}/{pay_to}"),
        whose: Whose::Records(statement.id.as_uuid()),
        data: json!({
            "id": statement.id,
            "network": network.as_str(),
            "asset": asset,
            "payTo": pay_to,
            "sequence": statement.sequence,
            "startsAt": statement.period.starts.0,
            "endsAt": statement.period.ends.0,
            "opening": statement.opening.to_string(),
            "credits": statement.credits.to_string(),
            "lateCredits": statement.late_credits.to_string(),
            "otherCredits": statement.other_credits.to_string(),
            "debits": statement.debits.to_string(),
            "refunds": statement.refunds.to_string(),
            "unexplained": statement.unexplained.to_string(),
            "closing": statement.closing.to_string(),
            "lines": statement.lines,
            "hash": hex::encode(statement.hash()),
        }),
    }
}

/// When what is on no statement can have become final at the earliest, in Unix seconds.
fn since(operation: &'static str, closed: Option<Timestamp>) -> Result<f64, StoreFault> {
    let earliest = seconds(operation, closed)?.saturating_sub(SKEW_MAX).max(0);
    Ok(f64::from(u32::try_from(earliest).unwrap_or(u32::MAX)))
}

/// The time as the database keeps it; the beginning of all for none.
fn seconds(operation: &'static str, time: Option<Timestamp>) -> Result<i64, StoreFault> {
    let seconds = time.map_or(Ok(0), |it| signed("ends_at", it.0));
    seconds.map_err(OutOfPlace::during(operation))
}

/// What is to be on the period's statements, by account: the payments in the chain's order, then the refunds.
async fn entries(
    connection: &mut PgConnection,
    operation: &'static str,
    network: &NetworkId,
    period: Period,
    last: Option<Timestamp>,
) -> Result<BTreeMap<Account, Vec<Entry>>, StoreFault> {
    let rows: Vec<EntryRow> = sqlx::query_as(OPEN)
        .persistent(false)
        .bind(network.as_str())
        .bind(since(operation, last)?)
        .bind(seconds(operation, Some(period.ends))?)
        .bind(seconds(operation, Some(period.starts))?)
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let refunded: Vec<EntryRow> = sqlx::query_as(REFUNDED)
        .persistent(false)
        .bind(network.as_str())
        .bind(seconds(operation, Some(period.starts))?)
        .bind(seconds(operation, Some(period.ends))?)
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let mut entries: BTreeMap<Account, Vec<Entry>> = BTreeMap::new();
    for row in rows.into_iter().chain(refunded) {
        let of_account = entries.entry(row.line.account(network)).or_default();
        of_account.push(row.read().map_err(OutOfPlace::during(operation))?);
    }
    Ok(entries)
}

/// What came into each account and went out in the period, as far as it was read.
async fn moved(
    connection: &mut PgConnection,
    operation: &'static str,
    network: &NetworkId,
    period: Period,
) -> Result<HashMap<Account, Shown>, StoreFault> {
    let rows: Vec<MovedRow> = sqlx::query_as(MOVED)
        .bind(network.as_str())
        .bind(seconds(operation, Some(period.starts))?)
        .bind(seconds(operation, Some(period.ends))?)
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let read = rows.into_iter().map(|row| {
        let shown = Shown {
            credits: amount("credits", &row.credits)?,
            debits: amount("debits", &row.debits)?,
            held: Bounds::default(),
        };
        let account = Account {
            network: network.clone(),
            asset: row.asset,
            pay_to: row.pay_to,
        };
        Ok((account, shown))
    });
    read.collect::<Result<_, _>>().map_err(OutOfPlace::during(operation))
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
    entries: &[Entry],
) -> Result<(), StoreFault> {
    let number = |what, value| signed(what, value).map_err(OutOfPlace::during(operation));
    let account = &statement.account;
    let sequence = number("sequence", statement.sequence)?;
    let block = statement.balance.as_ref().map(|it| &it.block);
    let optional = |what, value: Option<u64>| value.map(|it| number(what, it)).transpose();
    sqlx::query(CLOSE)
        .bind(statement.id.as_uuid())
        .bind(account.network.as_str())
        .bind(&account.asset)
        .bind(&account.pay_to)
        .bind(sequence)
        .bind(number("starts_at", statement.period.starts.0)?)
        .bind(number("ends_at", statement.period.ends.0)?)
        .bind(statement.opening.to_string())
        .bind(statement.credits.to_string())
        .bind(statement.late_credits.to_string())
        .bind(statement.other_credits.to_string())
        .bind(statement.debits.to_string())
        .bind(statement.unexplained.to_string())
        .bind(statement.closing.to_string())
        .bind(statement.balance.as_ref().map(|it| it.amount.to_string()))
        .bind(optional("block_height", block.map(|it| it.height))?)
        .bind(block.map(|it| it.hash.as_str()))
        .bind(optional("block_time", block.map(|it| it.time.0))?)
        .bind(statement.gas.to_string())
        .bind(number("lines", statement.lines)?)
        .bind(number("late", statement.late)?)
        .bind(statement.merkle_root)
        .bind(statement.previous)
        .bind(statement.hash())
        .bind(statement.refunds.to_string())
        .bind(entries.iter().map(|it| it.line.payment.as_uuid()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let places: Vec<(i64, &Line)> = (0..).zip(entries.iter().map(|it| &it.line)).collect();
    for chunk in places.chunks(CHUNK) {
        let of_refund = |it: &Line| it.refund.map(|it| it.as_uuid());
        let of_payment = |it: &Line| it.refund.is_none().then(|| it.payment.as_uuid());
        sqlx::query(LINES_ADD)
            .bind(account.network.as_str())
            .bind(&account.asset)
            .bind(&account.pay_to)
            .bind(sequence)
            .bind(chunk.iter().map(|(position, _)| *position).collect::<Vec<_>>())
            .bind(chunk.iter().map(|(_, it)| of_payment(it)).collect::<Vec<_>>())
            .bind(chunk.iter().map(|(_, it)| of_refund(it)).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::reading(operation))?;
    }
    Ok(())
}

fn is_closed_by_another(fault: &StoreFault) -> bool {
    fault.constraint().is_some_and(|it| ONCE.contains(&it))
}
