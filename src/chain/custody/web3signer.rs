//! Web3signer: `POST /api/v1/eth1/sign/{identifier}` (docs.web3signer.consensys.io, "eth1"). It hashes the data that it is
//! given with Keccak-256 and signs that, so it is given the message itself; what stands around it may then judge that.

use std::fmt;

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::http::{self, Http};
use super::{Compact, Wanted, unhex};

pub(super) const NAME: &str = "Web3signer";

/// Bytes of a public key without the one that says how it is written.
const PUBLIC_KEY_BYTES: usize = 64;

/// A key that Web3signer has.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address that the key must have.
    pub address: String,
    /// Where Web3signer is.
    pub url: String,
    /// By what it knows the key: the public key, `0x` and 128 hexadecimal digits.
    pub public_key: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web3signer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

pub(super) struct Web3signer {
    url: Url,
    http: Http,
}

impl Web3signer {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let key = unhex::<PUBLIC_KEY_BYTES>(&settings.public_key);
        let key = key.ok_or("public_key: expected 0x and 128 hexadecimal digits")?;
        let url = http::url("url", &settings.url)?;
        Ok(Self {
            http: Http::to(&url)?,
            url: http::below(&url, &format!("/api/v1/eth1/sign/0x{}", hex::encode(key)))?,
        })
    }

    pub(super) async fn sign(&self, wanted: Wanted<'_>) -> Result<Compact, String> {
        let Wanted::Secp256k1 { message, .. } = wanted else {
            return Err("has no keys of this kind".to_owned());
        };
        let body = json!({"data": format!("0x{}", hex::encode(message))});
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("accept", "text/plain".to_owned()),
        ];
        let url = self.url.clone();
        let answer = self.http.ask(Method::POST, url, &headers, body.to_string()).await?;
        if answer.status != 200 {
            return Err(http::refusal(answer.status, None));
        }
        let text = std::str::from_utf8(&answer.body).unwrap_or_default();
        // r, s and a recovery id that is found out anew.
        let read = unhex::<65>(text.trim().trim_matches('"'));
        let signature = read.and_then(|it| it.first_chunk().copied());
        signature.ok_or_else(|| "answered something that is no signature".to_owned())
    }
}
