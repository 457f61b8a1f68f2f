//! Identifiers we mint: UUIDv7, so that they sort by creation and never need the database to be unique.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares an identifier: a UUID with a prefix for its text.
macro_rules! identifier {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $not:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
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

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0.simple())
            }
        }

        #[doc = concat!("The text is not `", $prefix, "` followed by 32 lower-case hexadecimal digits.")]
        #[derive(Debug, thiserror::Error)]
        #[error("expected \"{}\" and 32 lower-case hexadecimal digits", $prefix)]
        pub struct $not;

        impl FromStr for $name {
            type Err = $not;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let digits = text.strip_prefix($prefix).ok_or($not)?;
                let canonical = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if !canonical {
                    return Err($not);
                }
                Uuid::try_parse(digits).map(Self).map_err(|_| $not)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

identifier! {
    /// Our name for one payment. Shape: `pay_` and 32 lower-case hexadecimal digits (36 bytes on the wire,
    /// the same 128 bits as a `uuid` in the database).
    PaymentId, "pay_", NotAPaymentId
}

identifier! {
    /// Our name for one exception of the reconciliation. Shape: `exc_` and 32 lower-case hexadecimal digits.
    ExceptionId, "exc_", NotAnExceptionId
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
