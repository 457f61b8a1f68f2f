//! What the chain says about a payment before it is settled, as a rail reports it.

use crate::domain::amount::Amount;
use crate::domain::flaw::Flaw;

/// What the chain says about a payment before it is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a separate observation, none is a state"
)]
pub struct Facts {
    /// A block at which the authorization was unused: whatever becomes of it is found from there on.
    pub height: u64,
    /// What is wrong with the payer's transaction, where the chain had to be asked to find out.
    pub flaw: Option<Flaw>,
    /// Who pays, where only the chain can tell.
    pub payer: Option<String>,
    /// The signature authorizes the transfer for the payer, by the rule that the payer's code (or lack of it)
    /// makes the token apply.
    pub signature_valid: bool,
    /// Set when the payer's wallet does not exist and its factory may not be called: the factory.
    pub factory_refused: Option<String>,
    /// The asset is a contract.
    pub asset_deployed: bool,
    /// The asset is one that this facilitator is configured for.
    pub asset_listed: bool,
    /// Set when the requirements state another domain for the asset than it has.
    pub asset_misnamed: Option<Misnamed>,
    /// Whether the authorization can still be used.
    pub authorization: AuthorizationState,
    /// What the payer holds of the asset.
    pub balance: Amount,
    /// What the exact transfer does when it is tried.
    pub transfer: Simulation,
    /// Who owns the accounts that the money leaves and enters, where those are accounts of their own; at most two.
    pub holders: Vec<String>,
    /// The payer's account runs code of its own, so that the payment must not share a transaction.
    pub must_go_alone: bool,
}

/// How the requirements misname an asset, so that what is signed under their words is nothing to the asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misnamed {
    /// By another name.
    Name {
        /// The asset's.
        expected: String,
        /// The requirements'.
        found: String,
    },
    /// By another version.
    Version {
        /// The asset's.
        expected: String,
        /// The requirements'.
        found: String,
    },
}

/// Whether an authorization can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationState {
    /// Neither used nor cancelled.
    Unused,
    /// Used or cancelled.
    Used,
    /// The asset does not know such authorizations.
    Unsupported,
}

/// What the exact transfer does when it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Simulation {
    /// It succeeds, and the recipient has this much more.
    Succeeded {
        /// Atomic units that arrived.
        received: Amount,
    },
    /// It fails with the chain's words, bounded and printable.
    Failed {
        /// The words.
        reason: String,
    },
    /// The payer's wallet could not be deployed.
    DeploymentFailed,
}
