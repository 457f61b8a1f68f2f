//! Answers as JSON. Official clients take a body that lacks a required field for a fault of the facilitator, so
//! every answer, errors included, has them all.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::id::PaymentId;
use crate::domain::network::RailId;
use crate::domain::outcome::Outcome;
use crate::domain::rail::Advertised;
use crate::domain::rejection::Rejection;
use crate::wire::reason::{self, Complaint, Family};
use crate::wire::{Dialect, extensions, json, names};

/// Bytes in a message for people. The reference facilitator cuts at 500 characters.
const MESSAGE_MAX: usize = 500;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict<'a> {
    is_valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settlement<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<&'a str>,
    transaction: &'a str,
    network: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Extra>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extra {
    payment_id: PaymentId,
}

/// The answer to `/verify`. `network` is the request's own text for it, from [`crate::wire::Envelope`]. A refusal carries its reason in the dialect's words and a message that begins with a
/// code of our own.
#[must_use]
pub fn encode_verify(dialect: Dialect, network: &str, payer: Option<&str>, verdict: &Result<(), Rejection>) -> Vec<u8> {
    let family = Family::of(dialect, network);
    let refusal = verdict.as_ref().err();
    json::bytes(&Verdict {
        is_valid: refusal.is_none(),
        invalid_reason: refusal.map(|it| reason::verify_reason(family, dialect, it)),
        invalid_message: refusal.map(|it| bounded(format!("{}: {it}", reason::code(it)))),
        payer,
    })
}

/// The answer to `/settle`. `network` is the request's own text for it, from [`crate::wire::Envelope`].
#[must_use]
pub fn encode_settle(dialect: Dialect, network: &str, outcome: &Outcome) -> Vec<u8> {
    let (payment, payer, tx) = match outcome {
        Outcome::Settled { payment, payer, tx } => (Some(*payment), Some(payer), Some(tx)),
        Outcome::Refused { payer, .. } => (None, payer.as_ref(), None),
        Outcome::SetBack { payment, payer, .. }
        | Outcome::Failed { payment, payer, .. }
        | Outcome::Pending { payment, payer, .. } => (Some(*payment), Some(payer), None),
        Outcome::Duplicate { payer, .. } => (None, Some(payer), None),
    };
    let shortfall = reason::shortfall(Family::of(dialect, network), dialect, outcome);
    let tx = tx.or_else(|| shortfall.as_ref().and_then(|it| it.tx));
    json::bytes(&Settlement {
        success: shortfall.is_none(),
        error_reason: shortfall.as_ref().map(|it| it.reason),
        error_message: shortfall
            .as_ref()
            .map(|it| bounded(format!("{}: {}", it.code, it.text))),
        payer: payer.map(String::as_str),
        transaction: tx.map_or("", |it| it.0.as_str()),
        network,
        extra: payment.map(|payment_id| Extra { payment_id }),
    })
}

/// The answer to a `/verify` that got no verdict.
#[must_use]
pub fn encode_verify_error(complaint: Complaint, message: &str) -> Vec<u8> {
    json::bytes(&Verdict {
        is_valid: false,
        invalid_reason: Some(complaint.verify_reason()),
        invalid_message: Some(bounded(message.to_owned())),
        payer: None,
    })
}

/// The answer to a `/settle` that got no outcome. `network` as far as it could be read, see
/// [`crate::wire::network_text`].
#[must_use]
pub fn encode_settle_error(complaint: Complaint, message: &str, network: &str) -> Vec<u8> {
    json::bytes(&Settlement {
        success: false,
        error_reason: Some(complaint.settle_reason()),
        error_message: Some(bounded(message.to_owned())),
        payer: None,
        transaction: "",
        network,
        extra: None,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kind<'a> {
    #[serde(rename = "x402Version")]
    version: u8,
    scheme: &'a str,
    network: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Supported<'a> {
    kinds: Vec<Kind<'a>>,
    extensions: [&'static str; 1],
    signers: BTreeMap<String, BTreeSet<&'a str>>,
}

/// The answer to `/supported`: for each rail one row a version that can name its network, and the addresses that
/// send its transactions, by chain family (`eip155:*`). A rail without such an address cannot be paid on and is left
/// out.
#[must_use]
pub fn encode_supported(rails: &[(&RailId, Advertised)]) -> Vec<u8> {
    let mut kinds = Vec::new();
    let mut signers: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (rail, advertised) in rails.iter().filter(|(_, it)| !it.signers.is_empty()) {
        let extra = advertised.extra.as_deref().and_then(|it| serde_json::from_str(it).ok());
        let scheme = rail.scheme.as_str();
        kinds.push(Kind {
            version: 2,
            scheme,
            network: rail.network.as_str(),
            extra,
        });
        if let Some(network) = names::name_of(&rail.network) {
            kinds.push(Kind {
                version: 1,
                scheme,
                network,
                extra,
            });
        }
        let family = signers.entry(format!("{}:*", rail.network.namespace())).or_default();
        family.extend(advertised.signers.iter().map(String::as_str));
    }
    json::bytes(&Supported {
        kinds,
        extensions: extensions::SUPPORTED,
        signers,
    })
}

fn bounded(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_MAX));
    message
}
