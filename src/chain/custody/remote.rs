//! Our own protocol, for a signer that somebody writes himself (`docs/custody.md`): one `POST` of JSON with the whole message,
//! over HTTP or a Unix socket, so that he can judge by rules of his own what he signs.

use std::fmt;
use std::path::Path;

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::http::{self, Http};
use super::{Compact, Wanted, unhex};
use crate::chain::Secret;

pub(super) const NAME: &str = "the remote signer";

const PATH: &str = "/v1/sign";

/// What stands in front of a socket's path.
const SOCKET: &str = "unix:";

/// A key that a remote signer has.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address that the key must have.
    pub address: String,
    /// Where the signer is: `https://…`, `http://…`, or `unix:` and the path of a socket.
    pub url: String,
    /// What it is to know us by: sent as `Authorization: Bearer …`.
    #[serde(default)]
    pub token: Option<Secret>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

pub(super) struct Remote {
    address: String,
    token: Option<Secret>,
    url: Url,
    http: Http,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Remote {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let (base, http) = match settings.url.strip_prefix(SOCKET) {
            Some(path) if Path::new(path).is_absolute() => {
                (http::url("url", "http://signer")?, Http::at_socket(Path::new(path))?)
            }
            Some(_) => return Err("url: expected unix: and an absolute path".to_owned()),
            None => {
                let url = http::url("url", &settings.url)?;
                let http = Http::to(&url)?;
                (url, http)
            }
        };
        Ok(Self {
            address: settings.address.clone(),
            token: settings.token.clone(),
            url: http::below(&base, PATH)?,
            http,
        })
    }

    pub(super) async fn sign(&self, wanted: Wanted<'_>) -> Result<Compact, String> {
        let (scheme, message) = match wanted {
            Wanted::Secp256k1 { message, .. } => ("secp256k1-keccak256", message),
            Wanted::Ed25519 { message } => ("ed25519", message),
        };
        let body = json!({
            "address": self.address,
            "scheme": scheme,
            "message": format!("0x{}", hex::encode(message)),
        });
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if let Some(token) = &self.token {
            headers.push(("authorization", format!("Bearer {}", token.expose())));
        }
        let url = self.url.clone();
        let answer = self.http.ask(Method::POST, url, &headers, body.to_string()).await?;
        let signed: Signed = answer.read(|it: Refused| it.error)?;
        // A recovery id behind it may be left out, and is found out anew.
        let whole = unhex::<65>(&signed.signature).and_then(|it| it.first_chunk().copied());
        let read = whole.or_else(|| unhex(&signed.signature));
        read.ok_or_else(|| "answered something that is no signature".to_owned())
    }
}
