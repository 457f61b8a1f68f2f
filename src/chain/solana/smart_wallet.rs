//! Payments of smart wallets: a program moves the money, and only a trial shows which (x402 `exact` on SVM, the
//! path of verification by simulation).
//!
//! Pure, and knows nothing of trials: what one showed is judged in `inner_transfer`. Off unless the operator asks for
//! it, for two reasons. A program can tell a trial from the real thing, so that a payer can let us pay fees for nothing
//! whenever it likes, and who pays is on record as the trial had it. And the chain has to be asked about much that is
//! refused at sight otherwise.
//!
//! Our lamports are safe without looking inside: a program reaches only the accounts that its caller handed to it, and
//! the fee payer is handed to none, so that nothing can be debited to it but the fee, whose bound is checked here.
//!
//! After the fact nothing of this is asked again. That the payment was made is read off the recipient's token account
//! (`watch`): the transaction raised it by exactly the amount. Inner instructions would prove less, since they say
//! what was asked for, and the balance says what came of it.

use solana_pubkey::Pubkey;

use super::instructions::{SET_COMPUTE_UNIT_LIMIT, SET_COMPUTE_UNIT_PRICE, UNITS_MAX, check_memo, price_max};
use super::listing::Listing;
use super::programs;
use super::transaction::{Instruction, Transaction};
use crate::domain::flaw::{Flaw, SmartWalletFlaw};

/// The wallets' programs (`@x402/svm` 2.27.0, default allowlist). Lighthouse, which only asserts, and the compute
/// budget and memo programs may be called beside them.
const WALLETS: [Pubkey; 6] = [
    // Squads, multisig version 4.
    Pubkey::from_str_const("SQDS4ep65T869zMMBKyuUq6aD6EgTu8psMjkvj52pCf"),
    // Squads, smart accounts.
    Pubkey::from_str_const("SMRTzfY6DfH5ik3TKiyLFfXexV8uSG3d2UksSCYdunG"),
    // Swig, by its two addresses there.
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
    check_memo(transaction.instructions(), memo)?;
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
    let price_max = price_max(&listing.bounds, limit.unwrap_or(UNITS_MAX)).min(PRICE_MAX);
    match price {
        Some(found) if found > price_max => Err(SmartWalletFlaw::PriorityFeeTooHigh { found, max: price_max }),
        Some(_) | None => Ok(()),
    }
}

/// The compute unit limit, and the price of a unit in micro-lamports, as far as the transaction sets them.
fn budget(transaction: &Transaction) -> Result<(Option<u32>, Option<u64>), SmartWalletFlaw> {
    let (mut limit, mut price) = (None, None);
    let instructions = transaction.instructions();
    for Instruction { data, .. } in instructions.filter(|it| *it.program == programs::COMPUTE_BUDGET) {
        let is_first = match data {
            [] => return Err(SmartWalletFlaw::MalformedComputeBudget),
            [SET_COMPUTE_UNIT_LIMIT, units @ ..] => {
                let units = units.try_into().map_err(|_| SmartWalletFlaw::MalformedComputeLimit)?;
                limit.replace(u32::from_le_bytes(units)).is_none()
            }
            [SET_COMPUTE_UNIT_PRICE, per_unit @ ..] => {
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

#[cfg(test)]
#[path = "smart_wallet_tests.rs"]
mod tests;
