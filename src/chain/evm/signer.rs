//! A key of ours, here or kept elsewhere. It signs what the policy has allowed, and nothing else can be handed to it.

use std::fmt;

use alloy::primitives::{Address, Signature};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use futures_util::future::join_all;

use super::listing::checksummed;
use super::policy::{Allowed, Policy};
use super::settings::parse_address;
use super::signature;
use crate::chain::custody::{Compact, Keeper, Kept, Source, Unheard};
use crate::domain::network::NetworkId;
use crate::domain::rail::KeptKey;

/// A signing key. Its text form is its address.
pub(super) struct Signer {
    address: Address,
    key: Key,
}

enum Key {
    Here(PrivateKeySigner),
    Elsewhere(Box<Keeper<Allowed>>),
}

impl Signer {
    /// The signer with this private key: 64 hexadecimal digits, with or without `0x`.
    ///
    /// # Errors
    /// The text is no secp256k1 key; the error does not repeat it.
    pub(super) fn from_key(key: &str) -> Result<Self, String> {
        let key: Result<PrivateKeySigner, _> = key.trim().parse();
        let key = key.map_err(|_| "a signer's key is 64 hexadecimal digits".to_owned())?;
        Ok(Self {
            address: key.address(),
            key: Key::Here(key),
        })
    }

    /// The signer whose key is there. Nobody is asked anything; a keystore is opened.
    ///
    /// # Errors
    /// Names what is wrong with it; nothing of it is repeated.
    pub(super) fn of(source: &Source, network: &NetworkId) -> Result<Self, String> {
        let kept = match source {
            Source::Key(key) => return Self::from_key(key.expose()),
            Source::Kept(kept) => &**kept,
        };
        let address = address_of(kept)?;
        let key = match kept {
            Kept::Keystore(file) => {
                let key = PrivateKeySigner::from_slice(&*file.open()?);
                let key = key.map_err(|_| "path: the keystore holds no key".to_owned())?;
                if key.address() != address {
                    return Err(format!(
                        "the keystore holds the key of {}, expected {address}",
                        key.address()
                    ));
                }
                Key::Here(key)
            }
            Kept::Vault(_) => return Err("source: Vault has no keys of EVM chains".to_owned()),
            Kept::AwsKms(_) | Kept::GcpKms(_) | Kept::Turnkey(_) | Kept::Web3signer(_) | Kept::Remote(_) => {
                Key::Elsewhere(Box::new(Keeper::new(network, kept)?))
            }
        };
        Ok(Self { address, key })
    }

    /// Those of the list that the settings call so. A complaint names the place in it.
    ///
    /// # Errors
    /// The first that is wrong.
    pub(super) fn all(list: &str, sources: &[Source], network: &NetworkId) -> Result<Vec<Self>, String> {
        let read = |(index, source)| Self::of(source, network).map_err(|what| format!("{list}[{index}]: {what}"));
        sources.iter().enumerate().map(read).collect()
    }

    /// The account that it signs for.
    pub(super) const fn address(&self) -> Address {
        self.address
    }

    /// Whether it signs at once, without asking anybody.
    pub(super) const fn is_here(&self) -> bool {
        matches!(self.key, Key::Here(_))
    }

    /// Signs at once, always to the same bytes (RFC 6979).
    ///
    /// # Errors
    /// The key is kept elsewhere.
    pub(super) fn sign_at_once(&self, allowed: &Allowed) -> Result<Signature, String> {
        match &self.key {
            Key::Here(key) => key
                .sign_hash_sync(allowed.digest())
                .map_err(|_| "the key cannot sign".to_owned()),
            Key::Elsewhere(_) => Err("the key is kept elsewhere".to_owned()),
        }
    }

    /// Signs, or has it signed. What comes back is this key's signature of just that, in the one form that chains take,
    /// whatever form it came in.
    ///
    /// # Errors
    /// Whoever keeps the key gave no such signature.
    pub(super) async fn sign(&self, allowed: &Allowed) -> Result<Signature, Unheard> {
        match &self.key {
            Key::Here(key) => key.sign_hash_sync(allowed.digest()).map_err(|_| Unheard {
                keeper: "the key",
                what: "cannot sign".to_owned(),
            }),
            Key::Elsewhere(keeper) => {
                let compact = keeper.sign(allowed).await?;
                let own = own(compact, allowed, &self.address);
                own.ok_or_else(|| keeper.fault(format!("answered a signature that is not of {}", self.address)))
            }
        }
    }

    /// Whether whoever keeps the key signs with the one that was named; none where it is here.
    async fn proof(&self, policy: &Policy) -> Option<KeptKey> {
        let Key::Elsewhere(keeper) = &self.key else {
            return None;
        };
        let signed = self.sign(&policy.trial()).await;
        Some(KeptKey {
            address: checksummed(&self.address),
            keeper: keeper.name(),
            fault: signed.err().map(|unheard| unheard.what),
        })
    }
}

/// Proves each of the keys that are kept elsewhere, all at once.
pub(super) async fn prove<'a>(signers: impl Iterator<Item = &'a Signer>, policy: &Policy) -> Vec<KeptKey> {
    let proofs = join_all(signers.map(|signer| signer.proof(policy))).await;
    proofs.into_iter().flatten().collect()
}

/// The account of the key that is there, as far as nobody has to be asked and nothing opened.
///
/// # Errors
/// What was expected.
pub(super) fn address(source: &Source) -> Result<Address, String> {
    match source {
        Source::Key(key) => Signer::from_key(key.expose()).map(|it| it.address),
        Source::Kept(kept) => address_of(kept),
    }
}

fn address_of(kept: &Kept) -> Result<Address, String> {
    let address = parse_address(kept.address());
    address.ok_or_else(|| "address: expected 0x and 40 hexadecimal digits".to_owned())
}

/// The account's signature of what was allowed, if it is one: s in the lower half, which not everybody makes, and the
/// recovery id found by trying both.
fn own(compact: Compact, allowed: &Allowed, account: &Address) -> Option<Signature> {
    let low = signature::lowered(compact)?;
    [false, true].into_iter().find_map(|is_odd| {
        let whole = [&low[..], &[if is_odd { 28 } else { 27 }]].concat();
        signature::recovered(&whole, allowed.digest(), account)?;
        Some(Signature::from_bytes_and_parity(&low, is_odd))
    })
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{U256, uint};

    use super::*;

    /// Anvil's second published account.
    const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    const ORDER: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);

    #[test]
    fn a_key_is_hidden() {
        let shown = format!("{:?}", Signer::from_key(KEY).unwrap());
        assert_eq!(shown, "Signer(0x70997970C51812dc3A010C7d01b50e0d17dc79C8)");
        assert!(!Signer::from_key("0x1234").unwrap_err().contains("1234"));
    }

    #[test]
    fn what_comes_back_is_brought_into_the_one_form_or_refused() {
        let policy = crate::chain::evm::policy::tests::policy();
        let (signer, allowed) = (Signer::from_key(KEY).unwrap(), policy.trial());
        let signature = signer.sign_at_once(&allowed).unwrap();
        let compact: Compact = signature.as_bytes()[..64].try_into().unwrap();
        let mut high = compact;
        high[32..].copy_from_slice(&(ORDER - signature.s()).to_be_bytes::<32>());
        for same in [compact, high] {
            assert_eq!(own(same, &allowed, &signer.address()), Some(signature));
        }
        let mut flipped = compact;
        flipped[7] ^= 1;
        for other in [flipped, [0; 64], [0xff; 64]] {
            assert_eq!(own(other, &allowed, &signer.address()), None);
        }
        assert_eq!(own(compact, &allowed, &Address::ZERO), None, "another account");
    }
}
