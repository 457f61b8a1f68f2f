//! Cells as text that any spreadsheet and any ledger reads alike.

use crate::domain::amount::Amount;
use crate::domain::network::NetworkId;
use crate::store::{DateTime, Utc};

/// How many decimals each known asset has.
#[derive(Debug, Clone, Default)]
pub struct Decimals(Vec<(NetworkId, String, u8)>);

impl Decimals {
    /// Of these assets, by network and canonical address.
    #[must_use]
    pub const fn new(assets: Vec<(NetworkId, String, u8)>) -> Self {
        Self(assets)
    }

    /// The amount in whole coins; empty for an asset that is not known.
    #[must_use]
    pub fn write(&self, network: &NetworkId, asset: &str, amount: Amount) -> String {
        let known = self.0.iter().find(|it| it.0 == *network && it.1 == asset);
        known.map_or_else(String::new, |(.., places)| decimal(amount, *places))
    }
}

/// RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The amount in whole coins, with all its decimals and a point, without thousands separators.
fn decimal(amount: Amount, places: u8) -> String {
    let places = usize::from(places);
    let digits = format!("{:0>width$}", amount.units(), width = places.saturating_add(1));
    let (whole, rest) = digits.split_at(digits.len().saturating_sub(places));
    if places == 0 {
        whole.to_owned()
    } else {
        format!("{whole}.{rest}")
    }
}

/// Quotes a field where RFC 4180 asks for it, and disarms text that a spreadsheet would take for a formula.
#[must_use]
pub fn escape(field: &str) -> String {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula {
        format!("'{field}")
    } else {
        field.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_all_their_decimals() {
        for (units, places, text) in [
            (10_000, 6, "0.010000"),
            (0, 6, "0.000000"),
            (1_234_567, 6, "1.234567"),
            (5, 0, "5"),
            (1, 18, "0.000000000000000001"),
        ] {
            assert_eq!(decimal(Amount::from_units(units), places), text);
        }
    }

    #[test]
    fn fields_are_quoted_where_rfc_4180_asks_and_formulas_are_disarmed() {
        for (field, text) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(escape(field), text);
        }
    }
}
