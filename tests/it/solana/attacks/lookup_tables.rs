//! A lookup table hides an account behind a number, and its owner may change what the number means.

use crate::support::solana::lab::{refused, without_a_trace, word};
use crate::support::solana::transaction::{Lookup, Message};

#[test]
fn v02_accounts_out_of_tables_are_not_resolved() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let table = &world.node.at.lookup_table;
        let refusal = word("smart_wallet_alt_resolution_not_available", "lookup_tables");
        let message = Message::new(
            payment.fee_payer,
            &payment.instructions(),
            payment.blockhash,
            std::slice::from_ref(table),
        );
        // The seller's account and the mint are there.
        assert_eq!(
            (message.lookups[0].writable.len(), message.lookups[0].readonly.len()),
            (1, 1)
        );
        let wire = message.signed_by(&[&payment.payer]);
        refused(world, "the destination", &payment, &wire, &refusal).await;

        let unused = payment.wire_in(|it| {
            it.lookups.push(Lookup {
                table: table.address,
                writable: vec![],
                readonly: vec![0],
            });
        });
        refused(world, "taken and not used", &payment, &unused, &refusal).await;
        let absent = payment.wire_in(|it| {
            it.lookups.push(Lookup {
                table: payment.payer.address,
                writable: vec![200],
                readonly: vec![],
            });
        });
        refused(world, "no table", &payment, &absent, &refusal).await;
    });
}

/// The chain does not take a table that nothing is taken from.
#[test]
fn v02_a_table_for_nothing() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let wire = payment.wire_in(|it| {
            it.lookups.push(Lookup {
                table: world.node.at.lookup_table.address,
                writable: vec![],
                readonly: vec![],
            });
        });
        let refusal = word("payload_transaction_could_not_be_decoded", "transaction_undecodable");
        refused(world, "for nothing", &payment, &wire, &refusal).await;
    });
}
