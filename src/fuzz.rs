//! The one door to every decoder of what others send: bytes in, and a panic where a property does not hold.
//!
//! Exists only in tests and under `--cfg fuzzing`. libFuzzer calls it from `tests/fuzz`, and the tests below replay
//! every file of the corpus there through the same functions. A property stands beside the decoder that it is about.

use serde_json::Value;

use crate::chain::{self, evm, solana};
use crate::domain::authorization::Authorization;
use crate::domain::rejection::{Malformed, Refused};
use crate::domain::request::PaymentRequest;
use crate::http;
use crate::wire;

/// Reads the bytes as its decoder would, and holds the outcome to what is always true of it.
pub type Target = fn(&[u8]);

/// Every decoder, by the name of its corpus.
pub const TARGETS: [(&str, Target); 12] = [
    ("envelope", envelope),
    ("evm_payload", evm_payload),
    ("evm_signature", evm::fuzz::signature),
    ("solana_payload", solana_payload),
    ("solana_transaction", solana::fuzz::transaction),
    ("evm_receipt", evm::fuzz::receipt),
    ("evm_lens", evm::fuzz::lens),
    ("solana_meta", solana::fuzz::meta),
    ("rpc_answer", chain::fuzz::answer),
    ("query", http::fuzz::query),
    ("idempotency_key", http::fuzz::idempotency_key),
    ("authorization_body", authorization_body),
];

/// The target of this name.
///
/// # Panics
/// There is none.
#[must_use]
pub fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no target {name}")).1
}

/// What is refused as malformed names a place and what belongs there.
pub(crate) fn names_a_field(malformed: &Malformed) {
    assert!(
        !malformed.path.is_empty() && !malformed.expected.is_empty(),
        "{malformed:?}"
    );
}

/// What a request means, apart from the layout of its JSON.
fn meaning(request: &PaymentRequest) -> String {
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    let mut request = request.clone();
    let extras = [
        request.terms.extra.take().as_deref().and_then(json),
        request.offer.terms.extra.take().as_deref().and_then(json),
        json(&request.proof.0),
    ];
    format!("{request:?} {extras:?}")
}

fn envelope(bytes: &[u8]) {
    let envelope = match wire::decode(bytes) {
        Ok(envelope) => envelope,
        Err(error) => return names_a_field(&error.malformed),
    };
    assert!(envelope.network_text.len() <= 64);
    // Numbers that JSON can say and a machine cannot hold are the only ones that are lost on the way.
    let Ok(laid_out_anew) = serde_json::from_slice::<Value>(bytes).map(|it| it.to_string()) else {
        return;
    };
    let again = wire::decode(laid_out_anew.as_bytes());
    // An extra of another length may be over its limit.
    let Ok(again) = again else { return };
    assert_eq!(again.dialect, envelope.dialect);
    // Of a version that is not read, a key given twice leaves it untold; of two, the new layout has the last.
    if envelope.network_text != wire::NETWORK_UNKNOWN {
        assert_eq!(again.network_text, envelope.network_text);
    }
    match (&envelope.request, &again.request) {
        (Ok(one), Ok(other)) => assert_eq!(meaning(one), meaning(other)),
        (Err(one), Err(other)) => assert_eq!(one, other),
        (one, other) => panic!("{one:?} and {other:?}"),
    }
}

type Decode = fn(&PaymentRequest) -> Result<Authorization, Refused>;

/// The rail's part of a whole body.
fn payload(bytes: &[u8], decode: Decode) {
    let Some(request) = wire::decode(bytes).ok().and_then(|it| it.request.ok()) else {
        return;
    };
    let authorization = match decode(&request) {
        Ok(authorization) => authorization,
        Err(Refused::Malformed(malformed)) => return names_a_field(&malformed),
        Err(Refused::Rejected(_)) => return,
    };
    let again = serde_json::from_slice::<Value>(bytes).map(|it| it.to_string());
    let Ok(again) = again.map(|it| wire::decode(it.as_bytes())) else {
        return;
    };
    let Some(again) = again.ok().and_then(|it| it.request.ok()) else {
        return;
    };
    let twin = decode(&again).unwrap_or_else(|refused| panic!("laid out anew: {refused:?}"));
    assert_eq!(authorization.key, twin.key, "the key depends on the layout");
    assert_eq!(request.digest(&authorization), again.digest(&twin));
}

fn evm_payload(bytes: &[u8]) {
    payload(bytes, evm::fuzz::payload);
}

fn solana_payload(bytes: &[u8]) {
    payload(bytes, solana::fuzz::payload);
}

/// What we have on record may be of another version, or spoiled.
fn authorization_body(bytes: &[u8]) {
    evm::fuzz::body(bytes);
    solana::fuzz::body(bytes);
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{fs, panic};

    use super::*;

    #[test]
    fn b01_every_input_of_the_corpus_holds_its_targets_properties() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        let folders = fs::read_dir(&corpus).unwrap().count();
        assert_eq!(folders, TARGETS.len(), "a folder for each target, and no other");
        for (name, target) in TARGETS {
            let files: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(Result::unwrap).collect();
            assert!(!files.is_empty(), "{name}");
            for file in files {
                let bytes = fs::read(file.path()).unwrap();
                let held = panic::catch_unwind(|| target(&bytes));
                assert!(held.is_ok(), "{}", file.path().display());
            }
        }
    }
}
