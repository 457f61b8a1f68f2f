//! Lanes: who gets the next nonce, what is signed with it, and what takes its place.

use std::collections::BTreeSet;

use facilitator::domain::amount::Amount;
use facilitator::domain::id::PaymentId;
use facilitator::domain::lease::{Lease, ProcessId};
use facilitator::domain::rail::{LaneId, Mined, Outbid, Replacement, SignedTx, TxId};
use facilitator::domain::settlement::{Event, Settlement, State};
use facilitator::store::{DateTime, IntendFault, Intent, Replaced, Sign, StoreFault, Utc};

use super::{Seat, Tables, refused};

/// How many transactions one slot may have.
const SLOT_TRANSACTIONS_MAX: usize = 6;

/// A signer on a network.
pub(crate) struct Lane {
    pub(crate) first_nonce: u64,
    pub(crate) next_nonce: u64,
    pub(crate) lease: Option<(ProcessId, DateTime<Utc>)>,
    pub(crate) fence: u64,
    pub(crate) is_quarantined: bool,
}

/// One nonce of a lane.
#[derive(Default)]
pub(crate) struct Slot {
    /// The transaction that spent it, or a word for somebody else's.
    pub(crate) consumed_by: Option<TxId>,
    /// Oldest first.
    pub(crate) txs: Vec<TxId>,
    /// How many payments were ever given a seat in it.
    pub(crate) seats: u64,
}

/// Signed bytes.
pub(crate) struct Tx {
    pub(crate) place: (LaneId, u64),
    pub(crate) raw: Vec<u8>,
    pub(crate) cost_max: Amount,
    pub(crate) is_empty: bool,
    pub(crate) is_dead: bool,
    pub(crate) mined: Option<Mined>,
}

impl Tables {
    pub(super) fn lane_prepare(&mut self, lane: &LaneId, chain_nonce: u64) -> u64 {
        let new = Lane {
            first_nonce: chain_nonce,
            next_nonce: chain_nonce,
            lease: None,
            fence: 0,
            is_quarantined: false,
        };
        self.lanes.entry(lane.clone()).or_insert(new).next_nonce
    }

    pub(super) fn lane_intend(
        &mut self,
        lease: &Lease,
        payments: &[PaymentId],
        alone_retry: bool,
        sign: Sign<'_>,
    ) -> Result<Vec<Intent>, IntendFault> {
        let lane = &lease.lane;
        let Some(nonce) = self.held(lease).filter(|it| !it.is_quarantined).map(|it| it.next_nonce) else {
            return Err(IntendFault::Lost);
        };
        let mut claimed = Vec::new();
        for id in payments {
            if !claimed.contains(id) && self.is_claimable(*id, lane, alone_retry) {
                claimed.push(*id);
            }
        }
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
        let txs = sign(nonce, &claimed)?;
        let intents = seated(nonce, txs, &claimed)?;
        for intent in &intents {
            let has_live_seat = |id: &PaymentId| !alone_retry && self.payments[id].seats.iter().any(|it| !it.is_closed);
            let is_taken =
                self.slots.contains_key(&(lane.clone(), intent.nonce)) || self.txs.contains_key(&intent.tx.id);
            if is_taken || intent.payments.iter().any(has_live_seat) {
                return Err(refused("lane_intend", "a key that is taken").into());
            }
        }
        for intent in &intents {
            self.intend(lane, intent);
        }
        Ok(intents)
    }

    /// The lane, while the lease is good.
    fn held(&self, lease: &Lease) -> Option<&Lane> {
        let lane = self.lanes.get(&lease.lane)?;
        let (holder, until) = lane.lease?;
        (holder == lease.holder && lane.fence == lease.fence && until > self.now).then_some(lane)
    }

    fn is_claimable(&self, id: PaymentId, lane: &LaneId, alone_retry: bool) -> bool {
        let Some(payment) = self.payments.get(&id).filter(|it| it.record.network == lane.network) else {
            return false;
        };
        let state = payment.record.settlement.state();
        if !alone_retry {
            return state == State::Reserved;
        }
        let open = payment.seats.iter().find(|seat| !seat.is_closed);
        state == State::InFlight && open.is_some_and(|seat| self.slots[&seat.place].consumed_by.is_some())
    }

    fn intend(&mut self, lane: &LaneId, intent: &Intent) {
        let place = (lane.clone(), intent.nonce);
        let slot = Slot {
            consumed_by: None,
            txs: vec![intent.tx.id.clone()],
            seats: u64::try_from(intent.payments.len()).unwrap(),
        };
        self.slots.insert(place.clone(), slot);
        let tx = Tx {
            place: place.clone(),
            raw: intent.tx.raw.clone(),
            cost_max: intent.tx.cost_max,
            is_empty: false,
            is_dead: false,
            mined: None,
        };
        self.txs.insert(intent.tx.id.clone(), tx);
        for (number, id) in (0..).zip(&intent.payments) {
            let payment = self.payments.get_mut(id).unwrap();
            payment.seats.iter_mut().for_each(|seat| seat.is_closed = true);
            payment.seats.push(Seat {
                place: place.clone(),
                number,
                is_closed: false,
            });
            self.fly(*id, &intent.tx.id);
        }
        self.lanes.get_mut(lane).unwrap().next_nonce += 1;
    }

    /// The payment is in flight by this transaction now.
    fn fly(&mut self, id: PaymentId, tx: &TxId) {
        let record = &mut self.payments.get_mut(&id).unwrap().record;
        record.settlement = Settlement::InFlight {
            tx: tx.clone(),
            setback: None,
        };
        record.version += 1;
        self.tell(id, Event::Signed(tx.clone()).as_str());
    }

    pub(super) fn lane_replace(
        &mut self,
        lease: &Lease,
        nonce: u64,
        over: &TxId,
        with: &Replacement,
    ) -> Result<Replaced, StoreFault> {
        if self.held(lease).is_none() {
            return Ok(Replaced::Lost);
        }
        let place = (lease.lane.clone(), nonce);
        let Some(slot) = self.slots.get(&place) else {
            return Ok(Replaced::Moved);
        };
        if slot.consumed_by.is_some() || slot.txs.last() != Some(over) {
            return Ok(Replaced::Moved);
        }
        if slot.txs.len() >= SLOT_TRANSACTIONS_MAX {
            return Ok(Replaced::Exhausted);
        }
        let mut riders: Vec<PaymentId> = self.riders(&place).into_iter().collect();
        if with.cargo == Outbid::Nothing && !riders.is_empty() {
            return Ok(Replaced::Moved);
        }
        let is_empty = self.txs[over].is_empty || with.cargo == Outbid::Nothing;
        riders.retain(|_| !is_empty);
        if self.is_ours(&with.id) {
            return Err(refused("lane_replace", "a key that is taken"));
        }
        self.slots.get_mut(&place).unwrap().txs.push(with.id.clone());
        let tx = Tx {
            place,
            raw: with.raw.clone(),
            cost_max: with.cost_max,
            is_empty,
            is_dead: false,
            mined: None,
        };
        self.txs.insert(with.id.clone(), tx);
        for id in &riders {
            self.fly(*id, &with.id);
        }
        Ok(Replaced::Done(riders))
    }

    /// The payments that are in flight by the slot.
    fn riders(&self, place: &(LaneId, u64)) -> BTreeSet<PaymentId> {
        let flying = self.payments.iter().filter(|(_, it)| {
            let is_aboard = it.seats.iter().any(|seat| !seat.is_closed && seat.place == *place);
            is_aboard && it.record.settlement.state() == State::InFlight
        });
        flying.map(|(id, _)| *id).collect()
    }
}

/// Which transaction carries which of the claimed payments.
fn seated(first_nonce: u64, txs: Vec<SignedTx>, claimed: &[PaymentId]) -> Result<Vec<Intent>, IntendFault> {
    let mut left = claimed;
    let mut intents = Vec::new();
    for (nonce, tx) in (first_nonce..).zip(txs) {
        let (payments, rest) = left.split_at(tx.payments.min(left.len()));
        left = rest;
        let payments = payments.to_vec();
        intents.push(Intent { nonce, tx, payments });
    }
    let is_whole = left.is_empty() && intents.iter().all(|it| it.payments.len() == it.tx.payments.max(1));
    let what = "transactions that carry other payments than were claimed";
    let operation = "lane_intend";
    is_whole
        .then_some(intents)
        .ok_or(IntendFault::Store(StoreFault::Corrupt { operation, what }))
}
