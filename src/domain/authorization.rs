//! What the payer signed, in words common to all rails.

use std::fmt;

use crate::domain::amount::Amount;
use crate::domain::time::Timestamp;

/// A decoded authorization. Made by a rail only, after every check that needs no chain.
#[derive(Clone)]
pub struct Authorization {
    /// Who pays; canonical text of the rail (EIP-55 on EVM).
    pub payer: String,
    /// Who is paid; canonical text of the rail.
    pub pay_to: String,
    /// Which asset; canonical text of the rail.
    pub asset: String,
    /// How much, in atomic units.
    pub amount: Amount,
    /// What makes it unique for its payer on the chain (EIP-3009: the nonce, `0x` and 64 hexadecimal digits).
    pub nonce: String,
    /// When it can execute.
    pub window: Window,
    /// What the chain itself lets happen only once.
    pub key: PaymentKey,
    /// The rail's own canonical encoding: enough, with the fields above, to build the transaction again.
    /// A bearer instrument until it is used: never logged.
    pub body: Vec<u8>,
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("payer", &self.payer)
            .field("nonce", &self.nonce)
            .finish_non_exhaustive()
    }
}

/// Unix seconds, both bounds exclusive: executable while after < block time < before (FiatToken
/// `_requireValidAuthorization`, circlefin/stablecoin-evm `v2/EIP3009.sol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The last second at which it is still too early.
    pub after: Timestamp,
    /// The first second at which it is too late.
    pub before: Timestamp,
}

/// SHA-256 of what the chain lets happen once: network, token, payer and nonce on EVM. Never of a signature or
/// a text, which can be written in many ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PaymentKey(pub [u8; 32]);
