//! Whoever keeps a key: a little server that takes requests as the public documentation of each service has them, refuses
//! what does not agree with it, and signs with a real key. No cloud is asked.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use alloy::hex;
use alloy::primitives::{U256, keccak256, uint};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;

use super::checks;
use crate::support::contracts::Account;
use crate::support::eventually;

/// What stands in every secret of a keeper's, so that a test can look for it where it must not be.
pub(crate) const CANARY: &str = "canary-7f3a";

const ORDER: U256 = uint!(0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141_U256);

/// Who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Aws,
    /// By the key of a service account.
    Gcp,
    /// By the machine's own service account.
    GcpMachine,
    Turnkey,
    /// Solana only.
    Vault,
    /// EVM only.
    Web3signer,
    /// Our own protocol over HTTP.
    Remote,
    /// The same over a Unix socket.
    Socket,
}

impl Service {
    /// Those that keep keys of EVM chains.
    pub(crate) const EVM: [Self; 7] = [
        Self::Aws,
        Self::Gcp,
        Self::GcpMachine,
        Self::Turnkey,
        Self::Web3signer,
        Self::Remote,
        Self::Socket,
    ];
    /// Those that keep keys of Solana's, each once.
    pub(crate) const SOLANA: [Self; 5] = [Self::Socket, Self::Aws, Self::Gcp, Self::Turnkey, Self::Vault];
}

/// A key that is kept.
#[derive(Clone)]
pub(crate) enum Key {
    Secp256k1(PrivateKeySigner),
    Ed25519(SigningKey),
}

impl Key {
    pub(crate) fn of(account: &Account) -> Self {
        Self::Secp256k1(PrivateKeySigner::from_bytes(&account.key).unwrap())
    }

    fn address(&self) -> String {
        match self {
            Self::Secp256k1(key) => key.address().to_string(),
            Self::Ed25519(key) => solana_pubkey::Pubkey::from(key.verifying_key().to_bytes()).to_string(),
        }
    }

    /// Another key of the same kind.
    fn other(&self) -> Self {
        match self {
            Self::Secp256k1(_) => Self::Secp256k1(PrivateKeySigner::from_slice(&[7; 32]).unwrap()),
            Self::Ed25519(_) => Self::Ed25519(SigningKey::from_bytes(&[7; 32])),
        }
    }

    fn sign(&self, asked: &Asked) -> [u8; 64] {
        match (self, asked) {
            (Self::Secp256k1(key), Asked::Digest(digest)) => {
                let signature = key.sign_hash_sync(digest.into()).unwrap();
                signature.as_bytes()[..64].try_into().unwrap()
            }
            (Self::Ed25519(key), Asked::Message(message)) => key.sign(message).to_bytes(),
            _ => panic!("asked for a signature of another kind"),
        }
    }
}

/// What is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Digest([u8; 32]),
    Message(Vec<u8>),
}

impl Asked {
    pub(crate) fn keccak(message: &[u8]) -> Self {
        Self::Digest(keccak256(message).0)
    }
}

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Signs,
    /// Signs with s in the upper half, as half of the signatures of key management services have it.
    SignsHigh,
    /// Never answers.
    Hangs,
    Status(u16),
    /// Signs with another key.
    SignsAsAnother,
    /// Signs something else.
    SignsAnother,
    /// Answers what is no signature, in the right shape.
    Babbles,
    /// Answers nothing of the right shape.
    Raves,
}

pub(crate) struct Inner {
    pub(crate) service: Service,
    pub(crate) key: Key,
    pub(crate) url: String,
    manner: Mutex<Manner>,
    asked: AtomicUsize,
    flaws: Mutex<Vec<String>>,
}

/// The server; gone with this value.
pub(crate) struct Keeper {
    inner: Arc<Inner>,
    server: tokio::task::JoinHandle<()>,
}

impl Keeper {
    pub(crate) async fn start(service: Service, key: Key) -> Self {
        let of = |url: String| {
            Arc::new(Inner {
                service,
                key: key.clone(),
                url,
                manner: Mutex::new(Manner::Signs),
                asked: AtomicUsize::new(0),
                flaws: Mutex::default(),
            })
        };
        let router = |inner: &Arc<Inner>| Router::new().fallback(answer).with_state(Arc::clone(inner));
        if service == Service::Socket {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let name = format!(
                "keeper-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            );
            let path: PathBuf = std::env::temp_dir().join(name);
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            let inner = of(format!("unix:{}", path.display()));
            let router = router(&inner);
            let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
            return Self { inner, server };
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = of(format!("http://{}", listener.local_addr().unwrap()));
        let router = router(&inner);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { inner, server }
    }

    /// As a configuration names it, with the key's own address.
    pub(crate) fn source(&self) -> String {
        self.source_of(&self.inner.key.address())
    }

    /// The same, as if it kept the key of that address.
    pub(crate) fn source_of(&self, address: &str) -> String {
        let table = checks::settings(&self.inner);
        format!("{{ address = \"{address}\", {table} }}")
    }

    /// From now on it behaves like this.
    pub(crate) fn behave(&self, manner: Manner) {
        *self.inner.manner.lock().unwrap() = manner;
    }

    /// How often it was asked to sign so far.
    pub(crate) fn asked(&self) -> usize {
        self.inner.asked.load(Ordering::Relaxed)
    }

    /// Waits until it has been asked so often.
    pub(crate) async fn met(&self, times: usize) {
        eventually("the keeper is asked", async || (self.asked() >= times).then_some(())).await;
    }

    /// Every request was as it is documented.
    #[track_caller]
    pub(crate) fn was_asked_well(&self) {
        let flaws = self.inner.flaws.lock().unwrap();
        assert!(flaws.is_empty(), "{:?}: {flaws:?}", self.inner.service);
        assert!(self.asked() > 0, "{:?} was never asked", self.inner.service);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.server.abort();
        if let Some(path) = self.inner.url.strip_prefix("unix:") {
            drop(std::fs::remove_file(path));
        }
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let request = checks::Request {
        method,
        path: uri.to_string(),
        headers,
        body,
    };
    if let Some(token) = checks::token(&inner, &request) {
        return match token {
            Ok(body) => body.into_response(),
            Err(flaw) => flawed(&inner, flaw),
        };
    }
    let asked = match checks::asked(&inner, &request) {
        Ok(asked) => asked,
        Err(flaw) => return flawed(&inner, flaw),
    };
    inner.asked.fetch_add(1, Ordering::Relaxed);
    let manner = *inner.manner.lock().unwrap();
    let signature = match manner {
        Manner::Signs => inner.key.sign(&asked),
        Manner::SignsHigh => high(inner.key.sign(&asked)),
        Manner::Hangs => std::future::pending().await,
        Manner::Status(status) => {
            let said = json!({"__type": "com.amazonaws#Throttled", "error": "out_of_order", "code": 8});
            return (StatusCode::from_u16(status).unwrap(), said.to_string()).into_response();
        }
        Manner::SignsAsAnother => inner.key.other().sign(&asked),
        Manner::SignsAnother => inner.key.sign(&match asked {
            Asked::Digest(_) => Asked::keccak(b"something else"),
            Asked::Message(_) => Asked::Message(b"something else".to_vec()),
        }),
        Manner::Babbles => [0; 64],
        Manner::Raves => return "<html>".into_response(),
    };
    written(&inner, signature).into_response()
}

fn flawed(inner: &Inner, flaw: String) -> Response {
    inner.flaws.lock().unwrap().push(flaw.clone());
    (StatusCode::BAD_REQUEST, flaw).into_response()
}

/// r and the other s.
fn high(signature: [u8; 64]) -> [u8; 64] {
    let s = ORDER - U256::from_be_slice(&signature[32..]);
    [&signature[..32], &s.to_be_bytes::<32>()].concat().try_into().unwrap()
}

/// The signature as the service answers it.
fn written(inner: &Inner, signature: [u8; 64]) -> String {
    let bytes = match inner.key {
        Key::Secp256k1(_) => der(&signature),
        Key::Ed25519(_) => signature.to_vec(),
    };
    let (r, s) = (hex::encode(&signature[..32]), hex::encode(&signature[32..]));
    match inner.service {
        Service::Aws => json!({
            "KeyId": "arn:aws:kms:eu-central-1:1:key/2",
            "Signature": STANDARD.encode(bytes),
            "SigningAlgorithm": "ECDSA_SHA_256",
        })
        .to_string(),
        Service::Gcp | Service::GcpMachine => json!({
            "signature": STANDARD.encode(bytes),
            "signatureCrc32c": "1",
            "name": checks::GCP_KEY,
            "protectionLevel": "HSM",
        })
        .to_string(),
        Service::Turnkey => json!({"activity": {
            "id": "a", "status": "ACTIVITY_STATUS_COMPLETED", "type": "ACTIVITY_TYPE_SIGN_RAW_PAYLOAD_V2",
            "result": {"signRawPayloadResult": {"r": r, "s": s, "v": "00"}},
        }})
        .to_string(),
        Service::Vault => json!({
            "request_id": "a", "lease_id": "", "renewable": false, "lease_duration": 0, "wrap_info": null,
            "data": {"key_version": 1, "signature": format!("vault:v1:{}", STANDARD.encode(bytes))},
        })
        .to_string(),
        Service::Web3signer => format!("0x{r}{s}1b"),
        Service::Remote | Service::Socket => json!({"signature": format!("0x{r}{s}")}).to_string(),
    }
}

/// A sequence of two integers.
fn der(signature: &[u8; 64]) -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()][..], content].concat();
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|it| **it == 0).count();
        let digits = &number[zeros.min(31)..];
        let sign: &[u8] = if digits[0] >= 0x80 { &[0] } else { &[] };
        element(2, &[sign, digits].concat())
    };
    element(0x30, &[integer(&signature[..32]), integer(&signature[32..])].concat())
}
