//! What one look at the simulated chain shows: concluded as `chain/evm/watch.rs` does.

use std::collections::{BTreeMap, BTreeSet};

use facilitator::domain::amount::Amount;
use facilitator::domain::rail::{Mined, Observation, Sighting, TxId, Watched};
use facilitator::domain::settlement::{CannotLand, Landed, Setback};

use crate::chain_evm::{Block, Pay, Receipt, Use, at};
use crate::rail_evm::pay_of;

/// One look at what a node shows.
struct Look<'a> {
    blocks: &'a [Block],
    finalized: u64,
    mined: BTreeMap<&'a TxId, (&'a Receipt, &'a Block)>,
    carried: BTreeMap<&'a TxId, usize>,
}

pub(crate) fn sighting(blocks: &[Block], finalized: u64, watched: &[Watched<'_>], others: &[TxId]) -> Sighting {
    let receipts = blocks
        .iter()
        .flat_map(|block| block.receipts.iter().map(move |it| (&it.tx, (it, block))));
    let mut look = Look {
        blocks,
        finalized,
        mined: receipts.collect(),
        carried: BTreeMap::new(),
    };
    let mut asked: BTreeSet<&TxId> = others.iter().collect();
    for it in watched {
        asked.extend(
            it.txs
                .iter()
                .filter(|tx| it.landed.is_none_or(|landed| landed.tx != **tx)),
        );
        if let Some(landed) = it.landed.filter(|landed| look.is_moved(landed)) {
            asked.insert(&landed.tx);
        }
    }
    for tx in watched.iter().flat_map(|it| it.txs) {
        if let Some((key, _)) = look.mined.get_key_value(tx) {
            *look.carried.entry(key).or_default() += 1;
        }
    }
    let mined = asked
        .into_iter()
        .filter_map(|tx| look.mined.get(tx))
        .filter(|(it, _)| it.signer.is_some());
    Sighting {
        head: blocks.last().unwrap().point.height,
        payments: watched.iter().map(|it| (it.payment, look.observation(it))).collect(),
        mined: mined
            .map(|(receipt, block)| Mined {
                tx: receipt.tx.clone(),
                block: block.point.clone(),
                cost: Amount::from_units(receipt.cost.into()),
            })
            .collect(),
        dead: Vec::new(),
    }
}

impl Look<'_> {
    fn is_moved(&self, landed: &Landed) -> bool {
        let block = self.blocks.get(usize::try_from(landed.block.height).unwrap());
        block.is_some_and(|block| block.point.hash != landed.block.hash)
    }

    fn landed(&self, tx: &TxId, log_index: u64, block: &Block) -> Observation {
        Observation::Landed(Landed {
            tx: tx.clone(),
            log_index,
            block: block.point.clone(),
            is_deep_enough: true,
            is_final: block.point.height <= self.finalized,
        })
    }

    fn observation(&self, watched: &Watched<'_>) -> Observation {
        let head = self.blocks.last().unwrap().point.height;
        let pay = pay_of(watched.authorization);
        if let Some(landed) = watched.landed.filter(|landed| !self.is_moved(landed)) {
            let Some(block) = self.blocks.get(usize::try_from(landed.block.height).unwrap()) else {
                return Observation::Unseen { head };
            };
            return self.landed(&landed.tx, landed.log_index, block);
        }
        let anothers = watched
            .landed
            .iter()
            .map(|it| &it.tx)
            .filter(|tx| !watched.txs.contains(tx));
        let mined: Vec<_> = watched
            .txs
            .iter()
            .chain(anothers)
            .filter_map(|tx| self.mined.get(tx))
            .collect();
        for (receipt, block) in &mined {
            if let Some(seen) = self.paid(&pay, receipt, block) {
                return seen;
            }
        }
        let idle: Vec<_> = mined
            .into_iter()
            .filter(|(it, _)| watched.txs.contains(&it.tx))
            .collect();
        let is_set_back = !watched.txs.is_empty() && idle.len() == watched.txs.len();
        let key = (pay.payer.clone(), pay.nonce);
        let final_block = at(self.blocks, self.finalized);
        let is_spent = final_block.accounts.spent.contains_key(&key);
        if final_block.point.time.0 >= pay.before && !is_spent {
            let block = final_block.point.clone();
            return Observation::CannotLand(CannotLand::WindowClosed { block });
        }
        let is_sought = watched.seek || is_set_back || (is_spent && final_block.point.time.0 >= pay.before);
        if is_sought && let Some(seen) = self.sought(&pay, watched.since_height) {
            return seen;
        }
        match idle.last().filter(|_| is_set_back) {
            Some((receipt, _)) => Observation::SetBack {
                setback: Setback::Reverted { tx: receipt.tx.clone() },
                shared: !receipt.is_success
                    && idle.len() == 1
                    && (receipt.calls > 1 || self.carried.get(&receipt.tx).is_some_and(|it| *it > 1)),
            },
            None => Observation::Unseen { head },
        }
    }

    fn paid(&self, pay: &Pay, receipt: &Receipt, block: &Block) -> Option<Observation> {
        let at = receipt.uses.iter().position(|it| *it == Use::Paid(pay.clone()))?;
        Some(self.landed(&receipt.tx, u64::try_from(at).unwrap(), block))
    }

    /// In anybody's transactions.
    fn sought(&self, pay: &Pay, since: u64) -> Option<Observation> {
        for block in self
            .blocks
            .iter()
            .skip(usize::try_from(since.saturating_sub(64)).unwrap())
        {
            for receipt in &block.receipts {
                if let Some(seen) = self.paid(pay, receipt, block) {
                    return Some(seen);
                }
                let cancelled = Use::Cancelled {
                    payer: pay.payer.clone(),
                    nonce: pay.nonce,
                };
                if receipt.uses.contains(&cancelled) && block.point.height <= self.finalized {
                    return Some(Observation::CannotLand(CannotLand::Cancelled {
                        tx: receipt.tx.clone(),
                        block: block.point.clone(),
                    }));
                }
            }
        }
        None
    }
}
