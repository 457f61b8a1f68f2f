//! For how long the payments on the board have been under way: what operators watch.

use std::time::Duration;

use crate::app::board::Board;
use crate::domain::authorization::Window;
use crate::domain::id::PaymentId;
use crate::domain::settlement::State;
use crate::domain::time::Timestamp;

/// What this process knows of the payments that are neither settled nor over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// How many.
    pub count: usize,
    /// Since when the oldest has been reserved, in seconds; 0 when there is none.
    pub oldest: u64,
    /// How many of them have a window that ended at a time, and are not yet proven to have failed.
    pub overdue: usize,
}

impl Board {
    /// The payments that are neither settled nor over.
    #[must_use]
    pub fn unsettled(&self, now: Timestamp) -> Unsettled {
        let inner = self.lock();
        let records = inner.open.values().map(|open| &open.record);
        let unsettled = records.filter(|it| State::UNSETTLED.contains(&it.settlement.state()));
        unsettled.fold(Unsettled::default(), |found, record| {
            let reserved = u64::try_from(record.created_at.timestamp()).unwrap_or_default();
            let is_overdue = matches!(record.authorization.window, Window::Time { before, .. } if before <= now);
            Unsettled {
                count: found.count.saturating_add(1),
                oldest: found.oldest.max(now.since(Timestamp(reserved))),
                overdue: found.overdue.saturating_add(usize::from(is_overdue)),
            }
        })
    }

    /// For how long this process has known of the payment.
    #[must_use]
    pub fn known_for(&self, id: PaymentId) -> Option<Duration> {
        self.lock().open.get(&id).map(|open| open.admitted.elapsed())
    }

    /// For how long each of these payments that are known here has stood where it stands, as far as this process knows.
    #[must_use]
    pub fn stood_for(&self, payments: &[PaymentId]) -> Vec<(PaymentId, Duration)> {
        let inner = self.lock();
        let open = payments.iter().filter_map(|id| Some((*id, inner.open.get(id)?)));
        open.map(|(id, open)| (id, open.moved.elapsed())).collect()
    }

    /// For how long this process has known of each of these payments that nothing was ever sent for.
    #[must_use]
    pub fn unsent_for(&self, payments: &[PaymentId]) -> Vec<Duration> {
        let inner = self.lock();
        let open = payments.iter().filter_map(|id| inner.open.get(id));
        let unsent = open.filter(|open| open.record.txs.is_empty());
        unsent.map(|open| open.admitted.elapsed()).collect()
    }
}
