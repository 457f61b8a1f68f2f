//! The proof, before anything is served, that a cluster is what its settings say.
//!
//! Money rules rest on these settings: another cluster, mint or number of decimals would misjudge every payment, so
//! any of them stops the process. Only batches may be missing.

use std::collections::VecDeque;

use serde_json::json;
use solana_pubkey::Pubkey;

use super::blockhashes::Blockhashes;
use super::listing::{Asset, Listing};
use super::mint;
use super::node::{ACCOUNTS_MAX, Account, InContext, LatestBlockhash, Node, accounts_call, latest_blockhash_call};
use super::programs::{RECENT_BLOCKHASHES, SYSTEM};
use super::settings::TokenProgram;
use crate::chain::rpc::{Call, Rpc, RpcError};

const OPERATION: &str = "start-up proof";

/// How often the newest blockhash and the list of all are asked for, until the one is in the other: they may be of
/// different blocks on a node that is asked by several requests.
const BLOCKHASH_TRIES: usize = 4;

/// What is expected beyond the listing.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// The genesis hash, base58, or as much of its beginning as is known.
    pub(super) genesis_hash: &'a str,
    /// The fee payers that must be able to pay.
    pub(super) fee_payers: &'a [Pubkey],
}

/// Proves the cluster and finds out how its node is best asked. Gives the blockhashes that are good now.
///
/// # Errors
/// What was expected and what was found; without the endpoint's address.
pub(super) async fn prove(rpc: Rpc, listing: &Listing, expected: &Expected<'_>) -> Result<(Node, Blockhashes), String> {
    let genesis_hash: String = ask(&rpc, "getGenesisHash").await?;
    if !genesis_hash.starts_with(expected.genesis_hash) {
        return Err(format!(
            "expected genesis hash {}, the node says {genesis_hash}",
            expected.genesis_hash
        ));
    }
    // A node that is behind says so by an error.
    let _: String = ask(&rpc, "getHealth").await?;
    let batches = takes_batches(&rpc).await;
    let node = Node::new(rpc, batches);
    prove_accounts(&node, listing, expected.fee_payers).await?;
    let blockhashes = prove_blockhashes(&node).await?;
    Ok((node, blockhashes))
}

async fn ask(rpc: &Rpc, method: &'static str) -> Result<String, String> {
    let answer = rpc.call_as(OPERATION, method, &json!([])).await;
    answer.map_err(|error| match error {
        RpcError::Fault(fault) => fault.cause,
        RpcError::Node { .. } => format!("{method}: {error}"),
    })
}

/// Whether the node, which has just answered, takes a JSON-RPC batch.
async fn takes_batches(rpc: &Rpc) -> bool {
    let call = Call {
        method: "getGenesisHash",
        params: json!([]),
    };
    let answers = rpc.batch(OPERATION, &[call.clone(), call]).await;
    let takes = answers.is_ok_and(|answers| answers.iter().all(Result::is_ok));
    if !takes {
        tracing::warn!(network = %rpc.network(), "the node takes no batches: asking by many requests at once");
    }
    takes
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
