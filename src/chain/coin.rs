//! Amounts of a chain's own coin as operators write them: decimal numbers of whole coins.

use serde::{Deserialize, Deserializer};

use crate::domain::amount::Amount;
use crate::domain::budget::{Budget, Limits};

/// A number as the file has it, in decimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal(String);

impl Decimal {
    /// In units of 10^-places; none when it has more digits after the point or is 2^128 units or more.
    #[must_use]
    pub fn units(&self, places: u8) -> Option<u128> {
        let places = usize::from(places);
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, ""));
        let digits = format!("{whole}{fraction:0<places$}");
        let is_plain = fraction.len() <= places && !whole.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if is_plain { digits.parse().ok() } else { None }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Number {
            Whole(u64),
            Broken(f64),
        }
        match Number::deserialize(deserializer) {
            Ok(Number::Whole(number)) => Ok(Self(number.to_string())),
            // The shortest decimal that reads back as the same number: the one in the file.
            Ok(Number::Broken(number)) if number >= 0.0 => Ok(Self(number.to_string())),
            Ok(Number::Broken(_)) | Err(_) => Err(serde::de::Error::custom("expected a number, 0 or more")),
        }
    }
}

/// The `[network.budget]` table: what settling may cost, in the chain's own coin. All of it must be said, since money has
/// no default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSettings {
    /// By all settlements together.
    total: LimitSettings,
    /// By each signer.
    signer: LimitSettings,
    /// For each payer.
    payer: LimitSettings,
    /// How many transactions may fail for one payer within an hour of the clock before it is refused until the next; at
    /// least 1.
    #[serde(default = "payer_reverts_max_default")]
    payer_reverts_max: u32,
}

const fn payer_reverts_max_default() -> u32 {
    10
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitSettings {
    minute: Limit,
    day: Limit,
}

/// A number of coins, or `"unlimited"`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit(Option<Decimal>);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            Coins(Decimal),
            Word(String),
        }
        match Text::deserialize(deserializer) {
            Ok(Text::Coins(coins)) => Ok(Self(Some(coins))),
            Ok(Text::Word(word)) if word == "unlimited" => Ok(Self(None)),
            _ => Err(serde::de::Error::custom(
                "expected a number of the chain's coins, or \"unlimited\"",
            )),
        }
    }
}

impl BudgetSettings {
    /// In the chain's smallest unit, for a coin of so many decimals on which an ordinary settlement costs
    /// `settlement_max` at most.
    ///
    /// # Errors
    /// Names the key and what was expected there.
    pub(super) fn budget(&self, decimals: u8, settlement_max: Amount) -> Result<Budget, String> {
        let limit = |key: &str, limit: &Limit| -> Result<Option<Amount>, String> {
            let Some(coins) = &limit.0 else { return Ok(None) };
            let units = coins.units(decimals);
            let units =
                units.ok_or_else(|| format!("budget.{key}: expected at most {decimals} digits after the point"))?;
            if units < settlement_max.units() {
                return Err(format!(
                    "budget.{key}: expected enough for one settlement, which may cost {settlement_max} of the coin's \
                     smallest unit"
                ));
            }
            Ok(Some(Amount::from_units(units)))
        };
        let limits = |scope: &str, limits: &LimitSettings| -> Result<Limits, String> {
            Ok(Limits {
                minute: limit(&format!("{scope}.minute"), &limits.minute)?,
                day: limit(&format!("{scope}.day"), &limits.day)?,
            })
        };
        if self.payer_reverts_max == 0 {
            return Err("budget.payer_reverts_max: expected at least 1".to_owned());
        }
        Ok(Budget {
            total: limits("total", &self.total)?,
            signer: limits("signer", &self.signer)?,
            payer: limits("payer", &self.payer)?,
            payer_reverts_max: self.payer_reverts_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn coins_are_exact() {
        for (number, places, units) in [
            (json!(1), 18, Some(1_000_000_000_000_000_000)),
            (json!(0.000_000_05), 18, Some(50_000_000_000)),
            (json!(0.05), 9, Some(50_000_000)),
            (json!(1000.5), 9, Some(1_000_500_000_000)),
            (json!(0.000_000_001), 9, Some(1)),
            (json!(0.000_000_000_1), 9, None),
            (json!(0), 9, Some(0)),
        ] {
            let decimal: Decimal = serde_json::from_value(number.clone()).unwrap();
            assert_eq!(decimal.units(places), units, "{number}");
        }
        for bad in [json!("1"), json!(-1), json!(-1.5), json!(null)] {
            assert!(serde_json::from_value::<Decimal>(bad).is_err());
        }
    }

    fn table(total_minute: &Value) -> Value {
        json!({
            "total": { "minute": total_minute, "day": 2 },
            "signer": { "minute": "unlimited", "day": "unlimited" },
            "payer": { "minute": 0.5, "day": "unlimited" },
        })
    }

    #[test]
    fn a_budget_is_said_in_full_and_covers_a_settlement() {
        let read = |table: Value| serde_json::from_value::<BudgetSettings>(table);
        let budget = read(table(&json!(1)))
            .unwrap()
            .budget(9, Amount::from_units(7))
            .unwrap();
        let units = |units| Some(Amount::from_units(units));
        assert_eq!(
            (budget.total.minute, budget.total.day),
            (units(1_000_000_000), units(2_000_000_000))
        );
        assert_eq!(budget.signer, Limits::default());
        assert_eq!((budget.payer.minute, budget.payer.day), (units(500_000_000), None));
        assert_eq!(budget.payer_reverts_max, 10);
        for bad in [json!("none"), json!(-1), json!(null)] {
            assert!(read(table(&bad)).is_err(), "{bad}");
        }
        let mut short = table(&json!(1));
        short.as_object_mut().unwrap().remove("payer");
        assert!(read(short).unwrap_err().to_string().contains("payer"));
        let small = read(table(&json!(0.000_001))).unwrap();
        let refused = small.budget(9, Amount::from_units(1_001)).unwrap_err();
        assert!(refused.starts_with("budget.total.minute: expected enough"), "{refused}");
        let fine = read(table(&json!(0.000_000_000_1))).unwrap();
        assert!(fine.budget(9, Amount::ZERO).unwrap_err().contains("at most 9 digits"));
    }
}
