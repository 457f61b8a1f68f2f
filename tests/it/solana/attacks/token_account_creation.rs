//! A token account's rent is forty times the fee of a transaction, and whoever is named pays it: the specification once
//! let the payer add one, and took that back.

use crate::support::solana::lab::{failing, refused, without_a_trace, word};
use crate::support::solana::programs::{create_account, system_transfer};

#[test]
fn v09_case_62_the_facilitator_funds_an_account() {
    without_a_trace(async |world| {
        let nobody = world.node.at.seller_without_accounts.address;
        let good = world.payment(0).await;
        let payment = good.clone().to(nobody);
        let fourth = word("payload_unknown_fourth_instruction", "unknown_instruction");
        let fifth = word("payload_unknown_fifth_instruction", "unknown_instruction");
        let misplaced = word("payload_no_transfer_instruction", "no_transfer");
        for funder in [payment.fee_payer, payment.payer.address] {
            let create = create_account(funder, nobody, payment.transfer.program, payment.transfer.mint);
            for (place, refusal) in [(2, &misplaced), (3, &fourth), (4, &fifth)] {
                let wire = payment.wire_with(|it| it.insert(place, create.clone()));
                refused(world, &format!("at {place}"), &payment, &wire, refusal).await;
            }
        }
    });
}

#[test]
fn case_62_lamports_after_the_transfer() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word("payload_unknown_fourth_instruction", "unknown_instruction");
        for from in [payment.fee_payer, payment.payer.address] {
            let wire = payment.wire_with(|it| it.insert(3, system_transfer(from, payment.payer.address, 1)));
            refused(world, "a system transfer", &payment, &wire, &refusal).await;
        }
    });
}

#[test]
fn v11_what_does_not_belong_at_any_place() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        for (place, name) in ["fourth", "fifth", "sixth", "seventh"].into_iter().enumerate() {
            let refusal = word(&format!("payload_unknown_{name}_instruction"), "unknown_instruction");
            let wire = payment.wire_with(|it| {
                it.resize(3 + place, crate::support::solana::programs::memo("before"));
                it.push(payment.transfer.checked(payment.amount, payment.decimals));
            });
            refused(world, name, &payment, &wire, &refusal).await;
        }
    });
}

/// Case 68: the merchant has to make its account itself, once.
#[test]
fn case_68_an_account_that_is_not_there() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await.to(world.node.at.seller_without_accounts.address);
        let refusal = failing("destination_missing");
        refused(world, "absent", &payment, &payment.wire(), &refusal).await;
    });
}
