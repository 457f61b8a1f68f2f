//! The words of `exact` on Solana (`@x402/svm` 2.27.0). Version 1 has the same words without their prefix for what is
//! not about the payload.

use super::Ending;
use crate::domain::flaw::{Flaw, SmartWalletFlaw};
use crate::domain::rejection::Rejection;
use crate::wire::Dialect;

/// Why a payment is refused; what every family says alike is none of its words.
pub(super) const fn verify_reason(dialect: Dialect, rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::SchemeMismatch { .. } => match dialect {
            Dialect::V1 => "unsupported_scheme",
            Dialect::V2 => "invalid_exact_svm_unsupported_scheme",
        },
        Rejection::NetworkMismatch { .. } => match dialect {
            Dialect::V1 => "network_mismatch",
            Dialect::V2 => "invalid_exact_svm_network_mismatch",
        },
        Rejection::RecipientMismatch { .. } => "invalid_exact_svm_payload_recipient_mismatch",
        Rejection::AmountMismatch { .. } => "invalid_exact_svm_payload_amount_mismatch",
        Rejection::InvalidSignature { .. } => "invalid_exact_svm_payload_signature_invalid",
        Rejection::MissingDomain { .. }
        | Rejection::FactoryNotAllowed { .. }
        | Rejection::Expired { .. }
        | Rejection::NotYetValid { .. }
        | Rejection::AssetNotDeployed { .. }
        | Rejection::AuthorizationUnsupported { .. }
        | Rejection::NonceUsed { .. }
        | Rejection::TokenNameMismatch { .. }
        | Rejection::TokenVersionMismatch { .. }
        | Rejection::InsufficientBalance { .. }
        | Rejection::SimulationFailed { .. }
        | Rejection::DeploymentFailed
        | Rejection::Flawed(_)
        | Rejection::Screened
        | Rejection::Unscreened
        | Rejection::UnsupportedVersion
        | Rejection::UnsupportedScheme(_)
        | Rejection::UnsupportedNetwork(_)
        | Rejection::Unacceptable(_) => simulation_failed(dialect),
    }
}

const fn simulation_failed(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V1 => "transaction_simulation_failed",
        Dialect::V2 => "invalid_exact_svm_transaction_simulation_failed",
    }
}

/// What is wrong with the payer's transaction.
pub(super) const fn flaw(dialect: Dialect, flaw: &Flaw) -> &'static str {
    match flaw {
        Flaw::FeePayerMissing => "invalid_exact_svm_payload_missing_fee_payer",
        Flaw::FeePayerUnknown { .. } => match dialect {
            Dialect::V1 => "fee_payer_not_managed_by_facilitator",
            Dialect::V2 => "invalid_exact_svm_fee_payer_not_managed_by_facilitator",
        },
        Flaw::Undecodable { .. } => "invalid_exact_svm_payload_transaction_could_not_be_decoded",
        Flaw::TooManySigners { .. } => "invalid_exact_svm_payload_excessive_signers",
        Flaw::FeePayerMismatch { .. } => "invalid_exact_svm_fee_payer_mismatch",
        Flaw::SignatureInvalid { .. } => "invalid_exact_svm_payload_signature_invalid",
        Flaw::LookupTables => "invalid_exact_svm_smart_wallet_alt_resolution_not_available",
        Flaw::LookupTableUnresolved { .. } => "invalid_exact_svm_smart_wallet_alt_resolution_failed",
        Flaw::InstructionCount { .. } => "invalid_exact_svm_payload_transaction_instructions_length",
        Flaw::ComputeLimitMissing => "invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction",
        Flaw::ComputeLimitTooHigh { .. } => {
            "invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction_too_high"
        }
        Flaw::ComputePriceMissing => "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction",
        Flaw::ComputePriceTooHigh { .. } => {
            "invalid_exact_svm_payload_transaction_instructions_compute_price_instruction_too_high"
        }
        Flaw::NoTransfer => "invalid_exact_svm_payload_no_transfer_instruction",
        Flaw::FeePayerTransfers { .. } => "invalid_exact_svm_payload_transaction_fee_payer_transferring_funds",
        // The specification forbids both, and the reference package has no word of its own for them.
        Flaw::FeePayerExposed { .. } | Flaw::SelfTransfer { .. } => "invalid_exact_svm_payload_transaction",
        Flaw::MintMismatch { .. } => "invalid_exact_svm_payload_mint_mismatch",
        Flaw::DestinationMismatch { .. } => "invalid_exact_svm_payload_recipient_mismatch",
        Flaw::UnknownInstruction { position } => match position {
            4 => "invalid_exact_svm_payload_unknown_fourth_instruction",
            5 => "invalid_exact_svm_payload_unknown_fifth_instruction",
            6 => "invalid_exact_svm_payload_unknown_sixth_instruction",
            7 => "invalid_exact_svm_payload_unknown_seventh_instruction",
            _ => "invalid_exact_svm_payload_unknown_optional_instruction",
        },
        Flaw::MemoCount { .. } => "invalid_exact_svm_payload_memo_count",
        Flaw::MemoMismatch => "invalid_exact_svm_payload_memo_mismatch",
        Flaw::DecimalsMismatch { .. } | Flaw::BlockhashTooOld | Flaw::DestinationMissing { .. } => {
            simulation_failed(dialect)
        }
        Flaw::SmartWallet(flaw) => smart_wallet(flaw),
    }
}

const fn smart_wallet(flaw: &SmartWalletFlaw) -> &'static str {
    match flaw {
        SmartWalletFlaw::ProgramNotAllowed { .. } => "invalid_exact_svm_smart_wallet_program_not_allowed",
        SmartWalletFlaw::FeePayerNotIsolated => "invalid_exact_svm_smart_wallet_fee_payer_not_isolated",
        SmartWalletFlaw::MalformedComputeBudget => "invalid_exact_svm_smart_wallet_malformed_compute_budget",
        SmartWalletFlaw::MalformedComputeLimit => "invalid_exact_svm_smart_wallet_malformed_compute_limit",
        SmartWalletFlaw::MalformedComputePrice => "invalid_exact_svm_smart_wallet_malformed_compute_price",
        SmartWalletFlaw::UnsupportedComputeBudget => {
            "invalid_exact_svm_smart_wallet_unsupported_compute_budget_instruction"
        }
        SmartWalletFlaw::ComputeBudgetViolation => "invalid_exact_svm_smart_wallet_compute_budget_violation",
        SmartWalletFlaw::ComputeUnitsTooHigh { .. } => "invalid_exact_svm_smart_wallet_compute_units_too_high",
        SmartWalletFlaw::PriorityFeeTooHigh { .. } => "invalid_exact_svm_smart_wallet_priority_fee_too_high",
        SmartWalletFlaw::SimulationFailed { .. } => "invalid_exact_svm_smart_wallet_simulation_failed",
        SmartWalletFlaw::NoTransfer => "invalid_exact_svm_smart_wallet_no_transfer_in_simulation",
        SmartWalletFlaw::TransferMismatch => "invalid_exact_svm_smart_wallet_transfer_mismatch",
        SmartWalletFlaw::MultipleTransfers => "invalid_exact_svm_smart_wallet_multiple_matching_transfers",
        SmartWalletFlaw::VerificationUnavailable => "invalid_exact_svm_smart_wallet_verification_not_available",
    }
}

/// Our own code for a flaw.
pub(super) const fn code(flaw: &Flaw) -> &'static str {
    match flaw {
        Flaw::FeePayerMissing => "fee_payer_missing",
        Flaw::FeePayerUnknown { .. } => "fee_payer_unknown",
        Flaw::Undecodable { .. } => "transaction_undecodable",
        Flaw::TooManySigners { .. } => "too_many_signers",
        Flaw::FeePayerMismatch { .. } => "fee_payer_mismatch",
        Flaw::SignatureInvalid { .. } => "signature_invalid",
        Flaw::LookupTables => "lookup_tables",
        Flaw::LookupTableUnresolved { .. } => "lookup_table_unresolved",
        Flaw::InstructionCount { .. } => "instruction_count",
        Flaw::ComputeLimitMissing => "compute_limit_missing",
        Flaw::ComputeLimitTooHigh { .. } => "compute_limit_too_high",
        Flaw::ComputePriceMissing => "compute_price_missing",
        Flaw::ComputePriceTooHigh { .. } => "compute_price_too_high",
        Flaw::NoTransfer => "no_transfer",
        Flaw::FeePayerTransfers { .. } => "fee_payer_transfers",
        Flaw::FeePayerExposed { .. } => "fee_payer_exposed",
        Flaw::MintMismatch { .. } => "mint_mismatch",
        Flaw::DecimalsMismatch { .. } => "decimals_mismatch",
        Flaw::DestinationMismatch { .. } => "destination_mismatch",
        Flaw::SelfTransfer { .. } => "self_transfer",
        Flaw::UnknownInstruction { .. } => "unknown_instruction",
        Flaw::MemoCount { .. } => "memo_count",
        Flaw::MemoMismatch => "memo_mismatch",
        Flaw::BlockhashTooOld => "blockhash_too_old",
        Flaw::DestinationMissing { .. } => "destination_missing",
        Flaw::SmartWallet(flaw) => smart_wallet_code(flaw),
    }
}

const fn smart_wallet_code(flaw: &SmartWalletFlaw) -> &'static str {
    match flaw {
        SmartWalletFlaw::ProgramNotAllowed { .. } => "program_not_allowed",
        SmartWalletFlaw::FeePayerNotIsolated => "fee_payer_not_isolated",
        SmartWalletFlaw::MalformedComputeBudget => "malformed_compute_budget",
        SmartWalletFlaw::MalformedComputeLimit => "malformed_compute_limit",
        SmartWalletFlaw::MalformedComputePrice => "malformed_compute_price",
        SmartWalletFlaw::UnsupportedComputeBudget => "unsupported_compute_budget",
        SmartWalletFlaw::ComputeBudgetViolation => "compute_budget_violation",
        SmartWalletFlaw::ComputeUnitsTooHigh { .. } => "compute_units_too_high",
        SmartWalletFlaw::PriorityFeeTooHigh { .. } => "priority_fee_too_high",
        SmartWalletFlaw::SimulationFailed { .. } => "smart_wallet_simulation_failed",
        SmartWalletFlaw::NoTransfer => "no_inner_transfer",
        SmartWalletFlaw::TransferMismatch => "inner_transfer_mismatch",
        SmartWalletFlaw::MultipleTransfers => "multiple_inner_transfers",
        SmartWalletFlaw::VerificationUnavailable => "verification_unavailable",
    }
}

/// Why a settlement is no success.
pub(super) const fn ending(dialect: Dialect, ending: Ending) -> &'static str {
    match (ending, dialect) {
        (Ending::Reverted | Ending::Cancelled | Ending::WindowClosed, Dialect::V1) => "transaction_failed",
        (Ending::Reverted | Ending::Cancelled | Ending::WindowClosed, Dialect::V2) => {
            "invalid_exact_svm_transaction_failed"
        }
        (Ending::TransferMissing | Ending::UsedOtherwise, _) => "post_settlement_transfer_not_confirmed",
        (Ending::DuplicateSettled | Ending::Duplicate, _) => "duplicate_settlement",
    }
}
