//! What an audit reads: the records as they lie there, a page at a time, beside what they ought to say.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::types::Uuid;

use super::closing::SKEW_MAX;
use super::events::Told;
use super::ledger::costs_of;
use super::rows::{OutOfPlace, amount, unsigned};
use super::{MIGRATIONS, Store, StoreFault};
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::{LaneId, TxId};

statements! {
    EVENTS = "select payment_id, version, kind, coalesce(body ->> 'payment', '') as payment,
            coalesce(body ->> 'network', '') as network, coalesce(body ->> 'state', '') as state, body ->> 'tx' as tx,
            body ->> 'reason' as reason, body ->> 'change' as change, seal
        from events where payment_id = any($1::uuid[]) order by payment_id, version";
    MOVEMENTS = "select e.payment_id, e.purpose, e.stage, e.debit, e.credit, e.asset, e.amount::text as amount,
            exists (select 1 from ledger_entries r where r.pending_id = e.id) as is_resolved
        from ledger_entries e where e.payment_id = any($1::uuid[])";
    EVIDENCE = "select payment_id, coalesce(tx, '') as tx, coalesce(log_index, -1) as log_index, block_hash
        from evidence where payment_id = any($1::uuid[]) and claim = 'landed'";
    UNSTATED = "select o.id from (
            select p.id, s.landed_time, s.final_at,
                (select max(t.ends_at) from statements t where t.network = p.network) as closed
            from payments p join settlements s on s.payment_id = p.id
            where p.id = any($1::uuid[]) and s.state = 'final'
                and not exists (select 1 from statement_lines l where l.payment_id = p.id)
                and not exists (select 1 from refund_attempts a where a.key = p.key)
        ) as o where o.landed_time < o.closed and o.final_at < to_timestamp(o.closed - $2)";
    SLOTS = "select o.nonce, o.consumed_by, t.tx, t.block_hash, t.cost::text as cost
        from slots o left join chain_transactions t
            on t.network = o.network and t.signer = o.signer and t.nonce = o.nonce
        where o.network = $1 and o.signer = $2 and o.nonce >= $3 and o.nonce < $3 + $4
        order by o.nonce, t.created_at, t.tx";
    LANES = "select signer, first_nonce, next_nonce from lanes where network = $1 order by signer";
    CONSTRAINTS = "select conname::text from pg_constraint where connamespace = current_schema()::regnamespace
        union select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
            where i.indisunique and c.relnamespace = current_schema()::regnamespace";
}

/// What is on record around some payments, by payment.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The events, each payment's in the order of their versions.
    pub events: HashMap<PaymentId, Vec<EventSeen>>,
    /// The ledger's movements.
    pub movements: HashMap<PaymentId, Vec<Movement>>,
    /// The landings that evidence was kept of: transaction, log index, block hash.
    pub evidence: HashMap<PaymentId, Vec<(TxId, i64, String)>>,
    /// Those that were final long before the last day that was closed ended, and are on no statement.
    pub unstated: HashSet<PaymentId>,
    /// What the payment's shares of our mined transactions come to, by signer.
    pub costs: HashMap<PaymentId, HashMap<String, Amount>>,
}

/// An event as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSeen {
    /// The version it is said to belong to.
    pub version: i64,
    /// The state that it says the settlement took.
    pub state: String,
    /// What its seal says.
    pub seal: SealSeen,
}

/// What an event's seal says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealSeen {
    /// It is what was written then, after what was written before.
    Intact,
    /// It is not.
    Broken,
    /// It has none.
    Absent,
}

/// A movement of the ledger.
#[derive(Debug, Clone)]
pub struct Movement {
    /// `payment` or `gas`.
    pub purpose: String,
    /// `pending`, `posted` or `voided`.
    pub stage: String,
    /// The account that is charged.
    pub debit: String,
    /// The account that receives.
    pub credit: String,
    /// The asset's address, or `native`.
    pub asset: String,
    /// How much.
    pub amount: Amount,
    /// Another movement resolves it.
    pub is_resolved: bool,
}

/// One nonce of a lane with what was signed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSeen {
    /// The nonce.
    pub nonce: u64,
    /// What is on record as having spent it.
    pub consumed_by: Option<String>,
    /// Every transaction that was signed for it.
    pub txs: Vec<TxSeen>,
}

/// A transaction of ours as it is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxSeen {
    /// Its name.
    pub tx: TxId,
    /// Where it was mined and at what cost, if it was.
    pub mined: Option<(String, Amount)>,
}

#[derive(sqlx::FromRow)]
struct EventRow {
    payment_id: Uuid,
    version: i64,
    kind: String,
    payment: String,
    network: String,
    state: String,
    tx: Option<String>,
    reason: Option<String>,
    change: Option<String>,
    seal: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
struct MovementRow {
    payment_id: Uuid,
    purpose: String,
    stage: String,
    debit: String,
    credit: String,
    asset: String,
    amount: String,
    is_resolved: bool,
}

#[derive(sqlx::FromRow)]
struct SlotRow {
    nonce: i64,
    consumed_by: Option<String>,
    tx: Option<String>,
    block_hash: Option<String>,
    cost: Option<String>,
}

impl Store {
    /// What is on record around these payments.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where an amount is none.
    pub async fn audit_surroundings(&self, payments: &[PaymentId]) -> Result<Surroundings, StoreFault> {
        let operation = "audit";
        let ids: Vec<Uuid> = payments.iter().map(PaymentId::as_uuid).collect();
        let fault = StoreFault::reading(operation);
        let mut found = Surroundings::default();
        let events: Vec<EventRow> = sqlx::query_as(EVENTS)
            .bind(&ids)
            .fetch_all(&self.pool)
            .await
            .map_err(&fault)?;
        for chain in events.chunk_by(|a, b| a.payment_id == b.payment_id) {
            let payment = chain.first().map(|row| PaymentId::from_uuid(row.payment_id));
            found.events.extend(payment.map(|payment| (payment, seen(chain))));
        }
        let movements: Vec<MovementRow> = sqlx::query_as(MOVEMENTS)
            .bind(&ids)
            .fetch_all(&self.pool)
            .await
            .map_err(&fault)?;
        for row in movements {
            let payment = PaymentId::from_uuid(row.payment_id);
            let movement = row.read().map_err(OutOfPlace::during(operation))?;
            found.movements.entry(payment).or_default().push(movement);
        }
        let evidence: Vec<(Uuid, String, i64, String)> = sqlx::query_as(EVIDENCE)
            .bind(&ids)
            .fetch_all(&self.pool)
            .await
            .map_err(&fault)?;
        for (payment, tx, log_index, block) in evidence {
            let landings = found.evidence.entry(PaymentId::from_uuid(payment)).or_default();
            landings.push((TxId(tx), log_index, block));
        }
        let unstated: Vec<Uuid> = sqlx::query_scalar(UNSTATED)
            .bind(&ids)
            .bind(SKEW_MAX)
            .fetch_all(&self.pool)
            .await
            .map_err(&fault)?;
        found.unstated = unstated.into_iter().map(PaymentId::from_uuid).collect();
        for cost in costs_of(&self.pool, operation, payments.iter().copied()).await? {
            let of_payment = found.costs.entry(cost.payment).or_default();
            of_payment.insert(cost.signer, cost.amount);
        }
        Ok(found)
    }

    /// The network's lanes on record, with their first and their next nonce.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn audit_lanes(&self, network: &NetworkId) -> Result<Vec<(LaneId, u64, u64)>, StoreFault> {
        let operation = "audit";
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(LANES)
            .bind(network.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |(signer, first, next): (String, i64, i64)| {
            let lane = LaneId {
                network: network.clone(),
                signer,
            };
            Ok((lane, unsigned("first_nonce", first)?, unsigned("next_nonce", next)?))
        };
        let lanes: Result<_, _> = rows.into_iter().map(read).collect();
        lanes.map_err(OutOfPlace::during(operation))
    }

    /// The lane's slots from this nonce on, in order, as many as `count` nonces have.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`], or [`StoreFault::Corrupt`] where a cost is none.
    pub async fn audit_slots(&self, lane: &LaneId, from: u64, count: u32) -> Result<Vec<SlotSeen>, StoreFault> {
        let operation = "audit";
        let from = super::rows::signed("nonce", from).map_err(OutOfPlace::during(operation))?;
        let rows: Vec<SlotRow> = sqlx::query_as(SLOTS)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .bind(from)
            .bind(i64::from(count))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let slots = rows.chunk_by(|a, b| a.nonce == b.nonce).map(SlotRow::read);
        let slots: Result<_, _> = slots.collect();
        slots.map_err(OutOfPlace::during(operation))
    }

    /// The constraints that the migrations declare and the live schema does not have.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn audit_constraints(&self) -> Result<Vec<String>, StoreFault> {
        let live: Vec<String> = sqlx::query_scalar(CONSTRAINTS)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading("audit"))?;
        let declared = declared_constraints().into_iter();
        let missing = declared.filter(|name| !live.iter().any(|it| it == name));
        Ok(missing.map(ToOwned::to_owned).collect())
    }
}

/// The names of all constraints and unique indexes that stand when every migration is applied.
fn declared_constraints() -> BTreeSet<&'static str> {
    let mut declared = BTreeSet::new();
    for (_, _, text) in MIGRATIONS {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        for (at, word) in words.iter().enumerate() {
            let Some(name) = words
                .get(at.saturating_add(1))
                .map(|name| name.trim_end_matches([';', ',']))
            else {
                continue;
            };
            let before = |back: usize| at.checked_sub(back).and_then(|at| words.get(at)).copied();
            match (before(1), *word) {
                (Some("drop"), "constraint") => {
                    declared.remove(name);
                }
                (_, "constraint") | (Some("unique"), "index") => {
                    declared.insert(name);
                }
                _ => {}
            }
        }
    }
    declared
}

/// One payment's events, each held against its seal.
fn seen(chain: &[EventRow]) -> Vec<EventSeen> {
    let mut previous: Option<&[u8]> = None;
    let mut events = Vec::with_capacity(chain.len());
    for row in chain {
        let payment = PaymentId::from_uuid(row.payment_id);
        let told = Told {
            payment,
            version: row.version,
            kind: &row.kind,
            network: &row.network,
            state: &row.state,
            tx: row.tx.as_deref(),
            reason: row.reason.as_deref(),
            change: row.change.as_deref(),
        };
        let is_own = row.payment == payment.to_string();
        let seal = match &row.seal {
            None => SealSeen::Absent,
            Some(seal) if is_own && *seal == told.seal(previous) => SealSeen::Intact,
            Some(_) => SealSeen::Broken,
        };
        previous = row.seal.as_deref();
        events.push(EventSeen {
            version: row.version,
            state: row.state.clone(),
            seal,
        });
    }
    events
}

impl MovementRow {
    fn read(self) -> Result<Movement, OutOfPlace> {
        Ok(Movement {
            amount: amount("amount", &self.amount)?,
            purpose: self.purpose,
            stage: self.stage,
            debit: self.debit,
            credit: self.credit,
            asset: self.asset,
            is_resolved: self.is_resolved,
        })
    }
}

impl SlotRow {
    fn read(rows: &[Self]) -> Result<SlotSeen, OutOfPlace> {
        let first = rows.first().ok_or(OutOfPlace("nonce"))?;
        let mut txs = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(tx) = &row.tx else { continue };
            let mined = match (&row.block_hash, &row.cost) {
                (Some(block), Some(cost)) => Some((block.clone(), amount("cost", cost)?)),
                _ => None,
            };
            txs.push(TxSeen {
                tx: TxId(tx.clone()),
                mined,
            });
        }
        Ok(SlotSeen {
            nonce: unsigned("nonce", first.nonce)?,
            consumed_by: first.consumed_by.clone(),
            txs,
        })
    }
}
