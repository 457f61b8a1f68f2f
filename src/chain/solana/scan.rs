//! Reads everything that moved the tokens of some accounts from a range of finalized slots, and what the accounts held
//! before and after it.
//!
//! The node lists an account's transactions, newest first; what a transaction moved shows in the balances that the chain
//! noted before and after it. Of what an account held between two transactions there is no other record, so the balances
//! around a range are those of its first and last transaction.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use solana_pubkey::Pubkey;

use super::evidence::{Change, Meta};
use super::listing::{Asset, Listing};
use super::node::{AsOf, Node};
use super::programs::{MEMO, associated_token_account};
use super::transaction::Transaction;
use super::watch::{block_points, block_time_call, numbered};
use crate::chain::cut;
use crate::chain::rpc::Call;
use crate::domain::amount::Amount;
use crate::domain::rail::{ChainPoint, RailFault, TxId};
use crate::domain::reconciliation::{Account, Direction, Held, Scan, Transfer};
use crate::domain::time::Timestamp;

const OPERATION: &str = "scan";

/// The most signatures of one answer (Solana JSON-RPC, getSignaturesForAddress).
const PAGE: usize = 1000;

/// The most slots in a row that are taken to be missed by their leaders.
const MISSED_MAX: u64 = 31;

/// The most of an account's transactions that one step looks at: the oldest of the range.
const TRANSACTIONS_MAX: usize = 1000;

/// A recipient's token account: the associated one, since no other is paid into through us.
#[derive(Debug)]
pub(super) struct TokenAccount {
    account: Account,
    owner: Pubkey,
    asset: Asset,
    address: Pubkey,
}

impl TokenAccount {
    /// The token account of this holder.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn of(listing: &Listing, account: &Account) -> Result<Self, &'static str> {
        let mint: Pubkey = account.asset.parse().map_err(|_| "the asset is no address")?;
        let owner: Pubkey = account.holder.parse().map_err(|_| "the holder is no address")?;
        let asset = listing.asset(&mint).ok_or("the asset is not configured any more")?;
        Ok(Self {
            account: account.clone(),
            owner,
            asset: *asset,
            address: associated_token_account(&owner, asset.program, &mint),
        })
    }
}

#[derive(Deserialize)]
struct Listed {
    signature: String,
    slot: u64,
}

/// A transaction (Solana JSON-RPC, `getTransaction`, encoded in base64).
#[derive(Deserialize)]
struct Fetched {
    slot: u64,
    transaction: (String, String),
    #[serde(default)]
    meta: Option<Meta>,
}

/// The newest finalized slot.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn finalized(node: &Node) -> Result<u64, RailFault> {
    let answers = node.ask(OPERATION, &[numbered("getSlot", AsOf::Finalized)]).await?;
    node.read(OPERATION, answers.into_iter().next())
}

/// The time of the newest finalized slot.
///
/// # Errors
/// The node could not be asked, or does not know it.
pub(super) async fn final_until(node: &Node) -> Result<Timestamp, RailFault> {
    let slot = finalized(node).await?;
    let answers = node.ask(OPERATION, &[block_time_call(slot)]).await?;
    let time: i64 = node.read(OPERATION, answers.into_iter().next())?;
    let time = u64::try_from(time).ok().map(Timestamp);
    time.ok_or_else(|| node.rpc().fault(OPERATION, "the block is from before 1970"))
}

/// The last finalized block before this time; none when the chain began later.
///
/// # Errors
/// The node could not be asked, or does not know its blocks of that time any more.
pub(super) async fn last_before(node: &Node, time: Timestamp) -> Result<Option<ChainPoint>, RailFault> {
    let newest = block_at_or_below(node, finalized(node).await?).await?;
    cut::last_before(time, newest, |slot| block_at_or_below(node, slot)).await
}

/// The block of this slot, or the next one below: leaders miss slots.
async fn block_at_or_below(node: &Node, slot: u64) -> Result<ChainPoint, RailFault> {
    let slots: BTreeSet<u64> = (slot.saturating_sub(MISSED_MAX)..=slot).collect();
    let times: Vec<Call> = slots.iter().map(|slot| block_time_call(*slot)).collect();
    let answers = node.ask(OPERATION, &times).await?;
    let is_there = |answer| matches!(node.read::<Option<i64>>(OPERATION, Some(answer)), Ok(Some(_)));
    let found = slots
        .into_iter()
        .zip(answers)
        .filter_map(|(slot, answer)| is_there(answer).then_some(slot));
    let block = match found.last() {
        Some(slot) => block_points(node, &BTreeSet::from([slot])).await?.remove(&slot),
        None => None,
    };
    block.ok_or_else(|| node.rpc().fault(OPERATION, "the node does not have the block"))
}

/// The transfers in the first of these slots: of as many transactions of each account as one step may look at.
///
/// # Errors
/// The node could not be asked, or does not have all of the slots as final.
pub(super) async fn scan(
    node: &Node,
    accounts: &[TokenAccount],
    slots: RangeInclusive<u64>,
) -> Result<Scan, RailFault> {
    if finalized(node).await? < *slots.end() {
        return Err(node
            .rpc()
            .fault(OPERATION, "the node does not have the blocks as final"));
    }
    let mut until = *slots.end();
    let mut listed = Vec::with_capacity(accounts.len());
    for account in accounts {
        let (last, txs) = list(node, account, &slots).await?;
        until = until.min(last);
        listed.push(txs);
    }
    let within: BTreeSet<(u64, String)> = listed
        .into_iter()
        .flatten()
        .filter(|(slot, _)| *slot <= until)
        .collect();
    let points = block_points(node, &within.iter().map(|(slot, _)| *slot).collect()).await?;
    let mut scan = Scan {
        until,
        transfers: Vec::new(),
        balances: vec![Held::default(); accounts.len()],
    };
    let txs: Vec<&String> = within.iter().map(|(_, tx)| tx).collect();
    for (tx, fetched) in txs.iter().zip(fetch(node, &txs).await?) {
        let Some(point) = points.get(&fetched.slot) else {
            return Err(node
                .rpc()
                .fault(OPERATION, "the node does not show a transaction's block"));
        };
        note(&mut scan, accounts, tx, &fetched, point);
    }
    Ok(scan)
}

/// The account's transactions in these slots, the oldest of them where they are many, and the last slot from which all
/// are among them.
async fn list(
    node: &Node,
    account: &TokenAccount,
    slots: &RangeInclusive<u64>,
) -> Result<(u64, Vec<(u64, String)>), RailFault> {
    let mut oldest: Vec<(u64, String)> = Vec::new();
    let mut until = *slots.end();
    let mut before: Option<String> = None;
    loop {
        let call = Call {
            method: "getSignaturesForAddress",
            params: json!([account.address.to_string(), {
                "limit": PAGE,
                "commitment": AsOf::Finalized.as_str(),
                "before": before,
            }]),
        };
        let answer = node.ask(OPERATION, &[call]).await?.into_iter().next();
        let page: Vec<Listed> = node.read(OPERATION, answer)?;
        let is_last = page.len() < PAGE || page.last().is_none_or(|it| it.slot < *slots.start());
        before = page.last().map(|it| it.signature.clone());
        let within = page.into_iter().filter(|it| slots.contains(&it.slot));
        oldest.extend(within.map(|it| (it.slot, it.signature)));
        let excess = oldest.len().saturating_sub(TRANSACTIONS_MAX);
        if let Some((slot, _)) = oldest.drain(..excess).next_back() {
            // The newest are left for a later step, with all else in their slots.
            until = slot.saturating_sub(1).max(*slots.start());
        }
        if is_last {
            return Ok((until, oldest));
        }
    }
}

async fn fetch(node: &Node, txs: &[&String]) -> Result<Vec<Fetched>, RailFault> {
    let call = |tx: &&String| Call {
        method: "getTransaction",
        params: json!([tx, {
            "commitment": AsOf::Finalized.as_str(),
            "encoding": "base64",
            "maxSupportedTransactionVersion": 0,
        }]),
    };
    let answers = node.ask(OPERATION, &txs.iter().map(call).collect::<Vec<_>>()).await?;
    answers
        .into_iter()
        .map(|answer| node.read(OPERATION, Some(answer)))
        .collect()
}

/// Adds what the transaction moved.
fn note(scan: &mut Scan, accounts: &[TokenAccount], tx: &str, fetched: &Fetched, point: &ChainPoint) {
    let wire = BASE64.decode(&fetched.transaction.0).unwrap_or_default();
    let (Some(meta), Ok(transaction)) = (&fetched.meta, Transaction::parse(&wire)) else {
        tracing::warn!(
            tx.id = tx,
            "a transaction cannot be read: what it moved is missing from the reconciliation"
        );
        return;
    };
    let keys = meta.keys(transaction.static_keys());
    for (account, held) in accounts.iter().zip(&mut scan.balances) {
        let changes: Vec<Change> = meta.changes(&keys, &account.asset.mint);
        let Some(change) = changes.iter().find(|it| it.account == account.address) else {
            continue;
        };
        let amount = |units: u64| Amount::from_units(units.into());
        held.before = held.before.or(Some(amount(change.before)));
        held.after = Some(amount(change.after));
        let direction = match change.before.cmp(&change.after) {
            std::cmp::Ordering::Less => Direction::Credit,
            std::cmp::Ordering::Greater => Direction::Debit,
            std::cmp::Ordering::Equal => continue,
        };
        let opposite = changes.iter().filter(|it| match direction {
            Direction::Credit => it.after < it.before,
            Direction::Debit => it.after > it.before,
        });
        let mut others: BTreeSet<Pubkey> = opposite.filter_map(|it| it.owner).collect();
        others.remove(&account.owner);
        scan.transfers.push(Transfer {
            account: account.account.clone(),
            direction,
            counterparty: others
                .pop_first()
                .filter(|_| others.is_empty())
                .map(|owner| owner.to_string()),
            amount: amount(change.before.abs_diff(change.after)),
            tx: TxId(tx.to_owned()),
            index: index_of(&transaction, meta, &keys, account),
            block: point.clone(),
            authorizer: None,
            nonce: Some(hex::encode(transaction.message_hash())),
            memo: memo_of(&transaction),
            sender: transaction.fee_payer().to_string(),
        });
    }
}

/// The place of the instruction that moved it: one of its own, else that within which it was.
fn index_of(transaction: &Transaction, meta: &Meta, keys: &[Pubkey], account: &TokenAccount) -> u64 {
    let program = account.asset.program.id();
    let own = transaction.instructions().position(|it| {
        let names = |index: &u8| keys.get(usize::from(*index)) == Some(&account.address);
        *it.program == program && it.accounts.iter().any(names)
    });
    let own = own.and_then(|index| u64::try_from(index).ok());
    own.or_else(|| meta.inner_call(&program, keys, &account.address))
        .unwrap_or_default()
}

/// What its memo instruction says, up to 256 bytes.
fn memo_of(transaction: &Transaction) -> Option<String> {
    let memo = transaction.instructions().find(|it| *it.program == MEMO)?;
    let text = std::str::from_utf8(memo.data).ok()?;
    (1..=256)
        .contains(&text.len())
        .then(|| text.to_owned())
        .filter(|it| !it.contains('\0'))
}
