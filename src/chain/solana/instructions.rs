//! The rules for a payment that the payer's transaction makes openly: which instructions, in which order, with what in
//! them (x402 `exact` on SVM; order and bounds of `@x402/svm` 2.27.0, `exact/facilitator`).
//!
//! The facilitator signs whatever passes here, so the rules are a list of what may be, not of what may not. They hold
//! two lines: our fee payer spends nothing but the fee, which is bounded, and the recipient gets the whole amount.
//! Pure; whether the transfer would succeed only the chain can say.

use solana_pubkey::Pubkey;

use super::listing::{Asset, Bounds, Listing};
use super::programs::{COMPUTE_BUDGET, LIGHTHOUSE, MEMO};
use super::settings::TokenProgram;
use super::terms::Asked;
use super::transaction::{Instruction, Transaction};
use crate::domain::amount::Amount;
use crate::domain::flaw::Flaw;
use crate::domain::rejection::Rejection;
use crate::seeded::Bug;

/// The place of the transfer among the instructions, counted from 0.
pub(super) const TRANSFER_INDEX: usize = 2;

const COUNT_MIN: usize = 3;
const COUNT_MAX: usize = 7;

/// Compute Budget's `SetComputeUnitLimit`: this byte, then the units as u32, little-endian.
pub(super) const SET_COMPUTE_UNIT_LIMIT: u8 = 2;
/// Compute Budget's `SetComputeUnitPrice`: this byte, then micro-lamports as u64, little-endian.
pub(super) const SET_COMPUTE_UNIT_PRICE: u8 = 3;
/// The token programs' `TransferChecked`: this byte, then the amount as u64, little-endian, then the decimals.
pub(super) const TRANSFER_CHECKED: u8 = 12;
/// Lighthouse's assertions, by their first byte. 0 writes to memory, for which it charges a rent, 1 closes it.
const ASSERTIONS: std::ops::RangeInclusive<u8> = 2..=17;

/// The most micro-lamports for a compute unit, whatever the limit (`@x402/svm`, `MAX_COMPUTE_UNIT_PRICE`).
const PRICE_MAX: u64 = 5_000_000;
const MICRO_LAMPORTS: u128 = 1_000_000;

/// What each required signature costs (Solana's base fee).
const LAMPORTS_PER_SIGNATURE: u128 = 5_000;

/// The most compute units that a transaction can have (agave, `MAX_COMPUTE_UNIT_LIMIT`).
pub(super) const UNITS_MAX: u32 = 1_400_000;

/// A `TransferChecked` of one of the token programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transfer {
    /// Which of them.
    pub(super) program: TokenProgram,
    /// The token account that is debited.
    pub(super) source: Pubkey,
    /// The mint.
    pub(super) mint: Pubkey,
    /// The token account that is credited.
    pub(super) destination: Pubkey,
    /// On whose authority: the source's owner or delegate, or a multisig account that is either.
    pub(super) authority: Pubkey,
    /// Atomic units.
    pub(super) amount: u64,
    /// Digits after the point that the payer believes the mint to have.
    pub(super) decimals: u8,
}

/// The transaction must make the payment that is asked for, and nothing else.
///
/// # Errors
/// The first rule broken.
pub(super) fn judge(listing: &Listing, asked: &Asked<'_>, transaction: &Transaction) -> Result<Transfer, Rejection> {
    if !transaction.lookups().is_empty() {
        return Err(Flaw::LookupTables.into());
    }
    let instructions: Vec<_> = transaction.instructions().collect();
    let [limit, price, third, rest @ ..] = instructions.as_slice() else {
        return Err(miscounted(instructions.len()));
    };
    if instructions.len() > COUNT_MAX {
        return Err(miscounted(instructions.len()));
    }
    check_fee(&listing.bounds, limit, price)?;
    let transfer = Transfer::read(transaction, third).ok_or(Flaw::NoTransfer)?;
    let asset = check_transfer(listing, asked, &transfer)?;
    check_rest(rest)?;
    check_memo(instructions.iter().copied(), asked.memo.as_deref())?;
    check_isolation(listing, transaction, &instructions)?;
    check_execution(&transfer, asset)?;
    check_authority(transaction, third.accounts)?;
    Ok(transfer)
}

fn miscounted(found: usize) -> Rejection {
    let (min, max) = (COUNT_MIN, COUNT_MAX);
    Flaw::InstructionCount { found, min, max }.into()
}

/// What the transaction offers for being processed must be within what we pay.
fn check_fee(bounds: &Bounds, limit: &Instruction<'_>, price: &Instruction<'_>) -> Result<(), Flaw> {
    let units = argument(limit, SET_COMPUTE_UNIT_LIMIT)
        .map(u32::from_le_bytes)
        .ok_or(Flaw::ComputeLimitMissing)?;
    if units > bounds.compute_units_max {
        return Err(Flaw::ComputeLimitTooHigh {
            found: units,
            max: bounds.compute_units_max,
        });
    }
    let price = argument(price, SET_COMPUTE_UNIT_PRICE)
        .map(u64::from_le_bytes)
        .ok_or(Flaw::ComputePriceMissing)?;
    let max = price_max(bounds, units);
    if price > max {
        return Err(Flaw::ComputePriceTooHigh { found: price, max });
    }
    Ok(())
}

/// The argument of an instruction to the compute budget program; none when it is another one or has bytes left over.
fn argument<const N: usize>(instruction: &Instruction<'_>, discriminator: u8) -> Option<[u8; N]> {
    let (first, argument) = instruction.data.split_first()?;
    (*instruction.program == COMPUTE_BUDGET && *first == discriminator)
        .then(|| argument.try_into().ok())
        .flatten()
}

/// The highest price for a unit at which so many units cost no more than we pay. The chain charges for the limit,
/// whatever is used of it, and rounds up to whole lamports: ⌈units × price / 10^6⌉ (agave, `get_prioritization_fee`).
pub(super) fn price_max(bounds: &Bounds, units: u32) -> u64 {
    u128::from(bounds.priority_fee_max_lamports)
        .saturating_mul(MICRO_LAMPORTS)
        .checked_div(u128::from(units))
        .and_then(|price| u64::try_from(price).ok())
        .map_or(PRICE_MAX, |price| price.min(PRICE_MAX))
}

/// The most lamports that the transaction can cost its fee payer: its signatures, and what it offers for compute units.
/// Where it sets no limit it has as many units as a transaction can have.
pub(super) fn cost_max(transaction: &Transaction) -> u128 {
    let units = transaction
        .instructions()
        .find_map(|it| argument(&it, SET_COMPUTE_UNIT_LIMIT));
    let units = units.map_or(UNITS_MAX, u32::from_le_bytes);
    let price = transaction
        .instructions()
        .find_map(|it| argument(&it, SET_COMPUTE_UNIT_PRICE));
    let offered = u128::from(units).saturating_mul(price.map_or(0, u64::from_le_bytes).into());
    signatures_cost(transaction.required_signatures()).saturating_add(offered.div_ceil(MICRO_LAMPORTS))
}

/// The most that a transaction with these bounds may cost, in lamports.
pub(super) fn cost_bound(signatures_max: usize, priority_fee_max: u64) -> u128 {
    signatures_cost(signatures_max).saturating_add(priority_fee_max.into())
}

fn signatures_cost(signatures: usize) -> u128 {
    let signatures = u128::try_from(signatures).unwrap_or(u128::MAX);
    signatures.saturating_mul(LAMPORTS_PER_SIGNATURE)
}

impl Transfer {
    /// The transfer that the instruction is; none when it is another instruction, or one with bytes left over.
    pub(super) fn read(transaction: &Transaction, instruction: &Instruction<'_>) -> Option<Self> {
        let program = TokenProgram::at(instruction.program)?;
        let [TRANSFER_CHECKED, amount @ .., decimals] = instruction.data else {
            return None;
        };
        let [source, mint, destination, authority, ..] = instruction.accounts else {
            return None;
        };
        let account = |index: &u8| transaction.account(*index).copied();
        Some(Self {
            program,
            source: account(source)?,
            mint: account(mint)?,
            destination: account(destination)?,
            authority: account(authority)?,
            amount: u64::from_le_bytes(amount.try_into().ok()?),
            decimals: *decimals,
        })
    }

    /// The token as the transfer has it.
    pub(super) const fn asset(&self) -> Asset {
        Asset {
            mint: self.mint,
            program: self.program,
            decimals: self.decimals,
        }
    }
}

/// The transfer must be the one that is asked for.
fn check_transfer<'l>(listing: &'l Listing, asked: &Asked<'_>, transfer: &Transfer) -> Result<&'l Asset, Rejection> {
    if listing.is_ours(&transfer.authority) {
        return Err(Flaw::FeePayerTransfers {
            found: transfer.authority.to_string(),
        }
        .into());
    }
    if transfer.authority == asked.pay_to {
        return Err(Rejection::Unacceptable(
            "the payer and paymentRequirements.payTo are the same account".into(),
        ));
    }
    let asset = listed(listing, asked)?;
    if transfer.mint != asked.asset {
        return Err(Flaw::MintMismatch {
            expected: asked.asset.to_string(),
            found: transfer.mint.to_string(),
        }
        .into());
    }
    let destination = listing.token_account(&asked.pay_to, asset);
    if transfer.destination != destination {
        return Err(Flaw::DestinationMismatch {
            expected: destination.to_string(),
            found: transfer.destination.to_string(),
            owner: asked.pay_to.to_string(),
        }
        .into());
    }
    let found = Amount::from_units(transfer.amount.into());
    if found != asked.amount {
        return Err(Rejection::AmountMismatch {
            expected: asked.amount,
            found,
        });
    }
    Ok(asset)
}

/// The token that is asked for, as it is configured.
///
/// # Errors
/// [`Rejection::Unacceptable`] when it is not.
pub(super) fn listed<'l>(listing: &'l Listing, asked: &Asked<'_>) -> Result<&'l Asset, Rejection> {
    listing.asset(&asked.asset).ok_or_else(|| {
        Rejection::Unacceptable(format!(
            "paymentRequirements.asset {} is not one this facilitator is configured for",
            asked.asset
        ))
    })
}

/// After the transfer stand only instructions that can move nothing.
fn check_rest(rest: &[Instruction<'_>]) -> Result<(), Flaw> {
    let is_harmless = |instruction: &Instruction<'_>| {
        let is_assertion = || instruction.data.first().is_some_and(|it| ASSERTIONS.contains(it));
        *instruction.program == MEMO || (*instruction.program == LIGHTHOUSE && is_assertion())
    };
    match rest.iter().position(|instruction| !is_harmless(instruction)) {
        Some(place) => Err(Flaw::UnknownInstruction {
            position: place.saturating_add(TRANSFER_INDEX).saturating_add(2),
        }),
        None => Ok(()),
    }
}

/// Where a memo is asked for, there must be one, and it must say that. Where none is, there may be any.
///
/// # Errors
/// [`Flaw::MemoCount`] or [`Flaw::MemoMismatch`].
pub(super) fn check_memo<'a>(
    instructions: impl Iterator<Item = Instruction<'a>>,
    asked: Option<&str>,
) -> Result<(), Flaw> {
    let Some(asked) = asked else {
        return Ok(());
    };
    let memos: Vec<_> = instructions
        .filter(|instruction| *instruction.program == MEMO)
        .collect();
    match memos.as_slice() {
        [memo] if memo.data == asked.as_bytes() => Ok(()),
        [_] => Err(Flaw::MemoMismatch),
        memos => Err(Flaw::MemoCount { found: memos.len() }),
    }
}

/// What stands in no instruction no program can spend from: an account's signature goes with it into every call that
/// it is passed to. The reference looks at the transfer's authority only; the specification asks for all of them.
fn check_isolation(listing: &Listing, transaction: &Transaction, instructions: &[Instruction<'_>]) -> Result<(), Flaw> {
    let is_ours = |index: &u8| transaction.account(*index).is_some_and(|it| listing.is_ours(it));
    match instructions.iter().position(|it| it.accounts.iter().any(is_ours)) {
        Some(_) if Bug::FeePayerExposed.is_on() => Ok(()),
        Some(place) => Err(Flaw::FeePayerExposed {
            position: place.saturating_add(1),
        }),
        None => Ok(()),
    }
}

/// What the token program would refuse, or would accept without moving anything.
fn check_execution(transfer: &Transfer, asset: &Asset) -> Result<(), Rejection> {
    if transfer.program != asset.program {
        return Err(Rejection::SimulationFailed {
            reason: "the transfer calls another token program than the one that keeps the mint".into(),
        });
    }
    if transfer.decimals != asset.decimals {
        return Err(Flaw::DecimalsMismatch {
            expected: asset.decimals,
            found: transfer.decimals,
        }
        .into());
    }
    if transfer.source == transfer.destination {
        return Err(Flaw::SelfTransfer {
            account: transfer.source.to_string(),
        }
        .into());
    }
    Ok(())
}

/// The authority must sign or, where further accounts follow it, each of those: they are the members of a multisig
/// account that is the authority, and it cannot sign itself.
fn check_authority(transaction: &Transaction, accounts: &[u8]) -> Result<(), Flaw> {
    let [_, _, _, authority, members @ ..] = accounts else {
        return Err(Flaw::NoTransfer);
    };
    let signers = if members.is_empty() {
        std::slice::from_ref(authority)
    } else {
        members
    };
    match signers.iter().find(|index| !transaction.is_signer(**index)) {
        Some(index) => Err(Flaw::SignatureInvalid {
            signer: transaction.account(*index).map(ToString::to_string).unwrap_or_default(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "instructions_tests.rs"]
mod tests;
