//! Replacing the transaction of a slot by one that pays more: on record before its bytes leave, as every transaction.

use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::events::{Told, tenant_of, written_by};
use super::lanes::{self, Claimed};
use super::rows::{OutOfPlace, signed};
use super::{Store, StoreFault, commit};
use crate::domain::id::PaymentId;
use crate::domain::lease::Lease;
use crate::domain::rail::{LaneId, Outbid, Replacement, TxId};
use crate::domain::settlement::{Event, State};

statements! {
    SLOT = "select o.consumed_by, t.tx, t.is_empty from slots o
            join chain_transactions t on t.network = o.network and t.signer = o.signer and t.nonce = o.nonce
        where o.network = $1 and o.signer = $2 and o.nonce = $3
        order by t.created_at, t.tx";
    RIDERS = "select s.payment_id, s.version, (select e.seal from events e
                where e.payment_id = s.payment_id and e.version = s.version) as seal
            from settlement_attempts a join settlements s on s.payment_id = a.payment_id
        where a.network = $1 and a.signer = $2 and a.nonce = $3 and a.closed_at is null and s.state = $4
        order by s.payment_id for update of s";
    // The time is the clock's, not that at which the transaction began: several writers hold the lane one after the
    // other, and the order of their replacements must be the one they were made in.
    REPLACE = concat!("with added as (
            insert into chain_transactions (tx, network, signer, nonce, raw, cost_max, status, is_empty, created_at)
            values ($4, $1, $2, $3, $5, $6::text::numeric, 'signed', $7, clock_timestamp())
        ), moved as (
            update settlements s set version = s.version + 1, tx = $4, setback = null, setback_tx = null
            from unnest($8::uuid[], $9::text[], $11::bytea[]) as c(payment_id, body, seal)
            where s.payment_id = c.payment_id
            returning s.payment_id, s.version, c.body, c.seal
        )
        insert into events (payment_id, version, kind, body, seal, created_at, tenant, written_by)
        select m.payment_id, m.version, $10::text, m.body::jsonb, m.seal, now(), ", tenant_of!("m"), ", ", written_by!("m"), " from moved m");
}

/// How many transactions one slot may have: the first and five that replace one another.
const SLOT_TRANSACTIONS_MAX: usize = 6;

/// What became of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// It is on record, and these payments are now in flight by it.
    Done(Vec<PaymentId>),
    /// The slot is not what it was taken for any more: it is spent, has a newer transaction, or is to be used up while
    /// a payment of it is still in flight. Nothing was recorded.
    Moved,
    /// The slot has had all the transactions it may have. Nothing was recorded.
    Exhausted,
    /// The lane is somebody else's by now. Nothing was recorded.
    Lost,
}

impl Store {
    /// Records `with` as the newest transaction of the lane's slot `nonce`, in the place of `over`, and moves the
    /// payments that are in flight by that slot to it, unless it is empty.
    ///
    /// # Errors
    /// Faults of the store. After [`StoreFault::OutcomeUnknown`] the replacement may be on record, and its bytes must
    /// not leave until the slot was read again.
    pub async fn lane_replace(
        &self,
        lease: &Lease,
        nonce: u64,
        over: &TxId,
        with: &Replacement,
    ) -> Result<Replaced, StoreFault> {
        let operation = "lane_replace";
        let nonce = signed("nonce", nonce).map_err(OutOfPlace::during(operation))?;
        let lane = &lease.lane;
        let mut transaction = self.begin(operation).await?;
        if lanes::hold(&mut transaction, operation, lease).await?.is_none() {
            return Ok(Replaced::Lost);
        }
        let slot: Vec<(Option<String>, String, bool)> = sqlx::query_as(SLOT)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .bind(nonce)
            .fetch_all(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let was_empty = match slot.last() {
            Some((None, newest, is_empty)) if *newest == over.0 => *is_empty,
            Some(_) | None => return Ok(Replaced::Moved),
        };
        if slot.len() >= SLOT_TRANSACTIONS_MAX {
            return Ok(Replaced::Exhausted);
        }
        let mut riders = riders(&mut transaction, operation, lane, nonce).await?;
        if with.cargo == Outbid::Nothing && !riders.is_empty() {
            return Ok(Replaced::Moved);
        }
        // The same as nothing is nothing.
        let is_empty = was_empty || with.cargo == Outbid::Nothing;
        riders.retain(|_| !is_empty);
        let kind = Event::Signed(with.id.clone());
        let told = riders.iter().map(|it| {
            let (payment, version) = (PaymentId::from_uuid(it.payment_id), it.version.saturating_add(1));
            let told = Told::signed(payment, version, kind.as_str(), &lane.network, &with.id);
            (told.body(), told.seal(it.seal.as_deref()))
        });
        let (bodies, seals): (Vec<_>, Vec<_>) = told.unzip();
        let ids: Vec<Uuid> = riders.iter().map(|it| it.payment_id).collect();
        sqlx::query(REPLACE)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .bind(nonce)
            .bind(&with.id.0)
            .bind(&with.raw)
            .bind(with.cost_max.to_string())
            .bind(is_empty)
            .bind(&ids)
            .bind(bodies)
            .bind(kind.as_str())
            .bind(seals)
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(Replaced::Done(ids.into_iter().map(PaymentId::from_uuid).collect()))
    }
}

/// Locks the payments that are in flight by the slot, and gives them as they are.
async fn riders(
    connection: &mut PgConnection,
    operation: &'static str,
    lane: &LaneId,
    nonce: i64,
) -> Result<Vec<Claimed>, StoreFault> {
    sqlx::query_as(RIDERS)
        .bind(lane.network.as_str())
        .bind(&lane.signer)
        .bind(nonce)
        .bind(State::InFlight.as_str())
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))
}
