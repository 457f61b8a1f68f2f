//! Our own transactions: which still have to be mined, and what the chain made of them.

use std::collections::BTreeSet;

use facilitator::domain::network::NetworkId;
use facilitator::domain::rail::{LaneId, Mined, TxId};
use facilitator::domain::settlement::State;
use facilitator::store::Carrier;

use super::Tables;

impl Tables {
    pub(super) fn transactions_open(&self, network: &NetworkId, states: &[State]) -> Vec<Carrier> {
        let unspent = self.slots.iter().filter(|(_, slot)| slot.consumed_by.is_none());
        let mut places: BTreeSet<&(LaneId, u64)> = unspent.map(|(place, _)| place).collect();
        for payment in self.payments.values() {
            let state = payment.record.settlement.state();
            if states.contains(&state) && state != State::Final {
                places.extend(payment.seats.iter().map(|seat| &seat.place));
            }
        }
        places.retain(|(lane, _)| lane.network == *network);
        let mut places: Vec<&(LaneId, u64)> = places.into_iter().collect();
        places.sort_by_key(|(lane, nonce)| (*nonce, &lane.signer));
        let carriers = places.into_iter().flat_map(|place| {
            let slot = &self.slots[place];
            slot.txs.iter().map(move |tx| Carrier {
                lane: place.0.clone(),
                nonce: place.1,
                tx: tx.clone(),
                raw: self.txs[tx].raw.clone(),
                is_empty: self.txs[tx].is_empty,
                spent_by: slot.consumed_by.clone(),
            })
        });
        carriers.collect()
    }

    pub(super) fn transactions_mined(&mut self, mined: &[Mined]) {
        for it in mined {
            let Some(place) = self.txs.get(&it.tx).map(|tx| tx.place.clone()) else {
                continue;
            };
            let is_known = self.txs[&it.tx]
                .mined
                .as_ref()
                .is_some_and(|known| known.block.hash == it.block.hash && known.cost == it.cost);
            if is_known {
                continue;
            }
            for other in self.slots[&place].txs.clone() {
                self.txs.get_mut(&other).unwrap().mined = None;
            }
            let tx = self.txs.get_mut(&it.tx).unwrap();
            tx.mined = Some(it.clone());
            tx.is_dead = false;
            self.slots.get_mut(&place).unwrap().consumed_by = Some(it.tx.clone());
            self.correct(&place);
        }
    }

    pub(super) fn transactions_reorganized(&mut self, txs: &[TxId]) {
        for id in txs {
            let Some(tx) = self.txs.get_mut(id).filter(|tx| tx.mined.is_some()) else {
                continue;
            };
            tx.mined = None;
            let slot = self.slots.get_mut(&tx.place).unwrap();
            if slot.consumed_by.as_ref() == Some(id) {
                slot.consumed_by = None;
            }
            let place = tx.place.clone();
            self.correct(&place);
        }
    }

    pub(super) fn transactions_unwatched(&self, lane: &LaneId, nonce: u64, limit: u16) -> Vec<TxId> {
        let slots = self.slots.range((lane.clone(), nonce)..=(lane.clone(), u64::MAX));
        let carries_open = |place: &(LaneId, u64)| {
            let open = self
                .payments
                .values()
                .filter(|it| State::OPEN.contains(&it.record.settlement.state()));
            open.flat_map(|it| &it.seats).any(|seat| seat.place == *place)
        };
        let mined = slots
            .filter(|(place, _)| !carries_open(place))
            .flat_map(|(_, slot)| slot.txs.iter().filter(|tx| self.txs[*tx].mined.is_some()));
        mined.take(limit.into()).cloned().collect()
    }

    pub(super) fn transactions_dead(&mut self, txs: &[TxId]) {
        for id in txs {
            let is_signed = |tx: &&mut super::Tx| tx.mined.is_none() && !tx.is_dead;
            let Some(tx) = self.txs.get_mut(id).filter(is_signed) else {
                continue;
            };
            tx.is_dead = true;
            let slot = self.slots.get_mut(&tx.place).unwrap();
            slot.consumed_by.get_or_insert_with(|| id.clone());
        }
    }
}
