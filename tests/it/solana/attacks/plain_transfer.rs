//! Only `TransferChecked` names the mint and its decimals; every other instruction of a token program does something
//! else than pay.

use crate::support::solana::lab::{refused, without_a_trace, word};
use crate::support::solana::programs::{SYSTEM, Transfer, memo, system_transfer};

#[test]
fn v12_case_59_a_transfer_that_names_no_mint() {
    without_a_trace(async |world| {
        let refusal = word("payload_no_transfer_instruction", "no_transfer");
        let payment = world.payment(0).await;
        let wire = payment.wire_with(|it| it[2] = payment.transfer.plain(payment.amount));
        refused(world, "Transfer", &payment, &wire, &refusal).await;
    });
}

#[test]
fn instructions_that_are_no_transfer() {
    without_a_trace(async |world| {
        let refusal = word("payload_no_transfer_instruction", "no_transfer");
        let payment = world.payment(0).await;
        let amount = payment.amount.to_le_bytes();
        let with = |data: &[&[u8]]| payment.transfer.with(data);
        for (case, instruction) in [
            ("Transfer with a mint", with(&[&[3], &amount, &[6]])),
            ("ApproveChecked", with(&[&[13], &amount, &[6]])),
            ("MintToChecked", with(&[&[14], &amount, &[6]])),
            ("BurnChecked", with(&[&[15], &amount, &[6]])),
            ("CloseAccount", with(&[&[9]])),
            ("SetAuthority", with(&[&[6, 2, 1], &[9; 32]])),
            ("TransferCheckedWithFee", with(&[&[26, 1], &amount, &[6], &[0; 8]])),
            ("no data", with(&[])),
            ("no decimals", with(&[&[12], &amount])),
            ("a byte more", with(&[&[12], &amount, &[6, 0]])),
            (
                "lamports",
                system_transfer(payment.payer.address, payment.pay_to, payment.amount),
            ),
            ("a memo", memo("paid")),
        ] {
            let wire = payment.wire_with(|it| it[2] = instruction);
            refused(world, case, &payment, &wire, &refusal).await;
        }
    });
}

#[test]
fn a_transfer_with_accounts_missing() {
    without_a_trace(async |world| {
        let refusal = word("payload_no_transfer_instruction", "no_transfer");
        let payment = world.payment(0).await;
        for count in 0..4 {
            let mut instructions = payment.instructions();
            instructions[2].accounts.truncate(count);
            // The payer signs all the same.
            instructions[3]
                .accounts
                .push(crate::support::solana::transaction::Meta::read(payment.payer.address).signs());
            let wire = payment.message_of(&instructions).signed_by(&[&payment.payer]);
            refused(world, &count.to_string(), &payment, &wire, &refusal).await;
        }
    });
}

#[test]
fn v12_a_program_that_only_looks_like_a_token_program() {
    without_a_trace(async |world| {
        let refusal = word("payload_no_transfer_instruction", "no_transfer");
        let payment = world.payment(0).await;
        for program in [SYSTEM, payment.payer.address, payment.transfer.mint] {
            let transfer = Transfer {
                program,
                ..payment.transfer
            };
            let wire = payment.wire_with(|it| it[2] = transfer.checked(payment.amount, payment.decimals));
            refused(world, &program.to_string(), &payment, &wire, &refusal).await;
        }
    });
}

#[test]
fn v05_case_57_too_few_and_too_many_instructions() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let refusal = word("payload_transaction_instructions_length", "instruction_count");
        for count in [0, 1, 2, 8, 9, 20] {
            let wire = payment.wire_with(|it| it.resize(count, memo("more")));
            refused(world, &count.to_string(), &payment, &wire, &refusal).await;
        }
        for count in [3, 5, 7] {
            let wire = payment.wire_with(|it| it.resize(count, memo("more")));
            crate::support::solana::lab::valid(world, &count.to_string(), &payment, &wire).await;
        }
    });
}
