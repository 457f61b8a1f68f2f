//! What several endpoints show of the same payments, made into one sighting. Pure, and open to the simulator.
//!
//! A landing, a proof that there will be none and a setback count when enough endpoints show the very same (of a closed
//! window, each may name another block by which it has seen it closed). That nothing is there counts only when nobody shows anything: an endpoint may lag, forget or lie, and one that does not
//! see says nothing against one that does.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::domain::id::PaymentId;
use crate::domain::rail::{ChainPoint, Mined, Observation, Sighting, TxId, Watched};
use crate::domain::settlement::{CannotLand, Landed, Setback};

/// What one endpoint shows.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The endpoint's place.
    pub place: usize,
    /// What it shows.
    pub sighting: Sighting,
}

/// What enough endpoints show.
#[derive(Debug)]
pub struct Agreed {
    /// Payments of which too few show the same have no observation in it.
    pub sighting: Sighting,
    /// The payments of which two endpoints show what cannot both be.
    pub disputes: Vec<PaymentId>,
    /// The places of the endpoints that show something of those that does not count.
    pub dissenters: BTreeSet<usize>,
}

/// What must be the same for two endpoints to show the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim<'a> {
    Landed {
        block: &'a str,
        log_index: u64,
        tx: &'a TxId,
    },
    /// By a transaction, in a block.
    CannotLand {
        kind: &'static str,
        tx: &'a TxId,
        block: &'a str,
    },
    WindowClosed,
    SetBack {
        setback: &'a Setback,
        shared: bool,
    },
    Nothing,
}

impl<'a> Claim<'a> {
    fn of(observation: &'a Observation) -> Self {
        match observation {
            Observation::Landed(Landed {
                tx, log_index, block, ..
            }) => Self::Landed {
                block: &block.hash,
                log_index: *log_index,
                tx,
            },
            Observation::CannotLand(proof) => match proof {
                CannotLand::UsedOtherwise { tx, block }
                | CannotLand::Cancelled { tx, block }
                | CannotLand::FailedOnChain { tx, block } => Self::CannotLand {
                    kind: proof.as_str(),
                    tx,
                    block: &block.hash,
                },
                CannotLand::WindowClosed { .. } => Self::WindowClosed,
            },
            Observation::SetBack { setback, shared } => Self::SetBack {
                setback,
                shared: *shared,
            },
            Observation::Unseen { .. } | Observation::Stranded => Self::Nothing,
        }
    }

    const fn is_landed(&self) -> bool {
        matches!(self, Self::Landed { .. })
    }
}

/// Whether one endpoint's word is not enough where others can be asked: it may not know, or it says that something is
/// not there, or is otherwise than before, from which something final or wrong could follow.
pub(super) fn is_doubtful(sighting: &Sighting, watched: &[Watched<'_>]) -> bool {
    watched
        .iter()
        .any(|it| match (sighting.payments.get(&it.payment), it.landed) {
            (Some(Observation::Landed(now)), Some(before)) => {
                now.block.hash != before.block.hash || now.tx != before.tx
            }
            (Some(Observation::Landed(_)), None) => false,
            (Some(Observation::Unseen { .. }), before) => it.seek || before.is_some(),
            (Some(Observation::CannotLand(_) | Observation::SetBack { .. } | Observation::Stranded) | None, _) => true,
        })
}

/// What at least `quorum` of these endpoints show alike.
#[must_use]
pub fn agreed(seen: &[Seen], quorum: usize, watched: &[Watched<'_>]) -> Agreed {
    let head = reached(seen.iter().map(|it| it.sighting.head), quorum);
    let (mut payments, mut disputes, mut dissenters) = (HashMap::new(), Vec::new(), BTreeSet::new());
    for payment in watched.iter().map(|it| it.payment) {
        let shown = Shown::of(payment, seen);
        let observation = shown.agreed(quorum);
        if shown.is_disputed() {
            disputes.push(payment);
            dissenters.extend(shown.against(observation.as_ref()));
        }
        payments.extend(observation.map(|it| (payment, it)));
    }
    Agreed {
        sighting: Sighting {
            head: head.unwrap_or_default(),
            payments,
            mined: mined(seen, quorum),
            dead: dead(seen, quorum),
        },
        disputes,
        dissenters,
    }
}

/// The most that as many as have to agree have reached; none when there are fewer.
pub(super) fn reached<T: Ord + Copy>(said: impl Iterator<Item = T>, quorum: usize) -> Option<T> {
    let mut said: Vec<T> = said.collect();
    said.sort_unstable_by_key(|it| std::cmp::Reverse(*it));
    said.get(quorum.saturating_sub(1)).copied()
}

/// What the endpoints show of one payment, each with its place. One that would not say is not among them.
struct Shown<'a>(Vec<(usize, &'a Observation)>);

impl<'a> Shown<'a> {
    fn of(payment: PaymentId, seen: &'a [Seen]) -> Self {
        let shown = seen.iter();
        Self(
            shown
                .filter_map(|it| Some((it.place, it.sighting.payments.get(&payment)?)))
                .collect(),
        )
    }

    /// What counts of it: the one thing that enough of them show. What is not a landing does not count against one.
    fn agreed(&self, quorum: usize) -> Option<Observation> {
        let mut counting: Vec<(Claim<'_>, &Observation)> = Vec::new();
        for (_, observation) in &self.0 {
            let claim = Claim::of(observation);
            let alike = self.0.iter().filter(|(_, it)| Claim::of(it) == claim).count();
            if alike >= quorum && !counting.iter().any(|(known, _)| *known == claim) {
                counting.push((claim, *observation));
            }
        }
        let is_landed_for = |(claim, _): &&(Claim<'_>, &Observation)| claim.is_landed();
        let landings: Vec<_> = counting.iter().filter(is_landed_for).collect();
        if let [(landing, _)] = landings.as_slice() {
            return self.landed(landing, quorum);
        }
        if self.0.iter().any(|(_, it)| Claim::of(it).is_landed()) {
            return None;
        }
        let is_shown = self.0.iter().any(|(_, it)| Claim::of(it) != Claim::Nothing);
        if !is_shown {
            let heads = self.0.iter().filter_map(|(_, it)| match it {
                Observation::Unseen { head } => Some(*head),
                Observation::Landed(_)
                | Observation::CannotLand(_)
                | Observation::SetBack { .. }
                | Observation::Stranded => None,
            });
            return reached(heads, quorum).map(|head| Observation::Unseen { head });
        }
        counting.retain(|(claim, _)| *claim != Claim::Nothing);
        match counting.as_slice() {
            [(Claim::WindowClosed, _)] => self.closed(quorum),
            [(_, only)] => Some((*only).clone()),
            _ => None,
        }
    }

    /// The window closed, by the newest block that enough name, or else by one that enough have come to: they look at their
    /// own newest blocks, and those may differ.
    fn closed(&self, quorum: usize) -> Option<Observation> {
        let mut named: Vec<&ChainPoint> = self.0.iter().filter_map(|(_, it)| closing_block(it)).collect();
        named.sort_unstable_by_key(|block| std::cmp::Reverse(block.height));
        let times = |block: &ChainPoint| named.iter().filter(|it| it.hash == block.hash).count();
        let by_enough = named.iter().find(|block| times(block) >= quorum);
        let block = by_enough.or_else(|| named.get(quorum.saturating_sub(1)))?;
        Some(Observation::CannotLand(CannotLand::WindowClosed {
            block: (*block).clone(),
        }))
    }

    /// The landing, as deep and as final as enough of those say who show it.
    fn landed(&self, claim: &Claim<'_>, quorum: usize) -> Option<Observation> {
        let alike: Vec<&Landed> = self
            .0
            .iter()
            .filter(|(_, it)| Claim::of(it) == *claim)
            .filter_map(|(_, it)| match it {
                Observation::Landed(landed) => Some(landed),
                Observation::CannotLand(_)
                | Observation::SetBack { .. }
                | Observation::Unseen { .. }
                | Observation::Stranded => None,
            })
            .collect();
        let enough = |is: fn(&Landed) -> bool| alike.iter().filter(|it| is(it)).count() >= quorum;
        Some(Observation::Landed(Landed {
            is_deep_enough: enough(|it| it.is_deep_enough),
            is_final: enough(|it| it.is_final),
            ..(*alike.first()?).clone()
        }))
    }

    /// Whether two of them cannot both be: one shows it landed, and another elsewhere, or not though it has the block.
    fn is_disputed(&self) -> bool {
        self.0.iter().any(|(_, one)| {
            let Observation::Landed(landed) = one else { return false };
            self.0.iter().any(|(_, other)| match other {
                Observation::Landed(_) => Claim::of(one) != Claim::of(other),
                Observation::Unseen { head } => *head >= landed.block.height,
                Observation::CannotLand(_) | Observation::SetBack { .. } => true,
                Observation::Stranded => false,
            })
        })
    }

    /// The places of those that show something else than what counts.
    fn against(&self, counts: Option<&Observation>) -> impl Iterator<Item = usize> {
        let counts = counts.map(Claim::of);
        self.0
            .iter()
            .filter(move |(_, it)| Some(Claim::of(it)) != counts)
            .map(|(place, _)| *place)
    }
}

/// By which block this says that a window has closed.
const fn closing_block(observation: &Observation) -> Option<&ChainPoint> {
    match observation {
        Observation::CannotLand(CannotLand::WindowClosed { block }) => Some(block),
        Observation::CannotLand(_)
        | Observation::Landed(_)
        | Observation::SetBack { .. }
        | Observation::Unseen { .. }
        | Observation::Stranded => None,
    }
}

/// Those that enough show in the same block. Of what they say that one cost counts as much as enough of them say, or
/// more: endpoints differ in which fees they name.
fn mined(seen: &[Seen], quorum: usize) -> Vec<Mined> {
    let mut mined: Vec<Mined> = Vec::new();
    for one in seen.iter().flat_map(|it| &it.sighting.mined) {
        let is_alike = |it: &&Mined| it.tx == one.tx && it.block.hash == one.block.hash;
        let alike = seen.iter().filter_map(|it| it.sighting.mined.iter().find(is_alike));
        let cost = reached(alike.map(|it| it.cost), quorum);
        if let Some(cost) = cost
            && !mined.iter().any(|it| it.tx == one.tx)
        {
            mined.push(Mined { cost, ..one.clone() });
        }
    }
    mined
}

/// Those that enough say will never be in a block, unless enough show them in one. Fewer do not keep a slot open for ever:
/// whether its payment has failed is not judged by this.
fn dead(seen: &[Seen], quorum: usize) -> Vec<TxId> {
    let in_blocks = counted(seen, |it| it.mined.iter().map(|mined| &mined.tx).collect());
    let dead = counted(seen, |it| it.dead.iter().collect());
    let is_enough = |count: Option<&usize>| count.is_some_and(|count| *count >= quorum);
    dead.iter()
        .filter(|(tx, count)| is_enough(Some(count)) && !is_enough(in_blocks.get(**tx)))
        .map(|(tx, _)| (*tx).clone())
        .collect()
}

/// How many endpoints name each transaction; one that names it twice counts once.
fn counted<'a>(seen: &'a [Seen], named: impl Fn(&'a Sighting) -> HashSet<&'a TxId>) -> HashMap<&'a TxId, usize> {
    let mut counts: HashMap<&TxId, usize> = HashMap::new();
    for tx in seen.iter().flat_map(|it| named(&it.sighting)) {
        let count = counts.entry(tx).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
