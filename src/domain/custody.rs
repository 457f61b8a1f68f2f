//! Keys that are kept elsewhere: what is known of them, and why one gave no signature.

use crate::domain::rail::RailFault;

/// Why there is no signature.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unsigned {
    /// Something about what was to be signed, or the lane: it will not be signed as it is.
    #[error(transparent)]
    Unfit(RailFault),
    /// Whoever keeps the key gave none. It can be asked again.
    #[error(transparent)]
    Unheard(RailFault),
}

/// A key that is kept elsewhere, and whether whoever keeps it signs with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptKey {
    /// Whose key it is to be, canonical text.
    pub address: String,
    /// Who keeps it, in plain words.
    pub keeper: &'static str,
    /// What is wrong, without addresses and keys; nothing when a message was signed with this very key.
    pub fault: Option<String>,
}
