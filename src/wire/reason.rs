//! x402's words for why something did not happen: the only place with reason strings.
//!
//! Strings are those of the reference TypeScript packages, one set for each version (`@x402/core` and `@x402/evm`
//! 2.27.0, `exact/facilitator` and `exact/v1/facilitator`). Official clients branch on none of them except
//! `settlement_pending`. Beside each stands a code of our own that is the same in both versions and begins the
//! human-readable message.

use crate::domain::outcome::Outcome;
use crate::domain::rail::TxId;
use crate::domain::rejection::{Malformed, Rejection};
use crate::domain::settlement::{CannotLand, Setback};
use crate::wire::Dialect;

/// Why a request got no verdict at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complaint {
    /// The body is not JSON.
    InvalidJson,
    /// The payload or the requirements are not there.
    MissingParameters,
    /// Something in the payload, or in the request around it, is not of its form.
    InvalidPayload,
    /// Something in the requirements is not of its form.
    InvalidRequirements,
    /// The caller's name for the payment belongs to another request.
    Conflict,
    /// Ours: a dependency does not answer, too much is under way, or a bug.
    Unexpected,
}

impl Complaint {
    /// The complaint to make about a malformed field, by the part of the request it stands in.
    #[must_use]
    pub fn about(malformed: &Malformed) -> Self {
        if malformed.path.starts_with("paymentRequirements") {
            Self::InvalidRequirements
        } else {
            Self::InvalidPayload
        }
    }

    /// Its reason in an answer of `/verify`.
    #[must_use]
    pub const fn verify_reason(self) -> &'static str {
        if matches!(self, Self::Unexpected) {
            return "unexpected_verify_error";
        }
        self.settle_reason()
    }

    /// Its reason in an answer of `/settle`.
    #[must_use]
    pub const fn settle_reason(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::MissingParameters => "missing_parameters",
            Self::InvalidPayload => "invalid_payload",
            Self::InvalidRequirements => "invalid_payment_requirements",
            // The protocol has a status for this, 409, and no word.
            Self::Conflict => "idempotency_conflict",
            Self::Unexpected => "unexpected_settle_error",
        }
    }
}

/// Why a payment is refused, in the words for `/verify`.
pub(super) const fn verify_reason(dialect: Dialect, rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::UnsupportedVersion => "invalid_x402_version",
        Rejection::UnsupportedScheme(_) => "unsupported_scheme",
        Rejection::UnsupportedNetwork(_) => "invalid_network",
        Rejection::SchemeMismatch { .. } => "invalid_exact_evm_scheme",
        Rejection::NetworkMismatch { .. } => "invalid_exact_evm_network_mismatch",
        Rejection::MissingDomain { .. } => "invalid_exact_evm_missing_eip712_domain",
        Rejection::FactoryNotAllowed { .. } => "eip6492_factory_not_allowed",
        Rejection::InvalidSignature { .. } => "invalid_exact_evm_signature",
        Rejection::RecipientMismatch { .. } => "invalid_exact_evm_recipient_mismatch",
        Rejection::Expired { .. } => EXPIRED,
        Rejection::NotYetValid { .. } => "invalid_exact_evm_payload_authorization_valid_after",
        Rejection::AmountMismatch { .. } => match dialect {
            Dialect::V1 => "invalid_exact_evm_authorization_value",
            Dialect::V2 => "invalid_exact_evm_payload_authorization_value_mismatch",
        },
        Rejection::AssetNotDeployed { .. } => "asset_not_deployed_contract",
        Rejection::AuthorizationUnsupported { .. } => "invalid_exact_evm_eip3009_not_supported",
        Rejection::NonceUsed { .. } => NONCE_USED,
        Rejection::TokenNameMismatch { .. } => "invalid_exact_evm_token_name_mismatch",
        Rejection::TokenVersionMismatch { .. } => "invalid_exact_evm_token_version_mismatch",
        Rejection::InsufficientBalance { .. } => "invalid_exact_evm_insufficient_balance",
        Rejection::SimulationFailed { .. } | Rejection::DeploymentFailed => {
            "invalid_exact_evm_transaction_simulation_failed"
        }
        Rejection::Unacceptable(_) => "invalid_payment_requirements",
    }
}

const EXPIRED: &str = "invalid_exact_evm_payload_authorization_valid_before";
const NONCE_USED: &str = "invalid_exact_evm_nonce_already_used";
const EVENT_MISMATCH: &str = "invalid_exact_evm_transfer_event_mismatch";

/// Why a payment is refused, in the words for `/settle`.
const fn settle_reason(dialect: Dialect, rejection: &Rejection) -> &'static str {
    if matches!(rejection, Rejection::DeploymentFailed) {
        return "smart_wallet_deployment_failed";
    }
    verify_reason(dialect, rejection)
}

/// Our own code for a refusal.
pub(super) const fn code(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::UnsupportedVersion => "unsupported_version",
        Rejection::UnsupportedScheme(_) => "unsupported_scheme",
        Rejection::UnsupportedNetwork(_) => "unsupported_network",
        Rejection::SchemeMismatch { .. } => "scheme_mismatch",
        Rejection::NetworkMismatch { .. } => "network_mismatch",
        Rejection::MissingDomain { .. } => "missing_domain",
        Rejection::FactoryNotAllowed { .. } => "factory_not_allowed",
        Rejection::InvalidSignature { .. } => "invalid_signature",
        Rejection::RecipientMismatch { .. } => "recipient_mismatch",
        Rejection::Expired { .. } => "expired",
        Rejection::NotYetValid { .. } => "not_yet_valid",
        Rejection::AmountMismatch { .. } => "amount_mismatch",
        Rejection::AssetNotDeployed { .. } => "asset_not_deployed",
        Rejection::AuthorizationUnsupported { .. } => "authorization_unsupported",
        Rejection::NonceUsed { .. } => "nonce_used",
        Rejection::TokenNameMismatch { .. } => "token_name_mismatch",
        Rejection::TokenVersionMismatch { .. } => "token_version_mismatch",
        Rejection::InsufficientBalance { .. } => "insufficient_balance",
        Rejection::SimulationFailed { .. } => "simulation_failed",
        Rejection::DeploymentFailed => "deployment_failed",
        Rejection::Unacceptable(_) => "unacceptable",
    }
}

/// Why a settlement is not a success.
pub(super) struct Shortfall<'a> {
    /// x402's word.
    pub(super) reason: &'static str,
    /// Ours.
    pub(super) code: &'static str,
    /// What to tell a person.
    pub(super) text: String,
    /// The transaction to look at.
    pub(super) tx: Option<&'a TxId>,
}

const fn duplicate(dialect: Dialect, is_settled: bool) -> &'static str {
    match (dialect, is_settled) {
        (Dialect::V2, true) => NONCE_USED,
        (Dialect::V2, false) | (Dialect::V1, _) => "duplicate_settlement",
    }
}

/// Why an outcome is not a success; nothing when it is one.
pub(super) fn shortfall(dialect: Dialect, outcome: &Outcome) -> Option<Shortfall<'_>> {
    let say = |reason, code, text: &str, tx| {
        Some(Shortfall {
            reason,
            code,
            text: text.to_owned(),
            tx,
        })
    };
    match outcome {
        Outcome::Settled { .. } => None,
        Outcome::Refused { rejection, .. } => say(
            settle_reason(dialect, rejection),
            code(rejection),
            &rejection.to_string(),
            None,
        ),
        Outcome::SetBack { setback, .. } => match setback {
            Setback::Reverted { tx } => say(
                "invalid_exact_evm_transaction_failed",
                "reverted",
                "the transaction was mined and failed; the authorization is unused until it expires",
                Some(tx),
            ),
            Setback::TransferMissing { tx } => say(
                EVENT_MISMATCH,
                "transfer_missing",
                "the transaction was mined without the transfer that the requirements ask for",
                Some(tx),
            ),
        },
        Outcome::Failed { proof, .. } => match proof {
            CannotLand::Cancelled { tx, .. } => say(
                NONCE_USED,
                "cancelled",
                "the payer cancelled the authorization",
                Some(tx),
            ),
            CannotLand::UsedOtherwise { tx, .. } => say(
                EVENT_MISMATCH,
                "used_otherwise",
                "the authorization was used for something other than the requirements ask for",
                Some(tx),
            ),
            CannotLand::WindowClosed { .. } => say(
                EXPIRED,
                "window_closed",
                "the authorization expired before it was used",
                None,
            ),
        },
        Outcome::Duplicate { tx, is_settled, .. } => {
            let reason = duplicate(dialect, *is_settled);
            say(
                reason,
                "duplicate",
                "this payment belongs to an earlier request",
                tx.as_ref(),
            )
        }
        Outcome::Pending { tx, .. } => say(
            "settlement_pending",
            "pending",
            "not settled yet; send the same request again to wait for it",
            tx.as_ref(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::amount::Amount;
    use crate::domain::id::PaymentId;
    use crate::domain::rail::ChainPoint;
    use crate::domain::time::Timestamp;

    /// Whether the API's description lists the reason.
    fn is_described(reason: &str) -> bool {
        include_str!("../../openapi.yaml").contains(&format!("        - {reason}\n"))
    }

    const SIMULATION: &str = "invalid_exact_evm_transaction_simulation_failed";

    /// Each refusal with its reason in version 1 and 2.
    fn rejections() -> Vec<(Rejection, &'static str, &'static str)> {
        let (text, at) = (|| "it".to_owned(), Timestamp(9));
        let same = |rejection, reason| (rejection, reason, reason);
        vec![
            same(Rejection::UnsupportedVersion, "invalid_x402_version"),
            same(Rejection::UnsupportedScheme(text()), "unsupported_scheme"),
            same(Rejection::UnsupportedNetwork(text()), "invalid_network"),
            same(
                Rejection::SchemeMismatch {
                    expected: text(),
                    found: text(),
                },
                "invalid_exact_evm_scheme",
            ),
            same(
                Rejection::NetworkMismatch { expected: text() },
                "invalid_exact_evm_network_mismatch",
            ),
            same(
                Rejection::MissingDomain { missing: "name" },
                "invalid_exact_evm_missing_eip712_domain",
            ),
            same(
                Rejection::FactoryNotAllowed { factory: text() },
                "eip6492_factory_not_allowed",
            ),
            same(
                Rejection::InvalidSignature { payer: text() },
                "invalid_exact_evm_signature",
            ),
            same(
                Rejection::RecipientMismatch {
                    expected: text(),
                    found: text(),
                },
                "invalid_exact_evm_recipient_mismatch",
            ),
            same(
                Rejection::Expired {
                    before: at,
                    now: at,
                    lifetime_min_seconds: 6,
                },
                "invalid_exact_evm_payload_authorization_valid_before",
            ),
            same(
                Rejection::NotYetValid { after: at, now: at },
                "invalid_exact_evm_payload_authorization_valid_after",
            ),
            (
                Rejection::AmountMismatch {
                    expected: Amount::ZERO,
                    found: Amount::ZERO,
                },
                "invalid_exact_evm_authorization_value",
                "invalid_exact_evm_payload_authorization_value_mismatch",
            ),
            same(
                Rejection::AssetNotDeployed { asset: text() },
                "asset_not_deployed_contract",
            ),
            same(
                Rejection::AuthorizationUnsupported { asset: text() },
                "invalid_exact_evm_eip3009_not_supported",
            ),
            same(
                Rejection::NonceUsed { nonce: text() },
                "invalid_exact_evm_nonce_already_used",
            ),
            same(
                Rejection::TokenNameMismatch {
                    expected: text(),
                    found: text(),
                },
                "invalid_exact_evm_token_name_mismatch",
            ),
            same(
                Rejection::TokenVersionMismatch {
                    expected: text(),
                    found: text(),
                },
                "invalid_exact_evm_token_version_mismatch",
            ),
            same(
                Rejection::InsufficientBalance {
                    balance: Amount::ZERO,
                    amount: Amount::ZERO,
                },
                "invalid_exact_evm_insufficient_balance",
            ),
            same(Rejection::SimulationFailed { reason: text() }, SIMULATION),
            same(Rejection::DeploymentFailed, SIMULATION),
            same(Rejection::Unacceptable(text()), "invalid_payment_requirements"),
        ]
    }

    #[test]
    fn every_refusal_has_its_word_in_each_version() {
        for (rejection, in_v1, in_v2) in rejections() {
            assert_eq!(verify_reason(Dialect::V1, &rejection), in_v1, "{rejection:?}");
            assert_eq!(verify_reason(Dialect::V2, &rejection), in_v2, "{rejection:?}");
            let is_deployment = rejection == Rejection::DeploymentFailed;
            for (dialect, reason) in [(Dialect::V1, in_v1), (Dialect::V2, in_v2)] {
                let expected = if is_deployment {
                    "smart_wallet_deployment_failed"
                } else {
                    reason
                };
                assert_eq!(settle_reason(dialect, &rejection), expected, "{rejection:?}");
                assert!(is_described(reason) && is_described(expected), "{rejection:?}");
            }
        }
    }

    #[test]
    fn our_codes_tell_every_refusal_apart() {
        let codes: std::collections::BTreeSet<_> = rejections().iter().map(|(it, _, _)| code(it)).collect();
        assert_eq!(codes.len(), rejections().len());
    }

    #[test]
    fn every_outcome_has_its_word_in_each_version() {
        let (payment, payer) = (PaymentId::mint(), || "0xpayer".to_owned());
        let tx = || TxId("0xtx".to_owned());
        let block = || ChainPoint {
            height: 1,
            hash: "0xb".to_owned(),
            time: Timestamp(1),
        };
        let set_back = |setback| Outcome::SetBack {
            payment,
            payer: payer(),
            setback,
        };
        let failed = |proof| Outcome::Failed {
            payment,
            payer: payer(),
            proof,
        };
        let duplicate = |tx, is_settled| Outcome::Duplicate {
            payer: payer(),
            tx,
            is_settled,
        };
        let pending = |tx| Outcome::Pending {
            payment,
            payer: payer(),
            tx,
        };
        let used = "invalid_exact_evm_nonce_already_used";
        let mismatch = "invalid_exact_evm_transfer_event_mismatch";
        let reverted = "invalid_exact_evm_transaction_failed";
        let expired = "invalid_exact_evm_payload_authorization_valid_before";
        let table = [
            (set_back(Setback::Reverted { tx: tx() }), reverted, reverted, true),
            (
                set_back(Setback::TransferMissing { tx: tx() }),
                mismatch,
                mismatch,
                true,
            ),
            (
                failed(CannotLand::Cancelled {
                    tx: tx(),
                    block: block(),
                }),
                used,
                used,
                true,
            ),
            (
                failed(CannotLand::UsedOtherwise {
                    tx: tx(),
                    block: block(),
                }),
                mismatch,
                mismatch,
                true,
            ),
            (
                failed(CannotLand::WindowClosed { block: block() }),
                expired,
                expired,
                false,
            ),
            (duplicate(Some(tx()), true), "duplicate_settlement", used, true),
            (
                duplicate(Some(tx()), false),
                "duplicate_settlement",
                "duplicate_settlement",
                true,
            ),
            (
                duplicate(None, false),
                "duplicate_settlement",
                "duplicate_settlement",
                false,
            ),
            (pending(Some(tx())), "settlement_pending", "settlement_pending", true),
            (pending(None), "settlement_pending", "settlement_pending", false),
        ];
        for (outcome, in_v1, in_v2, has_tx) in table {
            for (dialect, reason) in [(Dialect::V1, in_v1), (Dialect::V2, in_v2)] {
                let it = shortfall(dialect, &outcome).unwrap();
                assert_eq!((it.reason, it.tx.is_some()), (reason, has_tx), "{outcome:?}");
                assert!(is_described(reason), "{outcome:?}");
            }
        }
        assert!(
            shortfall(
                Dialect::V1,
                &Outcome::Settled {
                    payment,
                    payer: payer(),
                    tx: tx()
                }
            )
            .is_none()
        );
    }

    #[test]
    fn complaints_name_the_part_at_fault() {
        for (path, complaint) in [
            ("paymentRequirements.extra", Complaint::InvalidRequirements),
            ("paymentPayload.accepted.amount", Complaint::InvalidPayload),
            ("x402Version", Complaint::InvalidPayload),
        ] {
            let malformed = Malformed {
                path: path.to_owned(),
                expected: String::new(),
            };
            assert_eq!(Complaint::about(&malformed), complaint);
        }
    }

    #[test]
    fn every_complaint_has_its_words() {
        for (complaint, at_verify, at_settle) in [
            (Complaint::InvalidJson, "invalid_json", "invalid_json"),
            (Complaint::MissingParameters, "missing_parameters", "missing_parameters"),
            (Complaint::InvalidPayload, "invalid_payload", "invalid_payload"),
            (
                Complaint::InvalidRequirements,
                "invalid_payment_requirements",
                "invalid_payment_requirements",
            ),
            (Complaint::Conflict, "idempotency_conflict", "idempotency_conflict"),
            (
                Complaint::Unexpected,
                "unexpected_verify_error",
                "unexpected_settle_error",
            ),
        ] {
            assert_eq!(complaint.verify_reason(), at_verify);
            assert_eq!(complaint.settle_reason(), at_settle);
            assert!(is_described(at_verify) && is_described(at_settle));
        }
    }
}
