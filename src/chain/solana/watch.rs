//! Looks at the chain and says what it shows of the payments that are not final yet: asks, in one round trip while
//! nothing happens and two more when something did, and has [`Answers`] conclude.
//!
//! Reports, never decides what to do about it.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::evidence::{Arrival, Meta, Target};
use super::node::{Answer, AsOf, InContext, Node};
use super::settings::Commitment;
use super::sighting::{Answers, Details, End, Executed, Search, Status, tx_of};
use crate::chain::rpc::Call;
use crate::domain::rail::{ChainPoint, RailFault, Sighting, TxId, Watched};
use crate::domain::time::Timestamp;

/// The most signatures of one `getSignatureStatuses` (agave, `MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS`).
const STATUSES_MAX: usize = 256;

const OPERATION: &str = "observe";

/// One look at the chain for all watched payments.
///
/// A payment about which the node would not say what matters has no observation in the sighting. A transaction in
/// which a payment is known to have landed already is not asked for again, and so not reported as mined again, unless
/// it is among `others`: transactions of ours to report when they are mined.
///
/// # Errors
/// The node could not be asked; nothing is known.
pub(super) async fn observe(
    node: &Node,
    watched: &[Watched<'_>],
    others: &[TxId],
    commitment: Commitment,
) -> Result<Sighting, RailFault> {
    let mut answers = first_look(node, watched, others).await?;
    if let Some(doubts) = answers.doubts(watched) {
        // What has landed is told even when nothing can be proven absent.
        match search(node, doubts, &mut answers).await {
            Ok(search) => {
                answers.search = Some(search);
                warn_of_what_is_out_of_reach(&answers, watched);
            }
            Err(fault) => tracing::warn!(error = %fault, "nothing can be proven absent from the chain for now"),
        }
    }
    let details = answers.details(watched, others);
    fetch(node, watched, &details, &mut answers).await?;
    Ok(answers.sighting(watched, commitment))
}

fn warn_of_what_is_out_of_reach(answers: &Answers, watched: &[Watched<'_>]) {
    let payments = answers.out_of_reach(watched);
    if payments > 0 {
        let first_slot = answers.search.as_ref().map(|it| it.first_slot);
        let message = "payments are older than the node's first block: none of them can be proven absent";
        tracing::warn!(payments, first_slot, message);
    }
}

/// The newest blocks, and the statuses of all transactions. Those that no watched payment refers to may be old, and
/// are looked for in the whole ledger.
async fn first_look(node: &Node, watched: &[Watched<'_>], others: &[TxId]) -> Result<Answers, RailFault> {
    let mut known = HashSet::new();
    let recent: Vec<&TxId> = watched
        .iter()
        .filter_map(tx_of)
        .filter(|tx| known.insert(*tx))
        .collect();
    let strays: Vec<&TxId> = others.iter().filter(|tx| known.insert(*tx)).collect();
    let mut calls = vec![
        numbered("getSlot", AsOf::Confirmed),
        numbered("getSlot", AsOf::Finalized),
        numbered("getBlockHeight", AsOf::Finalized),
    ];
    calls.extend(recent.chunks(STATUSES_MAX).map(|txs| statuses_call(txs, false)));
    calls.extend(strays.chunks(STATUSES_MAX).map(|txs| statuses_call(txs, true)));
    let mut given = node.ask(OPERATION, &calls).await?.into_iter();
    let mut answers = Answers {
        head: node.read(OPERATION, given.next())?,
        finalized: node.read(OPERATION, given.next())?,
        finalized_height: node.read(OPERATION, given.next())?,
        ..Answers::default()
    };
    for txs in recent.chunks(STATUSES_MAX).chain(strays.chunks(STATUSES_MAX)) {
        read_statuses(node, txs, given.next(), &mut answers)?;
    }
    Ok(answers)
}

/// Looks for these transactions in the whole ledger. What is found is added to the statuses.
async fn search(node: &Node, txs: Vec<TxId>, answers: &mut Answers) -> Result<Search, RailFault> {
    let refs: Vec<&TxId> = txs.iter().collect();
    let mut calls = vec![numbered("getSlot", AsOf::Finalized), plain("getFirstAvailableBlock")];
    calls.extend(refs.chunks(STATUSES_MAX).map(|txs| statuses_call(txs, true)));
    let mut given = node.ask(OPERATION, &calls).await?.into_iter();
    let finalized: u64 = node.read(OPERATION, given.next())?;
    let first_slot: u64 = node.read(OPERATION, given.next())?;
    for txs in refs.chunks(STATUSES_MAX) {
        read_statuses(node, txs, given.next(), answers)?;
    }
    let first_height = if first_slot == 0 {
        Some(0)
    } else {
        let given = node.ask(OPERATION, &[block_call(first_slot)]).await?.pop();
        node.read::<Option<Block>>(OPERATION, given)?
            .and_then(|it| it.block_height)
    };
    Ok(Search {
        txs: txs.into_iter().collect(),
        finalized,
        first_slot,
        first_height,
    })
}

/// Adds these transactions and blocks. What the node does not give is left out.
async fn fetch(
    node: &Node,
    watched: &[Watched<'_>],
    details: &Details,
    answers: &mut Answers,
) -> Result<(), RailFault> {
    let txs = details.txs.iter().map(transaction_call);
    let calls: Vec<Call> = txs.chain(block_calls(&details.slots)).collect();
    let mut given = node.ask(OPERATION, &calls).await?.into_iter();
    for tx in &details.txs {
        let transaction = given_or_warn::<Transaction>(node, given.next());
        let carried = watched.iter().find(|it| tx_of(it) == Some(tx));
        if let Some(executed) = transaction.and_then(|it| it.executed(carried)) {
            answers.executed.insert(tx.clone(), executed);
        }
    }
    answers.blocks.extend(read_blocks(node, &details.slots, &mut given));
    Ok(())
}

fn block_calls(slots: &BTreeSet<u64>) -> impl Iterator<Item = Call> {
    slots.iter().flat_map(|&slot| [block_call(slot), block_time_call(slot)])
}

/// The blocks of these slots out of the answers to [`block_calls`]. What the node does not give is left out.
fn read_blocks(
    node: &Node,
    slots: &BTreeSet<u64>,
    given: &mut impl Iterator<Item = Answer>,
) -> HashMap<u64, ChainPoint> {
    let mut blocks = HashMap::new();
    for &slot in slots {
        let block = given_or_warn::<Block>(node, given.next());
        let time = given_or_warn::<i64>(node, given.next());
        if let (Some(block), Some(time)) = (block, time.and_then(|it| u64::try_from(it).ok())) {
            let point = ChainPoint {
                height: slot,
                hash: block.blockhash,
                time: Timestamp(time),
            };
            blocks.insert(slot, point);
        }
    }
    blocks
}

/// The blocks of these slots, as far as the node gives them.
///
/// # Errors
/// The node could not be asked.
pub(super) async fn block_points(node: &Node, slots: &BTreeSet<u64>) -> Result<HashMap<u64, ChainPoint>, RailFault> {
    let calls: Vec<Call> = block_calls(slots).collect();
    let mut given = node.ask(OPERATION, &calls).await?.into_iter();
    Ok(read_blocks(node, slots, &mut given))
}

/// A block's header (Solana JSON-RPC, `getBlock`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    blockhash: String,
    #[serde(default)]
    block_height: Option<u64>,
}

/// A transaction (Solana JSON-RPC, `getTransaction`).
#[derive(Deserialize)]
struct Transaction {
    slot: u64,
    #[serde(default)]
    meta: Option<Meta>,
}

impl Transaction {
    /// What it did, for the payment that it carried.
    fn executed(&self, carried: Option<&Watched<'_>>) -> Option<Executed> {
        let meta = self.meta.as_ref()?;
        let target = carried.and_then(|it| Target::of(it.authorization));
        let end = if meta.is_failed {
            End::Failed
        } else {
            End::Succeeded(target.map_or(Arrival::Untold, |target| target.arrival(meta)))
        };
        Some(Executed {
            slot: self.slot,
            fee: meta.fee,
            end,
        })
    }
}

/// The answer, if the node has one. A node may be late with it; if it will not say, somebody should know.
fn given_or_warn<T: serde::de::DeserializeOwned>(node: &Node, given: Option<Answer>) -> Option<T> {
    match node.read::<Option<T>>(OPERATION, given) {
        Ok(answer) => answer,
        Err(fault) => {
            tracing::warn!(error = %fault, "a part of what the chain shows is missing");
            None
        }
    }
}

fn read_statuses(node: &Node, txs: &[&TxId], given: Option<Answer>, answers: &mut Answers) -> Result<(), RailFault> {
    let statuses: InContext<Vec<Option<Status>>> = node.read(OPERATION, given)?;
    if statuses.value.len() != txs.len() {
        let cause = "the node answers for another number of transactions";
        return Err(node.rpc().fault(OPERATION, cause));
    }
    let found = txs.iter().zip(statuses.value);
    answers
        .statuses
        .extend(found.filter_map(|(tx, status)| Some(((*tx).clone(), status?))));
    Ok(())
}

fn plain(method: &'static str) -> Call {
    Call {
        method,
        params: Value::Array(Vec::new()),
    }
}

/// Asks for a number as of blocks of this firmness.
pub(super) fn numbered(method: &'static str, as_of: AsOf) -> Call {
    Call {
        method,
        params: json!([{ "commitment": as_of.as_str() }]),
    }
}

fn statuses_call(txs: &[&TxId], everywhere: bool) -> Call {
    let txs: Vec<&str> = txs.iter().map(|tx| tx.0.as_str()).collect();
    Call {
        method: "getSignatureStatuses",
        params: json!([txs, { "searchTransactionHistory": everywhere }]),
    }
}

fn transaction_call(tx: &TxId) -> Call {
    Call {
        method: "getTransaction",
        params: json!([tx.0, {
            "commitment": AsOf::Confirmed.as_str(),
            "encoding": "base64",
            "maxSupportedTransactionVersion": 0,
        }]),
    }
}

fn block_call(slot: u64) -> Call {
    Call {
        method: "getBlock",
        params: json!([slot, {
            "commitment": AsOf::Confirmed.as_str(),
            "transactionDetails": "none",
            "rewards": false,
            "maxSupportedTransactionVersion": 0,
        }]),
    }
}

/// A call of its own: not every node gives the time that it says here with the block, too.
pub(super) fn block_time_call(slot: u64) -> Call {
    Call {
        method: "getBlockTime",
        params: json!([slot]),
    }
}
