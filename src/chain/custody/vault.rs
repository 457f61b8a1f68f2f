//! HashiCorp Vault and OpenBao: `POST /v1/{mount}/sign/{name}` of the transit engine (developer.hashicorp.com/vault/api-docs,
//! "Transit", "Sign data"), with a key of the type `ed25519`. It has no secp256k1.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::http::{self, Http};
use super::{Compact, Wanted};
use crate::chain::Secret;

pub(super) const NAME: &str = "Vault";

/// Where the transit engine is mounted, when the operator does not say.
const MOUNT: &str = "transit";

/// A key in a transit engine, and what opens it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address that the key must have.
    pub address: String,
    /// Where Vault is.
    pub url: String,
    /// The key's name.
    pub key: String,
    /// Where the engine is mounted, when not at `transit`.
    #[serde(default)]
    pub mount: Option<String>,
    /// The namespace that all this is in, if it is in any.
    #[serde(default)]
    pub namespace: Option<String>,
    /// A token whose policy allows `update` on the path.
    pub token: Secret,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

pub(super) struct Vault {
    namespace: Option<String>,
    token: Secret,
    url: Url,
    http: Http,
}

#[derive(Deserialize)]
struct Answer {
    data: Signed,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
struct Refused {
    errors: Vec<String>,
}

impl Vault {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let base = http::url("url", &settings.url)?;
        let mount = settings.mount.as_deref().unwrap_or(MOUNT);
        for (field, name, slash) in [("key", settings.key.as_str(), ""), ("mount", mount, "/")] {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c) || slash.contains(c);
            if name.is_empty() || !name.chars().all(is_plain) {
                return Err(format!("{field}: expected a name in letters, digits, -, _ and ."));
            }
        }
        Ok(Self {
            namespace: settings.namespace.clone(),
            token: settings.token.clone(),
            url: http::below(&base, &format!("/v1/{mount}/sign/{}", settings.key))?,
            http: Http::to(&base)?,
        })
    }

    pub(super) async fn sign(&self, wanted: Wanted<'_>) -> Result<Compact, String> {
        let Wanted::Ed25519 { message } = wanted else {
            return Err("has no keys of this kind".to_owned());
        };
        let body = json!({"input": STANDARD.encode(message)});
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-vault-token", self.token.expose().to_owned()),
        ];
        if let Some(namespace) = &self.namespace {
            headers.push(("x-vault-namespace", namespace.clone()));
        }
        let url = self.url.clone();
        let answer = self.http.ask(Method::POST, url, &headers, body.to_string()).await?;
        let answer: Answer = answer.read(|it: Refused| it.errors.into_iter().next().unwrap_or_default())?;
        // `vault:v1:` says which version of the key has signed.
        let written = answer
            .data
            .signature
            .rsplit(':')
            .next()
            .and_then(|it| STANDARD.decode(it).ok());
        let signature = written.and_then(|it| it.try_into().ok());
        signature.ok_or_else(|| "answered something that is no signature".to_owned())
    }
}
