//! A chain like the EVM ones: accounts, authorizations, a mempool with replacement rules, base fees, nonces in order,
//! blocks that may be taken back. What a replica sees of it is `rail_evm.rs`.

use std::collections::{BTreeMap, BTreeSet};

use facilitator::domain::amount::Amount;
use facilitator::domain::rail::{AuthorizationState, ChainPoint, Delivery, Facts, Refusal, Simulation, TxId};
use facilitator::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dice::Dice;
use crate::invariants::Truth;

/// Blocks this far below the newest are final.
pub(crate) const FINAL_DEPTH: u64 = 12;

/// What a payer signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pay {
    pub(crate) payer: String,
    pub(crate) recipient: String,
    pub(crate) amount: u64,
    pub(crate) nonce: u64,
    pub(crate) after: u64,
    pub(crate) before: u64,
}

impl Pay {
    /// As the payer hands it over.
    pub(crate) fn proof(&self) -> String {
        serde_json::to_string(self).unwrap()
    }

    /// What this block shows of it.
    pub(crate) fn facts(&self, head: &Block) -> Facts {
        let is_spent = head.accounts.spent.contains_key(&(self.payer.clone(), self.nonce));
        let balance = head.accounts.balances.get(&self.payer).copied().unwrap_or_default();
        let is_good = !is_spent && balance >= self.amount;
        Facts {
            height: head.point.height,
            flaw: None,
            payer: None,
            signature_valid: true,
            factory_refused: None,
            asset_deployed: true,
            asset_listed: true,
            asset_misnamed: None,
            authorization: if is_spent {
                AuthorizationState::Used
            } else {
                AuthorizationState::Unused
            },
            balance: Amount::from_units(balance.into()),
            transfer: if is_good {
                Simulation::Succeeded {
                    received: Amount::from_units(self.amount.into()),
                }
            } else {
                Simulation::Failed {
                    reason: "simulated".into(),
                }
            },
            holders: Vec::new(),
            must_go_alone: false,
        }
    }
}

/// A transaction of one of our signers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SimTx {
    pub(crate) signer: String,
    pub(crate) nonce: u64,
    pub(crate) fee: u64,
    pub(crate) tip: u64,
    /// None for an empty one.
    pub(crate) calls: Vec<Pay>,
}

impl SimTx {
    pub(crate) fn raw(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap()
    }

    pub(crate) fn read(raw: &[u8]) -> Self {
        serde_json::from_slice(raw).unwrap()
    }

    pub(crate) fn id(&self) -> TxId {
        TxId(format!("0x{}", hex::encode(Sha256::digest(self.raw()))))
    }
}

/// What a transaction did with an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Use {
    Paid(Pay),
    Cancelled { payer: String, nonce: u64 },
}

/// A transaction in a block.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) tx: TxId,
    /// None for somebody else's.
    pub(crate) signer: Option<String>,
    pub(crate) calls: usize,
    pub(crate) is_success: bool,
    pub(crate) cost: u64,
    pub(crate) uses: Vec<Use>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    pub(crate) balances: BTreeMap<String, u64>,
    /// Used or cancelled.
    pub(crate) spent: BTreeMap<(String, u64), TxId>,
    pub(crate) nonces: BTreeMap<String, u64>,
}

pub(crate) struct Block {
    pub(crate) point: ChainPoint,
    pub(crate) base_fee: u64,
    pub(crate) receipts: Vec<Receipt>,
    /// After the block.
    pub(crate) accounts: Accounts,
}

pub(crate) struct Chain {
    pub(crate) blocks: Vec<Block>,
    pub(crate) pool: BTreeMap<(String, u64), SimTx>,
    /// What others do in the next block.
    pub(crate) others: Vec<Use>,
    pub(crate) base_fee: u64,
    /// The signers that cannot pay.
    pub(crate) drained: BTreeSet<String>,
    /// What carries several payments in the next block fails as a whole.
    pub(crate) fails_batches: bool,
    /// The height of the newest final block.
    pub(crate) finalized: u64,
    /// The transactions of blocks that are gone.
    pub(crate) taken_back: BTreeSet<TxId>,
    forks: u64,
}

impl Chain {
    pub(crate) fn new(time: u64, balances: BTreeMap<String, u64>) -> Self {
        let point = ChainPoint {
            height: 0,
            hash: "0x0".into(),
            time: Timestamp(time),
        };
        let accounts = Accounts {
            balances,
            ..Accounts::default()
        };
        let genesis = Block {
            point,
            base_fee: 100,
            receipts: Vec::new(),
            accounts,
        };
        Self {
            blocks: vec![genesis],
            pool: BTreeMap::new(),
            others: Vec::new(),
            base_fee: 100,
            drained: BTreeSet::new(),
            fails_batches: false,
            finalized: 0,
            taken_back: BTreeSet::new(),
            forks: 0,
        }
    }

    pub(crate) fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    /// Makes a block.
    pub(crate) fn mine(&mut self, time: u64, dice: &mut Dice, front_run: bool) {
        let mut accounts = self.head().accounts.clone();
        let height = self.head().point.height + 1;
        self.forks += 1;
        let point = ChainPoint {
            height,
            hash: format!("0x{height}f{}", self.forks),
            time: Timestamp(time.max(self.head().point.time.0 + 1)),
        };
        let mut receipts = Vec::new();
        if front_run && let Some(tx) = self.pool.values().find(|tx| !tx.calls.is_empty()) {
            self.others.push(Use::Paid(tx.calls[0].clone()));
        }
        for (number, act) in std::mem::take(&mut self.others).into_iter().enumerate() {
            let tx = TxId(format!("0xother{}-{number}", self.forks));
            receipts.push(accounts.act(tx, act, point.time.0));
        }
        let signers: Vec<String> = self.pool.keys().map(|(signer, _)| signer.clone()).collect();
        for signer in signers {
            let next = accounts.nonces.get(&signer).copied().unwrap_or_default();
            let Some(tx) = self.pool.get(&(signer.clone(), next)) else {
                continue;
            };
            if tx.fee >= self.base_fee && !dice.chance(100) && !self.drained.contains(&signer) {
                let fails = self.fails_batches && tx.calls.len() > 1;
                receipts.push(accounts.execute(tx, self.base_fee, point.time.0, fails));
            }
        }
        let nonces = &accounts.nonces;
        self.pool
            .retain(|(signer, nonce), _| *nonce >= nonces.get(signer).copied().unwrap_or_default());
        self.blocks.push(Block {
            point,
            base_fee: self.base_fee,
            receipts,
            accounts,
        });
        self.finalized = self.finalized.max(height.saturating_sub(FINAL_DEPTH));
    }

    /// Takes back so many blocks, never a final one.
    pub(crate) fn take_back(&mut self, depth: usize) {
        let kept = usize::try_from(self.finalized).unwrap() + 1;
        let gone = self.blocks.drain(self.blocks.len().saturating_sub(depth).max(kept)..);
        let receipts = gone.flat_map(|it| it.receipts);
        self.taken_back.extend(receipts.map(|it| it.tx));
    }

    /// A node's answer to these bytes.
    pub(crate) fn offer(&mut self, raw: &[u8]) -> Delivery {
        let tx = SimTx::read(raw);
        let next = self.head().accounts.nonces.get(&tx.signer).copied().unwrap_or_default();
        if tx.nonce < next {
            return Delivery::Refused(Refusal::NonceSpent, "nonce too low".into());
        }
        if self.drained.contains(&tx.signer) {
            return Delivery::Refused(Refusal::OutOfFunds, "insufficient funds for gas * price + value".into());
        }
        let place = (tx.signer.clone(), tx.nonce);
        match self.pool.get(&place) {
            Some(known) if *known == tx => return Delivery::Known,
            Some(known) if tx.fee * 10 < known.fee * 11 || tx.tip * 10 < known.tip * 11 => {
                return Delivery::Refused(Refusal::NotOutbid, "replacement transaction underpriced".into());
            }
            Some(_) | None => {}
        }
        self.pool.insert(place, tx);
        Delivery::Accepted
    }
}

/// The block of this height.
pub(crate) fn at(blocks: &[Block], height: u64) -> &Block {
    &blocks[usize::try_from(height).unwrap()]
}

impl Block {
    /// The signer's next nonce.
    pub(crate) fn nonce_of(&self, signer: &str) -> u64 {
        self.accounts.nonces.get(signer).copied().unwrap_or_default()
    }

    /// Adds what it makes true.
    pub(crate) fn tell(&self, truth: &mut Truth) {
        truth.blocks.insert(self.point.hash.clone());
        for receipt in &self.receipts {
            for done in &receipt.uses {
                if let Use::Paid(pay) = done {
                    truth.landings.push((pay.proof().into_bytes(), receipt.tx.clone()));
                }
            }
            if receipt.signer.is_some() {
                truth.costs.insert(receipt.tx.clone(), receipt.cost);
            }
        }
    }
}

impl Accounts {
    fn pay(&mut self, tx: &TxId, pay: &Pay, time: u64) -> Option<Use> {
        let key = (pay.payer.clone(), pay.nonce);
        let balance = self.balances.get(&pay.payer).copied().unwrap_or_default();
        if self.spent.contains_key(&key) || time <= pay.after || time >= pay.before || balance < pay.amount {
            return None;
        }
        self.spent.insert(key, tx.clone());
        self.balances.insert(pay.payer.clone(), balance - pay.amount);
        *self.balances.entry(pay.recipient.clone()).or_default() += pay.amount;
        Some(Use::Paid(pay.clone()))
    }

    /// Somebody else's transaction.
    fn act(&mut self, tx: TxId, act: Use, time: u64) -> Receipt {
        let done = match &act {
            Use::Paid(pay) => self.pay(&tx, pay, time),
            Use::Cancelled { payer, nonce } => {
                let key = (payer.clone(), *nonce);
                let is_new = !self.spent.contains_key(&key);
                self.spent.entry(key).or_insert_with(|| tx.clone());
                is_new.then_some(act)
            }
        };
        Receipt {
            tx,
            signer: None,
            calls: 1,
            is_success: done.is_some(),
            cost: 0,
            uses: done.into_iter().collect(),
        }
    }

    /// One of ours. Several calls may each fail alone, unless all are to; one fails with its transaction.
    fn execute(&mut self, tx: &SimTx, base_fee: u64, time: u64, fails: bool) -> Receipt {
        let id = tx.id();
        *self.nonces.entry(tx.signer.clone()).or_default() += 1;
        let calls = tx.calls.iter().filter(|_| !fails);
        let uses: Vec<Use> = calls.filter_map(|pay| self.pay(&id, pay, time)).collect();
        Receipt {
            tx: id,
            signer: Some(tx.signer.clone()),
            calls: tx.calls.len(),
            is_success: !fails && (tx.calls.len() != 1 || !uses.is_empty()),
            cost: (base_fee + tx.tip).min(tx.fee) * (21 + 50 * u64::try_from(tx.calls.len()).unwrap()),
            uses,
        }
    }
}
