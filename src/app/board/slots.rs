//! Our transactions by the slot they are for: which nonces are spent, what is still out, and since when.
//!
//! A slot may have several transactions that replace one another. One of them at most is ever mined; which of them it
//! will be nobody knows, so all are watched, and only the newest is handed to the chain.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::rail::{LaneId, Outbid, Replacement, SignedTx, TxId};
use crate::seeded::Bug;
use crate::store::{Carrier, FOREIGN};

/// How many blocks must have gone by without a transaction before it is replaced: one may be full, one may be made by
/// somebody who has not heard of it.
const OUTBID_AFTER_BLOCKS: u64 = 3;

/// One nonce of a lane.
pub type Place = (LaneId, u64);

/// Slots, and whether they are spent.
pub type Known = HashMap<Place, bool>;

#[derive(Default)]
pub(super) struct Slots {
    by_place: BTreeMap<Place, Slot>,
    places: HashMap<TxId, Place>,
    /// How many of a lane's slots are not spent.
    unspent: HashMap<LaneId, usize>,
}

pub(super) struct Slot {
    /// Oldest first; never empty.
    txs: Vec<Flight>,
    /// The transaction that spent it.
    spent_by: Option<TxId>,
    /// Since when the newest bytes are out.
    out: Option<Out>,
    is_acknowledged: bool,
    handed_over: Option<Instant>,
    /// It was said that it cannot be outbid.
    is_told: bool,
}

struct Flight {
    tx: TxId,
    raw: Arc<[u8]>,
    is_empty: bool,
}

/// When bytes were first handed to the chain.
#[derive(Clone, Copy)]
struct Out {
    at: Instant,
    /// The newest block at the first look after that.
    head: Option<u64>,
}

/// A slot that is not spent, as far as it matters for replacing its transaction.
pub struct Waiting {
    /// The lane.
    pub lane: LaneId,
    /// The nonce.
    pub nonce: u64,
    /// The newest transaction.
    pub tx: TxId,
    /// Its bytes.
    pub raw: Arc<[u8]>,
    /// It carries nothing already.
    pub is_empty: bool,
    /// It has been out for long enough while blocks went by.
    pub is_overdue: bool,
}

/// A slot whose transaction may have to be replaced.
pub struct Stuck {
    /// The slot.
    pub slot: Waiting,
    /// What the replacement is to do.
    pub cargo: Outbid,
    /// Replace it in any case; otherwise only if no block can hold it at today's price.
    pub is_certain: bool,
}

/// What is to be replaced of what `waits`, each lane's slots in the order of their nonces. `carrying` are the slots by
/// which payments are in flight, `landed` those of payments that stand in a block, somebody else's where the slot is not
/// spent.
pub(super) fn sift(waits: Vec<Waiting>, carrying: &HashSet<Place>, landed: &HashSet<Place>) -> Vec<Stuck> {
    let mut stuck = Vec::new();
    let mut lowest: Option<(LaneId, bool)> = None;
    for slot in waits {
        let is_lowest = lowest.as_ref().is_none_or(|(lane, _)| *lane != slot.lane);
        if is_lowest {
            lowest = Some((slot.lane.clone(), slot.is_overdue));
        }
        let is_held_up = lowest.as_ref().is_some_and(|(_, is_overdue)| *is_overdue);
        let place = (slot.lane.clone(), slot.nonce);
        let is_useful = carrying.contains(&place);
        // Whose payments have landed elsewhere is in nobody's way yet, and is wanted again if that is undone.
        let is_useless = !is_useful && !landed.contains(&place) && !slot.is_empty;
        if is_useless || is_held_up {
            stuck.push(Stuck {
                is_certain: is_useless || is_lowest,
                cargo: if is_useful || slot.is_empty {
                    Outbid::Same
                } else {
                    Outbid::Nothing
                },
                slot,
            });
        }
    }
    stuck
}

/// Bytes to hand to the chain again.
pub struct Due {
    /// The lane.
    pub lane: LaneId,
    /// The transaction.
    pub tx: TxId,
    /// Its bytes.
    pub raw: Arc<[u8]>,
}

/// Whether a transaction has waited long enough to be replaced. A chain that makes no blocks takes nobody's, however
/// much it pays.
const fn is_overdue(waited: Duration, patience: Duration, blocks: u64) -> bool {
    waited.as_millis() >= patience.as_millis() && blocks >= OUTBID_AFTER_BLOCKS
}

impl Slot {
    fn new(flight: Flight) -> Self {
        Self {
            txs: vec![flight],
            spent_by: None,
            out: None,
            is_acknowledged: false,
            handed_over: None,
            is_told: false,
        }
    }

    fn handed_over(&mut self, now: Instant) {
        self.handed_over = Some(now);
        self.is_acknowledged = false;
        self.out.get_or_insert(Out { at: now, head: None });
    }

    /// Another transaction is the newest now.
    fn push(&mut self, flight: Flight) {
        self.txs.push(flight);
        self.out = None;
        self.handed_over = None;
        self.is_acknowledged = false;
    }

    fn is_overdue(&self, now: Instant, head: u64, patience: Duration) -> bool {
        self.out.is_some_and(|out| {
            let blocks = out.head.map_or(0, |then| head.saturating_sub(then));
            is_overdue(now.duration_since(out.at), patience, blocks)
        })
    }
}

impl Slots {
    /// How many of the lane's slots are not spent.
    pub(super) fn in_flight(&self, lane: &LaneId) -> usize {
        self.unspent.get(lane).copied().unwrap_or_default()
    }

    /// Whether no slot is known at all.
    pub(super) fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// A slot was taken, and its bytes are on record and about to leave.
    pub(super) fn take_off(&mut self, lane: &LaneId, nonce: u64, tx: &SignedTx, now: Instant) {
        let flight = Flight {
            tx: tx.id.clone(),
            raw: tx.raw.clone().into(),
            is_empty: false,
        };
        self.add((lane.clone(), nonce), flight);
        if let Some(slot) = self.by_place.get_mut(&(lane.clone(), nonce)) {
            slot.handed_over(now);
        }
    }

    /// A replacement is on record and about to leave.
    pub(super) fn replace(&mut self, lane: &LaneId, nonce: u64, with: &Replacement, is_empty: bool, now: Instant) {
        let flight = Flight {
            tx: with.id.clone(),
            raw: with.raw.clone().into(),
            is_empty,
        };
        self.add((lane.clone(), nonce), flight);
        if let Some(slot) = self.by_place.get_mut(&(lane.clone(), nonce)) {
            slot.handed_over(now);
        }
    }

    fn add(&mut self, place: Place, flight: Flight) {
        if self.places.contains_key(&flight.tx) {
            return;
        }
        self.places.insert(flight.tx.clone(), place.clone());
        if let Some(slot) = self.by_place.get_mut(&place) {
            slot.push(flight);
        } else {
            let count = self.unspent.entry(place.0.clone()).or_default();
            *count = count.saturating_add(1);
            self.by_place.insert(place, Slot::new(flight));
        }
    }

    /// The slots that are known here.
    pub(super) fn known(&self) -> Known {
        let known = self.by_place.iter();
        known
            .map(|(place, slot)| (place.clone(), slot.spent_by.is_some()))
            .collect()
    }

    /// Takes over what is on record: transactions that were not known here, and which slots are spent. What was `known`
    /// here before the record was read is older: a slot that was spent then is not any more if the record says so, and
    /// one that was not, and that the record does not name, is somebody else's business by now.
    pub(super) fn take_over(&mut self, carriers: Vec<Carrier>, known: &Known) {
        let mut named = HashSet::new();
        for carrier in carriers {
            let place = (carrier.lane, carrier.nonce);
            let flight = Flight {
                tx: carrier.tx,
                raw: carrier.raw.into(),
                is_empty: carrier.is_empty,
            };
            self.add(place.clone(), flight);
            if carrier.spent_by.is_some() || known.get(&place) == Some(&true) {
                self.set_spent(&place, carrier.spent_by);
            }
            named.insert(place);
        }
        for (place, is_spent) in known {
            if !is_spent && !named.contains(place) {
                self.forget(place);
            }
        }
    }

    fn forget(&mut self, place: &Place) {
        let is_spent = self.by_place.get(place).is_none_or(|slot| slot.spent_by.is_some());
        if !is_spent {
            self.count(&place.0, false);
        }
        for flight in self.by_place.remove(place).into_iter().flat_map(|slot| slot.txs) {
            self.places.remove(&flight.tx);
        }
    }

    fn count(&mut self, lane: &LaneId, is_one_more: bool) {
        let count = self.unspent.entry(lane.clone()).or_default();
        *count = if is_one_more {
            count.saturating_add(1)
        } else {
            count.saturating_sub(1)
        };
    }

    fn set_spent(&mut self, place: &Place, by: Option<TxId>) {
        let Some(slot) = self.by_place.get_mut(place) else {
            return;
        };
        let (was, is) = (slot.spent_by.is_some(), by.is_some());
        slot.spent_by = by;
        if was && !is {
            // Nodes forget what a reorganization takes out.
            (slot.handed_over, slot.out, slot.is_acknowledged) = (None, None, false);
        }
        if was != is {
            self.count(&place.0, was);
        }
    }

    /// The transaction's slot is spent by it, or was and is not any more.
    pub(super) fn set_mined(&mut self, tx: &TxId, is_mined: bool) {
        let Some(place) = self.places.get(tx).cloned() else {
            return;
        };
        let by_it = self.is_mined(tx) == Some(true);
        if is_mined {
            self.set_spent(&place, Some(tx.clone()));
        } else if by_it {
            self.set_spent(&place, None);
        }
    }

    /// The lane's nonces that are not spent as far as is known here.
    pub(super) fn unspent_of(&self, lane: &LaneId) -> impl Iterator<Item = u64> {
        let of_lane = self.by_place.range((lane.clone(), 0)..=(lane.clone(), u64::MAX));
        let unspent = of_lane.filter(|(_, slot)| slot.spent_by.is_none());
        unspent.map(|((_, nonce), _)| *nonce)
    }

    /// Somebody else has spent the slot.
    pub(super) fn usurp(&mut self, place: &Place) {
        self.set_spent(place, Some(TxId(FOREIGN.to_owned())));
    }

    /// Whether the transaction is known to have spent its slot; none when it is not known at all.
    pub(super) fn is_mined(&self, tx: &TxId) -> Option<bool> {
        let slot = self.by_place.get(self.places.get(tx)?)?;
        Some(slot.spent_by.as_ref() == Some(tx))
    }

    /// Of a payment's transactions those that may be mined or were: none of a slot that another transaction spent.
    pub(super) fn alive(&self, txs: &[TxId]) -> Vec<TxId> {
        let spent_by = |tx: &TxId| self.by_place.get(self.places.get(tx)?)?.spent_by.as_ref();
        let newest = |tx: &TxId| !Bug::ReplacedForgotten.is_on() || txs.last() == Some(tx);
        let alive = txs
            .iter()
            .filter(|tx| spent_by(tx).is_none_or(|by| by == *tx) && newest(tx));
        alive.cloned().collect()
    }

    /// All transactions of slots that are not spent.
    pub(super) fn unmined(&self) -> Vec<TxId> {
        let unspent = self.by_place.values().filter(|slot| slot.spent_by.is_none());
        unspent.flat_map(|slot| &slot.txs).map(|it| it.tx.clone()).collect()
    }

    /// A node said that it has the transaction.
    pub(super) fn acknowledged(&mut self, tx: &TxId) {
        if let Some(slot) = self.places.get(tx).and_then(|place| self.by_place.get_mut(place)) {
            slot.is_acknowledged = true;
        }
    }

    /// The newest transaction of each slot that is not spent and was not handed over for `interval`, or `sooner` where
    /// no node said that it has it; lowest nonce first, of all lanes but those `elsewhere`. They count as handed over.
    pub(super) fn due(
        &mut self,
        now: Instant,
        interval: Duration,
        sooner: Duration,
        elsewhere: &HashSet<LaneId>,
    ) -> Vec<Due> {
        let mut due = Vec::new();
        let unspent = self.by_place.iter_mut().filter(|(_, slot)| slot.spent_by.is_none());
        for ((lane, _), slot) in unspent.filter(|((lane, _), _)| !elsewhere.contains(lane)) {
            let interval = if slot.is_acknowledged { interval } else { sooner };
            let is_due = slot.handed_over.is_none_or(|at| now.duration_since(at) >= interval);
            if is_due {
                slot.handed_over(now);
                due.extend(slot.txs.last().map(|it| Due {
                    lane: lane.clone(),
                    tx: it.tx.clone(),
                    raw: Arc::clone(&it.raw),
                }));
            }
        }
        due
    }

    /// Whatever comes before this transaction in its lane is due at once.
    pub(super) fn resend_below(&mut self, tx: &TxId) {
        let Some((lane, nonce)) = self.places.get(tx).cloned() else {
            return;
        };
        for (_, slot) in self.by_place.range_mut((lane.clone(), 0)..(lane, nonce)) {
            slot.handed_over = None;
        }
    }

    /// The chain was looked at, and this was its newest block.
    pub(super) fn seen(&mut self, head: u64) {
        let outs = self.by_place.values_mut().filter_map(|slot| slot.out.as_mut());
        for out in outs {
            out.head.get_or_insert(head);
        }
    }

    /// The slots that are not spent, each lane's in the order of their nonces.
    pub(super) fn waiting(&self, now: Instant, head: u64, patience: Duration) -> Vec<Waiting> {
        let unspent = self.by_place.iter().filter(|(_, slot)| slot.spent_by.is_none());
        let waiting = unspent.filter_map(|((lane, nonce), slot)| {
            let newest = slot.txs.last()?;
            Some(Waiting {
                lane: lane.clone(),
                nonce: *nonce,
                tx: newest.tx.clone(),
                raw: Arc::clone(&newest.raw),
                is_empty: newest.is_empty,
                is_overdue: slot.is_overdue(now, head, patience),
            })
        });
        waiting.collect()
    }

    /// The slot cannot be outbid. True when that was not said before of its newest transaction.
    pub(super) fn tell(&mut self, tx: &TxId) -> bool {
        let slot = self.places.get(tx).and_then(|place| self.by_place.get_mut(place));
        slot.is_some_and(|slot| !std::mem::replace(&mut slot.is_told, true))
    }

    /// The slots that these transactions are for.
    pub(super) fn places<'t>(&self, txs: impl Iterator<Item = &'t TxId>) -> HashSet<Place> {
        txs.filter_map(|tx| self.places.get(tx).cloned()).collect()
    }

    /// Forgets spent slots that none of these is.
    pub(super) fn sweep(&mut self, referred: &HashSet<Place>) {
        let over = self.by_place.iter();
        let over = over.filter(|(place, slot)| slot.spent_by.is_some() && !referred.contains(*place));
        let over: Vec<Place> = over.map(|(place, _)| place.clone()).collect();
        for place in over {
            self.forget(&place);
        }
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
