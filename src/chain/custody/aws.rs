//! AWS KMS: the `Sign` operation of its JSON API, signed with AWS Signature Version 4 (docs.aws.amazon.com, "API_Sign" and
//! "Create a signed AWS API request").
//!
//! A key of spec `ECC_SECG_P256K1` signs the digest (`ECDSA_SHA_256` with `MessageType: DIGEST`: KMS does not ask by which
//! function it was made); one of `ECC_NIST_EDWARDS25519` the message (`ED25519_SHA_512`, which takes `RAW` only).

use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use hmac::{Hmac, Mac};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::http::{self, Http};
use super::{Compact, Wanted, der};
use crate::chain::Secret;

pub(super) const NAME: &str = "AWS KMS";

const TARGET: &str = "TrentService.Sign";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const SERVICE: &str = "kms";

/// A key in AWS KMS, and what opens it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address that the key must have.
    pub address: String,
    /// The region that the key is in.
    pub region: String,
    /// The key's id, its ARN, or an alias as `alias/…`.
    pub key_id: String,
    /// The name of an access key that may `kms:Sign` with it, and nothing else.
    pub access_key_id: String,
    /// That access key.
    pub secret_access_key: Secret,
    /// Where the access key is a temporary one: its session.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// Where KMS is asked, when not at `https://kms.<region>.amazonaws.com`.
    #[serde(default)]
    pub endpoint: Option<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKms")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

pub(super) struct Kms {
    settings: Settings,
    url: Url,
    http: Http,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "__type")]
    kind: String,
}

impl Kms {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let is_region = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if settings.region.is_empty() || !settings.region.chars().all(is_region) {
            return Err("region: expected a region such as eu-central-1".to_owned());
        }
        for (key, value) in [
            ("key_id", settings.key_id.as_str()),
            ("access_key_id", &settings.access_key_id),
            ("secret_access_key", settings.secret_access_key.expose()),
        ] {
            if value.is_empty() {
                return Err(format!("{key}: expected some text"));
            }
        }
        let usual = format!("https://kms.{}.amazonaws.com", settings.region);
        let url = http::url("endpoint", settings.endpoint.as_deref().unwrap_or(&usual))?;
        Ok(Self {
            http: Http::to(&url)?,
            url,
            settings: settings.clone(),
        })
    }

    pub(super) async fn sign(&self, wanted: Wanted<'_>) -> Result<Compact, String> {
        let (message, kind, algorithm) = match wanted {
            Wanted::Secp256k1 { digest, .. } => (STANDARD.encode(digest), "DIGEST", "ECDSA_SHA_256"),
            Wanted::Ed25519 { message } => (STANDARD.encode(message), "RAW", "ED25519_SHA_512"),
        };
        let body = json!({
            "KeyId": self.settings.key_id,
            "Message": message,
            "MessageType": kind,
            "SigningAlgorithm": algorithm,
        });
        let body = body.to_string();
        let headers = self.headers(&body)?;
        let answer = self.http.ask(Method::POST, self.url.clone(), &headers, body).await?;
        // Such as `com.amazonaws.kms#NotFoundException`.
        let said = |it: Refused| it.kind.rsplit('#').next().unwrap_or_default().to_owned();
        let signed: Signed = answer.read(said)?;
        let bytes = STANDARD.decode(signed.signature).unwrap_or_default();
        let read = match wanted {
            Wanted::Secp256k1 { .. } => der::ecdsa(&bytes),
            Wanted::Ed25519 { .. } => bytes.try_into().ok(),
        };
        read.ok_or_else(|| "answered something that is no signature".to_owned())
    }

    /// The headers of a request with this body, the signature over them and it last.
    fn headers(&self, body: &str) -> Result<Vec<(&'static str, String)>, String> {
        let seconds = i64::try_from(http::now().as_secs()).unwrap_or_default();
        let now = DateTime::from_timestamp(seconds, 0).ok_or("cannot be asked: the clock is wrong")?;
        let at = now.format("%Y%m%dT%H%M%SZ").to_string();
        let host = match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        // Sorted by name, as the canonical request has them.
        let mut headers = vec![
            ("content-type", CONTENT_TYPE.to_owned()),
            ("host", host),
            ("x-amz-date", at),
        ];
        if let Some(token) = &self.settings.session_token {
            headers.push(("x-amz-security-token", token.expose().to_owned()));
        }
        headers.push(("x-amz-target", TARGET.to_owned()));
        headers.push(("authorization", self.authorization(&headers, body)));
        Ok(headers)
    }

    fn authorization(&self, headers: &[(&'static str, String)], body: &str) -> String {
        let at = headers.iter().find(|(name, _)| *name == "x-amz-date");
        let at = at.map_or("", |(_, at)| at);
        let scope = format!(
            "{}/{}/{SERVICE}/aws4_request",
            at.get(..8).unwrap_or_default(),
            self.settings.region
        );
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut request = format!("POST\n{}\n\n", self.url.path());
        for (name, value) in headers {
            // Writing to a string does not fail.
            let _ = writeln!(request, "{name}:{}", value.trim());
        }
        let _ = write!(request, "\n{names}\n{}", hex::encode(Sha256::digest(body)));
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{at}\n{scope}\n{}",
            hex::encode(Sha256::digest(request))
        );
        let secret = format!("AWS4{}", self.settings.secret_access_key.expose());
        let key = scope.split('/').fold(secret.into_bytes(), |key, part| mac(&key, part));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            self.settings.access_key_id,
            hex::encode(mac(&key, &to_sign))
        )
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length will do (RFC 2104).
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mac| mac.chain_update(text).finalize().into_bytes().to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kms() -> Kms {
        let settings = serde_json::from_value(json!({
            "address": "A", "region": "us-east-1", "key_id": "alias/x402",
            "access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        }));
        Kms::new(&settings.unwrap()).unwrap()
    }

    /// Computed with botocore 1.43 (`SigV4Auth`), for the same request at the same time.
    #[test]
    fn a_request_is_signed_as_others_sign_it() {
        let headers = [
            ("content-type", CONTENT_TYPE.to_owned()),
            ("host", "kms.us-east-1.amazonaws.com".to_owned()),
            ("x-amz-date", "20150830T123600Z".to_owned()),
            ("x-amz-target", TARGET.to_owned()),
        ];
        assert_eq!(
            kms().authorization(&headers, "{}"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/kms/aws4_request, \
                SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
                Signature=024bbd3018256514009812d412dceaf10b4ae10f123a299c3fe53dd6c092edb1"
        );
    }

    #[test]
    fn settings_that_cannot_be_are_refused_by_key() {
        for (key, value) in [
            ("region", "eu central"),
            ("key_id", ""),
            ("endpoint", "ftp://kms"),
            ("endpoint", "kms"),
        ] {
            let mut settings = kms().settings;
            match key {
                "region" => settings.region = value.into(),
                "key_id" => settings.key_id = value.into(),
                _ => settings.endpoint = Some(value.into()),
            }
            let complaint = Kms::new(&settings).err().unwrap();
            assert!(complaint.starts_with(key), "{complaint}");
        }
    }
}
