//! Records kept in memory, with what matters of Postgres' semantics: keys and references are unique, settlements move by
//! compare-and-set, each operation happens whole or not at all, one after the other, and the schema's constraints refuse
//! what they would refuse there. `tests/store/conformance.rs` holds the two against each other.
//!
//! Faults are not its business: `line.rs` puts them between it and a replica.

mod lanes;
mod leases;
mod payments;
mod settlements;
mod transactions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use facilitator::domain::authorization::PaymentKey;
use facilitator::domain::budget::{Limits, TenantBudget};
use facilitator::domain::id::PaymentId;
use facilitator::domain::lease::{Lease, ProcessId};
use facilitator::domain::network::NetworkId;
use facilitator::domain::rail::{ChainPoint, LaneId, Mined, Replacement, TxId};
use facilitator::domain::request::PaymentReference;
use facilitator::domain::settlement::State;
use facilitator::domain::tenant::TenantId;
use facilitator::store::{
    Advance, Advanced, Carrier, Cause, DateTime, IntendFault, Intent, NewPayment, Record, Records, Replaced,
    Reservation, Roll, Sign, StoreFault, Utc,
};

use serde_json::Value;

pub(crate) use self::lanes::{Lane, Slot, Tx};
pub(crate) use self::settlements::Entry;

/// Where the store's time comes from.
pub(crate) type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The store.
pub(crate) struct SimStore {
    tables: Mutex<Tables>,
    now: Now,
}

/// What is on record.
pub(crate) struct Tables {
    now: DateTime<Utc>,
    pub(crate) payments: BTreeMap<PaymentId, Payment>,
    keys: BTreeMap<[u8; 32], PaymentId>,
    names: BTreeMap<payments::Name, PaymentId>,
    pub(crate) lanes: BTreeMap<LaneId, Lane>,
    pub(crate) slots: BTreeMap<(LaneId, u64), Slot>,
    pub(crate) txs: BTreeMap<TxId, Tx>,
    replicas: BTreeMap<(NetworkId, ProcessId), DateTime<Utc>>,
    pub(crate) ledger: Vec<Entry>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) events: Vec<Told>,
}

/// A payment and its settlement.
pub(crate) struct Payment {
    /// Without its transactions: those are found by its seats.
    pub(crate) record: Record,
    /// In the order of the attempts.
    pub(crate) seats: Vec<Seat>,
}

/// A payment's seat in a slot.
pub(crate) struct Seat {
    pub(crate) place: (LaneId, u64),
    pub(crate) number: u64,
    pub(crate) is_closed: bool,
}

/// What the chain showed when a settlement took the version.
pub(crate) struct Evidence {
    pub(crate) payment: PaymentId,
    pub(crate) version: i64,
    pub(crate) claim: &'static str,
    pub(crate) tx: Option<TxId>,
    pub(crate) block: ChainPoint,
    pub(crate) ours: bool,
}

/// That a settlement took a version.
pub(crate) struct Told {
    pub(crate) payment: PaymentId,
    pub(crate) version: i64,
    pub(crate) kind: &'static str,
    pub(crate) state: State,
}

impl SimStore {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            tables: Mutex::new(Tables {
                now: DateTime::UNIX_EPOCH,
                payments: BTreeMap::new(),
                keys: BTreeMap::new(),
                names: BTreeMap::new(),
                lanes: BTreeMap::new(),
                slots: BTreeMap::new(),
                txs: BTreeMap::new(),
                replicas: BTreeMap::new(),
                ledger: Vec::new(),
                evidence: Vec::new(),
                events: Vec::new(),
            }),
            now,
        }
    }

    /// What is on record now.
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.now = (self.now)();
        tables
    }
}

impl Tables {
    /// The payment as it is read.
    pub(crate) fn record(&self, id: PaymentId) -> Option<Record> {
        let payment = self.payments.get(&id)?;
        let mut record = payment.record.clone();
        let slots = payment.seats.iter().filter_map(|seat| self.slots.get(&seat.place));
        let txs = slots.flat_map(|slot| &slot.txs);
        record.txs = txs.filter(|tx| !self.txs[*tx].is_empty).cloned().collect();
        Some(record)
    }

    fn tell(&mut self, payment: PaymentId, kind: &'static str) {
        let record = &self.payments[&payment].record;
        let told = Told {
            payment,
            version: record.version,
            kind,
            state: record.settlement.state(),
        };
        self.events.push(told);
    }
}

/// The database refused it.
fn refused(operation: &'static str, what: &'static str) -> StoreFault {
    StoreFault::Refused {
        operation,
        source: Cause::named(what),
    }
}

#[async_trait]
impl Records for SimStore {
    async fn ping(&self) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn payment_reserve(&self, new: &NewPayment) -> Result<Reservation, StoreFault> {
        self.tables().payment_reserve(new)
    }

    async fn payment_get(&self, id: PaymentId) -> Result<Option<Record>, StoreFault> {
        Ok(self.tables().record(id))
    }

    async fn payments_get(&self, ids: &[PaymentId]) -> Result<Vec<Record>, StoreFault> {
        Ok(self.tables().payments_where(|record| ids.contains(&record.id)))
    }

    async fn payment_find(&self, key: &PaymentKey) -> Result<Option<Record>, StoreFault> {
        Ok(self.tables().payment_find(key))
    }

    async fn reference_find(
        &self,
        tenant: TenantId,
        references: &[PaymentReference],
    ) -> Result<Option<Record>, StoreFault> {
        Ok(self.tables().reference_find(tenant, references))
    }

    async fn tenant_budget(&self, _: TenantId, _: &NetworkId, _: &str) -> Result<TenantBudget, StoreFault> {
        Ok(TenantBudget::default())
    }

    async fn settlements_open(&self, network: &NetworkId, states: &[State]) -> Result<Vec<Record>, StoreFault> {
        Ok(self.tables().settlements_open(network, states))
    }

    async fn settlements_waiting(&self, network: &NetworkId, limit: u32) -> Result<Vec<PaymentId>, StoreFault> {
        Ok(self.tables().settlements_waiting(network, limit))
    }

    async fn settlement_versions(&self, payments: &[PaymentId]) -> Result<Vec<(PaymentId, i64)>, StoreFault> {
        Ok(self.tables().settlement_versions(payments))
    }

    async fn settlements_try(&self, payments: &[PaymentId]) -> Result<Vec<(PaymentId, u64)>, StoreFault> {
        Ok(self.tables().settlements_try(payments))
    }

    async fn settlements_untry(&self, payments: &[PaymentId]) -> Result<(), StoreFault> {
        self.tables().settlements_untry(payments);
        Ok(())
    }

    async fn settlements_advance_granting(
        &self,
        advances: &[Advance<'_>],
        answers: &[(PaymentId, &[u8])],
    ) -> Result<Advanced, StoreFault> {
        self.tables().settlements_advance(advances, answers)
    }

    async fn settlement_grant(&self, payment: PaymentId, answer: &[u8]) -> Result<bool, StoreFault> {
        Ok(self.tables().grant(payment, answer))
    }

    async fn leases_beat(
        &self,
        network: &NetworkId,
        me: ProcessId,
        lanes: &[LaneId],
        term: Duration,
    ) -> Result<Roll, StoreFault> {
        Ok(self.tables().leases_beat(network, me, lanes, term))
    }

    async fn lease_take(&self, lane: &LaneId, me: ProcessId, term: Duration) -> Result<Option<Lease>, StoreFault> {
        Ok(self.tables().lease_take(lane, me, term))
    }

    async fn leases_give(&self, _: &NetworkId, me: ProcessId, lanes: &[LaneId]) -> Result<(), StoreFault> {
        self.tables().leases_give(me, lanes);
        Ok(())
    }

    async fn replica_leave(&self, network: &NetworkId, me: ProcessId) -> Result<(), StoreFault> {
        self.tables().replica_leave(network, me);
        Ok(())
    }

    async fn lane_prepare(&self, lane: &LaneId, chain_nonce: u64) -> Result<u64, StoreFault> {
        Ok(self.tables().lane_prepare(lane, chain_nonce))
    }

    async fn lane_intend(
        &self,
        lease: &Lease,
        payments: &[PaymentId],
        alone_retry: bool,
        _: &Limits,
        sign: Sign<'_>,
    ) -> Result<Vec<Intent>, IntendFault> {
        self.tables().lane_intend(lease, payments, alone_retry, sign)
    }

    async fn lane_replace(
        &self,
        lease: &Lease,
        nonce: u64,
        over: &TxId,
        with: &Replacement,
    ) -> Result<Replaced, StoreFault> {
        self.tables().lane_replace(lease, nonce, over, with)
    }

    async fn lane_quarantine(&self, lane: &LaneId) -> Result<bool, StoreFault> {
        Ok(self.tables().lane_quarantine(lane))
    }

    async fn slots_usurped(&self, lane: &LaneId, nonces: &[u64]) -> Result<(), StoreFault> {
        self.tables().slots_usurped(lane, nonces);
        Ok(())
    }

    async fn transactions_open(&self, network: &NetworkId, states: &[State]) -> Result<Vec<Carrier>, StoreFault> {
        Ok(self.tables().transactions_open(network, states))
    }

    async fn transactions_mined(&self, _: &NetworkId, mined: &[Mined]) -> Result<(), StoreFault> {
        self.tables().transactions_mined(mined);
        Ok(())
    }

    async fn transactions_reorganized(&self, _: &NetworkId, txs: &[TxId]) -> Result<(), StoreFault> {
        self.tables().transactions_reorganized(txs);
        Ok(())
    }

    async fn transactions_unwatched(&self, lane: &LaneId, nonce: u64, limit: u16) -> Result<Vec<TxId>, StoreFault> {
        Ok(self.tables().transactions_unwatched(lane, nonce, limit))
    }

    async fn transactions_dead(&self, _: &NetworkId, txs: &[TxId]) -> Result<(), StoreFault> {
        self.tables().transactions_dead(txs);
        Ok(())
    }

    /// Stories are told without limits: what holds those is a constraint, which only the real database has.
    async fn budgets_meter(&self, _: &[PaymentId]) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn budgets_forget(&self) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn notice_turn(&self, _: &str, _: &str, _: &Value) -> Result<(), StoreFault> {
        Ok(())
    }
}
