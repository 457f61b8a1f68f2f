//! What happened, one row for each version a settlement took; written by the transaction that made it happen.

use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::StoreFault;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::settlement::State;

statements! {
    ADD = "insert into events (payment_id, version, kind, body, created_at)
        select e.payment_id, e.version, e.kind, e.body::jsonb, now()
        from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) as e(payment_id, version, kind, body)";
}

/// The kind of the event that begins a payment; all others are named by [`crate::domain::settlement::Event`].
pub(super) const RESERVED: &str = "payment.reserved";

/// A row to add.
pub(super) struct EventRow {
    pub(super) payment: PaymentId,
    pub(super) version: i64,
    pub(super) kind: &'static str,
    pub(super) body: String,
}

/// What an event tells, as JSON text. `reason` names the setback or the proof. Nothing in it authorizes anything.
pub(super) fn body(
    payment: PaymentId,
    network: &NetworkId,
    state: State,
    tx: Option<&TxId>,
    reason: Option<&str>,
) -> String {
    tell(None, payment, network, state, tx, reason)
}

/// [`body`], with a name of the change that wrote it, by which its writer knows it again.
pub(super) fn change_body(
    change: &str,
    payment: PaymentId,
    network: &NetworkId,
    state: State,
    tx: Option<&TxId>,
    reason: Option<&str>,
) -> String {
    tell(Some(change), payment, network, state, tx, reason)
}

fn tell(
    change: Option<&str>,
    payment: PaymentId,
    network: &NetworkId,
    state: State,
    tx: Option<&TxId>,
    reason: Option<&str>,
) -> String {
    json!({
        "payment": payment,
        "network": network,
        "state": state.as_str(),
        "tx": tx.map(|tx| &tx.0),
        "reason": reason,
        "change": change,
    })
    .to_string()
}

/// Adds the rows within the caller's transaction.
pub(super) async fn add(
    connection: &mut PgConnection,
    operation: &'static str,
    rows: &[EventRow],
) -> Result<(), StoreFault> {
    sqlx::query(ADD)
        .bind(rows.iter().map(|row| row.payment.as_uuid()).collect::<Vec<Uuid>>())
        .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.body.as_str()).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}
