//! The words of `exact` on EVM chains (`@x402/evm` 2.27.0).

use super::Ending;
use crate::domain::rejection::Rejection;
use crate::wire::Dialect;

const EXPIRED: &str = "invalid_exact_evm_payload_authorization_valid_before";
const NONCE_USED: &str = "invalid_exact_evm_nonce_already_used";
const EVENT_MISMATCH: &str = "invalid_exact_evm_transfer_event_mismatch";

/// Why a payment is refused; what every family says alike is none of its words.
pub(super) const fn verify_reason(dialect: Dialect, rejection: &Rejection) -> &'static str {
    match rejection {
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
        Rejection::SimulationFailed { .. }
        | Rejection::DeploymentFailed
        | Rejection::Flawed(_)
        | Rejection::Screened
        | Rejection::Unscreened
        | Rejection::UnsupportedVersion
        | Rejection::UnsupportedScheme(_)
        | Rejection::UnsupportedNetwork(_)
        | Rejection::Unacceptable(_) => "invalid_exact_evm_transaction_simulation_failed",
    }
}

/// Why a settlement is no success.
pub(super) const fn ending(dialect: Dialect, ending: Ending) -> &'static str {
    match (ending, dialect) {
        (Ending::Reverted, _) => "invalid_exact_evm_transaction_failed",
        (Ending::TransferMissing | Ending::UsedOtherwise, _) => EVENT_MISMATCH,
        (Ending::Cancelled, _) | (Ending::DuplicateSettled, Dialect::V2) => NONCE_USED,
        (Ending::WindowClosed, _) => EXPIRED,
        (Ending::DuplicateSettled, Dialect::V1) | (Ending::Duplicate, _) => "duplicate_settlement",
    }
}
