//! Signatures as payers write them: out of their wrapper, into one form, and whose they are.
//!
//! What is decided here needs no chain. Whether the payer's account has code, and what that code says of a
//! signature, is the chain's to answer.

use alloy::primitives::{Address, B256, Bytes, b256, keccak256};
use alloy::sol_types::SolValue;
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId, Signature};

use super::eip3009::ECDSA_BYTES;
use crate::seeded::Bug;

/// What ends a wrapped signature (ERC-6492, "Signer side").
const WRAPPED: B256 = b256!("6492649264926492649264926492649264926492649264926492649264926492");

/// Half the order of secp256k1, rounded down: the largest s that tokens take (OpenZeppelin and FiatToken
/// `ECRecover.sol`; EIP-2 has the same bound for transactions).
const S_MAX: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e,
    0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// A signature out of its wrapper.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Unwrapped {
    /// What the payer's account is to judge.
    pub(super) inner: Bytes,
    /// How to deploy the payer's wallet, from the wrapper: whom to call, and with what. None also for a wrapper
    /// that names the zero address, which deploys nothing.
    pub(super) deployment: Option<(Address, Bytes)>,
}

/// The wrapper's magic is there and what precedes it is no wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadWrapper;

/// Takes a signature out of its ERC-6492 wrapper, `abi.encode(address factory, bytes factoryCalldata, bytes
/// signature)` and the magic; one without the magic is left as it is.
///
/// # Errors
/// [`BadWrapper`].
pub(super) fn unwrap(signature: Vec<u8>) -> Result<Unwrapped, BadWrapper> {
    let Some(wrapper) = signature.strip_suffix(WRAPPED.as_slice()) else {
        return Ok(Unwrapped {
            inner: signature.into(),
            deployment: None,
        });
    };
    let (factory, call, inner) =
        <(Address, Bytes, Bytes)>::abi_decode_params_validate(wrapper).map_err(|_| BadWrapper)?;
    Ok(Unwrapped {
        inner,
        deployment: (!factory.is_zero()).then_some((factory, call)),
    })
}

/// The signature in the one form that tokens take (r, s, and v of 27 or 28), if it is `account`'s own ECDSA
/// signature of `digest`. A v of 0 or 1 is taken too; any other v, an s in the upper half, a zero, or another
/// length is not an account's signature, though a wallet's code may still accept the bytes.
pub(super) fn recovered(signature: &[u8], digest: &B256, account: &Address) -> Option<[u8; ECDSA_BYTES]> {
    let signature = <&[u8; ECDSA_BYTES]>::try_from(signature).ok()?;
    let [compact @ .., v] = signature;
    let (id, v) = match v {
        0 | 27 => (RecoveryId::Zero, 27),
        1 | 28 => (RecoveryId::One, 28),
        _ => return None,
    };
    if compact.get(32..)? > S_MAX.as_slice() && !Bug::HighSTaken.is_on() {
        return None;
    }
    // libsecp256k1 itself refuses zeros and what is not below the order.
    let parsed = RecoverableSignature::from_compact(compact, id).ok()?;
    let key = parsed.recover(Message::from_digest(digest.0)).ok()?;
    let [_, point @ ..] = key.serialize_uncompressed();
    let hash = keccak256(point);
    if hash.get(12..)? != account.as_slice() {
        return None;
    }
    let [compact @ .., _] = *signature;
    let mut normal = [v; ECDSA_BYTES];
    for (to, from) in normal.iter_mut().zip(compact) {
        *to = from;
    }
    Some(normal)
}

/// r and s with s in the lower half: of the two that say the same, the one that tokens and chains take. None when they are
/// no signature at all.
pub(super) fn lowered(compact: [u8; 64]) -> Option<[u8; 64]> {
    let mut signature = Signature::from_compact(&compact).ok()?;
    signature.normalize_s();
    Some(signature.serialize_compact())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{U256, uint};
    use alloy::signers::SignerSync;
    use alloy::signers::local::PrivateKeySigner;

    use super::*;

    const V_FLIP: u8 = 0b111;
    const ORDER: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);

    fn signed() -> (PrivateKeySigner, B256, [u8; 65]) {
        let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
        let digest = B256::repeat_byte(9);
        let signature = signer.sign_hash_sync(&digest).unwrap().as_bytes();
        (signer, digest, signature)
    }

    #[test]
    fn an_accounts_signature_has_one_form() {
        let (signer, digest, signature) = signed();
        let account = signer.address();
        assert_eq!(recovered(&signature, &digest, &account), Some(signature));
        let mut short_v = signature;
        short_v[64] -= 27;
        assert_eq!(recovered(&short_v, &digest, &account), Some(signature));
    }

    #[test]
    fn nothing_else_is_an_accounts_signature() {
        let (signer, digest, signature) = signed();
        let account = signer.address();
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = signature.to_vec();
            change(&mut bytes);
            bytes
        };
        let high_s = changed(&|bytes| {
            let s = ORDER - U256::from_be_slice(&bytes[32..64]);
            bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            bytes[64] ^= V_FLIP;
        });
        let others = [
            ("empty", vec![]),
            ("64 bytes", changed(&|b| b.truncate(64))),
            ("66 bytes", changed(&|b| b.push(0))),
            ("v 2", changed(&|b| b[64] = 2)),
            ("v 29", changed(&|b| b[64] = 29)),
            ("v 35", changed(&|b| b[64] = 35)),
            ("other v", changed(&|b| b[64] ^= V_FLIP)),
            ("a flipped bit of r", changed(&|b| b[5] ^= 1)),
            ("a flipped bit of s", changed(&|b| b[63] ^= 1)),
            ("r zero", changed(&|b| b[..32].fill(0))),
            ("s zero", changed(&|b| b[32..64].fill(0))),
            ("r too large", changed(&|b| b[..32].fill(0xff))),
            ("high s", high_s),
        ];
        for (what, bytes) in others {
            assert_eq!(recovered(&bytes, &digest, &account), None, "{what}");
        }
        assert_eq!(recovered(&signature, &B256::ZERO, &account), None, "another digest");
        assert_eq!(recovered(&signature, &digest, &Address::ZERO), None, "another account");
    }

    #[test]
    fn a_wrapper_comes_off_once() {
        let factory = Address::repeat_byte(1);
        let call = Bytes::from(vec![2; 70]);
        let inner = Bytes::from(vec![3; 66]);
        let wrap = |factory: Address| {
            let mut bytes = (factory, call.clone(), inner.clone()).abi_encode_params();
            bytes.extend(WRAPPED);
            bytes
        };
        let unwrapped = unwrap(wrap(factory)).ok().unwrap();
        assert_eq!(unwrapped.inner, inner);
        assert_eq!(unwrapped.deployment, Some((factory, call.clone())));
        assert!(unwrap(wrap(Address::ZERO)).ok().unwrap().deployment.is_none());

        let plain = unwrap(vec![4; 65]).ok().unwrap();
        assert_eq!((plain.inner.len(), plain.deployment), (65, None));

        assert!(unwrap(WRAPPED.to_vec()).is_err());
        let mut cut = wrap(factory);
        cut.drain(..32);
        assert!(unwrap(cut).is_err());
    }
}
