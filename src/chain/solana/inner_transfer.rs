//! The payment within what a smart wallet's transaction did when it was tried.
//!
//! Pure: judges what a node showed, as `inner` reads it, and knows nothing of the wallets. A trial is no promise; that
//! the payment was made is read off the recipient's token account afterwards (see `smart_wallet`).

use solana_pubkey::Pubkey;

use super::body::Body;
use super::inner::InnerInstructions;
use super::listing::Listing;
use super::programs;
use crate::domain::amount::Amount;
use crate::domain::flaw::{Flaw, SmartWalletFlaw};

/// Finds the payment in what a successful trial showed, and returns who pays: who may move what the debited account
/// holds, most often an address that the wallet's program signs for. `inner` is none when the node showed nothing.
///
/// Exactly one `TransferChecked` is what `body` and `amount` ask for, and nothing else touches the recipient's token
/// account, so that just the amount arrives there. What else the wallet moves, to others, is its own affair, as long
/// as it is not ours.
///
/// # Errors
/// The first rule broken.
pub(super) fn judge(
    listing: &Listing,
    body: &Body,
    amount: Amount,
    inner: Option<&[InnerInstructions]>,
) -> Result<Pubkey, Flaw> {
    let inner = inner.ok_or(SmartWalletFlaw::VerificationUnavailable)?;
    let ours: Vec<String> = listing.fee_payers.iter().map(Pubkey::to_string).collect();
    let token_programs = [programs::TOKEN, programs::TOKEN_2022].map(|program| program.to_string());
    let (program, destination) = (body.asset.program.id().to_string(), body.destination.to_string());

    let (mut payments, mut transfers, mut touches) = (Vec::new(), 0_usize, 0_usize);
    for instruction in inner.iter().flat_map(|group| &group.instructions) {
        let is_token = token_programs.contains(&instruction.program_id);
        if let Some(found) = ours.iter().find(|ours| instruction.names(ours)) {
            return Err(exposed(is_token, found));
        }
        if !is_token {
            continue;
        }
        touches = touches.saturating_add(usize::from(instruction.names(&destination)));
        let Some(transfer) = instruction.transfer_checked() else {
            continue;
        };
        transfers = transfers.saturating_add(1);
        let is_payment = instruction.program_id == program
            && transfer.mint == body.asset.mint
            && transfer.destination == body.destination
            && transfer.amount == amount;
        if is_payment {
            payments.push(transfer);
        }
    }
    let account_of = |account: Pubkey| Flaw::SelfTransfer {
        account: account.to_string(),
    };
    match payments.as_slice() {
        [] if transfers == 0 => Err(SmartWalletFlaw::NoTransfer.into()),
        [] => Err(SmartWalletFlaw::TransferMismatch.into()),
        [payment] if payment.source == body.destination => Err(account_of(body.destination)),
        [payment] if payment.authority == body.owner => Err(account_of(body.owner)),
        [payment] if touches == 1 => Ok(payment.authority),
        _ => Err(SmartWalletFlaw::MultipleTransfers.into()),
    }
}

/// An account of ours inside. It cannot come to this, since ours is handed to no program; should a node show it all
/// the same, one of the two is not what we take it for.
fn exposed(is_token: bool, found: &str) -> Flaw {
    if is_token {
        Flaw::FeePayerTransfers {
            found: found.to_owned(),
        }
    } else {
        SmartWalletFlaw::FeePayerNotIsolated.into()
    }
}

#[cfg(test)]
#[path = "inner_transfer_tests.rs"]
mod tests;
