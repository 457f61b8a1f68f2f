//! `/settle` on a local EVM node with one signer, held against what the chain shows in the end.

use std::thread;
use std::time::{Duration, Instant};

use alloy::consensus::{SignableTransaction, TxEip1559};
use alloy::eips::eip2718::Encodable2718;
use alloy::eips::eip2930::AccessList;
use alloy::primitives::{Bytes, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use crate::evm;
use crate::evm::anvil::Anvil;
use crate::evm::payment::{Chain, Mint, transferCall};
use crate::evm::tally::{Carried, Tally};
use crate::load::{self, Load};
use crate::node::Node;
use crate::table::{Row, aim, count, median, number};
use crate::world::{Database, Facilitator, Scratch};
use crate::{Pace, progress};

const PAYERS: usize = 512;
const PAYEES: usize = 16;

/// A block of anvil's 30 million has room for nine batches of 50, fewer than 512 payments: the chain would be what
/// is measured.
const BLOCK_GAS: u64 = 60_000_000;

/// Accounts of the prepared chain: the facilitator's, the one with money for payers, and the one that sends by
/// itself for comparison.
const SIGNER: usize = 0;
const FUNDER: usize = 1;
const DIRECT: usize = 2;

/// Connections, and payments in one run of each.
const EACH_SECOND: [(usize, usize); 3] = [(1, 10), (64, 640), (512, 3_072)];
const AT_ONCE: [(usize, usize); 2] = [(1, 100), (16, 320)];
const DIRECT_PAYMENTS: usize = 100;

pub(super) struct Sample {
    load: Load,
    cpu_ms: f64,
    tally: Tally,
}

/// What was answered and what was mined, over all runs.
#[derive(Default)]
struct Books {
    good: usize,
    bad: usize,
    mined: usize,
    carried: Vec<Carried>,
}

/// All rows about `/settle`.
pub(crate) fn rows(pace: Pace, scratch: &Scratch) -> Vec<Row> {
    let chain = &Chain::load();
    let mut books = Books::default();
    let (mut rows, peak) = on_blocks_each_second(pace, scratch, chain, &mut books);
    rows.extend(on_immediate_blocks(pace, scratch, chain, &mut books));
    rows.extend(books.rows());
    rows.push(Row {
        figure: "EVM: memory at most, /settle over 512 connections".to_owned(),
        more: format!("{} MB", number(peak)),
        ..Row::default()
    });
    rows
}

fn on_blocks_each_second(pace: Pace, scratch: &Scratch, chain: &Chain, books: &mut Books) -> (Vec<Row>, f64) {
    let mut samples: Vec<Vec<Sample>> = EACH_SECOND.iter().map(|_| Vec::new()).collect();
    let mut peaks = Vec::new();
    for run in 1..=pace.runs {
        let mut scene = Scene::start(scratch, chain, Duration::from_secs(1));
        scene.node.call("evm_setIntervalMining", &json!([1]));
        for (at, (connections, payments)) in EACH_SECOND.into_iter().enumerate() {
            let requests = scene.requests(pace.share_of(payments));
            scene.wait_for_block();
            samples[at].push(scene.sample(run, connections, requests));
        }
        books.mined += scene.landed();
        peaks.push(scene.facilitator.process.usage().resident_max as f64 / 1e6);
    }
    let mut rows = Vec::new();
    for ((connections, _), samples) in EACH_SECOND.into_iter().zip(&samples) {
        let mut row = row("EVM: /settle, blocks each second", connections, samples);
        let rate = row.rate.unwrap_or(0.0);
        let is_clean = samples.iter().all(|it| it.load.bad == 0);
        row.aim = match connections {
            64 => aim("at least 60/s without a failure", rate >= 60.0 && is_clean),
            512 => aim("at least 300/s without a failure", rate >= 300.0 && is_clean),
            _ => String::new(),
        };
        rows.push(row);
    }
    books.take(samples.into_iter().flatten());
    (rows, median(peaks))
}

fn on_immediate_blocks(pace: Pace, scratch: &Scratch, chain: &Chain, books: &mut Books) -> Vec<Row> {
    let mut samples: Vec<Vec<Sample>> = AT_ONCE.iter().map(|_| Vec::new()).collect();
    let mut direct = Vec::new();
    for run in 1..=pace.runs {
        let mut scene = Scene::start(scratch, chain, Duration::from_millis(250));
        let p50 = scene.send_directly(pace.share_of(DIRECT_PAYMENTS));
        progress(&format!("EVM send to receipt, run {run}: p50 {} ms", number(p50)));
        direct.push(p50);
        for (at, (connections, payments)) in AT_ONCE.into_iter().enumerate() {
            let requests = scene.requests(pace.share_of(payments));
            samples[at].push(scene.sample(run, connections, requests));
        }
        books.mined += scene.landed();
    }
    let added = median(
        samples[0]
            .iter()
            .zip(&direct)
            .map(|(settle, direct)| settle.load.p50_ms - direct),
    );
    let mut rows = vec![Row {
        figure: "EVM: eth_sendRawTransaction to receipt, immediate blocks".to_owned(),
        connections: Some(1),
        p50_ms: Some(median(direct)),
        ..Row::default()
    }];
    for ((connections, _), samples) in AT_ONCE.into_iter().zip(&samples) {
        let mut row = row("EVM: /settle, immediate blocks", connections, samples);
        if connections == 1 {
            row.more = format!("{} ms added to send and receipt; {}", number(added), row.more);
            row.aim = aim("at most 8 ms added", added <= 8.0);
        }
        rows.push(row);
    }
    books.take(samples.into_iter().flatten());
    rows
}

/// A facilitator on a node of its own, and payments for it.
pub(super) struct Scene<'a> {
    chain: &'a Chain,
    _anvil: Anvil,
    node: Node,
    pub(super) facilitator: Facilitator,
    _database: Database,
    mint: Mint<'a>,
    began_at: u64,
}

impl<'a> Scene<'a> {
    /// Everything anew for each run: after a thousand blocks the node takes three times as long for one.
    pub(super) fn start(scratch: &Scratch, chain: &'a Chain, block_time: Duration) -> Self {
        let anvil = Anvil::start(scratch, chain);
        let mut node = Node::connect(anvil.address);
        // As an option it would be overruled by the prepared state.
        node.call("evm_setBlockGasLimit", &json!([format!("{BLOCK_GAS:#x}")]));
        let mint = Mint::new(chain, PAYERS, PAYEES);
        fund(&mut node, chain, &mint);
        let database = Database::create("settle");
        let facilitator = Facilitator::start(scratch, &[evm::network(chain, anvil.address, block_time)], &database);
        Self {
            chain,
            began_at: node.height(),
            _anvil: anvil,
            node,
            facilitator,
            _database: database,
            mint,
        }
    }

    /// Returns when a block has just been made, so that each run meets as many of them.
    fn wait_for_block(&mut self) {
        let height = self.node.height();
        while self.node.height() == height {
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) fn requests(&mut self, payments: usize) -> Vec<Vec<u8>> {
        self.mint.requests("/settle", payments)
    }

    pub(super) fn sample(&mut self, run: usize, connections: usize, requests: Vec<Vec<u8>>) -> Sample {
        let above = self.node.height();
        let words = format!("EVM settle, run {run}, {connections} connections");
        let (load, cpu_ms) = load::settle(&self.facilitator, &words, connections, Duration::ZERO, requests);
        Sample {
            cpu_ms,
            load,
            tally: self.tally(above),
        }
    }

    fn tally(&mut self, above: u64) -> Tally {
        let up_to = self.node.height();
        let signer = self.chain.accounts[SIGNER].address;
        self.node.tally(signer, self.chain.usdc, above, up_to)
    }

    /// Payments on the chain since the start, given time for those that nobody waited for.
    fn landed(&mut self) -> usize {
        thread::sleep(Duration::from_millis(2_500));
        self.tally(self.began_at).payments()
    }

    /// The same kind of payment without a facilitator: p50, in milliseconds, from sending to the receipt.
    fn send_directly(&mut self, count: usize) -> f64 {
        let account = &self.chain.accounts[DIRECT];
        let signer: PrivateKeySigner = account.key.parse().unwrap();
        let nonce = self
            .node
            .call("eth_getTransactionCount", &json!([account.address, "latest"]));
        let nonce = u64::from_str_radix(nonce.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        let raws: Vec<Value> = (nonce..)
            .zip(0..count)
            .map(|(nonce, _)| json!([self.signed(&signer, nonce)]))
            .collect();
        median(raws.iter().map(|raw| {
            let began = Instant::now();
            let hash = self.node.call("eth_sendRawTransaction", raw);
            while self.node.call("eth_getTransactionReceipt", &json!([hash])).is_null() {}
            began.elapsed().as_secs_f64() * 1e3
        }))
    }

    fn signed(&mut self, signer: &PrivateKeySigner, nonce: u64) -> Bytes {
        let tx = TxEip1559 {
            chain_id: self.chain.chain_id,
            nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1_000_000,
            to: TxKind::Call(self.chain.usdc),
            value: U256::ZERO,
            access_list: AccessList::default(),
            input: self.mint.sign().call().into(),
        };
        let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        tx.into_signed(signature).encoded_2718().into()
    }
}

/// Gives each payer money and each payee a first coin, as if they had dealt before.
fn fund(node: &mut Node, chain: &Chain, mint: &Mint<'_>) {
    const STAKE: u64 = 1_000_000;
    node.call("evm_setAutomine", &json!([false]));
    let stakes = mint.payers().iter().map(|it| (it.address, STAKE));
    let first_coins = mint.payees().iter().map(|it| (*it, 1));
    let sends: Vec<Value> = stakes
        .chain(first_coins)
        .map(|(to, value)| {
            let data = transferCall {
                to,
                value: U256::from(value),
            };
            let data = Bytes::from(data.abi_encode());
            json!([{"from": chain.accounts[FUNDER].address, "to": chain.usdc, "gas": "0x186a0", "data": data}])
        })
        .collect();
    let hashes = node.batch("eth_sendTransaction", &sends);
    let receipts: Vec<Value> = hashes.iter().map(|it| json!([it])).collect();
    for _ in 0..10 {
        node.call("anvil_mine", &json!(["0x1"]));
        let mined = node.batch("eth_getTransactionReceipt", &receipts);
        if mined.iter().all(|it| it["status"] == "0x1") {
            node.call("evm_setAutomine", &json!([true]));
            return;
        }
    }
    panic!("the payers could not be funded");
}

fn row(figure: &str, connections: usize, samples: &[Sample]) -> Row {
    let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
    let all = |value: fn(&Sample) -> usize| samples.iter().map(value).sum();
    let bad: usize = all(|it| it.load.bad);
    let more = format!(
        "{} gas per payment, {} payments in {} transactions, {}",
        number(of(|it| it.tally.gas_each())),
        count(all(|it| it.tally.payments())),
        count(all(|it| it.tally.carried.len())),
        if bad == 0 {
            "no failure".to_owned()
        } else {
            format!("**{bad} failures**")
        },
    );
    Row {
        figure: figure.to_owned(),
        connections: Some(connections),
        rate: Some(of(|it| it.load.rate)),
        p50_ms: Some(of(|it| it.load.p50_ms)),
        p99_ms: Some(of(|it| it.load.p99_ms)),
        cpu_ms: Some(of(|it| it.cpu_ms)),
        more,
        ..Row::default()
    }
}

impl Books {
    fn take(&mut self, samples: impl Iterator<Item = Sample>) {
        for sample in samples {
            self.good += sample.load.good;
            self.bad += sample.load.bad;
            self.carried.extend(sample.tally.carried);
        }
    }

    fn rows(&self) -> [Row; 2] {
        let gas_each = |wanted: fn(usize) -> bool| {
            let found = self.carried.iter().filter(|it| wanted(it.payments));
            median(found.map(|it| it.gas_each()))
        };
        let (single, batched) = (gas_each(|it| it == 1), gas_each(|it| it == 50));
        let ratio = batched / single;
        [
            Row {
                figure: "EVM: gas per payment in a batch of 50".to_owned(),
                more: format!("{} alone, {} in a batch", number(single), number(batched)),
                aim: aim(&format!("at most 0.65 of one alone ({})", number(ratio)), ratio <= 0.65),
                ..Row::default()
            },
            Row {
                figure: "EVM: books against the chain".to_owned(),
                more: format!(
                    "{} answered as settled, {} transfers mined",
                    count(self.good),
                    count(self.mined)
                ),
                aim: aim(
                    "every answer a success, every success mined",
                    self.bad == 0 && self.good == self.mined,
                ),
                ..Row::default()
            },
        ]
    }
}
