//! A gateway's word for one request, instead of its key: a JSON Web Token (RFC 7519) that it signs with Ed25519 (RFC 8037)
//! for minutes at most, bound to the method, the path and the body.
//!
//! Whoever reads one can only repeat the request that it was made for, which settles nothing twice. The key it names says
//! which public key must have signed it; nothing that the token says of itself chooses an algorithm or a key, and whatever
//! else it says is refused, since it would not be heeded.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::domain::tenant::KeyId;
use crate::domain::time::Timestamp;

/// The media type of what is signed, so that nothing else that the gateway signs passes for a token.
const TYPE: &str = "x402-request+jwt";

/// Bytes of a token.
const LENGTH_MAX: usize = 4096;

/// Seconds that a token may be good for.
const LIFETIME_MAX: u64 = 120;

/// Seconds by which the gateway's clock may be ahead of ours or behind.
const SKEW_MAX: u64 = 30;

/// A gateway's public key: 32 bytes of Ed25519, written in base64url as `x` of a JSON Web Key has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// The text or the bytes are no key, or one that vouches for whatever anybody signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an Ed25519 public key: 43 characters of base64url without padding")]
pub struct NotAPublicKey;

/// A token that is of its form; nobody vouches for it yet.
#[derive(Debug)]
pub struct Token {
    /// The key it names.
    pub key: KeyId,
    claims: Claims,
    signed: String,
    signature: Signature,
}

/// The request that a token must have been made for, but for its body: that is read once it is known who sends it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path with the query, as it was asked for.
    pub path: &'a str,
}

/// What the token says of the request's body: nobody is let in before that is held against it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Bound(String);

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not three parts of base64url, of which two are the JSON that is expected.
    #[error(
        "not a token: expected a JWT in compact serialization, with the header {{\"alg\":\"EdDSA\",\"typ\":\"{TYPE}\"}} and the \
         claims iss, iat, exp, method, path and body_sha256, and nothing else in either"
    )]
    Malformed,
    /// The key it names has another public key, or it was altered.
    #[error("the token's signature is not by the public key of the key in iss")]
    Forged,
    /// It is good for longer than a token may be, or for no time.
    #[error("exp must be 1 to {LIFETIME_MAX} s after iat")]
    Lifetime,
    /// It was not made yet.
    #[error("iat is in the future by more than {SKEW_MAX} s; set the clock")]
    Early,
    /// It is over.
    #[error("the token has expired")]
    Late,
    /// It was made for another method.
    #[error("the token is for another method")]
    Method,
    /// It was made for another path.
    #[error("the token is for another path; path is that of the request, with its query")]
    Path,
    /// It was made for another body.
    #[error("the token is for another body; body_sha256 is that of its bytes, in base64url without padding")]
    Body,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    iat: u64,
    exp: u64,
    method: String,
    path: String,
    body_sha256: String,
}

impl PublicKey {
    /// The key of these 32 bytes.
    ///
    /// # Errors
    /// [`NotAPublicKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotAPublicKey> {
        let bytes = bytes.try_into().map_err(|_| NotAPublicKey)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| NotAPublicKey)?;
        if key.is_weak() {
            Err(NotAPublicKey)
        } else {
            Ok(Self(key))
        }
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.as_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAPublicKey)?;
        Self::from_bytes(&bytes)
    }
}

impl Token {
    /// Reads what is presented as one.
    ///
    /// # Errors
    /// [`Flaw::Malformed`].
    pub fn read(text: &str) -> Result<Self, Flaw> {
        if text.len() > LENGTH_MAX {
            return Err(Flaw::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Flaw::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Flaw::Malformed)?;
        let header: Header = decoded(header)?;
        if header.alg != "EdDSA" || header.typ != TYPE {
            return Err(Flaw::Malformed);
        }
        let claims: Claims = decoded(claims)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Flaw::Malformed)?;
        Ok(Self {
            key: claims.iss.parse().map_err(|_| Flaw::Malformed)?,
            claims,
            signed: signed.to_owned(),
            signature: Signature::from_slice(&signature).map_err(|_| Flaw::Malformed)?,
        })
    }

    /// Whether the owner of this public key, which must be that of the key it names, made it for this request and it is good
    /// now; and for which body.
    ///
    /// # Errors
    /// The first [`Flaw`]; of what the token says nothing is told before its signature is proven.
    pub fn check(&self, key: &PublicKey, request: Request<'_>, now: Timestamp) -> Result<Bound, Flaw> {
        let signed = self.signed.as_bytes();
        key.0.verify_strict(signed, &self.signature).map_err(|_| Flaw::Forged)?;
        let Claims {
            iat,
            exp,
            method,
            path,
            body_sha256,
            ..
        } = &self.claims;
        let lifetime = exp.checked_sub(*iat);
        if !lifetime.is_some_and(|it| (1..=LIFETIME_MAX).contains(&it)) {
            return Err(Flaw::Lifetime);
        }
        if *iat > now.0.saturating_add(SKEW_MAX) {
            return Err(Flaw::Early);
        }
        if now.0 >= exp.saturating_add(SKEW_MAX) {
            return Err(Flaw::Late);
        }
        if method != request.method {
            return Err(Flaw::Method);
        }
        if path != request.path {
            return Err(Flaw::Path);
        }
        Ok(Bound(body_sha256.clone()))
    }
}

impl Bound {
    /// Whether it is this body.
    ///
    /// # Errors
    /// [`Flaw::Body`].
    pub fn check(&self, body: &[u8]) -> Result<(), Flaw> {
        if self.0 == URL_SAFE_NO_PAD.encode(Sha256::digest(body)) {
            Ok(())
        } else {
            Err(Flaw::Body)
        }
    }
}

fn decoded<T: DeserializeOwned>(part: &str) -> Result<T, Flaw> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Flaw::Malformed)
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
