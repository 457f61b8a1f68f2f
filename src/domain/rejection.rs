//! Why a payment is refused: a closed list. The wire's reason strings for each stand in `wire::reason`.

use crate::domain::amount::Amount;
use crate::domain::flaw::Flaw;
use crate::domain::time::Timestamp;

/// A rule that the payment breaks. Display says what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The envelope's version is neither 1 nor 2.
    #[error("x402Version must be 1 or 2")]
    UnsupportedVersion,
    /// No rail serves this scheme.
    #[error("this facilitator does not serve the scheme {0}")]
    UnsupportedScheme(String),
    /// No rail serves this network.
    #[error("this facilitator does not serve the network {0}")]
    UnsupportedNetwork(String),
    /// The payload was made for another scheme than the requirements ask for.
    #[error("the payload's scheme is {found}, the requirements ask for {expected}")]
    SchemeMismatch {
        /// What the requirements name.
        expected: String,
        /// What the payload names.
        found: String,
    },
    /// The payload was made for another network than the requirements ask for.
    #[error("the payload's network is not the requirements' network {expected}")]
    NetworkMismatch {
        /// What the requirements name.
        expected: String,
    },
    /// The token's EIP-712 domain is missing from the requirements.
    #[error("paymentRequirements.extra.{missing} is missing: the token's EIP-712 domain needs name and version")]
    MissingDomain {
        /// The absent key.
        missing: &'static str,
    },
    /// The payer's wallet is not deployed and its factory is not on the allowlist.
    #[error("the wallet factory {factory} is not on this facilitator's allowlist")]
    FactoryNotAllowed {
        /// The factory's address.
        factory: String,
    },
    /// The signature does not authorize this transfer for this payer.
    #[error("the signature does not authorize this transfer for {payer}")]
    InvalidSignature {
        /// The claimed payer.
        payer: String,
    },
    /// The authorization pays somebody else.
    #[error("the authorization pays {found}, the requirements ask for {expected}")]
    RecipientMismatch {
        /// What the requirements ask for.
        expected: String,
        /// What was signed.
        found: String,
    },
    /// The authorization has expired or is about to.
    #[error("the authorization ends at {before}; it must be valid for {lifetime_min_seconds} s from now, {now}", before = .before.0, now = .now.0)]
    Expired {
        /// When it ends.
        before: Timestamp,
        /// When it was judged.
        now: Timestamp,
        /// The least remaining lifetime.
        lifetime_min_seconds: u64,
    },
    /// The authorization has not begun.
    #[error("the authorization is valid only after {after}, now is {now}", after = .after.0, now = .now.0)]
    NotYetValid {
        /// When it begins.
        after: Timestamp,
        /// When it was judged.
        now: Timestamp,
    },
    /// The amount signed is not the price.
    #[error("the authorization is for {found} atomic units, the requirements ask for exactly {expected}")]
    AmountMismatch {
        /// The price.
        expected: Amount,
        /// What was signed.
        found: Amount,
    },
    /// There is no contract at the asset's address.
    #[error("there is no contract at the asset {asset}")]
    AssetNotDeployed {
        /// The asset.
        asset: String,
    },
    /// The asset does not know this kind of authorization.
    #[error("the asset {asset} does not implement EIP-3009")]
    AuthorizationUnsupported {
        /// The asset.
        asset: String,
    },
    /// The authorization was used or cancelled before.
    #[error("the authorization with nonce {nonce} has been used or cancelled")]
    NonceUsed {
        /// The authorization's nonce.
        nonce: String,
    },
    /// The token calls itself otherwise.
    #[error("the token's EIP-712 name is {expected:?}, the requirements say {found:?}")]
    TokenNameMismatch {
        /// The token's.
        expected: String,
        /// The requirements'.
        found: String,
    },
    /// The token's domain has another version.
    #[error("the token's EIP-712 version is {expected:?}, the requirements say {found:?}")]
    TokenVersionMismatch {
        /// The token's.
        expected: String,
        /// The requirements'.
        found: String,
    },
    /// The payer does not have the money.
    #[error("the payer holds {balance} atomic units and must pay {amount}")]
    InsufficientBalance {
        /// What the payer holds.
        balance: Amount,
        /// What it must pay.
        amount: Amount,
    },
    /// The transfer would fail for another reason.
    #[error("the transfer would fail: {reason}")]
    SimulationFailed {
        /// The chain's own words, bounded and printable.
        reason: String,
    },
    /// The payer's wallet cannot be deployed.
    #[error("the payer's wallet could not be deployed by its factory")]
    DeploymentFailed,
    /// The transaction that the payer built breaks a rule.
    #[error(transparent)]
    Flawed(#[from] Flaw),
    /// Somebody whom the money has to do with may not pay or be paid. Which one, and by whose list, is on record and not told.
    #[error("this payment is not accepted")]
    Screened,
    /// Whether everybody may pay and be paid could not be found out now.
    #[error("the parties to this payment could not be screened now; try again later with the same request")]
    Unscreened,
    /// The requirements ask for something this facilitator will not do.
    #[error("{0}")]
    Unacceptable(String),
}

/// A request that cannot be read as a payment: the caller's developer must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}")]
pub struct Malformed {
    /// Where, from the body's root: `paymentPayload.payload.authorization.nonce`.
    pub path: String,
    /// What belongs there.
    pub expected: String,
}

/// Why a rail will not go on with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not written as the rail's payments are.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is, and breaks a rule.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}
