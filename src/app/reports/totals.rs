//! Control totals: rows and sums, to hold against what was received.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::amount::Amount;
use crate::domain::network::NetworkId;

/// Rows and sums by network and asset, and by what else the kind of report tells apart.
#[derive(Debug, Clone, Default)]
pub struct Totals(BTreeMap<Group, Sum>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    network: NetworkId,
    asset: String,
    /// What the kind calls it, and which.
    of: Option<(&'static str, String)>,
}

/// Rows, their amounts in all, and what else the kind sums, in atomic units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    rows: u64,
    amount: u128,
    besides: BTreeMap<&'static str, i128>,
}

impl Totals {
    /// Adds a row of this amount.
    pub fn add(&mut self, network: &NetworkId, asset: &str, amount: Amount) {
        self.of_all(network, asset).add(amount);
    }

    /// The sum of a network and asset.
    pub fn of_all(&mut self, network: &NetworkId, asset: &str) -> &mut Sum {
        self.group(network, asset, None)
    }

    /// The sum of what a network and asset have of this: its name in the totals, and which it is.
    pub fn of(&mut self, network: &NetworkId, asset: &str, of: (&'static str, &str)) -> &mut Sum {
        self.group(network, asset, Some((of.0, of.1.to_owned())))
    }

    fn group(&mut self, network: &NetworkId, asset: &str, of: Option<(&'static str, String)>) -> &mut Sum {
        let group = Group {
            network: network.clone(),
            asset: asset.to_owned(),
            of,
        };
        self.0.entry(group).or_default()
    }

    /// Adds those of other rows.
    pub fn absorb(&mut self, others: Self) {
        for (group, other) in others.0 {
            let sum = self.0.entry(group).or_default();
            sum.rows = sum.rows.saturating_add(other.rows);
            sum.amount = sum.amount.saturating_add(other.amount);
            for (name, units) in other.besides {
                sum.add_besides(name, units);
            }
        }
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.0.values().map(|it| it.rows).sum()
    }

    /// A JSON array of objects with `network`, `asset`, what else tells them apart, `rows`, `amount` (atomic units, as text)
    /// and what else is summed, likewise.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Total<'a> {
            network: &'a str,
            asset: &'a str,
            #[serde(flatten)]
            of: BTreeMap<&'static str, &'a str>,
            rows: u64,
            amount: String,
            #[serde(flatten)]
            besides: BTreeMap<&'static str, String>,
        }
        let totals = self.0.iter().map(|(group, sum)| Total {
            network: group.network.as_str(),
            asset: &group.asset,
            of: group.of.iter().map(|(name, which)| (*name, which.as_str())).collect(),
            rows: sum.rows,
            amount: sum.amount.to_string(),
            besides: sum
                .besides
                .iter()
                .map(|(name, units)| (*name, units.to_string()))
                .collect(),
        });
        serde_json::to_string(&totals.collect::<Vec<_>>()).unwrap_or_default()
    }
}

impl Sum {
    /// Adds a row of this amount.
    pub fn add(&mut self, amount: Amount) {
        self.rows = self.rows.saturating_add(1);
        self.amount = self.amount.saturating_add(amount.units());
    }

    /// Adds what the last row has of something else.
    pub fn add_besides(&mut self, name: &'static str, units: i128) {
        let sum = self.besides.entry(name).or_default();
        *sum = sum.saturating_add(units);
    }
}
