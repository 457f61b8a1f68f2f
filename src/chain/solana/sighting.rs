//! What the node's answers of one look say about the payments that are not final yet. Pure and total: the watch asks,
//! this concludes.
//!
//! On Solana nobody but us can send a payment's transaction, ours is the same bytes however often it is signed, and
//! the chain processes it once at most. So a payment has one transaction, there is nothing to search for in other
//! people's, and what became of that one is what became of the payment. An answer that contradicts another, or that a
//! node behind the others may have given, leads to no observation at all: the next look will tell.
//!
//! Open to the simulator, whose rail lets it conclude from a simulated cluster's answers.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Deserialize;

pub use super::evidence::Arrival;
use super::evidence::is_some;
use super::node::BLOCKHASH_BLOCKS;
use super::settings::Commitment;
use crate::domain::amount::Amount;
use crate::domain::rail::{ChainPoint, Mined, Observation, Sighting, TxId, Watched};
use crate::domain::settlement::{CannotLand, Landed, Setback};
use crate::seeded::Bug;

/// How firmly a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The node has it; it may still be dropped.
    Processed,
    /// Two thirds of the stake have voted on it.
    Confirmed,
    /// It can no longer be undone.
    Finalized,
}

/// That a transaction is in a block (Solana JSON-RPC, `getSignatureStatuses`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The block's slot.
    pub slot: u64,
    /// The transaction failed.
    #[serde(rename = "err", deserialize_with = "is_some")]
    pub is_failed: bool,
    /// How firmly the block stands.
    #[serde(rename = "confirmationStatus")]
    pub level: Level,
}

/// What a transaction in a block did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// The block's slot.
    pub slot: u64,
    /// What it cost, in lamports.
    pub fee: u64,
    /// How it ended.
    pub end: End,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It failed.
    Failed,
    /// It succeeded; whether its payment arrived.
    Succeeded(Arrival),
}

/// A search of the whole ledger for transactions that the node did not know at first, made after everything that
/// [`Answers`] holds besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What was searched for.
    pub txs: HashSet<TxId>,
    /// The slot of the newest finalized block by then.
    pub finalized: u64,
    /// The slot of the first block that the node still has.
    pub first_slot: u64,
    /// That block's height; 0 when the node has all there is, none when it does not say.
    pub first_height: Option<u64>,
}

impl Search {
    /// The node still has every block in which the payment would be.
    fn reaches(&self, watched: &Watched<'_>) -> bool {
        match watched.landed {
            Some(landed) => self.first_slot <= landed.block.height,
            None => self.first_height.is_some_and(|it| it <= watched.since_height),
        }
    }
}

/// Everything that the node said in one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The slot of the newest confirmed block.
    pub head: u64,
    /// The slot of the newest finalized block.
    pub finalized: u64,
    /// The height of about that block: how many there are before it.
    pub finalized_height: u64,
    /// The transactions that are in blocks.
    pub statuses: HashMap<TxId, Status>,
    /// What was looked for once more.
    pub search: Option<Search>,
    /// What some of the transactions did.
    pub executed: HashMap<TxId, Executed>,
    /// Some of the blocks, by slot.
    pub blocks: HashMap<u64, ChainPoint>,
}

/// What is still to be asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Transactions.
    pub txs: BTreeSet<TxId>,
    /// Slots of blocks.
    pub slots: BTreeSet<u64>,
}

/// The payment's transaction, if it has one.
#[must_use]
pub fn tx_of<'a>(watched: &Watched<'a>) -> Option<&'a TxId> {
    match watched.landed {
        Some(landed) => Some(&landed.tx),
        None => watched.txs.last(),
    }
}

/// It stands where the payment was last seen to land.
fn stands<'a>(watched: &Watched<'a>, status: &Status) -> Option<&'a Landed> {
    watched
        .landed
        .filter(|landed| landed.block.height == status.slot && !status.is_failed)
}

impl Answers {
    /// What must be searched for before anything is said: transactions whose absence would prove something, since the
    /// payment's blockhash is too old for any block to come, or since they were in blocks once. None when there is
    /// nothing of the kind; a payment without a transaction only needs to be known to have been closed by then.
    #[must_use]
    pub fn doubts(&self, watched: &[Watched<'_>]) -> Option<Vec<TxId>> {
        let mut doubtful = watched.iter().filter(|it| self.is_doubtful(it)).peekable();
        doubtful.peek()?;
        Some(doubtful.filter_map(tx_of).cloned().collect())
    }

    /// How many of the payments that were searched for are older than the node's blocks, so that nothing proves them absent.
    #[must_use]
    pub fn out_of_reach(&self, watched: &[Watched<'_>]) -> usize {
        let Some(search) = &self.search else { return 0 };
        let doubtful = watched.iter().filter(|it| self.is_doubtful(it) && tx_of(it).is_some());
        doubtful.filter(|it| !search.reaches(it)).count()
    }

    fn is_doubtful(&self, watched: &Watched<'_>) -> bool {
        let is_seen = tx_of(watched).is_some_and(|tx| self.statuses.contains_key(tx));
        !is_seen
            && match watched.landed {
                Some(landed) => self.finalized >= landed.block.height,
                None => self.is_too_late(watched),
            }
    }

    /// No block to come can hold it. Its own block's hash and those of the 150 blocks after it are the ones that a
    /// block's transactions may name, so that the last block for it is the 151st; it is at or before the finalized one.
    fn is_too_late(&self, watched: &Watched<'_>) -> bool {
        self.finalized_height > watched.since_height.saturating_add(BLOCKHASH_BLOCKS)
    }

    /// The transactions and blocks that the conclusions need.
    #[must_use]
    pub fn details(&self, watched: &[Watched<'_>], others: &[TxId]) -> Details {
        let mut details = Details::default();
        for it in watched {
            let Some((tx, status)) = tx_of(it).and_then(|tx| Some((tx, self.in_block(tx)?))) else {
                if self.is_closed(it) {
                    details.slots.extend(self.search.as_ref().map(|it| it.finalized));
                }
                continue;
            };
            if stands(it, status).is_none() {
                details.txs.insert(tx.clone());
                details.slots.insert(status.slot);
            } else if status.level == Level::Finalized {
                details.slots.insert(status.slot);
            }
        }
        for (tx, status) in others.iter().filter_map(|tx| Some((tx, self.in_block(tx)?))) {
            details.txs.insert(tx.clone());
            details.slots.insert(status.slot);
        }
        details
    }

    /// Its status, if its block is not likely to be dropped.
    fn in_block(&self, tx: &TxId) -> Option<&Status> {
        self.statuses.get(tx).filter(|it| it.level >= Level::Confirmed)
    }

    /// It was not in any block by the time that its window was closed.
    fn is_closed(&self, watched: &Watched<'_>) -> bool {
        let is_absent = tx_of(watched).is_none_or(|tx| self.is_absent(tx, watched));
        // The window was closed before the search began.
        watched.landed.is_none() && self.is_too_late(watched) && self.searched().is_some() && is_absent
    }

    /// The search, if no node behind the others made it.
    fn searched(&self) -> Option<&Search> {
        self.search.as_ref().filter(|it| it.finalized >= self.finalized)
    }

    /// It was searched for in vain, by a node that still has the blocks in which it would be.
    fn is_absent(&self, tx: &TxId, watched: &Watched<'_>) -> bool {
        let search = self.searched().filter(|it| it.txs.contains(tx));
        let is_searched = search.is_some_and(|it| it.reaches(watched)) || Bug::AbsenceNeedsNoSearch.is_on();
        !self.statuses.contains_key(tx) && is_searched
    }

    /// What this look shows. `others` are transactions of ours to report when they are in a block.
    #[must_use]
    pub fn sighting(&self, watched: &[Watched<'_>], commitment: Commitment) -> Sighting {
        let observed = |it: &Watched<'_>| Some((it.payment, self.observation(it, commitment)?));
        let closed = watched.iter().filter(|it| {
            let block = self.search.as_ref().and_then(|it| self.blocks.get(&it.finalized));
            block.is_some() && self.is_closed(it)
        });
        Sighting {
            head: self.head,
            payments: watched.iter().filter_map(observed).collect(),
            mined: self.executed.keys().filter_map(|tx| self.mined(tx)).collect(),
            dead: closed.filter_map(tx_of).cloned().collect(),
        }
    }

    fn mined(&self, tx: &TxId) -> Option<Mined> {
        let (executed, block) = self.executed(tx, self.in_block(tx)?)?;
        Some(Mined {
            tx: tx.clone(),
            block: block.clone(),
            cost: Amount::from_units(executed.fee.into()),
        })
    }

    /// What the transaction did and in which block, unless that contradicts its status.
    fn executed(&self, tx: &TxId, status: &Status) -> Option<(&Executed, &ChainPoint)> {
        let executed = self.executed.get(tx)?;
        let agrees = executed.slot == status.slot && (executed.end == End::Failed) == status.is_failed;
        agrees.then_some((executed, self.blocks.get(&status.slot)?))
    }

    /// What is known of one payment; none when saying anything could be wrong.
    fn observation(&self, watched: &Watched<'_>, commitment: Commitment) -> Option<Observation> {
        let unless_too_late = || {
            if self.is_too_late(watched) {
                self.closed(watched)
            } else {
                Some(Observation::Unseen { head: self.head })
            }
        };
        let Some(tx) = tx_of(watched) else {
            return unless_too_late();
        };
        match (self.statuses.get(tx), watched.landed) {
            (Some(status), _) if status.level >= Level::Confirmed => self.seen(watched, tx, status, commitment),
            (Some(_), None) => Some(Observation::Unseen { head: self.head }),
            // Once it was more than that: this node is behind.
            (Some(_), Some(_)) => None,
            (None, None) => unless_too_late(),
            (None, Some(_)) => self
                .is_absent(tx, watched)
                .then_some(Observation::Unseen { head: self.finalized }),
        }
    }

    fn closed(&self, watched: &Watched<'_>) -> Option<Observation> {
        let block = self.blocks.get(&self.search.as_ref()?.finalized)?;
        self.is_closed(watched)
            .then(|| Observation::CannotLand(CannotLand::WindowClosed { block: block.clone() }))
    }

    /// What is known of a payment whose transaction is in a block.
    fn seen(&self, watched: &Watched<'_>, tx: &TxId, status: &Status, commitment: Commitment) -> Option<Observation> {
        let is_final = status.level == Level::Finalized;
        let landed = |log_index: u64, block: &ChainPoint| {
            Observation::Landed(Landed {
                tx: tx.clone(),
                log_index,
                block: block.clone(),
                is_deep_enough: is_final || commitment == Commitment::Confirmed,
                is_final,
            })
        };
        if let Some(known) = stands(watched, status) {
            // Before anything is final, its block is looked at once more.
            let block = if is_final {
                self.blocks.get(&status.slot)?
            } else {
                &known.block
            };
            return Some(landed(known.log_index, block));
        }
        let (executed, block) = self.executed(tx, status)?;
        let (tx, block_) = (tx.clone(), block.clone());
        Some(match (executed.end, is_final) {
            (End::Succeeded(Arrival::Exact { index }), _) => landed(index, block),
            (End::Succeeded(Arrival::Untold), _) => return None,
            (End::Succeeded(Arrival::Otherwise), true) => {
                Observation::CannotLand(CannotLand::UsedOtherwise { tx, block: block_ })
            }
            (End::Failed, is_final) if is_final || Bug::FailedBeforeFinal.is_on() => {
                Observation::CannotLand(CannotLand::FailedOnChain { tx, block: block_ })
            }
            (End::Succeeded(Arrival::Otherwise), false) => set_back(Setback::TransferMissing { tx }),
            (End::Failed, _) => set_back(Setback::Reverted { tx }),
        })
    }
}

/// A transaction carries one payment, so that it shares its fate with no other.
fn set_back(setback: Setback) -> Observation {
    Observation::SetBack { setback, shared: false }
}

#[cfg(test)]
#[path = "sighting_tests.rs"]
mod tests;
