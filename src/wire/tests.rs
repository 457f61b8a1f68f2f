//! The fixtures under `tests/fixtures`, read and written; every field of a request taken away, doubled, spoiled.

use serde_json::{Value, json};

use super::*;
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::network::{NetworkId, RailId, Scheme};
use crate::domain::outcome::Outcome;
use crate::domain::rail::{Advertised, ChainPoint, TxId};
use crate::domain::request::ReferenceKind;
use crate::domain::settlement::{CannotLand, Setback};
use crate::domain::time::Timestamp;

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("../../tests/fixtures/", $path))
    };
}

const V1_PLAIN: &str = fixture!("v1/plain.request.json");
const V2_PLAIN: &str = fixture!("v2/plain.request.json");
const V2_IDENTIFIED: &str = fixture!("v2/identified.request.json");
const REQUESTS: [(Dialect, &str); 5] = [
    (Dialect::V1, V1_PLAIN),
    (Dialect::V1, fixture!("v1/nulls.request.json")),
    (Dialect::V2, V2_PLAIN),
    (Dialect::V2, fixture!("v2/nulls.request.json")),
    (Dialect::V2, V2_IDENTIFIED),
];

/// What must be there in each version, by JSON pointer.
const REQUIRED: [(Dialect, &str, &[&str]); 2] = [
    (
        Dialect::V1,
        V1_PLAIN,
        &[
            "paymentPayload/x402Version",
            "paymentPayload/scheme",
            "paymentPayload/network",
            "paymentPayload/payload",
            "paymentRequirements/scheme",
            "paymentRequirements/network",
            "paymentRequirements/maxAmountRequired",
            "paymentRequirements/resource",
            "paymentRequirements/payTo",
            "paymentRequirements/maxTimeoutSeconds",
            "paymentRequirements/asset",
        ],
    ),
    (
        Dialect::V2,
        V2_PLAIN,
        &[
            "paymentPayload/x402Version",
            "paymentPayload/accepted",
            "paymentPayload/accepted/scheme",
            "paymentPayload/accepted/network",
            "paymentPayload/accepted/amount",
            "paymentPayload/accepted/asset",
            "paymentPayload/accepted/payTo",
            "paymentPayload/accepted/maxTimeoutSeconds",
            "paymentPayload/resource/url",
            "paymentPayload/payload",
            "paymentRequirements/scheme",
            "paymentRequirements/network",
            "paymentRequirements/amount",
            "paymentRequirements/asset",
            "paymentRequirements/payTo",
            "paymentRequirements/maxTimeoutSeconds",
        ],
    ),
];

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn spoil(text: &str, pointer: &str, change: impl FnOnce(&mut Value, &str)) -> Result<Envelope, DecodeError> {
    let mut body = parse(text);
    let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let parent = if parent.is_empty() {
        String::new()
    } else {
        format!("/{parent}")
    };
    change(body.pointer_mut(&parent).unwrap(), key);
    decode(body.to_string().as_bytes())
}

fn fault(decoded: Result<Envelope, DecodeError>) -> (Complaint, String) {
    let error = decoded.unwrap_err();
    assert!(!error.malformed.expected.is_empty());
    (error.complaint, error.malformed.path)
}

#[test]
fn requests_are_read_as_they_are_written() {
    for (dialect, text) in REQUESTS {
        let body = parse(text);
        let envelope = decode(text.as_bytes()).unwrap();
        let (asked, given) = (&body["paymentRequirements"], &body["paymentPayload"]);
        let (price, resource) = match dialect {
            Dialect::V1 => ("maxAmountRequired", &asked["resource"]),
            Dialect::V2 => ("amount", &given["resource"]["url"]),
        };
        assert_eq!(envelope.dialect, dialect);
        assert_eq!(envelope.network_text, asked["network"].as_str().unwrap());
        let request = envelope.request.unwrap();
        assert_eq!(request.rail.network.as_str(), "eip155:84532");
        assert_eq!(request.rail.scheme, Scheme::exact());
        assert_eq!(request.terms.amount.to_string(), asked[price].as_str().unwrap());
        assert_eq!(request.terms.asset, asked["asset"].as_str().unwrap());
        assert_eq!(request.terms.pay_to, asked["payTo"].as_str().unwrap());
        assert_eq!(
            request.terms.timeout_seconds,
            asked["maxTimeoutSeconds"].as_u64().unwrap()
        );
        assert_eq!(parse(request.terms.extra.as_deref().unwrap_or("null")), asked["extra"]);
        assert_eq!(request.offer.scheme, request.rail.scheme);
        assert_eq!(request.offer.network.as_ref(), Some(&request.rail.network));
        assert_eq!(request.offer.terms.amount, request.terms.amount);
        assert_eq!(parse(&request.proof.0), given["payload"]);
        assert_eq!(request.resource.url.as_deref(), resource.as_str());
    }
}

#[test]
fn only_an_identified_request_has_a_reference() {
    for (_, text) in REQUESTS {
        let request = decode(text.as_bytes()).unwrap().request.unwrap();
        let expected: &[&str] = if text == V2_IDENTIFIED {
            &["pay_7d5d747be160e280"]
        } else {
            &[]
        };
        let found: Vec<&str> = request.references.iter().map(|it| it.value.as_str()).collect();
        assert_eq!(found, expected);
        assert!(
            request
                .references
                .iter()
                .all(|it| it.kind == ReferenceKind::PaymentIdentifier)
        );
    }
}

#[test]
fn what_is_required_is_named_when_it_is_missing_null_or_of_another_type() {
    for (_, text, pointers) in REQUIRED {
        for pointer in pointers {
            let path = pointer.replace('/', ".");
            let complaint = if path.starts_with("paymentR") {
                Complaint::InvalidRequirements
            } else {
                Complaint::InvalidPayload
            };
            let removed = spoil(text, pointer, |parent, key| {
                parent.as_object_mut().unwrap().remove(key).unwrap();
            });
            assert_eq!(fault(removed), (complaint, path.clone()), "{pointer} removed");
            for wrong in [json!(null), json!([7]), json!(true), json!(""), json!(-1)] {
                let spoiled = spoil(text, pointer, |parent, key| parent[key] = wrong.clone());
                assert_eq!(fault(spoiled), (complaint, path.clone()), "{pointer} = {wrong}");
            }
        }
    }
}

#[test]
fn a_key_given_twice_is_refused_wherever_it_is_known() {
    for (_, text, pointers) in REQUIRED {
        for pointer in pointers
            .iter()
            .chain(&["x402Version", "paymentPayload", "paymentRequirements"])
        {
            let key = pointer.rsplit('/').next().unwrap();
            let parent = pointer
                .rsplit_once('/')
                .map_or("body".to_owned(), |(it, _)| it.replace('/', "."));
            // Values move to strings that cannot occur otherwise, so that the text can be edited as text.
            let mut body = parse(text);
            let value = std::mem::replace(body.pointer_mut(&format!("/{pointer}")).unwrap(), json!("@"));
            let doubled = body.to_string().replace(
                &format!("\"{key}\":\"@\""),
                &format!("\"{key}\":{value},\"{key}\":{value}"),
            );
            let (_, path) = fault(decode(doubled.as_bytes()));
            assert_eq!(path, parent, "{pointer}");
        }
    }
}

#[test]
fn unknown_keys_change_nothing() {
    for (_, text) in REQUESTS {
        let plain = format!("{:?}", decode(parse(text).to_string().as_bytes()).unwrap());
        for pointer in ["new", "paymentPayload/new", "paymentRequirements/new"] {
            let extended = spoil(text, pointer, |parent, key| parent[key] = json!({"a": [1, null]}));
            assert_eq!(format!("{:?}", extended.unwrap()), plain);
        }
    }
}

#[test]
fn bodies_that_are_no_request() {
    let missing = Complaint::MissingParameters;
    let deep = format!("{}{}", "[".repeat(99), "]".repeat(99));
    for (body, complaint, path) in [
        ("", Complaint::InvalidJson, "body"),
        ("not json", Complaint::InvalidJson, "body"),
        ("{\"paymentPayload\":{}", Complaint::InvalidJson, "body"),
        ("{} {}", Complaint::InvalidJson, "body"),
        ("[]", missing, "body"),
        ("[2,{},{}]", missing, "body"),
        ("7", missing, "body"),
        ("{}", missing, "paymentPayload"),
        (
            r#"{"paymentPayload":null,"paymentRequirements":{}}"#,
            missing,
            "paymentPayload",
        ),
        (
            r#"{"paymentPayload":{"x402Version":2}}"#,
            missing,
            "paymentRequirements",
        ),
        (&deep, Complaint::InvalidPayload, "body"),
    ] {
        assert_eq!(fault(decode(body.as_bytes())), (complaint, path.to_owned()), "{body}");
    }
    assert_eq!(
        fault(decode(b"{\"a\":\"\xff\"}")),
        (Complaint::InvalidJson, "body".to_owned())
    );
}

#[test]
fn versions_agree_or_are_refused() {
    for (_, text) in REQUESTS {
        let disagreeing = spoil(text, "x402Version", |body, key| body[key] = json!(3));
        assert_eq!(fault(disagreeing).1, "x402Version");
    }
    let mut unknown = parse(V2_PLAIN);
    unknown["x402Version"] = json!(3);
    unknown["paymentPayload"]["x402Version"] = json!(3);
    let envelope = decode(unknown.to_string().as_bytes()).unwrap();
    assert_eq!(envelope.request.unwrap_err(), Rejection::UnsupportedVersion);
    assert_eq!(envelope.network_text, "eip155:84532");
}

#[test]
fn networks_are_named_in_the_words_of_the_version() {
    let unknown = spoil(V1_PLAIN, "paymentRequirements/network", |asked, key| {
        asked[key] = json!("arbitrum");
    });
    let envelope = unknown.unwrap();
    assert_eq!(
        envelope.request.unwrap_err(),
        Rejection::UnsupportedNetwork("arbitrum".to_owned())
    );
    assert_eq!(envelope.network_text, "arbitrum");

    let other = spoil(V1_PLAIN, "paymentPayload/network", |given, key| {
        given[key] = json!("arbitrum");
    });
    assert_eq!(other.unwrap().request.unwrap().offer.network, None);

    let named = spoil(V2_PLAIN, "paymentRequirements/network", |asked, key| {
        asked[key] = json!("base-sepolia");
    });
    assert_eq!(fault(named).1, "paymentRequirements.network");
}

#[test]
fn values_are_bounded() {
    let long = |bytes: usize| json!("a".repeat(bytes));
    for (pointer, fits, too_long) in [
        ("paymentRequirements/asset", long(128), long(129)),
        ("paymentRequirements/payTo", long(128), long(129)),
        ("paymentPayload/resource/url", long(2048), long(2049)),
        ("paymentRequirements/scheme", long(64), long(65)),
        (
            "paymentRequirements/extra",
            json!({"a": "a".repeat(4088)}),
            json!({"a": "a".repeat(4089)}),
        ),
    ] {
        assert!(
            spoil(V2_PLAIN, pointer, |parent, key| parent[key] = fits).is_ok(),
            "{pointer}"
        );
        let refused = spoil(V2_PLAIN, pointer, |parent, key| parent[key] = too_long);
        assert_eq!(fault(refused).1, pointer.replace('/', "."));
    }
}

#[test]
fn the_network_of_a_broken_request_is_still_told() {
    for (body, network) in [
        (V1_PLAIN, "base-sepolia"),
        (r#"{"paymentRequirements":{"network":"eip155:1"}}"#, "eip155:1"),
        (r#"{"paymentRequirements":{"network":7}}"#, NETWORK_UNKNOWN),
        (r#"{"paymentRequirements":[]}"#, NETWORK_UNKNOWN),
        ("{}", NETWORK_UNKNOWN),
        ("not json", NETWORK_UNKNOWN),
    ] {
        assert_eq!(network_text(body.as_bytes()), network, "{body}");
    }
}

const PAYER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn mismatch() -> Rejection {
    Rejection::AmountMismatch {
        expected: Amount::from_units(10_000),
        found: Amount::from_units(9_999),
    }
}

#[test]
fn verdicts_are_written_as_the_fixtures_have_them() {
    for (dialect, network, valid, refused) in [
        (
            Dialect::V1,
            "base-sepolia",
            fixture!("v1/valid.verify.json"),
            fixture!("v1/refused.verify.json"),
        ),
        (
            Dialect::V2,
            "eip155:84532",
            fixture!("v2/valid.verify.json"),
            fixture!("v2/refused.verify.json"),
        ),
    ] {
        for (verdict, fixture) in [(Ok(()), valid), (Err(mismatch()), refused)] {
            let written = encode_verify(dialect, network, Some(PAYER), &verdict);
            assert_eq!(parse(std::str::from_utf8(&written).unwrap()), parse(fixture));
        }
    }
}

#[test]
fn outcomes_are_written_as_the_fixtures_have_them() {
    let payment: PaymentId = "pay_01kaf4rza2e38v79e6wbw02jwx".parse().unwrap();
    let payer = || PAYER.to_owned();
    let tx = || TxId("0x89c91c789e57059b17285e7ba1716a1f5ff4c5dace0ea5a5135f26158d0421b9".to_owned());
    let block = ChainPoint {
        height: 1,
        hash: "0x0".to_owned(),
        time: Timestamp(1),
    };
    let outcomes = [
        Outcome::Settled {
            payment,
            payer: payer(),
            tx: tx(),
        },
        Outcome::Refused {
            payer: Some(payer()),
            rejection: mismatch(),
        },
        Outcome::Pending {
            payment,
            payer: payer(),
            tx: Some(tx()),
        },
        Outcome::SetBack {
            payment,
            payer: payer(),
            setback: Setback::Reverted { tx: tx() },
        },
        Outcome::Failed {
            payment,
            payer: payer(),
            proof: CannotLand::WindowClosed { block },
        },
        Outcome::Duplicate {
            payer: payer(),
            tx: Some(tx()),
            is_settled: true,
        },
    ];
    let in_v1 = [
        fixture!("v1/settled.settle.json"),
        fixture!("v1/refused.settle.json"),
        fixture!("v1/pending.settle.json"),
        fixture!("v1/reverted.settle.json"),
        fixture!("v1/expired.settle.json"),
        fixture!("v1/duplicate.settle.json"),
    ];
    let in_v2 = [
        fixture!("v2/settled.settle.json"),
        fixture!("v2/refused.settle.json"),
        fixture!("v2/pending.settle.json"),
        fixture!("v2/reverted.settle.json"),
        fixture!("v2/expired.settle.json"),
        fixture!("v2/duplicate.settle.json"),
    ];
    for (dialect, network, fixtures) in [
        (Dialect::V1, "base-sepolia", in_v1),
        (Dialect::V2, "eip155:84532", in_v2),
    ] {
        for (outcome, fixture) in outcomes.iter().zip(fixtures) {
            let written = encode_settle(dialect, network, outcome);
            assert_eq!(
                parse(std::str::from_utf8(&written).unwrap()),
                parse(fixture),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn errors_are_written_as_the_fixtures_have_them() {
    for (text, key, network, verify, settle) in [
        (
            V1_PLAIN,
            "maxAmountRequired",
            "base-sepolia",
            fixture!("v1/malformed.verify.json"),
            fixture!("v1/malformed.settle.json"),
        ),
        (
            V2_PLAIN,
            "amount",
            "eip155:84532",
            fixture!("v2/malformed.verify.json"),
            fixture!("v2/malformed.settle.json"),
        ),
    ] {
        let error = spoil(text, "paymentRequirements/it", |asked, _| asked[key] = json!("0x10")).unwrap_err();
        let message = error.to_string();
        for (written, fixture) in [
            (encode_verify_error(error.complaint, &message), verify),
            (encode_settle_error(error.complaint, &message, network), settle),
        ] {
            assert_eq!(parse(std::str::from_utf8(&written).unwrap()), parse(fixture));
        }
    }
}

#[test]
fn messages_are_cut_between_characters() {
    let written = encode_verify_error(Complaint::InvalidPayload, &"é".repeat(400));
    let body = parse(std::str::from_utf8(&written).unwrap());
    assert_eq!(body["invalidMessage"].as_str().unwrap().len(), 500);
}

#[test]
fn supported_lists_a_row_for_each_version_that_can_name_the_network() {
    let rail = |network: &str| RailId {
        scheme: Scheme::exact(),
        network: network.parse::<NetworkId>().unwrap(),
    };
    let by = |signers: &[&str], extra: Option<&str>| Advertised {
        signers: signers.iter().map(|&it| it.to_owned()).collect(),
        extra: extra.map(Into::into),
    };
    let evm = || by(&["0x70997970C51812dc3A010C7d01b50e0d17dc79C8"], None);
    let fee_payers = [
        "EwWqGE4ZFKLofuestmU4LDdK7XM1N4ALgdZccwYugwGd",
        "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB",
    ];
    let solana = by(
        &fee_payers,
        Some(r#"{"feePayer":"EwWqGE4ZFKLofuestmU4LDdK7XM1N4ALgdZccwYugwGd"}"#),
    );
    let (arbitrum, base) = (rail("eip155:42161"), rail("eip155:84532"));
    let devnet = rail("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1");
    let mainnet = rail("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp");
    let rails = [
        (&arbitrum, evm()),
        (&base, evm()),
        (&devnet, solana),
        (&mainnet, by(&[], None)),
    ];
    let written = encode_supported(&rails);
    assert_eq!(
        parse(std::str::from_utf8(&written).unwrap()),
        parse(fixture!("supported.json"))
    );
}
