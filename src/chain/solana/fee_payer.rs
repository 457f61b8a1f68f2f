//! A key of ours, here or kept elsewhere: a fee payer's, that a payer's transaction names first, or a refund's wallet's. It
//! signs what the policy has allowed, and nothing else can be handed to it.
//!
//! Ed25519 signs the same message with the same bytes each time (RFC 8032, 5.1.6), so a transaction's id is known before
//! anybody has seen it, and signing twice makes no second transaction.

use std::fmt;

use ed25519_dalek::{Signature as Ed25519, Signer, SigningKey, VerifyingKey};
use futures_util::future::try_join_all;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::policy::{Allowed, Policy};
use crate::chain::custody::{Compact, Keeper, Kept, Source, Unheard};
use crate::domain::network::NetworkId;

/// A signing key, wiped when dropped. Shown as its address only.
pub(super) struct FeePayer {
    address: Pubkey,
    key: Key,
}

enum Key {
    Here(Box<SigningKey>),
    Elsewhere(Box<Keeper<Allowed>>),
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
            key: Key::Here(Box::new(key)),
        })
    }

    /// The one whose key is there. Nobody is asked anything.
    ///
    /// # Errors
    /// Names what is wrong with it; nothing of it is repeated.
    pub(super) fn of(source: &Source, network: &NetworkId) -> Result<Self, String> {
        match source {
            Source::Key(key) => Self::from_secret(key.expose()),
            Source::Kept(kept) => Ok(Self {
                address: address_of(kept)?,
                key: Key::Elsewhere(Box::new(Keeper::new(network, kept)?)),
            }),
        }
    }

    /// The account that it signs for.
    pub(super) const fn address(&self) -> &Pubkey {
        &self.address
    }

    /// Whether it signs at once, without asking anybody.
    pub(super) const fn is_here(&self) -> bool {
        matches!(self.key, Key::Here(_))
    }

    /// Signs at once.
    ///
    /// # Errors
    /// The key is kept elsewhere.
    pub(super) fn sign_at_once(&self, allowed: &Allowed) -> Result<Compact, &'static str> {
        match &self.key {
            Key::Here(key) => Ok(key.sign(allowed.message()).to_bytes()),
            Key::Elsewhere(_) => Err("the key is kept elsewhere"),
        }
    }

    /// Signs, or has it signed. What comes back is this key's signature of just that.
    ///
    /// # Errors
    /// Whoever keeps the key gave no such signature.
    pub(super) async fn sign(&self, allowed: &Allowed) -> Result<Compact, Unheard> {
        match &self.key {
            Key::Here(key) => Ok(key.sign(allowed.message()).to_bytes()),
            Key::Elsewhere(keeper) => {
                let signature = keeper.sign(allowed).await?;
                if is_signed(&self.address, allowed.message(), signature) {
                    return Ok(signature);
                }
                Err(keeper.fault(format!("answered a signature that is not of {}", self.address)))
            }
        }
    }

    /// Proves that whoever keeps the key signs with the one that was named.
    async fn prove(&self, policy: Policy<'_>) -> Result<(), String> {
        if self.is_here() {
            return Ok(());
        }
        let signed = self.sign(&policy.trial()).await;
        signed
            .map(drop)
            .map_err(|fault| format!("signer {}: {fault}", self.address))
    }
}

/// Proves each of the keys that are kept elsewhere, all at once.
///
/// # Errors
/// The first that is not what it was named as.
pub(super) async fn prove<'a>(keys: impl Iterator<Item = &'a FeePayer>, policy: Policy<'_>) -> Result<(), String> {
    try_join_all(keys.map(|key| key.prove(policy))).await.map(drop)
}

/// The account of the key that is there. Nobody is asked anything.
///
/// # Errors
/// What was expected.
pub(super) fn address(source: &Source) -> Result<Pubkey, String> {
    match source {
        Source::Key(key) => FeePayer::from_secret(key.expose()).map(|it| it.address),
        Source::Kept(kept) => address_of(kept),
    }
}

fn address_of(kept: &Kept) -> Result<Pubkey, String> {
    if matches!(kept, Kept::Keystore(_) | Kept::Web3signer(_)) {
        return Err("source: neither a keystore nor Web3signer has keys of Solana's".to_owned());
    }
    let address = kept.address().parse();
    address.map_err(|_| "address: expected base58 of 32 bytes".to_owned())
}

/// As strictly as validators see it.
fn is_signed(account: &Pubkey, message: &[u8], signature: Compact) -> bool {
    let key = VerifyingKey::from_bytes(account.as_array());
    key.is_ok_and(|key| key.verify_strict(message, &Ed25519::from_bytes(&signature)).is_ok())
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
    fn only_its_own_signature_of_just_that_counts() {
        let fee_payer = FeePayer::from_secret(&Signature::from(keypair()).to_string()).unwrap();
        let Key::Here(key) = &fee_payer.key else {
            panic!("it is here");
        };
        let good = key.sign(b"message").to_bytes();
        assert!(is_signed(&fee_payer.address, b"message", good));
        let mut flipped = good;
        flipped[40] ^= 1;
        assert!(!is_signed(&fee_payer.address, b"message", flipped));
        assert!(!is_signed(&fee_payer.address, b"another", good));
        assert!(!is_signed(&Pubkey::new_from_array([2; 32]), b"message", good));
    }

    #[test]
    fn a_fee_payer_is_shown_without_its_key() {
        let fee_payer = FeePayer::from_secret(&Signature::from(keypair()).to_string()).unwrap();
        assert_eq!(format!("{fee_payer:?}"), format!("FeePayer({})", fee_payer.address()));
    }
}
