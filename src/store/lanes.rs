//! Lanes: who gets the next nonce, and what is signed with it.
//!
//! A nonce, the payments it is for and the signed bytes become durable together, before anybody else sees any of
//! them. So a crash leaves either nothing or bytes that can be sent again, and nonces have no gaps.

use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::events::{Seal, Told, tenant_of, written_by};
use super::rows::{OutOfPlace, signed, unsigned};
use super::{Store, StoreFault, budgets, commit};
use crate::domain::amount::Amount;
use crate::domain::budget::{Draw, Limits, Shortage};
use crate::domain::id::PaymentId;
use crate::domain::lease::Lease;
use crate::domain::rail::{LaneId, RailFault, SignedTx};
use crate::domain::settlement::{Event, State};
use crate::seeded::Bug;

statements! {
    PREPARE = "insert into lanes (network, signer, first_nonce, next_nonce, created_at) values ($1, $2, $3, $3, now())
        on conflict (network, signer) do update set next_nonce = lanes.next_nonce
        returning next_nonce";
    HOLD = "select next_nonce, quarantined_at is not null from lanes
        where network = $1 and signer = $2 and lease_holder = $3 and fence = $4 and lease_until > now() for update";
    CLAIM = "select s.payment_id, s.version, (select e.seal from events e
                where e.payment_id = s.payment_id and e.version = s.version) as seal
            from settlements s join payments p on p.id = s.payment_id
        where s.payment_id = any($1::uuid[]) and s.state = $2 and p.network = $3
        order by s.payment_id for update of s";
    SEATS_FREE = "update settlement_attempts a set closed_at = now() from slots o
        where a.payment_id = any($1::uuid[]) and a.closed_at is null and o.network = a.network
            and o.signer = a.signer and o.nonce = a.nonce and o.consumed_by is not null
        returning a.payment_id";
    INTEND = concat!("with carriers as (
            select c.tx, c.raw, c.cost_max, $3::bigint + c.place - 1 as nonce
            from unnest($4::text[], $5::bytea[], $6::text[]) with ordinality as c(tx, raw, cost_max, place)
        ), slot as (
            insert into slots (network, signer, nonce, created_at, budget_held)
            select $1, $2, c.nonce, now(), c.cost_max::numeric from carriers c
        ), signed as (
            insert into chain_transactions (tx, network, signer, nonce, raw, cost_max, status, created_at)
            select c.tx, $1, $2, c.nonce, c.raw, c.cost_max::numeric, 'signed', now() from carriers c
        ), cargo as (
            select p.payment_id, p.body, p.nonce, p.seat, p.seal, c.tx
            from unnest($7::uuid[], $8::text[], $9::bigint[], $10::bigint[], $12::bytea[])
                as p(payment_id, body, nonce, seat, seal)
                join carriers c on c.nonce = p.nonce
        ), seats as (
            insert into settlement_attempts (payment_id, attempt, network, signer, nonce, seat, created_at)
            select c.payment_id,
                1 + (select count(*) from settlement_attempts a where a.payment_id = c.payment_id),
                $1, $2, c.nonce, c.seat, now()
            from cargo c
        ), moved as (
            update settlements s set state = 'in_flight', version = s.version + 1, tx = c.tx, setback = null,
                setback_tx = null
            from cargo c where s.payment_id = c.payment_id
            returning s.payment_id, s.version, c.body, c.seal
        ), told as (
            insert into events (payment_id, version, kind, body, seal, created_at, tenant, written_by)
            select m.payment_id, m.version, $11::text, m.body::jsonb, m.seal, now(), ", tenant_of!("m"), ", ", written_by!("m"), "
            from moved m
        )
        update lanes set next_nonce = next_nonce + (select count(*) from carriers)
        where network = $1 and signer = $2 and next_nonce = $3");
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
    /// Nothing is signed yet, or what was signed beforehand is not what is to be signed any more; nothing was recorded and
    /// the nonce is still free.
    #[error("what is to be signed is not what was signed")]
    Unsigned,
    /// What the transactions may cost is more than the signer may still spend; nothing was recorded and the nonce is
    /// still free.
    #[error(transparent)]
    Short(Shortage),
    /// The next nonce on record is one that was signed with before: the records have lost what was committed. Nothing was
    /// recorded.
    #[error("the next nonce on record has been signed with before")]
    Forgotten,
    /// The lane is somebody else's by now, or nothing new may be signed in it. Nothing was recorded.
    #[error("the lane may not be signed in any more")]
    Lost,
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

    /// Takes the lane's next nonces for those of `payments` that are reserved on the lane's network, has them
    /// signed, and records nonces, bytes and seats in one transaction. Empty when nothing was left to claim.
    ///
    /// With `alone_retry` it claims payments in flight instead, and of those only the ones whose last
    /// transaction's nonce is known to be spent ([`Store::transactions_mined`]), so that no payment is in two
    /// transactions that may both still be mined.
    ///
    /// The most that the transactions can cost is taken from what the signer may spend (`limits`), all of it or nothing.
    ///
    /// `sign` gets the first nonce and the claimed payments in the order given, and gives transactions that carry
    /// them in that order. It runs while the lane is held: it must be quick and must not touch the network. What takes longer
    /// is signed before, for what an earlier call was given that recorded nothing ([`IntendFault::Unsigned`]).
    ///
    /// # Errors
    /// [`IntendFault::Sign`], [`IntendFault::Unsigned`] and [`IntendFault::Forgotten`] are `sign`'s own; nothing was recorded, as after
    /// [`IntendFault::Lost`] and [`IntendFault::Short`]. After [`StoreFault::OutcomeUnknown`] the intent may be on record, and its bytes must not
    /// leave until the payments were read again.
    pub async fn lane_intend<F>(
        &self,
        lease: &Lease,
        payments: &[PaymentId],
        alone_retry: bool,
        limits: &Limits,
        sign: F,
    ) -> Result<Vec<Intent>, IntendFault>
    where
        F: FnOnce(u64, &[PaymentId]) -> Result<Vec<SignedTx>, IntendFault> + Send,
    {
        let operation = "lane_intend";
        let lane = &lease.lane;
        let mut transaction = self.begin(operation).await?;
        let held = hold(&mut transaction, operation, lease).await?;
        let open = held.map(|(next, is_closed)| (next, is_closed && !Bug::QuarantineIgnored.is_on()));
        let Some((stored_nonce, false)) = open else {
            return Err(IntendFault::Lost);
        };
        let rows = claim(&mut transaction, operation, lane, payments, alone_retry).await?;
        let claimed: Vec<PaymentId> = rows.iter().map(|it| PaymentId::from_uuid(it.payment_id)).collect();
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let nonce = unsigned("next_nonce", stored_nonce).map_err(OutOfPlace::during(operation))?;
        let txs = sign(nonce, &claimed)?;
        let intents = seated(nonce, txs, &claimed).map_err(OutOfPlace::during(operation))?;
        intend(&mut transaction, operation, lane, stored_nonce, &intents, &rows).await?;
        let draws = limits.of_signer(&lane.signer, cost_max(&intents));
        if let Err(fault) = budgets::draw(&mut transaction, operation, &lane.network, &draws).await {
            drop(transaction);
            return Err(self.why_not_drawn(operation, lane, &draws, fault).await);
        }
        commit(transaction, operation).await?;
        self.ring();
        Ok(intents)
    }

    async fn why_not_drawn(
        &self,
        operation: &'static str,
        lane: &LaneId,
        draws: &[Draw],
        fault: StoreFault,
    ) -> IntendFault {
        if fault.constraint() != Some(budgets::WITHIN) {
            return fault.into();
        }
        match self.budget_short(operation, &lane.network, draws).await {
            Ok(Some(shortage)) => IntendFault::Short(shortage),
            // There is enough by now: the next try will do.
            Ok(None) => fault.into(),
            Err(fault) => fault.into(),
        }
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

/// Locks the lane until the transaction ends: its next nonce, and whether it is quarantined. None when the lease is over.
pub(super) async fn hold(
    connection: &mut PgConnection,
    operation: &'static str,
    lease: &Lease,
) -> Result<Option<(i64, bool)>, StoreFault> {
    let statement = if Bug::FenceIgnored.is_on() {
        "select next_nonce, false from lanes where network = $1 and signer = $2 and ($3::uuid is null or $4::bigint > 0)"
    } else {
        HOLD
    };
    sqlx::query_as(statement)
        .bind(lease.lane.network.as_str())
        .bind(&lease.lane.signer)
        .bind(lease.holder.0)
        .bind(signed("fence", lease.fence).map_err(OutOfPlace::during(operation))?)
        .fetch_optional(connection)
        .await
        .map_err(StoreFault::reading(operation))
}

/// A payment that is locked for signing, as it was before.
#[derive(sqlx::FromRow)]
pub(super) struct Claimed {
    pub(super) payment_id: Uuid,
    pub(super) version: i64,
    pub(super) seal: Seal,
}

/// Locks those of the payments that may be signed for now, and names them in the order given, each once.
async fn claim(
    connection: &mut PgConnection,
    operation: &'static str,
    lane: &LaneId,
    payments: &[PaymentId],
    alone_retry: bool,
) -> Result<Vec<Claimed>, StoreFault> {
    let state = if alone_retry { State::InFlight } else { State::Reserved };
    let asked: Vec<Uuid> = payments.iter().map(PaymentId::as_uuid).collect();
    let mut claimed: Vec<Claimed> = sqlx::query_as(CLAIM)
        .bind(&asked)
        .bind(state.as_str())
        .bind(lane.network.as_str())
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    if alone_retry && !claimed.is_empty() {
        // A statement of its own, after the locks: it must see a seat that was taken while we waited for them.
        let free: Vec<Uuid> = sqlx::query_scalar(SEATS_FREE)
            .bind(claimed.iter().map(|it| it.payment_id).collect::<Vec<_>>())
            .fetch_all(connection)
            .await
            .map_err(StoreFault::reading(operation))?;
        claimed.retain(|it| free.contains(&it.payment_id) || Bug::SecondTryTooEarly.is_on());
    }
    claimed.sort_by_key(|it| asked.iter().position(|id| *id == it.payment_id));
    Ok(claimed)
}

/// The most that these transactions can cost together.
fn cost_max(intents: &[Intent]) -> Amount {
    let costs = intents.iter().map(|it| it.tx.cost_max.units());
    Amount::from_units(costs.fold(0, u128::saturating_add))
}

/// Which transaction carries which of the claimed payments.
fn seated(first_nonce: u64, txs: Vec<SignedTx>, claimed: &[PaymentId]) -> Result<Vec<Intent>, OutOfPlace> {
    let uncarried = OutOfPlace("transactions that carry other payments than were claimed");
    let mut left = claimed;
    let mut intents = Vec::with_capacity(txs.len());
    for (nonce, tx) in (first_nonce..).zip(txs) {
        let Some((payments, rest)) = left.split_at_checked(tx.payments).filter(|(some, _)| !some.is_empty()) else {
            return Err(uncarried);
        };
        left = rest;
        let payments = payments.to_vec();
        intents.push(Intent { nonce, tx, payments });
    }
    if left.is_empty() { Ok(intents) } else { Err(uncarried) }
}

async fn intend(
    connection: &mut PgConnection,
    operation: &'static str,
    lane: &LaneId,
    first_nonce: i64,
    intents: &[Intent],
    claimed: &[Claimed],
) -> Result<(), StoreFault> {
    let Some(first) = intents.first() else {
        return Ok(());
    };
    let mut cargo = Cargo::default();
    for intent in intents {
        cargo
            .load(lane, intent, claimed)
            .map_err(OutOfPlace::during(operation))?;
    }
    let done = sqlx::query(INTEND)
        .bind(lane.network.as_str())
        .bind(&lane.signer)
        .bind(first_nonce)
        .bind(intents.iter().map(|it| it.tx.id.0.as_str()).collect::<Vec<_>>())
        .bind(intents.iter().map(|it| it.tx.raw.as_slice()).collect::<Vec<_>>())
        .bind(intents.iter().map(|it| it.tx.cost_max.to_string()).collect::<Vec<_>>())
        .bind(cargo.payments)
        .bind(cargo.bodies)
        .bind(cargo.nonces)
        .bind(cargo.seats)
        .bind(Event::Signed(first.tx.id.clone()).as_str())
        .bind(cargo.seals)
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    let what = "a lane that moved while it was held";
    Err(StoreFault::Corrupt { operation, what })
}

/// The payments of all transactions, as columns.
#[derive(Default)]
struct Cargo {
    payments: Vec<Uuid>,
    bodies: Vec<String>,
    nonces: Vec<i64>,
    seats: Vec<i64>,
    seals: Vec<Vec<u8>>,
}

impl Cargo {
    fn load(&mut self, lane: &LaneId, intent: &Intent, claimed: &[Claimed]) -> Result<(), OutOfPlace> {
        let nonce = signed("nonce", intent.nonce)?;
        let kind = Event::Signed(intent.tx.id.clone());
        for (seat, payment) in (0..).zip(&intent.payments) {
            let before = claimed.iter().find(|it| it.payment_id == payment.as_uuid());
            let before = before.ok_or(OutOfPlace("payment"))?;
            let version = before.version.saturating_add(1);
            let told = Told::signed(*payment, version, kind.as_str(), &lane.network, &intent.tx.id);
            self.payments.push(payment.as_uuid());
            self.bodies.push(told.body());
            self.nonces.push(nonce);
            self.seats.push(seat);
            self.seals.push(told.seal(before.seal.as_deref()));
        }
        Ok(())
    }
}
