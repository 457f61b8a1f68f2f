//! The `exact` scheme's payload on Solana, from JSON text to an authorization.
//!
//! All that can be checked without the chain and without a clock is checked here, in the order of x402's reference
//! facilitator. Nothing here holds a key: a payment that is only verified is never signed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use solana_pubkey::Pubkey;

use super::body::{Body, Kind};
use super::instructions;
use super::listing::Listing;
use super::smart_wallet;
use super::terms::{Asked, address};
use super::transaction::{BYTES_MAX, Transaction};
use crate::chain::json::{Object, PAYLOAD, Text, malformed, read};
use crate::domain::authorization::{Authorization, PaymentKey, Window};
use crate::domain::flaw::Flaw;
use crate::domain::rejection::{Malformed, Refused, Rejection};
use crate::domain::request::PaymentRequest;

/// As many characters as the longest transaction has in base64.
const TEXT_MAX: usize = BYTES_MAX.div_ceil(3) * 4;

const TRANSACTION: &str = "a string: a serialized transaction in base64";
const MESSAGE_HASH: &str = "the SHA-256 of a transaction's message: 64 hexadecimal digits";

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    transaction: Option<Text<'a>>,
}

/// Reads a payment's proof and terms, and applies every rule that needs no chain and no clock.
///
/// # Errors
/// [`Refused::Malformed`] names the field; [`Refused::Rejected`] the rule.
pub(super) fn decode(listing: &Listing, request: &PaymentRequest) -> Result<Authorization, Refused> {
    let asked = Asked::read(listing, &request.terms)?;
    let payload = read::<Object<Payload<'_>>>(&request.proof.0, PAYLOAD)?.0;
    let Some(Text(text)) = payload.transaction else {
        return Err(malformed(format!("{PAYLOAD}.transaction"), TRANSACTION).into());
    };
    let transaction = open(&text).map_err(|why| Rejection::Flawed(Flaw::Undecodable { why }))?;
    check_signers(listing, &asked, &transaction).map_err(Rejection::Flawed)?;
    let judged = match instructions::judge(listing, &asked, &transaction) {
        Ok(transfer) => {
            let body = Body::of(transaction, &transfer, asked.pay_to);
            Ok(authorization(listing, &asked, &transfer.authority, &body))
        }
        Err(Rejection::Flawed(flaw)) if listing.smart_wallets && layout_failed(&flaw) => {
            smart_wallet(listing, &asked, transaction)
        }
        Err(rejection) => Err(rejection),
    };
    Ok(judged?)
}

/// The key of the authorization with these coordinates. Asset and payer make no difference to it: the message holds
/// both.
///
/// # Errors
/// Names the coordinate that is not of this rail's form.
pub(super) fn key_of(listing: &Listing, asset: &str, payer: &str, nonce: &str) -> Result<PaymentKey, Malformed> {
    address(asset, "asset")?;
    address(payer, "payer")?;
    let mut message_hash = [0; 32];
    hex::decode_to_slice(nonce, &mut message_hash).map_err(|_| malformed("nonce", MESSAGE_HASH))?;
    Ok(PaymentKey::of_solana(&listing.network, &message_hash))
}

fn open(text: &str) -> Result<Transaction, &'static str> {
    if text.len() > TEXT_MAX {
        return Err("it is longer than 1232 bytes");
    }
    let wire = STANDARD.decode(text).map_err(|_| "it is not in base64")?;
    Transaction::parse(&wire)
}

/// Who signs: not more than we pay for, our fee payer first, and everybody else already has.
fn check_signers(listing: &Listing, asked: &Asked<'_>, transaction: &Transaction) -> Result<(), Flaw> {
    let (found, max) = (transaction.required_signatures(), listing.bounds.signatures_max);
    if found > max {
        return Err(Flaw::TooManySigners { found, max });
    }
    if *transaction.fee_payer() != asked.fee_payer {
        return Err(Flaw::FeePayerMismatch {
            expected: asked.fee_payer.to_string(),
            found: transaction.fee_payer().to_string(),
        });
    }
    transaction.check_signatures().map_err(|signer| Flaw::SignatureInvalid {
        signer: signer.to_string(),
    })
}

/// Whether the flaw only says that the payment is not made openly, so that it may be one of a smart wallet.
const fn layout_failed(flaw: &Flaw) -> bool {
    matches!(
        flaw,
        Flaw::LookupTables
            | Flaw::InstructionCount { .. }
            | Flaw::ComputeLimitMissing
            | Flaw::ComputePriceMissing
            | Flaw::NoTransfer
            | Flaw::UnknownInstruction { .. }
    )
}

/// The payment as one of a smart wallet. What is wrong with it as such is what the payer is told, as the reference
/// has it: whoever turns smart wallets on expects them.
fn smart_wallet(listing: &Listing, asked: &Asked<'_>, transaction: Transaction) -> Result<Authorization, Rejection> {
    let payer = smart_wallet::decode(listing, &transaction, asked.memo.as_deref())?;
    let asset = *instructions::listed(listing, asked)?;
    let body = Body {
        kind: Kind::SmartWallet,
        transaction,
        source: None,
        destination: listing.token_account(&asked.pay_to, &asset),
        owner: asked.pay_to,
        asset,
    };
    Ok(authorization(listing, asked, &payer, &body))
}

/// The authorization that a body is, in words common to all rails.
pub(super) fn authorization(listing: &Listing, asked: &Asked<'_>, payer: &Pubkey, body: &Body) -> Authorization {
    let message_hash = body.transaction.message_hash();
    Authorization {
        payer: payer.to_string(),
        pay_to: body.owner.to_string(),
        asset: body.asset.mint.to_string(),
        amount: asked.amount,
        nonce: hex::encode(message_hash),
        window: Window::Recent,
        signer: Some(body.transaction.fee_payer().to_string()),
        memo: asked.memo.as_deref().map(ToOwned::to_owned),
        key: PaymentKey::of_solana(&listing.network, &message_hash),
        body: body.encode(),
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "flaws_tests.rs"]
mod flaws_tests;

#[cfg(test)]
#[path = "order_tests.rs"]
mod order_tests;
