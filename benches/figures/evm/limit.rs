//! The limit on EVM chains: parse, hash the authorization, recover its signer.

use std::str::FromStr;

use alloy::primitives::{Address, B256, U256};
use secp256k1::SECP256K1;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use serde::Deserialize;

use crate::evm::payment::{self, Chain};
use crate::limit;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    payment_payload: Payload,
    payment_requirements: Terms,
}

#[derive(Deserialize)]
struct Payload {
    accepted: Terms,
    payload: Proof,
}

#[derive(Deserialize)]
struct Proof {
    signature: String,
    authorization: Authorization,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    from: Address,
    to: Address,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: B256,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terms {
    scheme: String,
    network: String,
    amount: String,
    asset: Address,
    pay_to: Address,
    max_timeout_seconds: u64,
    extra: Extra,
}

#[derive(Deserialize)]
struct Extra {
    name: String,
    version: String,
}

struct Domain {
    separator: B256,
    transfer_type: B256,
}

/// Serves until the process that started this one has gone.
pub(crate) fn serve() {
    let chain = Chain::load();
    let domain = Domain {
        separator: chain.separator(),
        transfer_type: payment::transfer_type(),
    };
    limit::serve(move |body| serde_json::from_slice(body).is_ok_and(|request| judge(&domain, &request) == Some(true)));
}

fn judge(domain: &Domain, request: &Request) -> Option<bool> {
    let (asked, accepted) = (&request.payment_requirements, &request.payment_payload.accepted);
    let proof = &request.payment_payload.payload;
    let said = &proof.authorization;
    let number = |text: &str| U256::from_str(text).ok();
    let digest = payment::digest(
        domain.separator,
        (
            domain.transfer_type,
            said.from,
            said.to,
            number(&said.value)?,
            number(&said.valid_after)?,
            number(&said.valid_before)?,
            said.nonce,
        ),
    );
    let mut bytes = [0; 65];
    hex::decode_to_slice(proof.signature.strip_prefix("0x")?, &mut bytes).ok()?;
    let (v, compact) = bytes.split_last()?;
    let id = RecoveryId::try_from(i32::from(*v) - 27).ok()?;
    let signature = RecoverableSignature::from_compact(compact, id).ok()?;
    let message = secp256k1::Message::from_digest(*digest);
    let signer = SECP256K1.recover_ecdsa(message, &signature).ok()?;
    let is_signed = Address::from_raw_public_key(&signer.serialize_uncompressed()[1..]) == said.from;
    let is_agreed = asked.scheme == accepted.scheme
        && asked.network == accepted.network
        && asked.asset == accepted.asset
        && asked.amount == accepted.amount
        && asked.pay_to == said.to
        && asked.max_timeout_seconds > 0
        && !asked.extra.name.is_empty()
        && !asked.extra.version.is_empty();
    Some(is_signed && is_agreed)
}
