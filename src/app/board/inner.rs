//! What the board holds, behind its lock.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::board::slots::Slots;
use crate::app::board::{Cargo, CargoItem, Claim, Look, News};
use crate::domain::id::PaymentId;
use crate::domain::rail::{LaneId, TxId};
use crate::domain::settlement::{Settlement, State};
use crate::domain::time::Timestamp;
use crate::store::Record;

pub(super) struct Inner {
    /// In the order of the ids, so that what is done for all of them is always done in one order.
    pub(super) open: BTreeMap<PaymentId, Open>,
    pub(super) queue: VecDeque<PaymentId>,
    pub(super) in_queue: HashSet<PaymentId>,
    pub(super) slots: Slots,
    pub(super) listeners: HashMap<PaymentId, watch::Sender<Option<News>>>,
    pub(super) claims: HashMap<PaymentId, VecDeque<Claim>>,
    pub(super) claims_made: u64,
    pub(super) is_doubtful: bool,
    /// The newest block at the last look.
    pub(super) head: u64,
    /// Lanes whose signer could not pay for what was sent last.
    pub(super) unfunded: HashSet<LaneId>,
}

pub(super) struct Open {
    pub(super) record: Arc<Record>,
    pub(super) facts_at: Option<Timestamp>,
    pub(super) is_retry: bool,
    pub(super) is_at_work: bool,
    pub(super) admitted: Instant,
    pub(super) looked: Option<Instant>,
    pub(super) sought: Instant,
}

pub(super) const fn is_over(settlement: &Settlement) -> bool {
    matches!(settlement.state(), State::Final | State::Failed | State::Withdrawn)
}

impl Open {
    /// It may land at any moment.
    pub(super) fn is_flying(&self) -> bool {
        matches!(self.record.settlement, Settlement::InFlight { setback: None, .. })
    }

    /// The lane may carry it: any may, unless the payer has named one.
    fn is_for(&self, lane: &LaneId) -> bool {
        let named = self.record.authorization.signer.as_ref();
        named.is_none_or(|signer| *signer == lane.signer)
    }

    pub(super) fn new(record: Record, facts_at: Option<Timestamp>) -> Self {
        let now = Instant::now();
        Self {
            record: Arc::new(record),
            facts_at,
            is_retry: false,
            is_at_work: false,
            admitted: now,
            looked: None,
            sought: now,
        }
    }

    pub(super) fn look(&mut self, now: Instant, patience: Duration, slots: &Slots) -> Look {
        // After a restart much may have happened that we did not see.
        let is_first_after_restart = self.looked.replace(now).is_none() && self.facts_at.is_none();
        let is_overdue = now.duration_since(self.admitted) >= patience && now.duration_since(self.sought) >= patience;
        let seek = is_first_after_restart || is_overdue;
        if seek {
            self.sought = now;
        }
        Look {
            record: Arc::clone(&self.record),
            txs: slots.alive(&self.record.txs),
            seek,
        }
    }
}

impl Inner {
    pub(super) fn enqueue(&mut self, id: PaymentId) {
        let is_at_work = self.open.get(&id).is_some_and(|open| open.is_at_work);
        if !is_at_work && self.in_queue.insert(id) {
            self.queue.push_back(id);
        }
    }

    /// The lane takes no payments now. One that has nothing out finds out by sending whether it can pay again.
    pub(super) fn is_paused(&self, lane: &LaneId) -> bool {
        self.unfunded.contains(lane) && self.slots.in_flight(lane) > 0
    }

    /// How many of the waiting payments the lane may carry.
    pub(super) fn waiting_for(&self, lane: &LaneId) -> usize {
        let waiting = self.queue.iter().filter_map(|id| self.open.get(id));
        waiting.filter(|open| open.is_for(lane)).count()
    }

    /// The oldest payment that waits for the lane and all that may share its transaction.
    pub(super) fn take(&mut self, lane: &LaneId, batch_max: usize) -> Option<Cargo> {
        let mut cargo: Option<Cargo> = None;
        let mut left = VecDeque::new();
        while let Some(id) = self.queue.pop_front() {
            let Some(open) = self.open.get_mut(&id) else {
                self.in_queue.remove(&id);
                continue;
            };
            let goes_alone = open.record.must_go_alone || open.is_retry;
            let fits = cargo
                .as_ref()
                .is_none_or(|it| !goes_alone && !it.is_retry && !it.is_alone());
            if !fits || !open.is_for(lane) {
                left.push_back(id);
                continue;
            }
            self.in_queue.remove(&id);
            open.is_at_work = true;
            let item = CargoItem {
                record: Arc::clone(&open.record),
                facts_at: open.facts_at,
            };
            let it = cargo.get_or_insert_with(|| Cargo {
                items: Vec::new(),
                is_retry: open.is_retry,
            });
            it.items.push(item);
            if goes_alone || it.items.len() >= batch_max {
                break;
            }
        }
        left.append(&mut self.queue);
        self.queue = left;
        cargo
    }

    /// These payments are in flight by this transaction now.
    pub(super) fn board(&mut self, tx: &TxId, payments: &[PaymentId]) {
        for id in payments {
            if let Some(open) = self.open.get_mut(id) {
                let record = Arc::make_mut(&mut open.record);
                record.txs.push(tx.clone());
                record.settlement = Settlement::InFlight {
                    tx: tx.clone(),
                    setback: None,
                };
                record.version = record.version.saturating_add(1);
                open.is_retry = false;
            }
            self.publish(*id);
        }
    }

    /// Takes a claim out of the line. False when it stands there no more.
    pub(super) fn leave_line(&mut self, id: PaymentId, number: u64) -> bool {
        let Some(claims) = self.claims.get_mut(&id) else {
            return false;
        };
        let before = claims.len();
        claims.retain(|claim| claim.number != number);
        let was_there = claims.len() < before;
        if claims.is_empty() {
            self.claims.remove(&id);
        }
        was_there
    }

    pub(super) fn publish(&self, id: PaymentId) {
        if let (Some(listener), Some(open)) = (self.listeners.get(&id), self.open.get(&id)) {
            listener.send_replace(Some(News::Moved(open.record.settlement.clone())));
        }
    }
}

impl Cargo {
    pub(super) fn is_alone(&self) -> bool {
        self.items.iter().any(|item| item.record.must_go_alone)
    }
}
