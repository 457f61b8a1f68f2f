//! The price for a compute unit, times the limit, comes out of the fee payer's pocket.

use crate::support::solana::lab::{refused, valid, without_a_trace, word};
use crate::support::solana::programs::{compute_budget, compute_limit, compute_price, memo};

const TOO_HIGH: &str = "payload_transaction_instructions_compute_price_instruction_too_high";
const MISSING: &str = "payload_transaction_instructions_compute_price_instruction";

#[test]
fn v04_case_58_a_higher_price_than_the_reference_takes() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word(TOO_HIGH, "compute_price_too_high");
        for price in [5_000_001, u64::MAX / 20_000 + 1, u64::MAX - 1, u64::MAX] {
            let wire = payment.wire_with(|it| it[1] = compute_price(price));
            refused(world, &price.to_string(), &payment, &wire, &refusal).await;
        }
        // Within the bound in lamports: 20,000 units at 5 lamports.
        let most = payment.wire_with(|it| it[1] = compute_price(5_000_000));
        valid(world, "the highest", &payment, &most).await;
    });
}

#[test]
fn a_higher_fee_in_all_than_is_paid() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word(TOO_HIGH, "compute_price_too_high");
        // Of 100,000 lamports, to the next micro-lamport.
        for (units, price) in [(400_000, 250_000), (20_001, 4_999_750), (300_000, 333_333)] {
            let wire = |price| payment.wire_with(|it| (it[0], it[1]) = (compute_limit(units), compute_price(price)));
            valid(world, &format!("{units} at {price}"), &payment, &wire(price)).await;
            let more = format!("{units} at {}", price + 1);
            refused(world, &more, &payment, &wire(price + 1), &refusal).await;
        }
    });
}

#[test]
fn a_price_that_is_not_one() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word(MISSING, "compute_price_missing");
        let price = 1u64.to_le_bytes();
        for (case, instruction) in [
            ("a memo", memo("price")),
            ("nothing", compute_budget(&[])),
            ("seven bytes", compute_budget(&[&[3], &price[..7]])),
            ("a byte more", compute_budget(&[&[3], &price, &[0]])),
            ("the limit again", compute_limit(20_000)),
        ] {
            let wire = payment.wire_with(|it| it[1] = instruction);
            refused(world, case, &payment, &wire, &refusal).await;
        }
        let absent = payment.wire_with(|it| drop(it.remove(1)));
        refused(world, "absent", &payment, &absent, &refusal).await;
    });
}
