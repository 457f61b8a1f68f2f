//! A cluster like Solana's: slots with and without a block, blockhashes that grow old, leaders that drop or sit on what
//! they are handed, and forks that are given up, confirmed blocks with them. What a replica sees of it is
//! `rail_solana.rs`.

use std::collections::{BTreeMap, BTreeSet};

use facilitator::domain::rail::{ChainPoint, Delivery, TxId};
use facilitator::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dice::Dice;
use crate::invariants::Truth;

/// Blocks this many slots below the newest are confirmed.
const CONFIRMED_SLOTS: u64 = 2;

/// Blocks this many slots below the newest are final (agave, `MAX_LOCKOUT_HISTORY` + 1).
const FINAL_SLOTS: u64 = 32;

/// A block's transactions may name the hashes of these many blocks before its parent, and the parent's (agave,
/// `MAX_PROCESSING_AGE`).
const BLOCKHASH_BLOCKS: usize = 150;

/// What a transaction costs, in lamports.
pub(crate) const FEE: u64 = 5_000;

/// How many slots a transaction stays with the leaders.
const KEPT_SLOTS: u64 = 12;

/// What a payer signed: a transaction but for the fee payer's signature, which adds nothing to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) fee_payer: String,
    pub(crate) blockhash: String,
    pub(crate) payer: String,
    pub(crate) recipient: String,
    pub(crate) amount: u64,
    pub(crate) memo: u64,
}

impl Message {
    /// As the payer hands it over.
    pub(crate) fn proof(&self) -> String {
        serde_json::to_string(self).unwrap()
    }

    pub(crate) fn raw(&self) -> Vec<u8> {
        self.proof().into_bytes()
    }

    pub(crate) fn read(raw: &[u8]) -> Self {
        serde_json::from_slice(raw).unwrap()
    }

    pub(crate) fn id(&self) -> TxId {
        TxId(hex::encode(Sha256::digest(self.raw())))
    }
}

/// A transaction in a block.
#[derive(Debug, Clone)]
pub(crate) struct Receipt {
    pub(crate) tx: TxId,
    pub(crate) message: Message,
    pub(crate) is_failed: bool,
}

pub(crate) struct Block {
    /// Its height is its slot.
    pub(crate) point: ChainPoint,
    pub(crate) receipts: Vec<Receipt>,
    /// Of the token, after the block.
    pub(crate) balances: BTreeMap<String, u64>,
}

/// A transaction that is with the leaders.
struct Waiting {
    message: Message,
    /// The slot from which on it may be in a block.
    from: u64,
    /// The slot after which it is dropped.
    until: u64,
}

pub(crate) struct Cluster {
    /// By height. Only those of the fork that stands.
    pub(crate) blocks: Vec<Block>,
    pool: BTreeMap<TxId, Waiting>,
    /// Who spends all that he has otherwise, in the next block.
    pub(crate) spenders: BTreeSet<String>,
    /// The fee payers that cannot pay.
    pub(crate) drained: BTreeSet<String>,
    slot: u64,
    /// The height of the newest final block.
    pub(crate) finalized: usize,
    /// The transactions of blocks that are gone.
    pub(crate) taken_back: BTreeSet<TxId>,
    forks: u64,
}

impl Cluster {
    pub(crate) fn new(time: u64, balances: BTreeMap<String, u64>) -> Self {
        let genesis = Block {
            point: ChainPoint {
                height: 0,
                hash: "genesis".into(),
                time: Timestamp(time),
            },
            receipts: Vec::new(),
            balances,
        };
        Self {
            blocks: vec![genesis],
            pool: BTreeMap::new(),
            spenders: BTreeSet::new(),
            drained: BTreeSet::new(),
            slot: 0,
            finalized: 0,
            taken_back: BTreeSet::new(),
            forks: 0,
        }
    }

    /// Another slot, with a block unless its leader is away.
    pub(crate) fn advance(&mut self, time: u64, dice: &mut Dice) {
        self.slot += 1;
        if dice.chance(50) {
            return;
        }
        self.forks += 1;
        let parent = self.blocks.last().unwrap();
        let mut block = Block {
            point: ChainPoint {
                height: self.slot,
                hash: format!("{}f{}", self.slot, self.forks),
                time: Timestamp(time.max(parent.point.time.0)),
            },
            receipts: Vec::new(),
            balances: parent.balances.clone(),
        };
        for payer in std::mem::take(&mut self.spenders) {
            block.balances.insert(payer, 0);
        }
        let slot = self.slot;
        self.pool.retain(|_, it| it.until >= slot);
        let recent = &self.blocks[self.blocks.len().saturating_sub(BLOCKHASH_BLOCKS + 1)..];
        for (tx, waiting) in self.pool.iter().filter(|(_, it)| it.from <= slot) {
            let is_recent = recent.iter().any(|it| it.point.hash == waiting.message.blockhash);
            let is_processed = recent.iter().any(|it| it.receipts.iter().any(|it| it.tx == *tx));
            let is_paid = !self.drained.contains(&waiting.message.fee_payer);
            if is_recent && !is_processed && is_paid && dice.chance(700) {
                block.execute(tx, &waiting.message);
            }
        }
        self.pool.retain(|tx, _| !block.receipts.iter().any(|it| it.tx == *tx));
        self.blocks.push(block);
        self.finalized = self.finalized.max(View::behind(self, 0).finalized());
    }

    /// Gives the newest so many blocks up, never a final one. Some of what was in them goes back to the leaders.
    pub(crate) fn give_up(&mut self, depth: usize, dice: &mut Dice) {
        let kept = self.blocks.len().saturating_sub(depth).max(self.finalized + 1);
        let given_up: Vec<Block> = self.blocks.drain(kept..).collect();
        for receipt in given_up.into_iter().flat_map(|it| it.receipts) {
            self.taken_back.insert(receipt.tx);
            if dice.chance(500) {
                self.wait(receipt.message, 0);
            }
        }
    }

    /// The leaders lose what they have.
    pub(crate) fn drop_all(&mut self) {
        self.pool.clear();
    }

    /// What a node says to these bytes, which it passes on so many slots later. It tries nothing.
    pub(crate) fn offer(&mut self, raw: &[u8], held: u64) -> Delivery {
        let message = Message::read(raw);
        let mut receipts = self
            .blocks
            .iter()
            .rev()
            .take(BLOCKHASH_BLOCKS)
            .flat_map(|it| &it.receipts);
        if receipts.any(|it| it.message == message) {
            return Delivery::Known;
        }
        self.wait(message, held);
        Delivery::Accepted
    }

    fn wait(&mut self, message: Message, held: u64) {
        let from = self.slot + held;
        let waiting = Waiting {
            message,
            from,
            until: from + KEPT_SLOTS,
        };
        // The bytes are the same: what a leader sits on stays with him.
        self.pool.entry(waiting.message.id()).or_insert(waiting);
    }
}

impl Block {
    /// Adds what it makes true.
    pub(crate) fn tell(&self, truth: &mut Truth) {
        truth.blocks.insert(self.point.hash.clone());
        for receipt in &self.receipts {
            if !receipt.is_failed {
                truth.landings.push((receipt.message.raw(), receipt.tx.clone()));
            }
            truth.costs.insert(receipt.tx.clone(), FEE);
        }
    }

    fn execute(&mut self, tx: &TxId, message: &Message) {
        let balance = self.balances.get(&message.payer).copied().unwrap_or_default();
        let is_failed = balance < message.amount;
        if !is_failed {
            self.balances.insert(message.payer.clone(), balance - message.amount);
            *self.balances.entry(message.recipient.clone()).or_default() += message.amount;
        }
        self.receipts.push(Receipt {
            tx: tx.clone(),
            message: message.clone(),
            is_failed,
        });
    }
}

/// What one node has: the blocks up to some height.
#[derive(Clone, Copy)]
pub(crate) struct View<'a>(pub(crate) &'a [Block]);

impl<'a> View<'a> {
    /// Of a node that is so many blocks behind.
    pub(crate) fn behind(cluster: &'a Cluster, blocks: usize) -> Self {
        let seen = cluster.blocks.len().saturating_sub(blocks).max(1);
        Self(&cluster.blocks[..seen])
    }

    pub(crate) fn newest(self) -> &'a Block {
        self.0.last().unwrap()
    }

    /// The height of the newest block that is so many slots below the newest of all.
    fn below(self, slots: u64) -> usize {
        let newest = self.newest().point.height;
        let at = self.0.iter().rposition(|it| it.point.height + slots <= newest);
        at.unwrap_or_default()
    }

    pub(crate) fn confirmed(self) -> usize {
        self.below(CONFIRMED_SLOTS)
    }

    pub(crate) fn finalized(self) -> usize {
        self.below(FINAL_SLOTS)
    }

    /// As far as it is confirmed.
    pub(crate) fn as_confirmed(self) -> Self {
        Self(&self.0[..=self.confirmed()])
    }

    /// The height of the block of this hash, if the next block may hold what names it.
    pub(crate) fn height_of(self, hash: &str) -> Option<usize> {
        let first = self.0.len().saturating_sub(BLOCKHASH_BLOCKS + 1);
        let at = self.0[first..].iter().position(|it| it.point.hash == hash)?;
        Some(first + at)
    }

    /// The transactions in blocks, each with its block's height.
    pub(crate) fn receipts(self) -> BTreeMap<&'a TxId, (usize, &'a Receipt)> {
        let blocks = self.0.iter().enumerate();
        let within = |(height, block): (usize, &'a Block)| block.receipts.iter().map(move |it| (&it.tx, (height, it)));
        blocks.flat_map(within).collect()
    }
}
