//! What each endpoint is still to have of what happens.
//!
//! The feed is the outbox. An endpoint's cursor moves by compare-and-set in the statement that puts what it passes among
//! the endpoint's deliveries, so that nothing is passed over and nothing put there twice, however many processes do it.
//! A delivery is claimed by putting off when it is due; if its process goes away, it is due again.

use std::time::Duration;

use sqlx::types::Uuid;

use super::endpoints::{self, Endpoint};
use super::feed::{EntryRow, Happening, Place, Source, entries, read_entries};
use super::rows::{OutOfPlace, signed, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::event::{Event, EventId};
use crate::domain::id::{EndpointId, PaymentId};

statements! {
    FAN_OUT = "with moved as (
            update webhook_endpoints set cursor = $3 where id = $1 and cursor = $2 and disabled_at is null
                and (select count(*) from webhook_deliveries d where d.endpoint_id = $1 and d.state = 'pending') < $8
            returning id
        ), added as (
            insert into webhook_deliveries (endpoint_id, source, seq, payment_id, version, due_at, created_at)
            select m.id, n.source, n.seq, n.payment_id, n.version, now(), now()
            from moved m, unnest($4::bigint[], $5::bigint[], $6::uuid[], $7::bigint[])
                as n(source, seq, payment_id, version)
            on conflict (endpoint_id, source, seq) do update set state = 'pending', attempts = 0,
                due_at = excluded.due_at, ended_at = null, created_at = excluded.created_at
        )
        select id from moved";
    CLAIM = "with due as (
            select d.endpoint_id, d.source, d.seq from webhook_deliveries d
            where d.endpoint_id = $1 and d.state = 'pending' and d.due_at <= now()
                and ($4::uuid is null or d.payment_id = $4)
                and not exists (select 1 from webhook_deliveries b where b.endpoint_id = d.endpoint_id
                    and b.payment_id = d.payment_id and b.version < d.version and b.state = 'pending')
            order by d.due_at, d.source, d.seq limit $2 for update of d
        )
        update webhook_deliveries d set due_at = now() + make_interval(secs => $3), attempts = d.attempts + 1
        from due
        where d.endpoint_id = due.endpoint_id and d.source = due.source and d.seq = due.seq
        returning d.source, d.seq, d.attempts";
    CLAIMED = entries!("e.seq = any($1::bigint[])", "n.seq = any($2::bigint[])", "");
    DELIVERED = "with done as (
            update webhook_deliveries set state = 'delivered', ended_at = now(), outcome = $4
            where endpoint_id = $1 and source = $2 and seq = $3 and state = 'pending'
        )
        update webhook_endpoints set failing_since = null where id = $1 and failing_since is not null";
    FAILED = "update webhook_deliveries set outcome = $5,
            due_at = now() + make_interval(secs => greatest($6, 1 + random() * $7)),
            state = case when created_at < now() - make_interval(secs => $8) then 'given_up' else state end,
            ended_at = case when created_at < now() - make_interval(secs => $8) then now() end
        where endpoint_id = $1 and source = $2 and seq = $3 and attempts = $4 and state = 'pending'
        returning state = 'given_up'";
    FAILING = "update webhook_endpoints set failing_since = coalesce(failing_since, now()) where id = $1
        returning failing_since < now() - make_interval(secs => $2)";
    FORGET = "delete from webhook_deliveries where (endpoint_id, source, seq) in (
        select d.endpoint_id, d.source, d.seq from webhook_deliveries d
        where d.created_at < now() - make_interval(secs => $1) order by d.created_at limit $2)";
    REPLAY = "insert into webhook_deliveries (endpoint_id, source, seq, payment_id, version, due_at, created_at)
        select h.id, f.source, f.seq, f.payment_id, f.version, now(), now()
        from webhook_endpoints h, (
            select 0::bigint as source, e.seq, e.payment_id, e.version, e.tenant from events e where e.payment_id = $2 and e.version = $3
            union all
            select 1::bigint, n.seq, null::uuid, null::bigint, n.tenant from notices n where n.id = $2 and $3::bigint is null
        ) f
        where h.id = $1 and (h.tenant is null or h.tenant = f.tenant)
        on conflict (endpoint_id, source, seq) do update set state = 'pending', attempts = 0, due_at = excluded.due_at,
            ended_at = null, created_at = excluded.created_at";
    REPLAY_GIVEN_UP = "update webhook_deliveries set state = 'pending', attempts = 0, due_at = now(), ended_at = null,
            created_at = now()
        where endpoint_id = $1 and state = 'given_up'";
    DELIVERIES = "select source, seq, state, attempts, due_at, outcome, ended_at, created_at from webhook_deliveries
        where endpoint_id = $1 and ($2::text is null or state = $2)
        order by created_at desc, source desc, seq desc limit $3";
}

/// How many deliveries may wait at one endpoint; more of the feed is only taken once there are fewer.
const WAITING_MAX: i64 = 10_000;

/// How many are deleted at a time.
const DELETED: i64 = 1_000;

/// A delivery that is this process's to make for a while.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Of what.
    pub event: Event,
    /// The how-manieth attempt it is, from 1.
    pub attempt: u64,
    row: (Source, i64),
}

/// How long things take at an endpoint that fails.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The least until the next attempt, as the endpoint asked for.
    pub least: Duration,
    /// The most until the next attempt, unless it asked for more; the true pause is anything up to that.
    pub most: Duration,
    /// For how long a delivery is tried.
    pub of_delivery: Duration,
    /// For how long an endpoint may fail throughout.
    pub of_endpoint: Duration,
}

/// A delivery, as it is listed.
pub struct Delivery {
    /// Of what; none when that is not on record any more.
    pub event: Option<Event>,
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
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    source: i64,
    seq: i64,
    state: String,
    attempts: i64,
    due_at: DateTime<Utc>,
    outcome: Option<String>,
    ended_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Puts these entries of the feed among the endpoint's deliveries, and its cursor after `next`. False when the cursor is
    /// not where it was read any more, the endpoint is not told any more, or too much waits there already.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn deliveries_add(
        &self,
        endpoint: &Endpoint,
        found: &[&Happening],
        next: Place,
    ) -> Result<bool, StoreFault> {
        let of = |entry: &&Happening| entry.event.of_payment();
        let moved: Option<Uuid> = sqlx::query_scalar(FAN_OUT)
            .bind(endpoint.id.as_uuid())
            .bind(endpoint.cursor.to_string())
            .bind(next.to_string())
            .bind(found.iter().map(|it| it.place.row().0.number()).collect::<Vec<_>>())
            .bind(found.iter().map(|it| it.place.row().1).collect::<Vec<_>>())
            .bind(
                found
                    .iter()
                    .map(|it| of(it).map(|(id, _)| id.as_uuid()))
                    .collect::<Vec<_>>(),
            )
            .bind(
                found
                    .iter()
                    .map(|it| of(it).map(|(_, version)| version))
                    .collect::<Vec<_>>(),
            )
            .bind(WAITING_MAX)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::writing("deliveries_add"))?;
        Ok(moved.is_some())
    }

    /// Claims what is due at the endpoint for `term`, at most `limit` deliveries. Of a payment only its earliest event is due.
    ///
    /// # Errors
    /// Faults of the store; what was claimed is due again after the term.
    pub async fn deliveries_claim(
        &self,
        endpoint: EndpointId,
        limit: usize,
        term: Duration,
    ) -> Result<Vec<Claim>, StoreFault> {
        self.claim("deliveries_claim", endpoint, None, limit, term).await
    }

    /// Claims the payment's next event for the endpoint, if it is due.
    ///
    /// # Errors
    /// As above.
    pub async fn delivery_claim_of(
        &self,
        endpoint: EndpointId,
        payment: PaymentId,
        term: Duration,
    ) -> Result<Option<Claim>, StoreFault> {
        let claimed = self
            .claim("delivery_claim_of", endpoint, Some(payment), 1, term)
            .await?;
        Ok(claimed.into_iter().next())
    }

    async fn claim(
        &self,
        operation: &'static str,
        endpoint: EndpointId,
        payment: Option<PaymentId>,
        limit: usize,
        term: Duration,
    ) -> Result<Vec<Claim>, StoreFault> {
        let claimed: Vec<(i64, i64, i64)> = sqlx::query_as(CLAIM)
            .bind(endpoint.as_uuid())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(term.as_secs_f64())
            .bind(payment.map(|id| id.as_uuid()))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::writing(operation))?;
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<(i64, i64)> = claimed.iter().map(|(source, seq, _)| (*source, *seq)).collect();
        let claim = |entry: Happening| {
            let row = entry.place.row();
            let (.., attempts) = claimed.iter().find(|it| (it.0, it.1) == (row.0.number(), row.1))?;
            Some((entry.event, *attempts, row))
        };
        let claims = self
            .entries_of(operation, &rows)
            .await?
            .into_iter()
            .filter_map(claim)
            .map(|(event, attempts, row)| {
                let attempt = unsigned("attempts", attempts)?;
                Ok(Claim { event, attempt, row })
            });
        claims.collect::<Result<_, _>>().map_err(OutOfPlace::during(operation))
    }

    /// The entries in these rows, in the feed's order.
    async fn entries_of(&self, operation: &'static str, rows: &[(i64, i64)]) -> Result<Vec<Happening>, StoreFault> {
        let of = |wanted: Source| {
            let rows = rows.iter().filter(|(source, _)| *source == wanted.number());
            rows.map(|(_, seq)| *seq).collect::<Vec<i64>>()
        };
        let rows: Vec<EntryRow> = sqlx::query_as(CLAIMED)
            .bind(of(Source::Events))
            .bind(of(Source::Notices))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_entries(operation, rows)
    }

    /// The endpoint has it.
    ///
    /// # Errors
    /// Faults of the store; it will be delivered again.
    pub async fn delivery_done(&self, endpoint: EndpointId, claim: &Claim, outcome: &str) -> Result<(), StoreFault> {
        sqlx::query(DELIVERED)
            .bind(endpoint.as_uuid())
            .bind(claim.row.0.number())
            .bind(claim.row.1)
            .bind(outcome)
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing("delivery_done"))?;
        Ok(())
    }

    /// The attempt has failed: it is tried again later, or given up, and an endpoint that has failed for too long is told no
    /// more. Says whether it was given up and whether the endpoint was disabled.
    ///
    /// # Errors
    /// Faults of the store; it will be tried again.
    pub async fn delivery_failed(
        &self,
        endpoint: EndpointId,
        claim: &Claim,
        outcome: &str,
        patience: Patience,
    ) -> Result<(bool, bool), StoreFault> {
        let operation = "delivery_failed";
        let fault = StoreFault::reading(operation);
        let mut transaction = self.begin(operation).await?;
        let given_up: Option<bool> = sqlx::query_scalar(FAILED)
            .bind(endpoint.as_uuid())
            .bind(claim.row.0.number())
            .bind(claim.row.1)
            .bind(signed("attempts", claim.attempt).map_err(OutOfPlace::during(operation))?)
            .bind(outcome)
            .bind(patience.least.as_secs_f64())
            .bind(patience.most.as_secs_f64())
            .bind(patience.of_delivery.as_secs_f64())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&fault)?;
        let is_hopeless: Option<bool> = sqlx::query_scalar(FAILING)
            .bind(endpoint.as_uuid())
            .bind(patience.of_endpoint.as_secs_f64())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&fault)?;
        let is_disabled = is_hopeless == Some(true)
            && endpoints::disable(
                &mut transaction,
                operation,
                endpoint,
                "all deliveries have failed for 5 days",
            )
            .await?;
        commit(transaction, operation).await?;
        if is_disabled {
            self.ring();
        }
        Ok((given_up == Some(true), is_disabled))
    }

    /// Forgets deliveries that are older than `age`, some at a time: how many.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn deliveries_forget(&self, age: Duration) -> Result<u64, StoreFault> {
        let deleted = sqlx::query(FORGET)
            .bind(age.as_secs_f64())
            .bind(DELETED)
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing("deliveries_forget"))?;
        Ok(deleted.rows_affected())
    }

    /// Delivers this event to the endpoint, again where it had it: true when there are both.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn delivery_replay(&self, endpoint: EndpointId, event: EventId) -> Result<bool, StoreFault> {
        let (id, version) = match event {
            EventId::Payment(payment, version) => (payment.as_uuid(), Some(version)),
            EventId::Notice(notice) => (notice.as_uuid(), None),
        };
        let replayed = sqlx::query(REPLAY)
            .bind(endpoint.as_uuid())
            .bind(id)
            .bind(version)
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing("delivery_replay"))?;
        Ok(replayed.rows_affected() == 1)
    }

    /// Tries everything again that was given up at the endpoint: how many deliveries.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn deliveries_replay_given_up(&self, endpoint: EndpointId) -> Result<u64, StoreFault> {
        let replayed = sqlx::query(REPLAY_GIVEN_UP)
            .bind(endpoint.as_uuid())
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing("deliveries_replay_given_up"))?;
        Ok(replayed.rows_affected())
    }

    /// The endpoint's newest deliveries, in this state or in any.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn deliveries_list(
        &self,
        endpoint: EndpointId,
        state: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Delivery>, StoreFault> {
        let operation = "deliveries_list";
        let rows: Vec<DeliveryRow> = sqlx::query_as(DELIVERIES)
            .bind(endpoint.as_uuid())
            .bind(state)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let places: Vec<(i64, i64)> = rows.iter().map(|it| (it.source, it.seq)).collect();
        let entries = self.entries_of(operation, &places).await?;
        let event_of = |row: &DeliveryRow| {
            let entry = entries.iter().find(|it| {
                let (source, seq) = it.place.row();
                (source.number(), seq) == (row.source, row.seq)
            });
            entry.map(|it| it.event.clone())
        };
        let read = rows.into_iter().map(|row| {
            Ok(Delivery {
                event: event_of(&row),
                state: row.state,
                attempts: unsigned("attempts", row.attempts)?,
                due_at: row.due_at,
                outcome: row.outcome,
                ended_at: row.ended_at,
            })
        });
        read.collect::<Result<_, _>>().map_err(OutOfPlace::during(operation))
    }
}
