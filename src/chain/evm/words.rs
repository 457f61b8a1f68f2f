//! What a node's words mean when it is handed a transaction. Hints, never evidence: nodes word things as they like, and
//! what they say of a transaction says nothing of what another node has done with it.

use crate::chain::rpc::bounded;
use crate::domain::rail::Delivery;

/// Words by which nodes say that they have a transaction already: geth and reth, Nethermind and Erigon, anvil,
/// OP pools.
const KNOWN: [&str; 5] = [
    "already known",
    "known transaction",
    "transaction already imported",
    "already in mempool",
    "alreadyknown",
];

/// Words by which nodes say that they will not have a transaction as it is.
const REFUSED: [&str; 17] = [
    "underpriced",
    "fee too low",
    "less than block base fee",
    "insufficient funds",
    "insufficient balance",
    "nonce too low",
    "nonce too high",
    "nonce gap",
    "gapped",
    "intrinsic gas",
    "exceeds block gas",
    "gas limit",
    "invalid sender",
    "chain id",
    "chainid",
    "oversized",
    "not supported",
];

/// What the node said, as far as its words are known.
pub(super) fn said(message: &str) -> Delivery {
    let text = message.to_ascii_lowercase();
    // "unknown transaction type" holds the words of a node that has it.
    let known = text.replace("unknown", "");
    if KNOWN.iter().any(|words| known.contains(words)) {
        Delivery::Known
    } else if REFUSED.iter().any(|words| text.contains(words)) {
        Delivery::Refused(bounded(message))
    } else {
        Delivery::Unknown(bounded(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_has_it_refuses_it_or_leaves_it_open() {
        for known in [
            "already known",
            "AlreadyKnown",
            "known transaction: 0xabc",
            "transaction already imported",
            "Already in mempool",
        ] {
            assert_eq!(said(known), Delivery::Known, "{known}");
        }
        for refused in [
            "replacement transaction underpriced",
            "transaction underpriced",
            "max fee per gas less than block base fee: address 0x1",
            "Insufficient funds for gas * price + value",
            "nonce too low: next nonce 5, tx nonce 4",
            "nonce too high",
            "intrinsic gas too low",
            "exceeds block gas limit",
            "invalid sender",
            "invalid chain id for signer",
            "oversized data",
            "unknown transaction type: not supported",
        ] {
            assert_eq!(said(refused), Delivery::Refused(refused.to_owned()), "{refused}");
        }
        for open in [
            "",
            "internal error",
            "rate limit exceeded",
            "unknown transaction",
            "header not found",
        ] {
            assert_eq!(said(open), Delivery::Unknown(open.to_owned()), "{open}");
        }
    }
}
