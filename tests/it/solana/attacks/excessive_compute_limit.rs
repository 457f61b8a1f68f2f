//! The chain charges for the compute unit limit, whatever is used of it.

use crate::support::solana::lab::{refused, valid, without_a_trace, word};
use crate::support::solana::programs::{compute_budget, compute_limit, memo};

const TOO_HIGH: &str = "payload_transaction_instructions_compute_limit_instruction_too_high";
const MISSING: &str = "payload_transaction_instructions_compute_limit_instruction";

#[test]
fn v04_more_units_than_are_paid_for() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word(TOO_HIGH, "compute_limit_too_high");
        for units in [400_001, 1_400_000, u32::MAX] {
            let wire = payment.wire_with(|it| it[0] = compute_limit(units));
            refused(world, &units.to_string(), &payment, &wire, &refusal).await;
        }
        let most = payment.wire_with(|it| it[0] = compute_limit(400_000));
        valid(world, "as many as are paid for", &payment, &most).await;
    });
}

#[test]
fn v04_a_limit_that_is_not_one() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word(MISSING, "compute_limit_missing");
        let units = 20_000u32.to_le_bytes();
        for (case, instruction) in [
            ("a memo", memo("limit")),
            ("nothing", compute_budget(&[])),
            ("no units", compute_budget(&[&[2]])),
            ("three bytes of units", compute_budget(&[&[2], &units[..3]])),
            ("a byte more", compute_budget(&[&[2], &units, &[0]])),
            ("the heap's size", compute_budget(&[&[1], &units])),
            ("the accounts' size", compute_budget(&[&[4], &units])),
            ("the retired request", compute_budget(&[&[0], &units, &units])),
        ] {
            let wire = payment.wire_with(|it| it[0] = instruction);
            refused(world, case, &payment, &wire, &refusal).await;
        }
        let absent = payment.wire_with(|it| drop(it.remove(0)));
        refused(world, "absent", &payment, &absent, &refusal).await;
    });
}
