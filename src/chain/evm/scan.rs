//! Reads every transfer into and out of some accounts from a range of finalized blocks, and what the accounts held
//! before and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use super::eip3009::Token;
use super::evidence::{AUTHORIZATION_USED, Log, Receipt, TRANSFER};
use super::listing::checksummed;
use super::node::{Node, quantity};
use super::search::SPAN_MAX;
use crate::chain::cut;
use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::amount::Amount;
use crate::domain::rail::{ChainPoint, RailFault, TxId};
use crate::domain::reconciliation::{Account, Direction, Held, Scan, Transfer};
use crate::domain::time::Timestamp;

const OPERATION: &str = "scan";

/// The most logs of one step, unless one block has more: each may need a receipt of its own.
const LOGS_MAX: usize = 500;

/// The newest finalized block.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn newest_final(rpc: &Pool) -> Result<ChainPoint, RailFault> {
    let node = Node::look(rpc, BTreeSet::new(), BTreeSet::new()).await?;
    Ok(node.finalized().clone())
}

/// The last finalized block before this time; none when the chain began later.
///
/// # Errors
/// The node could not be asked, or does not know its blocks of that time any more.
pub(super) async fn last_before(rpc: &Pool, time: Timestamp) -> Result<Option<ChainPoint>, RailFault> {
    let newest = newest_final(rpc).await?;
    let at = |height| async move {
        let node = Node::look(rpc, BTreeSet::from([height]), BTreeSet::new()).await?;
        let block = node.header(height).cloned();
        block.ok_or_else(|| rpc.fault(OPERATION, "the node does not have the block"))
    };
    cut::last_before(time, newest, at).await
}

/// The transfers in the first of these blocks: as many as the node lets one query have.
///
/// # Errors
/// The node could not be asked, does not have all of the blocks as final, or contradicts itself.
pub(super) async fn scan(rpc: &Pool, accounts: &[Account], blocks: RangeInclusive<u64>) -> Result<Scan, RailFault> {
    let places: Option<BTreeMap<(Address, Address), &Account>> = accounts.iter().map(place).collect();
    let places = places.ok_or_else(|| rpc.fault(OPERATION, "an account is not of this chain's form"))?;
    let from = *blocks.start();
    let (until, logs) = logs_of(rpc, &places, blocks).await?;
    let heights = logs.iter().map(|log| log.block_number.to()).chain([until]).collect();
    let txs = logs.iter().map(|log| log.transaction_hash).collect();
    let node = Node::look(rpc, heights, txs).await?;
    if node.header(until).is_none_or(|it| !node.is_final(it)) {
        return Err(rpc.fault(OPERATION, "the node does not have the blocks as final"));
    }
    let mut transfers = Vec::with_capacity(logs.len());
    for log in &logs {
        let seen = transfers_of(&node, &places, log);
        transfers.extend(seen.ok_or_else(|| rpc.fault(OPERATION, "a log is in no canonical block"))?);
    }
    Ok(Scan {
        until,
        balances: balances(rpc, accounts, from, until).await?,
        transfers,
    })
}

/// The token and the holder; none when the texts are no addresses.
pub(super) fn place(account: &Account) -> Option<((Address, Address), &Account)> {
    Some(((account.asset.parse().ok()?, account.holder.parse().ok()?), account))
}

/// The transfers' logs in the first of these blocks, in the chain's order, and the last block that they are from.
async fn logs_of(
    rpc: &Pool,
    places: &BTreeMap<(Address, Address), &Account>,
    blocks: RangeInclusive<u64>,
) -> Result<(u64, Vec<Log>), RailFault> {
    let from = *blocks.start();
    let mut span = SPAN_MAX;
    loop {
        let until = from.saturating_add(span.saturating_sub(1)).min(*blocks.end());
        let read = async {
            let mut logs = BTreeMap::new();
            for direction in [Direction::Credit, Direction::Debit] {
                let filter = [filter(places, direction, from, until)];
                let page: Vec<Log> = rpc.call_as(OPERATION, "eth_getLogs", &filter).await?;
                let standing = page.into_iter().filter(|log| !log.removed);
                logs.extend(standing.map(|log| ((log.block_number, log.index), log)));
            }
            Ok(logs.into_values().collect::<Vec<_>>())
        };
        match read.await {
            Ok(logs) if logs.len() <= LOGS_MAX || span == 1 => return Ok((until, logs)),
            Err(RpcError::Node { .. }) | Ok(_) if span > 1 => span >>= 1,
            Ok(logs) => return Ok((until, logs)),
            Err(error) => return Err(rpc.refused(OPERATION, error)),
        }
    }
}

fn filter(places: &BTreeMap<(Address, Address), &Account>, direction: Direction, from: u64, until: u64) -> Value {
    let tokens: BTreeSet<Address> = places.keys().map(|(token, _)| *token).collect();
    let holders: BTreeSet<B256> = places.keys().map(|(_, holder)| holder.into_word()).collect();
    let topics = match direction {
        Direction::Credit => json!([TRANSFER, null, holders]),
        Direction::Debit => json!([TRANSFER, holders]),
    };
    json!({
        "fromBlock": quantity(from),
        "toBlock": quantity(until),
        "address": tokens,
        "topics": topics,
    })
}

/// What the log says, from the side of each account that it is about. None when it is not in a canonical block, or its
/// transaction is unknown.
fn transfers_of(node: &Node<'_>, places: &BTreeMap<(Address, Address), &Account>, log: &Log) -> Option<Vec<Transfer>> {
    let block = node.canonical(&log.block_hash, log.block_number.to())?;
    let (receipt, _) = node.mined(&log.transaction_hash)?;
    let sender = receipt.from?;
    let [_, from, to] = log.topics.as_slice() else {
        // A token of another kind, with an event of this name.
        return Some(Vec::new());
    };
    let (from, to) = (Address::from_word(*from), Address::from_word(*to));
    let used = authorization_of(receipt, log);
    let amount: u128 = U256::try_from_be_slice(&log.data)?.saturating_to();
    let side = |direction, holder: Address, counterparty: Address| {
        let account = places.get(&(log.address, holder))?;
        Some(Transfer {
            account: (*account).clone(),
            direction,
            counterparty: Some(checksummed(&counterparty)),
            amount: Amount::from_units(amount),
            tx: TxId(log.transaction_hash.to_string()),
            index: log.index.to(),
            block: block.clone(),
            authorizer: used.map(|(payer, _)| checksummed(&payer)),
            nonce: used.map(|(_, nonce)| nonce.to_string()),
            memo: None,
            sender: checksummed(&sender),
        })
    };
    let sides = [side(Direction::Credit, to, from), side(Direction::Debit, from, to)];
    Some(sides.into_iter().flatten().collect())
}

/// Whose authorization the transfer used: the token's use before it, unless another transfer came between
/// ([`super::evidence::use_in`] says why).
fn authorization_of(receipt: &Receipt, transfer: &Log) -> Option<(Address, B256)> {
    let mut before = receipt
        .logs
        .iter()
        .filter(|log| log.address == transfer.address && log.index < transfer.index);
    let about_authorizations = |log: &&Log| {
        let event = log.topics.first();
        event == Some(&TRANSFER) || event == Some(&AUTHORIZATION_USED)
    };
    match before.rfind(about_authorizations)?.topics.as_slice() {
        [AUTHORIZATION_USED, payer, nonce] => Some((Address::from_word(*payer), *nonce)),
        _ => None,
    }
}

/// What each account held before `from` and after `until`. A node that has dropped a block's state does not know.
async fn balances(rpc: &Pool, accounts: &[Account], from: u64, until: u64) -> Result<Vec<Held>, RailFault> {
    let before = from.saturating_sub(1);
    let calls = accounts
        .iter()
        .flat_map(|account| [balance_call(account, before), balance_call(account, until)]);
    let answers = rpc.batch(OPERATION, &calls.collect::<Vec<_>>()).await?;
    let mut known = Vec::with_capacity(answers.len());
    for answer in answers {
        known.push(match answer {
            Ok(word) => U256::try_from_be_slice(&rpc.read::<Bytes>(OPERATION, &word)?),
            Err(RpcError::Node { .. }) => None,
            Err(RpcError::Fault(fault)) => return Err(fault),
        });
    }
    let amount = |units: Option<U256>| units.map(|units| Amount::from_units(units.saturating_to()));
    let (pairs, _) = known.as_chunks::<2>();
    let held = pairs.iter().map(|[first, last]| Held {
        before: amount(*first).filter(|_| from > 0),
        after: amount(*last),
    });
    Ok(held.collect())
}

fn balance_call(account: &Account, height: u64) -> Call {
    let input = account
        .holder
        .parse()
        .map(|account| Token::balanceOfCall { account }.abi_encode());
    let input = Bytes::from(input.unwrap_or_default());
    Call {
        method: "eth_call",
        params: json!([{"to": account.asset, "input": input, "data": input}, quantity(height)]),
    }
}
