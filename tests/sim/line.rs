//! What stands between a replica and the world: the records as one replica reaches them, with their faults, and the gate
//! at which a killed replica stops for ever and a paused one for a while. Whatever a replica does it does through here,
//! so that it can end between any two of its effects.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use facilitator::domain::authorization::PaymentKey;
use facilitator::domain::budget::{Limits, TenantBudget};
use facilitator::domain::id::PaymentId;
use facilitator::domain::lease::{Lease, ProcessId};
use facilitator::domain::network::NetworkId;
use facilitator::domain::rail::{LaneId, Mined, Replacement, TxId};
use facilitator::domain::request::PaymentReference;
use facilitator::domain::settlement::State;
use facilitator::domain::tenant::TenantId;
use facilitator::store::{
    Advance, Advanced, Carrier, Cause, IntendFault, Intent, NewPayment, Record, Records, Replaced, Reservation, Roll,
    Sign, StoreFault,
};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::plan::Fault;
use crate::world::World;

/// What a replica may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Alive,
    Paused,
    Dead,
}

/// Where a replica waits while it may not go on. Those who wait go on in the order in which they came: tokio's `watch`
/// would wake them in an order of chance, and no story could be told twice.
#[derive(Clone)]
pub(crate) struct Gate {
    mode: Arc<Mutex<Mode>>,
    changed: Arc<Notify>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            mode: Arc::new(Mutex::new(Mode::Alive)),
            changed: Arc::default(),
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
        self.changed.notify_waiters();
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on when the replica may; never when it is dead.
    pub(crate) async fn pass(&self) {
        loop {
            let changed = self.changed.notified();
            match self.mode() {
                Mode::Alive => return,
                Mode::Paused => changed.await,
                Mode::Dead => pending().await,
            }
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.mode() == Mode::Dead
    }

    /// Resolves when the replica is dead.
    pub(crate) async fn dies(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_dead() {
                return;
            }
            changed.await;
        }
    }
}

/// One replica's way to the records.
pub(crate) struct Line {
    pub(crate) world: Arc<World>,
    pub(crate) gate: Gate,
}

impl Line {
    /// One operation, with what may go wrong with it.
    async fn ask<T, E: From<StoreFault>>(
        &self,
        operation: &'static str,
        writes: bool,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let world = &self.world;
        let source = Cause::named("simulated");
        self.gate.pass().await;
        sleep(world.throw(|dice| dice.up_to(Duration::from_millis(4)))).await;
        self.gate.pass().await;
        if world.strikes(Fault::StoreDown, 60) {
            sleep(world.throw(|dice| dice.up_to(Duration::from_secs(3)))).await;
            return Err(StoreFault::Unavailable { operation, source }.into());
        }
        let is_lost = writes && world.strikes(Fault::StoreUnknown, 60);
        if is_lost && world.throw(|dice| dice.chance(500)) {
            return Err(StoreFault::OutcomeUnknown { operation, source }.into());
        }
        let done = work.await;
        if writes {
            world.written(operation);
        }
        sleep(world.throw(|dice| dice.up_to(Duration::from_millis(4)))).await;
        self.gate.pass().await;
        if is_lost && done.is_ok() {
            return Err(StoreFault::OutcomeUnknown { operation, source }.into());
        }
        done
    }
}

/// The trait's methods, each asked of the store through the line.
macro_rules! through_the_line {
    ($($writes:literal $name:ident($($arg:ident: $of:ty),*) -> $done:ty, $fault:ty;)*) => {
        #[async_trait]
        impl Records for Line {
            $(async fn $name(&self, $($arg: $of),*) -> Result<$done, $fault> {
                self.ask(stringify!($name), $writes, self.world.store.$name($($arg),*)).await
            })*
        }
    };
}

through_the_line! {
    false ping() -> (), StoreFault;
    true payment_reserve(new: &NewPayment) -> Reservation, StoreFault;
    false payment_get(id: PaymentId) -> Option<Record>, StoreFault;
    false payments_get(ids: &[PaymentId]) -> Vec<Record>, StoreFault;
    false payment_find(key: &PaymentKey) -> Option<Record>, StoreFault;
    false reference_find(tenant: TenantId, references: &[PaymentReference]) -> Option<Record>, StoreFault;
    false tenant_budget(tenant: TenantId, network: &NetworkId, asset: &str) -> TenantBudget, StoreFault;
    false settlements_open(network: &NetworkId, states: &[State]) -> Vec<Record>, StoreFault;
    false settlements_waiting(network: &NetworkId, limit: u32) -> Vec<PaymentId>, StoreFault;
    false settlement_versions(payments: &[PaymentId]) -> Vec<(PaymentId, i64)>, StoreFault;
    true settlements_try(payments: &[PaymentId]) -> Vec<(PaymentId, u64)>, StoreFault;
    true settlements_untry(payments: &[PaymentId]) -> (), StoreFault;
    true settlements_advance_granting(advances: &[Advance<'_>], answers: &[(PaymentId, &[u8])]) -> Advanced, StoreFault;
    true settlement_grant(payment: PaymentId, answer: &[u8]) -> bool, StoreFault;
    true leases_beat(network: &NetworkId, me: ProcessId, lanes: &[LaneId], term: Duration) -> Roll, StoreFault;
    true lease_take(lane: &LaneId, me: ProcessId, term: Duration) -> Option<Lease>, StoreFault;
    true leases_give(network: &NetworkId, me: ProcessId, lanes: &[LaneId]) -> (), StoreFault;
    true replica_leave(network: &NetworkId, me: ProcessId) -> (), StoreFault;
    true lane_prepare(lane: &LaneId, chain_nonce: u64) -> u64, StoreFault;
    true lane_intend(lease: &Lease, payments: &[PaymentId], alone_retry: bool, limits: &Limits, sign: Sign<'_>) -> Vec<Intent>, IntendFault;
    true lane_replace(lease: &Lease, nonce: u64, over: &TxId, with: &Replacement) -> Replaced, StoreFault;
    true lane_quarantine(lane: &LaneId) -> bool, StoreFault;
    true slots_usurped(lane: &LaneId, nonces: &[u64]) -> (), StoreFault;
    false transactions_open(network: &NetworkId, states: &[State]) -> Vec<Carrier>, StoreFault;
    true transactions_mined(network: &NetworkId, mined: &[Mined]) -> (), StoreFault;
    true transactions_reorganized(network: &NetworkId, txs: &[TxId]) -> (), StoreFault;
    false transactions_unwatched(lane: &LaneId, nonce: u64, limit: u16) -> Vec<TxId>, StoreFault;
    true transactions_dead(network: &NetworkId, txs: &[TxId]) -> (), StoreFault;
    true budgets_meter(payments: &[PaymentId]) -> (), StoreFault;
    true budgets_forget() -> (), StoreFault;
    true notice_turn(kind: &str, subject: &str, data: &Value) -> (), StoreFault;
}
