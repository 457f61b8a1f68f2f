//! A fee payer: the key of ours that a payer's transaction names first, and the signature that completes it.
//!
//! Knows nothing of payments. Ed25519 signs the same message with the same bytes each time (RFC 8032, 5.1.6), so the
//! transaction's id is known before anybody has seen it, and signing twice makes no second transaction.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::transaction::Transaction;
use crate::domain::rail::TxId;

/// A signing key, wiped when dropped. Shown as its address only.
pub(super) struct FeePayer {
    address: Pubkey,
    key: SigningKey,
}

/// A transaction with all its signatures.
pub(super) struct Sealed {
    /// Its name: the fee payer's signature.
    pub(super) id: TxId,
    /// The exact bytes.
    pub(super) raw: Vec<u8>,
}

impl FeePayer {
    /// The fee payer with this keypair, 32 bytes of secret and then 32 of public key: base58, or the JSON array of
    /// numbers that Solana's tools keep in a file.
    ///
    /// # Errors
    /// The text is neither, or its halves do not belong together; the error does not repeat it.
    pub(super) fn from_secret(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bytes: Option<[u8; 64]> = if text.starts_with('[') {
            serde_json::from_str::<Vec<u8>>(text)
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
        } else {
            // A keypair is written as a signature is: 64 bytes in base58.
            text.parse::<Signature>().ok().map(<[u8; 64]>::from)
        };
        let bytes =
            bytes.ok_or("a fee payer's keypair is 64 bytes, in base58 or as a JSON array of numbers".to_owned())?;
        let key = SigningKey::from_keypair_bytes(&bytes)
            .map_err(|_| "the public half of a fee payer's keypair does not belong to its secret half".to_owned())?;
        Ok(Self {
            address: Pubkey::new_from_array(key.verifying_key().to_bytes()),
            key,
        })
    }

    /// The account that pays the fees.
    pub(super) const fn address(&self) -> &Pubkey {
        &self.address
    }

    /// The key, for who signs something else than fees.
    pub(super) const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs the transaction as its fee payer, which it must name as such: nobody else's place is filled.
    pub(super) fn seal(&self, transaction: &Transaction) -> Sealed {
        let signature = self.key.sign(transaction.message_bytes()).to_bytes();
        Sealed {
            id: TxId(Signature::from(signature).to_string()),
            raw: transaction.sealed(signature),
        }
    }
}

impl fmt::Debug for FeePayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FeePayer").field(&self.address).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 1: secret and public key.
    const KEYPAIR: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\
        d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn keypair() -> [u8; 64] {
        hex::decode(KEYPAIR).unwrap().try_into().unwrap()
    }

    #[test]
    fn both_ways_of_writing_a_keypair_give_the_same_fee_payer() {
        let base58 = Signature::from(keypair()).to_string();
        let json = serde_json::to_string(&keypair().to_vec()).unwrap();
        for text in [&base58, &json, &format!(" {base58}\n"), &format!("{json}\n")] {
            let fee_payer = FeePayer::from_secret(text).unwrap();
            assert_eq!(fee_payer.address().to_bytes(), keypair()[32..]);
        }
    }

    #[test]
    fn what_is_no_keypair_is_refused_without_being_repeated() {
        let mut mismatched = keypair();
        mismatched[0] ^= 1;
        let mut off_curve = keypair();
        off_curve[32..].fill(2);
        let texts = [
            String::new(),
            "[]".into(),
            "[1,2".into(),
            serde_json::to_string(&keypair()[..32].to_vec()).unwrap(),
            format!("[{}]", vec!["256"; 64].join(",")),
            Signature::from(mismatched).to_string(),
            Signature::from(off_curve).to_string(),
            "0".repeat(88),
            KEYPAIR.into(),
        ];
        for text in texts {
            let complaint = FeePayer::from_secret(&text).unwrap_err();
            assert!(complaint.contains("keypair"), "{complaint}");
            assert!(text.len() < 10 || !complaint.contains(&text[..10]), "{complaint}");
        }
    }

    #[test]
    fn a_fee_payer_is_shown_without_its_key() {
        let fee_payer = FeePayer::from_secret(&Signature::from(keypair()).to_string()).unwrap();
        assert_eq!(format!("{fee_payer:?}"), format!("FeePayer({})", fee_payer.address()));
    }
}
