//! What the receipts of the local EVM node add up to.

use alloy::primitives::{Address, B256, U64, keccak256};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::node::Node;

impl Node {
    pub(crate) fn height(&mut self) -> u64 {
        quantity(&self.call("eth_blockNumber", &json!([])))
    }

    /// What this sender's transactions in the blocks above the first height moved of the token, up to the second.
    pub(crate) fn tally(&mut self, sender: Address, token: Address, above: u64, up_to: u64) -> Tally {
        let transfer = keccak256("Transfer(address,address,uint256)");
        let heights: Vec<Value> = (above + 1..=up_to).map(|it| json!([format!("{it:#x}")])).collect();
        let mut tally = Tally::default();
        for block in self.batch("eth_getBlockReceipts", &heights) {
            let receipts: Vec<Receipt> = serde_json::from_value(block).unwrap();
            for receipt in receipts.iter().filter(|it| it.from == sender) {
                let moved = |log: &&Log| log.address == token && log.topics.first() == Some(&transfer);
                tally.carried.push(Carried {
                    payments: receipt.logs.iter().filter(moved).count(),
                    gas: receipt.gas_used.to(),
                });
            }
        }
        tally
    }
}

fn quantity(value: &Value) -> u64 {
    serde_json::from_value::<U64>(value.clone()).unwrap().to()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    from: Address,
    gas_used: U64,
    logs: Vec<Log>,
}

#[derive(Deserialize)]
struct Log {
    address: Address,
    topics: Vec<B256>,
}

/// A mined transaction: how many payments it carried, and the gas it used.
#[derive(Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) payments: usize,
    pub(crate) gas: u64,
}

impl Carried {
    pub(crate) fn gas_each(self) -> f64 {
        self.gas as f64 / self.payments as f64
    }
}

/// Mined transactions of one sender.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) carried: Vec<Carried>,
}

impl Tally {
    pub(crate) fn payments(&self) -> usize {
        self.carried.iter().map(|it| it.payments).sum()
    }

    pub(crate) fn gas_each(&self) -> f64 {
        let gas: u64 = self.carried.iter().map(|it| it.gas).sum();
        gas as f64 / self.payments() as f64
    }
}
