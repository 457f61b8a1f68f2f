//! Lighthouse's assertions guard what a wallet signs; its writes to memory charge a rent to whoever is named.

use crate::support::solana::lab::{refused, valid, without_a_trace, word};
use crate::support::solana::programs::{ASSERT_TOKEN_ACCOUNT, MEMORY_CLOSE, MEMORY_WRITE, lighthouse};
use crate::support::solana::transaction::Meta;

#[test]
fn v03_case_66_the_facilitator_stands_in_an_assertion() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word("payload_transaction", "fee_payer_exposed");
        for meta in [Meta::read(payment.fee_payer), Meta::write(payment.fee_payer).signs()] {
            let wire = payment.wire_with(|it| it.insert(3, lighthouse(ASSERT_TOKEN_ACCOUNT, &[meta])));
            refused(world, "asserted", &payment, &wire, &refusal).await;
        }
    });
}

#[test]
fn what_is_not_an_assertion() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let payer = Meta::write(payment.payer.address).signs();
        let refusal = word("payload_unknown_fourth_instruction", "unknown_instruction");
        for discriminator in [MEMORY_WRITE, MEMORY_CLOSE, 18, 127] {
            for accounts in [vec![payer], vec![], vec![Meta::write(payment.fee_payer).signs()]] {
                let wire = payment.wire_with(|it| it.insert(3, lighthouse(discriminator, &accounts)));
                refused(world, &discriminator.to_string(), &payment, &wire, &refusal).await;
            }
        }
        let mut nothing = lighthouse(0, &[]);
        nothing.data.clear();
        let wire = payment.wire_with(|it| it.insert(3, nothing));
        refused(world, "nothing", &payment, &wire, &refusal).await;
    });
}

#[test]
fn v11_case_63_an_assertion_and_a_memo() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        // What stands in for Lighthouse here wants every account to sign.
        let payer = Meta::read(payment.payer.address).signs();
        for accounts in [vec![], vec![payer]] {
            let wire = payment.wire_with(|it| it.insert(3, lighthouse(ASSERT_TOKEN_ACCOUNT, &accounts)));
            valid(world, "fourth", &payment, &wire).await;
            let wire = payment.wire_with(|it| it.push(lighthouse(ASSERT_TOKEN_ACCOUNT, &accounts)));
            valid(world, "fifth", &payment, &wire).await;
        }
    });
}

/// Wallets add one or two. A third has room too, and can do as little harm; a fourth has none beside a memo.
#[test]
fn v11_as_many_assertions_as_there_is_room_for() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let with = |assertions: usize| {
            let add = std::iter::repeat_n(lighthouse(ASSERT_TOKEN_ACCOUNT, &[]), assertions);
            payment.wire_with(|it| it.extend(add))
        };
        for assertions in 1..=3 {
            valid(world, &assertions.to_string(), &payment, &with(assertions)).await;
        }
        let refusal = word("payload_transaction_instructions_length", "instruction_count");
        refused(world, "a fourth", &payment, &with(4), &refusal).await;
    });
}
