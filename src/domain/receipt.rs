//! A statement of ours about a settlement that its reader can check without asking: a JSON Web Signature (RFC 7515, compact
//! serialization) with Ed25519 (RFC 8037), whose key is published as a JSON Web Key Set (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::domain::signing::Secret;

/// The media type of what is signed, so that no other of our signatures passes for a receipt.
const TYPE: &str = "x402-receipt+jwt";

/// Signs receipts.
pub struct Notary {
    key: SigningKey,
    published: Key,
    retired: Vec<Key>,
}

/// The public half of a key that receipts were signed with before: the 32 bytes in base64url, as `x` of a published key has
/// them. The secret that it came of may be gone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Retired(String);

impl TryFrom<String> for Retired {
    type Error = &'static str;

    fn try_from(x: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(&x).ok();
        let key = bytes.and_then(|it| VerifyingKey::from_bytes(it.as_slice().try_into().ok()?).ok());
        key.map(|_| Self(x))
            .ok_or("expected the x of a key that was at /.well-known/jwks.json: 43 characters of base64url")
    }
}

/// A published key (RFC 8037, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    kty: String,
    crv: String,
    /// The public key's 32 bytes, in base64url.
    x: String,
    /// The key's thumbprint (RFC 7638).
    kid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
}

/// Keys as they are published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    /// The keys, of which any may have signed.
    pub keys: Vec<Key>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Why a text is no receipt that these keys vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAReceipt {
    /// It is not three parts of base64url with a header and a payload in JSON.
    #[error("not a JSON Web Signature in compact serialization")]
    Malformed,
    /// It is signed, but not as receipts are.
    #[error("not signed as a receipt: its header must have the algorithm EdDSA and the type x402-receipt+jwt")]
    Otherwise,
    /// None of the keys is the one that it names.
    #[error("signed with a key that is not among these")]
    UnknownKey,
    /// What it says is not what was signed.
    #[error("the signature does not fit: it was altered, or never ours")]
    Forged,
}

impl Notary {
    /// The one whose key comes of this secret.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        let key = SigningKey::from_bytes(&secret.derive(&["receipt"]));
        let published = Key::of(URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()));
        let retired = Vec::new();
        Self {
            key,
            published,
            retired,
        }
    }

    /// The same, beside the keys that came of earlier secrets: what they have signed can still be checked.
    #[must_use]
    pub fn after(self, retired: &[Retired]) -> Self {
        let retired = retired.iter().map(|it| Key::of(it.0.clone()));
        let retired = retired.filter(|it| *it != self.published).collect();
        Self { retired, ..self }
    }

    /// The keys to publish: the one that signs now, and those that did.
    #[must_use]
    pub fn keys(&self) -> KeySet {
        let keys = std::iter::once(&self.published).chain(&self.retired);
        KeySet {
            keys: keys.cloned().collect(),
        }
    }

    /// A receipt that says this.
    #[must_use]
    pub fn sign(&self, claims: &impl Serialize) -> String {
        let header = Header {
            alg: "EdDSA".to_owned(),
            typ: TYPE.to_owned(),
            kid: self.published.kid.clone(),
        };
        let signed = format!("{}.{}", encoded(&header), encoded(claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

impl KeySet {
    /// What the receipt says, if one of these keys has signed it.
    ///
    /// # Errors
    /// [`NotAReceipt`].
    pub fn check(&self, receipt: &str) -> Result<Value, NotAReceipt> {
        let (signed, signature) = receipt.trim().rsplit_once('.').ok_or(NotAReceipt::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(NotAReceipt::Malformed)?;
        let header: Header = decoded(header)?;
        if header.alg != "EdDSA" || header.typ != TYPE {
            return Err(NotAReceipt::Otherwise);
        }
        let named = self.keys.iter().find(|key| key.kid == header.kid && key.is_ours());
        let key = named.and_then(Key::read).ok_or(NotAReceipt::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .ok()
            .and_then(|bytes| Signature::from_slice(&bytes).ok());
        let signature = signature.ok_or(NotAReceipt::Malformed)?;
        key.verify_strict(signed.as_bytes(), &signature)
            .map_err(|_| NotAReceipt::Forged)?;
        decoded(claims)
    }
}

impl Key {
    fn of(x: String) -> Self {
        Self {
            kid: thumbprint(&x),
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x,
            alg: Some("EdDSA".to_owned()),
            purpose: Some("sig".to_owned()),
        }
    }

    fn is_ours(&self) -> bool {
        self.kty == "OKP" && self.crv == "Ed25519" && self.kid == thumbprint(&self.x)
    }

    fn read(&self) -> Option<VerifyingKey> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.x).ok()?;
        VerifyingKey::from_bytes(bytes.as_slice().try_into().ok()?).ok()
    }
}

/// SHA-256 over the key's required members in the order of their names, without spaces (RFC 7638, section 3).
fn thumbprint(x: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

fn encoded(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

fn decoded<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, NotAReceipt> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| NotAReceipt::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| NotAReceipt::Malformed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn notary(digit: &str) -> Notary {
        Notary::of(&serde_json::from_value(json!(digit.repeat(64))).unwrap())
    }

    fn published(notary: &Notary) -> KeySet {
        serde_json::from_value(serde_json::to_value(notary.keys()).unwrap()).unwrap()
    }

    #[test]
    fn a_receipt_says_what_was_signed_to_whoever_has_the_key() {
        let (ours, others) = (notary("1"), notary("2"));
        let claims = json!({"settlement": {"id": "pay_1", "amount": "10000"}});
        let receipt = ours.sign(&claims);
        assert_eq!(published(&ours).check(&receipt), Ok(claims.clone()));
        assert_eq!(published(&others).check(&receipt), Err(NotAReceipt::UnknownKey));
        let parts: Vec<&str> = receipt.split('.').collect();
        let dear = encoded(&json!({"settlement": {"id": "pay_1", "amount": "90000"}}));
        for (forged, fault) in [
            (format!("{}.{dear}.{}", parts[0], parts[2]), NotAReceipt::Forged),
            (format!("{}.{}", parts[0], parts[1]), NotAReceipt::Malformed),
            (format!("{receipt}.x"), NotAReceipt::Malformed),
            (String::new(), NotAReceipt::Malformed),
            (
                format!(
                    "{}.{}.{}",
                    encoded(&json!({"alg": "none", "typ": TYPE, "kid": ""})),
                    parts[1],
                    parts[2]
                ),
                NotAReceipt::Otherwise,
            ),
            (
                format!(
                    "{}.{}.{}",
                    encoded(&json!({"alg": "EdDSA", "typ": "JWT", "kid": ""})),
                    parts[1],
                    parts[2]
                ),
                NotAReceipt::Otherwise,
            ),
        ] {
            assert_eq!(published(&ours).check(&forged), Err(fault), "{forged}");
        }
        let mut renamed = others.published.clone();
        renamed.kid.clone_from(&ours.published.kid);
        let keys = KeySet { keys: vec![renamed] };
        assert_eq!(keys.check(&receipt), Err(NotAReceipt::UnknownKey));
    }

    #[test]
    fn what_an_earlier_secret_has_signed_is_good_for_as_long_as_its_key_is_published() {
        let (former, retired) = (notary("1"), |x: &str| Retired::try_from(x.to_owned()));
        let receipt = former.sign(&json!({"settlement": {}}));
        let known = [retired(&former.published.x).unwrap()];
        let now = notary("2").after(&known);
        assert!(published(&now).check(&receipt).is_ok());
        assert_eq!(published(&now).keys.len(), 2);
        assert_eq!(now.sign(&json!({})), notary("2").sign(&json!({})), "the new key signs");
        assert_eq!(published(&former.after(&known)).keys.len(), 1);
        for bad in ["", "x", &"A".repeat(44), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="] {
            assert!(retired(bad).is_err(), "{bad}");
        }
    }

    /// RFC 8037, appendix A.3.
    #[test]
    fn a_thumbprint_is_the_standards() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        assert_eq!(thumbprint(x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
