//! `facilitator report`: a report of any kind, in any of the formats.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::app::reports::encode::Format;
use crate::app::reports::{Kind, Order, Reports};
use crate::chain;
use crate::config::Config;
use crate::store::{DateTime, Store, Utc};

/// Which rows to print, and how.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What to report: settlements, balance_activity, fees_and_gas, statements, reconciliation_exceptions, refunds,
    /// screening_log or travel_rule.
    #[arg(long, value_name = "TYPE", default_value = "settlements", value_parser = kind)]
    of: Kind,
    /// csv, json, ndjson or parquet.
    #[arg(long, default_value = "csv", value_parser = format)]
    format: Format,
    /// Write to this file, with progress, digest and control totals told on the way, instead of printing.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what is in one of these states, with commas between them; of settlements reserved, in_flight, confirmed, final,
    /// failed or withdrawn.
    #[arg(long)]
    state: Option<String>,
    /// Only settlements that reconciliation has put in one of these states, with commas between them.
    #[arg(long)]
    reconciliation: Option<String>,
    /// Only what is on this network (CAIP-2).
    #[arg(long)]
    network: Option<String>,
    /// Only what is in this asset.
    #[arg(long)]
    asset: Option<String>,
    /// Only settlements from this address.
    #[arg(long)]
    payer: Option<String>,
    /// Only what goes to this address; of balance_activity what goes from it, too.
    #[arg(long)]
    pay_to: Option<String>,
    /// Only settlements recorded at or after this time (RFC 3339); transfers and transactions by their blocks' time, statements
    /// by the beginning of their day.
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Only what was before this time (RFC 3339), likewise.
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// Any condition that reports of this type take over HTTP; may be repeated.
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = condition)]
    filters: Vec<(String, String)>,
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| format!("expected one of {}", Kind::names()))
}

fn condition(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected a key, = and a value")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn format(name: &str) -> Result<Format, String> {
    Format::named(name).ok_or_else(|| "expected csv, json, ndjson or parquet".to_owned())
}

/// Prints or writes the report.
///
/// # Errors
/// The conditions are none, the database cannot be read, or the output cannot be written.
pub async fn report(config: Config, args: ReportArgs) -> Result<(), Box<dyn Error>> {
    let (order, output) = (args.order()?, args.output);
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    let reports = Reports {
        store,
        decimals: config.decimals(),
    };
    let Some(path) = output else {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut making = reports.make(&order)?;
        while let Some(bytes) = making.next().await? {
            out.write_all(&bytes)?;
        }
        return Ok(out.flush()?);
    };
    let mut file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let bar = progress(&reports, &order).await?;
    let (mut digest, mut making) = (Sha256::new(), reports.make(&order)?);
    while let Some(bytes) = making.next().await? {
        digest.update(&bytes);
        file.write_all(&bytes)?;
        bar.set_position(making.totals.rows());
    }
    let totals = making.totals;
    file.sync_all()?;
    bar.finish_and_clear();
    println!("{} rows, sha256 {}", totals.rows(), hex::encode(digest.finalize()));
    println!("{}", totals.to_json());
    Ok(())
}

/// A bar where somebody looks at it.
async fn progress(reports: &Reports, order: &Order) -> Result<ProgressBar, Box<dyn Error>> {
    if !io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} rows, {per_sec}, {eta} left")?;
    Ok(ProgressBar::new(reports.expected(order).await?).with_style(style))
}

impl ReportArgs {
    fn order(&self) -> Result<Order, Box<dyn Error>> {
        let time = |at: Option<DateTime<Utc>>| at.map(|it| it.to_rfc3339());
        let [from, until] = match self.of.period() {
            Some(period) if self.of != Kind::SETTLEMENTS => period,
            _ => ["createdFrom", "createdBefore"],
        };
        let given = [
            ("state", self.state.clone()),
            ("reconciliation", self.reconciliation.clone()),
            ("network", self.network.clone()),
            ("asset", self.asset.clone()),
            ("payer", self.payer.clone()),
            ("payTo", self.pay_to.clone()),
            (from, time(self.from)),
            (until, time(self.until)),
        ];
        let named = given
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        let mut question: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in named.chain(self.filters.iter().cloned()) {
            if question.insert(key.clone(), value).is_some() {
                return Err(format!("{key}: expected once").into());
            }
        }
        Ok(Order::new(self.of, self.format, question, chain::canonical_account)?)
    }
}
