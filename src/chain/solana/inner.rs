//! What a transaction does inside, as a node tells it of a trial: the instructions that programs hand to programs.
//!
//! It only reads; what may happen inside is judged in `smart_wallet`. A node tells an instruction in one of two ways,
//! and one may change to the other with its version: in words (`parsed`) where it knows the program, otherwise with
//! the accounts and the data as they are (Solana JSON-RPC, `simulateTransaction`, `innerInstructions`). Both are read,
//! and programs are told by their address, never by the node's name for them.

use serde::Deserialize;
use serde_json::Value;
use solana_pubkey::Pubkey;

use super::instructions::TRANSFER_CHECKED;
use crate::domain::amount::Amount;

/// The digits of base58, as Bitcoin and Solana write it.
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// What one instruction of the transaction set off.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct InnerInstructions {
    /// What it set off, at any depth, in order.
    pub(super) instructions: Vec<InnerInstruction>,
}

/// An instruction that a program handed to a program.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InnerInstruction {
    /// The program called, base58.
    pub(super) program_id: String,
    /// What it was asked to do, where the node knows the program: for the token programs an object of `type` and
    /// `info`.
    #[serde(default)]
    parsed: Option<Value>,
    /// The accounts handed over, base58, where the node does not know the program.
    #[serde(default)]
    accounts: Vec<String>,
    /// Its data, base58, where the node does not know the program.
    #[serde(default)]
    data: String,
}

/// A `TransferChecked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TransferChecked {
    /// The token account that is debited.
    pub(super) source: Pubkey,
    /// The mint.
    pub(super) mint: Pubkey,
    /// The token account that is credited.
    pub(super) destination: Pubkey,
    /// Who may move what the source holds; of a multisig, its address.
    pub(super) authority: Pubkey,
    /// How much.
    pub(super) amount: Amount,
}

/// A transfer in the node's words.
#[derive(Deserialize)]
#[serde(tag = "type", content = "info", rename_all = "camelCase")]
enum Parsed {
    #[serde(rename_all = "camelCase")]
    TransferChecked {
        source: String,
        mint: String,
        destination: String,
        #[serde(alias = "multisigAuthority")]
        authority: String,
        token_amount: TokenAmount,
    },
}

#[derive(Deserialize)]
struct TokenAmount {
    amount: String,
}

impl InnerInstruction {
    /// Whether it names this account, base58, in any role.
    pub(super) fn names(&self, account: &str) -> bool {
        self.program_id == account
            || self.accounts.iter().any(|named| named == account)
            || self.parsed.as_ref().is_some_and(|parsed| holds(parsed, account))
    }

    /// What it transfers, if it is a `TransferChecked`, whichever program it was handed to.
    pub(super) fn transfer_checked(&self) -> Option<TransferChecked> {
        let Some(parsed) = &self.parsed else {
            return self.unparsed_transfer();
        };
        let Parsed::TransferChecked {
            source,
            mint,
            destination,
            authority,
            token_amount,
        } = Parsed::deserialize(parsed).ok()?;
        Some(TransferChecked {
            source: source.parse().ok()?,
            mint: mint.parse().ok()?,
            destination: destination.parse().ok()?,
            authority: authority.parse().ok()?,
            amount: token_amount.amount.parse().ok()?,
        })
    }

    fn unparsed_transfer(&self) -> Option<TransferChecked> {
        let [source, mint, destination, authority, ..] = self.accounts.as_slice() else {
            return None;
        };
        Some(TransferChecked {
            source: source.parse().ok()?,
            mint: mint.parse().ok()?,
            destination: destination.parse().ok()?,
            authority: authority.parse().ok()?,
            amount: transferred(&self.data)?,
        })
    }
}

/// Whether a text stands anywhere in the value.
fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(fields) => fields.values().any(|field| holds(field, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The amount in the data of a `TransferChecked`, base58; none when it is the data of anything else.
fn transferred(data: &str) -> Option<Amount> {
    // Data that begins with a byte other than zero is a number in base 58 without a leading zero, and ten bytes fit
    // into sixteen.
    if data.starts_with('1') {
        return None;
    }
    let number = data.bytes().try_fold(0_u128, |number, digit| {
        let value = BASE58.iter().position(|it| *it == digit)?;
        number.checked_mul(58)?.checked_add(u128::try_from(value).ok()?)
    })?;
    match number.to_be_bytes() {
        [0, 0, 0, 0, 0, 0, TRANSFER_CHECKED, amount @ .., _decimals] => {
            let amount: [u8; 8] = amount;
            Some(Amount::from_units(u64::from_le_bytes(amount).into()))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "inner_tests.rs"]
mod tests;
