//! The local cluster: one node of `tests/stack/solana.mjs`, with accounts and tokens in place.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use solana_hash::Hash;

use crate::node::Node;
use crate::solana::payment::{Holder, Mint, Terms, VALUE, token_account};
use crate::solana::{self, USDC};
use crate::world::{Network, Running};

/// A running node.
pub(crate) struct Cluster {
    pub(crate) process: Running,
    placed: Placed,
    pub(crate) address: SocketAddr,
    node: Node,
    slot: Duration,
}

/// What the node says when it is ready.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    rpc_url: String,
    ws_url: String,
    genesis_hash: String,
    network: String,
    /// Keys of those who may pay fees.
    fee_payers: Vec<Keypair>,
    /// Holders of tokens.
    payers: Vec<Keypair>,
    seller: Keypair,
}

#[derive(Deserialize)]
struct Keypair {
    key: String,
}

impl Keypair {
    fn holder(&self) -> Holder {
        Holder::from_base58(&self.key)
    }
}

impl Cluster {
    /// A node with a slot as often as this; none where it does not run, which it then says itself.
    pub(crate) fn start(slot: Duration) -> Option<Self> {
        let stack = PathBuf::from(std::env::var("FACILITATOR_STACK").expect("run this through ./dev bench"));
        let mut process = Running(
            Command::new("node")
                .arg(stack.join("solana.mjs"))
                .arg(slot.as_millis().to_string())
                // It ends when this pipe does.
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("node starts"),
        );
        let mut line = String::new();
        let said = process.0.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        if line.is_empty() {
            return None;
        }
        let placed: Placed = serde_json::from_str(&line).expect("the node says what it was given");
        let address = placed.rpc_url.trim_start_matches("http://").parse().unwrap();
        Some(Self {
            process,
            address,
            node: Node::connect(address),
            placed,
            slot,
        })
    }

    /// As the facilitator's network.
    pub(crate) fn network(&self) -> Network {
        let Placed {
            ws_url,
            genesis_hash,
            network,
            ..
        } = &self.placed;
        // A run signs its payments ahead: where slots are short, hardly any time is left of their blockhash.
        let more = format!("ws_url = \"{ws_url}\"\ngenesis_hash = \"{genesis_hash}\"\nlifetime_min_blocks = 1");
        solana::network(network, self.address, self.slot, &self.fee_payer(), &more)
    }

    /// Pays the facilitator's fees.
    fn fee_payer(&self) -> Holder {
        self.placed.fee_payers[0].holder()
    }

    /// Pays the fees of who sends by itself, for comparison.
    pub(crate) fn direct_fee_payer(&self) -> Holder {
        self.placed.fee_payers[1].holder()
    }

    /// Makes payments to the seller.
    pub(crate) fn mint(&self) -> Mint {
        Mint::new(Terms {
            network: self.placed.network.clone(),
            mint: USDC,
            fee_payer: self.fee_payer().address,
            payers: self.placed.payers.iter().map(Keypair::holder).collect(),
            payees: vec![self.placed.seller.holder().address],
        })
    }

    /// The newest blockhash that a client would name.
    pub(crate) fn blockhash(&mut self) -> Hash {
        let mut latest = self.node.call("getLatestBlockhash", &json!([confirmed()]));
        serde_json::from_value::<String>(latest["value"]["blockhash"].take())
            .unwrap()
            .parse()
            .unwrap()
    }

    /// How many payments the seller has got, by the balance of its token account.
    pub(crate) fn arrived(&mut self) -> usize {
        let account = token_account(&self.placed.seller.holder().address, &USDC).to_string();
        let balance = self.node.call("getTokenAccountBalance", &json!([account, confirmed()]));
        let amount: u64 = balance["value"]["amount"].as_str().unwrap().parse().unwrap();
        assert_eq!(amount % VALUE, 0, "only whole payments arrive");
        usize::try_from(amount / VALUE).unwrap()
    }
}

fn confirmed() -> Value {
    json!({"commitment": "confirmed"})
}
