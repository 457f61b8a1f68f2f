//! A local EVM node of one test's own, started on the prepared chain (`tests/stack/chain.mjs`).

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A running anvil; it ends with this value.
pub(crate) struct Anvil {
    process: Child,
    http: reqwest::Client,
    /// Its JSON-RPC endpoint.
    pub(crate) url: String,
    /// What stands where on its chain, as `chain.mjs` wrote it.
    pub(crate) at: Value,
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by ./dev where the stack is, and have no configuration"
)]
pub(crate) fn told(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./dev test"))
}

fn binary() -> String {
    let stack = told("FACILITATOR_STACK");
    let modules = Path::new(&stack).join("node_modules");
    let platform = modules.join("@foundry-rs/anvil-linux-amd64/bin/anvil");
    let found = if platform.exists() {
        platform
    } else {
        modules.join(".bin/anvil")
    };
    found.to_string_lossy().into_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Anvil {
    /// Starts a node that mines each transaction at once; `more` are further arguments.
    ///
    /// # Panics
    /// The stack is not there, or the node does not answer within 20 s.
    pub(crate) async fn start(more: &[&str]) -> Self {
        let addresses = std::fs::read_to_string(told("FACILITATOR_CHAIN_ADDRESSES")).unwrap();
        let at: Value = serde_json::from_str(&addresses).unwrap();
        let port = free_port();
        let process = Command::new(binary())
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--chain-id",
                "84532",
            ])
            .args(["--silent", "--load-state", &told("FACILITATOR_CHAIN_STATE")])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let anvil = Self {
            process,
            http: http_client(),
            url: format!("http://127.0.0.1:{port}"),
            at,
        };
        let began = Instant::now();
        while anvil.try_ask("eth_chainId", &json!([])).await.is_none() {
            assert!(began.elapsed() < Duration::from_secs(20), "anvil does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anvil
    }

    /// The address that stands under this name.
    pub(crate) fn address(&self, name: &str) -> String {
        self.at[name].as_str().unwrap().to_owned()
    }

    /// The private key of the funded account of this index.
    pub(crate) fn key(&self, index: usize) -> String {
        self.at["accounts"][index]["key"].as_str().unwrap().to_owned()
    }

    /// The address of the funded account of this index.
    pub(crate) fn account(&self, index: usize) -> String {
        self.at["accounts"][index]["address"].as_str().unwrap().to_owned()
    }

    /// Asks the node.
    ///
    /// # Panics
    /// It answers with an error.
    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        let answer = self.try_ask(method, &params).await.unwrap();
        assert!(answer["error"].is_null(), "{method} {params}: {answer}");
        answer["result"].clone()
    }

    async fn try_ask(&self, method: &str, params: &Value) -> Option<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }

    /// Sends a transaction of one of the node's own accounts, calls `to` with `data`, and expects it to succeed.
    ///
    /// # Panics
    /// It does not.
    pub(crate) async fn send(&self, from: &str, to: &str, data: &str) {
        let tx = json!([{ "from": from, "to": to, "data": data }]);
        let hash = self.ask("eth_sendTransaction", tx).await;
        let receipt = self.receipt(hash.as_str().unwrap()).await;
        assert_eq!(receipt["status"], "0x1", "{to} {data}");
    }

    /// The receipt of a mined transaction.
    ///
    /// # Panics
    /// It is not mined within 5 s.
    pub(crate) async fn receipt(&self, hash: &str) -> Value {
        for _ in 0..250 {
            let receipt = self.ask("eth_getTransactionReceipt", json!([hash])).await;
            if !receipt.is_null() {
                return receipt;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{hash} is not mined");
    }

    /// Ends the node now.
    pub(crate) fn stop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A client for plain HTTP.
pub(crate) fn http_client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap()
}
