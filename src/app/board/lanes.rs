//! What the board says of lanes and of our transactions in them: what to look for, what to send again, what is stuck.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::app::board::Board;
use crate::app::board::inner::{Held, Inner};
use crate::app::board::line::Choice;
use crate::app::board::slots::{Due, Known, Stuck, sift};
use crate::domain::id::PaymentId;
use crate::domain::lease::Lease;
use crate::domain::rail::{LaneId, Mined, TxId};
use crate::domain::settlement::State;

impl Board {
    /// Who drives which lane, as of now: the leases of this process with whether nothing new may be signed, and the
    /// lanes of others.
    pub fn assign(&self, held: Vec<(Lease, bool)>, elsewhere: HashSet<LaneId>, has_company: bool) {
        let mut inner = self.lock();
        let held = held.into_iter().map(|(lease, is_quarantined)| {
            let lane = lease.lane.clone();
            (lane, Held { lease, is_quarantined })
        });
        inner.held = held.collect();
        inner.elsewhere = elsewhere;
        inner.has_company = has_company;
        drop(inner);
        self.queued.notify_waiters();
    }

    /// The right to sign in the lane, if this process has it.
    #[must_use]
    pub fn lease(&self, lane: &LaneId) -> Option<Lease> {
        self.lock().lease(lane)
    }

    /// The lane is somebody else's, or nothing new may be signed in it: the database said so.
    pub fn lost(&self, lane: &LaneId) {
        self.lock().held.remove(lane);
    }

    /// Whether this process drives any lane.
    #[must_use]
    pub fn drives(&self) -> bool {
        !self.lock().held.is_empty()
    }

    /// Whether it is for this process to look after what nobody else does: it drives the first of the lanes that anybody
    /// drives.
    #[must_use]
    pub fn is_caretaker(&self) -> bool {
        let inner = self.lock();
        let first = inner.held.keys().next();
        first.is_some_and(|first| inner.elsewhere.iter().all(|lane| lane > first))
    }

    /// The lane's nonces below this one that are not known to be spent.
    #[must_use]
    pub fn unspent_below(&self, lane: &LaneId, nonce: u64) -> Vec<u64> {
        let mut unspent: Vec<u64> = self.lock().slots.unspent_of(lane).filter(|it| *it < nonce).collect();
        unspent.sort_unstable();
        unspent
    }

    /// Somebody else has spent these nonces of the lane, and that is on record.
    pub fn usurped(&self, lane: &LaneId, nonces: &[u64]) {
        let mut inner = self.lock();
        for nonce in nonces {
            inner.slots.usurp(&(lane.clone(), *nonce));
        }
        drop(inner);
        self.queued.notify_waiters();
    }

    /// Whether other processes work on the same records.
    #[must_use]
    pub fn has_company(&self) -> bool {
        self.lock().has_company
    }

    /// The open payments that somebody waits for here while another process may move them.
    #[must_use]
    pub fn awaited(&self) -> Vec<PaymentId> {
        let inner = self.lock();
        let mut awaited: Vec<PaymentId> = inner.listeners.keys().copied().collect();
        awaited.retain(|id| inner.open.contains_key(id));
        awaited
    }

    /// Which of these payments are not known here.
    #[must_use]
    pub fn unknown(&self, payments: &[PaymentId]) -> Vec<PaymentId> {
        let inner = self.lock();
        let unknown = payments.iter().filter(|id| !inner.open.contains_key(id));
        unknown.copied().collect()
    }

    /// Which of these payments have changed on record since they were last read here.
    #[must_use]
    pub fn outdated(&self, versions: &[(PaymentId, i64)]) -> Vec<PaymentId> {
        let inner = self.lock();
        let is_outdated = |id: &PaymentId, version: i64| {
            let known = inner.open.get(id).map(|open| open.record.version);
            known.is_some_and(|known| known < version)
        };
        let outdated = versions.iter().filter(|(id, version)| is_outdated(id, *version));
        outdated.map(|(id, _)| *id).collect()
    }

    /// The slots that are known here: to be asked before the records are read.
    #[must_use]
    pub fn slots(&self) -> Known {
        self.lock().slots.known()
    }

    /// Which of the mined transactions were not known to be, and which of those looked for are no longer.
    #[must_use]
    pub fn mined_news(&self, looked_for: &[TxId], mined: &[Mined]) -> (Vec<Mined>, Vec<TxId>) {
        let inner = self.lock();
        let seen: HashSet<&TxId> = mined.iter().map(|it| &it.tx).collect();
        let missing = looked_for.iter().filter(|tx| !seen.contains(tx));
        let vanished = missing
            .filter(|tx| inner.slots.is_mined(tx) == Some(true))
            .cloned()
            .collect();
        let fresh = mined
            .iter()
            .filter(|it| inner.slots.is_mined(&it.tx) == Some(false))
            .cloned()
            .collect();
        (fresh, vanished)
    }

    /// That news is on record.
    pub fn note_mined(&self, fresh: &[Mined], vanished: &[TxId]) {
        let mut inner = self.lock();
        for tx in vanished {
            inner.slots.set_mined(tx, false);
        }
        for it in fresh {
            inner.slots.set_mined(&it.tx, true);
        }
        drop(inner);
        self.queued.notify_waiters();
    }

    /// Transactions of ours to look for even though no open payment refers to them: their slots are still open.
    #[must_use]
    pub fn unmined(&self) -> Vec<TxId> {
        self.lock().slots.unmined()
    }

    /// A node said that it has the transaction.
    pub fn acknowledged(&self, tx: &TxId) {
        self.lock().slots.acknowledged(tx);
    }

    /// The newest transactions of slots that are not spent and were not handed to the chain for `interval`, or `sooner`
    /// where no node said that it has them; lowest nonce first, none of lanes that another process drives. They count as
    /// handed over from now on.
    #[must_use]
    pub fn due_for_delivery(&self, interval: Duration, sooner: Duration) -> Vec<Due> {
        let mut inner = self.lock();
        let Inner { slots, elsewhere, .. } = &mut *inner;
        slots.due(Instant::now(), interval, sooner, elsewhere)
    }

    /// What comes before this transaction in its lane is to be handed over again at once.
    pub fn resend_below(&self, tx: &TxId) {
        self.lock().slots.resend_below(tx);
    }

    /// The lane's signer can pay for what is sent, or cannot: then the lane takes no more payments until it can. True
    /// when that is news.
    #[must_use]
    pub fn set_funded(&self, lane: &LaneId, is_funded: bool) -> bool {
        let mut inner = self.lock();
        let is_news = if is_funded {
            inner.unfunded.remove(lane)
        } else {
            inner.unfunded.insert(lane.clone())
        };
        drop(inner);
        if is_news {
            self.queued.notify_waiters();
        }
        is_news
    }

    /// The chain was looked at, and this was its newest block.
    pub fn seen(&self, head: u64) {
        let mut inner = self.lock();
        inner.head = head;
        inner.slots.seen(head);
    }

    /// The slots whose transaction may have to be replaced, each lane's in the order of their nonces: the lowest of
    /// those that have been out for `patience` while blocks went by, with all that wait behind it, and those that carry
    /// nothing any more that could still land. Only of lanes that this process drives.
    #[must_use]
    pub fn stuck(&self, patience: Duration) -> Vec<Stuck> {
        let inner = self.lock();
        let mut waiting = inner.slots.waiting(Instant::now(), inner.head, patience);
        waiting.retain(|it| inner.held.contains_key(&it.lane));
        if waiting.is_empty() {
            return Vec::new();
        }
        let of_state = |state: State| {
            let open = inner.open.values().map(|open| &open.record);
            let txs = open.filter(|record| record.settlement.state() == state);
            inner.slots.places(txs.flat_map(|record| &record.txs))
        };
        sift(waiting, &of_state(State::InFlight), &of_state(State::Confirmed))
    }

    /// The slot's transaction cannot be outbid. True when that was not said before.
    #[must_use]
    pub fn tell(&self, tx: &TxId) -> bool {
        self.lock().slots.tell(tx)
    }

    /// These transactions can never be mined, and that is on record.
    pub fn note_dead(&self, txs: &[TxId]) {
        let mut inner = self.lock();
        for tx in txs {
            // As good as mined: not delivered any more, and its place in the lane is free.
            inner.slots.set_mined(tx, true);
        }
        drop(inner);
        self.queued.notify_waiters();
    }

    /// Forgets spent slots that no open payment refers to, and payments in line that are not open.
    pub fn sweep(&self) {
        let mut inner = self.lock();
        let Inner { open, slots, line, .. } = &mut *inner;
        let referred = slots.places(open.values().flat_map(|open| &open.record.txs));
        slots.sweep(&referred);
        // Others may have signed for what waits here.
        if line.len() > open.len() {
            line.take(|id| {
                if open.contains_key(&id) {
                    Choice::Pass
                } else {
                    Choice::Drop
                }
            });
        }
    }
}
