//! Exactly what is asked for: less is no payment, more is nobody's to keep.

use crate::support::solana::lab::{refused, unacceptable, without_a_trace, word};
use crate::support::solana::payer::Payment;

#[test]
fn case_61_more_or_less_than_asked_for() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let refusal = word("payload_amount_mismatch", "amount_mismatch");
        for amount in [0, 1, 9_999, 10_001, 10_000 + (1 << 32), u64::MAX] {
            let payment = Payment { amount, ..good.clone() };
            refused(world, &amount.to_string(), &payment, &payment.wire(), &refusal).await;
        }
    });
}

#[test]
fn more_asked_for_than_an_account_can_hold() {
    without_a_trace(async |world| {
        let refusal = word("payload_amount_mismatch", "amount_mismatch");
        // 10,000 and 2^64: in 64 bits the same.
        for price in ["18446744073709561616", "340282366920938463463374607431768211455"] {
            let payment = Payment {
                price: price.into(),
                ..world.payment(0).await
            };
            refused(world, price, &payment, &payment.wire(), &refusal).await;
        }
    });
}

#[test]
fn nothing_asked_for() {
    without_a_trace(async |world| {
        let payment = Payment {
            amount: 0,
            price: "0".into(),
            ..world.payment(0).await
        };
        refused(world, "zero", &payment, &payment.wire(), &unacceptable()).await;
    });
}

#[test]
fn more_than_the_payer_has() {
    without_a_trace(async |world| {
        let payment = Payment {
            amount: 1_000_000_000_001,
            price: "1000000000001".into(),
            ..world.payment(0).await
        };
        let refusal = crate::support::solana::lab::failing("insufficient_balance");
        refused(world, "more", &payment, &payment.wire(), &refusal).await;
        let all = Payment {
            amount: 1_000_000_000_000,
            price: "1000000000000".into(),
            ..world.payment(0).await
        };
        crate::support::solana::lab::valid(world, "all", &all, &all.wire()).await;
    });
}
