//! Kora took what it could not read for harmless: instructions of the token programs that no rule had been written for
//! went through.
//!
//! - solana-foundation/kora#349: a transfer that names no mint is left out of the account.
//! - solana-foundation/kora#434: unknown extensions, and what cannot be parsed, are skipped.
//! - solana-foundation/kora#446: a transfer with a fee is not seen to be a transfer.
//! - solana-foundation/kora#447: authorities hidden in an instruction's data are not looked at.

use crate::support::solana::lab::{refused, without_a_trace, word};
use crate::support::solana::payer::Payment;
use crate::support::solana::transaction::Instruction;
use crate::support::solana::world::SolanaWorld;

/// The same payment in a token of the newer program.
async fn in_token_2022(world: &SolanaWorld) -> Payment {
    Payment::in_mint(&world.node, 0, world.node.mint("pyusd")).await
}

/// The instruction is refused both instead of the transfer and behind it.
async fn is_refused(world: &SolanaWorld, case: &str, payment: &Payment, instruction: Instruction) {
    let instead = payment.wire_with(|it| it[2] = instruction.clone());
    let refusal = word("payload_no_transfer_instruction", "no_transfer");
    refused(world, case, payment, &instead, &refusal).await;
    let behind = payment.wire_with(|it| it.insert(3, instruction));
    let refusal = word("payload_unknown_fourth_instruction", "unknown_instruction");
    refused(world, case, payment, &behind, &refusal).await;
}

#[test]
fn a_transfer_that_names_no_mint() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let plain = payment.transfer.plain(payment.amount);
        is_refused(world, "Transfer", &payment, plain).await;
    });
}

#[test]
fn extensions_that_are_not_known() {
    without_a_trace(async |world| {
        let payment = in_token_2022(world).await;
        let fee_payer = payment.fee_payer.to_bytes();
        let hook = payment.transfer.with(&[&[36, 0], &fee_payer, &fee_payer]);
        is_refused(world, "TransferHookExtension", &payment, hook).await;
        let pause = payment.transfer.with(&[&[44, 1]]);
        is_refused(world, "PausableExtension", &payment, pause).await;
    });
}

#[test]
fn instructions_that_cannot_be_parsed() {
    without_a_trace(async |world| {
        let payment = in_token_2022(world).await;
        for data in [&[][..], &[12, 1], &[255; 9]] {
            is_refused(world, &format!("{data:?}"), &payment, payment.transfer.with(&[data])).await;
        }
    });
}

#[test]
fn a_transfer_with_a_fee() {
    without_a_trace(async |world| {
        let payment = in_token_2022(world).await;
        let amount = payment.amount.to_le_bytes();
        let data: [&[u8]; 4] = [&[26, 1], &amount, &[payment.decimals], &[0; 8]];
        is_refused(world, "TransferCheckedWithFee", &payment, payment.transfer.with(&data)).await;
    });
}

#[test]
fn authorities_hidden_in_data() {
    without_a_trace(async |world| {
        let payment = in_token_2022(world).await;
        let fee_payer = payment.fee_payer.to_bytes();
        let pointer = payment.transfer.with(&[&[39, 0], &fee_payer, &fee_payer]);
        is_refused(world, "MetadataPointerExtension", &payment, pointer).await;
        let close = payment.transfer.with(&[&[25, 1], &fee_payer]);
        is_refused(world, "InitializeMintCloseAuthority", &payment, close).await;
    });
}
