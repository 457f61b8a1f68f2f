//! Looks at the chain and says what it shows of the payments that are not final yet.
//!
//! Reports, never decides what to do about it. Everything it reports stands in a block that the node names by
//! number with the very hash that the evidence names, and only a finalized block proves that something can
//! never happen: a receipt that is not there proves nothing, since nodes lag, forget and disagree.

use std::collections::{HashMap, HashSet};

use alloy::primitives::B256;

use super::evidence::{Receipt, Target, Use, use_in};
use super::node::Node;
use super::search::{Seeker, search};
use crate::chain::pool::Pool;
use crate::domain::rail::{ChainPoint, Mined, Observation, RailFault, Sighting, TxId, Watched};
use crate::domain::settlement::{CannotLand, Landed, Setback};
use crate::seeded::Bug;

/// A watched payment in the chain's own types.
struct Case<'a> {
    watched: Watched<'a>,
    target: Target,
    /// Our transactions that carried it, oldest first; of those with one nonce only the mined one, once it is known.
    txs: Vec<B256>,
    /// The transaction in which it was last seen to land.
    landed_tx: Option<B256>,
}

impl<'a> Case<'a> {
    fn of(watched: &Watched<'a>) -> Option<Self> {
        let txs: Result<_, _> = watched.txs.iter().map(|tx| tx.0.parse()).collect();
        Some(Self {
            watched: *watched,
            target: Target::of(watched.authorization)?,
            txs: txs.ok()?,
            landed_tx: match watched.landed {
                Some(landed) => Some(landed.tx.0.parse().ok()?),
                None => None,
            },
        })
    }

    /// The transactions to ask for: a landing that stands is checked by its block alone.
    fn txs_to_ask(&self) -> impl Iterator<Item = B256> {
        self.txs.iter().copied().filter(|tx| Some(*tx) != self.landed_tx)
    }
}

/// What is known of one payment so far.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    Landed(Landed),
    UsedOtherwise {
        tx: TxId,
        block: ChainPoint,
    },
    Cancelled {
        tx: TxId,
        block: ChainPoint,
    },
    WindowClosed,
    SetBack {
        setback: Setback,
        shared: bool,
    },
    Nothing,
    /// It could not be asked what matters; saying anything could be wrong.
    Unknown,
}

impl Finding {
    /// Nothing that a search could still change.
    fn is_settled(&self) -> bool {
        match self {
            Self::Landed(_) | Self::UsedOtherwise { .. } | Self::Cancelled { .. } | Self::WindowClosed => true,
            Self::SetBack { .. } | Self::Nothing | Self::Unknown => false,
        }
    }
}

/// One look at the chain for all watched payments: one batch while nothing happens, a few when something did.
///
/// A payment whose texts are not this rail's, or about which the node would not say what matters, has no
/// observation in the sighting. A transaction in which a payment is known to have landed already is not asked
/// for again and so not reported as mined again. `others` are transactions of ours to report when mined.
///
/// # Errors
/// The node could not be asked, or contradicts itself; nothing is known.
pub(super) async fn observe(
    rpc: &Pool,
    watched: &[Watched<'_>],
    others: &[TxId],
    confirmations: u64,
) -> Result<Sighting, RailFault> {
    let cases: Vec<Case<'_>> = watched.iter().filter_map(Case::of).collect();
    let others: Vec<B256> = others.iter().filter_map(|tx| tx.0.parse().ok()).collect();
    let mut look = Look {
        node: first_look(rpc, &cases, &others).await?,
        carried: carried(&cases, &others),
        drained: HashSet::new(),
        confirmations,
    };
    let moved: Vec<B256> = cases
        .iter()
        .filter(|case| look.is_moved(case))
        .filter_map(|case| case.landed_tx)
        .collect();
    look.node.fetch_receipts(moved).await?;
    look.node.fetch_headers_of_receipts().await?;
    look.find_drained(&cases).await?;

    let mut findings: Vec<Finding> = cases.iter().map(|case| look.finding(case)).collect();
    let used = look.close_windows(&cases, &mut findings).await?;
    look.seek(&cases, &mut findings, &used).await?;
    Ok(look.sighting(&cases, &findings))
}

/// Head, finalized head, the blocks of known landings, and the receipts of everything else.
async fn first_look<'a>(rpc: &'a Pool, cases: &[Case<'_>], others: &[B256]) -> Result<Node<'a>, RailFault> {
    let heights = cases
        .iter()
        .filter_map(|case| Some(case.watched.landed?.block.height))
        .collect();
    let txs = cases.iter().flat_map(Case::txs_to_ask).chain(others.iter().copied());
    Node::look(rpc, heights, txs.collect()).await
}

/// Our transactions, each with how many of the watched payments it carried.
fn carried(cases: &[Case<'_>], others: &[B256]) -> HashMap<B256, usize> {
    let mut carried: HashMap<B256, usize> = others.iter().map(|tx| (*tx, 0)).collect();
    for tx in cases.iter().flat_map(|case| &case.txs) {
        let count = carried.entry(*tx).or_default();
        *count = count.saturating_add(1);
    }
    carried
}

struct Look<'a> {
    node: Node<'a>,
    carried: HashMap<B256, usize>,
    /// Batches of ours in which something ate nearly all the gas.
    drained: HashSet<B256>,
    confirmations: u64,
}

impl Look<'_> {
    /// Its landing is known, and another block is where that landing's block was.
    fn is_moved(&self, case: &Case<'_>) -> bool {
        case.watched.landed.is_some_and(|landed| {
            self.node
                .header(landed.block.height)
                .is_some_and(|header| header.hash != landed.block.hash)
        })
    }

    fn landed(&self, tx: TxId, log_index: u64, block: &ChainPoint) -> Landed {
        let depth = self.node.newest().height.saturating_sub(block.height).saturating_add(1);
        Landed {
            tx,
            log_index,
            is_deep_enough: depth >= self.confirmations,
            is_final: self.node.is_final(block),
            block: block.clone(),
        }
    }

    /// What the fetched blocks and receipts say, before any search.
    fn finding(&self, case: &Case<'_>) -> Finding {
        if let Some(landed) = case.watched.landed
            && !self.is_moved(case)
        {
            return match self.node.header(landed.block.height) {
                Some(block) => Finding::Landed(self.landed(landed.tx.clone(), landed.log_index, block)),
                // The node is behind the block.
                None if self.node.head().height < landed.block.height => Finding::Nothing,
                None => Finding::Unknown,
            };
        }
        let mut idle = Vec::new();
        let mut misused = None;
        let anothers = case.landed_tx.iter().filter(|tx| !case.txs.contains(tx));
        for (position, tx) in case.txs.iter().chain(anothers).enumerate() {
            let Some((receipt, block)) = self.node.mined(tx) else {
                continue;
            };
            match self.judge(receipt, block, &case.target) {
                Some(found @ Finding::Landed(_)) => return found,
                Some(found) => misused = Some(found),
                None if position < case.txs.len() => idle.push(receipt),
                // It used to land there, in another's transaction.
                None => {}
            }
        }
        misused
            .or_else(|| self.setback(case, &idle))
            .unwrap_or(Finding::Nothing)
    }

    /// What the transaction did with the authorization, if it did anything.
    fn judge(&self, receipt: &Receipt, block: &ChainPoint, target: &Target) -> Option<Finding> {
        match use_in(receipt, target) {
            Use::Paid { log_index } => Some(Finding::Landed(self.landed(receipt.tx(), log_index, block))),
            Use::Otherwise => Some(Finding::UsedOtherwise {
                tx: receipt.tx(),
                block: block.clone(),
            }),
            Use::None => None,
        }
    }

    /// What to make of our transactions when all were mined for nothing; `idle` are those that were, oldest
    /// first. While one is still on its way there is nothing to say; those that can be mined no more, because another
    /// with their nonce was, are not among them.
    ///
    /// `shared` gives a payment one second chance, so it is said only of the first transaction that failed it.
    fn setback(&self, case: &Case<'_>, idle: &[&Receipt]) -> Option<Finding> {
        if idle.len() < case.txs.len() {
            return None;
        }
        let receipt = *idle.last()?;
        let tx = receipt.tx();
        let hash = receipt.transaction_hash;
        let in_company = receipt.is_batch() || self.carried.get(&hash).is_some_and(|count| *count > 1);
        let (setback, innocent) = match (receipt.is_success(), in_company) {
            (false, _) => (Setback::Reverted { tx }, in_company),
            // Its call failed inside; only of a drained batch it may not have been its own fault.
            (true, true) => (Setback::Reverted { tx }, self.drained.contains(&hash)),
            (true, false) => (Setback::TransferMissing { tx }, false),
        };
        Some(Finding::SetBack {
            setback,
            shared: innocent && idle.len() == 1 && !Bug::NeighboursBlamed.is_on(),
        })
    }

    /// A callee is handed 63/64 of the gas. One payer whose account turned into code after it was verified can
    /// burn that and leave the calls behind it too little, though the batch itself succeeds.
    async fn find_drained(&mut self, cases: &[Case<'_>]) -> Result<(), RailFault> {
        let mut suspects: HashMap<B256, u64> = HashMap::new();
        for case in cases {
            for tx in &case.txs {
                if let Some((receipt, _)) = self.node.mined(tx)
                    && receipt.is_success()
                    && receipt.is_batch()
                    && use_in(receipt, &case.target) == Use::None
                {
                    suspects.insert(*tx, receipt.gas_used.to());
                }
            }
        }
        let limits = self.node.gas_limits(suspects.keys().copied().collect()).await?;
        self.drained = limits
            .into_iter()
            .filter(|(tx, limit)| {
                let spared = limit >> 3;
                suspects
                    .get(tx)
                    .is_some_and(|used| *used >= limit.saturating_sub(spared))
            })
            .map(|(tx, _)| tx)
            .collect();
        Ok(())
    }

    /// Proves, for payments whose window had closed by the finalized block, that the authorization was unused
    /// then. Returns the places of those that were used by then.
    async fn close_windows(&self, cases: &[Case<'_>], findings: &mut [Finding]) -> Result<HashSet<usize>, RailFault> {
        let overdue: Vec<(usize, &Target)> = cases
            .iter()
            .zip(findings.iter())
            .enumerate()
            .filter(|(_, (case, finding))| {
                !finding.is_settled()
                    && **finding != Finding::Unknown
                    && !case
                        .watched
                        .authorization
                        .window
                        .may_be_open(if Bug::WindowClosedAtHead.is_on() {
                            self.node.head().time
                        } else {
                            self.node.finalized().time
                        })
            })
            .map(|(at, (case, _))| (at, &case.target))
            .collect();
        let mut used = HashSet::new();
        for (at, was_used) in self.node.authorization_states(&overdue).await? {
            if was_used {
                used.insert(at);
            } else if let Some(finding) = findings.get_mut(at) {
                *finding = Finding::WindowClosed;
            }
        }
        Ok(used)
    }

    /// Looks for payments in other people's transactions, where asked to and wherever ours failed: a failure
    /// of ours is what somebody else's success looks like first.
    async fn seek(
        &mut self,
        cases: &[Case<'_>],
        findings: &mut [Finding],
        used: &HashSet<usize>,
    ) -> Result<(), RailFault> {
        let seekers: Vec<Seeker<'_>> = cases
            .iter()
            .zip(findings.iter())
            .enumerate()
            .filter(|(at, (case, finding))| {
                let is_set_back = matches!(finding, Finding::SetBack { .. });
                !finding.is_settled() && (case.watched.seek || is_set_back || used.contains(at))
            })
            .map(|(at, (case, _))| Seeker {
                at,
                target: &case.target,
                since_height: case.watched.since_height,
            })
            .collect();
        let found = search(&mut self.node, &seekers).await?;
        for at in found.unsearched {
            // Calling it a setback could hide a landing.
            if let Some(finding @ Finding::SetBack { .. }) = findings.get_mut(at) {
                *finding = Finding::Unknown;
            }
        }
        for (at, log) in found.logs {
            let (Some(case), Some(finding)) = (cases.get(at), findings.get_mut(at)) else {
                continue;
            };
            if finding.is_settled() {
                continue;
            }
            let Some(block) = self.node.canonical(&log.block_hash, log.block_number.to()) else {
                continue;
            };
            if case.target.is_canceled_by(&log) {
                if self.node.is_final(block) || Bug::CancelledBeforeFinal.is_on() {
                    *finding = Finding::Cancelled {
                        tx: TxId(log.transaction_hash.to_string()),
                        block: block.clone(),
                    };
                }
                continue;
            }
            *finding = match self.node.mined(&log.transaction_hash) {
                Some((receipt, block)) => self.judge(receipt, block, &case.target).unwrap_or(Finding::Unknown),
                // Somebody used it, and the node does not show how.
                None => Finding::Unknown,
            };
        }
        Ok(())
    }

    fn sighting(&self, cases: &[Case<'_>], findings: &[Finding]) -> Sighting {
        let payments = cases
            .iter()
            .zip(findings)
            .filter_map(|(case, finding)| Some((case.watched.payment, self.observation(finding)?)))
            .collect();
        let mined = self
            .carried
            .keys()
            .filter_map(|tx| self.node.mined(tx))
            .map(|(receipt, block)| Mined {
                tx: receipt.tx(),
                block: block.clone(),
                cost: receipt.cost(),
            })
            .collect();
        Sighting {
            head: self.node.head().height,
            payments,
            mined,
            dead: Vec::new(),
        }
    }

    fn observation(&self, finding: &Finding) -> Option<Observation> {
        Some(match finding.clone() {
            Finding::Landed(landed) => Observation::Landed(landed),
            Finding::UsedOtherwise { tx, block }
                if self.node.is_final(&block) || Bug::UsedOtherwiseBeforeFinal.is_on() =>
            {
                Observation::CannotLand(CannotLand::UsedOtherwise { tx, block })
            }
            Finding::UsedOtherwise { tx, .. } => Observation::SetBack {
                setback: Setback::TransferMissing { tx },
                shared: false,
            },
            Finding::Cancelled { tx, block } => Observation::CannotLand(CannotLand::Cancelled { tx, block }),
            Finding::WindowClosed => Observation::CannotLand(CannotLand::WindowClosed {
                block: self.node.finalized().clone(),
            }),
            Finding::SetBack { setback, shared } => Observation::SetBack { setback, shared },
            Finding::Nothing => Observation::Unseen {
                head: self.node.head().height,
            },
            Finding::Unknown => return None,
        })
    }
}
