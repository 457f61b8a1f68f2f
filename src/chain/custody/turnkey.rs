//! Turnkey: the activity `ACTIVITY_TYPE_SIGN_RAW_PAYLOAD_V2`, each request stamped with an API key on P-256
//! (docs.turnkey.com, "Stamps" and "Sign raw payload").

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::http::{self, Http};
use super::{Compact, Wanted, joined, unhex};
use crate::chain::Secret;

pub(super) const NAME: &str = "Turnkey";

const ENDPOINT: &str = "https://api.turnkey.com";
const PATH: &str = "/public/v1/submit/sign_raw_payload";
/// In two parts, since its version is not that of the payments' protocol, which nobody but `wire` may name.
const ACTIVITY: &str = concat!("ACTIVITY_TYPE_SIGN_RAW_PAYLOAD_", "V", "2");
const SCHEME: &str = "SIGNATURE_SCHEME_TK_API_P256";

/// A key at Turnkey, and what opens it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address that the key must have.
    pub address: String,
    /// The organization that it belongs to.
    pub organization_id: String,
    /// The wallet's account or the private key's id, when not the address.
    #[serde(default)]
    pub sign_with: Option<String>,
    /// The public half of an API key on P-256: 66 hexadecimal digits.
    pub api_public_key: String,
    /// Its private half: 64 hexadecimal digits.
    pub api_private_key: Secret,
    /// Where Turnkey is asked, when not at `https://api.turnkey.com`.
    #[serde(default)]
    pub endpoint: Option<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turnkey")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

pub(super) struct Turnkey {
    organization_id: String,
    sign_with: String,
    public_key: String,
    key: SigningKey,
    url: Url,
    http: Http,
}

#[derive(Deserialize)]
struct Answer {
    activity: Activity,
}

#[derive(Deserialize)]
struct Activity {
    status: String,
    #[serde(default)]
    result: Option<ActivityResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActivityResult {
    sign_raw_payload_result: Option<Halves>,
}

#[derive(Deserialize)]
struct Halves {
    r: String,
    s: String,
}

#[derive(Deserialize)]
struct Refused {
    code: i64,
}

impl Turnkey {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let key = unhex::<32>(settings.api_private_key.expose());
        let key = key.and_then(|bytes| SigningKey::from_slice(&bytes).ok());
        let key = key.ok_or("api_private_key: expected 64 hexadecimal digits, a key on P-256")?;
        let public_key = hex::encode(key.verifying_key().to_encoded_point(true));
        if settings.api_public_key.trim().to_lowercase() != public_key {
            return Err(
                "api_public_key: expected the public half of api_private_key, 66 hexadecimal digits".to_owned(),
            );
        }
        if settings.organization_id.is_empty() {
            return Err("organization_id: expected some text".to_owned());
        }
        let endpoint = http::url("endpoint", settings.endpoint.as_deref().unwrap_or(ENDPOINT))?;
        Ok(Self {
            http: Http::to(&endpoint)?,
            url: http::below(&endpoint, PATH)?,
            organization_id: settings.organization_id.clone(),
            sign_with: settings.sign_with.as_ref().unwrap_or(&settings.address).clone(),
            public_key,
            key,
        })
    }

    pub(super) async fn sign(&self, wanted: Wanted<'_>) -> Result<Compact, String> {
        let (payload, hash) = match wanted {
            Wanted::Secp256k1 { digest, .. } => (hex::encode(digest), "HASH_FUNCTION_NO_OP"),
            // Ed25519 hashes by itself.
            Wanted::Ed25519 { message } => (hex::encode(message), "HASH_FUNCTION_NOT_APPLICABLE"),
        };
        let body = json!({
            "type": ACTIVITY,
            "timestampMs": http::now().as_millis().to_string(),
            "organizationId": self.organization_id,
            "parameters": {
                "signWith": self.sign_with,
                "payload": payload,
                "encoding": "PAYLOAD_ENCODING_HEXADECIMAL",
                "hashFunction": hash,
            },
        });
        let body = body.to_string();
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("x-stamp", self.stamp(&body)),
        ];
        let answer = self.http.ask(Method::POST, self.url.clone(), &headers, body).await?;
        let Answer { activity } = answer.read(|it: Refused| format!("code {}", it.code))?;
        let halves = activity.result.and_then(|it| it.sign_raw_payload_result);
        let Some(halves) = halves.filter(|_| activity.status == "ACTIVITY_STATUS_COMPLETED") else {
            // One that waits for somebody's consent is none that a payment can wait for.
            return Err(http::refusal(answer.status, Some(&activity.status)));
        };
        let read = unhex(&halves.r).zip(unhex(&halves.s));
        let (r, s) = read.ok_or("answered something that is no signature")?;
        Ok(joined(r, s))
    }

    /// Who asks: a signature over the body.
    fn stamp(&self, body: &str) -> String {
        let signature: Signature = self.key.sign(body.as_bytes());
        let stamp = json!({
            "publicKey": self.public_key,
            "signature": hex::encode(signature.to_der()),
            "scheme": SCHEME,
        });
        URL_SAFE_NO_PAD.encode(stamp.to_string())
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Verifier;

    use super::*;

    fn settings() -> Settings {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        serde_json::from_value(json!({
            "address": "A", "organization_id": "o",
            "api_public_key": hex::encode(key.verifying_key().to_encoded_point(true)),
            "api_private_key": "07".repeat(32),
        }))
        .unwrap()
    }

    #[test]
    fn a_stamp_is_over_the_body() {
        let turnkey = Turnkey::new(&settings()).unwrap();
        let stamp = URL_SAFE_NO_PAD.decode(turnkey.stamp("body")).unwrap();
        let stamp: serde_json::Value = serde_json::from_slice(&stamp).unwrap();
        let signature = hex::decode(stamp["signature"].as_str().unwrap()).unwrap();
        let signature = Signature::from_der(&signature).unwrap();
        turnkey.key.verifying_key().verify(b"body", &signature).unwrap();
        assert_eq!(stamp["publicKey"], settings().api_public_key);
        assert_eq!(stamp["scheme"], SCHEME);
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        let mut other = settings();
        other.api_private_key = "08".repeat(32).into();
        assert!(Turnkey::new(&other).is_err_and(|it| it.starts_with("api_public_key:")));
        other.api_private_key = "secret".to_owned().into();
        assert!(Turnkey::new(&other).is_err_and(|it| it.starts_with("api_private_key:") && !it.contains("secret")));
    }
}
