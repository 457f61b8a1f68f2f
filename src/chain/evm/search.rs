//! Finds authorizations in other people's transactions: whoever sees a signed authorization may submit it.
//!
//! A search that the node will not serve is no fault of the look: what blocks and receipts say stands without
//! it, and the payments in question are named as not searched for.

use std::collections::{BTreeSet, HashSet};

use alloy::primitives::{Address, B256};
use serde_json::{Value, json};

use super::evidence::{AUTHORIZATION_CANCELED, AUTHORIZATION_USED, Log, Target};
use super::node::{Node, OPERATION, quantity};
use crate::chain::rpc::RpcError;
use crate::domain::rail::RailFault;

/// The most blocks in one query; hosted nodes refuse more than 2,000 to 10,000.
pub(super) const SPAN_MAX: u64 = 2_000;

/// The fewest blocks that a query is narrowed down to before the node is believed to refuse it altogether.
const SPAN_MIN: u64 = 60;

/// How far below the block at which an authorization was unspent the search begins: a reorganization may have put a use of
/// it into a block of lower height since.
const REORGANIZED_MAX: u64 = 64;

/// The most authorizations in one query.
const SEEKERS_MAX: usize = 100;

/// The most queries in one look: ten days of two-second blocks for 100 authorizations, or two for 500.
const QUERIES_MAX: u32 = 216;

/// An authorization to search for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeker<'t> {
    /// The caller's number for it.
    pub(super) at: usize,
    /// What to find.
    pub(super) target: &'t Target,
    /// A block at which it was unspent: search from somewhat below it.
    pub(super) since_height: u64,
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Uses and cancellations, each with the caller's number of what it spends. Their blocks and, for uses,
    /// their receipts have been fetched as far as the node would give them.
    pub(super) logs: Vec<(usize, Log)>,
    /// Those that could not be searched for to the end.
    pub(super) unsearched: HashSet<usize>,
}

/// Searches the blocks up to the head. Costs nothing when there is nothing to seek.
///
/// # Errors
/// The blocks of what was found could not be fetched.
pub(super) async fn search(node: &mut Node<'_>, seekers: &[Seeker<'_>]) -> Result<Found, RailFault> {
    let mut found = Found::default();
    let mut queries_left = QUERIES_MAX;
    let mut sorted = seekers.to_vec();
    // Those that need the same blocks go together. The newest go first, so that ancient ones cannot use up
    // the queries of a payment somebody is waiting for.
    sorted.sort_by_key(|seeker| std::cmp::Reverse(seeker.since_height));
    for group in sorted.chunks(SEEKERS_MAX) {
        let logs = logs_of(node, group, &mut queries_left).await;
        if logs.is_none() {
            found.unsearched.extend(group.iter().map(|seeker| seeker.at));
        }
        for log in logs.into_iter().flatten().filter(|log| !log.removed) {
            let spent = group.iter().filter(|seeker| seeker.target.is_spent_by(&log));
            found.logs.extend(spent.map(|seeker| (seeker.at, log.clone())));
        }
    }
    let heights = found.logs.iter().map(|(_, log)| log.block_number.to()).collect();
    node.fetch_headers(heights).await?;
    for (_, log) in &found.logs {
        if log.topics.first() == Some(&AUTHORIZATION_USED) {
            node.fetch_foreign(log.transaction_hash).await;
        }
    }
    node.fetch_headers_of_receipts().await?;
    Ok(found)
}

/// All spending logs of one group, or nothing when the node would not say.
async fn logs_of(node: &Node<'_>, group: &[Seeker<'_>], queries_left: &mut u32) -> Option<Vec<Log>> {
    let since = group.iter().map(|seeker| seeker.since_height).min()?;
    let mut from = since.saturating_sub(REORGANIZED_MAX);
    let mut span = SPAN_MAX;
    let mut logs = Vec::new();
    while from <= node.head().height {
        *queries_left = queries_left.checked_sub(1)?;
        let to = from.saturating_add(span.saturating_sub(1)).min(node.head().height);
        let filter = [filter(group, from, to)];
        match node.rpc().call_as::<Vec<Log>>(OPERATION, "eth_getLogs", &filter).await {
            Ok(page) => {
                logs.extend(page);
                from = to.saturating_add(1);
            }
            Err(RpcError::Node { .. }) if span > SPAN_MIN => span >>= 1,
            Err(error) => {
                tracing::warn!(network.id = %node.rpc().network(), error = %error, "a search for logs failed");
                return None;
            }
        }
    }
    Some(logs)
}

fn filter(group: &[Seeker<'_>], from: u64, to: u64) -> Value {
    let tokens: BTreeSet<Address> = group.iter().map(|seeker| seeker.target.asset).collect();
    let payers: BTreeSet<B256> = group.iter().map(|seeker| seeker.target.payer.into_word()).collect();
    let nonces: BTreeSet<B256> = group.iter().map(|seeker| seeker.target.nonce).collect();
    json!({
        "fromBlock": quantity(from),
        "toBlock": quantity(to),
        "address": tokens,
        "topics": [[AUTHORIZATION_USED, AUTHORIZATION_CANCELED], payers, nonces],
    })
}
