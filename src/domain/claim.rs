//! How a merchant shows that an account is its own: by signing, with the account, a text that names whom it tells so, for
//! whom, and when.
//!
//! The text names everything that the claim is good for, so that it cannot be had for one purpose and used for another: the
//! facilitator, lest another one's claim be carried here; the tenant and the merchant, lest anybody else present it as
//! theirs; the network, since one key owns an account on many; the time, lest it be kept until it is wanted.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::domain::network::NetworkId;
use crate::domain::tenant::{MerchantId, TenantId};
use crate::domain::time::Timestamp;

/// Seconds within which a claim must be presented.
pub const GOOD_FOR: u64 = 600;

/// Seconds by which the time of a claim may be ahead of ours.
const SKEW_MAX: u64 = 30;

/// What the facilitator is called in claims: the name that tenants know it by, such as its host name. Printable ASCII, 1 to
/// 255 characters, no space.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FacilitatorName(String);

/// That an account is this merchant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whom it is told.
    pub facilitator: FacilitatorName,
    /// Whose merchant.
    pub tenant: TenantId,
    /// The merchant.
    pub merchant: MerchantId,
    /// Where the account is.
    pub network: NetworkId,
    /// The account, canonical text.
    pub pay_to: String,
    /// When it is said.
    pub at: Timestamp,
}

/// Why a claim is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is not of now.
    #[error("time must be within the last {GOOD_FOR} s; ask for the text anew and sign that")]
    Stale,
    /// The account has not signed it.
    #[error("the signature is not the account's, of exactly this text")]
    Unsigned,
}

impl TryFrom<String> for FacilitatorName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_fit = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_fit {
            Ok(Self(text))
        } else {
            Err("expected 1 to 255 printable ASCII characters without a space, such as facilitator.example")
        }
    }
}

impl FromStr for FacilitatorName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for Claim {
    /// The text to sign: one line for each name, each ended by a line feed but the last. Whoever signs it sees it in their
    /// wallet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            facilitator,
            tenant,
            merchant,
            network,
            pay_to,
            at,
        } = self;
        writeln!(
            f,
            "This account receives payments of the merchant below. Signing this moves no money."
        )?;
        writeln!(f)?;
        writeln!(f, "Facilitator: {}", facilitator.0)?;
        writeln!(f, "Tenant: {tenant}")?;
        writeln!(f, "Merchant: {merchant}")?;
        writeln!(f, "Network: {network}")?;
        writeln!(f, "Account: {pay_to}")?;
        write!(f, "Time: {}", at.0)
    }
}

impl Claim {
    /// Whether it is of now.
    ///
    /// # Errors
    /// [`Unproven::Stale`].
    pub const fn check_time(&self, now: Timestamp) -> Result<(), Unproven> {
        let (at, now) = (self.at.0, now.0);
        if at > now.saturating_add(SKEW_MAX) || now > at.saturating_add(GOOD_FOR) {
            return Err(Unproven::Stale);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn claim() -> Claim {
        Claim {
            facilitator: "facilitator.example".parse().unwrap(),
            tenant: TenantId::from_uuid(Uuid::from_u128(1)),
            merchant: MerchantId::from_uuid(Uuid::from_u128(2)),
            network: "eip155:8453".parse().unwrap(),
            pay_to: "0xA".to_owned(),
            at: Timestamp(1_800_000_000),
        }
    }

    #[test]
    fn the_text_names_all_that_it_is_good_for() {
        let text = "This account receives payments of the merchant below. Signing this moves no money.\n\n\
            Facilitator: facilitator.example\n\
            Tenant: ten_00000000000000000000000001\n\
            Merchant: mer_00000000000000000000000002\n\
            Network: eip155:8453\n\
            Account: 0xA\n\
            Time: 1800000000";
        assert_eq!(claim().to_string(), text);
        for other in [
            Claim {
                facilitator: "other.example".parse().unwrap(),
                ..claim()
            },
            Claim {
                tenant: TenantId::SOLE,
                ..claim()
            },
            Claim {
                merchant: MerchantId::from_uuid(Uuid::nil()),
                ..claim()
            },
            Claim {
                network: "eip155:1".parse().unwrap(),
                ..claim()
            },
            Claim {
                pay_to: "0xB".to_owned(),
                ..claim()
            },
            Claim {
                at: Timestamp(1_800_000_001),
                ..claim()
            },
        ] {
            assert_ne!(other.to_string(), text);
        }
    }

    #[test]
    fn a_claim_is_good_for_ten_minutes() {
        let at = claim().at.0;
        for (now, is_good) in [
            (at - 31, false),
            (at - 30, true),
            (at, true),
            (at + 600, true),
            (at + 601, false),
            (u64::MAX, false),
        ] {
            assert_eq!(claim().check_time(Timestamp(now)).is_ok(), is_good, "{now}");
        }
    }

    #[test]
    fn a_name_cannot_begin_another_line() {
        for bad in ["", "a b", "a\nTenant: x", "é", &"a".repeat(256)] {
            assert!(bad.parse::<FacilitatorName>().is_err(), "{bad}");
        }
    }
}
