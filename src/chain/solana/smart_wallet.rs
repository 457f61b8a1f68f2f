//! Payments of smart wallets: a program moves the money, and only a trial shows which (x402 `exact` on SVM, the
//! path of verification by simulation).
//!
//! Pure: `decode` reads what the transaction itself shows, `judge` what a trial of it showed. Off unless the operator
//! asks for it, for two reasons. A program can tell a trial from the real thing, so that a payer can let us pay fees
//! for nothing, where the plain path leaves no room for that. And the chain must be asked before a layout is refused.
//!
//! Our lamports are safe without looking inside: a program reaches only the accounts that its caller handed to it, and
//! the fee payer is handed to none, so that nothing can be debited to it but the fee, whose bound is checked here.
//!
//! After the fact nothing of this is asked again. That the payment was made is read off the recipient's token account
//! (`watch`): the transaction raised it by exactly the amount. Inner instructions would prove less, since they say
//! what was asked for, and the balance says what came of it.

use solana_pubkey::Pubkey;

use super::inner::InnerInstructions;
use super::listing::{Asset, Listing};
use super::programs;
use super::transaction::{Instruction, Transaction};
use crate::domain::amount::Amount;
use crate::domain::flaw::{Flaw, SmartWalletFlaw};

/// The wallets' programs (`@x402/svm` 2.27.0, default allowlist). Lighthouse, which only asserts, and the compute
/// budget and memo programs may be called beside them.
const WALLETS: [Pubkey; 6] = [
    // Squads, multisig version 4.
    Pubkey::from_str_const("SQDS4ep65T869zMMBKyuUq6aD6EgTu8psMjkvj52pCf"),
    // Squads, smart accounts.
    Pubkey::from_str_const("SMRTzfY6DfH5ik3TKiyLFfXexV8uSG3d2UksSCYdunG"),
    // Swig, by its two addresses.
    Pubkey::from_str_const("SWiGmQedKzMz1tiTqoJCWeGDnGXfNBp2PkXLkpCAtQo"),
    Pubkey::from_str_const("swigypWHEksbC64pWKwah1WTeh9JXwx8H1rJHLdbQMB"),
    // SPL Governance.
    Pubkey::from_str_const("GovER5Lthms3bLBqWub97yVrMmEogzX7xNjdXpPPCVZw"),
    // Metaplex Core, whose assets sign.
    Pubkey::from_str_const("CoREENxT6tW1HoK8ypY1SxRMZTcVPm7R94rH4PZNhX7d"),
];

/// The most compute units of a smart wallet's transaction, beside the operator's own bound.
const COMPUTE_UNITS_MAX: u32 = 400_000;
/// The highest price of a compute unit in micro-lamports, beside the operator's own bound.
const PRICE_MAX: u64 = 50_000;
/// What an instruction is given, and a transaction at most, where no limit is set (Solana,
/// `DEFAULT_INSTRUCTION_COMPUTE_UNIT_LIMIT`, `MAX_COMPUTE_UNIT_LIMIT`).
const DEFAULT_UNITS: u32 = 200_000;
const DEFAULT_UNITS_MAX: u32 = 1_400_000;
const MICRO: u128 = 1_000_000;

/// What the trial must show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Of which asset.
    pub(super) asset: Asset,
    /// The recipient's associated token account.
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

/// Applies the rules that need no chain: programs called, fee payer, compute budget, and the memo that the
/// requirements ask for, up to 256 bytes. Signatures, the fee payer's place and the number of signers are checked
/// before, as for any transaction.
///
/// Returns who stands for the payer until a trial has told who pays: the first who signs beside the fee payer, most
/// often a member of the wallet; the wallet's program where nobody signs, as some wallets check other signatures.
///
/// # Errors
/// The first rule broken.
pub(super) fn decode(listing: &Listing, transaction: &Transaction, memo: Option<&str>) -> Result<Pubkey, Flaw> {
    let wallet = check_programs(transaction)?;
    check_isolation(listing, transaction)?;
    check_budget(listing, transaction)?;
    if let Some(memo) = memo {
        check_memo(transaction, memo)?;
    }
    let member = transaction
        .static_keys()
        .get(1)
        .filter(|_| transaction.required_signatures() > 1);
    Ok(*member.unwrap_or(&wallet))
}

/// Judges the accounts that the transaction takes from lookup tables: none may be ours.
///
/// # Errors
/// [`SmartWalletFlaw::FeePayerNotIsolated`].
pub(super) fn check_loaded(listing: &Listing, loaded: &[Pubkey]) -> Result<(), Flaw> {
    if loaded.iter().any(|key| listing.is_ours(key)) {
        return Err(SmartWalletFlaw::FeePayerNotIsolated.into());
    }
    Ok(())
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

/// Only wallets are called, and what may stand beside them. Returns the first wallet.
fn check_programs(transaction: &Transaction) -> Result<Pubkey, SmartWalletFlaw> {
    let beside = [programs::COMPUTE_BUDGET, programs::MEMO, programs::LIGHTHOUSE];
    let mut wallet = None;
    for Instruction { program, .. } in transaction.instructions() {
        if WALLETS.contains(program) {
            wallet = wallet.or(Some(*program));
        } else if !beside.contains(program) {
            return Err(SmartWalletFlaw::ProgramNotAllowed {
                program: program.to_string(),
            });
        }
    }
    wallet.ok_or(SmartWalletFlaw::NoTransfer)
}

/// The fee payer stands in no instruction, and none of our others anywhere.
fn check_isolation(listing: &Listing, transaction: &Transaction) -> Result<(), SmartWalletFlaw> {
    let is_handed_over = transaction.instructions().any(|it| it.accounts.contains(&0));
    let mut others = transaction.static_keys().iter().skip(1);
    if is_handed_over || others.any(|key| listing.is_ours(key)) {
        return Err(SmartWalletFlaw::FeePayerNotIsolated);
    }
    Ok(())
}

/// What the transaction offers for being processed is bounded, in units, in price and in all.
fn check_budget(listing: &Listing, transaction: &Transaction) -> Result<(), SmartWalletFlaw> {
    let (limit, price) = budget(transaction)?;
    let units_max = listing.bounds.compute_units_max.min(COMPUTE_UNITS_MAX);
    if let Some(found) = limit.filter(|limit| *limit > units_max) {
        return Err(SmartWalletFlaw::ComputeUnitsTooHigh { found, max: units_max });
    }
    let units = limit.unwrap_or_else(|| default_units(transaction));
    let affordable = u128::from(listing.bounds.priority_fee_max_lamports)
        .saturating_mul(MICRO)
        .checked_div(u128::from(units));
    let price_max = affordable
        .and_then(|price| u64::try_from(price).ok())
        .unwrap_or(PRICE_MAX)
        .min(PRICE_MAX);
    match price {
        Some(found) if found > price_max => Err(SmartWalletFlaw::PriorityFeeTooHigh { found, max: price_max }),
        Some(_) | None => Ok(()),
    }
}

/// At most what the chain takes for a transaction's limit when it sets none.
fn default_units(transaction: &Transaction) -> u32 {
    let instructions = u32::try_from(transaction.instructions().count()).unwrap_or(u32::MAX);
    DEFAULT_UNITS.saturating_mul(instructions).min(DEFAULT_UNITS_MAX)
}

/// The compute unit limit, and the price of a unit in micro-lamports, as far as the transaction sets them.
fn budget(transaction: &Transaction) -> Result<(Option<u32>, Option<u64>), SmartWalletFlaw> {
    let (mut limit, mut price) = (None, None);
    let instructions = transaction.instructions();
    for Instruction { data, .. } in instructions.filter(|it| *it.program == programs::COMPUTE_BUDGET) {
        let is_first = match data {
            [] => return Err(SmartWalletFlaw::MalformedComputeBudget),
            [2, units @ ..] => {
                let units = units.try_into().map_err(|_| SmartWalletFlaw::MalformedComputeLimit)?;
                limit.replace(u32::from_le_bytes(units)).is_none()
            }
            [3, per_unit @ ..] => {
                let per_unit = per_unit
                    .try_into()
                    .map_err(|_| SmartWalletFlaw::MalformedComputePrice)?;
                price.replace(u64::from_le_bytes(per_unit)).is_none()
            }
            [_, ..] => return Err(SmartWalletFlaw::UnsupportedComputeBudget),
        };
        if !is_first {
            return Err(SmartWalletFlaw::ComputeBudgetViolation);
        }
    }
    Ok((limit, price))
}

fn check_memo(transaction: &Transaction, wanted: &str) -> Result<(), Flaw> {
    let memos = transaction.instructions().filter(|it| *it.program == programs::MEMO);
    let memos: Vec<&[u8]> = memos.map(|it| it.data).collect();
    match memos.as_slice() {
        [memo] if *memo == wanted.as_bytes() => Ok(()),
        [_] => Err(Flaw::MemoMismatch),
        all => Err(Flaw::MemoCount { found: all.len() }),
    }
}

#[cfg(test)]
#[path = "smart_wallet_tests.rs"]
mod tests;
