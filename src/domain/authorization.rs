//! What the payer signed, in words common to all rails.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::domain::amount::Amount;
use crate::domain::network::NetworkId;
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
/// Solana. Never of a signature or a text, which can be written in many ways. Shown to everybody as the
/// `authorizationReference`, 64 lower-case hexadecimal digits: whoever knows what the payer signs can compute it before
/// anything is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PaymentKey(pub [u8; 32]);

impl PaymentKey {
    /// What its text looks like, for complaints.
    pub const SHAPE: &'static str = "64 lower-case hexadecimal digits";

    /// The key of an EIP-3009 authorization: the token keeps one state for each payer and nonce
    /// (`_authorizationStates`, circlefin/stablecoin-evm). SHA-256 over, one after the other, the 7 ASCII bytes
    /// `eip3009`, the length of the CAIP-2 chain id as 8 bytes, big-endian, the chain id itself, and the bytes of
    /// token (20), payer (20) and nonce (32).
    #[must_use]
    pub fn of_eip3009(network: &NetworkId, token: &[u8; 20], payer: &[u8; 20], nonce: &[u8; 32]) -> Self {
        Self::of("eip3009", network, &[token, payer, nonce])
    }

    /// The key of a Solana transaction: a cluster processes a message once, whoever has signed it in which way.
    /// SHA-256 over, one after the other, the 14 ASCII bytes `solana message`, the length of the CAIP-2 chain id as 8
    /// bytes, big-endian, the chain id itself, and the SHA-256 of the serialized message (32), which is the record's
    /// `nonce`.
    #[must_use]
    pub fn of_solana(network: &NetworkId, message_hash: &[u8; 32]) -> Self {
        Self::of("solana message", network, &[message_hash])
    }

    /// The parts have fixed widths and the network its length before it, so that no two inputs run together.
    fn of(domain: &str, network: &NetworkId, parts: &[&[u8]]) -> Self {
        let network = network.as_str().as_bytes();
        let mut hash = Sha256::new();
        hash.update(domain);
        hash.update(u64::try_from(network.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(network);
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for PaymentKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut key = [0; 32];
        let is_lower = text.bytes().all(|it| !it.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut key) {
            Ok(()) if is_lower => Ok(Self(key)),
            Ok(()) | Err(_) => Err(NotAKey),
        }
    }
}

/// The text is not an authorization reference.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an authorization reference is {}", PaymentKey::SHAPE)]
pub struct NotAKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_nothing_else_parses() {
        let key = PaymentKey([0xa7; 32]);
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        for bad in ["", &text[1..], &format!("0x{text}"), &text.to_uppercase()] {
            assert_eq!(bad.parse::<PaymentKey>(), Err(NotAKey), "{bad}");
        }
    }

    /// The bytes of `0x` and hexadecimal digits.
    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        hex::decode_to_slice(&text[2..], &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_worked_examples_of_the_reference_are_true() {
        let evm = PaymentKey::of_eip3009(
            &"eip155:84532".parse().unwrap(),
            &bytes("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
            &bytes("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
            &bytes("0xe20d3bd1929af68ce704e37dcd37c70086e5467b87db54039bb669ec6bb9cb21"),
        );
        let solana = PaymentKey::of_solana(
            &"solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".parse().unwrap(),
            &bytes("0xab530a13e45914982b79f9b7e3fba994cfd1f3fb22f71cea1afbf02b460c6d1d"),
        );
        let described = include_str!("../../openapi.yaml");
        for (key, expected) in [
            (evm, "474c1f4f8d06a57e6d2a8707a5b5f060d4fc202872b94a97333a90c0bebe52c5"),
            (
                solana,
                "f175b18b2d551489c542e65646abcdf01d38ba3ad435c97a1acce055a977f209",
            ),
        ] {
            assert_eq!(key.to_string(), expected);
            assert!(described.contains(expected), "openapi.yaml works {expected} out");
        }
    }
}
