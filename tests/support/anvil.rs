//! A real EVM node with the prepared chain, and everything a test does to it behind the facilitator's back.

use std::process::Command;

use alloy::primitives::{Address, Bytes, U256};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use super::contracts::{Token, admin};
use super::process::Process;
use super::rpc::Rpc;
use super::{eventually, provided};

/// When the node makes a block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mining {
    /// One for each transaction, at once.
    EachTransaction,
    /// Only when the test says so.
    OnDemand,
    /// Every second.
    EverySecond,
}

/// The node.
pub(crate) struct Anvil {
    _process: Process,
    rpc: Rpc,
}

impl Anvil {
    /// Starts a node. `epoch` is how many blocks make an epoch: the smaller, the sooner a block is final.
    pub(crate) async fn start(mining: Mining, epoch: Option<u32>) -> Self {
        Self::start_as(84_532, mining, epoch).await
    }

    /// Starts a node of another chain, with the same contracts and accounts.
    pub(crate) async fn start_as(chain_id: u64, mining: Mining, epoch: Option<u32>) -> Self {
        let mut command = Command::new(provided("FACILITATOR_ANVIL"));
        // The node picks its port itself and says which.
        command.args([
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--chain-id",
            &chain_id.to_string(),
        ]);
        command.args(["--load-state", &provided("FACILITATOR_CHAIN_STATE")]);
        match mining {
            Mining::EachTransaction => {}
            Mining::OnDemand => drop(command.arg("--no-mining")),
            Mining::EverySecond => drop(command.args(["--block-time", "1"])),
        }
        if let Some(slots) = epoch {
            command.args(["--slots-in-an-epoch", &slots.to_string()]);
        }
        let mut process = Process::spawn("anvil", &mut command);
        let line = process.says("Listening on", 1).await;
        let address = line.split("Listening on ").nth(1).unwrap().trim();
        let node = Self {
            _process: process,
            rpc: Rpc::new(format!("http://{address}")),
        };
        // The newest block is as old as the prepared state, and v1 clients sign what begins ten minutes ago.
        node.mine(1).await;
        node
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.rpc.call(method, params).await
    }

    /// An error is an answer.
    pub(crate) async fn try_call(&self, method: &str, params: Value) -> Result<Value, Value> {
        self.rpc.try_call(method, params).await
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        self.call("anvil_mine", json!([blocks])).await;
    }

    /// Makes one block with this timestamp.
    pub(crate) async fn mine_at(&self, timestamp: u64) {
        self.call("evm_setNextBlockTimestamp", json!([timestamp])).await;
        self.mine(1).await;
    }

    /// Replaces the newest blocks by as many empty ones; what they held is forgotten.
    pub(crate) async fn reorganize(&self, depth: u64) {
        self.call("anvil_reorg", json!([depth, []])).await;
    }

    pub(crate) async fn set_code(&self, address: Address, code: &Bytes) {
        self.call("anvil_setCode", json!([address, code])).await;
    }

    /// Gives the account a hundred of the chain's coin.
    pub(crate) async fn fund(&self, account: Address) {
        self.call("anvil_setBalance", json!([account, "0x56bc75e2d63100000"]))
            .await;
    }

    pub(crate) async fn block_number(&self) -> u64 {
        number(&self.call("eth_blockNumber", json!([])).await)
    }

    /// How many transactions the account has in the chain.
    pub(crate) async fn sent_by(&self, account: Address) -> u64 {
        number(&self.call("eth_getTransactionCount", json!([account, "latest"])).await)
    }

    pub(crate) async fn balance_of(&self, token: Address, owner: Address) -> u128 {
        let call = json!({"to": token, "data": Bytes::from(Token::balanceOfCall { owner }.abi_encode())});
        let balance: U256 = parse(&self.call("eth_call", json!([call, "latest"])).await);
        balance.to()
    }

    /// The receipt of a transaction that is in the chain.
    pub(crate) async fn receipt(&self, tx: &str) -> Value {
        eventually("the transaction is mined", async || {
            let receipt = self.call("eth_getTransactionReceipt", json!([tx])).await;
            (!receipt.is_null()).then_some(receipt)
        })
        .await
    }

    pub(crate) async fn transaction(&self, tx: &str) -> Value {
        self.call("eth_getTransactionByHash", json!([tx])).await
    }

    pub(crate) async fn logs(&self, token: Address, topics: Value) -> Vec<Value> {
        let filter = json!({"fromBlock": "0x0", "toBlock": "latest", "address": token, "topics": topics});
        self.call("eth_getLogs", json!([filter]))
            .await
            .as_array()
            .unwrap()
            .clone()
    }

    /// Hands a transaction of one of the node's own accounts to the chain, and gives its hash.
    pub(crate) async fn send(&self, from: Address, to: Address, call: &impl SolCall) -> String {
        let data = Bytes::from(call.abi_encode());
        // Ample, because an estimate would fail for a call that is meant to.
        let tx = json!({"from": from, "to": to, "data": data, "gas": "0xf4240"});
        self.call("eth_sendTransaction", json!([tx]))
            .await
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Sends, mines where that is up to the test, and insists that the transaction succeeded.
    pub(crate) async fn send_mined(&self, from: Address, to: Address, call: &impl SolCall) -> String {
        let tx = self.send(from, to, call).await;
        if self.call("eth_getTransactionReceipt", json!([tx])).await.is_null() {
            self.mine(1).await;
        }
        assert_eq!(self.receipt(&tx).await["status"], "0x1", "{tx}");
        tx
    }

    pub(crate) async fn administer(&self, token: Address, call: &impl SolCall) {
        self.send_mined(admin(), token, call).await;
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.rpc.url
    }

    /// How many transactions wait to be mined.
    pub(crate) async fn waiting(&self) -> u64 {
        number(&self.call("txpool_status", json!([])).await["pending"])
    }
}

/// A quantity as Ethereum's JSON-RPC writes it.
pub(crate) fn number(value: &Value) -> u64 {
    parse::<U256>(value).to()
}

/// A value that JSON-RPC writes as a string.
pub(crate) fn parse<T: std::str::FromStr>(value: &Value) -> T {
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.unwrap_or_else(|| panic!("unexpected {value}"))
}
