//! How much of which asset.

use std::fmt;
use std::str::FromStr;

use crate::seeded::Bug;

/// Atomic units of one asset (10^-6 USDC for USDC). 0 ..= 2^128-1, `NUMERIC(39,0)` in SQL, a canonical
/// decimal string on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Amount(u128);

impl Amount {
    /// No units at all.
    pub const ZERO: Self = Self(0);

    /// This many atomic units.
    #[must_use]
    pub const fn from_units(units: u128) -> Self {
        Self(units)
    }

    /// The atomic units.
    #[must_use]
    pub const fn units(self) -> u128 {
        self.0
    }

    /// The sum; none when it is 2^128 or more.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference; none when the other is more.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `self / parts`, rounded down, and the remainder added to the first part, so that the parts sum to
    /// the whole. `index` counts from 0; `parts` of 0 gives zero.
    #[must_use]
    pub fn share(self, index: u64, parts: u64) -> Self {
        let parts = u128::from(parts);
        let (Some(each), Some(rest)) = (self.0.checked_div(parts), self.0.checked_rem(parts)) else {
            return Self::ZERO;
        };
        Self(if index == 0 && !Bug::SharesLoseTheRest.is_on() {
            each.saturating_add(rest)
        } else {
            each
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The text is not a canonical decimal below 2^128: digits only, no sign, no leading zero.
#[derive(Debug, thiserror::Error)]
#[error("an amount is a decimal string without sign or leading zero, below 2^128")]
pub struct NotAnAmount;

impl FromStr for Amount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = match text.as_bytes() {
            [b'0'] => true,
            [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
            _ => false,
        };
        if !canonical {
            return Err(NotAnAmount);
        }
        text.parse().map(Self).map_err(|_| NotAnAmount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_decimals_below_2_128_are_amounts() {
        let max = u128::MAX.to_string();
        for (text, units) in [("0", 0), ("1", 1), ("10000", 10_000), (max.as_str(), u128::MAX)] {
            assert_eq!(text.parse::<Amount>().unwrap().units(), units);
        }
        for bad in [
            "", "-1", "+1", "00", "01", "1_000", "0x10", " 1", "1 ", "1.0", "1e3", "٣",
        ] {
            assert!(bad.parse::<Amount>().is_err(), "{bad:?}");
        }
        assert!("340282366920938463463374607431768211456".parse::<Amount>().is_err());
    }

    #[test]
    fn shares_sum_to_the_whole() {
        for (whole, parts) in [(100, 3), (7, 7), (1, 5), (0, 2), (u128::MAX, 64)] {
            let sum: u128 = (0..parts).map(|i| Amount(whole).share(i, parts).units()).sum();
            assert_eq!(sum, whole);
        }
        assert_eq!(Amount(5).share(0, 0), Amount::ZERO);
    }
}
