//! Every refusal and every outcome has its word in each version and family.

use super::*;
use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::rail::ChainPoint;
use crate::domain::time::Timestamp;

/// Whether the API's description lists the reason.
fn is_described(reason: &str) -> bool {
    include_str!("../../../openapi.yaml").contains(&format!("        - {reason}\n"))
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
        same(Rejection::Screened, "payment_rejected"),
        same(Rejection::Unscreened, "screening_unavailable"),
    ]
}

#[test]
fn every_refusal_has_its_word_in_each_version() {
    for (rejection, in_v1, in_v2) in rejections() {
        assert_eq!(
            verify_reason(Family::Evm, Dialect::V1, &rejection),
            in_v1,
            "{rejection:?}"
        );
        assert_eq!(
            verify_reason(Family::Evm, Dialect::V2, &rejection),
            in_v2,
            "{rejection:?}"
        );
        let is_deployment = rejection == Rejection::DeploymentFailed;
        for (dialect, reason) in [(Dialect::V1, in_v1), (Dialect::V2, in_v2)] {
            let expected = if is_deployment {
                "smart_wallet_deployment_failed"
            } else {
                reason
            };
            assert_eq!(
                settle_reason(Family::Evm, dialect, &rejection),
                expected,
                "{rejection:?}"
            );
            assert!(is_described(reason) && is_described(expected), "{rejection:?}");
        }
    }
}

#[test]
fn our_codes_tell_every_refusal_apart() {
    let codes: std::collections::BTreeSet<_> = rejections().iter().map(|(it, _, _)| code(it)).collect();
    assert_eq!(codes.len(), rejections().len());
}

/// Each outcome that is no success, with its reason in version 1 and 2, and whether it names a transaction.
fn shortfalls() -> Vec<(Outcome, &'static str, &'static str, bool)> {
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
    vec![
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
            failed(CannotLand::FailedOnChain {
                tx: tx(),
                block: block(),
            }),
            reverted,
            reverted,
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
    ]
}

#[test]
fn every_outcome_has_its_word_in_each_version() {
    for (outcome, in_v1, in_v2, has_tx) in shortfalls() {
        for (dialect, reason) in [(Dialect::V1, in_v1), (Dialect::V2, in_v2)] {
            let it = shortfall(Family::Evm, dialect, &outcome).unwrap();
            assert_eq!((it.reason, it.tx.is_some()), (reason, has_tx), "{outcome:?}");
            assert!(is_described(reason), "{outcome:?}");
        }
    }
    assert!(
        shortfall(
            Family::Evm,
            Dialect::V1,
            &Outcome::Settled {
                payment: PaymentId::mint(),
                payer: "0xpayer".to_owned(),
                tx: TxId("0xtx".to_owned())
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
        (Complaint::BudgetExhausted, "budget_exhausted", "budget_exhausted"),
        (Complaint::RateLimited, "rate_limited", "rate_limited"),
        (Complaint::ChainStalled, "chain_stalled", "chain_stalled"),
        (Complaint::Unauthorized, "unauthorized", "unauthorized"),
        (Complaint::Forbidden, "forbidden", "forbidden"),
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
