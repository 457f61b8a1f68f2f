//! Google Cloud KMS: `cryptoKeyVersions.asymmetricSign` of its REST API, as a service account or as the machine's own
//! (cloud.google.com/kms/docs/reference/rest; developers.google.com/identity/protocols/oauth2/service-account).
//!
//! A key of algorithm `EC_SIGN_SECP256K1_SHA256` signs the digest, by whatever function it was made; one of
//! `EC_SIGN_ED25519` the message.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Method, Url};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::http::{self, Http};
use super::{Compact, Wanted, der};
use crate::chain::Secret;

pub(super) const NAME: &str = "Google Cloud KMS";

const ENDPOINT: &str = "https://cloudkms.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const METADATA: &str = "http://metadata.google.internal";
const METADATA_TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// For how long a token is asked for that is got by a service account's key; the most there is.
const TOKEN_TERM: Duration = Duration::from_hours(1);

/// A token is replaced so long before it ends: longer than a request takes, and than clocks differ.
const TOKEN_MARGIN: Duration = Duration::from_mins(2);

/// A key in Google Cloud KMS, and who may use it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address that the key must have.
    pub address: String,
    /// The version of the key: `projects/…/locations/…/keyRings/…/cryptoKeys/…/cryptoKeyVersions/…`.
    pub key: String,
    /// The JSON file of a service account's key, where the machine has no service account of its own.
    #[serde(default)]
    pub service_account: Option<Secret>,
    /// Where KMS is asked, when not at `https://cloudkms.googleapis.com`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Where the machine's own service account is asked for a token, when not at `http://metadata.google.internal`.
    #[serde(default)]
    pub metadata: Option<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcpKms")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

pub(super) struct Kms {
    url: Url,
    http: Http,
    account: Account,
    token: Mutex<Option<Token>>,
}

/// Who asks.
enum Account {
    /// The one of this key.
    Key(Box<ServiceAccount>, Http),
    /// The machine's own.
    Machine(Url, Http),
}

struct ServiceAccount {
    email: String,
    key_id: String,
    key: RsaKeyPair,
    token_url: Url,
}

struct Token {
    text: Secret,
    /// Since the Unix epoch.
    until: Duration,
}

#[derive(Deserialize)]
struct AccountFile {
    client_email: String,
    private_key_id: String,
    private_key: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
struct Refused {
    error: RefusedError,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RefusedError {
    /// The APIs'.
    Api { status: String },
    /// OAuth's.
    Word(String),
}

impl Refused {
    fn said(self) -> String {
        match self.error {
            RefusedError::Api { status: word } | RefusedError::Word(word) => word,
        }
    }
}

impl Kms {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let parts: Vec<&str> = settings.key.split('/').collect();
        let kinds = ["projects", "locations", "keyRings", "cryptoKeys", "cryptoKeyVersions"];
        let is_named = parts.chunks(2).map(|it| it.first().copied()).eq(kinds.map(Some));
        let is_plain = |part: &&str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
            !part.is_empty() && part.chars().all(fits)
        };
        if parts.len() != 10 || !is_named || !parts.iter().all(is_plain) {
            return Err("key: expected projects/…/locations/…/keyRings/…/cryptoKeys/…/cryptoKeyVersions/…".to_owned());
        }
        let endpoint = http::url("endpoint", settings.endpoint.as_deref().unwrap_or(ENDPOINT))?;
        let account = if let Some(file) = &settings.service_account {
            let account = ServiceAccount::read(file.expose())?;
            let http = Http::to(&account.token_url)?;
            Account::Key(Box::new(account), http)
        } else {
            let metadata = http::url("metadata", settings.metadata.as_deref().unwrap_or(METADATA))?;
            let http = Http::to(&metadata)?;
            Account::Machine(http::below(&metadata, METADATA_TOKEN)?, http)
        };
        Ok(Self {
            http: Http::to(&endpoint)?,
            url: http::below(&endpoint, &format!("/v1/{}:asymmetricSign", settings.key))?,
            account,
            token: Mutex::default(),
        })
    }

    pub(super) async fn sign(&self, wanted: Wanted<'_>) -> Result<Compact, String> {
        let body = match wanted {
            Wanted::Secp256k1 { digest, .. } => json!({"digest": {"sha256": STANDARD.encode(digest)}}),
            Wanted::Ed25519 { message } => json!({"data": STANDARD.encode(message)}),
        };
        let headers = [
            ("authorization", self.bearer().await?),
            ("content-type", "application/json".to_owned()),
        ];
        let url = self.url.clone();
        let answer = self.http.ask(Method::POST, url, &headers, body.to_string()).await?;
        if answer.status == 401 {
            // It was taken back before its end.
            *self.token.lock().await = None;
        }
        let signed: Signed = answer.read(Refused::said)?;
        let bytes = STANDARD.decode(signed.signature).unwrap_or_default();
        let read = match wanted {
            Wanted::Secp256k1 { .. } => der::ecdsa(&bytes),
            Wanted::Ed25519 { .. } => bytes.try_into().ok(),
        };
        read.ok_or_else(|| "answered something that is no signature".to_owned())
    }

    /// The header that says who asks. Whoever comes while a token is got waits for that one.
    async fn bearer(&self) -> Result<String, String> {
        let mut held = self.token.lock().await;
        let is_good = |it: &&mut Token| it.until > http::now().saturating_add(TOKEN_MARGIN);
        if let Some(token) = held.as_mut().filter(is_good) {
            return Ok(format!("Bearer {}", token.text.expose()));
        }
        let got = self.account.token().await?;
        let bearer = format!("Bearer {}", got.access_token);
        *held = Some(Token {
            until: http::now().saturating_add(Duration::from_secs(got.expires_in)),
            text: got.access_token.into(),
        });
        Ok(bearer)
    }
}

impl Account {
    async fn token(&self) -> Result<TokenAnswer, String> {
        let answer = match self {
            Self::Key(account, http) => {
                let form = "application/x-www-form-urlencoded".to_owned();
                // Neither part has a character that a form would have to escape.
                let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
                let body = format!("grant_type={grant}&assertion={}", account.assertion()?);
                let url = account.token_url.clone();
                http.ask(Method::POST, url, &[("content-type", form)], body).await
            }
            Self::Machine(url, http) => {
                let flavor = [("metadata-flavor", "Google".to_owned())];
                http.ask(Method::GET, url.clone(), &flavor, String::new()).await
            }
        };
        let named = |what: String| format!("gives no token for it: {what}");
        answer.and_then(|it| it.read(Refused::said)).map_err(named)
    }
}

impl ServiceAccount {
    fn read(file: &str) -> Result<Self, String> {
        let expected = || "service_account: expected the JSON file of a service account's key".to_owned();
        let file: AccountFile = serde_json::from_str(file).map_err(|_| expected())?;
        let lines = file.private_key.lines().filter(|line| !line.starts_with("-----"));
        let der = STANDARD
            .decode(lines.collect::<String>().trim())
            .map_err(|_| expected())?;
        Ok(Self {
            key: RsaKeyPair::from_pkcs8(&der).map_err(|_| expected())?,
            token_url: http::url("service_account.token_uri", &file.token_uri)?,
            email: file.client_email,
            key_id: file.private_key_id,
        })
    }

    /// A signed claim to be this account (RFC 7523), good for an hour.
    fn assertion(&self) -> Result<String, String> {
        let now = http::now();
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url.as_str(),
            "iat": now.as_secs(),
            "exp": now.saturating_add(TOKEN_TERM).as_secs(),
        });
        let part = |it: serde_json::Value| URL_SAFE_NO_PAD.encode(it.to_string());
        let claim = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                claim.as_bytes(),
                &mut signature,
            )
            .map_err(|_| "cannot be asked: the service account's key cannot sign".to_owned())?;
        Ok(format!("{claim}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(key: &str) -> Settings {
        serde_json::from_value(json!({"address": "A", "key": key})).unwrap()
    }

    #[test]
    fn a_key_is_named_down_to_its_version() {
        let whole = "projects/p/locations/europe/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
        let kms = Kms::new(&settings(whole)).unwrap();
        assert_eq!(
            kms.url.as_str(),
            format!("https://cloudkms.googleapis.com/v1/{whole}:asymmetricSign")
        );
        for cut in [
            "",
            "projects/p",
            &whole[..whole.len() - 2],
            &whole.replace('r', "r?"),
            &format!("{whole}/x/y"),
        ] {
            assert!(
                Kms::new(&settings(cut)).is_err_and(|it| it.starts_with("key:")),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_service_account_that_is_none_is_refused_without_being_repeated() {
        let whole = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
        for file in [
            "secret",
            "{}",
            r#"{"client_email":"secret","private_key_id":"1","private_key":"secret","token_uri":"http://t"}"#,
        ] {
            let mut settings = settings(whole);
            settings.service_account = Some(file.to_owned().into());
            let complaint = Kms::new(&settings).err().unwrap();
            assert!(
                complaint.starts_with("service_account:") && !complaint.contains("secret"),
                "{complaint}"
            );
        }
    }
}
