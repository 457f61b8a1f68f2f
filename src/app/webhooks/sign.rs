//! How a delivery is signed: Standard Webhooks (standardwebhooks.com), with a secret that both sides know (`v1`) and with a
//! key of ours of which the other side knows the public half (`v1a`).
//!
//! Done here, in a few lines, since the crate of that name knows the first of the two only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::domain::id::EndpointId;
use crate::domain::signing::{Key, Secret};

/// What one generation of an endpoint's deliveries is signed with.
pub struct Keys {
    shared: Key,
    own: SigningKey,
}

impl Keys {
    /// Those of this generation.
    #[must_use]
    pub fn derive(secret: &Secret, endpoint: EndpointId, generation: u64) -> Self {
        let (endpoint, generation) = (endpoint.to_string(), generation.to_string());
        let key = |what| secret.derive(&["webhook", what, &endpoint, &generation]);
        Self {
            shared: key("shared"),
            own: SigningKey::from_bytes(&key("own")),
        }
    }

    /// Those that questions to a vendor who screens are signed with.
    #[must_use]
    pub fn of_screening(secret: &Secret) -> Self {
        let key = |what| secret.derive(&["screening", "hook", what]);
        Self {
            shared: key("shared"),
            own: SigningKey::from_bytes(&key("own")),
        }
    }

    /// The shared secret as the other side is given it: `whsec_` and base64.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("whsec_{}", STANDARD.encode(*self.shared))
    }

    /// The public half of the other key: `whpk_` and base64.
    #[must_use]
    pub fn public(&self) -> String {
        format!("whpk_{}", STANDARD.encode(self.own.verifying_key().as_bytes()))
    }

    fn signatures(&self, signed: &[u8]) -> [String; 2] {
        // A key of any length will do.
        let mac = Hmac::<Sha256>::new_from_slice(&*self.shared);
        let tag = mac
            .map(|mac| mac.chain_update(signed).finalize().into_bytes())
            .unwrap_or_default();
        [
            format!("v1,{}", STANDARD.encode(tag)),
            format!("v1a,{}", STANDARD.encode(self.own.sign(signed).to_bytes())),
        ]
    }
}

/// The headers of a delivery of this event at this time (Unix seconds), signed with each of these keys.
#[must_use]
pub fn headers(keys: &[Keys], event: &str, at: u64, body: &str) -> [(&'static str, String); 3] {
    let signed = format!("{event}.{at}.{body}");
    let signatures: Vec<String> = keys.iter().flat_map(|it| it.signatures(signed.as_bytes())).collect();
    [
        ("webhook-id", event.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", signatures.join(" ")),
    ]
}
