//! The rail's own encoding of an authorization: everything needed to check it again and to sign for it.
//!
//! It is stored with the payment and outlives the process and its configuration, so it is versioned, refuses
//! whatever it did not write itself, and has one form for each content.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes};

/// The encoding's version, its first byte.
const VERSION: u8 = 1;

const RECOVERED: u8 = 1;
const UNRECOVERED: u8 = 0;

const WALLET_AS_IS: u8 = 0;
const WALLET_DEPLOYABLE: u8 = 1;
const WALLET_REFUSED: u8 = 2;

const DOMAIN_LISTED: u8 = 0;
const DOMAIN_STATED: u8 = 1;

/// An EIP-3009 transfer authorization as decoded from a payment. A bearer instrument: its Debug form shows
/// nothing that would let another submit it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// The token whose `transferWithAuthorization` is called.
    pub(super) token: Address,
    /// Who pays.
    pub(super) from: Address,
    /// Who is paid.
    pub(super) to: Address,
    /// How much, in atomic units.
    pub(super) value: u128,
    /// Unix seconds, exclusive: the last second at which it is still too early.
    pub(super) valid_after: u64,
    /// Unix seconds, exclusive: the first second at which it is too late.
    pub(super) valid_before: u64,
    /// Unique for the payer on the token.
    pub(super) nonce: B256,
    /// The signature for the payer, out of its ERC-6492 wrapper if it came in one; up to 16 KiB. With
    /// `is_recovered` it is r, s and a v of 27 or 28, else the bytes as they were given.
    pub(super) signature: Bytes,
    /// The signature is the payer's own ECDSA signature over the authorization.
    pub(super) is_recovered: bool,
    /// What must happen before the payer's wallet can answer for the signature.
    pub(super) wallet: Wallet,
    /// The EIP-712 domain that the requirements state, where it is not the one configured for the token.
    pub(super) stated: Option<Domain>,
}

/// What must happen before the payer's wallet can answer for a signature (ERC-6492).
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Wallet {
    /// Nothing: the signature came without a wrapper.
    AsIs,
    /// This call deploys the wallet, should it not exist. The factory was on the allowlist.
    Deployable {
        /// Whom to call.
        factory: Address,
        /// With what; up to 16 KiB.
        call: Bytes,
    },
    /// The wallet must exist: its factory was not on the allowlist.
    Refused {
        /// The factory.
        factory: Address,
    },
}

/// Name and version of a token's EIP-712 domain; each up to 4 KiB, as the requirements' `extra` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Domain {
    /// The `name`.
    pub(super) name: String,
    /// The `version`.
    pub(super) version: String,
}

/// The bytes are not a body of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the authorization's body is not of this rail's encoding, version {VERSION}")]
pub(super) struct NotABody;

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("token", &self.token)
            .field("from", &self.from)
            .field("nonce", &self.nonce)
            .finish_non_exhaustive()
    }
}

impl Body {
    /// The canonical bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256_usize.saturating_add(self.signature.len()));
        out.push(VERSION);
        out.extend_from_slice(self.token.as_slice());
        out.extend_from_slice(self.from.as_slice());
        out.extend_from_slice(self.to.as_slice());
        out.extend_from_slice(&self.value.to_be_bytes());
        out.extend_from_slice(&self.valid_after.to_be_bytes());
        out.extend_from_slice(&self.valid_before.to_be_bytes());
        out.extend_from_slice(self.nonce.as_slice());
        out.push(if self.is_recovered { RECOVERED } else { UNRECOVERED });
        put(&mut out, &self.signature);
        match &self.wallet {
            Wallet::AsIs => out.push(WALLET_AS_IS),
            Wallet::Deployable { factory, call } => {
                out.push(WALLET_DEPLOYABLE);
                out.extend_from_slice(factory.as_slice());
                put(&mut out, call);
            }
            Wallet::Refused { factory } => {
                out.push(WALLET_REFUSED);
                out.extend_from_slice(factory.as_slice());
            }
        }
        match &self.stated {
            None => out.push(DOMAIN_LISTED),
            Some(domain) => {
                out.push(DOMAIN_STATED);
                put(&mut out, domain.name.as_bytes());
                put(&mut out, domain.version.as_bytes());
            }
        }
        out
    }

    /// Reads what [`Body::encode`] wrote.
    ///
    /// # Errors
    /// [`NotABody`] for anything else, bytes left over included.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NotABody> {
        let mut rest = Rest(bytes);
        if rest.byte()? != VERSION {
            return Err(NotABody);
        }
        let body = Self {
            token: rest.array().map(Address::new)?,
            from: rest.array().map(Address::new)?,
            to: rest.array().map(Address::new)?,
            value: rest.array().map(u128::from_be_bytes)?,
            valid_after: rest.array().map(u64::from_be_bytes)?,
            valid_before: rest.array().map(u64::from_be_bytes)?,
            nonce: rest.array().map(B256::new)?,
            is_recovered: match rest.byte()? {
                RECOVERED => true,
                UNRECOVERED => false,
                _ => return Err(NotABody),
            },
            signature: rest.bytes()?,
            wallet: match rest.byte()? {
                WALLET_AS_IS => Wallet::AsIs,
                WALLET_DEPLOYABLE => Wallet::Deployable {
                    factory: rest.array().map(Address::new)?,
                    call: rest.bytes()?,
                },
                WALLET_REFUSED => Wallet::Refused {
                    factory: rest.array().map(Address::new)?,
                },
                _ => return Err(NotABody),
            },
            stated: match rest.byte()? {
                DOMAIN_LISTED => None,
                DOMAIN_STATED => Some(Domain {
                    name: rest.text()?,
                    version: rest.text()?,
                }),
                _ => return Err(NotABody),
            },
        };
        if rest.0.is_empty() { Ok(body) } else { Err(NotABody) }
    }
}

/// A length in two bytes, then the bytes. Nothing longer than that gets here: payments are bounded far below.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes.get(..usize::from(length)).unwrap_or_default());
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NotABody> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(NotABody)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotABody> {
        self.take(N)?.try_into().map_err(|_| NotABody)
    }

    fn byte(&mut self) -> Result<u8, NotABody> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    fn run(&mut self) -> Result<&'a [u8], NotABody> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn bytes(&mut self) -> Result<Bytes, NotABody> {
        self.run().map(Bytes::copy_from_slice)
    }

    fn text(&mut self) -> Result<String, NotABody> {
        String::from_utf8(self.run()?.to_vec()).map_err(|_| NotABody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> Vec<Body> {
        let plain = Body {
            token: Address::repeat_byte(1),
            from: Address::repeat_byte(2),
            to: Address::repeat_byte(3),
            value: 10_000,
            valid_after: 4,
            valid_before: 5,
            nonce: B256::repeat_byte(6),
            signature: Bytes::from(vec![7; 65]),
            is_recovered: true,
            wallet: Wallet::AsIs,
            stated: None,
        };
        let factory = Address::repeat_byte(8);
        vec![
            Body {
                wallet: Wallet::Deployable {
                    factory,
                    call: Bytes::from(vec![9; 300]),
                },
                is_recovered: false,
                ..plain.clone()
            },
            Body {
                wallet: Wallet::Refused { factory },
                stated: Some(Domain {
                    name: "USD₮0".into(),
                    version: String::new(),
                }),
                value: u128::MAX,
                ..plain.clone()
            },
            plain,
        ]
    }

    #[test]
    fn a_body_survives_its_bytes_and_nothing_else_is_one() {
        for body in bodies() {
            let bytes = body.encode();
            assert!(Body::decode(&bytes).is_ok_and(|it| it == body));
            for cut in 0..bytes.len() {
                assert!(Body::decode(&bytes[..cut]).is_err(), "{cut}");
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert!(Body::decode(&longer).is_err());
            let mut newer = bytes;
            newer[0] = 2;
            assert!(Body::decode(&newer).is_err());
        }
    }

    #[test]
    fn debug_shows_no_signature() {
        for body in bodies() {
            let shown = format!("{body:?}");
            assert!(!shown.contains("0707") && !shown.contains("0909"), "{shown}");
        }
    }
}
