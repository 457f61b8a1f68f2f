//! A memo that the fee payer signs says something in the facilitator's name. Case 66: the reference lets it pass.

use crate::support::solana::lab::{refused, valid, without_a_trace, word};
use crate::support::solana::transaction::Meta;

#[test]
fn case_66_the_facilitator_signs_a_memo() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let fee_payer = Meta::read(payment.fee_payer);
        let refusal = word("payload_transaction", "fee_payer_exposed");
        for meta in [fee_payer.signs(), fee_payer, Meta::write(payment.fee_payer).signs()] {
            let wire = payment.wire_with(|it| it[3].accounts = vec![meta]);
            refused(world, "alone", &payment, &wire, &refusal).await;
            let wire = payment.wire_with(|it| {
                it[3].accounts = vec![Meta::read(payment.payer.address).signs(), meta];
            });
            refused(world, "beside the payer", &payment, &wire, &refusal).await;
        }
    });
}

#[test]
fn v03_the_facilitator_stands_among_the_accounts_of_what_takes_none() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word("payload_transaction", "fee_payer_exposed");
        for place in [0, 1] {
            let wire = payment.wire_with(|it| it[place].accounts = vec![Meta::read(payment.fee_payer)]);
            refused(world, "in the compute budget", &payment, &wire, &refusal).await;
        }
        let wire = payment.wire_with(|it| it[2].accounts.push(Meta::read(payment.fee_payer)));
        refused(world, "behind the transfer's", &payment, &wire, &refusal).await;
    });
}

#[test]
fn another_fee_payer_signs_a_memo() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let retired = &world.node.at.retired_fee_payer;
        let mut instructions = payment.instructions();
        instructions[3].accounts = vec![Meta::read(retired.address).signs()];
        let wire = payment.message_of(&instructions).signed_by(&[&payment.payer, retired]);
        let refusal = word("payload_transaction", "fee_payer_exposed");
        refused(world, "retired", &payment, &wire, &refusal).await;
    });
}

#[test]
fn the_payer_may_sign_its_own_memo() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let wire = payment.wire_with(|it| it[3].accounts = vec![Meta::read(payment.payer.address).signs()]);
        valid(world, "signed by the payer", &payment, &wire).await;
    });
}
