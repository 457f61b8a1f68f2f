//! Moving settlements along, with the evidence, the ledger and the events that belong to it, and granting the one
//! success.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use facilitator::domain::amount::Amount;
use facilitator::domain::id::PaymentId;
use facilitator::domain::network::NetworkId;
use facilitator::domain::posting::{Stage, posting};
use facilitator::domain::rail::{LaneId, TxId};
use facilitator::domain::settlement::{Event, Settlement, State};
use facilitator::store::{Advance, Advanced, StoreFault};

use super::{Evidence, Payment, Tables, refused};

const OPERATION: &str = "settlements_advance";

/// One balanced movement.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) payment: PaymentId,
    pub(crate) version: i64,
    pub(crate) purpose: &'static str,
    pub(crate) stage: &'static str,
    pub(crate) debit: String,
    pub(crate) credit: String,
    pub(crate) asset: String,
    pub(crate) amount: Amount,
    /// The place of the pending movement that it resolves.
    pub(crate) resolves: Option<usize>,
}

/// The account of what settling costs.
const GAS: &str = "facilitator:gas";

fn gas(payment: PaymentId, version: i64, debit: String, credit: String, amount: Amount) -> Entry {
    Entry {
        payment,
        version,
        purpose: "gas",
        stage: "posted",
        debit,
        credit,
        asset: "native".into(),
        amount,
        resolves: None,
    }
}

impl Tables {
    pub(super) fn settlements_waiting(&self, network: &NetworkId, limit: u32) -> Vec<PaymentId> {
        let waiting = self.payments_where(|it| it.network == *network && it.settlement == Settlement::Reserved);
        let ids = waiting.into_iter().map(|it| it.id);
        ids.take(usize::try_from(limit).unwrap()).collect()
    }

    pub(super) fn settlement_versions(&self, payments: &[PaymentId]) -> Vec<(PaymentId, i64)> {
        let asked: BTreeSet<&PaymentId> = payments.iter().collect();
        let found = asked.into_iter().filter_map(|id| self.payments.get(id));
        found.map(|it| (it.record.id, it.record.version)).collect()
    }

    pub(super) fn settlements_try(&mut self, payments: &[PaymentId]) -> Vec<(PaymentId, u64)> {
        let asked: BTreeSet<&PaymentId> = payments.iter().collect();
        let mut counts = Vec::new();
        for id in asked {
            if let Some(payment) = self.payments.get_mut(id) {
                payment.record.tries += 1;
                counts.push((*id, payment.record.tries));
            }
        }
        counts
    }

    pub(super) fn settlements_untry(&mut self, payments: &[PaymentId]) {
        for id in payments {
            if let Some(payment) = self.payments.get_mut(id) {
                payment.record.tries = payment.record.tries.saturating_sub(1);
            }
        }
    }

    pub(super) fn settlements_advance(
        &mut self,
        advances: &[Advance<'_>],
        answers: &[(PaymentId, &[u8])],
    ) -> Result<Advanced, StoreFault> {
        let is_foreign = |it: &Advance<'_>| matches!(it.event, Event::Signed(_) | Event::Reopened);
        if advances.iter().any(is_foreign) {
            let what = "an event that is another operation's to record";
            return Err(StoreFault::Corrupt {
                operation: OPERATION,
                what,
            });
        }
        let mut met = HashSet::new();
        let firsts = advances.iter().filter(|it| met.insert(it.record.id));
        let applied: Vec<&Advance<'_>> = firsts.filter(|it| self.may_advance(it)).collect();
        let entries = self.entries(&applied)?;
        for it in &applied {
            self.advance(it);
        }
        self.ledger.extend(entries);
        let moved: Vec<PaymentId> = applied.iter().map(|it| it.record.id).collect();
        let due = answers.iter().filter(|(id, _)| moved.contains(id));
        let mut granted = HashSet::new();
        for (id, answer) in due {
            if self.grant(*id, answer) {
                granted.insert(*id);
            }
        }
        Ok(Advanced { moved, granted })
    }

    /// Its version is still the record's, a withdrawal has no seat, and the cost of our transaction that ended it is on
    /// record.
    fn may_advance(&self, advance: &Advance<'_>) -> bool {
        let Some(payment) = self.payments.get(&advance.record.id) else {
            return false;
        };
        let ended_by = match &advance.next {
            Settlement::Final { landed } => Some(&landed.tx),
            Settlement::Failed { proof } => proof.tx(),
            Settlement::Reserved
            | Settlement::InFlight { .. }
            | Settlement::Confirmed { .. }
            | Settlement::Withdrawn => None,
        };
        let ender = ended_by.and_then(|tx| self.txs.get(tx));
        payment.record.version == advance.record.version
            && (advance.next != Settlement::Withdrawn || payment.seats.is_empty())
            && ender.is_none_or(|tx| tx.mined.is_some())
    }

    fn advance(&mut self, advance: &Advance<'_>) {
        let (id, now) = (advance.record.id, self.now);
        let payment = self.payments.get_mut(&id).unwrap();
        let record = &mut payment.record;
        record.settlement = advance.next.clone();
        record.version += 1;
        record.confirmed_at = advance.next.landed().map(|_| record.confirmed_at.unwrap_or(now));
        let state = advance.next.state();
        record.final_at = (state == State::Final).then_some(now);
        let version = record.version;
        if matches!(state, State::Final | State::Failed) {
            payment.seats.iter_mut().for_each(|seat| seat.is_closed = true);
        }
        let shown = match &advance.event {
            Event::Confirmed(landed) | Event::LateSettled(landed) => Some(("landed", Some(&landed.tx), &landed.block)),
            Event::Failed(proof) => Some((proof.as_str(), proof.tx(), proof.block())),
            Event::Signed(_)
            | Event::SetBack(_)
            | Event::Reversed
            | Event::Finalized(_)
            | Event::Withdrawn
            | Event::Reopened => None,
        };
        if let Some((claim, tx, block)) = shown {
            self.evidence.push(Evidence {
                payment: id,
                version,
                claim,
                ours: tx.is_some_and(|tx| self.txs.contains_key(tx)),
                tx: tx.cloned(),
                block: block.clone(),
            });
        }
        self.tell(id, advance.event.as_str());
    }

    /// What these changes move: the money, and the share of what carrying payments has cost that are over.
    fn entries(&self, applied: &[&Advance<'_>]) -> Result<Vec<Entry>, StoreFault> {
        let mut entries = Vec::new();
        for it in applied {
            if let Some(posting) = posting(&it.record.authorization, &it.record.references, &it.event) {
                let mut entry = Entry {
                    payment: it.record.id,
                    version: it.record.version + 1,
                    purpose: "payment",
                    stage: posting.stage.as_str(),
                    debit: posting.debit,
                    credit: posting.credit,
                    asset: posting.asset,
                    amount: posting.amount,
                    resolves: None,
                };
                if posting.stage != Stage::Pending {
                    entry.resolves = Some(
                        self.pending(&entry)
                            .ok_or_else(|| refused(OPERATION, "nothing pending"))?,
                    );
                }
                entries.push(entry);
            }
        }
        for it in applied {
            if matches!(it.event, Event::Finalized(_) | Event::Failed(_)) {
                entries.extend(self.costs(it));
            }
        }
        Ok(entries)
    }

    /// The open pending movement that is the same in all else.
    fn pending(&self, entry: &Entry) -> Option<usize> {
        let resolved: HashSet<usize> = self.ledger.iter().filter_map(|it| it.resolves).collect();
        let mut pending = self.ledger.iter().enumerate().filter(|(at, it)| {
            it.stage == "pending"
                && it.payment == entry.payment
                && (&it.debit, &it.credit, &it.asset) == (&entry.debit, &entry.credit, &entry.asset)
                && it.amount == entry.amount
                && !resolved.contains(at)
        });
        pending.next().map(|(at, _)| at)
    }

    fn costs(&self, advance: &Advance<'_>) -> Vec<Entry> {
        let spent = self.spent(advance.record.id).into_iter();
        spent
            .map(|(signer, amount)| {
                gas(
                    advance.record.id,
                    advance.record.version + 1,
                    GAS.into(),
                    signer,
                    amount,
                )
            })
            .collect()
    }

    /// What each signer's account has paid for the payment, as far as is known.
    fn spent(&self, payment: PaymentId) -> BTreeMap<String, Amount> {
        let mut of_signer: BTreeMap<String, Amount> = BTreeMap::new();
        for seat in &self.payments[&payment].seats {
            let slot = &self.slots[&seat.place];
            for mined in slot.txs.iter().filter_map(|tx| self.txs[tx].mined.as_ref()) {
                let share = mined.cost.share(seat.number, slot.seats);
                let signer = format!("signer:{}", seat.place.0.signer);
                let sum = of_signer.entry(signer).or_insert(Amount::ZERO);
                *sum = sum.checked_add(share).unwrap();
            }
        }
        of_signer
    }

    /// What is spent in this slot has changed: brings the books of the payments that are over to it.
    pub(super) fn correct(&mut self, place: &(LaneId, u64)) {
        let over = |it: &&Payment| {
            let state = it.record.settlement.state();
            matches!(state, State::Final | State::Failed) && it.seats.iter().any(|seat| seat.place == *place)
        };
        let over: Vec<(PaymentId, i64)> = self
            .payments
            .values()
            .filter(over)
            .map(|it| (it.record.id, it.record.version))
            .collect();
        for (payment, version) in over {
            let spent = self.spent(payment);
            let booked = self
                .ledger
                .iter()
                .filter(|it| it.payment == payment && it.purpose == "gas");
            let mut owed: BTreeMap<String, i128> = spent
                .into_iter()
                .map(|(signer, amount)| (signer, i128::try_from(amount.units()).unwrap()))
                .collect();
            for it in booked {
                let amount = i128::try_from(it.amount.units()).unwrap();
                let (signer, amount) = if it.debit == GAS {
                    (&it.credit, -amount)
                } else {
                    (&it.debit, amount)
                };
                *owed.entry(signer.clone()).or_default() += amount;
            }
            for (signer, owed) in owed.into_iter().filter(|(_, owed)| *owed != 0) {
                let amount = Amount::from_units(owed.unsigned_abs());
                let (debit, credit) = if owed > 0 {
                    (GAS.into(), signer)
                } else {
                    (signer, GAS.into())
                };
                self.ledger.push(gas(payment, version, debit, credit, amount));
            }
        }
    }

    pub(super) fn grant(&mut self, payment: PaymentId, answer: &[u8]) -> bool {
        let now = self.now;
        let Some(payment) = self.payments.get_mut(&payment) else {
            return false;
        };
        let record = &mut payment.record;
        if record.granted_at.is_some() || record.settlement.landed().is_none() {
            return false;
        }
        record.granted_at = Some(now);
        record.answer = Some(answer.to_vec());
        true
    }

    /// The transaction that ended the payment's open seats would be this one.
    pub(super) fn is_ours(&self, tx: &TxId) -> bool {
        self.txs.contains_key(tx)
    }
}
