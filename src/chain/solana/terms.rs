//! What a merchant asks for, in this rail's own types: the requirements' addresses and `extra`, read and judged.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use solana_pubkey::Pubkey;

use super::listing::Listing;
use crate::chain::json::{EXTRA, Object, Text, malformed, read};
use crate::domain::amount::Amount;
use crate::domain::flaw::Flaw;
use crate::domain::rejection::{Malformed, Refused, Rejection};
use crate::domain::request::Terms;

/// The longest memo that requirements may ask for, in bytes (x402 `exact` on SVM, "memo").
const MEMO_BYTES_MAX: usize = 256;

const ADDRESS: &str = "an address: base58 of 32 bytes";
const MEMO: &str = "a text of at most 256 bytes without the character U+0000";

/// What a merchant asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    /// Which of our fee payers the transaction must name first.
    pub(super) fee_payer: Pubkey,
    /// The mint.
    pub(super) asset: Pubkey,
    /// The owner of the account that is paid into.
    pub(super) pay_to: Pubkey,
    /// Atomic units, at least 1. More than 2^64-1 is more than any token account can hold, and no transfer's amount.
    pub(super) amount: Amount,
    /// What the transaction's one memo must say; 1 to 256 bytes.
    pub(super) memo: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Extra<'a> {
    #[serde(borrow)]
    fee_payer: Option<&'a RawValue>,
    #[serde(borrow)]
    memo: Option<Text<'a>>,
}

impl<'a> Asked<'a> {
    /// Reads the requirements.
    ///
    /// # Errors
    /// [`Refused::Malformed`] names the field; [`Refused::Rejected`] says why nobody could be paid so.
    pub(super) fn read(listing: &Listing, terms: &'a Terms) -> Result<Self, Refused> {
        let extra = match terms.extra.as_deref() {
            Some(text) => read::<Option<Object<Extra<'_>>>>(text, EXTRA)?.map_or_else(Extra::default, |it| it.0),
            None => Extra::default(),
        };
        let asked = Self {
            fee_payer: fee_payer(listing, extra.fee_payer).map_err(Rejection::Flawed)?,
            asset: address(&terms.asset, "paymentRequirements.asset")?,
            pay_to: address(&terms.pay_to, "paymentRequirements.payTo")?,
            amount: terms.amount,
            memo: memo(extra.memo)?,
        };
        asked.check(listing)?;
        Ok(asked)
    }

    /// Requirements that ask for no payment, whoever signs what.
    fn check(&self, listing: &Listing) -> Result<(), Rejection> {
        let complaint = if self.pay_to == self.asset {
            "paymentRequirements.payTo is the asset itself"
        } else if listing.is_ours(&self.pay_to) {
            "paymentRequirements.payTo is an account of this facilitator"
        } else if self.amount == Amount::ZERO {
            "paymentRequirements asks for an amount of zero"
        } else {
            return Ok(());
        };
        Err(Rejection::Unacceptable(complaint.into()))
    }
}

/// Reads an address.
///
/// # Errors
/// Names the path, and what belongs there.
pub(super) fn address(text: &str, path: &str) -> Result<Pubkey, Malformed> {
    text.parse().map_err(|_| malformed(path, ADDRESS))
}

/// Anything but a text counts as missing, as the reference has it.
fn fee_payer(listing: &Listing, stated: Option<&RawValue>) -> Result<Pubkey, Flaw> {
    let text = stated.and_then(|raw| serde_json::from_str::<Text<'_>>(raw.get()).ok());
    let Some(Text(text)) = text.filter(|text| !text.0.is_empty()) else {
        return Err(Flaw::FeePayerMissing);
    };
    text.parse()
        .ok()
        .filter(|address| listing.is_ours(address))
        .ok_or_else(|| Flaw::FeePayerUnknown {
            found: text.into_owned(),
        })
}

/// An empty memo asks for nothing, as the reference has it.
fn memo(stated: Option<Text<'_>>) -> Result<Option<Cow<'_, str>>, Malformed> {
    let memo = stated.map(|text| text.0).filter(|text| !text.is_empty());
    // A record's text has no place for U+0000.
    if memo
        .as_ref()
        .is_some_and(|memo| memo.len() > MEMO_BYTES_MAX || memo.contains('\0'))
    {
        return Err(malformed(format!("{EXTRA}.memo"), MEMO));
    }
    Ok(memo)
}
