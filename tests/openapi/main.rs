//! Holds together the router, `openapi.yaml` and the fixtures, none of which can be trusted alone.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "outside of test functions, too, a test fails by panicking"
)]

mod schema;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use facilitator::domain::event::KINDS;
use facilitator::domain::rail::{ChainPoint, TxId};
use facilitator::domain::settlement::{CannotLand, State};
use facilitator::domain::time::Timestamp;
use facilitator::http::{ROUTES, admin, operator};
use serde_json::{Value, json};

use crate::schema::{faults, resolve};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn document() -> Value {
    serde_norway::from_str(&fs::read_to_string("openapi.yaml").unwrap()).unwrap()
}

fn fixture(path: impl AsRef<Path>) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn fixture_paths() -> BTreeSet<PathBuf> {
    let mut open = vec![PathBuf::from("tests/fixtures")];
    let mut found = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
        } else {
            found.insert(path);
        }
    }
    found
}

/// Calls `visit` with every object of the document and where it stands.
fn walk(value: &Value, at: &str, visit: &mut impl FnMut(&serde_json::Map<String, Value>, &str)) {
    match value {
        Value::Object(members) => {
            visit(members, at);
            for (key, member) in members {
                walk(member, &format!("{at}/{}", key.replace('/', "~1")), visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, at, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_file_has_the_routes_of_the_router() {
    let document = document();
    let written: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| METHODS.contains(&key.as_str()));
            methods.map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let served = ROUTES
        .iter()
        .map(|route| (route.method.to_owned(), route.path.to_owned()));
    let by_operator = operator::PATHS
        .iter()
        .map(|path| ("GET".to_owned(), (*path).to_owned()));
    let by_admin = admin::PATHS
        .iter()
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(written, served.chain(by_operator).chain(by_admin).collect());
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, "#", &mut |members, _| {
        if let Some(reference) = members.get("$ref") {
            resolve(&document, reference);
            used.insert(reference.as_str().unwrap().to_owned());
        }
    });
    // What secures the whole is not referred to but named.
    let components = document["components"].as_object().unwrap();
    for (kind, members) in components.iter().filter(|(kind, _)| *kind != "securitySchemes") {
        for name in members.as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(&reference), "{reference} is not used");
        }
    }
}

#[test]
fn every_example_is_valid_and_every_fixture_is_an_example() {
    let document = document();
    let mut shown = BTreeSet::new();
    walk(&document, "#", &mut |media, at| {
        let Some(schema) = media.get("schema") else { return };
        let named = media.get("examples").and_then(Value::as_object).into_iter().flatten();
        for (name, example) in named {
            let path = PathBuf::from(example["externalValue"].as_str().unwrap());
            assert_eq!(faults(&document, schema, &fixture(&path), name), [""; 0], "{at}");
            shown.insert(path);
        }
        if let Some(example) = media.get("example") {
            assert_eq!(faults(&document, schema, example, "example"), [""; 0], "{at}");
        }
    });
    assert_eq!(shown, fixture_paths());
}

#[test]
fn an_answer_says_why_it_is_no_success() {
    for path in fixture_paths() {
        let answer = fixture(&path);
        for (success, reason) in [("isValid", "invalidReason"), ("success", "errorReason")] {
            if let Some(success) = answer.get(success) {
                assert_eq!(answer.get(reason).is_none(), success.as_bool().unwrap(), "{path:?}");
            }
        }
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let document = document();
    let schema = json!({"$ref": "#/components/schemas/PaymentRequest"});
    for (path, pointer, wrong) in [
        (
            "v1/plain.request.json",
            "/paymentRequirements/maxAmountRequired",
            json!("010"),
        ),
        ("v1/plain.request.json", "/paymentPayload/x402Version", json!(2)),
        (
            "v1/plain.request.json",
            "/paymentRequirements/maxTimeoutSeconds",
            json!(0),
        ),
        (
            "v2/plain.request.json",
            "/paymentRequirements/network",
            json!("base-sepolia"),
        ),
        (
            "v2/plain.request.json",
            "/paymentPayload/accepted/amount",
            json!(10_000),
        ),
        ("v2/plain.request.json", "/paymentPayload/resource", json!({})),
        ("v2/plain.request.json", "/paymentPayload/payload", json!(null)),
        ("v2/plain.request.json", "/x402Version", json!(1)),
    ] {
        let mut request = fixture(Path::new("tests/fixtures").join(path));
        *request.pointer_mut(pointer).unwrap() = wrong;
        assert_ne!(faults(&document, &schema, &request, pointer), [""; 0]);
        let decoded = facilitator::wire::decode(request.to_string().as_bytes());
        assert!(decoded.is_err(), "{pointer}");
    }
}

#[test]
fn every_reason_in_the_file_is_one_that_is_given() {
    let document = document();
    let reasons = document.pointer("/components/schemas/Reason/enum").unwrap();
    let given: String = ["reason.rs", "reason/evm.rs", "reason/svm.rs"]
        .map(|file| fs::read_to_string(Path::new("src/wire").join(file)).unwrap())
        .concat();
    for reason in reasons.as_array().unwrap() {
        assert!(given.contains(&reason.to_string()), "{reason}");
    }
}

#[test]
fn the_file_has_every_state_and_every_proof() {
    let document = document();
    let words = |pointer: &str| -> BTreeSet<String> {
        let words = document.pointer(pointer).unwrap().as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let states = State::ALL.map(|state| state.as_str().to_owned());
    assert_eq!(words("/components/schemas/State/enum"), BTreeSet::from(states));
    let kinds = KINDS.map(str::to_owned);
    assert_eq!(
        words("/components/schemas/Event/properties/type/enum"),
        BTreeSet::from(kinds)
    );
    let (tx, block) = (
        TxId("tx".into()),
        ChainPoint {
            height: 1,
            hash: "block".into(),
            time: Timestamp(1),
        },
    );
    let proofs = [
        CannotLand::Cancelled {
            tx: tx.clone(),
            block: block.clone(),
        },
        CannotLand::UsedOtherwise {
            tx: tx.clone(),
            block: block.clone(),
        },
        CannotLand::FailedOnChain {
            tx,
            block: block.clone(),
        },
        CannotLand::WindowClosed { block },
    ];
    assert_eq!(
        words("/components/schemas/Payment/properties/failure/properties/proof/enum"),
        BTreeSet::from(proofs.map(|proof| proof.as_str().to_owned()))
    );
}
