//! What an operator says about where a key is.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{aws, gcp, keystore, remote, turnkey, vault, web3signer};
use crate::chain::Secret;

/// Where a signer's key is: the key itself, or a table that says who keeps it.
#[derive(Debug, Clone)]
pub enum Source {
    /// Here: the key, as its chain's tools write it.
    Key(Secret),
    /// A file that a password opens, or somebody who signs for us.
    Kept(Box<Kept>),
}

/// A table, by its `source`. Each names the address that the key must have.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Kept {
    /// An encrypted file. EVM only.
    Keystore(keystore::Settings),
    /// AWS KMS.
    AwsKms(aws::Settings),
    /// Google Cloud KMS.
    GcpKms(gcp::Settings),
    /// Turnkey.
    Turnkey(turnkey::Settings),
    /// The transit engine of Vault or `OpenBao`. Solana only.
    Vault(vault::Settings),
    /// Web3signer. EVM only.
    Web3signer(web3signer::Settings),
    /// Whoever speaks our own protocol (`docs/custody.md`), over HTTP or a Unix socket.
    Remote(remote::Settings),
}

impl Kept {
    /// The address that the key must have, as it is written.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Keystore(it) => &it.address,
            Self::AwsKms(it) => &it.address,
            Self::GcpKms(it) => &it.address,
            Self::Turnkey(it) => &it.address,
            Self::Vault(it) => &it.address,
            Self::Web3signer(it) => &it.address,
            Self::Remote(it) => &it.address,
        }
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key, or a table that says who keeps it (`source`)")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Source, E> {
                Ok(Source::Key(key.to_owned().into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                let kept = Kept::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Source::Kept(Box::new(kept)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Source, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_is_a_text_and_whoever_keeps_one_a_table() {
        assert!(matches!(read(json!("0xsecret")), Ok(Source::Key(_))));
        let tables = [
            json!({"source": "keystore", "address": "A", "path": "key.json", "password": "secret"}),
            json!({"source": "aws_kms", "address": "A", "region": "eu-central-1", "key_id": "alias/x402",
                "access_key_id": "id", "secret_access_key": "secret"}),
            json!({"source": "gcp_kms", "address": "A", "key": "projects/p", "service_account": "secret"}),
            json!({"source": "turnkey", "address": "A", "organization_id": "o", "api_public_key": "02",
                "api_private_key": "secret"}),
            json!({"source": "vault", "address": "A", "url": "http://vault/secret", "key": "x402", "token": "secret"}),
            json!({"source": "web3signer", "address": "A", "url": "http://signer/secret", "public_key": "0x04"}),
            json!({"source": "remote", "address": "A", "url": "unix:/run/secret", "token": "secret"}),
        ];
        for table in tables {
            let source = read(table.clone()).unwrap();
            let Source::Kept(kept) = &source else {
                panic!("{table}");
            };
            assert_eq!(kept.address(), "A");
            let shown = format!("{source:?}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (table, complaint) in [
            (json!(7), "who keeps it"),
            (json!({"address": "A"}), "source"),
            (json!({"source": "paper", "address": "A"}), "paper"),
            (
                json!({"source": "remote", "address": "A", "url": "http://s", "colour": "red"}),
                "colour",
            ),
            (json!({"source": "remote", "url": "http://s"}), "address"),
        ] {
            let error = read(table).unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
