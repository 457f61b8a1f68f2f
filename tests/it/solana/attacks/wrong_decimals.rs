//! Decimals other than the mint's make the token program refuse the transfer, at the fee payer's expense.

use crate::support::solana::lab::{refused, shorter_in_v1, without_a_trace};
use crate::support::solana::payer::Payment;

#[test]
fn v07_decimals_other_than_the_mints() {
    without_a_trace(async |world| {
        let refusal = shorter_in_v1("transaction_simulation_failed", "decimals_mismatch");
        for mint in ["usdc", "pyusd"] {
            let good = Payment::in_mint(&world.node, 0, world.node.mint(mint)).await;
            for decimals in [0, 5, 7, 9, 255] {
                let payment = Payment {
                    decimals,
                    ..good.clone()
                };
                refused(world, &decimals.to_string(), &payment, &payment.wire(), &refusal).await;
            }
        }
    });
}
