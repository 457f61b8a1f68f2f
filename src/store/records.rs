//! What the use cases need of the store, apart from how it is kept: [`Store`] keeps it in Postgres. What each method
//! promises stands at the store's method of the same name.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Advance, Advanced, Carrier, IntendFault, Intent, NewPayment, Record, Replaced};
use super::{Cause, Reservation, Roll, Store, StoreFault};
use crate::domain::authorization::PaymentKey;
use crate::domain::budget::{Limits, TenantBudget};
use crate::domain::id::PaymentId;
use crate::domain::lease::{Lease, ProcessId};
use crate::domain::network::NetworkId;
use crate::domain::rail::{LaneId, Mined, Replacement, SignedTx, TxId};
use crate::domain::request::PaymentReference;
use crate::domain::settlement::State;
use crate::domain::tenant::TenantId;

/// Signs for the claimed payments, beginning with this nonce.
pub type Sign<'a> = &'a (dyn Fn(u64, &[PaymentId]) -> Result<Vec<SignedTx>, IntendFault> + Send + Sync);

/// The facilitator's records.
#[async_trait]
pub trait Records: Send + Sync {
    /// [`Store::ping`].
    ///
    /// # Errors
    /// As of it.
    async fn ping(&self) -> Result<(), StoreFault>;

    /// [`Store::payment_reserve`].
    ///
    /// # Errors
    /// As of it.
    async fn payment_reserve(&self, new: &NewPayment) -> Result<Reservation, StoreFault>;

    /// [`Store::payment_get`].
    ///
    /// # Errors
    /// As of it.
    async fn payment_get(&self, id: PaymentId) -> Result<Option<Record>, StoreFault>;

    /// [`Store::payments_get`].
    ///
    /// # Errors
    /// As of it.
    async fn payments_get(&self, ids: &[PaymentId]) -> Result<Vec<Record>, StoreFault>;

    /// [`Store::payment_find`].
    ///
    /// # Errors
    /// As of it.
    async fn payment_find(&self, key: &PaymentKey) -> Result<Option<Record>, StoreFault>;

    /// [`Store::reference_find`].
    ///
    /// # Errors
    /// As of it.
    async fn reference_find(
        &self,
        tenant: TenantId,
        references: &[PaymentReference],
    ) -> Result<Option<Record>, StoreFault>;

    /// [`Store::tenant_budget`].
    ///
    /// # Errors
    /// As of it.
    async fn tenant_budget(
        &self,
        tenant: TenantId,
        network: &NetworkId,
        asset: &str,
    ) -> Result<TenantBudget, StoreFault>;

    /// [`Store::settlements_open`].
    ///
    /// # Errors
    /// As of it.
    async fn settlements_open(&self, network: &NetworkId, states: &[State]) -> Result<Vec<Record>, StoreFault>;

    /// [`Store::settlements_waiting`].
    ///
    /// # Errors
    /// As of it.
    async fn settlements_waiting(&self, network: &NetworkId, limit: u32) -> Result<Vec<PaymentId>, StoreFault>;

    /// [`Store::settlement_versions`].
    ///
    /// # Errors
    /// As of it.
    async fn settlement_versions(&self, payments: &[PaymentId]) -> Result<Vec<(PaymentId, i64)>, StoreFault>;

    /// [`Store::settlements_try`].
    ///
    /// # Errors
    /// As of it.
    async fn settlements_try(&self, payments: &[PaymentId]) -> Result<Vec<(PaymentId, u64)>, StoreFault>;

    /// [`Store::settlements_untry`].
    ///
    /// # Errors
    /// As of it.
    async fn settlements_untry(&self, payments: &[PaymentId]) -> Result<(), StoreFault>;

    /// [`Store::settlements_advance_granting`].
    ///
    /// # Errors
    /// As of it.
    async fn settlements_advance_granting(
        &self,
        advances: &[Advance<'_>],
        answers: &[(PaymentId, &[u8])],
    ) -> Result<Advanced, StoreFault>;

    /// [`Store::settlement_grant`].
    ///
    /// # Errors
    /// As of it.
    async fn settlement_grant(&self, payment: PaymentId, answer: &[u8]) -> Result<bool, StoreFault>;

    /// [`Store::leases_beat`].
    ///
    /// # Errors
    /// As of it.
    async fn leases_beat(
        &self,
        network: &NetworkId,
        me: ProcessId,
        lanes: &[LaneId],
        term: Duration,
    ) -> Result<Roll, StoreFault>;

    /// [`Store::lease_take`].
    ///
    /// # Errors
    /// As of it.
    async fn lease_take(&self, lane: &LaneId, me: ProcessId, term: Duration) -> Result<Option<Lease>, StoreFault>;

    /// [`Store::leases_give`].
    ///
    /// # Errors
    /// As of it.
    async fn leases_give(&self, network: &NetworkId, me: ProcessId, lanes: &[LaneId]) -> Result<(), StoreFault>;

    /// [`Store::replica_leave`].
    ///
    /// # Errors
    /// As of it.
    async fn replica_leave(&self, network: &NetworkId, me: ProcessId) -> Result<(), StoreFault>;

    /// [`Store::lane_prepare`].
    ///
    /// # Errors
    /// As of it.
    async fn lane_prepare(&self, lane: &LaneId, chain_nonce: u64) -> Result<u64, StoreFault>;

    /// [`Store::lane_intend`].
    ///
    /// # Errors
    /// As of it.
    async fn lane_intend(
        &self,
        lease: &Lease,
        payments: &[PaymentId],
        alone_retry: bool,
        limits: &Limits,
        sign: Sign<'_>,
    ) -> Result<Vec<Intent>, IntendFault>;

    /// [`Store::lane_replace`].
    ///
    /// # Errors
    /// As of it.
    async fn lane_replace(
        &self,
        lease: &Lease,
        nonce: u64,
        over: &TxId,
        with: &Replacement,
    ) -> Result<Replaced, StoreFault>;

    /// [`Store::lane_quarantine`].
    ///
    /// # Errors
    /// As of it.
    async fn lane_quarantine(&self, lane: &LaneId) -> Result<bool, StoreFault>;

    /// [`Store::slots_usurped`].
    ///
    /// # Errors
    /// As of it.
    async fn slots_usurped(&self, lane: &LaneId, nonces: &[u64]) -> Result<(), StoreFault>;

    /// [`Store::transactions_open`].
    ///
    /// # Errors
    /// As of it.
    async fn transactions_open(&self, network: &NetworkId, states: &[State]) -> Result<Vec<Carrier>, StoreFault>;

    /// [`Store::transactions_mined`].
    ///
    /// # Errors
    /// As of it.
    async fn transactions_mined(&self, network: &NetworkId, mined: &[Mined]) -> Result<(), StoreFault>;

    /// [`Store::transactions_reorganized`].
    ///
    /// # Errors
    /// As of it.
    async fn transactions_reorganized(&self, network: &NetworkId, txs: &[TxId]) -> Result<(), StoreFault>;

    /// [`Store::transactions_unwatched`].
    ///
    /// # Errors
    /// As of it.
    async fn transactions_unwatched(&self, lane: &LaneId, nonce: u64, limit: u16) -> Result<Vec<TxId>, StoreFault>;

    /// [`Store::transactions_dead`].
    ///
    /// # Errors
    /// As of it.
    async fn transactions_dead(&self, network: &NetworkId, txs: &[TxId]) -> Result<(), StoreFault>;

    /// [`Store::budgets_meter`].
    ///
    /// # Errors
    /// As of it.
    async fn budgets_meter(&self, payments: &[PaymentId]) -> Result<(), StoreFault>;

    /// [`Store::budgets_forget`].
    ///
    /// # Errors
    /// As of it.
    async fn budgets_forget(&self) -> Result<(), StoreFault>;

    /// [`Store::notice_turn`].
    ///
    /// # Errors
    /// As of it.
    async fn notice_turn(&self, kind: &str, subject: &str, data: &Value) -> Result<(), StoreFault>;
}

/// The longest wait for the database's answer. The server's own limits are shorter, but a server that stands still, or
/// that can no longer be heard, keeps none.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// What the work gives, unless that takes longer than anybody waits.
///
/// # Errors
/// As of the work; [`StoreFault::OutcomeUnknown`] when it took too long.
pub async fn in_time<T, F: From<StoreFault>>(
    operation: &'static str,
    work: impl Future<Output = Result<T, F>>,
) -> Result<T, F> {
    let answer = tokio::time::timeout(ANSWER_PATIENCE, work).await;
    answer.unwrap_or_else(|_| {
        let source = Cause::named("no answer in time");
        Err(StoreFault::OutcomeUnknown { operation, source }.into())
    })
}

#[async_trait]
impl Records for Store {
    async fn ping(&self) -> Result<(), StoreFault> {
        in_time("ping", self.ping()).await
    }

    async fn payment_reserve(&self, new: &NewPayment) -> Result<Reservation, StoreFault> {
        in_time("payment_reserve", self.payment_reserve(new)).await
    }

    async fn payment_get(&self, id: PaymentId) -> Result<Option<Record>, StoreFault> {
        in_time("payment_get", self.payment_get(id)).await
    }

    async fn payments_get(&self, ids: &[PaymentId]) -> Result<Vec<Record>, StoreFault> {
        in_time("payments_get", self.payments_get(ids)).await
    }

    async fn payment_find(&self, key: &PaymentKey) -> Result<Option<Record>, StoreFault> {
        in_time("payment_find", self.payment_find(key)).await
    }

    async fn reference_find(
        &self,
        tenant: TenantId,
        references: &[PaymentReference],
    ) -> Result<Option<Record>, StoreFault> {
        in_time("reference_find", self.reference_find(tenant, references)).await
    }

    async fn settlements_open(&self, network: &NetworkId, states: &[State]) -> Result<Vec<Record>, StoreFault> {
        in_time("settlements_open", self.settlements_open(network, states)).await
    }

    async fn settlements_waiting(&self, network: &NetworkId, limit: u32) -> Result<Vec<PaymentId>, StoreFault> {
        in_time("settlements_waiting", self.settlements_waiting(network, limit)).await
    }

    async fn settlement_versions(&self, payments: &[PaymentId]) -> Result<Vec<(PaymentId, i64)>, StoreFault> {
        in_time("settlement_versions", self.settlement_versions(payments)).await
    }

    async fn settlements_try(&self, payments: &[PaymentId]) -> Result<Vec<(PaymentId, u64)>, StoreFault> {
        in_time("settlements_try", self.settlements_try(payments)).await
    }

    async fn tenant_budget(
        &self,
        tenant: TenantId,
        network: &NetworkId,
        asset: &str,
    ) -> Result<TenantBudget, StoreFault> {
        in_time("tenant_budget", self.tenant_budget(tenant, network, asset)).await
    }

    async fn settlements_untry(&self, payments: &[PaymentId]) -> Result<(), StoreFault> {
        in_time("settlements_untry", self.settlements_untry(payments)).await
    }

    async fn settlements_advance_granting(
        &self,
        advances: &[Advance<'_>],
        answers: &[(PaymentId, &[u8])],
    ) -> Result<Advanced, StoreFault> {
        in_time(
            "settlements_advance_granting",
            self.settlements_advance_granting(advances, answers),
        )
        .await
    }

    async fn settlement_grant(&self, payment: PaymentId, answer: &[u8]) -> Result<bool, StoreFault> {
        in_time("settlement_grant", self.settlement_grant(payment, answer)).await
    }

    async fn leases_beat(
        &self,
        network: &NetworkId,
        me: ProcessId,
        lanes: &[LaneId],
        term: Duration,
    ) -> Result<Roll, StoreFault> {
        in_time("leases_beat", self.leases_beat(network, me, lanes, term)).await
    }

    async fn lease_take(&self, lane: &LaneId, me: ProcessId, term: Duration) -> Result<Option<Lease>, StoreFault> {
        in_time("lease_take", self.lease_take(lane, me, term)).await
    }

    async fn leases_give(&self, network: &NetworkId, me: ProcessId, lanes: &[LaneId]) -> Result<(), StoreFault> {
        in_time("leases_give", self.leases_give(network, me, lanes)).await
    }

    async fn replica_leave(&self, network: &NetworkId, me: ProcessId) -> Result<(), StoreFault> {
        in_time("replica_leave", self.replica_leave(network, me)).await
    }

    async fn lane_prepare(&self, lane: &LaneId, chain_nonce: u64) -> Result<u64, StoreFault> {
        in_time("lane_prepare", self.lane_prepare(lane, chain_nonce)).await
    }

    async fn lane_intend(
        &self,
        lease: &Lease,
        payments: &[PaymentId],
        alone_retry: bool,
        limits: &Limits,
        sign: Sign<'_>,
    ) -> Result<Vec<Intent>, IntendFault> {
        in_time(
            "lane_intend",
            self.lane_intend(lease, payments, alone_retry, limits, sign),
        )
        .await
    }

    async fn lane_replace(
        &self,
        lease: &Lease,
        nonce: u64,
        over: &TxId,
        with: &Replacement,
    ) -> Result<Replaced, StoreFault> {
        in_time("lane_replace", self.lane_replace(lease, nonce, over, with)).await
    }

    async fn lane_quarantine(&self, lane: &LaneId) -> Result<bool, StoreFault> {
        in_time("lane_quarantine", self.lane_quarantine(lane)).await
    }

    async fn slots_usurped(&self, lane: &LaneId, nonces: &[u64]) -> Result<(), StoreFault> {
        in_time("slots_usurped", self.slots_usurped(lane, nonces)).await
    }

    async fn transactions_open(&self, network: &NetworkId, states: &[State]) -> Result<Vec<Carrier>, StoreFault> {
        in_time("transactions_open", self.transactions_open(network, states)).await
    }

    async fn transactions_mined(&self, network: &NetworkId, mined: &[Mined]) -> Result<(), StoreFault> {
        in_time("transactions_mined", self.transactions_mined(network, mined)).await
    }

    async fn transactions_reorganized(&self, network: &NetworkId, txs: &[TxId]) -> Result<(), StoreFault> {
        in_time("transactions_reorganized", self.transactions_reorganized(network, txs)).await
    }

    async fn transactions_unwatched(&self, lane: &LaneId, nonce: u64, limit: u16) -> Result<Vec<TxId>, StoreFault> {
        in_time(
            "transactions_unwatched",
            self.transactions_unwatched(lane, nonce, limit),
        )
        .await
    }

    async fn transactions_dead(&self, network: &NetworkId, txs: &[TxId]) -> Result<(), StoreFault> {
        in_time("transactions_dead", self.transactions_dead(network, txs)).await
    }

    async fn budgets_meter(&self, payments: &[PaymentId]) -> Result<(), StoreFault> {
        in_time("budgets_meter", self.budgets_meter(payments)).await
    }

    async fn budgets_forget(&self) -> Result<(), StoreFault> {
        in_time("budgets_forget", self.budgets_forget()).await
    }

    async fn notice_turn(&self, kind: &str, subject: &str, data: &Value) -> Result<(), StoreFault> {
        in_time("notice_turn", self.notice_turn(kind, subject, data)).await
    }
}
