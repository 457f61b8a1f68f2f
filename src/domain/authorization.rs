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
    /// What makes it unique for its payer on the chain (EIP-3009: the nonce, `0x` and 64 hexadecimal digits;
    /// Solana: the SHA-256 of the transaction's message, 64 hexadecimal digits).
    pub nonce: String,
    /// When it can execute.
    pub window: Window,
    /// Which of our signers alone can send it, canonical text: on Solana the payer signs over the fee payer. Any of
    /// them when none.
    pub signer: Option<String>,
    /// The note that the chain will show beside the transfer, as the terms ask for it; up to 256 bytes.
    pub memo: Option<String>,
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

/// When an authorization can execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Unix seconds, both bounds exclusive: executable while after < block time < before (FiatToken
    /// `_requireValidAuthorization`, circlefin/stablecoin-evm `v2/EIP3009.sol`).
    Time {
        /// The last second at which it is still too early.
        after: Timestamp,
        /// The first second at which it is too late.
        before: Timestamp,
    },
    /// From now on until 150 blocks have passed since the block whose hash it names (Solana,
    /// `MAX_PROCESSING_AGE`). Which block that is, only the chain can tell.
    Recent,
}

impl Window {
    /// Whether it is still worth trying, as far as a clock can tell.
    #[must_use]
    pub fn may_be_open(self, now: Timestamp) -> bool {
        match self {
            Self::Time { before, .. } => now < before,
            Self::Recent => true,
        }
    }
}

/// SHA-256 of what the chain lets happen once: network, token, payer and nonce on EVM, network and message on
/// Solana. Never of a signature or a text, which can be written in many ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PaymentKey(pub [u8; 32]);
