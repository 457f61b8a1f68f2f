//! Callers who wait for a payment: what they hear, and which of them is told of its success.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::app::board::{Board, News};
use crate::app::settle::Caller;
use crate::domain::id::PaymentId;
use crate::domain::outcome::Outcome;

/// One caller's wish to be the one who is told of a payment's success.
pub struct Claim {
    pub(super) number: u64,
    /// Who wants to be told.
    pub caller: Caller,
    pub(super) granted: oneshot::Sender<(Outcome, Vec<u8>)>,
}

impl Claim {
    /// The grant to this caller is on record, with this answer.
    pub fn grant(self, settled: Outcome, answer: Vec<u8>) {
        // A caller who has just gone away leaves the grant unheard, as one does whose answer is lost on its way.
        drop(self.granted.send((settled, answer)));
    }
}

/// What became of a claim.
pub enum Granted {
    /// It was granted, with this answer.
    To(Outcome, Vec<u8>),
    /// Nobody has asked the database on this caller's behalf.
    NotAsked,
    /// The database was asked, and it was not granted or nobody heard.
    Unknown,
}

/// One caller's ear for one payment.
pub struct Subscription {
    pub(super) id: PaymentId,
    pub(super) receiver: watch::Receiver<Option<News>>,
    pub(super) grant: Option<oneshot::Receiver<(Outcome, Vec<u8>)>>,
    pub(super) number: u64,
    pub(super) board: Arc<Board>,
}

impl Subscription {
    /// The next news: only the newest counts. None when there will be no more.
    pub async fn next(&mut self) -> Option<News> {
        self.receiver.changed().await.ok()?;
        self.receiver.borrow_and_update().clone()
    }

    /// What became of this caller's claim; nothing will be granted through this subscription afterwards.
    pub async fn granted(&mut self) -> Granted {
        let Some(grant) = self.grant.take() else {
            return Granted::NotAsked;
        };
        // Out of the line, so that no grant begins from here on. One that has begun is waited for: it is on record
        // or given up in a moment.
        if self.board.lock().leave_line(self.id, self.number) {
            return Granted::NotAsked;
        }
        grant
            .await
            .map_or(Granted::Unknown, |(settled, answer)| Granted::To(settled, answer))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = self.board.lock();
        inner.leave_line(self.id, self.number);
        let is_last = inner
            .listeners
            .get(&self.id)
            .is_some_and(|listener| listener.receiver_count() <= 1);
        if is_last {
            inner.listeners.remove(&self.id);
        }
    }
}
