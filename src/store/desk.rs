//! What an operator looks at: the newest payments, and all that is on record of one.
//!
//! Every statement walks an index and ends after a stated number of rows, so that a look costs the same however much is
//! on record.

use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{FromRow, Row};

use super::rows::{OutOfPlace, amount, network, unsigned};
use super::{Cursor, DateTime, Store, StoreFault, Utc};
use crate::domain::amount::Amount;
use crate::domain::event::EventId;
use crate::domain::id::{EndpointId, ExceptionId, PaymentId};
use crate::domain::network::NetworkId;
use crate::domain::settlement::State;

/// Payments from the newest on: `$lead` is the condition that an index begins with, `$at` and `$id` its order.
macro_rules! newest {
    ($lead:literal, $at:literal, $id:literal) => {
        concat!(
            "select p.id, p.network, p.asset, p.amount::text as amount, p.payer, p.pay_to, p.resource_url,
                p.merchant_reference, p.order_id, p.created_at, s.state, coalesce(s.landed_tx, s.tx, s.proof_tx) as tx,
                s.setback is not null as is_set_back, s.confirmed_at, s.final_at,
                (select r.state from reconciliations r where r.payment_id = p.id order by r.subject limit 1) as reconciliation
            from payments p join settlements s on s.payment_id = p.id
            where ",
            $lead,
            " (",
            $at,
            ", ",
            $id,
            ") < (coalesce($1::timestamptz, 'infinity'), $2) order by ",
            $at,
            " desc, ",
            $id,
            " desc limit $3"
        )
    };
}

statements! {
    NEWEST = newest!("", "p.created_at", "p.id");
    NEWEST_FINAL = newest!("s.state = 'final' and", "p.created_at", "p.id");
    NEWEST_IN_STATE = newest!("s.state = $4 and s.state <> 'final' and", "s.created_at", "s.payment_id");
    NEWEST_OF_PAYER = newest!("p.payer = $4 and", "p.created_at", "p.id");
    NEWEST_OF_RECIPIENT = newest!("p.pay_to = $4 and", "p.created_at", "p.id");
    NEWEST_WITH_NONCE = newest!("p.nonce = $4 and", "p.created_at", "p.id");
    TRANSACTIONS = "select a.attempt, a.seat, a.signer, a.nonce, t.tx, t.status, t.is_empty, t.cost::text as cost,
            t.cost_max::text as cost_max, t.block_height, t.block_time, t.created_at,
            (select count(*) from settlement_attempts n
                where n.network = a.network and n.signer = a.signer and n.nonce = a.nonce) as seats
        from settlement_attempts a
            join chain_transactions t on t.network = a.network and t.signer = a.signer and t.nonce = a.nonce
        where a.payment_id = $1 order by a.attempt, t.created_at, t.tx limit $2";
    EVIDENCE = "select version, claim, tx, log_index, block_height, block_hash, block_time, ours, created_at
        from evidence where payment_id = $1 order by version limit $2";
    LEDGER = "select version, purpose, stage, debit, credit, asset, amount::text as amount, correction, created_at
        from ledger_entries where payment_id = $1 order by version, created_at, id limit $2";
    DELIVERIES = "select d.endpoint_id, d.payment_id, d.version, e.kind, d.state, d.attempts, d.due_at, d.outcome, d.ended_at,
            d.created_at
        from events e cross join webhook_endpoints h
            join webhook_deliveries d on d.endpoint_id = h.id and d.source = 0 and d.seq = e.seq
        where e.payment_id = $1 order by e.version, h.id limit $2";
    NEWEST_DELIVERIES = "select d.endpoint_id, d.payment_id, d.version, e.kind, d.state, d.attempts, d.due_at, d.outcome,
            d.ended_at, d.created_at
        from webhook_deliveries d left join events e on e.payment_id = d.payment_id and e.version = d.version
        order by d.created_at desc limit $1";
    STANDINGS = "select r.id, r.state, r.reason, r.tx, r.block_height, r.since, r.handled, a.action, a.note, a.actor,
            a.created_at as acted_at
        from reconciliations r left join reconciliation_actions a on a.reconciliation_id = r.id
        where r.payment_id = $1 order by r.id, a.created_at limit $2";
}

/// The most rows of each kind that are shown of one payment. Real ones have a few.
const OF_ONE_MAX: i64 = 200;

/// Which payments to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// All.
    All,
    /// Those in one of these states.
    In(Vec<State>),
    /// Those that this account, canonical text, pays or is paid by.
    Of(String),
    /// Those whose authorization has this nonce, canonical text.
    With(String),
}

/// A payment in a list.
#[derive(Debug, Clone)]
pub struct Glimpse {
    /// Our name for it.
    pub id: PaymentId,
    /// Where it happens.
    pub network: NetworkId,
    /// In which asset.
    pub asset: String,
    /// Atomic units.
    pub amount: Amount,
    /// Who pays.
    pub payer: String,
    /// Who is paid.
    pub pay_to: String,
    /// What it buys.
    pub resource: Option<String>,
    /// The merchant's name for it.
    pub merchant_reference: Option<String>,
    /// The order that it pays.
    pub order_id: Option<String>,
    /// Where its money is.
    pub state: String,
    /// Its transaction was mined without moving its money.
    pub is_set_back: bool,
    /// The transaction that it landed, is under way or ended in.
    pub tx: Option<String>,
    /// How it stands against the chain; none before that was looked at.
    pub reconciliation: Option<String>,
    /// When it was first reserved.
    pub created_at: DateTime<Utc>,
    /// When it was confirmed.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When it became final.
    pub final_at: Option<DateTime<Utc>>,
}

/// A transaction of ours that carries a payment, or that used up a nonce of one that did.
#[derive(Debug, Clone)]
pub struct Carried {
    /// The how-manieth slot of the payment it is in, from 1.
    pub attempt: u64,
    /// The payment's place among those of the slot, from 0, and how many there are.
    pub seat: (u64, u64),
    /// The signer of the lane.
    pub signer: String,
    /// The nonce there.
    pub nonce: u64,
    /// Its name.
    pub tx: String,
    /// `signed`, `mined` or `dead`.
    pub status: String,
    /// It carries nothing and only uses the nonce up.
    pub is_empty: bool,
    /// What it cost in all, once it is mined, in the chain's smallest unit.
    pub cost: Option<Amount>,
    /// The most it can cost.
    pub cost_max: Amount,
    /// The block that has it, and that block's time in Unix seconds.
    pub block: Option<(u64, u64)>,
    /// When it was signed.
    pub created_at: DateTime<Utc>,
}

/// What the chain showed when a settlement took a version.
#[derive(Debug, Clone, FromRow)]
pub struct EvidenceRow {
    /// The version.
    pub version: i64,
    /// `landed`, or why it cannot.
    pub claim: String,
    /// In which transaction.
    pub tx: Option<String>,
    /// At which log.
    pub log_index: Option<i64>,
    /// The block's number.
    pub block_height: i64,
    /// Its hash.
    pub block_hash: String,
    /// Its time in Unix seconds.
    pub block_time: i64,
    /// The transaction is one of ours.
    pub ours: bool,
    /// When it was seen.
    pub created_at: DateTime<Utc>,
}

/// A balanced movement of the books.
#[derive(Debug, Clone, FromRow)]
pub struct LedgerRow {
    /// The version that moved it.
    pub version: i64,
    /// `payment` or `gas`.
    pub purpose: String,
    /// `pending`, `posted` or `voided`.
    pub stage: String,
    /// The account that is debited.
    pub debit: String,
    /// The account that is credited.
    pub credit: String,
    /// In which asset.
    pub asset: String,
    /// Atomic units, decimal.
    pub amount: String,
    /// 0 for what the event moved, from 1 for what has changed since.
    pub correction: i64,
    /// When it was booked.
    pub created_at: DateTime<Utc>,
}

/// What an endpoint was told.
#[derive(Debug, Clone)]
pub struct Telling {
    /// Who.
    pub endpoint: EndpointId,
    /// Of what; none of what is no payment's.
    pub event: Option<EventId>,
    /// Its kind.
    pub kind: Option<String>,
    /// Whose; none of what is no payment's.
    pub payment: Option<PaymentId>,
    /// `pending`, `delivered` or `given_up`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u64,
    /// When it is tried next, if it is pending.
    pub due_at: DateTime<Utc>,
    /// What the last attempt came to.
    pub outcome: Option<String>,
    /// When it was delivered or given up.
    pub ended_at: Option<DateTime<Utc>>,
    /// Since when it is to be delivered.
    pub created_at: DateTime<Utc>,
}

/// How a payment stands against the chain, with one thing that somebody did about it.
#[derive(Debug, Clone)]
pub struct Standpoint {
    /// Its name.
    pub id: ExceptionId,
    /// The state.
    pub state: String,
    /// Why.
    pub reason: String,
    /// The transaction that shows it.
    pub tx: Option<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What stands of what was done.
    pub handled: Option<String>,
    /// What was done, why, by whom and when.
    pub action: Option<(String, String, String, DateTime<Utc>)>,
}

/// All that is on record of a payment beside its record and its events.
#[derive(Debug, Clone)]
pub struct Story {
    /// Every transaction that it ever had, in the order of signing.
    pub transactions: Vec<Carried>,
    /// What the chain showed.
    pub evidence: Vec<EvidenceRow>,
    /// What the books moved.
    pub ledger: Vec<LedgerRow>,
    /// Who was told.
    pub deliveries: Vec<Telling>,
    /// How it stands against the chain.
    pub standpoints: Vec<Standpoint>,
}

impl FromRow<'_, PgRow> for Glimpse {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let decoded = |fault: OutOfPlace| sqlx::Error::Decode(fault.0.into());
        Ok(Self {
            id: PaymentId::from_uuid(row.try_get("id")?),
            network: network(row.try_get("network")?).map_err(decoded)?,
            asset: row.try_get("asset")?,
            amount: amount("amount", row.try_get("amount")?).map_err(decoded)?,
            payer: row.try_get("payer")?,
            pay_to: row.try_get("pay_to")?,
            resource: row.try_get("resource_url")?,
            merchant_reference: row.try_get("merchant_reference")?,
            order_id: row.try_get("order_id")?,
            state: row.try_get("state")?,
            is_set_back: row.try_get("is_set_back")?,
            tx: row.try_get("tx")?,
            reconciliation: row.try_get("reconciliation")?,
            created_at: row.try_get("created_at")?,
            confirmed_at: row.try_get("confirmed_at")?,
            final_at: row.try_get("final_at")?,
        })
    }
}

impl FromRow<'_, PgRow> for Carried {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let decoded = |fault: OutOfPlace| sqlx::Error::Decode(fault.0.into());
        let count = |column: &'static str| unsigned(column, row.try_get(column)?).map_err(decoded);
        let maybe = |column: &'static str| {
            let value: Option<i64> = row.try_get(column)?;
            value.map(|value| unsigned(column, value).map_err(decoded)).transpose()
        };
        let cost: Option<&str> = row.try_get("cost")?;
        Ok(Self {
            attempt: count("attempt")?,
            seat: (count("seat")?, count("seats")?),
            signer: row.try_get("signer")?,
            nonce: count("nonce")?,
            tx: row.try_get("tx")?,
            status: row.try_get("status")?,
            is_empty: row.try_get("is_empty")?,
            cost: cost.map(|text| amount("cost", text).map_err(decoded)).transpose()?,
            cost_max: amount("cost_max", row.try_get("cost_max")?).map_err(decoded)?,
            block: maybe("block_height")?.zip(maybe("block_time")?),
            created_at: row.try_get("created_at")?,
        })
    }
}

impl FromRow<'_, PgRow> for Telling {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let payment: Option<Uuid> = row.try_get("payment_id")?;
        let payment = payment.map(PaymentId::from_uuid);
        let version: Option<i64> = row.try_get("version")?;
        let attempts = unsigned("attempts", row.try_get("attempts")?);
        Ok(Self {
            endpoint: EndpointId::from_uuid(row.try_get("endpoint_id")?),
            event: payment.zip(version).map(|(id, version)| EventId::Payment(id, version)),
            kind: row.try_get("kind")?,
            payment,
            state: row.try_get("state")?,
            attempts: attempts.map_err(|fault| sqlx::Error::Decode(fault.0.into()))?,
            due_at: row.try_get("due_at")?,
            outcome: row.try_get("outcome")?,
            ended_at: row.try_get("ended_at")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl FromRow<'_, PgRow> for Standpoint {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let action: Option<String> = row.try_get("action")?;
        let action = match action {
            Some(action) => Some((
                action,
                row.try_get("note")?,
                row.try_get("actor")?,
                row.try_get("acted_at")?,
            )),
            None => None,
        };
        Ok(Self {
            id: ExceptionId::from_uuid(row.try_get("id")?),
            state: row.try_get("state")?,
            reason: row.try_get("reason")?,
            tx: row.try_get("tx")?,
            since: row.try_get("since")?,
            handled: row.try_get("handled")?,
            action,
        })
    }
}

impl Store {
    /// The newest payments before `before`, at most `limit`, and where the next page begins: none on the last one.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_newest(
        &self,
        shown: &Shown,
        before: Option<Cursor>,
        limit: u16,
    ) -> Result<(Vec<Glimpse>, Option<Cursor>), StoreFault> {
        let walks: Vec<(&'static str, Option<&str>)> = match shown {
            Shown::All => vec![(NEWEST, None)],
            Shown::In(states) => states
                .iter()
                .map(|state| {
                    if *state == State::Final {
                        (NEWEST_FINAL, None)
                    } else {
                        (NEWEST_IN_STATE, Some(state.as_str()))
                    }
                })
                .collect(),
            Shown::Of(account) => vec![
                (NEWEST_OF_PAYER, Some(account.as_str())),
                (NEWEST_OF_RECIPIENT, Some(account.as_str())),
            ],
            Shown::With(nonce) => vec![(NEWEST_WITH_NONCE, Some(nonce.as_str()))],
        };
        let limit = usize::from(limit.max(1));
        let mut found: Vec<Glimpse> = Vec::new();
        for (statement, value) in walks {
            let query = sqlx::query_as(statement)
                .bind(before.map(|it| it.at))
                .bind(before.map_or(Uuid::max(), |it| it.id))
                .bind(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX));
            let query = match value {
                Some(value) => query.bind(value),
                None => query,
            };
            let walked = query.fetch_all(&self.pool).await;
            found.extend(walked.map_err(StoreFault::reading("payments_newest"))?);
        }
        found.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.id.as_uuid())));
        // Who pays himself is found by both of his names.
        found.dedup_by_key(|it| it.id);
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let next = found.last().filter(|_| !is_last).map(|it| Cursor {
            at: it.created_at,
            id: it.id.as_uuid(),
        });
        Ok((found, next))
    }

    /// What is on record of the payment beside its record and its events, up to 200 rows of each kind.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payment_story(&self, id: PaymentId) -> Result<Story, StoreFault> {
        Ok(Story {
            transactions: self.rows_of(TRANSACTIONS, id).await?,
            evidence: self.rows_of(EVIDENCE, id).await?,
            ledger: self.rows_of(LEDGER, id).await?,
            deliveries: self.rows_of(DELIVERIES, id).await?,
            standpoints: self.rows_of(STANDINGS, id).await?,
        })
    }

    async fn rows_of<T>(&self, statement: &'static str, id: PaymentId) -> Result<Vec<T>, StoreFault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(statement)
            .bind(id.as_uuid())
            .bind(OF_ONE_MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading("payment_story"))
    }

    /// The newest deliveries to any endpoint, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn deliveries_newest(&self, limit: u16) -> Result<Vec<Telling>, StoreFault> {
        sqlx::query_as(NEWEST_DELIVERIES)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading("deliveries_newest"))
    }
}
