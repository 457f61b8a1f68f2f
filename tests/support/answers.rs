//! What an answer of `/verify` or `/settle` says, once it is certain that it is one: a gateway's view.

use serde_json::Value;

use super::http::Answer;

impl Answer {
    /// The payer of a payment that was found valid.
    #[track_caller]
    pub(crate) fn valid(&self) -> String {
        let body = self.verdict(200);
        assert_eq!(body["isValid"], true, "{body}");
        assert!(body.get("invalidReason").is_none(), "{body}");
        text(&body, "payer")
    }

    /// The reason why a payment was found invalid.
    #[track_caller]
    pub(crate) fn invalid(&self) -> String {
        let body = self.verdict(200);
        assert_eq!(body["isValid"], false, "{body}");
        text(&body, "invalidReason")
    }

    /// The transaction of a payment that was settled.
    #[track_caller]
    pub(crate) fn settled(&self) -> String {
        let body = self.outcome(200);
        assert_eq!(body["success"], true, "{body}");
        assert!(body.get("errorReason").is_none(), "{body}");
        assert!(body["payer"].is_string(), "{body}");
        let transaction = text(&body, "transaction");
        assert!(is_name(&transaction), "{body}");
        transaction
    }

    /// Why a payment was not settled, and the transaction named with it, which may be empty.
    #[track_caller]
    pub(crate) fn unsettled(&self) -> (String, String) {
        let body = self.outcome(200);
        assert_eq!(body["success"], false, "{body}");
        (text(&body, "errorReason"), text(&body, "transaction"))
    }

    /// The transaction of a payment that is still under way.
    #[track_caller]
    pub(crate) fn pending(&self) -> String {
        let (reason, transaction) = self.unsettled();
        assert_eq!(reason, "settlement_pending");
        transaction
    }

    /// An answer to `/verify` with this status and everything that official clients require of one.
    #[track_caller]
    pub(crate) fn verdict(&self, status: u16) -> Value {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert!(body["isValid"].is_boolean(), "{body}");
        body
    }

    /// An answer to `/settle` with this status and everything that official clients require of one.
    #[track_caller]
    pub(crate) fn outcome(&self, status: u16) -> Value {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert!(body["success"].is_boolean(), "{body}");
        assert!(body["transaction"].is_string() && body["network"].is_string(), "{body}");
        body
    }
}

/// Whether a chain of ours names transactions like this: a hash on EVM, a signature on Solana.
pub(crate) fn is_name(text: &str) -> bool {
    (text.starts_with("0x") && text.len() == 66) || text.parse::<solana_signature::Signature>().is_ok()
}

#[track_caller]
fn text(body: &Value, key: &str) -> String {
    body[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {body}"))
        .to_owned()
}
