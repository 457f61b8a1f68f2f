//! The books: balanced movements, only ever added, by the transaction that made them true.

use sqlx::PgExecutor;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::StoreFault;
use super::rows::{OutOfPlace, amount, unsigned};
use super::settlements::Advance;
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::posting::{Posting, Stage, posting};
use crate::domain::settlement::Event;

statements! {
    // A movement that resolves finds its pending twin by all that makes it one. Finding none leaves the column
    // empty, which a constraint refuses.
    ADD = "insert into ledger_entries (id, payment_id, version, purpose, stage, debit, credit, network, asset, amount,
            pending_id, created_at)
        select n.id, n.payment_id, n.version, n.purpose, n.stage, n.debit, n.credit, p.network, n.asset,
            n.amount::numeric,
            (select e.id from ledger_entries e
                where n.stage <> 'pending' and n.purpose = 'payment' and e.payment_id = n.payment_id
                    and e.purpose = 'payment' and e.stage = 'pending' and e.debit = n.debit and e.credit = n.credit
                    and e.asset = n.asset and e.amount = n.amount::numeric
                    and not exists (select 1 from ledger_entries r where r.pending_id = e.id)),
            now()
        from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::text[]) as n(id, payment_id, version, purpose, stage, debit, credit, asset, amount)
            join payments p on p.id = n.payment_id";
    COSTS = "select a.payment_id, a.seat, t.signer, t.cost::text as cost,
            (select count(*) from settlement_attempts n
                where n.network = a.network and n.signer = a.signer and n.nonce = a.nonce) as seats
        from settlement_attempts a
            join chain_transactions t on t.network = a.network and t.signer = a.signer and t.nonce = a.nonce
        where a.payment_id = any($1::uuid[]) and t.cost is not null
        order by a.payment_id, t.signer";
}

/// A movement to add.
struct Entry {
    payment: PaymentId,
    version: i64,
    purpose: &'static str,
    posting: Posting,
}

/// What a signer has paid for a payment.
pub(super) struct Cost {
    pub(super) payment: PaymentId,
    pub(super) signer: String,
    /// In the chain's smallest unit.
    pub(super) amount: Amount,
}

/// A payment's seat in a transaction of ours that was mined.
#[derive(sqlx::FromRow)]
struct CostRow {
    payment_id: Uuid,
    seat: i64,
    signer: String,
    cost: String,
    seats: i64,
}

/// Adds what these events move: the money, and for payments that are over, their share of what carrying them has
/// cost, whether it succeeded or not. Called after the settlements were written.
pub(super) async fn add(
    connection: &mut PgConnection,
    operation: &'static str,
    applied: &[&Advance<'_>],
) -> Result<(), StoreFault> {
    let mut entries: Vec<Entry> = applied
        .iter()
        .filter_map(|advance| {
            posting(&advance.record.authorization, &advance.event).map(|posting| Entry {
                payment: advance.record.id,
                version: advance.version_after(),
                purpose: "payment",
                posting,
            })
        })
        .collect();
    entries.extend(costs(connection, operation, applied).await?);
    if entries.is_empty() {
        return Ok(());
    }
    sqlx::query(ADD)
        .bind(entries.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.payment.as_uuid()).collect::<Vec<Uuid>>())
        .bind(entries.iter().map(|it| it.version).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.purpose).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.posting.stage.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.posting.debit.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.posting.credit.as_str()).collect::<Vec<_>>())
        .bind(entries.iter().map(|it| it.posting.asset.as_str()).collect::<Vec<_>>())
        .bind(
            entries
                .iter()
                .map(|it| it.posting.amount.to_string())
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

async fn costs(
    connection: &mut PgConnection,
    operation: &'static str,
    applied: &[&Advance<'_>],
) -> Result<Vec<Entry>, StoreFault> {
    let over: Vec<&Advance<'_>> = applied
        .iter()
        .filter(|advance| matches!(advance.event, Event::Finalized(_) | Event::Failed(_)))
        .copied()
        .collect();
    if over.is_empty() {
        return Ok(Vec::new());
    }
    let costs = costs_of(connection, operation, over.iter().map(|it| it.record.id)).await?;
    let entries = costs.into_iter().filter_map(|cost| {
        let advance = over.iter().find(|it| it.record.id == cost.payment)?;
        Some(Entry {
            payment: cost.payment,
            version: advance.version_after(),
            purpose: "gas",
            posting: Posting {
                stage: Stage::Posted,
                debit: "facilitator:gas".into(),
                credit: format!("signer:{}", cost.signer),
                asset: "native".into(),
                amount: cost.amount,
            },
        })
    });
    Ok(entries.collect())
}

/// What these payments have cost as far as the chain has told: a sum for each payment and signer. Payments that went
/// together share what their transaction cost.
pub(super) async fn costs_of(
    connection: impl PgExecutor<'_>,
    operation: &'static str,
    payments: impl Iterator<Item = PaymentId>,
) -> Result<Vec<Cost>, StoreFault> {
    let rows: Vec<CostRow> = sqlx::query_as(COSTS)
        .bind(payments.map(|id| id.as_uuid()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let mut costs: Vec<Cost> = Vec::with_capacity(rows.len());
    for row in rows {
        let cost = row.read().map_err(OutOfPlace::during(operation))?;
        match costs.last_mut() {
            Some(last) if last.payment == cost.payment && last.signer == cost.signer => {
                let sum = last.amount.checked_add(cost.amount);
                last.amount = sum.ok_or(OutOfPlace("cost")).map_err(OutOfPlace::during(operation))?;
            }
            Some(_) | None => costs.push(cost),
        }
    }
    Ok(costs)
}

impl CostRow {
    fn read(self) -> Result<Cost, OutOfPlace> {
        let whole = amount("cost", &self.cost)?;
        Ok(Cost {
            payment: PaymentId::from_uuid(self.payment_id),
            signer: self.signer,
            amount: whole.share(unsigned("seat", self.seat)?, unsigned("seats", self.seats)?),
        })
    }
}
