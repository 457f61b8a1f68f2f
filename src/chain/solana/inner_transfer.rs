//! The payment within what a smart wallet's transaction did when it was tried.
//!
//! Pure: judges what a node showed, as `inner` reads it, and knows nothing of the wallets. A trial is no promise; that
//! the payment was made is read off the recipient's token account afterwards (see `smart_wallet`).

use solana_pubkey::Pubkey;

use super::inner::InnerInstructions;
use super::listing::{Asset, Listing};
use super::programs;
use crate::domain::amount::Amount;
use crate::domain::flaw::{Flaw, SmartWalletFlaw};

/// What the trial must show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Of which asset.
    pub(super) asset: Asset,
    /// The recipient.
    pub(super) owner: Pubkey,
    /// Its associated token account.
    pub(super) destination: Pubkey,
    /// How much, exactly.
    pub(super) amount: Amount,
}

/// The one transfer that is the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InnerTransfer {
    /// Who pays: who may move what the source holds, most often an address that the wallet's program signs for.
    pub(super) authority: Pubkey,
    /// The token account that is debited.
    pub(super) source: Pubkey,
    /// The instruction of the transaction that sets it off, from 0.
    pub(super) index: u8,
}

/// Finds the payment in what a successful trial showed: `inner`, none when the node showed nothing. Exactly one
/// `TransferChecked` is what is wanted, and nothing else touches the recipient's token account, so that just the
/// amount arrives there. What else the wallet moves, to others, is its own affair, as long as it is not ours.
///
/// # Errors
/// The first rule broken.
pub(super) fn judge(
    listing: &Listing,
    inner: Option<&[InnerInstructions]>,
    wanted: &Wanted,
) -> Result<InnerTransfer, Flaw> {
    let inner = inner.ok_or(SmartWalletFlaw::VerificationUnavailable)?;
    let all = inner.iter().flat_map(|group| {
        let instructions = group.instructions.iter();
        instructions.map(|instruction| (group.index, instruction))
    });
    let ours: Vec<String> = listing.fee_payers.iter().map(Pubkey::to_string).collect();
    let token_programs = [programs::TOKEN, programs::TOKEN_2022].map(|program| program.to_string());
    let (program, destination) = (wanted.asset.program.id().to_string(), wanted.destination.to_string());

    let (mut payments, mut transfers, mut touches) = (Vec::new(), 0_usize, 0_usize);
    for (index, instruction) in all {
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
            && transfer.mint == wanted.asset.mint
            && transfer.destination == wanted.destination
            && transfer.amount == wanted.amount;
        if is_payment {
            payments.push((index, transfer));
        }
    }
    match payments.as_slice() {
        [] if transfers == 0 => Err(SmartWalletFlaw::NoTransfer.into()),
        [] => Err(SmartWalletFlaw::TransferMismatch.into()),
        [(_, transfer)] if transfer.source == transfer.destination => Err(Flaw::SelfTransfer { account: destination }),
        [(_, transfer)] if transfer.authority == wanted.owner => Err(Flaw::SelfTransfer {
            account: wanted.owner.to_string(),
        }),
        [(index, transfer)] if touches == 1 => Ok(InnerTransfer {
            authority: transfer.authority,
            source: transfer.source,
            index: *index,
        }),
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
