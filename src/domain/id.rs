//! Identifiers we mint: UUIDv7, so that they sort by creation and never need the database to be unique.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Our name for one payment. Shape: `pay_` and 32 lower-case hexadecimal digits (36 bytes on the wire,
/// the same 128 bits as a `uuid` in the database).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaymentId(Uuid);

const PREFIX: &str = "pay_";

impl PaymentId {
    /// A fresh identifier, ordered after all earlier ones of this process.
    #[must_use]
    pub fn mint() -> Self {
        Self(Uuid::now_v7())
    }

    /// The identifier stored as this UUID.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID to store.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.simple())
    }
}

/// The text is not `pay_` followed by 32 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a payment id is \"pay_\" and 32 lower-case hexadecimal digits")]
pub struct NotAPaymentId;

impl FromStr for PaymentId {
    type Err = NotAPaymentId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).ok_or(NotAPaymentId)?;
        let canonical = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(NotAPaymentId);
        }
        Uuid::try_parse(digits).map(Self).map_err(|_| NotAPaymentId)
    }
}

impl Serialize for PaymentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PaymentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_nothing_else_parses() {
        let id = PaymentId::mint();
        assert_eq!(id.to_string().parse::<PaymentId>().unwrap(), id);
        for bad in [
            "",
            "pay_",
            "pay_0",
            &id.to_string().to_uppercase(),
            &format!("{id}0"),
            &id.as_uuid().to_string(),
        ] {
            assert!(bad.parse::<PaymentId>().is_err(), "{bad}");
        }
    }
}
