//! Payments as they may arrive: what is read out of good ones, and where bad ones are said to be wrong.

use serde_json::{Value, json};

use super::*;
use crate::chain::evm::settings::Settings;
use crate::domain::network::{RailId, Scheme};
use crate::domain::request::{Offer, Proof, Resource, Terms};

const USDC: &str = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const PAYEE: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
const FACTORY: Address = Address::repeat_byte(0xfa);
const OURS: Address = Address::repeat_byte(0x0e);

/// Made with viem 2.57 (`signTypedData`) by anvil's second account.
const GOOD: &str = "0xf57d9441ce2e22eaedf41fd437610391a883ccc7fc18e6c1105eae35c158b73c\
                    5e2ce069ecf8fd00792ad59e33b2d4e74bbe0415780369fb0768110ab75dc14d1b";

fn listing() -> Listing {
    let settings: Settings = serde_json::from_value(json!({
        "id": "eip155:84532", "rpc_url": "http://localhost", "signers": ["0x"], "block_time_ms": 1000,
        "fee_max_gwei": 1, "factories": [FACTORY.to_string()],
        "budget": {
            "total": { "minute": "unlimited", "day": "unlimited" },
            "signer": { "minute": "unlimited", "day": "unlimited" },
            "payer": { "minute": "unlimited", "day": "unlimited" },
        },
        "asset": [{ "address": USDC, "name": "USDC", "version": "2", "symbol": "USDC", "decimals": 6 }],
    }))
    .unwrap();
    Listing::new(&settings, 84_532, vec![OURS])
}

fn proof() -> Value {
    json!({
        "signature": GOOD,
        "authorization": {
            "from": PAYER, "to": PAYEE, "value": "10000", "validAfter": "0", "validBefore": "1760000000",
            "nonce": format!("0x{}", "ab".repeat(32)),
        },
    })
}

fn request(proof: &str, extra: Option<&str>) -> PaymentRequest {
    let rail = RailId {
        scheme: Scheme::exact(),
        network: "eip155:84532".parse().unwrap(),
    };
    let terms = Terms {
        asset: USDC.into(),
        pay_to: PAYEE.into(),
        amount: Amount::from_units(10_000),
        timeout_seconds: 60,
        extra: extra.map(Into::into),
    };
    PaymentRequest {
        offer: Offer {
            scheme: rail.scheme.clone(),
            network: Some(rail.network.clone()),
            terms: terms.clone(),
        },
        rail,
        terms,
        proof: Proof(proof.into()),
        resource: Resource::default(),
        references: Vec::new(),
        labels: crate::domain::labels::Labels::default(),
        tenant: crate::domain::tenant::TenantId::SOLE,
        envelope: "test",
    }
}

const EXTRA: &str = r#"{"name":"USDC","version":"2"}"#;

fn decoded(proof: &Value, extra: &str) -> Result<Authorization, Refused> {
    decode(&listing(), &request(&proof.to_string(), Some(extra)))
}

fn body_of(authorization: &Authorization) -> Body {
    Body::decode(&authorization.body).unwrap()
}

#[test]
fn a_good_payment_is_read_whole() {
    let authorization = decoded(&proof(), EXTRA).unwrap();
    assert_eq!(authorization.payer, PAYER);
    assert_eq!(authorization.pay_to, PAYEE);
    assert_eq!(authorization.asset, USDC);
    assert_eq!(authorization.amount.units(), 10_000);
    assert_eq!(authorization.nonce, format!("0x{}", "ab".repeat(32)));
    assert!(matches!(
        authorization.window,
        Window::Time {
            before: Timestamp(1_760_000_000),
            ..
        }
    ));
    let body = body_of(&authorization);
    assert!(body.is_recovered && body.stated.is_none());
    assert_eq!(format!("0x{}", hex::encode(&body.signature)), GOOD);
    let key = key_of(
        &listing(),
        &USDC.to_lowercase(),
        &PAYER.to_lowercase(),
        &authorization.nonce,
    )
    .unwrap();
    assert_eq!(key, authorization.key);
}

#[test]
fn one_authorization_has_one_body_however_it_is_written() {
    let body = decoded(&proof(), EXTRA).unwrap().body;
    let mut other = proof();
    other["authorization"]["from"] = json!(PAYER.to_lowercase());
    other["authorization"]["nonce"] = json!(format!("0x{}", "AB".repeat(32)));
    other["signature"] = json!(format!("{}00", GOOD.strip_suffix("1b").unwrap()));
    other["unknown"] = json!([1, 2, 3]);
    assert_eq!(
        decoded(&other, r#" { "version" : "2", "name" : "\u0055SDC", "more" : null } "#)
            .unwrap()
            .body,
        body
    );
}

#[test]
fn whatever_is_wrong_is_named_by_its_path() {
    let long = format!("0x{}", "00".repeat(16 * 1024 + 1));
    let cases = [
        ("/signature", json!(null), "signature"),
        ("/signature", json!(5), "signature"),
        ("/signature", json!(""), "signature"),
        ("/signature", json!("0x123"), "signature"),
        ("/signature", json!("0xzz"), "signature"),
        ("/signature", json!(long), "signature"),
        ("/authorization", json!(null), "authorization"),
        ("/authorization", json!("0x"), "authorization"),
        (
            "/authorization",
            json!([PAYER, PAYEE, "1", "0", "1", "0x"]),
            "authorization",
        ),
        ("/authorization/from", json!(null), "authorization.from"),
        ("/authorization/from", json!(&PAYER[2..]), "authorization.from"),
        ("/authorization/from", json!("0x00"), "authorization.from"),
        ("/authorization/to", json!(format!("{PAYEE}00")), "authorization.to"),
        (
            "/authorization/to",
            json!(PAYEE.replace("0x", "0X")),
            "authorization.to",
        ),
        ("/authorization/value", json!(10_000), "authorization.value"),
        ("/authorization/value", json!("010000"), "authorization.value"),
        ("/authorization/value", json!("0x2710"), "authorization.value"),
        ("/authorization/value", json!("-1"), "authorization.value"),
        (
            "/authorization/value",
            json!("340282366920938463463374607431768211456"),
            "authorization.value",
        ),
        ("/authorization/validAfter", json!(0), "authorization.validAfter"),
        ("/authorization/validAfter", json!("00"), "authorization.validAfter"),
        (
            "/authorization/validBefore",
            json!("18446744073709551616"),
            "authorization.validBefore",
        ),
        ("/authorization/nonce", json!("0x01"), "authorization.nonce"),
        ("/authorization/nonce", json!("ab".repeat(32)), "authorization.nonce"),
        (
            "/authorization/nonce",
            json!(format!("0x{}", "ab".repeat(33))),
            "authorization.nonce",
        ),
    ];
    for (pointer, value, path) in cases {
        let mut proof = proof();
        *proof.pointer_mut(pointer).unwrap() = value.clone();
        let refused = decoded(&proof, EXTRA).unwrap_err();
        let Refused::Malformed(malformed) = refused else {
            panic!("{pointer} {value}: {refused:?}")
        };
        assert_eq!(malformed.path, format!("paymentPayload.payload.{path}"), "{value}");
        assert!(!malformed.expected.is_empty());
    }
}

#[test]
fn text_that_is_not_one_plain_object_is_refused() {
    let twice = proof().to_string().replace(
        "{\"authorization\"",
        &format!("{{\"signature\":\"{GOOD}\",\"authorization\""),
    );
    let nonce_twice = proof().to_string().replace("\"nonce\":", "\"nonce\":\"0x\",\"nonce\":");
    for (text, path, expected) in [
        ("", "", "well-formed JSON"),
        ("null", "", "an object"),
        ("[]", "", "an object"),
        ("{}x", "", "one JSON object and nothing after it"),
        (twice.as_str(), "", "each key once"),
        (nonce_twice.as_str(), ".authorization", "each key once"),
    ] {
        let refused = decode(&listing(), &request(text, Some(EXTRA))).unwrap_err();
        let Refused::Malformed(malformed) = refused else {
            panic!("{text}: {refused:?}")
        };
        assert!(
            malformed.path.starts_with(&format!("paymentPayload.payload{path}")),
            "{malformed:?}"
        );
        assert_eq!(malformed.expected, expected, "{text}");
    }
}

#[test]
fn terms_are_named_by_their_own_paths() {
    type Change = fn(&mut PaymentRequest);
    let cases: [(Change, &str); 5] = [
        (|r| r.terms.asset = "USDC".into(), "paymentRequirements.asset"),
        (|r| r.terms.pay_to = "merchant".into(), "paymentRequirements.payTo"),
        (|r| r.terms.extra = Some("[]".into()), "paymentRequirements.extra"),
        (
            |r| r.terms.extra = Some(r#"{"name":5}"#.into()),
            "paymentRequirements.extra.name",
        ),
        (
            |r| r.terms.extra = Some(r#"{"name":"a","name":"b"}"#.into()),
            "paymentRequirements.extra",
        ),
    ];
    for (change, path) in cases {
        let mut request = request(&proof().to_string(), Some(EXTRA));
        change(&mut request);
        let refused = decode(&listing(), &request).unwrap_err();
        let Refused::Malformed(malformed) = refused else {
            panic!("{path}: {refused:?}")
        };
        assert!(malformed.path.starts_with(path), "{malformed:?}");
    }
    for (asset, payer, nonce, path) in [
        ("x", PAYER, "", "asset"),
        (USDC, "x", "", "payer"),
        (USDC, PAYER, "0x", "nonce"),
    ] {
        assert_eq!(key_of(&listing(), asset, payer, nonce).unwrap_err().path, path);
    }
}

#[test]
fn a_domain_is_asked_for_and_a_strange_one_is_kept() {
    let missing = |extra: Option<&str>| decode(&listing(), &request(&proof().to_string(), extra)).unwrap_err();
    for (extra, missing_key) in [
        (None, "name"),
        (Some("null"), "name"),
        (Some("{}"), "name"),
        (Some(r#"{"name":"","version":"2"}"#), "name"),
        (Some(r#"{"name":null,"version":"2"}"#), "name"),
        (Some(r#"{"name":"USDC"}"#), "version"),
    ] {
        let expected = Rejection::MissingDomain { missing: missing_key };
        assert_eq!(missing(extra), Refused::Rejected(expected), "{extra:?}");
    }
    let body = body_of(&decoded(&proof(), r#"{"name":"USD Coin","version":"2"}"#).unwrap());
    assert_eq!(body.stated.unwrap().name, "USD Coin");
    assert!(!body.is_recovered, "signed under another domain");
    let other_asset = {
        let mut request = request(&proof().to_string(), Some(EXTRA));
        request.terms.asset = FACTORY.to_string();
        body_of(&decode(&listing(), &request).unwrap())
    };
    assert!(
        other_asset.stated.is_some(),
        "an asset that is not listed has no domain but the stated one"
    );
}

#[test]
fn transfers_that_are_no_payment_are_refused() {
    type Change = fn(&mut PaymentRequest);
    let cases: [(Change, &str); 7] = [
        (|r| r.terms.pay_to = Address::ZERO.to_string(), "zero address"),
        (|r| r.terms.pay_to = USDC.to_lowercase(), "the asset itself"),
        (|r| r.terms.pay_to = OURS.to_string(), "of this facilitator"),
        (|r| r.terms.pay_to = PAYER.into(), "same account"),
        (|r| r.terms.amount = Amount::ZERO, "amount of zero"),
        (
            |r| r.terms.extra = Some(r#"{"name":"USDC","version":"2","assetTransferMethod":"permit2"}"#.into()),
            "assetTransferMethod",
        ),
        (
            |r| r.proof = Proof(r#"{"signature":"0x","permit2Authorization":{}}"#.into()),
            "Permit2",
        ),
    ];
    for (change, words) in cases {
        let mut request = request(&proof().to_string(), Some(EXTRA));
        change(&mut request);
        let refused = decode(&listing(), &request).unwrap_err();
        let Refused::Rejected(Rejection::Unacceptable(said)) = &refused else {
            panic!("{words}: {refused:?}")
        };
        assert!(said.contains(words), "{said}");
    }
    let named = r#"{"name":"USDC","version":"2","assetTransferMethod":"eip3009"}"#;
    assert!(decoded(&proof(), named).is_ok());
}

#[test]
fn signatures_keep_their_bytes_unless_they_are_the_payers_own() {
    let signed = |signature: String| {
        let mut proof = proof();
        proof["signature"] = json!(signature);
        decoded(&proof, EXTRA)
    };
    for other in [
        format!("0x{}", "11".repeat(64)),
        format!("0x{}00", "11".repeat(64)),
        "0x".into(),
    ] {
        let body = body_of(&signed(other.clone()).unwrap());
        assert!(!body.is_recovered);
        assert_eq!(format!("0x{}", hex::encode(&body.signature)), other);
    }
    let wrapped = |factory: Address| {
        use alloy::sol_types::SolValue;
        let inner = Bytes::from(vec![7; 66]);
        let wrapper = (factory, Bytes::from(vec![1, 2, 3]), inner).abi_encode_params();
        format!("0x{}{}", hex::encode(wrapper), "6492".repeat(16))
    };
    let listed = body_of(&signed(wrapped(FACTORY)).unwrap());
    assert!(matches!(listed.wallet, Wallet::Deployable { factory, .. } if factory == FACTORY));
    assert_eq!(listed.signature.len(), 66);
    let unlisted = body_of(&signed(wrapped(OURS)).unwrap());
    assert!(matches!(unlisted.wallet, Wallet::Refused { factory } if factory == OURS));
    let empty = body_of(&signed(wrapped(Address::ZERO)).unwrap());
    assert!(matches!(empty.wallet, Wallet::AsIs));
    let torn = signed(format!("0x11{}", "6492".repeat(16))).unwrap_err();
    assert!(matches!(torn, Refused::Rejected(Rejection::InvalidSignature { .. })));
}
