//! Hands signed bytes to the node.
//!
//! What the node says is a hint, never evidence: it may take a transaction and lose it, or refuse one that another
//! node has passed on already.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::node::{AsOf, Node};
use crate::domain::rail::{Delivery, Refusal};

/// Words by which nodes say that they have processed a transaction: agave's `TransactionError::AlreadyProcessed`,
/// spelt out and by its name.
const KNOWN: [&str; 2] = ["already been processed", "alreadyprocessed"];

/// Hands the transaction to the node, once and untried: it was tried when it was verified, and it is sent again until
/// the chain has it or cannot have it any more. Safe to repeat.
pub(super) async fn deliver(node: &Node, raw: &[u8]) -> Delivery {
    let how = json!({
        "encoding": "base64",
        "skipPreflight": true,
        "preflightCommitment": AsOf::Confirmed.as_str(),
        "maxRetries": 0,
    });
    let params = json!([STANDARD.encode(raw), how]);
    node.rpc().deliver("sendTransaction", params, said).await
}

fn said(message: &str) -> Delivery {
    let text = message.to_ascii_lowercase();
    if KNOWN.iter().any(|words| text.contains(words)) {
        Delivery::Known
    } else {
        Delivery::Refused(Refusal::Other, message.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_processed_transaction_is_known() {
        for words in [
            "Transaction simulation failed: This transaction has already been processed",
            "transaction verification error: AlreadyProcessed",
        ] {
            assert_eq!(said(words), Delivery::Known, "{words}");
        }
        for words in [
            "Blockhash not found",
            "Node is behind by 1234 slots",
            "Transaction signature verification failure",
            "Too many requests for a specific RPC call",
        ] {
            assert_eq!(said(words), Delivery::Refused(Refusal::Other, words.into()));
        }
    }
}
