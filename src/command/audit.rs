//! `facilitator audit`: the live records against the chains, one line for each disagreement.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::told::{Findings, Progress};
use crate::app::audit::{Audit, Extent, Finding};
use crate::chain;
use crate::config::Config;
use crate::domain::network::NetworkId;
use crate::store::{DateTime, Filter, Store, Utc};
use crate::task::Tasks;

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
    let (mut findings, mut progress) = (Findings::new(), Progress::new());
    let tell = |finding: Finding| findings.tell(&line(&finding, args.json));
    let say = |extent: Extent| {
        progress.say(|| format!("audited {} payments, {} nonces", extent.payments, extent.slots));
    };
    let extent = audit.run(tell, say).await?;
    let found = findings.end()?;
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
