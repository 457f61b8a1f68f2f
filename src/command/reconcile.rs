//! `facilitator reconcile`: follows the chains to their newest finalized blocks, compares all records with the transfers
//! there, and prints every open exception, one on a line.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::told::{Findings, Progress};
use crate::app::reconcile::Reconciliation;
use crate::chain;
use crate::config::Config;
use crate::domain::network::NetworkId;
use crate::store::{Exception, ExceptionFilter, Store};
use crate::task::Tasks;

/// How many exceptions are read at a time.
const PAGE: u16 = 500;

/// What to reconcile, and how to say it.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Only records and transfers on this network (CAIP-2).
    #[arg(long)]
    network: Option<NetworkId>,
    /// Read the blocks from this one on once more, on Solana slots.
    #[arg(long, value_name = "BLOCK", requires = "network")]
    from: Option<u64>,
    /// Up to this one; the newest finalized one when it is left out.
    #[arg(long, value_name = "BLOCK", requires = "from")]
    to: Option<u64>,
    /// One JSON object for each exception instead of a line of text.
    #[arg(long)]
    json: bool,
}

/// Reconciles, prints the open exceptions, and says how many there are.
///
/// # Errors
/// Something could not be asked, so that nothing can be said.
pub async fn reconcile(config: Config, args: ReconcileArgs) -> Result<u64, Box<dyn Error>> {
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    let tasks = Tasks::default();
    let rails = chain::connect(&config.network, &tasks).await?;
    let mut progress = Progress::new();
    let is_wanted = |network: &NetworkId| args.network.as_ref().is_none_or(|it| it == network);
    for rail in rails.iter().filter(|rail| is_wanted(&rail.id().network)) {
        let (network, store) = (&rail.id().network, &store);
        let tell = |payments, block| {
            progress.say(|| format!("{network}: read up to block {block}, compared {payments} payments"));
        };
        let again = args.from.map(|from| (from, args.to));
        Reconciliation { store, rail: &**rail }.whole(again, tell).await?;
    }
    tasks.drain(Duration::from_secs(1)).await;
    let filter = ExceptionFilter {
        network: args.network,
        ..ExceptionFilter::default()
    };
    let mut findings = Findings::new();
    let mut after = None;
    loop {
        let page = store.exceptions_list(&filter, after, PAGE).await?;
        for exception in &page {
            findings.tell(&line(exception, args.json));
        }
        after = page.last().map(|it| it.id);
        if after.is_none() {
            break;
        }
    }
    let found = findings.end()?;
    eprintln!("reconciled: {found} exceptions");
    Ok(found)
}

fn line(exception: &Exception, as_json: bool) -> String {
    let (id, state, reason) = (exception.id, exception.state.as_str(), &exception.reason);
    if !as_json {
        let subject = exception
            .payment
            .map_or_else(|| exception.pay_to.clone(), |payment| payment.to_string());
        return format!("{state}: {subject} on {}: {reason} ({id})", exception.network);
    }
    json!({
        "id": id,
        "state": state,
        "reason": reason,
        "payment": exception.payment,
        "network": exception.network,
        "asset": exception.asset,
        "payTo": exception.pay_to,
        "amount": exception.amount.to_string(),
        "transaction": exception.tx.as_ref().map(|tx| &tx.0),
        "block": exception.height,
        "since": exception.since.to_rfc3339(),
    })
    .to_string()
}
