//! What is under way on one rail: open settlements, those waiting for a lane, transactions not yet mined, and who
//! wants to hear of them.
//!
//! Only a view of what the database holds, so that the usual case needs no polling of it: everything here can be
//! lost at any instant and is rebuilt by [`Board::reconcile`].

mod age;
mod funds;
mod inner;
mod lanes;
mod line;
mod listen;
mod slots;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

pub use self::age::Unsettled;
use self::inner::{Inner, Open, Standing, TRIES_MAX, is_over};
use self::line::Line;
pub use self::listen::{Claim, Granted, Subscription};
use self::slots::Slots;
pub use self::slots::{Due, Known, Place, Stuck, Waiting};
use crate::app::settle::Caller;
use crate::domain::id::PaymentId;
use crate::domain::lease::Lease;
use crate::domain::rail::{LaneId, Outbid, Pace, Replacement, SignedTx, TxId};
use crate::domain::rejection::Rejection;
use crate::domain::settlement::{Settlement, State};
use crate::domain::time::Timestamp;
use crate::store::{Advance, Carrier, Record};

/// How many confirmed payments one look at the chain re-checks, oldest first.
const RECHECKED_MAX: usize = 500;

/// The open settlements of one rail.
pub struct Board {
    inner: Mutex<Inner>,
    queued: Notify,
    stirred: Notify,
}

/// Something that a waiting caller wants to hear.
#[derive(Debug, Clone)]
pub enum News {
    /// The settlement is now here.
    Moved(Settlement),
    /// It was refused before anything was signed, for this reason.
    Withdrawn(Rejection),
}

/// Payments that are to be signed together.
pub struct Cargo {
    /// One or more, all of one rail; more than one only where all may share a transaction.
    pub items: Vec<CargoItem>,
    /// A second chance after a whole batch failed: the payment is in flight already.
    pub is_retry: bool,
}

/// A payment about to be signed.
pub struct CargoItem {
    /// Its record.
    pub record: Arc<Record>,
    /// When the chain was last asked about it; never, after a restart.
    pub facts_at: Option<Timestamp>,
    /// An earlier try to sign for it may have failed.
    pub is_suspect: bool,
}

/// A payment to look for on the chain.
pub struct Look {
    /// Its record.
    pub record: Arc<Record>,
    /// Those of its transactions that may still be mined or were.
    pub txs: Vec<TxId>,
    /// Search other people's transactions too.
    pub seek: bool,
}

impl Look {
    /// Whether all transactions that carried it lost their nonces to others.
    #[must_use]
    pub fn is_stranded(&self) -> bool {
        self.txs.is_empty() && !self.record.txs.is_empty()
    }
}

impl Board {
    /// An empty board, of which these lanes take on no payments.
    #[must_use]
    pub fn new(retired: &[LaneId]) -> Self {
        let inner = Inner {
            open: BTreeMap::new(),
            line: Line::new(),
            slots: Slots::default(),
            listeners: BTreeMap::new(),
            claims: HashMap::new(),
            claims_made: 0,
            is_doubtful: false,
            head: 0,
            unfunded: HashSet::new(),
            poor: HashSet::new(),
            retired: retired.iter().cloned().collect(),
            short: HashMap::new(),
            held: BTreeMap::new(),
            elsewhere: HashSet::new(),
            has_company: false,
        };
        Self {
            inner: Mutex::new(inner),
            queued: Notify::new(),
            stirred: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A payment was just reserved; `facts_at` is when the chain last allowed it.
    pub fn admit(&self, record: Record, facts_at: Timestamp) {
        let mut inner = self.lock();
        let id = record.id;
        // Seen already by whoever looks for what other processes reserve.
        let open = inner.open.entry(id).or_insert_with(|| Open::new(record, None));
        open.facts_at = Some(facts_at);
        inner.enqueue(id);
        drop(inner);
        self.queued.notify_waiters();
        self.stirred.notify_one();
    }

    /// Puts an open payment in line for a lane, unless it stands there already or a lane is working on it. A retry
    /// goes alone.
    pub fn enqueue(&self, id: PaymentId, is_retry: bool) {
        let mut inner = self.lock();
        if let Some(open) = inner.open.get_mut(&id) {
            open.is_retry = is_retry;
            inner.enqueue(id);
        }
        drop(inner);
        self.queued.notify_waiters();
    }

    /// A lane is done with these payments, whatever came of it.
    pub fn release(&self, payments: &[PaymentId]) {
        let mut inner = self.lock();
        for id in payments {
            if let Some(open) = inner.open.get_mut(id) {
                open.is_at_work = false;
            }
        }
    }

    /// The payments for the lane to sign next, and the right to. Waits while there are none, while the lane is full or
    /// another process's; gathers a little longer the more the lane has in flight.
    pub async fn next_cargo(&self, lane: &LaneId, pace: &Pace) -> (Lease, Cargo) {
        loop {
            // Listens before it looks, so that nothing queued in between is missed.
            let queued = self.queued.notified();
            let (waiting, in_flight, is_paused) = {
                let inner = self.lock();
                (
                    inner.waiting_for(lane),
                    inner.slots.in_flight(lane),
                    inner.is_paused(lane),
                )
            };
            if waiting == 0 || in_flight >= pace.in_flight_max || is_paused {
                queued.await;
                continue;
            }
            if waiting < pace.batch_max && in_flight > 0 && !pace.gather.is_zero() {
                let flights = u32::try_from(in_flight).unwrap_or(u32::MAX);
                tokio::time::sleep(pace.gather.saturating_mul(flights)).await;
            }
            let mut inner = self.lock();
            // The lane may have been lost meanwhile.
            if inner.is_paused(lane) {
                continue;
            }
            if let (Some(lease), Some(cargo)) = (inner.lease(lane), inner.take(lane, pace.batch_max)) {
                return (lease, cargo);
            }
        }
    }

    /// It was tried to sign for these payments, and that failed for a reason of their own: each is tried again by
    /// itself, so many times at most.
    pub fn isolate(&self, payments: &[PaymentId]) {
        let mut inner = self.lock();
        for id in payments {
            if let Some(open) = inner.open.get_mut(id) {
                open.standing = Standing::Isolated;
            }
        }
    }

    /// How often it was tried to sign for these payments, now that it is on record. Names those that have had all the
    /// tries they may have.
    #[must_use]
    pub fn tried(&self, tries: &[(PaymentId, u64)]) -> Vec<PaymentId> {
        let mut inner = self.lock();
        for (id, count) in tries {
            if let Some(open) = inner.open.get_mut(id) {
                Arc::make_mut(&mut open.record).tries = *count;
            }
        }
        let exhausted = tries.iter().filter(|(_, count)| *count > TRIES_MAX);
        exhausted.map(|(id, _)| *id).collect()
    }

    /// Payments were signed into a transaction and that is on record.
    pub fn signed(&self, lane: &LaneId, nonce: u64, tx: &SignedTx, payments: &[PaymentId]) {
        let mut inner = self.lock();
        inner.board(&tx.id, payments);
        inner.slots.take_off(lane, nonce, tx, Instant::now());
    }

    /// A slot's transaction was replaced, these payments are in flight by the new one, and that is on record.
    pub fn replaced(&self, slot: &Waiting, with: &Replacement, payments: &[PaymentId]) {
        let mut inner = self.lock();
        inner.board(&with.id, payments);
        let is_empty = slot.is_empty || with.cargo == Outbid::Nothing;
        inner
            .slots
            .replace(&slot.lane, slot.nonce, with, is_empty, Instant::now());
    }

    /// A transaction was handed to the chain: time to look for it.
    pub fn stir(&self) {
        self.stirred.notify_one();
    }

    /// Waits for something new to look for.
    pub async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// A settlement's new state is on record.
    pub fn moved(&self, change: &Advance<'_>) {
        let mut inner = self.lock();
        let (id, settlement) = (change.record.id, &change.next);
        let (is_over, is_reserved) = (is_over(settlement), *settlement == Settlement::Reserved);
        let version = change.version_after();
        // It, and what came after it, may have been read from the records already.
        if let Some(open) = inner.open.get_mut(&id).filter(|it| it.record.version < version) {
            let record = Arc::make_mut(&mut open.record);
            record.settlement = settlement.clone();
            record.version = version;
            open.moved = Instant::now();
        }
        inner.publish(id);
        if is_over {
            inner.open.remove(&id);
        }
        if is_reserved {
            inner.enqueue(id);
        }
        drop(inner);
        self.queued.notify_waiters();
    }

    /// A payment was withdrawn and that is on record.
    pub fn withdrawn(&self, id: PaymentId, rejection: &Rejection) {
        let mut inner = self.lock();
        inner.open.remove(&id);
        if let Some(listener) = inner.listeners.get(&id) {
            listener.send_replace(Some(News::Withdrawn(rejection.clone())));
        }
    }

    /// The database knows better than the board: replaces what the board holds of this payment.
    pub fn replace(&self, record: Record) {
        let mut inner = self.lock();
        let (id, is_over) = (record.id, is_over(&record.settlement));
        if let Some(open) = inner.open.get_mut(&id) {
            open.record = Arc::new(record);
            inner.publish(id);
        }
        if is_over {
            inner.open.remove(&id);
        }
    }

    /// A write's outcome is unknown: what the board holds may no longer be what is on record.
    pub fn doubt(&self) {
        if !std::mem::replace(&mut self.lock().is_doubtful, true) {
            self.stirred.notify_one();
        }
    }

    /// Whether the board must be brought to what is on record. The doubt is over with that, unless it is
    /// [kept](Board::keep_doubt).
    #[must_use]
    pub fn take_doubt(&self) -> bool {
        std::mem::take(&mut self.lock().is_doubtful)
    }

    /// The records could not be read: the doubt stays, for the next look.
    pub fn keep_doubt(&self) {
        self.lock().is_doubtful = true;
    }

    /// Takes over what is on record: open settlements that are missing here or have moved on, and transactions. The
    /// slots that were `known` here before the records were read are brought to what these say of them.
    pub fn reconcile(&self, records: Vec<Record>, carriers: Vec<Carrier>, known: &Known) {
        let mut inner = self.lock();
        inner.learn(records, true);
        inner.slots.take_over(carriers, known);
        drop(inner);
        self.queued.notify_waiters();
        self.stirred.notify_one();
    }

    /// Takes over what another process has put on record of these payments.
    pub fn learn(&self, records: Vec<Record>) {
        self.lock().learn(records, false);
        self.queued.notify_waiters();
    }

    /// Takes over what is on record of our transactions, as [`Board::reconcile`] does.
    pub fn readmit(&self, carriers: Vec<Carrier>, known: &Known) {
        let mut inner = self.lock();
        let slept = inner.slots.is_empty();
        inner.slots.take_over(carriers, known);
        let is_news = slept && !inner.slots.is_empty();
        drop(inner);
        self.queued.notify_waiters();
        if is_news {
            self.stirred.notify_one();
        }
    }

    /// What to look for on the chain now. Payments in flight at every look; those that were set back, reserved or
    /// confirmed now and then.
    #[must_use]
    pub fn looks(&self, pace: &Pace) -> Vec<Look> {
        let mut inner = self.lock();
        let Inner { open, slots, .. } = &mut *inner;
        let now = Instant::now();
        let patience = pace.patience;
        let mut looks = Vec::new();
        let mut rechecks = Vec::new();
        for open in open.values_mut() {
            let is_due = open.looked.is_none_or(|at| now.duration_since(at) >= pace.recheck);
            match open.record.settlement.state() {
                State::InFlight if is_due || open.is_flying() => {
                    looks.push(open.look(now, patience, slots));
                }
                State::Reserved if now.duration_since(open.sought) >= patience => {
                    looks.push(open.look(now, patience, slots));
                }
                State::Confirmed if is_due => rechecks.push(open),
                State::Reserved
                | State::InFlight
                | State::Confirmed
                | State::Final
                | State::Failed
                | State::Withdrawn => {}
            }
        }
        rechecks.sort_by_key(|open| open.record.settlement.landed().map(|it| it.block.height));
        looks.extend(
            rechecks
                .into_iter()
                .take(RECHECKED_MAX)
                .map(|open| open.look(now, patience, slots)),
        );
        looks
    }

    /// Whether anything is in flight, so that the chain must be watched closely.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.lock().open.values().any(Open::is_flying)
    }

    /// Whether there is nothing at all to look for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.open.is_empty() && inner.slots.is_empty() && !inner.is_doubtful
    }

    /// Hears of a payment from now on, and stands in line to be told of its success.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, id: PaymentId, caller: Caller) -> Subscription {
        let mut inner = self.lock();
        let (granted, grant) = oneshot::channel();
        let number = inner.claims_made;
        inner.claims_made = number.wrapping_add(1);
        inner.claims.entry(id).or_default().push_back(Claim {
            number,
            caller,
            granted,
        });
        let receiver = inner
            .listeners
            .entry(id)
            .or_insert_with(|| watch::channel(None).0)
            .subscribe();
        Subscription {
            id,
            receiver,
            grant: Some(grant),
            number,
            board: Arc::clone(self),
        }
    }

    /// The first of those who wait for the payment's success, among those whose request it is on record for. Whoever takes
    /// the claim must say what became of it.
    #[must_use]
    pub fn take_claim(&self, record: &Record) -> Option<Claim> {
        let mut inner = self.lock();
        let claims = inner.claims.get_mut(&record.id)?;
        let is_next = |claim: &Claim| !claim.granted.is_closed() && claim.caller.is_of(record);
        let first = claims.iter().position(is_next)?;
        claims.remove(first)
    }
}
