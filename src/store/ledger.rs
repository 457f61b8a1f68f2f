//! The books: balanced movements, only ever added, by the transaction that made them true.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgExecutor;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::StoreFault;
use super::rows::{OutOfPlace, amount, unsigned};
use super::settlements::Advance;
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::posting::{Posting, Stage, posting};
use crate::domain::settlement::{Event, State};

statements! {
    // A movement that resolves finds its pending twin by all that makes it one. Finding none leaves the column
    // empty, which a constraint refuses.
    ADD = "insert into ledger_entries (id, payment_id, version, purpose, stage, debit, credit, network, asset, amount,
            correction, pending_id, created_at)
        select n.id, n.payment_id, n.version, n.purpose, n.stage, n.debit, n.credit, p.network, n.asset,
            n.amount::numeric, n.correction,
            (select e.id from ledger_entries e
                where n.stage <> 'pending' and n.purpose = 'payment' and e.payment_id = n.payment_id
                    and e.purpose = 'payment' and e.stage = 'pending' and e.debit = n.debit and e.credit = n.credit
                    and e.asset = n.asset and e.amount = n.amount::numeric
                    and not exists (select 1 from ledger_entries r where r.pending_id = e.id)),
            now()
        from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::bigint[])
                as n(id, payment_id, version, purpose, stage, debit, credit, asset, amount, correction)
            join payments p on p.id = n.payment_id";
    COSTS = "select a.payment_id, a.seat, t.signer, t.cost::text as cost,
            (select count(*) from settlement_attempts n
                where n.network = a.network and n.signer = a.signer and n.nonce = a.nonce) as seats
        from settlement_attempts a
            join chain_transactions t on t.network = a.network and t.signer = a.signer and t.nonce = a.nonce
        where a.payment_id = any($1::uuid[]) and t.cost is not null
        order by a.payment_id, t.signer";
    // In the order in which whoever advances payments locks them.
    CARRIED = "select s.payment_id, s.version, s.state from settlements s
        where s.payment_id in (select a.payment_id from settlement_attempts a
            join chain_transactions t on t.network = a.network and t.signer = a.signer and t.nonce = a.nonce
            where t.network = $1 and t.tx = any($2::text[]))
        order by s.payment_id for update";
    BOOKED = "select payment_id, debit, credit, amount::text as amount from ledger_entries
        where payment_id = any($1::uuid[]) and purpose = 'gas'";
}

/// A movement to add.
struct Entry {
    payment: PaymentId,
    version: i64,
    purpose: &'static str,
    posting: Posting,
    /// 0 for what the event moves, from 1 for what has changed since.
    correction: i64,
}

/// What a signer has paid for a payment.
pub(super) struct Cost {
    pub(super) payment: PaymentId,
    pub(super) signer: String,
    /// In the chain's smallest unit.
    pub(super) amount: Amount,
}

/// What was posted of a payment's cost.
#[derive(sqlx::FromRow)]
struct BookedRow {
    payment_id: Uuid,
    debit: String,
    credit: String,
    amount: String,
}

/// The account of what settling costs.
const GAS: &str = "facilitator:gas";

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
            posting(
                &advance.record.authorization,
                &advance.record.references,
                &advance.event,
            )
            .map(|posting| Entry {
                payment: advance.record.id,
                version: advance.version_after(),
                purpose: "payment",
                posting,
                correction: 0,
            })
        })
        .collect();
    entries.extend(costs(connection, operation, applied).await?);
    write(connection, operation, &entries).await
}

async fn write(connection: &mut PgConnection, operation: &'static str, entries: &[Entry]) -> Result<(), StoreFault> {
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
        .bind(entries.iter().map(|it| it.correction).collect::<Vec<_>>())
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
            posting: gas(GAS.into(), format!("signer:{}", cost.signer), cost.amount),
            correction: 0,
        })
    });
    Ok(entries.collect())
}

/// A payment that is over and was carried by a transaction whose cost changes.
pub(super) struct Carried {
    payment: PaymentId,
    version: i64,
}

/// Locks the payments that these transactions carried, until the caller's transaction is over: none of them is over
/// meanwhile that was not. Names those that are: for [`correct`].
pub(super) async fn carried(
    connection: &mut PgConnection,
    operation: &'static str,
    network: &NetworkId,
    txs: &[&str],
) -> Result<Vec<Carried>, StoreFault> {
    let rows: Vec<(Uuid, i64, String)> = sqlx::query_as(CARRIED)
        .bind(network.as_str())
        .bind(txs)
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let over = [State::Final.as_str(), State::Failed.as_str()];
    let over = rows.into_iter().filter(|(_, _, state)| over.contains(&state.as_str()));
    let carried = over.map(|(payment, version, _)| Carried {
        payment: PaymentId::from_uuid(payment),
        version,
    });
    Ok(carried.collect())
}

/// Brings what is posted of the costs of payments that are over to what they have cost by now.
pub(super) async fn correct(
    connection: &mut PgConnection,
    operation: &'static str,
    over: &[Carried],
) -> Result<(), StoreFault> {
    if over.is_empty() {
        return Ok(());
    }
    let booked: Vec<BookedRow> = sqlx::query_as(BOOKED)
        .bind(over.iter().map(|it| it.payment.as_uuid()).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let costs = costs_of(&mut *connection, operation, over.iter().map(|it| it.payment)).await?;
    let mut entries = Vec::new();
    for carried in over {
        let of_payment = booked.iter().filter(|it| it.payment_id == carried.payment.as_uuid());
        let of_payment: Vec<&BookedRow> = of_payment.collect();
        let mut should: BTreeMap<String, Amount> = BTreeMap::new();
        for cost in costs.iter().filter(|it| it.payment == carried.payment) {
            should.insert(format!("signer:{}", cost.signer), cost.amount);
        }
        let changes = changes(should, &of_payment).map_err(OutOfPlace::during(operation))?;
        let next = i64::try_from(of_payment.len()).unwrap_or(i64::MAX);
        let numbered = (next.saturating_add(1)..).zip(changes);
        entries.extend(numbered.map(|(correction, posting)| Entry {
            payment: carried.payment,
            version: carried.version,
            purpose: "gas",
            posting,
            correction,
        }));
    }
    write(connection, operation, &entries).await
}

/// What has to be posted so that each signer is credited with what it has spent.
fn changes(mut should: BTreeMap<String, Amount>, booked: &[&BookedRow]) -> Result<Vec<Posting>, OutOfPlace> {
    let mut is: BTreeMap<String, Amount> = BTreeMap::new();
    for row in booked {
        // A movement back is owed again.
        let (side, signer) = if row.debit == GAS {
            (&mut is, &row.credit)
        } else {
            (&mut should, &row.debit)
        };
        let sum = side.entry(signer.clone()).or_insert(Amount::ZERO);
        *sum = sum
            .checked_add(amount("amount", &row.amount)?)
            .ok_or(OutOfPlace("amount"))?;
    }
    let signers: BTreeSet<&String> = should.keys().chain(is.keys()).collect();
    let of = |side: &BTreeMap<String, Amount>, signer: &String| side.get(signer).copied().unwrap_or(Amount::ZERO);
    let change = |signer: &String| {
        let (should, is) = (of(&should, signer), of(&is, signer));
        match should.checked_sub(is) {
            Some(Amount::ZERO) => None,
            Some(more) => Some(gas(GAS.into(), signer.clone(), more)),
            None => Some(gas(signer.clone(), GAS.into(), is.checked_sub(should)?)),
        }
    };
    Ok(signers.into_iter().filter_map(change).collect())
}

fn gas(debit: String, credit: String, amount: Amount) -> Posting {
    Posting {
        stage: Stage::Posted,
        debit,
        credit,
        asset: "native".into(),
        amount,
    }
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
