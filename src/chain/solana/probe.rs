//! The proof, before anything is served, that a cluster is what its settings say.
//!
//! Money rules rest on these settings: another cluster, mint or number of decimals would misjudge every payment, so
//! any of them stops the process. Only batches may be missing.

use std::collections::VecDeque;

use futures_util::future::join_all;
use serde_json::json;
use serde_json::value::RawValue;
use solana_pubkey::Pubkey;

use super::blockhashes::Blockhashes;
use super::listing::{Asset, Listing};
use super::mint;
use super::node::{ACCOUNTS_MAX, Account, InContext, LatestBlockhash, Node, accounts_call, latest_blockhash_call};
use super::programs::{RECENT_BLOCKHASHES, SYSTEM};
use super::settings::TokenProgram;
use crate::chain::endpoint::Dialect;
use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};

const OPERATION: &str = "start-up proof";

/// How often the newest blockhash and the list of all are asked for, until the one is in the other: they may be of
/// different blocks on a node that is asked by several requests.
const BLOCKHASH_TRIES: usize = 4;

/// How the cluster's nodes say which cluster they are of, and how far it has come.
#[derive(Debug)]
pub(super) struct Cluster {
    /// The genesis hash that they must have, base58, or as much of its beginning as is known.
    pub(super) genesis_hash: String,
}

impl Dialect for Cluster {
    fn identity(&self) -> &'static str {
        "getGenesisHash"
    }

    fn judge(&self, identity: &RawValue) -> Result<(), String> {
        let expected = &self.genesis_hash;
        match serde_json::from_str::<String>(identity.get()) {
            Ok(found) if found.starts_with(expected) => Ok(()),
            Ok(found) => Err(format!("expected genesis hash {expected}, the node says {found}")),
            Err(_) => Err(format!("expected genesis hash {expected}, the node says none")),
        }
    }

    fn head(&self) -> &'static str {
        "getSlot"
    }

    fn height(&self, head: &RawValue) -> Option<u64> {
        serde_json::from_str(head.get()).ok()
    }
}

/// Proves the cluster, of which the genesis hash is proven already, and finds out how its nodes are best asked.
/// `fee_payers` must be able to pay. Gives the blockhashes that are good now.
///
/// # Errors
/// What was expected and what was found; without the endpoint's address.
pub(super) async fn prove(rpc: Pool, listing: &Listing, fee_payers: &[Pubkey]) -> Result<(Node, Blockhashes), String> {
    // A node that is behind says so by an error.
    let healthy: Result<String, RpcError> = rpc.call_as(OPERATION, "getHealth", &json!([])).await;
    healthy.map_err(|error| match error {
        RpcError::Fault(fault) => fault.cause,
        RpcError::Node { .. } => format!("getHealth: {error}"),
    })?;
    let batches = take_batches(&rpc).await;
    let node = Node::new(rpc, batches);
    prove_accounts(&node, listing, fee_payers).await?;
    let blockhashes = prove_blockhashes(&node).await?;
    Ok((node, blockhashes))
}

/// Whether all nodes that answer take a JSON-RPC batch.
async fn take_batches(rpc: &Pool) -> bool {
    let call = Call {
        method: "getGenesisHash",
        params: json!([]),
    };
    let calls = [call.clone(), call];
    let answers = join_all(rpc.each().iter().map(|each| each.batch(OPERATION, &calls))).await;
    let take = answers
        .iter()
        .all(|answers| answers.as_ref().is_ok_and(|them| them.iter().all(Result::is_ok)));
    if !take {
        tracing::warn!(network = %rpc.network(), "a node takes no batches: asking by many requests at once");
    }
    take
}

/// Proves the mints and our own accounts.
async fn prove_accounts(node: &Node, listing: &Listing, fee_payers: &[Pubkey]) -> Result<(), String> {
    let mints = listing.assets.iter().map(|asset| asset.mint);
    let addresses: Vec<Pubkey> = mints.chain(fee_payers.iter().copied()).collect();
    let mut accounts: VecDeque<Option<Account>> = VecDeque::new();
    for some in addresses.chunks(ACCOUNTS_MAX) {
        accounts.extend(read_accounts(node, some).await?);
    }
    for asset in &listing.assets {
        prove_asset(asset, accounts.pop_front().flatten().as_ref())
            .map_err(|what| format!("asset {}: {what}", asset.mint))?;
    }
    for fee_payer in fee_payers {
        prove_fee_payer(accounts.pop_front().flatten().as_ref())
            .map_err(|what| format!("signer {fee_payer}: {what}"))?;
    }
    Ok(())
}

async fn read_accounts(node: &Node, addresses: &[Pubkey]) -> Result<Vec<Option<Account>>, String> {
    let mut answers = node
        .ask(OPERATION, &[accounts_call(addresses)])
        .await
        .map_err(|fault| fault.cause)?;
    let accounts: Result<InContext<Vec<Option<Account>>>, _> = node.read(OPERATION, answers.pop());
    accounts
        .map(|it| it.value)
        .map_err(|fault| format!("getMultipleAccounts: {}", fault.cause))
}

fn prove_asset(asset: &Asset, account: Option<&Account>) -> Result<(), String> {
    let program = match asset.program {
        TokenProgram::Token => "token",
        TokenProgram::Token2022 => "token-2022",
    };
    let account = account.ok_or_else(|| format!("expected a mint of program {program}, found no account"))?;
    let mint = mint::read(account, asset.program)
        .map_err(|what| format!("expected a mint of program {program}, found an account that {what}"))?;
    if mint.decimals != asset.decimals {
        return Err(format!("expected {} decimals, found {}", asset.decimals, mint.decimals));
    }
    match mint.unfit {
        None => Ok(()),
        Some(unfit) => Err(format!("expected a token that arrives in full, but {unfit}")),
    }
}

fn prove_fee_payer(account: Option<&Account>) -> Result<(), String> {
    let lamports = account.map_or(0, |it| it.lamports);
    match account {
        Some(account) if lamports > 0 && account.owner == SYSTEM && account.data.is_empty() => Ok(()),
        Some(_) if lamports > 0 => Err("expected an account of the system program, found another's".to_owned()),
        Some(_) | None => Err("expected a balance to pay fees with, found 0: send it SOL".to_owned()),
    }
}

async fn prove_blockhashes(node: &Node) -> Result<Blockhashes, String> {
    let mut blockhashes = Blockhashes::default();
    let mut outcome = Ok(());
    for _ in 0..BLOCKHASH_TRIES {
        let calls = [latest_blockhash_call(), accounts_call(&[RECENT_BLOCKHASHES])];
        let answers = node.ask(OPERATION, &calls).await.map_err(|fault| fault.cause)?;
        let mut answers = answers.into_iter();
        let latest: Result<InContext<LatestBlockhash>, _> = node.read(OPERATION, answers.next());
        let list: Result<InContext<Vec<Option<Account>>>, _> = node.read(OPERATION, answers.next());
        let latest = latest.map_err(|fault| format!("getLatestBlockhash: {}", fault.cause))?;
        let list = list.map_err(|fault| format!("getMultipleAccounts: {}", fault.cause))?;
        let list = list.value.into_iter().next().flatten();
        let list = list.ok_or("expected the RecentBlockhashes sysvar, found no account")?;
        outcome = blockhashes.learn(latest.value, &list.data);
        if outcome.is_ok() {
            break;
        }
    }
    outcome?;
    Ok(blockhashes)
}
