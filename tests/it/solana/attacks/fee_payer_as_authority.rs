//! A transfer of the facilitator's own tokens: its signature, which every transaction gets, would authorize it.

use serde_json::json;

use crate::support::solana::lab::{refused, without_a_trace, word};
use crate::support::solana::payer::Payment;
use crate::support::solana::programs::{Transfer, associated_account};

#[test]
fn v03_case_60_the_facilitator_pays_for_the_payer() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let own = associated_account(good.fee_payer, good.transfer.program, good.transfer.mint);
        let refusal = word(
            "payload_transaction_fee_payer_transferring_funds",
            "fee_payer_transfers",
        );
        for source in [own, good.transfer.source] {
            let payment = Payment {
                transfer: Transfer {
                    source,
                    authority: good.fee_payer,
                    ..good.transfer
                },
                ..good.clone()
            };
            // Nobody but the fee payer has to sign.
            refused(world, "its authority", &payment, &payment.wire(), &refusal).await;
        }
    });
}

/// Nobody else has another fee payer's signature, and this facilitator gives one to each transaction.
#[test]
fn another_fee_payer_pays_for_the_payer() {
    without_a_trace(async |world| {
        let at = &world.node.at;
        let good = world.payment(0).await;
        let retired = at.retired_fee_payer.address;
        let payment = Payment {
            transfer: Transfer {
                authority: retired,
                ..good.transfer
            },
            ..good
        };
        let unsigned = word("payload_signature_invalid", "signature_invalid");
        refused(world, "not signed", &payment, &payment.wire(), &unsigned).await;
        let signed = payment.message().signed_by(&[&at.retired_fee_payer]);
        let refusal = word(
            "payload_transaction_fee_payer_transferring_funds",
            "fee_payer_transfers",
        );
        refused(world, "signed", &payment, &signed, &refusal).await;
    });
}

/// The requirements name the facilitator as the recipient: it would pay for being paid.
#[test]
fn the_facilitator_is_paid() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await.to(world.node.at.fee_payers[0].address);
        let refusal = crate::support::solana::lab::unacceptable();
        refused(world, "to the fee payer", &payment, &payment.wire(), &refusal).await;
    });
}

#[test]
fn case_55_a_fee_payer_that_is_not_there_or_not_ours() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let missing = word("payload_missing_fee_payer", "fee_payer_missing");
        let extras = [
            json!({}),
            json!(null),
            json!({"feePayer": null}),
            json!({"feePayer": ""}),
            json!({"feePayer": 7}),
        ];
        for extra in extras {
            let payment = Payment { extra, ..good.clone() };
            refused(world, "missing", &payment, &payment.wire(), &missing).await;
        }
        let unknown =
            crate::support::solana::lab::shorter_in_v1("fee_payer_not_managed_by_facilitator", "fee_payer_unknown");
        for stranger in [world.node.at.poor_fee_payer.address.to_string(), "no address".into()] {
            let extra = json!({"feePayer": stranger});
            let payment = Payment { extra, ..good.clone() };
            refused(world, "not ours", &payment, &payment.wire(), &unknown).await;
        }
    });
}

#[test]
fn the_transaction_names_another_fee_payer_than_the_requirements() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let mismatch = word("fee_payer_mismatch", "fee_payer_mismatch");
        let at = &world.node.at;
        for other in [at.retired_fee_payer.address, at.poor_fee_payer.address] {
            let payment = Payment {
                fee_payer: other,
                ..good.clone()
            };
            refused(world, "another", &payment, &payment.wire(), &mismatch).await;
        }
        // The payer would pay its own way, which leaves nothing for the facilitator to sign.
        let payment = Payment {
            fee_payer: good.payer.address,
            ..good
        };
        refused(world, "the payer itself", &payment, &payment.wire(), &mismatch).await;
    });
}
