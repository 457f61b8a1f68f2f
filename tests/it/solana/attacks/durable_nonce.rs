//! A durable nonce in the blockhash's place would make a transaction good for ever: it could be sent long after the
//! facilitator has called it dead. The layout leaves no place for the instruction that it takes.

use crate::support::solana::lab::{failing, refused, without_a_trace, word};
use crate::support::solana::payer::Payment;
use crate::support::solana::programs::advance_nonce;
use crate::support::solana::world::SolanaWorld;

/// A payment over the nonce that the payer's own account holds.
async fn over_a_nonce(world: &SolanaWorld) -> Payment {
    let payment = Payment {
        blockhash: world.node.at.nonce_account.nonce.to_bytes(),
        ..world.payment(0).await
    };
    assert_eq!(payment.payer.address, world.node.at.nonce_account.authority);
    payment
}

#[test]
fn v06_a_durable_nonce_has_no_place() {
    without_a_trace(async |world| {
        let payment = over_a_nonce(world).await;
        let advance = advance_nonce(world.node.at.nonce_account.address, payment.payer.address);
        let no_limit = word(
            "payload_transaction_instructions_compute_limit_instruction",
            "compute_limit_missing",
        );
        let first = payment.wire_with(|it| it.insert(0, advance.clone()));
        refused(
            world,
            "advanced first, as the chain wants it",
            &payment,
            &first,
            &no_limit,
        )
        .await;
        let fourth = payment.wire_with(|it| it.insert(3, advance.clone()));
        let unknown = word("payload_unknown_fourth_instruction", "unknown_instruction");
        refused(world, "advanced after the transfer", &payment, &fourth, &unknown).await;
        let instead = payment.wire_with(|it| it[0] = advance.clone());
        refused(world, "advanced in the limit's place", &payment, &instead, &no_limit).await;
    });
}

#[test]
fn a_nonce_that_is_not_advanced_is_an_unknown_blockhash() {
    without_a_trace(async |world| {
        let payment = over_a_nonce(world).await;
        let refusal = failing("blockhash_too_old");
        refused(world, "not advanced", &payment, &payment.wire(), &refusal).await;
    });
}
