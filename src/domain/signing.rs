//! The one secret that the facilitator signs for itself with, and the keys that come of it.
//!
//! Every key is derived (HKDF-SHA256, RFC 5869) from what it is for, so that the database holds none, and two purposes
//! never share one. Whoever changes the secret changes all of them.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::domain::receipt::Retired;

/// Sets these keys apart from any other program's that were derived from the same secret.
const SALT: &[u8] = b"x402 facilitator";

/// The secret: 32 random bytes, written as 64 hexadecimal digits. Never shown, and wiped from memory once dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

/// 32 bytes for one purpose; wiped from memory once dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// Where the secret is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What all keys are derived from.
    pub secret: Secret,
    /// The public keys that receipts were signed with when there was another secret: they stay published.
    #[serde(default)]
    pub retired_receipt_keys: Vec<Retired>,
}

impl Secret {
    /// The key for this purpose: a path of words such as `["webhook", "<endpoint>", "1"]`. The same for ever, and another
    /// for any other path.
    #[must_use]
    pub fn derive(&self, purpose: &[&str]) -> Key {
        let mut key = Key::default();
        // Each word ends in a zero, which stands in none, so that no two paths run together.
        let info: Vec<&[u8]> = purpose.iter().flat_map(|word| [word.as_bytes(), &[0][..]]).collect();
        let derived = Hkdf::<Sha256>::new(Some(SALT), &*self.0).expand_multi_info(&info, &mut *key);
        debug_assert!(derived.is_ok(), "32 bytes are far from the most that can be derived");
        key
    }
}

impl Secret {
    /// Whether the text is this secret's. Takes as long for every other text of its length.
    #[must_use]
    pub fn is_shown_by(&self, text: &str) -> bool {
        let mut bytes = Key::default();
        if hex::decode_to_slice(text.as_bytes(), &mut *bytes).is_err() {
            return false;
        }
        // Of HMACs under a key that nobody knows, an early difference says nothing.
        let key = self.derive(&["comparison"]);
        let mac = |of: &[u8]| <Hmac<Sha256> as Mac>::new_from_slice(&*key).map(|it| it.chain_update(of));
        let (Ok(ours), Ok(theirs)) = (mac(&*self.0), mac(&*bytes)) else {
            return false;
        };
        theirs.verify(&ours.finalize().into_bytes()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let mut bytes = Key::default();
        hex::decode_to_slice(text.as_bytes(), &mut *bytes)
            .map_err(|_| D::Error::custom("expected 64 hexadecimal digits: 32 random bytes"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(digit: &str) -> Secret {
        serde_json::from_value(json!(digit.repeat(64))).unwrap()
    }

    #[test]
    fn every_purpose_has_a_key_of_its_own_and_keeps_it() {
        let paths: [&[&str]; 6] = [
            &[],
            &["webhook"],
            &["webhook", "a"],
            &["webhook", "b"],
            &["webhooka"],
            &["webhook", "", "a"],
        ];
        let mut keys: Vec<[u8; 32]> = paths.iter().map(|path| *secret("1").derive(path)).collect();
        keys.extend(paths.iter().map(|path| *secret("2").derive(path)));
        let again: Vec<[u8; 32]> = paths.iter().map(|path| *secret("1").derive(path)).collect();
        assert_eq!(keys[..6], again);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 12);
        assert!(keys.iter().all(|key| *key != [0; 32]));
    }

    #[test]
    fn a_secret_is_shown_by_its_own_digits_alone() {
        let own = secret("a");
        assert!(own.is_shown_by(&"a".repeat(64)) && own.is_shown_by(&"A".repeat(64)));
        for other in [
            "",
            "a",
            &"b".repeat(64),
            &"a".repeat(66),
            &format!("{}b", "a".repeat(63)),
        ] {
            assert!(!own.is_shown_by(other), "{other}");
        }
    }

    #[test]
    fn a_secret_is_64_digits_and_is_never_shown() {
        for bad in ["", "5ec4e7", &"g".repeat(64), &"5ec4e7".repeat(11)] {
            let error = serde_json::from_value::<Secret>(json!(bad)).unwrap_err().to_string();
            assert!(error.starts_with("expected 64") && !error.contains("5ec4e7"), "{error}");
        }
        assert_eq!(format!("{:?}", secret("a")), "Secret(..)");
    }
}
