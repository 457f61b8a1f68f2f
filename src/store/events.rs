//! What happened, one row for each version a settlement took; written by the transaction that made it happen, and sealed
//! so that a row that was altered, lost or put in later is found.
//!
//! A seal is no signature: whoever can write this table and knows how can seal a whole payment's history anew. What that
//! history says then still has to agree with the settlement, its evidence, the ledger and the chain.

use std::collections::HashMap;

use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::StoreFault;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::settlement::State;
use crate::seeded::Bug;

/// `written_by!("m")`: where an event that `m` (payment_id, ...) is added for stands in the feed: with the transaction that
/// writes it, and never before what its payment was told of already. Whoever begins earlier may well come later to it.
macro_rules! written_by {
    ($of:literal) => {
        concat!(
            "greatest(pg_current_xact_id(), (select max(b.written_by) from events b where b.payment_id = ",
            $of,
            ".payment_id))"
        )
    };
}
pub(super) use written_by;

/// `tenant_of!("m")`: whose the payment of `m` is.
macro_rules! tenant_of {
    ($of:literal) => {
        concat!("(select p.tenant from payments p where p.id = ", $of, ".payment_id)")
    };
}
pub(super) use tenant_of;

statements! {
    ADD = concat!("insert into events (payment_id, version, kind, body, seal, created_at, tenant, written_by)
        select e.payment_id, e.version, e.kind, e.body::jsonb, e.seal, now(), ", tenant_of!("e"), ", ", written_by!("e"), "
        from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bytea[])
            as e(payment_id, version, kind, body, seal)");
}

/// The kind of the event that begins a payment; all others are named by [`crate::domain::settlement::Event`].
pub(super) const RESERVED: &str = "payment.reserved";

/// The seal of a payment's newest event; none before the first, or when that has none.
pub(super) type Seal = Option<Vec<u8>>;

/// Something that happened to a payment. Nothing in it authorizes anything.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) payment: PaymentId,
    /// The version that the settlement took by it.
    pub(super) version: i64,
    pub(super) kind: &'a str,
    pub(super) network: &'a str,
    pub(super) state: &'a str,
    pub(super) tx: Option<&'a str>,
    /// Names the setback or the proof.
    pub(super) reason: Option<&'a str>,
    /// A name of the change that wrote it, by which its writer knows it again.
    pub(super) change: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// The payment was reserved, as this version.
    pub(super) fn reserved(payment: PaymentId, version: i64, kind: &'a str, network: &'a NetworkId) -> Self {
        Self {
            payment,
            version,
            kind,
            network: network.as_str(),
            state: State::Reserved.as_str(),
            tx: None,
            reason: None,
            change: None,
        }
    }

    /// The payment is in flight by this transaction, as this version.
    pub(super) fn signed(
        payment: PaymentId,
        version: i64,
        kind: &'a str,
        network: &'a NetworkId,
        tx: &'a TxId,
    ) -> Self {
        Self {
            payment,
            version,
            kind,
            network: network.as_str(),
            state: State::InFlight.as_str(),
            tx: Some(tx.0.as_str()),
            reason: None,
            change: None,
        }
    }

    /// What is stored, as JSON text.
    pub(super) fn body(&self) -> String {
        json!({
            "payment": self.payment,
            "network": self.network,
            "state": self.state,
            "tx": self.tx,
            "reason": self.reason,
            "change": self.change,
        })
        .to_string()
    }

    /// SHA-256 over the JSON array of the format's number, the previous seal in hexadecimal, and the content in this
    /// order: payment, version, kind, network, state, transaction, reason, change.
    pub(super) fn seal(&self, previous: Option<&[u8]>) -> Vec<u8> {
        let content = json!([
            1,
            previous.filter(|_| !Bug::SealForgetsPast.is_on()).map(hex::encode),
            self.payment,
            self.version,
            self.kind,
            self.network,
            self.state,
            self.tx,
            self.reason,
            self.change,
        ]);
        Sha256::digest(content.to_string().as_bytes()).to_vec()
    }
}

/// Adds the rows within the caller's transaction, each sealed over its payment's newest.
pub(super) async fn add(
    connection: &mut PgConnection,
    operation: &'static str,
    rows: &[Told<'_>],
    newest: &HashMap<Uuid, Seal>,
) -> Result<(), StoreFault> {
    let seal = |row: &Told<'_>| {
        let previous = newest.get(&row.payment.as_uuid()).cloned().flatten();
        row.seal(previous.as_deref())
    };
    sqlx::query(ADD)
        .bind(rows.iter().map(|row| row.payment.as_uuid()).collect::<Vec<Uuid>>())
        .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
        .bind(rows.iter().map(Told::body).collect::<Vec<_>>())
        .bind(rows.iter().map(seal).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_over_everything_that_was_told_and_all_that_came_before() {
        let network = "eip155:1".parse().unwrap();
        let payment = "pay_01kaf4rza2e38v79e6wbw02jwx".parse().unwrap();
        let tx = TxId("0xa".into());
        let told = Told {
            reason: Some("reverted"),
            change: Some("c"),
            ..Told::signed(payment, 1, "payment.signed", &network, &tx)
        };
        let seal = told.seal(Some(&[7; 32]));
        assert_eq!(seal, told.seal(Some(&[7; 32])));
        assert_eq!(seal.len(), 32);
        let others = [
            told.seal(None),
            told.seal(Some(&[8; 32])),
            Told {
                payment: PaymentId::mint(),
                ..told
            }
            .seal(Some(&[7; 32])),
            Told { version: 2, ..told }.seal(Some(&[7; 32])),
            Told {
                kind: "payment.failed",
                ..told
            }
            .seal(Some(&[7; 32])),
            Told {
                network: "eip155:2",
                ..told
            }
            .seal(Some(&[7; 32])),
            Told { state: "final", ..told }.seal(Some(&[7; 32])),
            Told { tx: None, ..told }.seal(Some(&[7; 32])),
            Told { reason: None, ..told }.seal(Some(&[7; 32])),
            Told { change: None, ..told }.seal(Some(&[7; 32])),
            // Nothing runs together.
            Told {
                reason: Some("revertedc"),
                change: Some(""),
                ..told
            }
            .seal(Some(&[7; 32])),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(*other, seal, "{at}");
        }
    }
}
