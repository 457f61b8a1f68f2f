//! The fee payer's signature authorizes every instruction of the transaction, so whatever the payer puts beside the
//! transfer can be made to cost the facilitator.
//!
//! - x402-foundation/x402#646: lamports sent away, accounts delegated and closed, the price set again, no limit set.
//! - x402-foundation/x402#1020: token accounts made at the facilitator's expense and closed by their owner.
//! - solana-foundation/kora#428: the same by the idempotent instruction.
//! - arXiv:2607.19545: price and limit have no bound in lamports.

use crate::support::solana::lab::{refused, without_a_trace, word};
use crate::support::solana::programs::{
    Transfer, associated_account, compute_limit, compute_price, create_account, system_transfer,
};
use crate::support::solana::transaction::Instruction;

/// The instruction is refused behind the transfer.
async fn has_no_place(
    world: &crate::support::solana::world::SolanaWorld,
    case: &str,
    make: impl FnOnce(&crate::support::solana::payer::Payment) -> Instruction,
) {
    let payment = world.payment(0).await;
    let instruction = make(&payment);
    let wire = payment.wire_with(|it| it.insert(3, instruction));
    let refusal = word("payload_unknown_fourth_instruction", "unknown_instruction");
    refused(world, case, &payment, &wire, &refusal).await;
}

/// The fee payer's own token account, in a transfer's accounts.
fn own(payment: &crate::support::solana::payer::Payment) -> Transfer {
    Transfer {
        source: associated_account(payment.fee_payer, payment.transfer.program, payment.transfer.mint),
        authority: payment.fee_payer,
        ..payment.transfer
    }
}

#[test]
fn lamports_sent_away() {
    without_a_trace(async |world| {
        has_no_place(world, "a system transfer", |it| {
            system_transfer(it.fee_payer, it.payer.address, 1_000_000)
        })
        .await;
    });
}

#[test]
fn accounts_delegated_or_closed() {
    without_a_trace(async |world| {
        has_no_place(world, "Approve", |it| own(it).with(&[&[4], &u64::MAX.to_le_bytes()])).await;
        has_no_place(world, "CloseAccount", |it| own(it).with(&[&[9]])).await;
    });
}

#[test]
fn a_price_set_again() {
    without_a_trace(async |world| {
        has_no_place(world, "a second price", |_| compute_price(u64::MAX)).await;
    });
}

#[test]
fn no_limit_set() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let wire = payment.wire_with(|it| drop(it.remove(0)));
        let refusal = word(
            "payload_transaction_instructions_compute_limit_instruction",
            "compute_limit_missing",
        );
        refused(world, "no limit", &payment, &wire, &refusal).await;
    });
}

#[test]
fn an_account_made_at_our_expense() {
    without_a_trace(async |world| {
        let nobody = world.node.at.seller_without_accounts.address;
        let payment = world.payment(0).await.to(nobody);
        let mut create = create_account(
            payment.fee_payer,
            nobody,
            payment.transfer.program,
            payment.transfer.mint,
        );
        create.data = vec![0];
        let wire = payment.wire_with(|it| it.insert(2, create));
        let refusal = word("payload_no_transfer_instruction", "no_transfer");
        refused(world, "Create", &payment, &wire, &refusal).await;
    });
}

#[test]
fn an_account_made_at_our_expense_if_it_is_not_there() {
    without_a_trace(async |world| {
        let nobody = world.node.at.seller_without_accounts.address;
        has_no_place(world, "CreateIdempotent", |it| {
            create_account(it.fee_payer, nobody, it.transfer.program, it.transfer.mint)
        })
        .await;
    });
}

#[test]
fn a_fee_without_a_bound() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        // 0.007 SOL, each factor within what the specification allows.
        let dear = payment.wire_with(|it| (it[0], it[1]) = (compute_limit(1_400_000), compute_price(5_000_000)));
        let refusal = word(
            "payload_transaction_instructions_compute_limit_instruction_too_high",
            "compute_limit_too_high",
        );
        refused(world, "the highest price for every unit", &payment, &dear, &refusal).await;
    });
}
