//! What each service asks of a request, by its public documentation, told by other means than the facilitator's own.

use std::collections::BTreeMap;

use alloy::hex;
use axum::http::{HeaderMap, Method};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Verifier;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::keeper::{Asked, CANARY, Inner, Key, Service};
use crate::support::now;

pub(super) const GCP_KEY: &str = "projects/p/locations/europe/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
const REGION: &str = "eu-central-1";
const ACCESS_KEY: &str = "AKIDEXAMPLE";
const ACCOUNT: &str = "signer@p.iam.gserviceaccount.com";
const TOKEN_PATH: &str = "/token";
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const VAULT_KEY: &str = "x402-fee-payer";
const ORGANIZATION: &str = "0b8d2d3e";

/// Seconds by which a request's time may differ from the service's.
const SKEW: u64 = 60;

/// What has arrived.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Request {
    fn header(&self, name: &str) -> Result<&str, String> {
        let value = self.headers.get(name).and_then(|it| it.to_str().ok());
        value.ok_or_else(|| format!("no header {name}"))
    }

    fn json(&self) -> Result<Value, String> {
        serde_json::from_str(&self.body).map_err(|error| error.to_string())
    }

    fn is(&self, method: &Method, path: &str) -> Result<(), String> {
        same("the path", &(&self.method, self.path.as_str()), &(method, path))
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, expected {expected:?}"))
    }
}

fn private_key() -> String {
    include_str!("service_account.pem").to_owned()
}

fn stamper() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&Sha256::digest(CANARY)).unwrap()
}

/// What a configuration says of it, beside the address.
pub(super) fn settings(inner: &Inner) -> String {
    let url = &inner.url;
    match inner.service {
        Service::Aws => format!(
            "source = \"aws_kms\", region = \"{REGION}\", key_id = \"alias/x402\", access_key_id = \"{ACCESS_KEY}\", \
                secret_access_key = \"{CANARY}\", session_token = \"{CANARY}\", endpoint = \"{url}\""
        ),
        Service::Gcp => {
            let file = json!({
                "type": "service_account", "client_email": ACCOUNT, "private_key_id": "1",
                "private_key": private_key(), "token_uri": format!("{url}{TOKEN_PATH}"),
            });
            format!("source = \"gcp_kms\", key = \"{GCP_KEY}\", service_account = '{file}', endpoint = \"{url}\"")
        }
        Service::GcpMachine => {
            format!("source = \"gcp_kms\", key = \"{GCP_KEY}\", endpoint = \"{url}\", metadata = \"{url}\"")
        }
        Service::Turnkey => {
            let key = stamper();
            format!(
                "source = \"turnkey\", organization_id = \"{ORGANIZATION}\", api_public_key = \"{}\", \
                    api_private_key = \"{}\", endpoint = \"{url}\"",
                hex::encode(key.verifying_key().to_encoded_point(true)),
                hex::encode(key.to_bytes()),
            )
        }
        Service::Vault => {
            format!(
                "source = \"vault\", url = \"{url}\", mount = \"eu/transit\", key = \"{VAULT_KEY}\", namespace = \"payments\", \
                    token = \"{CANARY}\""
            )
        }
        Service::Web3signer => {
            let Key::Secp256k1(key) = &inner.key else {
                panic!("Web3signer has no keys of Solana's");
            };
            let public = hex::encode(key.public_key());
            format!("source = \"web3signer\", url = \"{url}/\", public_key = \"0x{public}\"")
        }
        Service::Remote | Service::Socket => format!("source = \"remote\", url = \"{url}\", token = \"{CANARY}\""),
    }
}

/// The token that Google's requests need, if this is a request for one.
pub(super) fn token(inner: &Inner, request: &Request) -> Option<Result<String, String>> {
    let good = || json!({"access_token": CANARY, "expires_in": 3599, "token_type": "Bearer"}).to_string();
    match (inner.service, request.path.as_str()) {
        (Service::Gcp, TOKEN_PATH) => Some(assertion(inner, request).map(|()| good())),
        (Service::GcpMachine, METADATA_PATH) => {
            let flavor = request.header("metadata-flavor");
            Some(
                flavor
                    .and_then(|it| same("the flavor", &it, &"Google"))
                    .map(|()| good()),
            )
        }
        _ => None,
    }
}

/// RFC 7523, and "Using OAuth 2.0 for Server to Server Applications".
fn assertion(inner: &Inner, request: &Request) -> Result<(), String> {
    request.is(&Method::POST, TOKEN_PATH)?;
    same(
        "the type",
        &request.header("content-type")?,
        &"application/x-www-form-urlencoded",
    )?;
    let fields: BTreeMap<&str, &str> = request.body.split('&').filter_map(|it| it.split_once('=')).collect();
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    same("the grant", &fields.get("grant_type"), &Some(&grant))?;
    let parts: Vec<&str> = fields.get("assertion").unwrap_or(&"").split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err("no JWT".to_owned());
    };
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string());
    let parsed = |part: &str| serde_json::from_slice::<Value>(&read(part)?).map_err(|error| error.to_string());
    same(
        "the header",
        &parsed(header)?,
        &json!({"alg": "RS256", "typ": "JWT", "kid": "1"}),
    )?;
    let claims_read = parsed(claims)?;
    same("iss", &claims_read["iss"], &json!(ACCOUNT))?;
    same("aud", &claims_read["aud"], &json!(format!("{}{TOKEN_PATH}", inner.url)))?;
    same(
        "scope",
        &claims_read["scope"],
        &json!("https://www.googleapis.com/auth/cloudkms"),
    )?;
    let (iat, exp) = (
        claims_read["iat"].as_u64().unwrap_or(0),
        claims_read["exp"].as_u64().unwrap_or(0),
    );
    if iat.abs_diff(now()) > SKEW || exp <= iat || exp - iat > 3600 {
        return Err(format!("iat {iat}, exp {exp}"));
    }
    let lines: String = private_key().lines().filter(|line| !line.starts_with('-')).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(lines).unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref().to_vec());
    let verified = public.verify(format!("{header}.{claims}").as_bytes(), &read(signature)?);
    verified.map_err(|_| "the JWT's signature".to_owned())
}

/// What is to be signed, if the request is as it must be.
pub(super) fn asked(inner: &Inner, request: &Request) -> Result<Asked, String> {
    match inner.service {
        Service::Aws => aws(inner, request),
        Service::Gcp | Service::GcpMachine => gcp(inner, request),
        Service::Turnkey => turnkey(inner, request),
        Service::Vault => vault(request),
        Service::Web3signer => web3signer(inner, request),
        Service::Remote | Service::Socket => remote(inner, request),
    }
}

fn base64(value: &Value) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(value.as_str().unwrap_or("?"))
        .map_err(|error| error.to_string())
}

fn digest(bytes: Vec<u8>) -> Result<Asked, String> {
    let digest = bytes.try_into().map_err(|_| "no digest of 32 bytes".to_owned())?;
    Ok(Asked::Digest(digest))
}

/// `Sign` of AWS KMS, and "Authenticating Requests (AWS Signature Version 4)".
fn aws(inner: &Inner, request: &Request) -> Result<Asked, String> {
    request.is(&Method::POST, "/")?;
    same(
        "the type",
        &request.header("content-type")?,
        &"application/x-amz-json-1.1",
    )?;
    same("the target", &request.header("x-amz-target")?, &"TrentService.Sign")?;
    same("the session", &request.header("x-amz-security-token")?, &CANARY)?;
    let at = request.header("x-amz-date")?;
    let date = chrono::NaiveDateTime::parse_from_str(at, "%Y%m%dT%H%M%SZ").map_err(|error| error.to_string())?;
    if date.and_utc().timestamp().unsigned_abs().abs_diff(now()) > SKEW {
        return Err(format!("x-amz-date {at}"));
    }
    let authorization = request.header("authorization")?;
    let rest = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("another scheme")?;
    let parts: BTreeMap<&str, &str> = rest.split(", ").filter_map(|it| it.split_once('=')).collect();
    let part = |name: &str| parts.get(name).copied().ok_or(format!("no {name}"));
    let scope = format!("{}/{REGION}/kms/aws4_request", &at[..8]);
    same(
        "the credential",
        &part("Credential")?,
        &format!("{ACCESS_KEY}/{scope}").as_str(),
    )?;
    let names: Vec<&str> = part("SignedHeaders")?.split(';').collect();
    if !names.is_sorted()
        || ![
            "content-type",
            "host",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-target",
        ]
        .iter()
        .all(|it| names.contains(it))
    {
        return Err(format!("signed headers {names:?}"));
    }
    let headers = names
        .iter()
        .map(|name| Ok(format!("{name}:{}\n", request.header(name)?)));
    let canonical = format!(
        "POST\n/\n\n{}\n{}\n{}",
        headers.collect::<Result<String, String>>()?,
        names.join(";"),
        hex::encode(Sha256::digest(&request.body))
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{at}\n{scope}\n{}",
        hex::encode(Sha256::digest(canonical))
    );
    let mac = |key: &[u8], text: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.chain_update(text).finalize().into_bytes().to_vec()
    };
    let key = mac(format!("AWS4{CANARY}").as_bytes(), &at[..8]);
    let key = mac(&mac(&mac(&key, REGION), "kms"), "aws4_request");
    same(
        "the signature",
        &part("Signature")?,
        &hex::encode(mac(&key, &to_sign)).as_str(),
    )?;
    let body = request.json()?;
    same("KeyId", &body["KeyId"], &json!("alias/x402"))?;
    let how = (&body["MessageType"], &body["SigningAlgorithm"]);
    match inner.key {
        Key::Secp256k1(_) => {
            same("how", &how, &(&json!("DIGEST"), &json!("ECDSA_SHA_256")))?;
            digest(base64(&body["Message"])?)
        }
        Key::Ed25519(_) => {
            same("how", &how, &(&json!("RAW"), &json!("ED25519_SHA_512")))?;
            base64(&body["Message"]).map(Asked::Message)
        }
    }
}

/// `cryptoKeyVersions.asymmetricSign` of Cloud KMS.
fn gcp(inner: &Inner, request: &Request) -> Result<Asked, String> {
    request.is(&Method::POST, &format!("/v1/{GCP_KEY}:asymmetricSign"))?;
    same(
        "who asks",
        &request.header("authorization")?,
        &format!("Bearer {CANARY}").as_str(),
    )?;
    let body = request.json()?;
    match inner.key {
        Key::Secp256k1(_) => digest(base64(&body["digest"]["sha256"])?),
        Key::Ed25519(_) => base64(&body["data"]).map(Asked::Message),
    }
}

/// "Sign raw payload" and "Stamps" of Turnkey.
fn turnkey(inner: &Inner, request: &Request) -> Result<Asked, String> {
    request.is(&Method::POST, "/public/v1/submit/sign_raw_payload")?;
    let stamp = URL_SAFE_NO_PAD
        .decode(request.header("x-stamp")?)
        .map_err(|error| error.to_string())?;
    let stamp: Value = serde_json::from_slice(&stamp).map_err(|error| error.to_string())?;
    let key = stamper();
    let public = hex::encode(key.verifying_key().to_encoded_point(true));
    same("whose stamp", &stamp["publicKey"], &json!(public))?;
    same("the scheme", &stamp["scheme"], &json!("SIGNATURE_SCHEME_TK_API_P256"))?;
    let signature = hex::decode(stamp["signature"].as_str().unwrap_or("?")).map_err(|error| error.to_string())?;
    let signature = p256::ecdsa::Signature::from_der(&signature).map_err(|error| error.to_string())?;
    let stamped = key.verifying_key().verify(request.body.as_bytes(), &signature);
    stamped.map_err(|_| "the stamp is over something else".to_owned())?;
    let body = request.json()?;
    same(
        "the activity",
        &body["type"],
        &json!("ACTIVITY_TYPE_SIGN_RAW_PAYLOAD_V2"),
    )?;
    same("the organization", &body["organizationId"], &json!(ORGANIZATION))?;
    let at: u64 = body["timestampMs"]
        .as_str()
        .and_then(|it| it.parse().ok())
        .ok_or("no timestampMs")?;
    if (at / 1000).abs_diff(now()) > SKEW {
        return Err(format!("timestampMs {at}"));
    }
    let parameters = &body["parameters"];
    same(
        "the encoding",
        &parameters["encoding"],
        &json!("PAYLOAD_ENCODING_HEXADECIMAL"),
    )?;
    let payload = hex::decode(parameters["payload"].as_str().unwrap_or("?")).map_err(|error| error.to_string())?;
    match inner.key {
        Key::Secp256k1(_) => {
            same("the hash", &parameters["hashFunction"], &json!("HASH_FUNCTION_NO_OP"))?;
            digest(payload)
        }
        Key::Ed25519(_) => {
            same(
                "the hash",
                &parameters["hashFunction"],
                &json!("HASH_FUNCTION_NOT_APPLICABLE"),
            )?;
            Ok(Asked::Message(payload))
        }
    }
}

/// "Sign data" of Vault's transit engine, of a key of the type `ed25519`.
fn vault(request: &Request) -> Result<Asked, String> {
    request.is(&Method::POST, &format!("/v1/eu/transit/sign/{VAULT_KEY}"))?;
    same("the token", &request.header("x-vault-token")?, &CANARY)?;
    same("the namespace", &request.header("x-vault-namespace")?, &"payments")?;
    Ok(Asked::Message(base64(&request.json()?["input"])?))
}

/// `eth1/sign` of Web3signer.
fn web3signer(inner: &Inner, request: &Request) -> Result<Asked, String> {
    let Key::Secp256k1(key) = &inner.key else {
        return Err("a key of Solana's".to_owned());
    };
    let path = format!("/api/v1/eth1/sign/0x{}", hex::encode(key.public_key()));
    request.is(&Method::POST, &path)?;
    let data = request.json()?["data"].as_str().unwrap_or("?").to_owned();
    let data = hex::decode(data).map_err(|error| error.to_string())?;
    Ok(Asked::keccak(&data))
}

/// `docs/custody.md`.
fn remote(inner: &Inner, request: &Request) -> Result<Asked, String> {
    request.is(&Method::POST, "/v1/sign")?;
    same(
        "who asks",
        &request.header("authorization")?,
        &format!("Bearer {CANARY}").as_str(),
    )?;
    let body = request.json()?;
    let message = hex::decode(body["message"].as_str().unwrap_or("?")).map_err(|error| error.to_string())?;
    match inner.key {
        Key::Secp256k1(_) => {
            same("the scheme", &body["scheme"], &json!("secp256k1-keccak256"))?;
            Ok(Asked::keccak(&message))
        }
        Key::Ed25519(_) => {
            same("the scheme", &body["scheme"], &json!("ed25519"))?;
            Ok(Asked::Message(message))
        }
    }
}
