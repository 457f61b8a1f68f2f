//! A real Solana node with the prepared accounts, and everything a test does to it behind the facilitator's back.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use super::transaction::{Key, Table};
use crate::support::process::Process;
use crate::support::rpc::Rpc;
use crate::support::{eventually, provided};

/// What a token account of either program begins with: mint, owner, amount (`spl_token::state::Account`).
const AMOUNT_AT: usize = 64;
const DELEGATE_AT: usize = 72;
const DELEGATED_AT: usize = 121;

/// Where a mint of Token-2022 has its extensions, each as type, length, value: behind as many bytes as a token account
/// has, and one that says that it is a mint.
const EXTENSIONS_AT: usize = 166;

/// The node.
pub(crate) struct Surfpool {
    _process: Process,
    rpc: Rpc,
    /// Who is there, and what they have.
    pub(crate) at: Box<Placed>,
}

/// What `tests/stack/solana.mjs` says when the node is ready.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Placed {
    rpc_url: String,
    pub(crate) ws_url: String,
    pub(crate) network: String,
    pub(crate) genesis_hash: String,
    pub(crate) mints: HashMap<String, Mint>,
    /// Advertised, with 10 SOL each.
    pub(crate) fee_payers: Vec<Key>,
    pub(crate) retired_fee_payer: Key,
    /// Has a thousandth of a SOL.
    pub(crate) poor_fee_payer: Key,
    /// Each has a million of each token, and no SOL.
    pub(crate) payers: Vec<Key>,
    pub(crate) seller: Key,
    pub(crate) seller_without_accounts: Key,
    #[serde(deserialize_with = "table")]
    pub(crate) lookup_table: Table,
    pub(crate) nonce_account: NonceAccount,
}

/// A token.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mint {
    #[serde(deserialize_with = "address")]
    pub(crate) address: Pubkey,
    #[serde(deserialize_with = "program")]
    pub(crate) program: Pubkey,
    pub(crate) decimals: u8,
    #[serde(deserialize_with = "address")]
    pub(crate) seller_account: Pubkey,
}

/// A durable nonce.
#[derive(Debug, Deserialize)]
pub(crate) struct NonceAccount {
    #[serde(deserialize_with = "address")]
    pub(crate) address: Pubkey,
    #[serde(deserialize_with = "address")]
    pub(crate) authority: Pubkey,
    #[serde(deserialize_with = "address")]
    pub(crate) nonce: Pubkey,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
    Ok(String::deserialize(deserializer)?.parse().unwrap())
}

fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
    let name = String::deserialize(deserializer)?;
    Ok(match name.as_str() {
        "token" => super::programs::TOKEN,
        "token-2022" => super::programs::TOKEN_2022,
        other => panic!("no such program: {other}"),
    })
}

fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Table, D::Error> {
    #[derive(Deserialize)]
    struct Written {
        address: String,
        addresses: Vec<String>,
    }
    let written = Written::deserialize(deserializer)?;
    Ok(Table {
        address: written.address.parse().unwrap(),
        addresses: written.addresses.iter().map(|it| it.parse().unwrap()).collect(),
    })
}

/// How much the node must have made sure of what it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sureness {
    Confirmed,
    Finalized,
}

impl Sureness {
    fn config(self) -> Value {
        match self {
            Self::Confirmed => json!({"commitment": "confirmed"}),
            Self::Finalized => json!({"commitment": "finalized"}),
        }
    }
}

/// An account as the node keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    lamports: u64,
    owner: String,
    pub(crate) data: Vec<u8>,
}

impl Surfpool {
    /// Starts a node with a slot each so many milliseconds: it finalizes a slot 32 slots later, and a transaction is
    /// good for 150 blocks.
    pub(crate) async fn start(slot_ms: u64) -> Self {
        let mut command = Command::new("node");
        command
            .arg(PathBuf::from(provided("FACILITATOR_STACK")).join("solana.mjs"))
            .arg(slot_ms.to_string());
        let mut process = Process::spawn("the Solana node", &mut command);
        let line = process.says("{\"rpcUrl\"", 1).await;
        let at: Box<Placed> = serde_json::from_str(&line).unwrap();
        let node = Self {
            _process: process,
            rpc: Rpc::new(at.rpc_url.clone()),
            at,
        };
        // What names an older block than the first that the node keeps can never be proven absent from all of them.
        eventually("the node has made blocks", async || {
            let slot = node.call("getFirstAvailableBlock", json!([])).await;
            let how = json!({"transactionDetails": "none", "rewards": false, "maxSupportedTransactionVersion": 0});
            let first = node.try_call("getBlock", json!([slot, how])).await.ok()?;
            let first = first["blockHeight"].as_u64()?;
            (node.block_height(Sureness::Confirmed).await >= first).then_some(())
        })
        .await;
        node
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.rpc.url
    }

    /// An error is an answer.
    pub(crate) async fn try_call(&self, method: &str, params: Value) -> Result<Value, Value> {
        self.rpc.try_call(method, params).await
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.rpc.call(method, params).await
    }

    pub(crate) fn mint(&self, name: &str) -> Mint {
        self.at.mints[name]
    }

    /// The newest block's hash.
    pub(crate) async fn blockhash(&self) -> [u8; 32] {
        let found = self.call("getLatestBlockhash", json!([])).await;
        let text = found["value"]["blockhash"].as_str().unwrap();
        // A hash is written as an address is.
        text.parse::<Pubkey>().unwrap().to_bytes()
    }

    pub(crate) async fn block_height(&self, sureness: Sureness) -> u64 {
        let height = self.call("getBlockHeight", json!([sureness.config()])).await;
        height.as_u64().unwrap()
    }

    pub(crate) async fn slot(&self, sureness: Sureness) -> u64 {
        self.call("getSlot", json!([sureness.config()])).await.as_u64().unwrap()
    }

    /// The time of the newest block, Unix seconds.
    pub(crate) async fn time(&self) -> u64 {
        let slot = self.slot(Sureness::Confirmed).await;
        self.time_of(slot).await.expect("the newest block has a time")
    }

    /// The time of this slot's block, Unix seconds; none where there is none.
    pub(crate) async fn time_of(&self, slot: u64) -> Option<u64> {
        self.call("getBlockTime", json!([slot])).await.as_u64()
    }

    /// Goes on at this time, Unix seconds, as many slots later as fit between.
    pub(crate) async fn travel(&self, time: u64) {
        self.call("surfnet_timeTravel", json!([{"absoluteTimestamp": time * 1000}]))
            .await;
    }

    /// Waits until so many more blocks are as sure as this.
    pub(crate) async fn blocks_pass(&self, count: u64, sureness: Sureness) {
        let end = self.block_height(Sureness::Confirmed).await + count;
        eventually("blocks pass", async || {
            (self.block_height(sureness).await >= end).then_some(())
        })
        .await;
    }

    pub(crate) async fn account(&self, address: Pubkey) -> Option<Account> {
        let how = json!({"encoding": "base64", "commitment": "confirmed"});
        let found = self.call("getAccountInfo", json!([address.to_string(), how])).await;
        let value = found["value"].as_object()?;
        Some(Account {
            lamports: value["lamports"].as_u64().unwrap(),
            owner: value["owner"].as_str().unwrap().to_owned(),
            data: STANDARD.decode(value["data"][0].as_str().unwrap()).unwrap(),
        })
    }

    /// Puts an account in the place of whatever is there.
    pub(crate) async fn set_account(&self, address: Pubkey, account: &Account) {
        let value = json!({
            "lamports": account.lamports,
            "owner": account.owner,
            "data": hex::encode(&account.data),
            "executable": false,
        });
        self.call("surfnet_setAccount", json!([address.to_string(), value]))
            .await;
    }

    /// Sets what a wallet has, wherever it was left.
    pub(crate) async fn set_lamports(&self, wallet: Pubkey, lamports: u64) {
        let mut account = self.account(wallet).await.unwrap();
        account.lamports = lamports;
        self.set_account(wallet, &account).await;
    }

    pub(crate) async fn lamports(&self, address: Pubkey) -> u64 {
        self.account(address).await.map_or(0, |it| it.lamports)
    }

    /// What a token account holds; nothing where there is none.
    pub(crate) async fn tokens(&self, token_account: Pubkey) -> u64 {
        let Some(account) = self.account(token_account).await else {
            return 0;
        };
        let amount = account.data[AMOUNT_AT..AMOUNT_AT + 8].try_into().unwrap();
        u64::from_le_bytes(amount)
    }

    /// Sets what a token account holds.
    pub(crate) async fn set_tokens(&self, token_account: Pubkey, amount: u64) {
        let mut account = self.account(token_account).await.unwrap();
        account.data[AMOUNT_AT..AMOUNT_AT + 8].copy_from_slice(&amount.to_le_bytes());
        self.set_account(token_account, &account).await;
    }

    /// Lets somebody else than its owner move all of a token account.
    pub(crate) async fn delegate(&self, token_account: Pubkey, to: Pubkey) {
        let mut account = self.account(token_account).await.unwrap();
        account.data[DELEGATE_AT..DELEGATE_AT + 4].copy_from_slice(&1_u32.to_le_bytes());
        account.data[DELEGATE_AT + 4..DELEGATE_AT + 36].copy_from_slice(to.as_ref());
        account.data[DELEGATED_AT..DELEGATED_AT + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        self.set_account(token_account, &account).await;
    }

    /// Changes the value of an extension of a mint of Token-2022.
    pub(crate) async fn change_extension(&self, mint: Pubkey, kind: u16, change: impl FnOnce(&mut [u8])) {
        let mut account = self.account(mint).await.unwrap();
        let mut at = EXTENSIONS_AT;
        loop {
            let number = |at: usize| u16::from_le_bytes([account.data[at], account.data[at + 1]]);
            let (found, length) = (number(at), usize::from(number(at + 2)));
            at += 4;
            if found == kind {
                change(&mut account.data[at..at + length]);
                break;
            }
            at += length;
        }
        self.set_account(mint, &account).await;
    }

    /// The transaction as the chain has it, if it has.
    pub(crate) async fn transaction(&self, name: &str) -> Option<Value> {
        let how = json!({"commitment": "confirmed", "encoding": "json", "maxSupportedTransactionVersion": 0});
        let found = self.call("getTransaction", json!([name, how])).await;
        (!found.is_null()).then_some(found)
    }

    /// The transactions that touched the account, the newest first: name and whether it failed.
    pub(crate) async fn history(&self, address: Pubkey) -> Vec<(String, bool)> {
        let how = json!({"commitment": "confirmed"});
        let found = self
            .call("getSignaturesForAddress", json!([address.to_string(), how]))
            .await;
        let list = found.as_array().unwrap().iter();
        list.map(|it| (it["signature"].as_str().unwrap().to_owned(), !it["err"].is_null()))
            .collect()
    }
}
