//! Solana's words, as the reference package has them.

use super::*;
use crate::domain::amount::Amount;
use crate::domain::flaw::{Flaw, SmartWalletFlaw};

/// Whether the API's description lists the reason.
fn is_described(reason: &str) -> bool {
    include_str!("../../../openapi.yaml").contains(&format!("        - {reason}\n"))
}

/// Each flaw of a Solana transaction with its reason in version 1 and 2, without their common beginning where they have
/// it.
fn flaws() -> Vec<(Flaw, &'static str, &'static str)> {
    let text = || "it".to_owned();
    let payload = |flaw, rest| (flaw, rest, rest);
    let (limit, price) = (
        "payload_transaction_instructions_compute_limit_instruction",
        "payload_transaction_instructions_compute_price_instruction",
    );
    let (expected, found) = (text(), text());
    let unknown = |position| Flaw::UnknownInstruction { position };
    let simulation = |flaw| (flaw, "!transaction_simulation_failed", "transaction_simulation_failed");
    vec![
        payload(Flaw::FeePayerMissing, "payload_missing_fee_payer"),
        (
            Flaw::FeePayerUnknown { found: text() },
            "!fee_payer_not_managed_by_facilitator",
            "fee_payer_not_managed_by_facilitator",
        ),
        payload(
            Flaw::Undecodable { why: "it" },
            "payload_transaction_could_not_be_decoded",
        ),
        payload(Flaw::TooManySigners { found: 4, max: 3 }, "payload_excessive_signers"),
        payload(Flaw::FeePayerMismatch { expected, found }, "fee_payer_mismatch"),
        payload(Flaw::SignatureInvalid { signer: text() }, "payload_signature_invalid"),
        payload(Flaw::LookupTables, "smart_wallet_alt_resolution_not_available"),
        payload(
            Flaw::LookupTableUnresolved { table: text() },
            "smart_wallet_alt_resolution_failed",
        ),
        payload(
            Flaw::InstructionCount {
                found: 2,
                min: 3,
                max: 7,
            },
            "payload_transaction_instructions_length",
        ),
        payload(Flaw::ComputeLimitMissing, limit),
        (
            Flaw::ComputeLimitTooHigh { found: 2, max: 1 },
            "payload_transaction_instructions_compute_limit_instruction_too_high",
            "payload_transaction_instructions_compute_limit_instruction_too_high",
        ),
        payload(Flaw::ComputePriceMissing, price),
        (
            Flaw::ComputePriceTooHigh { found: 2, max: 1 },
            "payload_transaction_instructions_compute_price_instruction_too_high",
            "payload_transaction_instructions_compute_price_instruction_too_high",
        ),
        payload(Flaw::NoTransfer, "payload_no_transfer_instruction"),
        payload(
            Flaw::FeePayerTransfers { found: text() },
            "payload_transaction_fee_payer_transferring_funds",
        ),
        payload(Flaw::FeePayerExposed { position: 4 }, "payload_transaction"),
        payload(Flaw::SelfTransfer { account: text() }, "payload_transaction"),
        payload(
            Flaw::MintMismatch {
                expected: text(),
                found: text(),
            },
            "payload_mint_mismatch",
        ),
        simulation(Flaw::DecimalsMismatch { expected: 6, found: 9 }),
        payload(
            Flaw::DestinationMismatch {
                expected: text(),
                found: text(),
                owner: text(),
            },
            "payload_recipient_mismatch",
        ),
        payload(unknown(4), "payload_unknown_fourth_instruction"),
        payload(unknown(5), "payload_unknown_fifth_instruction"),
        payload(unknown(6), "payload_unknown_sixth_instruction"),
        payload(unknown(7), "payload_unknown_seventh_instruction"),
        payload(unknown(8), "payload_unknown_optional_instruction"),
        payload(Flaw::MemoCount { found: 0 }, "payload_memo_count"),
        payload(Flaw::MemoMismatch, "payload_memo_mismatch"),
        simulation(Flaw::BlockhashTooOld),
        simulation(Flaw::DestinationMissing {
            owner: text(),
            mint: text(),
            account: text(),
        }),
    ]
}

fn smart_wallet_flaws() -> Vec<(SmartWalletFlaw, &'static str)> {
    let text = || "it".to_owned();
    vec![
        (
            SmartWalletFlaw::ProgramNotAllowed { program: text() },
            "program_not_allowed",
        ),
        (SmartWalletFlaw::FeePayerNotIsolated, "fee_payer_not_isolated"),
        (SmartWalletFlaw::MalformedComputeBudget, "malformed_compute_budget"),
        (SmartWalletFlaw::MalformedComputeLimit, "malformed_compute_limit"),
        (SmartWalletFlaw::MalformedComputePrice, "malformed_compute_price"),
        (
            SmartWalletFlaw::UnsupportedComputeBudget,
            "unsupported_compute_budget_instruction",
        ),
        (SmartWalletFlaw::ComputeBudgetViolation, "compute_budget_violation"),
        (
            SmartWalletFlaw::ComputeUnitsTooHigh { found: 2, max: 1 },
            "compute_units_too_high",
        ),
        (
            SmartWalletFlaw::PriorityFeeTooHigh { found: 2, max: 1 },
            "priority_fee_too_high",
        ),
        (
            SmartWalletFlaw::SimulationFailed { reason: text() },
            "simulation_failed",
        ),
        (SmartWalletFlaw::NoTransfer, "no_transfer_in_simulation"),
        (SmartWalletFlaw::TransferMismatch, "transfer_mismatch"),
        (SmartWalletFlaw::MultipleTransfers, "multiple_matching_transfers"),
        (SmartWalletFlaw::VerificationUnavailable, "verification_not_available"),
    ]
}

/// The whole reason: what begins with `!` is whole already.
fn whole(rest: &str, prefix: &str) -> String {
    rest.strip_prefix('!')
        .map_or_else(|| format!("{prefix}{rest}"), ToOwned::to_owned)
}

#[test]
fn every_flaw_has_its_word_in_each_version() {
    let smart = |(flaw, rest): (SmartWalletFlaw, &str)| {
        let reason = whole(rest, "invalid_exact_svm_smart_wallet_");
        (Flaw::SmartWallet(flaw), reason.clone(), reason)
    };
    let prefixed = |(flaw, in_v1, in_v2): (Flaw, &str, &str)| {
        (
            flaw,
            whole(in_v1, "invalid_exact_svm_"),
            whole(in_v2, "invalid_exact_svm_"),
        )
    };
    let table = flaws().into_iter().map(prefixed);
    let mut codes = std::collections::BTreeMap::new();
    for (flaw, in_v1, in_v2) in table.chain(smart_wallet_flaws().into_iter().map(smart)) {
        let discriminant = if let Flaw::SmartWallet(inner) = &flaw {
            format!("{:?}", std::mem::discriminant(inner))
        } else {
            format!("{:?}", std::mem::discriminant(&flaw))
        };
        let rejection = Rejection::Flawed(flaw);
        for (dialect, reason) in [(Dialect::V1, in_v1), (Dialect::V2, in_v2)] {
            assert_eq!(verify_reason(Family::Svm, dialect, &rejection), reason);
            assert_eq!(settle_reason(Family::Svm, dialect, &rejection), reason);
            assert!(is_described(&reason), "{reason}");
        }
        codes
            .entry(code(&rejection))
            .or_insert_with(Vec::new)
            .push(discriminant);
    }
    for (code, flaws) in codes {
        let distinct: std::collections::BTreeSet<_> = flaws.iter().collect();
        assert_eq!(distinct.len(), 1, "{code} is said of several flaws");
    }
}

#[test]
fn solana_has_words_of_its_own_for_what_is_refused_everywhere() {
    let text = || "it".to_owned();
    let amount = Amount::ZERO;
    let (expected, found) = (text(), text());
    for (rejection, in_v1, in_v2) in [
        (
            Rejection::SchemeMismatch { expected, found },
            "unsupported_scheme",
            "invalid_exact_svm_unsupported_scheme",
        ),
        (
            Rejection::NetworkMismatch { expected: text() },
            "network_mismatch",
            "invalid_exact_svm_network_mismatch",
        ),
        (
            Rejection::AmountMismatch {
                expected: amount,
                found: amount,
            },
            "invalid_exact_svm_payload_amount_mismatch",
            "invalid_exact_svm_payload_amount_mismatch",
        ),
        (
            Rejection::InsufficientBalance {
                balance: amount,
                amount,
            },
            "transaction_simulation_failed",
            "invalid_exact_svm_transaction_simulation_failed",
        ),
        (
            Rejection::SimulationFailed { reason: text() },
            "transaction_simulation_failed",
            "invalid_exact_svm_transaction_simulation_failed",
        ),
        (Rejection::Screened, "payment_rejected", "payment_rejected"),
        (Rejection::Unscreened, "screening_unavailable", "screening_unavailable"),
        (
            Rejection::Unacceptable(text()),
            "invalid_payment_requirements",
            "invalid_payment_requirements",
        ),
    ] {
        for (dialect, reason) in [(Dialect::V1, in_v1), (Dialect::V2, in_v2)] {
            assert_eq!(verify_reason(Family::Svm, dialect, &rejection), reason, "{rejection:?}");
            assert!(is_described(reason), "{reason}");
        }
    }
}

#[test]
fn every_ending_on_solana_has_its_word_in_each_version() {
    let (failed, prefixed) = ("transaction_failed", "invalid_exact_svm_transaction_failed");
    for (how, in_v1, in_v2) in [
        (Ending::Reverted, failed, prefixed),
        (Ending::WindowClosed, failed, prefixed),
        (
            Ending::TransferMissing,
            "post_settlement_transfer_not_confirmed",
            "post_settlement_transfer_not_confirmed",
        ),
        (
            Ending::UsedOtherwise,
            "post_settlement_transfer_not_confirmed",
            "post_settlement_transfer_not_confirmed",
        ),
        (Ending::DuplicateSettled, "duplicate_settlement", "duplicate_settlement"),
        (Ending::Duplicate, "duplicate_settlement", "duplicate_settlement"),
    ] {
        assert_eq!(ending(Family::Svm, Dialect::V1, how), in_v1, "{how:?}");
        assert_eq!(ending(Family::Svm, Dialect::V2, how), in_v2, "{how:?}");
        assert!(is_described(in_v1) && is_described(in_v2));
    }
}

#[test]
fn the_family_is_read_from_the_networks_name() {
    for (dialect, network, family) in [
        (Dialect::V1, "solana", Family::Svm),
        (Dialect::V1, "solana-devnet", Family::Svm),
        (Dialect::V1, "base", Family::Evm),
        (Dialect::V1, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", Family::Evm),
        (Dialect::V2, "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", Family::Svm),
        (Dialect::V2, "eip155:1", Family::Evm),
        (Dialect::V2, "unknown:unknown", Family::Evm),
    ] {
        assert_eq!(Family::of(dialect, network), family, "{network}");
    }
}
