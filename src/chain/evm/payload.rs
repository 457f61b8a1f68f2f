//! The `exact` scheme's payload on EVM (EIP-3009 method), from JSON text to an authorization.
//!
//! No number has two spellings, and whatever is wrong is said with its path in the caller's request. All that can be
//! checked without the chain and without a clock is checked here.

use alloy::primitives::{Address, B256, Bytes};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::body::{Body, Domain, Wallet};
use super::eip3009;
use super::listing::{Listing, checksummed};
use super::settings::parse_address;
use super::signature::{self, Unwrapped};
use crate::chain::json::{EXTRA, Object, PAYLOAD, Text, malformed, read};
use crate::domain::amount::Amount;
use crate::domain::authorization::{Authorization, PaymentKey, Window};
use crate::domain::rejection::{Malformed, Refused, Rejection};
use crate::domain::request::PaymentRequest;
use crate::domain::time::Timestamp;
use crate::seeded::Bug;

/// The longest signature, wrapper included: room for every known wallet, and for two copies of it within the
/// 48 KiB of one question to the chain.
const SIGNATURE_BYTES_MAX: usize = 16 * 1024;

const ADDRESS: &str = "an address: 0x and 40 hexadecimal digits";
const NONCE: &str = "32 bytes: 0x and 64 hexadecimal digits";
const SECONDS: &str = "Unix seconds: a decimal string without sign or leading zero, below 2^64";
const UNITS: &str = "atomic units: a decimal string without sign or leading zero, below 2^128";
const SIGNATURE: &str = "a signature: 0x and an even number of hexadecimal digits, at most 16 KiB";

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    authorization: Option<Object<Transfer<'a>>>,
    #[serde(rename = "permit2Authorization")]
    permit2: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transfer<'a> {
    #[serde(borrow)]
    from: Option<Text<'a>>,
    #[serde(borrow)]
    to: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Text<'a>>,
    #[serde(borrow)]
    valid_after: Option<Text<'a>>,
    #[serde(borrow)]
    valid_before: Option<Text<'a>>,
    #[serde(borrow)]
    nonce: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Extra<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    version: Option<Text<'a>>,
    #[serde(borrow)]
    asset_transfer_method: Option<Text<'a>>,
}

/// Reads a payment's proof and terms, and applies every rule that needs no chain and no clock.
///
/// # Errors
/// [`Refused::Malformed`] names the field; [`Refused::Rejected`] the rule.
pub(super) fn decode(listing: &Listing, request: &PaymentRequest) -> Result<Authorization, Refused> {
    let terms = &request.terms;
    let extra = match terms.extra.as_deref() {
        Some(text) => read::<Option<Object<Extra<'_>>>>(text, EXTRA)?.map_or_else(Extra::default, |it| it.0),
        None => Extra::default(),
    };
    let payload = read::<Object<Payload<'_>>>(&request.proof.0, PAYLOAD)?.0;
    check_method(&extra, &payload)?;

    let token = address(Some(&terms.asset), || "paymentRequirements.asset".into())?;
    let pay_to = address(Some(&terms.pay_to), || "paymentRequirements.payTo".into())?;
    let signature = signature_bytes(payload.signature.as_ref())?;
    let Some(Object(transfer)) = payload.authorization else {
        return Err(malformed(format!("{PAYLOAD}.authorization"), "an object").into());
    };
    let mut body = transfer.read(token)?;
    let domain = domain(extra)?;
    check_parties(listing, &body, pay_to, terms.amount)?;

    let unwrapped = signature::unwrap(signature).map_err(|_| Rejection::InvalidSignature {
        payer: checksummed(&body.from),
    })?;
    let is_listed = listing.asset(&token).is_some_and(|asset| asset.domain == domain);
    body.stated = (!is_listed).then_some(domain);
    sign_off(listing, &mut body, unwrapped);
    Ok(authorization(listing, &body))
}

/// The key of the authorization with these coordinates.
///
/// # Errors
/// Names the coordinate that is not of this rail's form.
pub(super) fn key_of(listing: &Listing, asset: &str, payer: &str, nonce: &str) -> Result<PaymentKey, Malformed> {
    let token = address(Some(asset), || "asset".into())?;
    let from = address(Some(payer), || "payer".into())?;
    let nonce = word(Some(nonce), || "nonce".into())?;
    Ok(eip3009::payment_key(&listing.network, token, from, nonce))
}

fn check_method(extra: &Extra<'_>, payload: &Payload<'_>) -> Result<(), Rejection> {
    let method = extra.asset_transfer_method.as_ref().map(|it| it.0.as_ref());
    if method.is_some_and(|method| method != "eip3009") {
        return Err(Rejection::Unacceptable(
            "paymentRequirements.extra.assetTransferMethod must be absent or eip3009: no other method is settled here"
                .into(),
        ));
    }
    if payload.permit2.is_some() {
        return Err(Rejection::Unacceptable(
            "paymentPayload.payload.permit2Authorization is a Permit2 payment: only EIP-3009 ones are settled here"
                .into(),
        ));
    }
    Ok(())
}

/// Transfers that are no payment, whoever signs them. Judged by the requirements, since an authorization to
/// somebody else is refused for that soon after.
fn check_parties(listing: &Listing, body: &Body, pay_to: Address, amount: Amount) -> Result<(), Rejection> {
    let complaint = if pay_to.is_zero() {
        "paymentRequirements.payTo is the zero address"
    } else if pay_to == body.token {
        "paymentRequirements.payTo is the asset itself"
    } else if listing.signers.contains(&pay_to) {
        "paymentRequirements.payTo is an account of this facilitator"
    } else if body.from == pay_to {
        "the payer and paymentRequirements.payTo are the same account"
    } else if amount == Amount::ZERO {
        "paymentRequirements asks for an amount of zero"
    } else {
        return Ok(());
    };
    Err(Rejection::Unacceptable(complaint.into()))
}

fn domain(extra: Extra<'_>) -> Result<Domain, Rejection> {
    let given = |text: Option<Text<'_>>, missing| match text {
        Some(Text(text)) if !text.is_empty() => Ok(text.into_owned()),
        Some(_) | None => Err(Rejection::MissingDomain { missing }),
    };
    Ok(Domain {
        name: given(extra.name, "name")?,
        version: given(extra.version, "version")?,
    })
}

/// Puts the signature into the body: in the form that tokens take if it is the payer's own, else as it came, for
/// the payer's code to judge.
fn sign_off(listing: &Listing, body: &mut Body, unwrapped: Unwrapped) {
    let Unwrapped { inner, deployment } = unwrapped;
    let own = listing
        .separator(body.token, body.stated.as_ref())
        .map(|separator| eip3009::digest(body, separator))
        .and_then(|digest| signature::recovered(&inner, &digest, &body.from));
    body.is_recovered = own.is_some();
    body.signature = own.map_or(inner, Bytes::from);
    body.wallet = match deployment {
        None => Wallet::AsIs,
        Some((factory, call)) if listing.factories.contains(&factory) => Wallet::Deployable { factory, call },
        Some((factory, _)) => Wallet::Refused { factory },
    };
}

fn authorization(listing: &Listing, body: &Body) -> Authorization {
    Authorization {
        payer: checksummed(&body.from),
        pay_to: checksummed(&body.to),
        asset: checksummed(&body.token),
        amount: Amount::from_units(body.value),
        nonce: format!("0x{}", hex::encode(body.nonce)),
        window: Window::Time {
            after: Timestamp(body.valid_after),
            before: Timestamp(body.valid_before),
        },
        signer: None,
        memo: None,
        key: if Bug::KeyNamesSignature.is_on() {
            eip3009::payment_key(
                &listing.network,
                body.token,
                body.from,
                alloy::primitives::keccak256(&body.signature),
            )
        } else {
            eip3009::payment_key(&listing.network, body.token, body.from, body.nonce)
        },
        body: body.encode(),
    }
}

impl Transfer<'_> {
    /// The transfer, not signed yet.
    fn read(&self, token: Address) -> Result<Body, Malformed> {
        let path = |field: &'static str| move || format!("{PAYLOAD}.authorization.{field}");
        Ok(Body {
            token,
            from: address(str_of(self.from.as_ref()), path("from"))?,
            to: address(str_of(self.to.as_ref()), path("to"))?,
            value: decimal(self.value.as_ref()).ok_or_else(|| malformed(path("value")(), UNITS))?,
            valid_after: seconds(self.valid_after.as_ref(), path("validAfter"))?,
            valid_before: seconds(self.valid_before.as_ref(), path("validBefore"))?,
            nonce: word(str_of(self.nonce.as_ref()), path("nonce"))?,
            signature: Bytes::new(),
            is_recovered: false,
            wallet: Wallet::AsIs,
            stated: None,
        })
    }
}

fn str_of<'t>(text: Option<&'t Text<'_>>) -> Option<&'t str> {
    text.map(|it| it.0.as_ref())
}

fn address(text: Option<&str>, path: impl FnOnce() -> String) -> Result<Address, Malformed> {
    text.and_then(parse_address).ok_or_else(|| malformed(path(), ADDRESS))
}

fn word(text: Option<&str>, path: impl FnOnce() -> String) -> Result<B256, Malformed> {
    let digits = text.and_then(|text| text.strip_prefix("0x")).unwrap_or_default();
    let mut bytes = [0; 32];
    match hex::decode_to_slice(digits, &mut bytes) {
        Ok(()) => Ok(B256::new(bytes)),
        Err(_) => Err(malformed(path(), NONCE)),
    }
}

/// A canonical decimal: digits only, no sign, no leading zero.
fn decimal(text: Option<&Text<'_>>) -> Option<u128> {
    str_of(text)?.parse::<Amount>().ok().map(Amount::units)
}

fn seconds(text: Option<&Text<'_>>, path: impl FnOnce() -> String) -> Result<u64, Malformed> {
    decimal(text)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .ok_or_else(|| malformed(path(), SECONDS))
}

fn signature_bytes(text: Option<&Text<'_>>) -> Result<Vec<u8>, Malformed> {
    str_of(text)
        .and_then(|text| text.strip_prefix("0x"))
        .filter(|digits| digits.len() / 2 <= SIGNATURE_BYTES_MAX)
        .and_then(|digits| hex::decode(digits).ok())
        .ok_or_else(|| malformed(format!("{PAYLOAD}.signature"), SIGNATURE))
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
