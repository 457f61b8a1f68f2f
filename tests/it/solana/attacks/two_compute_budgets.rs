//! The compute budget program's instructions are good wherever they stand: a second one would undo the bound that the
//! first one kept.

use crate::support::solana::lab::{refused, without_a_trace, word};
use crate::support::solana::programs::{compute_budget, compute_limit, compute_price};

#[test]
fn a_second_one_after_the_transfer() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        for (case, instruction) in [
            ("a limit", compute_limit(1_400_000)),
            ("the same limit", compute_limit(20_000)),
            ("a price", compute_price(u64::MAX)),
            ("the heap's size", compute_budget(&[&[1], &262_144u32.to_le_bytes()])),
            ("the accounts' size", compute_budget(&[&[4], &1u32.to_le_bytes()])),
        ] {
            let fourth = payment.wire_with(|it| it.insert(3, instruction.clone()));
            let refusal = word("payload_unknown_fourth_instruction", "unknown_instruction");
            refused(world, case, &payment, &fourth, &refusal).await;
            let fifth = payment.wire_with(|it| it.push(instruction.clone()));
            let refusal = word("payload_unknown_fifth_instruction", "unknown_instruction");
            refused(world, case, &payment, &fifth, &refusal).await;
        }
    });
}

#[test]
fn v04_the_same_one_twice_before_the_transfer() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let limits = payment.wire_with(|it| it[1] = it[0].clone());
        let refusal = word(
            "payload_transaction_instructions_compute_price_instruction",
            "compute_price_missing",
        );
        refused(world, "two limits", &payment, &limits, &refusal).await;
        let refusal = word(
            "payload_transaction_instructions_compute_limit_instruction",
            "compute_limit_missing",
        );
        let prices = payment.wire_with(|it| it[0] = it[1].clone());
        refused(world, "two prices", &payment, &prices, &refusal).await;
        let swapped = payment.wire_with(|it| it.swap(0, 1));
        refused(world, "in the other order", &payment, &swapped, &refusal).await;
        let refusal = word("payload_no_transfer_instruction", "no_transfer");
        let third = payment.wire_with(|it| it.insert(2, compute_price(2)));
        refused(world, "a third", &payment, &third, &refusal).await;
    });
}
