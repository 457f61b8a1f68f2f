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
pub const TARGETS: [(&str, Target); 16] = [
    ("envelope", envelope),
    ("evm_payload", evm_payload),
    ("evm_signature", evm::fuzz::signature),
    ("solana_payload", solana_payload),
    ("solana_transaction", solana::fuzz::transaction),
    ("solana_rules", solana::fuzz::rules),
    ("evm_receipt", evm::fuzz::receipt),
    ("evm_lens", evm::fuzz::lens),
    ("evm_returned", evm::fuzz::returned),
    ("solana_meta", solana::fuzz::meta),
    ("solana_simulation", solana::fuzz::simulation),
    ("solana_account", solana::fuzz::account),
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

/// The same JSON in serde's own layout; none of numbers that JSON can say and a machine cannot hold.
fn laid_out_anew(json: &str) -> Option<String> {
    serde_json::from_str::<Value>(json).ok().map(|it| it.to_string())
}

/// What a request means, with what it carries as JSON laid out like this.
fn meaning(request: &PaymentRequest, layout: impl Fn(&str) -> Option<String>) -> String {
    let mut request = request.clone();
    let carried = [
        request.terms.extra.take().as_deref().and_then(&layout),
        request.offer.terms.extra.take().as_deref().and_then(&layout),
        layout(&request.proof.0),
    ];
    format!("{request:?} {carried:?}")
}

fn envelope(bytes: &[u8]) {
    let envelope = match wire::decode(bytes) {
        Ok(envelope) => envelope,
        Err(error) => return names_a_field(&error.malformed),
    };
    assert!(envelope.network_text.len() <= 64);
    let Some(again) = str::from_utf8(bytes).ok().and_then(laid_out_anew) else {
        return;
    };
    // An extra of another length may be over its limit.
    let Ok(again) = wire::decode(again.as_bytes()) else {
        return;
    };
    assert_eq!(again.dialect, envelope.dialect);
    // Of a version that is not read, a key given twice leaves it untold; of two, the new layout has the last.
    if envelope.network_text != wire::NETWORK_UNKNOWN {
        assert_eq!(again.network_text, envelope.network_text);
    }
    match (&envelope.request, &again.request) {
        (Ok(one), Ok(other)) => {
            // A fraction may be another one each time that it is read.
            let as_it_is = |json: &str| Some(json.to_owned());
            assert_eq!(meaning(one, laid_out_anew), meaning(other, as_it_is));
        }
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
    let again = str::from_utf8(bytes).ok().and_then(laid_out_anew);
    let again = again.and_then(|it| wire::decode(it.as_bytes()).ok());
    let Some(again) = again.and_then(|it| it.request.ok()) else {
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
        let corpus = Path::new("tests/fuzz/corpus");
        let folders = fs::read_dir(corpus).unwrap().count();
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
