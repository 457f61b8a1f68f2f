//! Another token than the one asked for, or one that this facilitator does not know.

use crate::support::solana::lab::{refused, shorter_in_v1, unacceptable, without_a_trace, word};
use crate::support::solana::payer::Payment;
use crate::support::solana::programs::{TOKEN_2022, Transfer};

#[test]
fn v07_case_61_another_token_than_asked_for() {
    without_a_trace(async |world| {
        let asset = world.node.mint("usdc").address.to_string();
        let refusal = word("payload_mint_mismatch", "mint_mismatch");
        for other in ["unlisted", "mainnetUsdc", "nineDecimals", "pyusd", "transferFee"] {
            let payment = Payment {
                asset: asset.clone(),
                ..Payment::in_mint(&world.node, 0, world.node.mint(other)).await
            };
            refused(world, other, &payment, &payment.wire(), &refusal).await;
        }
    });
}

#[test]
fn a_token_that_is_not_listed() {
    without_a_trace(async |world| {
        for mint in [
            "unlisted",
            "mainnetUsdc",
            "transferFee",
            "transferHook",
            "nonTransferable",
        ] {
            let payment = Payment::in_mint(&world.node, 0, world.node.mint(mint)).await;
            refused(world, mint, &payment, &payment.wire(), &unacceptable()).await;
        }
    });
}

/// The mint is the right one, and another program than its own is to move it.
#[test]
fn the_other_token_program() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let payment = Payment {
            transfer: Transfer {
                program: TOKEN_2022,
                ..good.transfer
            },
            ..good
        };
        let refusal = shorter_in_v1("transaction_simulation_failed", "simulation_failed");
        refused(
            world,
            "Token-2022 for a mint of Token",
            &payment,
            &payment.wire(),
            &refusal,
        )
        .await;
    });
}
