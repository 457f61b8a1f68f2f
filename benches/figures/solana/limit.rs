//! The limit on Solana: parse the request and the transaction in it, check the payer's signature.
//!
//! The transaction is walked where it lies, without a library's types: no verification can do with less.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;
use solana_pubkey::Pubkey;

use crate::limit;
use crate::solana::payment::{TOKEN, VALUE};

/// Serves until the process that started this one has gone.
pub(crate) fn serve() {
    limit::serve(|body| serde_json::from_slice(body).is_ok_and(|request| judge(&request) == Some(true)));
}

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
    transaction: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terms {
    scheme: String,
    network: String,
    amount: String,
    asset: String,
    pay_to: String,
    max_timeout_seconds: u64,
    extra: Extra,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extra {
    fee_payer: String,
}

/// What is left to read of a transaction.
struct Rest<'a>(&'a [u8]);

struct Instruction<'a> {
    program: u8,
    accounts: &'a [u8],
    data: &'a [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    /// A length of one byte, or of two: no part of a transaction is longer.
    fn length(&mut self) -> Option<usize> {
        let low = self.byte()?;
        if low < 0x80 {
            return Some(low.into());
        }
        Some(usize::from(low & 0x7f) | usize::from(self.byte()?) << 7)
    }

    fn instruction(&mut self) -> Option<Instruction<'a>> {
        let program = self.byte()?;
        let accounts = self.length().and_then(|it| self.take(it))?;
        let data = self.length().and_then(|it| self.take(it))?;
        Some(Instruction {
            program,
            accounts,
            data,
        })
    }
}

fn judge(request: &Request) -> Option<bool> {
    let (asked, accepted) = (&request.payment_requirements, &request.payment_payload.accepted);
    let address = |text: &str| text.parse::<Pubkey>().ok();
    let (mint, fee_payer) = (address(&asked.asset)?, address(&asked.extra.fee_payer)?);

    let wire = BASE64_STANDARD
        .decode(&request.payment_payload.payload.transaction)
        .ok()?;
    let mut rest = Rest(&wire);
    let signatures = rest.length()?;
    let signatures = rest.take(signatures * 64)?;
    let message = rest.0;
    // Version 0, and the header.
    let [0x80, signers, _, _] = *rest.take(4)? else {
        return None;
    };
    let keys = rest.length()?;
    let keys: Vec<&[u8]> = rest.take(keys * 32)?.chunks(32).collect();
    rest.take(32)?;
    let count = rest.length()?;
    let instructions: Vec<Instruction<'_>> = (0..count).map_while(|_| rest.instruction()).collect();
    let lookups = rest.length()?;

    let transfer = instructions.iter().find(|it| it.data.first() == Some(&12))?;
    let account = |place: usize| keys.get(usize::from(*transfer.accounts.get(place)?)).copied();
    let payer: [u8; 32] = account(3)?.try_into().ok()?;
    let signature: [u8; 64] = signatures.get(64..128)?.try_into().ok()?;
    let is_signed = VerifyingKey::from_bytes(&payer)
        .ok()?
        .verify_strict(message, &Signature::from_bytes(&signature))
        .is_ok();

    let is_agreed = asked.scheme == accepted.scheme
        && asked.network == accepted.network
        && asked.asset == accepted.asset
        && asked.amount == accepted.amount
        && asked.pay_to == accepted.pay_to
        && asked.max_timeout_seconds > 0;
    let is_transfer = instructions.len() == count
        && lookups == 0
        && rest.0.is_empty()
        && signers == 2
        && keys.get(1) == Some(&payer.as_slice())
        && keys.first() == Some(&fee_payer.as_array().as_slice())
        && keys.get(usize::from(transfer.program)) == Some(&TOKEN.as_array().as_slice())
        && account(1)? == mint.as_array()
        && transfer.data.get(1..9)? == VALUE.to_le_bytes();
    Some(is_signed && is_agreed && is_transfer)
}
