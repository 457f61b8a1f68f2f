//! Money that goes elsewhere, comes from elsewhere, or goes nowhere.

use solana_pubkey::Pubkey;

use crate::support::solana::lab::{failing, refused, unacceptable, without_a_trace, word};
use crate::support::solana::payer::Payment;
use crate::support::solana::programs::{TOKEN_2022, Transfer, associated_account};

fn into(payment: &Payment, destination: Pubkey) -> Payment {
    Payment {
        transfer: Transfer {
            destination,
            ..payment.transfer
        },
        ..payment.clone()
    }
}

#[test]
fn v07_case_61_into_another_account_than_the_recipients() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let at = &world.node.at;
        let mint = good.transfer.mint;
        let refusal = word("payload_recipient_mismatch", "destination_mismatch");
        for (case, destination) in [
            (
                "another owner's",
                associated_account(at.payers[1].address, good.transfer.program, mint),
            ),
            ("the owner itself", at.seller.address),
            (
                "the other program's",
                associated_account(at.seller.address, TOKEN_2022, mint),
            ),
            ("the other token's", at.mints["pyusd"].seller_account),
            ("the mint", mint),
            ("back to the payer's own", good.transfer.source),
        ] {
            let payment = into(&good, destination);
            refused(world, case, &payment, &payment.wire(), &refusal).await;
        }
    });
}

#[test]
fn out_of_an_account_that_is_not_the_payers() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let at = &world.node.at;
        let (program, mint) = (good.transfer.program, good.transfer.mint);
        for (case, source, code) in [
            (
                "somebody's",
                associated_account(at.payers[1].address, program, mint),
                "simulation_failed",
            ),
            (
                "another token's",
                associated_account(good.payer.address, TOKEN_2022, at.mints["pyusd"].address),
                "insufficient_balance",
            ),
            ("none", at.seller_without_accounts.address, "insufficient_balance"),
        ] {
            let payment = Payment {
                transfer: Transfer {
                    source,
                    ..good.transfer
                },
                ..good.clone()
            };
            refused(world, case, &payment, &payment.wire(), &failing(code)).await;
        }
    });
}

#[test]
fn from_an_account_to_itself() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let refusal = word("payload_transaction", "self_transfer");
        let payment = Payment {
            transfer: Transfer {
                source: good.transfer.destination,
                ..good.transfer
            },
            ..good.clone()
        };
        refused(world, "the seller's own", &payment, &payment.wire(), &refusal).await;
        let to_payer = good.clone().to(good.payer.address);
        refused(world, "the payer's own", &to_payer, &to_payer.wire(), &unacceptable()).await;
    });
}
