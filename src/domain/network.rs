//! Where a payment happens and by which scheme.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A chain by its CAIP-2 name, `namespace:reference` (`eip155:8453`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId(Arc<str>);

impl NetworkId {
    /// The CAIP-2 text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon: the chain family.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }

    /// The part after the colon: the chain within its family.
    #[must_use]
    pub fn reference(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, reference)| reference)
    }
}

/// The text is not a CAIP-2 chain id: `[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}` (CAIP-2, "Syntax"). A namespace
/// of up to ten bytes is let through, because x402 itself uses `cloudflare`.
#[derive(Debug, thiserror::Error)]
#[error("a network is a CAIP-2 chain id such as eip155:8453")]
pub struct NotANetwork;

impl FromStr for NetworkId {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, reference) = text.split_once(':').ok_or(NotANetwork)?;
        let namespace_ok = (3..=10).contains(&namespace.len())
            && namespace
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=32).contains(&reference.len())
            && reference
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if namespace_ok && reference_ok {
            Ok(Self(text.into()))
        } else {
            Err(NotANetwork)
        }
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NetworkId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NetworkId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A payment scheme by its x402 name. Which ones exist is decided by the configured rails, so an unknown
/// name is a value here and a refusal later.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scheme(Arc<str>);

impl Scheme {
    /// The scheme that transfers exactly the stated amount.
    #[must_use]
    pub fn exact() -> Self {
        Self("exact".into())
    }

    /// The scheme of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// Its x402 name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One way to pay: a scheme on a network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RailId {
    /// The scheme.
    pub scheme: Scheme,
    /// The network.
    pub network: NetworkId,
}

impl fmt::Display for RailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.scheme, self.network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_caip_2() {
        for good in [
            "eip155:8453",
            "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
            "cloudflare:402",
        ] {
            assert_eq!(good.parse::<NetworkId>().unwrap().as_str(), good);
        }
        for bad in ["base", "eip155:", ":1", "EIP155:1", "eip155:1:2", "eip155:84 53", ""] {
            assert!(bad.parse::<NetworkId>().is_err(), "{bad:?}");
        }
    }
}
