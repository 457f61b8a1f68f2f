//! Lanes: who gets the next nonce, and what is signed with it.
//!
//! A nonce, the payments it is for and the signed bytes become durable together, before anybody else sees any of
//! them. So a crash leaves either nothing or bytes that can be sent again, and nonces have no gaps.

use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::rows::{OutOfPlace, signed, unsigned};
use super::{Store, StoreFault, commit, events};
use crate::domain::id::PaymentId;
use crate::domain::rail::{LaneId, RailFault, SignedTx};
use crate::domain::settlement::{Event, State};

statements! {
    PREPARE = "insert into lanes (network, signer, first_nonce, next_nonce, created_at) values ($1, $2, $3, $3, now())
        on conflict (network, signer) do update set next_nonce = lanes.next_nonce
        returning next_nonce";
    HOLD = "select next_nonce from lanes where network = $1 and signer = $2 for update";
    CLAIM = "select s.payment_id from settlements s join payments p on p.id = s.payment_id
        where s.payment_id = any($1::uuid[]) and s.state = $2 and p.network = $3
        order by s.payment_id for update of s";
    SEATS_FREE = "update settlement_attempts a set closed_at = now() from slots o
        where a.payment_id = any($1::uuid[]) and a.closed_at is null and o.network = a.network
            and o.signer = a.signer and o.nonce = a.nonce and o.consumed_by is not null
        returning a.payment_id";
    INTEND = "with slot as (
            insert into slots (network, signer, nonce, created_at) values ($1, $2, $3, now())
        ), carrier as (
            insert into chain_transactions (tx, network, signer, nonce, raw, cost_max, status, created_at)
            values ($4, $1, $2, $3, $5, $6::text::numeric, 'signed', now())
        ), cargo as (
            select c.payment_id, c.body, c.place - 1 as seat
            from unnest($7::uuid[], $8::text[]) with ordinality as c(payment_id, body, place)
        ), seats as (
            insert into settlement_attempts (payment_id, attempt, network, signer, nonce, seat, created_at)
            select c.payment_id,
                1 + (select count(*) from settlement_attempts a where a.payment_id = c.payment_id),
                $1, $2, $3, c.seat, now()
            from cargo c
        ), moved as (
            update settlements s set state = 'in_flight', version = s.version + 1, tx = $4, setback = null,
                setback_tx = null
            from cargo c where s.payment_id = c.payment_id
            returning s.payment_id, s.version, c.body
        ), told as (
            insert into events (payment_id, version, kind, body, created_at)
            select m.payment_id, m.version, $9::text, m.body::jsonb, now() from moved m
        )
        update lanes set next_nonce = next_nonce + 1 where network = $1 and signer = $2 and next_nonce = $3";
    IN_FLIGHT = "select count(*) from slots where network = $1 and signer = $2 and consumed_by is null";
}

/// Signed bytes on record, and what they carry.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The lane's nonce they were signed with.
    pub nonce: u64,
    /// The bytes.
    pub tx: SignedTx,
    /// The payments they carry, in the order they were signed in.
    pub payments: Vec<PaymentId>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum IntendFault {
    /// The store's fault.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The signer's fault; nothing was recorded and the nonce is still free.
    #[error(transparent)]
    Sign(RailFault),
}

impl Store {
    /// Begins the lane at the chain's nonce if it has no row yet. Answers with our next nonce, which is never
    /// changed here: one below `chain_nonce` means that somebody else signs with this key.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn lane_prepare(&self, lane: &LaneId, chain_nonce: u64) -> Result<u64, StoreFault> {
        let operation = "lane_prepare";
        let first = signed("chain_nonce", chain_nonce).map_err(OutOfPlace::during(operation))?;
        let mut connection = self.connection(operation).await?;
        let next: i64 = sqlx::query_scalar(PREPARE)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .bind(first)
            .fetch_one(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        unsigned("next_nonce", next).map_err(OutOfPlace::during(operation))
    }

    /// Takes the lane's next nonce for those of `payments` that are reserved on the lane's network, has them
    /// signed, and records nonce, bytes and seats in one transaction. None when nothing was left to claim.
    ///
    /// With `alone_retry` it claims payments in flight instead, and of those only the ones whose last
    /// transaction's nonce is known to be spent ([`Store::transactions_mined`]), so that no payment is in two
    /// transactions that may both still be mined.
    ///
    /// `sign` gets the nonce and the claimed payments in the order given. It runs while the lane is held: it must
    /// be quick and must not touch the network.
    ///
    /// # Errors
    /// [`IntendFault::Sign`] is `sign`'s own; nothing was recorded. After [`StoreFault::OutcomeUnknown`] the
    /// intent may be on record, and its bytes must not leave until the payments were read again.
    pub async fn lane_intend<F>(
        &self,
        lane: &LaneId,
        payments: &[PaymentId],
        alone_retry: bool,
        sign: F,
    ) -> Result<Option<Intent>, IntendFault>
    where
        F: FnOnce(u64, &[PaymentId]) -> Result<SignedTx, RailFault> + Send,
    {
        let operation = "lane_intend";
        let mut transaction = self.begin(operation).await?;
        let stored_nonce = hold(&mut transaction, operation, lane).await?;
        let claimed = claim(&mut transaction, operation, lane, payments, alone_retry).await?;
        if claimed.is_empty() {
            return Ok(None);
        }
        let nonce = unsigned("next_nonce", stored_nonce).map_err(OutOfPlace::during(operation))?;
        let tx = sign(nonce, &claimed).map_err(IntendFault::Sign)?;
        intend(&mut transaction, operation, lane, stored_nonce, &tx, &claimed).await?;
        commit(transaction, operation).await?;
        Ok(Some(Intent {
            nonce,
            tx,
            payments: claimed,
        }))
    }

    /// How many of the lane's nonces are taken and not known to be spent.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn lane_in_flight(&self, lane: &LaneId) -> Result<u64, StoreFault> {
        let operation = "lane_in_flight";
        let count: i64 = sqlx::query_scalar(IN_FLIGHT)
            .bind(lane.network.as_str())
            .bind(&lane.signer)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        unsigned("count", count).map_err(OutOfPlace::during(operation))
    }
}

/// Locks the lane until the transaction ends; its next nonce.
async fn hold(connection: &mut PgConnection, operation: &'static str, lane: &LaneId) -> Result<i64, StoreFault> {
    let next: Option<i64> = sqlx::query_scalar(HOLD)
        .bind(lane.network.as_str())
        .bind(&lane.signer)
        .fetch_optional(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let what = "a lane that was never prepared";
    next.ok_or(StoreFault::Corrupt { operation, what })
}

/// Locks those of the payments that may be signed for now, and names them in the order given, each once.
async fn claim(
    connection: &mut PgConnection,
    operation: &'static str,
    lane: &LaneId,
    payments: &[PaymentId],
    alone_retry: bool,
) -> Result<Vec<PaymentId>, StoreFault> {
    let state = if alone_retry { State::InFlight } else { State::Reserved };
    let asked: Vec<Uuid> = payments.iter().map(PaymentId::as_uuid).collect();
    let mut claimable: Vec<Uuid> = sqlx::query_scalar(CLAIM)
        .bind(asked)
        .bind(state.as_str())
        .bind(lane.network.as_str())
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    if alone_retry && !claimable.is_empty() {
        // A statement of its own, after the locks: it must see a seat that was taken while we waited for them.
        claimable = sqlx::query_scalar(SEATS_FREE)
            .bind(claimable)
            .fetch_all(connection)
            .await
            .map_err(StoreFault::reading(operation))?;
    }
    let mut claimed = Vec::with_capacity(claimable.len());
    for payment in payments {
        if claimable.contains(&payment.as_uuid()) && !claimed.contains(payment) {
            claimed.push(*payment);
        }
    }
    Ok(claimed)
}

async fn intend(
    connection: &mut PgConnection,
    operation: &'static str,
    lane: &LaneId,
    nonce: i64,
    tx: &SignedTx,
    claimed: &[PaymentId],
) -> Result<(), StoreFault> {
    let body = |payment: &PaymentId| events::body(*payment, &lane.network, State::InFlight, Some(&tx.id), None);
    let done = sqlx::query(INTEND)
        .bind(lane.network.as_str())
        .bind(&lane.signer)
        .bind(nonce)
        .bind(&tx.id.0)
        .bind(&tx.raw)
        .bind(tx.cost_max.to_string())
        .bind(claimed.iter().map(PaymentId::as_uuid).collect::<Vec<Uuid>>())
        .bind(claimed.iter().map(body).collect::<Vec<_>>())
        .bind(Event::Signed(tx.id.clone()).as_str())
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    let what = "a lane that moved while it was held";
    Err(StoreFault::Corrupt { operation, what })
}
