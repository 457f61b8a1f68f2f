//! What is news of an account among blocks that are read for several together.

use crate::domain::reconciliation::{Held, Transfer};
use crate::store::Followed;

/// What a reading shows of one account.
pub(super) struct Passage<'a> {
    pub(super) of: &'a Followed,
    /// The first block whose transfers are news.
    since: u64,
    /// The first block of those before which it is known what it held.
    pub(super) held_since: u64,
    pub(super) held: Held,
    /// All, in the chain's order.
    transfers: Vec<Transfer>,
}

impl<'a> Passage<'a> {
    /// Of an account whose next block is among those that were read from `from` on.
    pub(super) fn next(of: &'a Followed, from: u64, held: Held, transfers: Vec<Transfer>) -> Self {
        let since = of.scanned.end;
        let before = of.balance.or(held.before);
        // Where the chain only tells of what moved, what did not move is what it was.
        let after = held.after.or(before.filter(|_| transfers.is_empty()));
        Self {
            of,
            since,
            held_since: if of.balance.is_some() { since } else { from },
            held: Held { before, after },
            transfers,
        }
    }

    /// Of blocks that are read whatever was read before.
    pub(super) fn again(of: &'a Followed, from: u64, held: Held, transfers: Vec<Transfer>) -> Self {
        Self {
            of,
            since: from,
            held_since: from,
            held,
            transfers,
        }
    }

    pub(super) fn news(&self) -> impl Iterator<Item = &Transfer> {
        self.transfers.iter().filter(|it| it.block.height >= self.since)
    }

    /// Those that lie between what it held before and after.
    pub(super) fn weighed(&self) -> impl Iterator<Item = &Transfer> {
        self.transfers.iter().filter(|it| it.block.height >= self.held_since)
    }
}
