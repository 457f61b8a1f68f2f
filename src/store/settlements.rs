//! Moving settlements along, each by compare-and-set on its version, and granting the one success.

use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::events::{self, Seal, Told};
use super::rows::{OutOfPlace, RecordRow, SettlementRow, read_all, records, setback_words, signed, unsigned};
use super::{Cause, Record, Store, StoreFault, budgets, commit, ledger};
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::settlement::{Event, Settlement, State};

statements! {
    GRANT = "update settlements set granted_at = now(), answer = $2
        where payment_id = $1 and granted_at is null and state in ('confirmed', 'final')";
    GRANT_MANY = "update settlements s set granted_at = now(), answer = g.answer
        from unnest($1::uuid[], $2::bytea[]) as g(payment_id, answer)
        where s.payment_id = g.payment_id and s.granted_at is null and s.state in ('confirmed', 'final')
        returning s.payment_id";
    OPEN = records!("where p.network = $1 and s.state = any($2::text[]) and s.state <> 'final'
        order by p.valid_before nulls first, p.id");
    WAITING = "select s.payment_id from settlements s join payments p on p.id = s.payment_id
        where p.network = $1 and s.state = 'reserved'
        order by row_number() over (partition by p.tenant order by s.created_at, s.payment_id), s.created_at, s.payment_id
        limit $2";
    VERSIONS = "select payment_id, version from settlements where payment_id = any($1::uuid[])";
    TRY = "update settlements set tries = tries + 1 where payment_id = any($1::uuid[]) returning payment_id, tries";
    UNTRY = "update settlements set tries = tries - 1 where payment_id = any($1::uuid[]) and tries > 0";
    // Rows are locked in the order of their ids, as everywhere, so that two writers never wait for each other in a
    // ring. What is over waits until the cost of our transaction that ended it is on record: its share is posted in
    // the same breath. The network is read for each payment by itself, here and below: joined, it would pair every payment
    // of a network with every transaction of it.
    ADVANCE = "with asked as (
            select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::boolean[], $13::boolean[], $14::text[],
                $15::text[], $16::bigint[], $17::text[], $18::bigint[])
            as a(payment_id, version, state, tx, setback, setback_tx, landed_tx, landed_log_index, landed_height,
                landed_hash, landed_time, landed_is_deep_enough, landed_is_final, proof, proof_tx, proof_height,
                proof_hash, proof_time)
        ), locked as (
            select a.* from settlements s join asked a on a.payment_id = s.payment_id
            order by s.payment_id for update of s
        )
        update settlements s set state = a.state, version = s.version + 1, tx = a.tx, setback = a.setback,
            setback_tx = a.setback_tx, landed_tx = a.landed_tx, landed_log_index = a.landed_log_index,
            landed_height = a.landed_height, landed_hash = a.landed_hash, landed_time = a.landed_time,
            landed_is_deep_enough = a.landed_is_deep_enough, landed_is_final = a.landed_is_final, proof = a.proof,
            proof_tx = a.proof_tx, proof_height = a.proof_height, proof_hash = a.proof_hash,
            proof_time = a.proof_time,
            confirmed_at = case when a.landed_tx is not null then coalesce(s.confirmed_at, now()) end,
            final_at = case when a.state = 'final' then now() end
        from locked a
        where s.payment_id = a.payment_id and s.version = a.version
            and (a.state <> 'withdrawn'
                or not exists (select 1 from settlement_attempts t where t.payment_id = a.payment_id))
            and (a.state not in ('final', 'failed')
                or not exists (select 1 from chain_transactions t where t.tx = coalesce(a.landed_tx, a.proof_tx)
                    and t.network = (select p.network from payments p where p.id = a.payment_id) and t.cost is null))
        returning s.payment_id, (select e.seal from events e
            where e.payment_id = a.payment_id and e.version = a.version) as seal";
    EVIDENCE_ADD = "insert into evidence (payment_id, version, claim, tx, log_index, block_height, block_hash, block_time,
            ours, created_at)
        select e.payment_id, e.version, e.claim, e.tx, e.log_index, e.block_height, e.block_hash, e.block_time,
            exists (select 1 from chain_transactions t where t.tx = e.tx
                and t.network = (select p.network from payments p where p.id = e.payment_id)),
            now()
        from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
            $8::bigint[])
        as e(payment_id, version, claim, tx, log_index, block_height, block_hash, block_time)";
    HOLD = "select version from settlements where payment_id = $1 for update";
    IS_CHANGE = "select exists (select 1 from events
        where payment_id = $1 and version = $2 and body ->> 'change' = $3)";
    SEATS_CLOSE = "update settlement_attempts set closed_at = now()
        where payment_id = any($1::uuid[]) and closed_at is null";
}

/// One settlement's change: what happened to the record, and where that leaves its money.
#[derive(Debug, Clone)]
pub struct Advance<'a> {
    /// The record it is judged by; its version must still be the stored one.
    pub record: &'a Record,
    /// What happened. [`Event::Signed`] is [`Store::lane_intend`]'s to record, [`Event::Reopened`]
    /// [`Store::payment_reserve`]'s; both are refused here.
    pub event: Event,
    /// [`crate::domain::settlement::apply`] of the two.
    pub next: Settlement,
}

impl Advance<'_> {
    /// The version that the settlement takes by it.
    #[must_use]
    pub const fn version_after(&self) -> i64 {
        self.record.version.saturating_add(1)
    }

    fn told<'t>(&'t self, change: &'t str) -> Told<'t> {
        let (tx, reason) = match &self.event {
            Event::Signed(tx) => (Some(tx), None),
            Event::SetBack(setback) => {
                let (word, tx) = setback_words(setback);
                (Some(tx), Some(word))
            }
            Event::Confirmed(landed) | Event::LateSettled(landed) | Event::Finalized(landed) => {
                (Some(&landed.tx), None)
            }
            Event::Reversed => (self.record.settlement.landed().map(|landed| &landed.tx), None),
            Event::Failed(proof) => (proof.tx(), Some(proof.as_str())),
            Event::Withdrawn | Event::Reopened => (None, None),
        };
        Told {
            payment: self.record.id,
            version: self.version_after(),
            kind: self.event.as_str(),
            network: self.record.network.as_str(),
            state: self.next.state().as_str(),
            tx: tx.map(|tx| tx.0.as_str()),
            reason,
            change: Some(change),
        }
    }

    fn proves(&self) -> Result<Option<EvidenceRow<'_>>, OutOfPlace> {
        let (claim, tx, log_index, block) = match &self.event {
            Event::Confirmed(landed) | Event::LateSettled(landed) => {
                let log_index = signed("log_index", landed.log_index)?;
                ("landed", Some(&landed.tx), Some(log_index), &landed.block)
            }
            Event::Failed(proof) => (proof.as_str(), proof.tx(), None, proof.block()),
            Event::Signed(_)
            | Event::SetBack(_)
            | Event::Reversed
            | Event::Finalized(_)
            | Event::Withdrawn
            | Event::Reopened => return Ok(None),
        };
        Ok(Some(EvidenceRow {
            payment: self.record.id,
            version: self.version_after(),
            claim,
            tx,
            log_index,
            block,
            height: signed("block_height", block.height)?,
            time: signed("block_time", block.time.0)?,
        }))
    }
}

struct EvidenceRow<'a> {
    payment: PaymentId,
    version: i64,
    claim: &'static str,
    tx: Option<&'a TxId>,
    log_index: Option<i64>,
    block: &'a ChainPoint,
    height: i64,
    time: i64,
}

impl Store {
    /// Grants the payment's one success: true for exactly one caller ever, and only while its money has landed.
    /// `answer` is kept for those who may hear it again.
    ///
    /// # Errors
    /// Faults of the store. After [`StoreFault::OutcomeUnknown`] the record tells by its `answer`.
    pub async fn settlement_grant(&self, payment: PaymentId, answer: &[u8]) -> Result<bool, StoreFault> {
        let operation = "settlement_grant";
        let mut connection = self.connection(operation).await?;
        let granted = sqlx::query(GRANT)
            .bind(payment.as_uuid())
            .bind(answer)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(granted.rows_affected() == 1)
    }

    /// The network's settlements in these states, none of which may be final, the window that ends first at the
    /// front. For a restart and for taking over what another process left: as long as the work in hand, without
    /// other bound.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn settlements_open(&self, network: &NetworkId, states: &[State]) -> Result<Vec<Record>, StoreFault> {
        let operation = "settlements_open";
        let rows: Vec<RecordRow> = sqlx::query_as(OPEN)
            .bind(network.as_str())
            .bind(states.iter().map(|state| state.as_str()).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        read_all(operation, rows)
    }

    /// The network's payments that wait to be signed for, of all tenants in turn and each one's oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn settlements_waiting(&self, network: &NetworkId, limit: u32) -> Result<Vec<PaymentId>, StoreFault> {
        let ids: Vec<Uuid> = sqlx::query_scalar(WAITING)
            .bind(network.as_str())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading("settlements_waiting"))?;
        Ok(ids.into_iter().map(PaymentId::from_uuid).collect())
    }

    /// How often the settlements of these payments have changed, as [`Record::version`] counts.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn settlement_versions(&self, payments: &[PaymentId]) -> Result<Vec<(PaymentId, i64)>, StoreFault> {
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(VERSIONS)
            .bind(payments.iter().map(PaymentId::as_uuid).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading("settlement_versions"))?;
        let read = |(id, version)| (PaymentId::from_uuid(id), version);
        Ok(rows.into_iter().map(read).collect())
    }

    /// Counts one more try to sign for each of these payments, before it is made, and names how many each has had.
    ///
    /// # Errors
    /// Faults of the store; a try may have been counted that is not made.
    pub async fn settlements_try(&self, payments: &[PaymentId]) -> Result<Vec<(PaymentId, u64)>, StoreFault> {
        let operation = "settlements_try";
        let mut connection = self.connection(operation).await?;
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(TRY)
            .bind(payments.iter().map(PaymentId::as_uuid).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        rows.into_iter()
            .map(|(id, tries)| Ok((PaymentId::from_uuid(id), unsigned("tries", tries)?)))
            .collect::<Result<_, _>>()
            .map_err(OutOfPlace::during(operation))
    }

    /// Takes one counted try of each of these payments back: it failed, and not for a reason of theirs.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn settlements_untry(&self, payments: &[PaymentId]) -> Result<(), StoreFault> {
        let operation = "settlements_untry";
        let mut connection = self.connection(operation).await?;
        sqlx::query(UNTRY)
            .bind(payments.iter().map(PaymentId::as_uuid).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// Records what happened to these payments, with all that belongs to it (evidence, ledger, events), in one
    /// transaction. Names the ones it applied to, in the order given. It passes over those that somebody else has
    /// changed since they were read, a withdrawal of one that already had a seat, and a final one whose landing
    /// transaction is ours and not recorded as mined yet ([`Store::transactions_mined`]). Of several changes to
    /// one payment only the first is looked at.
    ///
    /// # Errors
    /// Faults of the store; nothing applied, except that after [`StoreFault::OutcomeUnknown`] all or none did.
    pub async fn settlements_advance(&self, advances: &[Advance<'_>]) -> Result<Vec<PaymentId>, StoreFault> {
        Ok(self.settlements_advance_granting(advances, &[]).await?.moved)
    }

    /// [`Store::settlements_advance`], and in the same transaction what [`Store::settlement_grant`] does for those of
    /// the answers whose payment was advanced: one commit for all callers of a block instead of one for each.
    ///
    /// # Errors
    /// As of the two.
    pub async fn settlements_advance_granting(
        &self,
        advances: &[Advance<'_>],
        answers: &[(PaymentId, &[u8])],
    ) -> Result<Advanced, StoreFault> {
        let operation = "settlements_advance";
        let foreign = |advance: &Advance<'_>| matches!(advance.event, Event::Signed(_) | Event::Reopened);
        if advances.iter().any(foreign) {
            let what = "an event that is another operation's to record";
            return Err(StoreFault::Corrupt { operation, what });
        }
        let mut met = HashSet::new();
        let firsts: Vec<&Advance<'_>> = advances.iter().filter(|it| met.insert(it.record.id)).collect();
        if firsts.is_empty() {
            return Ok(Advanced::default());
        }
        let change = Uuid::now_v7().to_string();
        let mut transaction = self.begin(operation).await?;
        let changed = compare_and_set(&mut transaction, operation, &firsts).await?;
        let applied: Vec<&Advance<'_>> = firsts
            .into_iter()
            .filter(|it| changed.contains_key(&it.record.id.as_uuid()))
            .collect();
        if !applied.is_empty() {
            evidence_add(&mut transaction, operation, &applied).await?;
            ledger::add(&mut transaction, operation, &applied).await?;
            let told: Vec<Told<'_>> = applied.iter().map(|it| it.told(&change)).collect();
            events::add(&mut transaction, operation, &told, &changed).await?;
            seats_close(&mut transaction, operation, &applied).await?;
            spend(&mut transaction, operation, &applied).await?;
        }
        let moved: Vec<PaymentId> = applied.iter().map(|it| it.record.id).collect();
        let granted = grant_many(&mut transaction, operation, &moved, answers).await?;
        match (commit(transaction, operation).await, applied.first()) {
            (Err(lost @ StoreFault::OutcomeUnknown { .. }), Some(first)) => {
                self.has_committed(operation, first, &change).await.map_err(|_| lost)?;
            }
            (done, _) => done?,
        }
        self.ring();
        Ok(Advanced { moved, granted })
    }

    /// Whether a change whose commit was not answered is on record after all. The row's lock is what waits for a
    /// commit that is still under way.
    async fn has_committed(&self, operation: &'static str, of: &Advance<'_>, change: &str) -> Result<(), StoreFault> {
        let mut transaction = self.begin(operation).await?;
        sqlx::query(HOLD)
            .bind(of.record.id.as_uuid())
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let is_there: bool = sqlx::query_scalar(IS_CHANGE)
            .bind(of.record.id.as_uuid())
            .bind(of.version_after())
            .bind(change)
            .fetch_one(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        let source = Cause::named("the commit did not arrive");
        if is_there {
            Ok(())
        } else {
            Err(StoreFault::Unavailable { operation, source })
        }
    }
}

/// What an advance changed.
#[derive(Debug, Default)]
pub struct Advanced {
    /// The payments whose change was applied, in the order given.
    pub moved: Vec<PaymentId>,
    /// Those whose one success was granted with it.
    pub granted: HashSet<PaymentId>,
}

async fn grant_many(
    connection: &mut PgConnection,
    operation: &'static str,
    moved: &[PaymentId],
    answers: &[(PaymentId, &[u8])],
) -> Result<HashSet<PaymentId>, StoreFault> {
    let due: Vec<&(PaymentId, &[u8])> = answers.iter().filter(|(id, _)| moved.contains(id)).collect();
    if due.is_empty() {
        return Ok(HashSet::new());
    }
    let granted: Vec<Uuid> = sqlx::query_scalar(GRANT_MANY)
        .bind(column(&due, |(id, _)| id.as_uuid()))
        .bind(column(&due, |(_, answer)| *answer))
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(granted.into_iter().map(PaymentId::from_uuid).collect())
}

/// Writes the settlements whose version is still the record's, and names them, each with its newest event's seal.
async fn compare_and_set(
    connection: &mut PgConnection,
    operation: &'static str,
    advances: &[&Advance<'_>],
) -> Result<HashMap<Uuid, Seal>, StoreFault> {
    let rows: Vec<SettlementRow> = advances
        .iter()
        .map(|it| SettlementRow::of(&it.next))
        .collect::<Result<_, _>>()
        .map_err(OutOfPlace::during(operation))?;
    let ids: Vec<Uuid> = advances.iter().map(|it| it.record.id.as_uuid()).collect();
    let changed: Vec<(Uuid, Seal)> = sqlx::query_as(ADVANCE)
        .bind(ids)
        .bind(advances.iter().map(|it| it.record.version).collect::<Vec<_>>())
        .bind(column(&rows, |row| row.state.as_str()))
        .bind(column(&rows, |row| row.tx.as_deref()))
        .bind(column(&rows, |row| row.setback.as_deref()))
        .bind(column(&rows, |row| row.setback_tx.as_deref()))
        .bind(column(&rows, |row| row.landed_tx.as_deref()))
        .bind(column(&rows, |row| row.landed_log_index))
        .bind(column(&rows, |row| row.landed_height))
        .bind(column(&rows, |row| row.landed_hash.as_deref()))
        .bind(column(&rows, |row| row.landed_time))
        .bind(column(&rows, |row| row.landed_is_deep_enough))
        .bind(column(&rows, |row| row.landed_is_final))
        .bind(column(&rows, |row| row.proof.as_deref()))
        .bind(column(&rows, |row| row.proof_tx.as_deref()))
        .bind(column(&rows, |row| row.proof_height))
        .bind(column(&rows, |row| row.proof_hash.as_deref()))
        .bind(column(&rows, |row| row.proof_time))
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(changed.into_iter().collect())
}

async fn evidence_add(
    connection: &mut PgConnection,
    operation: &'static str,
    applied: &[&Advance<'_>],
) -> Result<(), StoreFault> {
    let rows: Vec<EvidenceRow<'_>> = applied
        .iter()
        .filter_map(|advance| advance.proves().transpose())
        .collect::<Result<_, _>>()
        .map_err(OutOfPlace::during(operation))?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(EVIDENCE_ADD)
        .bind(column(&rows, |row| row.payment.as_uuid()))
        .bind(column(&rows, |row| row.version))
        .bind(column(&rows, |row| row.claim))
        .bind(column(&rows, |row| row.tx.map(|tx| tx.0.as_str())))
        .bind(column(&rows, |row| row.log_index))
        .bind(column(&rows, |row| row.height))
        .bind(column(&rows, |row| row.block.hash.as_str()))
        .bind(column(&rows, |row| row.time))
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

/// Nothing more comes of a seat whose payment is over.
async fn seats_close(
    connection: &mut PgConnection,
    operation: &'static str,
    applied: &[&Advance<'_>],
) -> Result<(), StoreFault> {
    let over: Vec<Uuid> = applied
        .iter()
        .filter(|advance| matches!(advance.next.state(), State::Final | State::Failed))
        .map(|advance| advance.record.id.as_uuid())
        .collect();
    if over.is_empty() {
        return Ok(());
    }
    sqlx::query(SEATS_CLOSE)
        .bind(over)
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

/// A failed transaction counts against its payer, and what is over costs what it has cost.
async fn spend(
    connection: &mut PgConnection,
    operation: &'static str,
    applied: &[&Advance<'_>],
) -> Result<(), StoreFault> {
    let of = |is: fn(&Event) -> bool| {
        let some = applied.iter().filter(|advance| is(&advance.event));
        some.map(|advance| advance.record.id.as_uuid()).collect::<Vec<Uuid>>()
    };
    let reverted = of(|event| matches!(event, Event::SetBack(_)));
    let over = of(|event| matches!(event, Event::Finalized(_) | Event::Failed(_) | Event::Withdrawn));
    budgets::reverted(connection, operation, reverted).await?;
    budgets::meter(connection, operation, over).await
}

/// One column of many rows, for `unnest`.
fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}
