//! What a node's words mean when it is handed a transaction. Hints, never evidence: nodes word things as they like, and
//! what they say of a transaction says nothing of what another node has done with it.

use crate::chain::rpc::bounded;
use crate::domain::rail::{Delivery, Refusal};

/// Words by which nodes say that they have a transaction already: geth and reth, Nethermind and Erigon, anvil,
/// OP pools.
const KNOWN: [&str; 5] = [
    "already known",
    "known transaction",
    "transaction already imported",
    "already in mempool",
    "alreadyknown",
];

/// Words by which nodes say that they will not have a transaction as it is, and what they mean by them: geth and reth,
/// Nethermind (`OldNonce`, `ReplacementNotAllowed`), Erigon ("could not replace existing tx"), anvil. The first that is
/// found counts.
const REFUSED: [(&str, Refusal); 23] = [
    ("replacement", Refusal::NotOutbid),
    ("could not replace", Refusal::NotOutbid),
    ("insufficient funds", Refusal::OutOfFunds),
    ("insufficient balance", Refusal::OutOfFunds),
    ("insufficientfunds", Refusal::OutOfFunds),
    ("nonce too low", Refusal::NonceSpent),
    ("oldnonce", Refusal::NonceSpent),
    ("nonce too high", Refusal::NonceAhead),
    ("nonce gap", Refusal::NonceAhead),
    ("noncegap", Refusal::NonceAhead),
    ("gapped", Refusal::NonceAhead),
    ("underpriced", Refusal::Other),
    ("fee too low", Refusal::Other),
    ("feetoolow", Refusal::Other),
    ("less than block base fee", Refusal::Other),
    ("intrinsic gas", Refusal::Other),
    ("exceeds block gas", Refusal::Other),
    ("gas limit", Refusal::Other),
    ("invalid sender", Refusal::Other),
    ("chain id", Refusal::Other),
    ("chainid", Refusal::Other),
    ("oversized", Refusal::Other),
    ("not supported", Refusal::Other),
];

/// What the node said, as far as its words are known.
pub(super) fn said(message: &str) -> Delivery {
    let text = message.to_ascii_lowercase();
    // "unknown transaction type" holds the words of a node that has it.
    let known = text.replace("unknown", "");
    if KNOWN.iter().any(|words| known.contains(words)) {
        return Delivery::Known;
    }
    let refused = REFUSED.iter().find(|(words, _)| text.contains(words));
    match refused {
        Some((_, refusal)) => Delivery::Refused(*refusal, bounded(message)),
        None => Delivery::Unknown(bounded(message)),
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
        for (refused, refusal) in [
            ("replacement transaction underpriced", Refusal::NotOutbid),
            ("ReplacementNotAllowed", Refusal::NotOutbid),
            ("could not replace existing tx", Refusal::NotOutbid),
            ("transaction underpriced", Refusal::Other),
            ("max fee per gas less than block base fee: address 0x1", Refusal::Other),
            ("Insufficient funds for gas * price + value", Refusal::OutOfFunds),
            ("nonce too low: next nonce 5, tx nonce 4", Refusal::NonceSpent),
            (
                "OldNonce, Current nonce: 5, nonce of rejected tx: 4",
                Refusal::NonceSpent,
            ),
            ("nonce too high", Refusal::NonceAhead),
            ("gapped-nonce tx from delegated accounts", Refusal::NonceAhead),
            ("intrinsic gas too low", Refusal::Other),
            ("exceeds block gas limit", Refusal::Other),
            ("invalid sender", Refusal::Other),
            ("invalid chain id for signer", Refusal::Other),
            ("oversized data", Refusal::Other),
            ("unknown transaction type: not supported", Refusal::Other),
        ] {
            assert_eq!(
                said(refused),
                Delivery::Refused(refusal, refused.to_owned()),
                "{refused}"
            );
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
