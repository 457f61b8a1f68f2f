//! Payments as they may arrive: what is read out of good ones, and where bad ones are said to be wrong. Numbers in
//! names of cases are those of the project's conformance list.

use serde_json::{Value, json};

use super::*;
use crate::chain::solana::body::Kind;
use crate::chain::solana::settings::TokenProgram;
use crate::chain::solana::trials::{
    Draft, MINT, MINT_2022, MINT_OTHER, OURS, PAY_TO, PAYER, PRICE, RETIRED, STRANGER, account, destination, key,
    lighthouse, listing, memo, reads, request, request_with, signs, source, transfer,
};
use crate::domain::amount::Amount;
use crate::domain::request::Terms;

/// Made with @x402/svm 2.27.0 (`ExactSvmScheme`, client): seed 3 pays 10,000 of [`MINT`] with the memo "order 17".
const OFFICIAL: &str = "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE+iKsYlB0GytH\
                        W6nNzsCLASlj+jYceeOlSGCRn4/XEfKeLIhRKRnZcI9TAI4TXGWCPmH8/LOYPFeyAP+jOXcIgAIBBAiKiOPddAnxlf1S2y08ul1y\
                        ymcJvx2UEhvzdIgBtA9vXO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfRVfrYUDwcTMIz1rajclqlUU/uq3ieryKWb3Ki\
                        2UMxyVuHKbWxJHUhKBulyUvzHASRo5HsxRS22LAAoNZK+YqABTtELLORIVfxOpM9ATQoLQMrX/7NAaLb8bd5BgjfAC6nAwZGb+Uh\
                        FzL/7K26csOb57yM5bvF9xJrLEObOkAAAAAFSlNamSkhBk0k6HFg2jh8fDW13bySu4HkH6hAQQVEjQbd9uHXZaGT2cvhRs7reawc\
                        tIXtX1s3kTqM9YV+/wCpBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcEBQAFAiBOAAAFAAkDAQAAAAAAAAAHBAIEAwEK\
                        DBAnAAAAAAAABgYACG9yZGVyIDE3AA==";

fn extra() -> Value {
    json!({ "feePayer": account(OURS).to_string() })
}

fn decoded(draft: &Draft) -> Result<Authorization, Refused> {
    decode(&listing(), &draft.request())
}

fn flawed(flaw: Flaw) -> Refused {
    Rejection::Flawed(flaw).into()
}

#[test]
fn the_official_clients_payment_is_read_whole() {
    let mut extra = extra();
    extra["memo"] = json!("order 17");
    let request = request_with(&json!({ "transaction": OFFICIAL }), &extra);
    let authorization = decode(&listing(), &request).unwrap();
    assert_eq!(authorization.payer, account(PAYER).to_string());
    assert_eq!(authorization.pay_to, PAY_TO.to_string());
    assert_eq!(authorization.asset, MINT.to_string());
    assert_eq!(authorization.amount, Amount::from_units(PRICE.into()));
    assert_eq!(authorization.window, Window::Recent);
    assert_eq!(authorization.signer, Some(account(OURS).to_string()));
    assert_eq!(authorization.memo.as_deref(), Some("order 17"));
    let body = Body::decode(&authorization.body).unwrap();
    assert_eq!(authorization.nonce, hex::encode(body.transaction.message_hash()));
    assert_eq!(body.kind, Kind::Static);
    assert_eq!(body.source, Some(source(MINT, TokenProgram::Token)));
    assert_eq!(body.destination, destination(MINT, TokenProgram::Token));
    assert_eq!((body.owner, Some(&body.asset)), (PAY_TO, listing().asset(&MINT)));
    let wire = STANDARD.decode(OFFICIAL).unwrap();
    assert_eq!(body.transaction.wire(), wire);
    let key = key_of(
        &listing(),
        &authorization.asset,
        &authorization.payer,
        &authorization.nonce,
    );
    assert_eq!(key, Ok(authorization.key));
}

/// Changes a good payment.
type Change = fn(&mut Draft);

#[test]
fn good_payments_of_every_form_are_accepted() {
    let legacy = Draft {
        is_legacy: true,
        ..Draft::good()
    };
    assert!(decoded(&legacy).is_ok());
    let forms: [(&str, Change); 6] = [
        ("no memo", |it| drop(it.calls.pop())),
        ("63: Lighthouse, then a memo", |it| {
            it.calls.insert(3, lighthouse(9));
        }),
        ("seven instructions", |it| {
            it.calls.extend([memo("a"), memo("b"), memo("c")]);
        }),
        ("a memo signed by the payer", |it| {
            it.calls[3].accounts = vec![signs(account(PAYER))];
        }),
        ("an idle third signer", |it| {
            it.idle = vec![signs(account(STRANGER))];
            it.keys.push(key(STRANGER));
        }),
        ("a multisig account's two members", |it| {
            let [payer, member] = [PAYER, STRANGER].map(|seed| signs(account(seed)));
            it.calls[2].accounts[3] = reads(MINT_OTHER);
            it.calls[2].accounts.extend([payer, member]);
            it.keys.push(key(STRANGER));
        }),
    ];
    for (what, change) in forms {
        let mut draft = Draft::good();
        change(&mut draft);
        let authorization = decoded(&draft).unwrap_or_else(|refused| panic!("{what}: {refused}"));
        let payer = draft.calls[2].accounts[3].address;
        assert_eq!(authorization.payer, payer.to_string(), "{what}");
        assert_eq!(authorization.memo, None, "{what}");
    }
    let mut other = Draft::paying(MINT_2022, TokenProgram::Token2022).request();
    other.terms.asset = MINT_2022.to_string();
    assert!(decode(&listing(), &other).is_ok(), "67: Token-2022");
    let mut retired = Draft::good();
    retired.fee_payer = account(RETIRED);
    let named = json!({ "feePayer": account(RETIRED).to_string() });
    let authorization = decode(&listing(), &request(&retired.wire(), &named)).unwrap();
    assert_eq!(authorization.signer, Some(account(RETIRED).to_string()));
}

#[test]
fn the_requirements_must_name_a_fee_payer_of_ours() {
    let wire = Draft::good().wire();
    let stranger = account(STRANGER).to_string();
    let missing = [
        json!({}),
        json!({ "feePayer": null }),
        json!({ "feePayer": 7 }),
        json!({ "feePayer": "" }),
    ];
    for extra in missing {
        let found = decode(&listing(), &request(&wire, &extra)).unwrap_err();
        assert_eq!(found, flawed(Flaw::FeePayerMissing), "55: {extra}");
    }
    let mut without = Draft::good().request();
    without.terms.extra = None;
    assert_eq!(decode(&listing(), &without).unwrap_err(), flawed(Flaw::FeePayerMissing));
    for text in [&stranger, "0", "not an address", " "] {
        let found = decode(&listing(), &request(&wire, &json!({ "feePayer": text }))).unwrap_err();
        assert_eq!(
            found,
            flawed(Flaw::FeePayerUnknown { found: text.into() }),
            "55: {text}"
        );
    }
}

#[test]
fn whatever_is_not_of_its_form_is_named_with_its_path() {
    let good = || request(&Draft::good().wire(), &extra());
    let with_extra = |text: &str| {
        let mut request = good();
        request.terms.extra = Some(text.into());
        request
    };
    let with_proof = |text: &str| {
        let mut request = good();
        request.proof.0 = text.into();
        request
    };
    let with_memo = |memo: Value| {
        let mut extra = extra();
        extra["memo"] = memo;
        with_extra(&extra.to_string())
    };
    let asset = PaymentRequest {
        terms: Terms {
            asset: "USDC".into(),
            ..good().terms
        },
        ..good()
    };
    let pay_to = PaymentRequest {
        terms: Terms {
            pay_to: format!("{PAY_TO}1"),
            ..good().terms
        },
        ..good()
    };
    let cases = [
        ("paymentRequirements.asset", asset),
        ("paymentRequirements.payTo", pay_to),
        ("paymentRequirements.extra", with_extra("[]")),
        ("paymentRequirements.extra.memo", with_memo(json!(7))),
        ("paymentRequirements.extra.memo", with_memo(json!({}))),
        ("paymentRequirements.extra.memo", with_memo(json!("x".repeat(257)))),
        ("paymentRequirements.extra.memo", with_memo(json!("é".repeat(129)))),
        ("paymentRequirements.extra.memo", with_memo(json!("a\u{0}b"))),
        ("paymentPayload.payload", with_proof("[]")),
        ("paymentPayload.payload", with_proof("\"AgAA\"")),
        ("paymentPayload.payload.transaction", with_proof("{}")),
        (
            "paymentPayload.payload.transaction",
            with_proof(r#"{"transaction":null}"#),
        ),
        ("paymentPayload.payload.transaction", with_proof(r#"{"transaction":5}"#)),
        (
            "paymentPayload.payload.transaction",
            with_proof(r#"{"transaction":["AgAA"]}"#),
        ),
    ];
    for (path, request) in cases {
        match decode(&listing(), &request) {
            Err(Refused::Malformed(malformed)) => assert_eq!(malformed.path, path),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn bytes_that_are_no_transaction_are_undecodable() {
    let good = STANDARD.encode(Draft::good().wire());
    let unpadded = good.trim_end_matches('=').to_owned();
    assert_ne!(unpadded, good, "the fixture must have padding for this to say anything");
    for (text, why) in [
        ("", "it is empty"),
        ("garbage!", "it is not in base64"),
        (&format!("{good} "), "it is not in base64"),
        (&unpadded, "it is not in base64"),
        ("AgAA", "it ends within its signatures"),
        (&"A".repeat(1648), "it is longer than 1232 bytes"),
        (&"A".repeat(1644), "it is longer than 1232 bytes"),
    ] {
        let request = request_with(&json!({ "transaction": text }), &extra());
        let found = decode(&listing(), &request).unwrap_err();
        assert_eq!(found, flawed(Flaw::Undecodable { why }), "56: {text}");
    }
}

#[test]
fn a_mutated_slot_0_signature_changes_nothing() {
    let wire = Draft::good().wire();
    let good = decoded(&Draft::good()).unwrap();
    for round in 1..=100_u8 {
        let mut other = wire.clone();
        for (place, byte) in (0_u8..).zip(&mut other[1..65]) {
            *byte = round.wrapping_mul(37).wrapping_add(place.wrapping_mul(round));
        }
        assert_ne!(other, wire);
        let found = decode(&listing(), &request(&other, &extra())).unwrap();
        assert!((found.key, &found.nonce, &found.body) == (good.key, &good.nonce, &good.body));
    }
}

#[test]
fn another_message_or_network_is_another_payment() {
    let good = decoded(&Draft::good()).unwrap();
    let mut other = Draft::good();
    other.calls[3] = memo("another");
    assert_ne!(decoded(&other).unwrap().key, good.key);
    let mut elsewhere = listing();
    elsewhere.network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap();
    assert_ne!(decode(&elsewhere, &Draft::good().request()).unwrap().key, good.key);
    // Stored payments are found by it: it must never change.
    assert_eq!(
        PaymentKey::of_solana(&listing().network, &[5; 32]).to_string(),
        "9a66f4951e639c253844de71775efe1bf20fca47a72360b332c700fea5e0588d"
    );
}

#[test]
fn a_payment_is_looked_up_by_coordinates_of_its_form() {
    let (asset, payer, nonce) = (MINT.to_string(), account(PAYER).to_string(), "ab".repeat(32));
    let key = key_of(&listing(), &asset, &payer, &nonce).unwrap();
    assert_eq!(key_of(&listing(), &asset, &payer, &nonce.to_uppercase()), Ok(key));
    for (path, found) in [
        ("asset", key_of(&listing(), "USDC", &payer, &nonce)),
        ("payer", key_of(&listing(), &asset, "0x00", &nonce)),
        ("nonce", key_of(&listing(), &asset, &payer, &nonce[1..])),
        ("nonce", key_of(&listing(), &asset, &payer, "")),
    ] {
        assert_eq!(found.unwrap_err().path, path);
    }
}

/// Every byte of a good payment changed: nothing passes but what differs in slot 0 only.
#[test]
fn no_mutation_of_a_good_payment_is_accepted() {
    let (listing, extra) = (listing(), extra());
    for is_legacy in [false, true] {
        let draft = Draft {
            is_legacy,
            ..Draft::good()
        };
        let wire = draft.wire();
        for place in 0..wire.len() {
            for flip in [1_u8.rotate_left(u32::try_from(place).unwrap()), 0xff] {
                let mut other = wire.clone();
                other[place] ^= flip;
                let is_accepted = decode(&listing, &request(&other, &extra)).is_ok();
                assert_eq!(is_accepted, (1..65).contains(&place), "{place} {flip}");
            }
            assert!(decode(&listing, &request(&wire[..place], &extra)).is_err());
        }
    }
}

/// The same with the payer's consent: what he signs anew after changing it. Whatever passes still pays the price to
/// the recipient, and leaves our fee payer out of everything.
#[test]
fn whatever_the_payer_signs_after_changing_a_byte_pays_in_full_or_is_refused() {
    let (listing, extra, payer) = (listing(), extra(), key(PAYER));
    let mut accepted = 0;
    for is_legacy in [false, true] {
        let draft = Draft {
            is_legacy,
            ..Draft::good()
        };
        let wire = draft.wire();
        for place in 129..wire.len() {
            for flip in [1, 2, 4, 7, 8, 128, 255] {
                let mut other = wire.clone();
                other[place] ^= flip;
                let Ok(changed) = Transaction::parse(&other) else {
                    continue;
                };
                let signature = ed25519_dalek::Signer::sign(&payer, changed.message_bytes());
                other[65..129].copy_from_slice(&signature.to_bytes());
                let Ok(authorization) = decode(&listing, &request(&other, &extra)) else {
                    continue;
                };
                accepted += 1;
                assert_eq!(authorization.payer, account(PAYER).to_string());
                assert_eq!(authorization.amount, Amount::from_units(PRICE.into()));
                let body = Body::decode(&authorization.body).unwrap();
                assert_eq!(body.destination, destination(MINT, TokenProgram::Token));
                assert_eq!(body.transaction.fee_payer(), &account(OURS));
                assert!(body.transaction.instructions().all(|it| !it.accounts.contains(&0)));
            }
        }
    }
    // Blockhash, source, memo, price and limit are the payer's to choose.
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn requirements_that_nobody_could_be_paid_by_are_refused() {
    let with = |asset: Pubkey, pay_to: Pubkey, amount: u64, draft: &Draft| {
        let mut request = draft.request();
        request.terms.asset = asset.to_string();
        request.terms.pay_to = pay_to.to_string();
        request.terms.amount = Amount::from_units(amount.into());
        decode(&listing(), &request).unwrap_err()
    };
    let good = Draft::good();
    let mut own = Draft::good();
    own.calls[2] = transfer(MINT_OTHER, TokenProgram::Token, PRICE);
    for (expected, found) in [
        ("payTo is the asset itself", with(MINT, MINT, PRICE, &good)),
        (
            "payTo is an account of this facilitator",
            with(MINT, account(RETIRED), PRICE, &good),
        ),
        ("asks for an amount of zero", with(MINT, PAY_TO, 0, &good)),
        (
            "the payer and paymentRequirements.payTo are the same account",
            with(MINT, account(PAYER), PRICE, &good),
        ),
        (
            "is not one this facilitator is configured for",
            with(MINT_OTHER, PAY_TO, PRICE, &own),
        ),
    ] {
        match &found {
            Refused::Rejected(Rejection::Unacceptable(text)) => assert!(text.contains(expected), "{text}"),
            Refused::Malformed(_) | Refused::Rejected(_) => panic!("{expected}: {found}"),
        }
    }
}
