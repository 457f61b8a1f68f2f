//! `facilitator match`: a gateway's own list of orders held against the records.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::told::Findings;
use crate::app::books::Books;
use crate::app::matching::{Finding, Kind, Outcome, match_all, read};
use crate::app::reports::Reports;
use crate::chain;
use crate::config::Config;
use crate::domain::network::NetworkId;
use crate::store::{DateTime, Filter, Store, Utc};

/// Which list, and which payments should be on it.
#[derive(Debug, Args)]
pub struct MatchArgs {
    /// The gateway's orders: CSV with a header, or a JSON object on each line if its name ends in .ndjson or .jsonl.
    file: PathBuf,
    /// Payments on this network (CAIP-2) should be on the list.
    #[arg(long)]
    network: Option<NetworkId>,
    /// Payments to this address should be on the list.
    #[arg(long)]
    pay_to: Option<String>,
    /// Payments recorded at or after this time (RFC 3339) should be on the list.
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Payments recorded before this time (RFC 3339) should be on the list.
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
}

/// Prints each difference as a JSON object on a line, then how many there are of each kind; gives the number of differences.
///
/// # Errors
/// The file or the database cannot be read.
pub async fn matching(config: Config, args: MatchArgs) -> Result<u64, Box<dyn Error>> {
    let path = args.file.display();
    let bytes = fs::read(&args.file).map_err(|error| format!("{path}: {error}"))?;
    let extension = args.file.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let kind = match extension {
        "ndjson" | "jsonl" => Kind::Ndjson,
        _ => Kind::Csv,
    };
    let lines = read(kind, &bytes).map_err(|fault| format!("{path}: {fault}"))?;
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    let reports = Reports {
        store,
        decimals: config.decimals(),
    };
    let within = Filter {
        network: args.network,
        pay_to: args.pay_to.map(|it| chain::canonical_account(&it).unwrap_or(it)),
        created_from: args.from,
        created_before: args.until,
        ..Filter::default()
    };
    let mut findings = Findings::new();
    let tell = |finding: Finding| {
        if finding.outcome != Outcome::Matched {
            findings.tell(&json!(finding).to_string());
        }
    };
    let counts = match_all(&Books::new(reports, Vec::new()), &lines, &within, tell).await?;
    findings.end()?;
    eprintln!("{}", json!(counts));
    Ok(counts.differences())
}
