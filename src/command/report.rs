//! `facilitator report`: recorded payments as CSV (RFC 4180), oldest first.

use std::error::Error;
use std::io::{self, BufWriter, Write};

use clap::Args;

use crate::chain;
use crate::config::Config;
use crate::domain::amount::Amount;
use crate::domain::network::NetworkId;
use crate::domain::settlement::State;
use crate::store::{DateTime, Filter, Record, Store, Utc};

/// How many rows are read at a time.
const PAGE: u16 = 1000;

/// Columns in their order. Additions go at the end.
pub const COLUMNS: [&str; 19] = [
    "id",
    "created_at",
    "state",
    "network",
    "asset",
    "payer",
    "pay_to",
    "amount_atomic",
    "amount",
    "nonce",
    "transaction",
    "log_index",
    "block_number",
    "block_time",
    "confirmed_at",
    "final_at",
    "resource",
    "references",
    "memo",
];

/// Which payments to print.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Only payments in this state: reserved, in_flight, confirmed, final, failed or withdrawn.
    #[arg(long)]
    state: Option<String>,
    /// Only payments on this network (CAIP-2).
    #[arg(long)]
    network: Option<NetworkId>,
    /// Only payments from this address.
    #[arg(long)]
    payer: Option<String>,
    /// Only payments to this address.
    #[arg(long)]
    pay_to: Option<String>,
    /// Only payments recorded at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Only payments recorded before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
}

/// Prints the payments that the filter lets through.
///
/// # Errors
/// The filter is not one, the database cannot be read, or the output cannot be written.
pub async fn report(config: Config, args: FilterArgs) -> Result<(), Box<dyn Error>> {
    let decimals = Decimals::of(&config);
    let filter = args.filter()?;
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "{}\r", COLUMNS.join(","))?;
    let mut after = None;
    loop {
        let page = store.payments_list(&filter, after.as_ref(), PAGE).await?;
        for entry in &page.entries {
            writeln!(out, "{}\r", row(&entry.record, &decimals))?;
        }
        out.flush()?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

impl FilterArgs {
    fn filter(self) -> Result<Filter, Box<dyn Error>> {
        let state = match self.state {
            None => None,
            Some(name) => Some(State::named(&name).ok_or_else(|| format!("--state: there is no state {name}"))?),
        };
        Ok(Filter {
            states: state.into_iter().collect(),
            network: self.network,
            payer: self.payer.map(canonical),
            pay_to: self.pay_to.map(canonical),
            created_from: self.from,
            created_before: self.until,
            ..Filter::default()
        })
    }
}

/// The account as records hold it.
fn canonical(account: String) -> String {
    chain::canonical_account(&account).unwrap_or(account)
}

/// How many decimals each configured asset has.
pub(super) struct Decimals(Vec<(NetworkId, String, u8)>);

impl Decimals {
    pub(super) fn of(config: &Config) -> Self {
        let of_network = |network: &chain::Settings| {
            let id = network.id().clone();
            let assets = network.assets().into_iter();
            assets.map(move |(asset, decimals)| (id.clone(), asset, decimals))
        };
        Self(config.network.iter().flat_map(of_network).collect())
    }

    /// The amount in whole coins; empty for an asset that is not configured.
    pub(super) fn write(&self, network: &NetworkId, asset: &str, amount: Amount) -> String {
        let known = self.0.iter().find(|it| it.0 == *network && it.1 == asset);
        known.map_or_else(String::new, |(.., places)| decimal(amount, *places))
    }
}

fn row(record: &Record, decimals: &Decimals) -> String {
    let paid = &record.authorization;
    let landed = record.settlement.landed();
    let time = |at: Option<DateTime<Utc>>| at.map_or_else(String::new, rfc3339);
    let block_time = landed
        .and_then(|it| i64::try_from(it.block.time.0).ok())
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let references: Vec<String> = record
        .references
        .iter()
        .map(|it| format!("{}={}", it.kind.as_str(), it.value))
        .collect();
    let fields = [
        record.id.to_string(),
        rfc3339(record.created_at),
        record.settlement.state().as_str().to_owned(),
        record.network.to_string(),
        paid.asset.clone(),
        paid.payer.clone(),
        paid.pay_to.clone(),
        paid.amount.to_string(),
        decimals.write(&record.network, &paid.asset, paid.amount),
        paid.nonce.clone(),
        landed
            .map(|it| &it.tx)
            .or(record.txs.last())
            .map_or_else(String::new, ToString::to_string),
        landed.map_or_else(String::new, |it| it.log_index.to_string()),
        landed.map_or_else(String::new, |it| it.block.height.to_string()),
        time(block_time),
        time(record.confirmed_at),
        time(record.final_at),
        record.resource_url.clone().unwrap_or_default(),
        references.join(" "),
        paid.memo.clone().unwrap_or_default(),
    ];
    fields.iter().map(|field| escape(field)).collect::<Vec<_>>().join(",")
}

pub(super) fn rfc3339(at: DateTime<Utc>) -> String {
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
pub(super) fn escape(field: &str) -> String {
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
