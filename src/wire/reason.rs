//! x402's words for why something did not happen: the only place with reason strings.
//!
//! Strings are those of the reference TypeScript packages, one set for each version and family of chains (`@x402/core`,
//! `@x402/evm` and `@x402/svm` 2.27.0, `exact/facilitator` and `exact/v1/facilitator`). Official clients branch on none
//! of them except `settlement_pending`. Beside each stands a code of our own that is the same everywhere and begins the
//! human-readable message. The reference appends what it found to a few reasons; ours stay as they are, and what was
//! found stands in the message.

mod evm;
mod svm;

use crate::domain::outcome::Outcome;
use crate::domain::rail::TxId;
use crate::domain::rejection::{Malformed, Rejection};
use crate::domain::settlement::{CannotLand, Setback};
use crate::wire::{Dialect, names};

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
    /// What settling may cost is used up for now.
    BudgetExhausted,
    /// The caller asks too often.
    RateLimited,
    /// The chain makes no blocks now.
    ChainStalled,
    /// Nobody knows who asks.
    Unauthorized,
    /// Whoever asks may not ask for this.
    Forbidden,
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
            // Nor for these, 429.
            Self::BudgetExhausted => "budget_exhausted",
            Self::RateLimited => "rate_limited",
            // Nor for what only some of the 503 are.
            Self::ChainStalled => "chain_stalled",
            // Nor for these, 401 and 403.
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Unexpected => "unexpected_settle_error",
        }
    }
}

/// Whose words to speak: each family of chains has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `eip155`, and whatever cannot be told.
    Evm,
    /// `solana`.
    Svm,
}

impl Family {
    /// The family of a network as the request writes it.
    pub(super) fn of(dialect: Dialect, network_text: &str) -> Self {
        let is_solana = match dialect {
            Dialect::V1 => names::network_named(network_text).is_some_and(|it| it.namespace() == "solana"),
            Dialect::V2 => network_text.starts_with("solana:"),
        };
        if is_solana { Self::Svm } else { Self::Evm }
    }
}

/// What may become of a payment on its way, each with a word of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Reverted,
    TransferMissing,
    Cancelled,
    UsedOtherwise,
    WindowClosed,
    DuplicateSettled,
    Duplicate,
}

/// Why a payment is refused, in the words for `/verify`.
pub(super) const fn verify_reason(family: Family, dialect: Dialect, rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::UnsupportedVersion => "invalid_x402_version",
        Rejection::UnsupportedScheme(_) => "unsupported_scheme",
        Rejection::UnsupportedNetwork(_) => "invalid_network",
        Rejection::Unacceptable(_) => "invalid_payment_requirements",
        // The protocol has no words for these two.
        Rejection::Screened => "payment_rejected",
        Rejection::Unscreened => "screening_unavailable",
        Rejection::Flawed(flaw) => svm::flaw(dialect, flaw),
        Rejection::SchemeMismatch { .. }
        | Rejection::NetworkMismatch { .. }
        | Rejection::MissingDomain { .. }
        | Rejection::FactoryNotAllowed { .. }
        | Rejection::InvalidSignature { .. }
        | Rejection::RecipientMismatch { .. }
        | Rejection::Expired { .. }
        | Rejection::NotYetValid { .. }
        | Rejection::AmountMismatch { .. }
        | Rejection::AssetNotDeployed { .. }
        | Rejection::AuthorizationUnsupported { .. }
        | Rejection::NonceUsed { .. }
        | Rejection::TokenNameMismatch { .. }
        | Rejection::TokenVersionMismatch { .. }
        | Rejection::InsufficientBalance { .. }
        | Rejection::SimulationFailed { .. }
        | Rejection::DeploymentFailed => match family {
            Family::Evm => evm::verify_reason(dialect, rejection),
            Family::Svm => svm::verify_reason(dialect, rejection),
        },
    }
}

/// Why a payment is refused, in the words for `/settle`.
const fn settle_reason(family: Family, dialect: Dialect, rejection: &Rejection) -> &'static str {
    if matches!(rejection, Rejection::DeploymentFailed) {
        return "smart_wallet_deployment_failed";
    }
    verify_reason(family, dialect, rejection)
}

const fn ending(family: Family, dialect: Dialect, ending: Ending) -> &'static str {
    match family {
        Family::Evm => evm::ending(dialect, ending),
        Family::Svm => svm::ending(dialect, ending),
    }
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
        Rejection::Screened => "payment_rejected",
        Rejection::Unscreened => "screening_unavailable",
        Rejection::Flawed(flaw) => svm::code(flaw),
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

/// Why an outcome is not a success; nothing when it is one.
pub(super) fn shortfall(family: Family, dialect: Dialect, outcome: &Outcome) -> Option<Shortfall<'_>> {
    let say = |reason, code, text: &str, tx| {
        Some(Shortfall {
            reason,
            code,
            text: text.to_owned(),
            tx,
        })
    };
    let word = |how| ending(family, dialect, how);
    match outcome {
        Outcome::Settled { .. } => None,
        Outcome::Refused { rejection, .. } => say(
            settle_reason(family, dialect, rejection),
            code(rejection),
            &rejection.to_string(),
            None,
        ),
        Outcome::SetBack { setback, .. } => {
            let text = match (setback, family) {
                (Setback::Reverted { .. }, Family::Evm) => {
                    "the transaction was mined and failed; the authorization is unused until it expires"
                }
                (Setback::Reverted { .. }, Family::Svm) => "the transaction was processed and failed",
                (Setback::TransferMissing { .. }, _) => {
                    "the transaction was mined without the transfer that the requirements ask for"
                }
            };
            match setback {
                Setback::Reverted { tx } => say(word(Ending::Reverted), "reverted", text, Some(tx)),
                Setback::TransferMissing { tx } => {
                    say(word(Ending::TransferMissing), "transfer_missing", text, Some(tx))
                }
            }
        }
        Outcome::Failed { proof, .. } => {
            let (how, text) = match proof {
                CannotLand::Cancelled { .. } => (Ending::Cancelled, "the payer cancelled the authorization"),
                CannotLand::UsedOtherwise { .. } => (
                    Ending::UsedOtherwise,
                    "the authorization was used for something other than the requirements ask for",
                ),
                CannotLand::FailedOnChain { .. } => (
                    Ending::Reverted,
                    "the transaction failed on the chain and can never be processed again",
                ),
                CannotLand::WindowClosed { .. } => {
                    (Ending::WindowClosed, "the authorization expired before it was used")
                }
            };
            say(word(how), proof.as_str(), text, proof.tx())
        }
        Outcome::Duplicate { tx, is_settled, .. } => {
            let how = if *is_settled {
                Ending::DuplicateSettled
            } else {
                Ending::Duplicate
            };
            let text = "this payment belongs to an earlier request";
            say(word(how), "duplicate", text, tx.as_ref())
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
mod svm_tests;
#[cfg(test)]
mod tests;
