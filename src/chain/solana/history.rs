//! What a fee payer has ever paid for, as far as the node's ledger reaches back.

use serde::Deserialize;
use serde_json::json;

use super::node::Node;
use crate::chain::rpc::Call;
use crate::domain::rail::{RailFault, TxId};

const OPERATION: &str = "history";

/// The most signatures of one answer (Solana JSON-RPC, getSignaturesForAddress).
const PAGE: usize = 1000;

/// How many transactions are looked at in one round trip.
const TRANSACTIONS_AT_ONCE: usize = 50;

#[derive(Deserialize)]
struct Listed {
    signature: String,
}

#[derive(Deserialize)]
struct Fetched {
    transaction: Transaction,
}

#[derive(Deserialize)]
struct Transaction {
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    account_keys: Vec<String>,
}

/// The transactions that this account has paid for and that are not known, the newest first. The list that the node keeps
/// has every transaction that names the account; the payer is the first account of a message.
pub(super) async fn strangers(
    node: &Node,
    account: &str,
    is_known: &(dyn for<'t> Fn(&'t TxId) -> bool + Send + Sync),
) -> Result<Vec<TxId>, RailFault> {
    let mut unknown = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let page: Vec<Listed> = list(node, account, before.as_deref()).await?;
        let is_last = page.len() < PAGE;
        before = page.last().map(|it| it.signature.clone());
        unknown.extend(page.into_iter().map(|it| TxId(it.signature)).filter(|tx| !is_known(tx)));
        if is_last {
            break;
        }
    }
    let mut strangers = Vec::new();
    for some in unknown.chunks(TRANSACTIONS_AT_ONCE) {
        strangers.extend(paid_by(node, account, some).await?);
    }
    Ok(strangers)
}

async fn list(node: &Node, account: &str, before: Option<&str>) -> Result<Vec<Listed>, RailFault> {
    let mut options = json!({"limit": PAGE, "commitment": "confirmed"});
    if let (Some(before), Some(options)) = (before, options.as_object_mut()) {
        options.insert("before".to_owned(), json!(before));
    }
    let call = Call {
        method: "getSignaturesForAddress",
        params: json!([account, options]),
    };
    let answers = node.ask(OPERATION, &[call]).await?;
    let answer = answers.into_iter().next();
    let result = answer.ok_or_else(|| node.rpc().fault(OPERATION, "no answer"))?;
    let result = result.map_err(|error| node.rpc().refused(OPERATION, error))?;
    node.rpc().read(OPERATION, &result)
}

async fn paid_by(node: &Node, account: &str, txs: &[TxId]) -> Result<Vec<TxId>, RailFault> {
    let fetch = |tx: &TxId| Call {
        method: "getTransaction",
        params: json!([tx.0, {
            "encoding": "json",
            "commitment": "confirmed",
            "maxSupportedTransactionVersion": 0
        }]),
    };
    let answers = node.ask(OPERATION, &txs.iter().map(fetch).collect::<Vec<_>>()).await?;
    let mut paid = Vec::new();
    for (tx, answer) in txs.iter().zip(answers) {
        let result = answer.map_err(|error| node.rpc().refused(OPERATION, error))?;
        let fetched: Option<Fetched> = node.rpc().read(OPERATION, &result)?;
        let payer = fetched
            .as_ref()
            .and_then(|it| it.transaction.message.account_keys.first());
        if payer.is_some_and(|payer| payer == account) {
            paid.push(tx.clone());
        }
    }
    Ok(paid)
}
