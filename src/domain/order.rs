//! A name on the chain for an order: what a merchant asks the payer to sign as the EIP-3009 nonce, or for as the Solana memo,
//! so that the transfer itself says to whoever knows the salt which order it pays, and nothing to anybody else.
//!
//! HMAC-SHA256 (RFC 2104), keyed with the merchant's salt, over the ASCII bytes `x402 order`, the CAIP-2 chain id, the
//! recipient in its chain's canonical text and the order's name, each followed by a zero byte. Without a salt whoever sees
//! the transfer could try order numbers until one fits. A payer who signs twice for one order signs one nonce, which the
//! token takes once.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::domain::labels::Label;
use crate::domain::network::NetworkId;

/// Bytes of a salt.
const SALT: std::ops::RangeInclusive<usize> = 16..=64;

/// The merchant's secret: 16 to 64 random bytes. Never shown.
#[derive(Clone)]
pub struct Salt(Vec<u8>);

impl Salt {
    /// What its text looks like, for complaints.
    pub const SHAPE: &'static str = "32 to 128 hexadecimal digits: 16 to 64 random bytes";

    /// The salt that this text writes in hexadecimal, if it does.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = hex::decode(text).ok()?;
        SALT.contains(&bytes.len()).then_some(Self(bytes))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// The order's name on the chain, 32 bytes: as `0x` and hexadecimal digits an EIP-3009 nonce, without the `0x` a memo.
#[must_use]
pub fn commitment(salt: &Salt, network: &NetworkId, pay_to: &str, order: &Label) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&salt.0) else {
        unreachable!("HMAC takes keys of any length");
    };
    for part in ["x402 order", network.as_str(), pay_to, order.as_str()] {
        mac.update(part.as_bytes());
        mac.update(&[0]);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(salt: &str, network: &str, pay_to: &str, order: &str) -> String {
        let (salt, order) = (Salt::read(salt).unwrap(), Label::new(order).unwrap());
        hex::encode(commitment(&salt, &network.parse().unwrap(), pay_to, &order))
    }

    /// The figures were computed once by another implementation (Python's `hmac`).
    #[test]
    fn an_orders_name_is_what_the_formula_says() {
        let salt = "000102030405060708090a0b0c0d0e0f";
        let pay_to = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
        let known = of(salt, "eip155:84532", pay_to, "order 7");
        assert_eq!(
            known,
            "7747bfe0db18ca589e64c8a3bbff08b33c548a2010e9fe8530ac2c8786e8ee38"
        );
        for other in [
            of("100102030405060708090a0b0c0d0e0f", "eip155:84532", pay_to, "order 7"),
            of(salt, "eip155:8453", pay_to, "order 7"),
            of(
                salt,
                "eip155:84532",
                "0x209693Bc6afc0C5328bA36FaF03C514EF312287D",
                "order 7",
            ),
            of(salt, "eip155:84532", pay_to, "order 70"),
        ] {
            assert_ne!(other, known);
        }
    }

    #[test]
    fn a_salt_is_long_enough_and_is_never_shown() {
        let salt = "5ec4e7".repeat(6);
        assert_eq!(format!("{:?}", Salt::read(&salt).unwrap()), "Salt(..)");
        for bad in ["", &salt[..30], "g5ec4e75ec4e75ec4e75ec4e75ec4e75", &"00".repeat(65)] {
            assert!(Salt::read(bad).is_none(), "{bad}");
        }
    }
}
