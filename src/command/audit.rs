//! `facilitator audit`: the live records against the chains, one line for each disagreement.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::app::audit::{Audit, Extent, Finding};
use crate::chain;
use crate::config::Config;
use crate::domain::network::NetworkId;
use crate::store::{DateTime, Filter, Store, Utc};
use crate::task::Tasks;

/// How often the progress is said.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// What to audit, and how to say it.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Only payments and signers on this network (CAIP-2).
    #[arg(long)]
    network: Option<NetworkId>,
    /// Only payments recorded at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// One JSON object for each disagreement instead of a line of text.
    #[arg(long)]
    json: bool,
}

/// Audits, prints what disagrees, and says how many disagreements there were.
///
/// # Errors
/// Something could not be asked, so that nothing can be said.
pub async fn audit(config: Config, args: AuditArgs) -> Result<u64, Box<dyn Error>> {
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    let tasks = Tasks::default();
    let rails = chain::connect(&config.network, &tasks).await?;
    let audit = Audit {
        store: &store,
        rails: &rails,
        filter: Filter {
            network: args.network,
            created_from: args.since,
            ..Filter::default()
        },
    };
    let mut found: u64 = 0;
    let mut out = io::stdout().lock();
    let mut printed = Ok(());
    let mut told = Instant::now();
    let tell = |finding: Finding| {
        found = found.saturating_add(1);
        if printed.is_ok() {
            printed = writeln!(out, "{}", line(&finding, args.json));
        }
    };
    let progress = |extent: Extent| {
        if told.elapsed() >= TOLD_EVERY || io::stderr().is_terminal() {
            told = Instant::now();
            eprintln!("audited {} payments, {} nonces", extent.payments, extent.slots);
        }
    };
    let extent = audit.run(tell, progress).await?;
    printed?;
    tasks.drain(Duration::from_secs(1)).await;
    eprintln!(
        "audited {} payments and {} nonces: {found} disagreements",
        extent.payments, extent.slots
    );
    Ok(found)
}

fn line(finding: &Finding, as_json: bool) -> String {
    if !as_json {
        return finding.to_string();
    }
    json!({
        "kind": finding.kind.as_str(),
        "subject": finding.subject,
        "detail": finding.detail,
    })
    .to_string()
}
