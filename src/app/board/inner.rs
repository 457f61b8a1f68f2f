//! What the board holds, behind its lock.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::board::line::{Choice, Line};
use crate::app::board::slots::Slots;
use crate::app::board::{Cargo, CargoItem, Claim, Look, News};
use crate::domain::budget::Shortage;
use crate::domain::id::PaymentId;
use crate::domain::lease::Lease;
use crate::domain::rail::{LaneId, TxId};
use crate::domain::settlement::{Settlement, State};
use crate::domain::tenant::TenantId;
use crate::domain::time::Timestamp;
use crate::store::Record;

pub(super) struct Inner {
    /// In the order of the ids, so that what is done for all of them is always done in one order.
    pub(super) open: BTreeMap<PaymentId, Open>,
    /// What waits for a lane.
    pub(super) line: Line<TenantId, PaymentId>,
    pub(super) slots: Slots,
    pub(super) listeners: BTreeMap<PaymentId, watch::Sender<Option<News>>>,
    pub(super) claims: HashMap<PaymentId, VecDeque<Claim>>,
    pub(super) claims_made: u64,
    pub(super) is_doubtful: bool,
    /// The newest block at the last look.
    pub(super) head: u64,
    /// Lanes whose signer could not pay for what was sent last.
    pub(super) unfunded: HashSet<LaneId>,
    /// Lanes whose signer holds less than it must.
    pub(super) poor: HashSet<LaneId>,
    /// Those that take on no more payments.
    pub(super) retired: HashSet<LaneId>,
    /// Lanes whose signer may spend no more for now: what is used up, and when that was last found.
    pub(super) short: HashMap<LaneId, (Shortage, Instant)>,
    /// The lanes that this process drives.
    pub(super) held: BTreeMap<LaneId, Held>,
    /// Those that another process drives.
    pub(super) elsewhere: HashSet<LaneId>,
    /// Other processes work on the same records.
    pub(super) has_company: bool,
}

/// A lane that this process drives.
pub(super) struct Held {
    pub(super) lease: Lease,
    /// Nothing new may be signed in it.
    pub(super) is_quarantined: bool,
}

pub(super) struct Open {
    pub(super) record: Arc<Record>,
    pub(super) facts_at: Option<Timestamp>,
    pub(super) is_retry: bool,
    pub(super) is_at_work: bool,
    pub(super) standing: Standing,
    pub(super) admitted: Instant,
    /// Since when it has stood where it stands, as far as this process knows.
    pub(super) moved: Instant,
    pub(super) looked: Option<Instant>,
    pub(super) sought: Instant,
}

/// What came of earlier tries to sign for a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// There were none.
    Good,
    /// One may have failed: the next is counted before it is made.
    Suspect,
    /// One has failed: the next is counted, and must not take others with it.
    Isolated,
}

/// How often a payment that could not be signed for is tried again.
pub(super) const TRIES_MAX: u64 = 5;

pub(super) const fn is_over(settlement: &Settlement) -> bool {
    matches!(settlement.state(), State::Final | State::Failed | State::Withdrawn)
}

impl Open {
    /// It may land at any moment.
    pub(super) fn is_flying(&self) -> bool {
        matches!(self.record.settlement, Settlement::InFlight { setback: None, .. })
    }

    /// It must not share a transaction.
    fn goes_alone(&self) -> bool {
        self.record.must_go_alone || self.is_retry || self.standing == Standing::Isolated
    }

    /// The lane may carry it: any may, unless the payer has named one.
    fn is_for(&self, lane: &LaneId) -> bool {
        let named = self.record.authorization.signer.as_ref();
        named.is_none_or(|signer| *signer == lane.signer)
    }

    pub(super) fn new(record: Record, facts_at: Option<Timestamp>) -> Self {
        let now = Instant::now();
        Self {
            standing: if record.tries > 1 {
                Standing::Isolated
            } else {
                Standing::Good
            },
            record: Arc::new(record),
            facts_at,
            is_retry: false,
            is_at_work: false,
            admitted: now,
            moved: now,
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
        let is_fit = |open: &Open| !open.is_at_work && open.record.tries <= TRIES_MAX;
        if let Some(open) = self.open.get(&id).filter(|it| is_fit(it)) {
            self.line.push(open.record.tenant, id);
        }
    }

    /// The right to sign in the lane, if this process has it.
    pub(super) fn lease(&self, lane: &LaneId) -> Option<Lease> {
        self.held.get(lane).map(|it| it.lease.clone())
    }

    /// Takes over what is on record of these payments, where that is news, and puts in line what waits to be signed for.
    /// What is recovered may have brought down whoever tried before.
    pub(super) fn learn(&mut self, records: Vec<Record>, is_recovered: bool) {
        for record in records {
            let (id, is_over) = (record.id, is_over(&record.settlement));
            match self.open.get_mut(&id) {
                Some(open) if open.record.version >= record.version => {}
                Some(open) => {
                    open.record = Arc::new(record);
                    self.publish(id);
                }
                None if is_over => {}
                None => {
                    let mut open = Open::new(record, None);
                    if is_recovered && open.standing == Standing::Good {
                        open.standing = Standing::Suspect;
                    }
                    self.open.insert(id, open);
                }
            }
            if is_over {
                self.open.remove(&id);
            }
            let is_reserved = |open: &Open| open.record.settlement == Settlement::Reserved;
            if self.open.get(&id).is_some_and(is_reserved) {
                self.enqueue(id);
            }
        }
    }

    /// The lane takes no payments from us now. One that has nothing out finds out by sending whether it can pay again.
    pub(super) fn is_paused(&self, lane: &LaneId) -> bool {
        let is_ours = self.held.get(lane).is_some_and(|it| !it.is_quarantined);
        !is_ours
            || self.retired.contains(lane)
            || self.poor.contains(lane)
            || (self.unfunded.contains(lane) && self.slots.in_flight(lane) > 0)
    }

    /// How many of the waiting payments the lane may carry.
    pub(super) fn waiting_for(&self, lane: &LaneId) -> usize {
        let waiting = self.line.iter().filter_map(|id| self.open.get(id));
        waiting.filter(|open| open.is_for(lane)).count()
    }

    /// The payment that is next in line for the lane and all that may share its transaction, of all tenants in turn.
    pub(super) fn take(&mut self, lane: &LaneId, batch_max: usize) -> Option<Cargo> {
        let mut cargo: Option<Cargo> = None;
        let Self { open, line, .. } = self;
        line.take(|id| {
            let Some(open) = open.get_mut(&id) else {
                return Choice::Drop;
            };
            let goes_alone = open.goes_alone();
            // One that goes alone ends the cargo that it begins.
            let fits = cargo.is_none() || !goes_alone;
            if !fits || !open.is_for(lane) {
                return Choice::Pass;
            }
            open.is_at_work = true;
            let item = CargoItem {
                record: Arc::clone(&open.record),
                facts_at: open.facts_at,
                is_suspect: open.standing != Standing::Good,
            };
            let it = cargo.get_or_insert_with(|| Cargo {
                items: Vec::new(),
                is_retry: open.is_retry,
            });
            it.items.push(item);
            if goes_alone || it.items.len() >= batch_max {
                Choice::TakeLast
            } else {
                Choice::Take
            }
        });
        cargo
    }

    /// These payments are in flight by this transaction now.
    pub(super) fn board(&mut self, tx: &TxId, payments: &[PaymentId]) {
        for id in payments {
            if let Some(open) = self.open.get_mut(id) {
                open.is_retry = false;
                // It, and what came after it, may have been read from the records already.
                if !open.record.txs.contains(tx) {
                    let record = Arc::make_mut(&mut open.record);
                    record.txs.push(tx.clone());
                    record.settlement = Settlement::InFlight {
                        tx: tx.clone(),
                        setback: None,
                    };
                    record.version = record.version.saturating_add(1);
                    open.moved = Instant::now();
                }
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
