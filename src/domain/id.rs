//! Identifiers we mint: UUIDv7, so that they sort by creation and never need the database to be unique.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Crockford's base32: no letter that reads as a digit or as another letter.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Digits of 5 bits that hold 128.
const LENGTH: usize = 26;

/// Declares an identifier: a UUID with a prefix for its text.
macro_rules! identifier {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $not:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// What its text looks like, for whoever wrote something else.
            pub const SHAPE: &str = concat!("\"", $prefix, "\" and 26 lower-case digits of Crockford's base32");

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
                f.write_str($prefix)?;
                write_digits(self.0, f)
            }
        }

        #[doc = concat!("The text is not of the [`", stringify!($name), "::SHAPE`].")]
        #[derive(Debug, thiserror::Error)]
        #[error("expected {}", $name::SHAPE)]
        pub struct $not;

        impl FromStr for $name {
            type Err = $not;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.strip_prefix($prefix).and_then(read_digits).map(Self).ok_or($not)
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
    /// Our name for one payment. Shape: `pay_` and 26 lower-case digits of Crockford's base32, the first of them at most 7
    /// (30 bytes on the wire, the same 128 bits as a `uuid` in the database). Fits ISO 20022's Max35Text, and sorts by
    /// creation as text, too.
    PaymentId, "pay_", NotAPaymentId
}

identifier! {
    /// Our name for one exception of the reconciliation. Shape: as [`PaymentId`]'s, with `exc_`.
    ExceptionId, "exc_", NotAnExceptionId
}

identifier! {
    /// Our name for one report. Shape: as [`PaymentId`]'s, with `rep_`.
    ReportId, "rep_", NotAReportId
}

identifier! {
    /// Our name for something that happened and is no payment's. Shape: as [`PaymentId`]'s, with `evt_`.
    NoticeId, "evt_", NotANoticeId
}

identifier! {
    /// Our name for an endpoint that is told of events. Shape: as [`PaymentId`]'s, with `hook_`.
    EndpointId, "hook_", NotAnEndpointId
}

identifier! {
    /// Our name for one statement. Shape: as [`PaymentId`]'s, with `stm_`.
    StatementId, "stm_", NotAStatementId
}

identifier! {
    /// Our name for one refund. Shape: as [`PaymentId`]'s, with `rfd_`.
    RefundId, "rfd_", NotARefundId
}

identifier! {
    /// Our name for one screening. Shape: as [`PaymentId`]'s, with `scr_`.
    ScreeningId, "scr_", NotAScreeningId
}

identifier! {
    /// Our name for a merchant of a tenant. Shape: as [`PaymentId`]'s, with `mer_`.
    MerchantId, "mer_", NotAMerchantId
}

identifier! {
    /// The public part of a gateway's key. Shape: as [`PaymentId`]'s, with `key_`.
    KeyId, "key_", NotAKeyId
}

identifier! {
    /// Our name for a tenant. Shape: as [`PaymentId`]'s, with `ten_`.
    TenantId, "ten_", NotATenantId
}

impl TenantId {
    /// The one tenant of a facilitator that has no others: what is on record without any tenant's name is this one's.
    pub const SOLE: Self = Self(Uuid::nil());
}

fn write_digits(uuid: Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = uuid.as_u128();
    let mut digits = [b'0'; LENGTH];
    for digit in digits.iter_mut().rev() {
        let value = usize::try_from(rest & 0x1f).unwrap_or_default();
        *digit = DIGITS.get(value).copied().unwrap_or_default();
        rest >>= 5;
    }
    f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
}

fn read_digits(text: &str) -> Option<Uuid> {
    if text.len() != LENGTH {
        return None;
    }
    let value = text.bytes().try_fold(0u128, |bits, digit| {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        Some(bits.checked_mul(32)? | u128::try_from(value).ok()?)
    });
    value.map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_nothing_else_parses() {
        let id = PaymentId::mint();
        assert_eq!(id.to_string().parse::<PaymentId>().unwrap(), id);
        for (bits, text) in [
            (0, "pay_00000000000000000000000000"),
            (u128::MAX, "pay_7zzzzzzzzzzzzzzzzzzzzzzzzz"),
            (
                0x019a_9e4c_7d42_70d1_b3a5_c6e2_f801_4b9d,
                "pay_01kaf4rza2e38v79e6wbw02jwx",
            ),
        ] {
            let id = PaymentId::from_uuid(Uuid::from_u128(bits));
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse::<PaymentId>().unwrap(), id);
        }
        for bad in [
            "pay_80000000000000000000000000",
            "pay_0000000000000000000000000l",
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
    #[test]
    fn ids_sort_as_text_as_they_were_made() {
        let ids: Vec<String> = (0..1000).map(|_| PaymentId::mint().to_string()).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.len() <= 35));
    }
}
