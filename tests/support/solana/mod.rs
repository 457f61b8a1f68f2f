//! The same on Solana: a node, payments whose payer builds the whole transaction, and books held against the chain.

pub(crate) mod books;
pub(crate) mod lab;
pub(crate) mod payer;
pub(crate) mod programs;
pub(crate) mod surfpool;
pub(crate) mod transaction;
pub(crate) mod world;

use super::payer::Envelope;
use super::proxy::Call;

/// The trial of a payment.
pub(crate) fn simulation(call: &Call) -> bool {
    call.method == "simulateTransaction"
}

/// What became of transactions.
pub(crate) fn statuses(call: &Call) -> bool {
    call.method == "getSignatureStatuses"
}

/// What a transaction did.
pub(crate) fn history(call: &Call) -> bool {
    call.method == "getTransaction"
}

/// x402's word in this version, where version 1 leaves out its beginning.
pub(crate) fn words(envelope: Envelope, word: &str) -> String {
    match envelope {
        Envelope::V1 => word.to_owned(),
        Envelope::V2 => format!("invalid_exact_svm_{word}"),
    }
}
