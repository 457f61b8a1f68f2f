//! Reserving payments, and finding them again.

use std::collections::{BTreeSet, HashMap};

use sqlx::Row;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::budgets::{self, Draws};
use super::events::{self, Seal, Told};
use super::labels::LabelsRow;
use super::rows::{OutOfPlace, RecordRow, bounds, read_all, read_one, records, reference, signed};
use super::screenings::{self, EvidenceRow};
use super::{Cause, DateTime, Record, Store, StoreFault, Utc, commit};
use crate::domain::authorization::PaymentKey;
use crate::domain::budget::{Reserve, Shortage};
use crate::domain::id::PaymentId;
use crate::domain::request::PaymentReference;
use crate::domain::screening::Ticket;
use crate::domain::settlement::{Event, Settlement, State};
use crate::domain::tenant::TenantId;
use crate::domain::verdict::Verified;

statements! {
    RESERVE = concat!("with reserved as (
            insert into payments (id, key, scheme, network, payer, pay_to, asset, amount, nonce, valid_after,
                valid_before, body, digest, envelope, resource_url, since_height, must_go_alone, created_at, signer, memo,
                merchant_reference, order_id, metadata, screening, tenant)
            values ($1, $2, $3, $4, $5, $6, $7, $8::text::numeric, $9, $10::text::numeric, $11::text::numeric,
                $12, $13, $14, $15, $16, $17, now(), $22, $23, $26, $27, $28, $34, $39)
            on conflict do nothing
            returning id, created_at
        ), settled as (
            insert into settlements (payment_id, state, version, created_at, budget_held, budget_at, value_held)
            select id, 'reserved', 0, created_at, $25::text::numeric, created_at, $40::text::numeric from reserved
        ), named as (
            insert into payment_references (kind, value, payment_id, tenant)
            select r.kind, r.value, p.id, $39 from reserved p, unnest($18::text[], $19::text[]) as r(kind, value)
        ), told as (
            insert into events (payment_id, version, kind, body, seal, created_at, tenant)
            select id, 0, $20::text, $21::text::jsonb, $24, created_at, $39 from reserved
        ), screened as (
            insert into screenings (id, stage, decision, policy, network, body, seal, payment_id, created_at)
            select $35::uuid, 'settle', $34, $36::text, $4, $37::text, $38::bytea, id, created_at from reserved
            where $35::uuid is not null
        ), drawn as (
            ", budgets::drawing!("$4", "$29", "$30", "$31", "$32", "$33", "and exists (select 1 from reserved)"), "
        )
        select created_at from reserved");
    REOPEN = "update settlements set state = 'reserved', version = version + 1, budget_held = $3::text::numeric,
            budget_at = now(), value_held = $4::text::numeric
        where payment_id = $1 and version = $2 and state = 'withdrawn'
        returning (select e.seal from events e where e.payment_id = $1 and e.version = $2)";
    REWRITE = "update payments set scheme = $2, pay_to = $3, amount = $4::text::numeric, valid_after = $5::text::numeric,
            valid_before = $6::text::numeric, body = $7, digest = $8, envelope = $9, resource_url = $10,
            since_height = $11, must_go_alone = $12, signer = $13, memo = $14, payer = $15,
            merchant_reference = $16, order_id = $17, metadata = $18, screening = $19
        where id = $1";
    REFERENCES_DROP = "delete from payment_references where payment_id = $1";
    REFERENCES_ADD = "insert into payment_references (kind, value, payment_id, tenant)
        select r.kind, r.value, $1, $4 from unnest($2::text[], $3::text[]) as r(kind, value)";
    REFERENCE_TAKEN = "select r.kind, r.value from payment_references r
        join unnest($2::text[], $3::text[]) as asked(kind, value) on asked.kind = r.kind and asked.value = r.value
        where r.payment_id <> $1 and r.tenant = $4 order by r.kind, r.value limit 1";
    BY_ID = records!("where p.id = $1 and ($2::uuid is null or p.tenant = $2)");
    BY_IDS = records!("where p.id = any($1::uuid[]) order by p.created_at, p.id");
    BY_KEY = records!("where p.key = $1");
    BY_REFERENCE = records!("where p.id in (select r.payment_id from payment_references r
            join unnest($1::text[], $2::text[]) as asked(kind, value)
                on asked.kind = r.kind and asked.value = r.value where r.tenant = $3)
        order by p.created_at, p.id limit 1");
}

/// How often a reservation is tried when others keep changing what it stands on.
const RESERVE_TRIES: u32 = 4;

/// A payment to put on record.
#[derive(Debug, Clone)]
pub struct NewPayment {
    /// Its name, minted by the caller, so that an unknown outcome can be looked up.
    pub id: PaymentId,
    /// What was asked, signed and seen, and may go on.
    pub verified: Ticket<Verified>,
    /// The request's digest.
    pub digest: [u8; 32],
    /// The most that its settlement can cost, and the windows that this is taken from.
    pub reserve: Reserve,
}

/// What became of a reservation.
#[derive(Debug, Clone)]
pub enum Reservation {
    /// This call put it on record.
    New(Record),
    /// It had been withdrawn before anything was signed; this call put it on record anew, under its first id and
    /// with this request's authorization and references.
    Reopened(Record),
    /// It was on record already. A caller that repeats itself after [`StoreFault::OutcomeUnknown`] knows its own
    /// by the id.
    Seen(Record),
    /// A name it brings belongs to another payment; nothing was written.
    ReferenceTaken(PaymentReference),
    /// What its settlement may cost is more than a window has left; nothing was written.
    Short(Shortage),
}

/// The request's references in stored order, each once, as columns.
struct References<'a> {
    kinds: Vec<&'static str>,
    values: Vec<&'a str>,
}

impl<'a> References<'a> {
    /// Sorted, so that any two writers lock names in one order.
    fn of(references: &'a [PaymentReference]) -> Self {
        let sorted: BTreeSet<(&'static str, &str)> = references
            .iter()
            .map(|reference| (reference.kind.as_str(), reference.value.as_str()))
            .collect();
        let (kinds, values) = sorted.into_iter().unzip();
        Self { kinds, values }
    }

    fn read(&self) -> Result<Vec<PaymentReference>, OutOfPlace> {
        self.kinds
            .iter()
            .zip(&self.values)
            .map(|(kind, value)| reference(kind, (*value).into()))
            .collect()
    }
}

impl Store {
    /// Puts a verified payment on record, once for ever by its key. One round trip when it is new.
    ///
    /// # Errors
    /// Faults of the store. After [`StoreFault::OutcomeUnknown`] the payment may be reserved under the id given.
    pub async fn payment_reserve(&self, new: &NewPayment) -> Result<Reservation, StoreFault> {
        for _ in 0..RESERVE_TRIES {
            if let Some(done) = self.reserve_once(new).await? {
                return Ok(done);
            }
        }
        Err(StoreFault::Unavailable {
            operation: "payment_reserve",
            source: Cause::named("others kept changing the payment"),
        })
    }

    /// None when what it stood on changed in between.
    async fn reserve_once(&self, new: &NewPayment) -> Result<Option<Reservation>, StoreFault> {
        let operation = "payment_reserve";
        let references = References::of(&new.verified.request().references);
        match self.payment_insert(new, &references).await {
            Ok(Some(created_at)) => {
                let record = reserved(new, &references, created_at).map_err(OutOfPlace::during(operation))?;
                return Ok(Some(Reservation::New(record)));
            }
            Ok(None) => {}
            Err(fault) if is_reference_taken(&fault) => {
                let taken = self.reference_taken(new.id, new.tenant(), &references).await?;
                return Ok(taken.map(Reservation::ReferenceTaken));
            }
            Err(fault) if is_short(&fault) => return self.reserve_short(new).await,
            Err(fault) => return Err(fault),
        }
        let key = new.verified.authorization().key;
        let Some(record) = self.payment_find(&key).await? else {
            let what = "payment id of another key";
            return Err(StoreFault::Corrupt { operation, what });
        };
        // Whoever had it first keeps it: another tenant is told no more of it than that it is taken.
        if record.tenant != new.tenant() {
            return Ok(Some(Reservation::Seen(record)));
        }
        if let Some(taken) = self.reference_taken(record.id, record.tenant, &references).await? {
            return Ok(Some(Reservation::ReferenceTaken(taken)));
        }
        if record.settlement.state() != State::Withdrawn {
            return Ok(Some(Reservation::Seen(record)));
        }
        match self.payment_reopen(new, &references, &record).await {
            Err(fault) if is_reference_taken(&fault) => Ok(None),
            Err(fault) if is_short(&fault) => self.reserve_short(new).await,
            reopened => Ok(reopened?.map(Reservation::Reopened)),
        }
    }

    /// None when there is enough by now.
    async fn reserve_short(&self, new: &NewPayment) -> Result<Option<Reservation>, StoreFault> {
        let network = &new.verified.request().rail.network;
        let short = self
            .budget_short("payment_reserve", network, &new.reserve.draws)
            .await?;
        Ok(short.map(Reservation::Short))
    }

    /// None when the key is on record.
    async fn payment_insert(
        &self,
        new: &NewPayment,
        references: &References<'_>,
    ) -> Result<Option<DateTime<Utc>>, StoreFault> {
        let operation = "payment_reserve";
        let (request, signed_by_payer, facts) = (
            new.verified.request(),
            new.verified.authorization(),
            new.verified.facts(),
        );
        let since_height = signed("since_height", facts.height).map_err(OutOfPlace::during(operation))?;
        let (valid_after, valid_before) = bounds(signed_by_payer.window);
        let network = &request.rail.network;
        let evidence = EvidenceRow::of(new.verified.evidence());
        let change = evidence.change();
        let told = Told {
            change: change.as_deref(),
            ..Told::reserved(new.id, 0, events::RESERVED, network)
        };
        let labels = LabelsRow::of(&request.labels);
        let mut connection = self.connection(operation).await?;
        let query = sqlx::query(RESERVE)
            .bind(new.id.as_uuid())
            .bind(signed_by_payer.key.0)
            .bind(request.rail.scheme.as_str())
            .bind(network.as_str())
            .bind(&signed_by_payer.payer)
            .bind(&signed_by_payer.pay_to)
            .bind(&signed_by_payer.asset)
            .bind(signed_by_payer.amount.to_string())
            .bind(&signed_by_payer.nonce)
            .bind(valid_after)
            .bind(valid_before)
            .bind(&signed_by_payer.body)
            .bind(new.digest)
            .bind(request.envelope)
            .bind(&request.resource.url)
            .bind(since_height)
            .bind(facts.must_go_alone)
            .bind(&references.kinds)
            .bind(&references.values)
            .bind(told.kind)
            .bind(told.body())
            .bind(&signed_by_payer.signer)
            .bind(&signed_by_payer.memo)
            .bind(told.seal(None))
            .bind(new.reserve.amount.to_string())
            .bind(labels.merchant_reference)
            .bind(labels.order_id)
            .bind(labels.metadata);
        let row = Draws::of(&new.reserve.draws)
            .bind(query)
            .bind(new.verified.decision().as_str())
            .bind(evidence.id)
            .bind(evidence.policy)
            .bind(evidence.body)
            .bind(evidence.seal)
            .bind(new.tenant().as_uuid())
            .bind(new.reserve.value.map(|it| it.to_string()))
            .fetch_optional(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        self.ring();
        row.map(|row| row.try_get(0).map_err(StoreFault::reading(operation)))
            .transpose()
    }

    /// None when somebody else has changed the settlement since.
    async fn payment_reopen(
        &self,
        new: &NewPayment,
        references: &References<'_>,
        old: &Record,
    ) -> Result<Option<Record>, StoreFault> {
        let operation = "payment_reserve";
        let mut transaction = self.begin(operation).await?;
        let reopened: Option<Seal> = sqlx::query_scalar(REOPEN)
            .bind(old.id.as_uuid())
            .bind(old.version)
            .bind(new.reserve.amount.to_string())
            .bind(new.reserve.value.map(|it| it.to_string()))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let Some(newest) = reopened else {
            return Ok(None);
        };
        rewrite(&mut transaction, old.id, new, references).await?;
        let record = record_by_id(&mut transaction, operation, old.id, None).await?;
        let Some(record) = record else {
            let what = "a payment that is gone";
            return Err(StoreFault::Corrupt { operation, what });
        };
        let evidence = EvidenceRow::of(new.verified.evidence());
        let change = evidence.change();
        let told = Told {
            change: change.as_deref(),
            ..Told::reserved(old.id, record.version, Event::Reopened.as_str(), &record.network)
        };
        let newest = HashMap::from([(old.id.as_uuid(), newest)]);
        events::add(&mut transaction, operation, &[told], &newest).await?;
        if let Some(evidence) = new.verified.evidence() {
            screenings::add(&mut transaction, operation, evidence, Some(old.id), None).await?;
        }
        budgets::draw(&mut transaction, operation, &record.network, &new.reserve.draws).await?;
        commit(transaction, operation).await?;
        self.ring();
        Ok(Some(record))
    }

    /// The first of these names that belongs to another payment than `payment`.
    async fn reference_taken(
        &self,
        payment: PaymentId,
        tenant: TenantId,
        references: &References<'_>,
    ) -> Result<Option<PaymentReference>, StoreFault> {
        let operation = "payment_reserve";
        if references.kinds.is_empty() {
            return Ok(None);
        }
        let taken: Option<(String, String)> = sqlx::query_as(REFERENCE_TAKEN)
            .bind(payment.as_uuid())
            .bind(&references.kinds)
            .bind(&references.values)
            .bind(tenant.as_uuid())
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        taken
            .map(|(kind, value)| reference(&kind, value))
            .transpose()
            .map_err(OutOfPlace::during(operation))
    }

    /// The payment with this key, if it is on record.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payment_find(&self, key: &PaymentKey) -> Result<Option<Record>, StoreFault> {
        let operation = "payment_find";
        let row: Option<RecordRow> = sqlx::query_as(BY_KEY)
            .bind(key.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_one(operation, row)
    }

    /// The payment of this name, if it is on record.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payment_get(&self, id: PaymentId) -> Result<Option<Record>, StoreFault> {
        let operation = "payment_get";
        let mut reading = self.reading(operation).await?;
        record_by_id(&mut reading, operation, id, self.seen()).await
    }

    /// Those of these payments that are on record, oldest first.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_get(&self, ids: &[PaymentId]) -> Result<Vec<Record>, StoreFault> {
        let operation = "payments_get";
        let rows: Vec<RecordRow> = sqlx::query_as(BY_IDS)
            .bind(ids.iter().map(PaymentId::as_uuid).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_all(operation, rows)
    }

    /// The tenant's payment that any of these names belongs to; the oldest, should they belong to several.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn reference_find(
        &self,
        tenant: TenantId,
        references: &[PaymentReference],
    ) -> Result<Option<Record>, StoreFault> {
        let operation = "reference_find";
        let References { kinds, values } = References::of(references);
        let row: Option<RecordRow> = sqlx::query_as(BY_REFERENCE)
            .bind(kinds)
            .bind(values)
            .bind(tenant.as_uuid())
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_one(operation, row)
    }
}

/// Puts the new request in the place of the one that was withdrawn. The payer may have signed the same nonce for
/// other terms, so all of it is replaced except what the key consists of.
async fn rewrite(
    connection: &mut PgConnection,
    id: PaymentId,
    new: &NewPayment,
    references: &References<'_>,
) -> Result<(), StoreFault> {
    let operation = "payment_reserve";
    let (request, signed_by_payer, facts) = (
        new.verified.request(),
        new.verified.authorization(),
        new.verified.facts(),
    );
    let since_height = signed("since_height", facts.height).map_err(OutOfPlace::during(operation))?;
    let (valid_after, valid_before) = bounds(signed_by_payer.window);
    let labels = LabelsRow::of(&request.labels);
    sqlx::query(REWRITE)
        .bind(id.as_uuid())
        .bind(request.rail.scheme.as_str())
        .bind(&signed_by_payer.pay_to)
        .bind(signed_by_payer.amount.to_string())
        .bind(valid_after)
        .bind(valid_before)
        .bind(&signed_by_payer.body)
        .bind(new.digest)
        .bind(request.envelope)
        .bind(&request.resource.url)
        .bind(since_height)
        .bind(facts.must_go_alone)
        .bind(&signed_by_payer.signer)
        .bind(&signed_by_payer.memo)
        .bind(&signed_by_payer.payer)
        .bind(labels.merchant_reference)
        .bind(labels.order_id)
        .bind(labels.metadata)
        .bind(new.verified.decision().as_str())
        .execute(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    sqlx::query(REFERENCES_DROP)
        .bind(id.as_uuid())
        .execute(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    sqlx::query(REFERENCES_ADD)
        .bind(id.as_uuid())
        .bind(&references.kinds)
        .bind(&references.values)
        .bind(new.tenant().as_uuid())
        .execute(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

async fn record_by_id(
    connection: &mut PgConnection,
    operation: &'static str,
    id: PaymentId,
    seen: Option<Uuid>,
) -> Result<Option<Record>, StoreFault> {
    let row: Option<RecordRow> = sqlx::query_as(BY_ID)
        .bind(id.as_uuid())
        .bind(seen)
        .fetch_optional(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    read_one(operation, row)
}

/// The record that [`RESERVE`] wrote, without reading it back.
fn reserved(new: &NewPayment, references: &References<'_>, created_at: DateTime<Utc>) -> Result<Record, OutOfPlace> {
    let request = new.verified.request();
    Ok(Record {
        id: new.id,
        tenant: request.tenant,
        network: request.rail.network.clone(),
        scheme: request.rail.scheme.clone(),
        authorization: new.verified.authorization().clone(),
        settlement: Settlement::Reserved,
        version: 0,
        digest: new.digest,
        envelope: request.envelope.into(),
        resource_url: request.resource.url.clone(),
        references: references.read()?,
        labels: request.labels.clone(),
        txs: Vec::new(),
        since_height: new.verified.facts().height,
        must_go_alone: new.verified.facts().must_go_alone,
        tries: 0,
        granted_at: None,
        answer: None,
        created_at,
        confirmed_at: None,
        final_at: None,
    })
}

fn is_short(fault: &StoreFault) -> bool {
    fault.constraint() == Some(budgets::WITHIN)
}

fn is_reference_taken(fault: &StoreFault) -> bool {
    fault.constraint() == Some("payment_references_name")
}
