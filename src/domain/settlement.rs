//! Where a payment's money is: the states, what may follow what, and what to do next. Total and pure.
//!
//! ```text
//! Reserved ── sign + persist ──> InFlight ── deep enough ──> Confirmed ── finalized ──> Final
//!    │  │                         │   ^  └ set back, tried again alone ┘   │
//!    │  └── proof ──> Failed <────┘   └───────── reorganized away ─────────┘
//!    └── refused before anything was signed ──> Withdrawn ── verified anew ──> Reserved
//! ```
//!
//! Money rules that live here: nothing is failed without a proof taken at a finalized block; a reverted
//! transaction is only a [`Setback`], since anybody may submit the same authorization until its window closes;
//! anybody's transaction may land it. `Withdrawn` is not `Failed`: it says that we have signed nothing and
//! will not, and it does not block the payment from being presented again.

use crate::domain::authorization::Window;
use crate::domain::rail::{ChainPoint, Observation, TxId};
use crate::domain::time::Timestamp;
use crate::seeded::Bug;

/// Where a payment's money is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// On record, nothing signed.
    Reserved,
    /// Signed bytes exist and may be anywhere.
    InFlight {
        /// The newest of our transactions that carries it.
        tx: TxId,
        /// What the chain made of an earlier look at it.
        setback: Option<Setback>,
    },
    /// Its transfer stands in a canonical block, deep enough to answer for.
    Confirmed {
        /// Where.
        landed: Landed,
        /// The newest of our transactions that carried it, if any did.
        tx: Option<TxId>,
    },
    /// Its transfer can no longer be undone.
    Final {
        /// Where.
        landed: Landed,
    },
    /// It is proven that it can never land.
    Failed {
        /// The proof.
        proof: CannotLand,
    },
    /// Refused before anything was signed.
    Withdrawn,
}

/// A settlement's state without its data: what is stored, listed and reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// [`Settlement::Reserved`].
    Reserved,
    /// [`Settlement::InFlight`].
    InFlight,
    /// [`Settlement::Confirmed`].
    Confirmed,
    /// [`Settlement::Final`].
    Final,
    /// [`Settlement::Failed`].
    Failed,
    /// [`Settlement::Withdrawn`].
    Withdrawn,
}

impl State {
    /// All states, in the order a payment meets them.
    pub const ALL: [Self; 6] = [
        Self::Reserved,
        Self::InFlight,
        Self::Confirmed,
        Self::Final,
        Self::Failed,
        Self::Withdrawn,
    ];

    /// The states in which something is still to be done.
    pub const OPEN: [Self; 3] = [Self::Reserved, Self::InFlight, Self::Confirmed];

    /// The states in which nobody can be told yet what became of the money.
    pub const UNSETTLED: [Self; 2] = [Self::Reserved, Self::InFlight];

    /// The state's stored and public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::InFlight => "in_flight",
            Self::Confirmed => "confirmed",
            Self::Final => "final",
            Self::Failed => "failed",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A transfer in a canonical block, with the terms' asset, parties and amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The transaction: ours or anybody's.
    pub tx: TxId,
    /// The transfer's log index within the block; on Solana the transfer's instruction within the transaction,
    /// counted from 0.
    pub log_index: u64,
    /// The block.
    pub block: ChainPoint,
    /// It has as many confirmations as the network's configuration asks for.
    pub is_deep_enough: bool,
    /// Its block can no longer be undone.
    pub is_final: bool,
}

/// Our transaction was mined, and the payment's money did not move as the terms ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setback {
    /// The call failed.
    Reverted {
        /// The transaction.
        tx: TxId,
    },
    /// The call succeeded without the transfer that the terms ask for.
    TransferMissing {
        /// The transaction.
        tx: TxId,
    },
}

/// Proof that a payment can never land, as of a finalized block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CannotLand {
    /// The payer cancelled the authorization.
    Cancelled {
        /// In this transaction.
        tx: TxId,
        /// In this block.
        block: ChainPoint,
    },
    /// The authorization was used for something other than the terms.
    UsedOtherwise {
        /// In this transaction.
        tx: TxId,
        /// In this block.
        block: ChainPoint,
    },
    /// Our transaction failed on the chain, which never processes a transaction twice, and nobody but us could have
    /// sent another that carries this payment.
    FailedOnChain {
        /// The transaction.
        tx: TxId,
        /// In this block.
        block: ChainPoint,
    },
    /// The window closed with the authorization unused.
    WindowClosed {
        /// A finalized block at or after the window's end, at which the authorization was unused.
        block: ChainPoint,
    },
}

impl CannotLand {
    /// The proof's stored name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Cancelled { .. } => "cancelled",
            Self::UsedOtherwise { .. } => "used_otherwise",
            Self::FailedOnChain { .. } => "failed_on_chain",
            Self::WindowClosed { .. } => "window_closed",
        }
    }

    /// The finalized block that proves it.
    #[must_use]
    pub const fn block(&self) -> &ChainPoint {
        match self {
            Self::Cancelled { block, .. }
            | Self::UsedOtherwise { block, .. }
            | Self::FailedOnChain { block, .. }
            | Self::WindowClosed { block } => block,
        }
    }

    /// The transaction that made it impossible, if one did.
    #[must_use]
    pub const fn tx(&self) -> Option<&TxId> {
        match self {
            Self::Cancelled { tx, .. } | Self::UsedOtherwise { tx, .. } | Self::FailedOnChain { tx, .. } => Some(tx),
            Self::WindowClosed { .. } => None,
        }
    }
}

/// What to do next about one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Put it into a transaction of ours, by itself or with others.
    Sign {
        /// It must not share the transaction.
        alone: bool,
    },
    /// Record what happened.
    Record(Event),
    /// Look again later.
    Wait,
    /// Nothing is left to do.
    Stop,
}

/// Something that happened to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes that carry it were signed and stored.
    Signed(TxId),
    /// Our transaction was mined without moving its money.
    SetBack(Setback),
    /// Its transfer is deep enough to answer for.
    Confirmed(Landed),
    /// The same, after it was said that its money had not moved: somebody else's transaction, or another block with ours.
    LateSettled(Landed),
    /// The block that held its transfer is no longer canonical.
    Reversed,
    /// Its transfer can no longer be undone.
    Finalized(Landed),
    /// It can never land.
    Failed(CannotLand),
    /// It was refused before anything was signed.
    Withdrawn,
    /// It was verified anew after a withdrawal.
    Reopened,
}

impl Event {
    /// The event's stored and public name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Signed(_) => "payment.signed",
            Self::SetBack(_) => "payment.set_back",
            Self::Confirmed(_) => "payment.confirmed",
            Self::LateSettled(_) => "payment.late_settled",
            Self::Reversed => "payment.reversed",
            Self::Finalized(_) => "payment.finalized",
            Self::Failed(_) => "payment.failed",
            Self::Withdrawn => "payment.withdrawn",
            Self::Reopened => "payment.reopened",
        }
    }
}

/// An event that cannot follow the state: a bug of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot follow the state {state}")]
pub struct IllegalTransition {
    /// The state.
    pub state: &'static str,
    /// The event.
    pub event: &'static str,
}

impl Settlement {
    /// The state without its data.
    #[must_use]
    pub const fn state(&self) -> State {
        match self {
            Self::Reserved => State::Reserved,
            Self::InFlight { .. } => State::InFlight,
            Self::Confirmed { .. } => State::Confirmed,
            Self::Final { .. } => State::Final,
            Self::Failed { .. } => State::Failed,
            Self::Withdrawn => State::Withdrawn,
        }
    }

    /// Where its money landed, as far as we answer for it.
    #[must_use]
    pub const fn landed(&self) -> Option<&Landed> {
        match self {
            Self::Confirmed { landed, .. } | Self::Final { landed } => Some(landed),
            Self::Reserved | Self::InFlight { .. } | Self::Failed { .. } | Self::Withdrawn => None,
        }
    }
}

/// What to do about a payment in this state, given what the chain shows. `now` only decides whether it is
/// still worth signing; whether the window has closed is the chain's to say.
#[must_use]
pub fn next_step(at: &Settlement, seen: &Observation, window: Window, now: Timestamp) -> Step {
    let is_open = window.may_be_open(now);
    match (at, seen) {
        (Settlement::Final { .. } | Settlement::Failed { .. } | Settlement::Withdrawn, _) => Step::Stop,

        (Settlement::Reserved | Settlement::InFlight { .. }, Observation::Landed(landed)) if !landed.is_deep_enough => {
            Step::Wait
        }
        (Settlement::InFlight { setback: Some(_), .. }, Observation::Landed(landed)) => {
            Step::Record(Event::LateSettled(landed.clone()))
        }
        (Settlement::Reserved | Settlement::InFlight { .. }, Observation::Landed(landed)) => {
            Step::Record(Event::Confirmed(landed.clone()))
        }
        (Settlement::Reserved | Settlement::InFlight { .. }, Observation::CannotLand(proof)) => {
            Step::Record(Event::Failed(proof.clone()))
        }
        (Settlement::Reserved, Observation::Unseen { .. }) if is_open => Step::Sign { alone: false },
        // Its seats are lost and it was never tried in them: it takes another.
        (Settlement::InFlight { setback: None, .. }, Observation::Stranded) if is_open => Step::Sign { alone: true },
        // A transaction mined without its money, though we have none on record: another's attempt. Not ours to
        // answer for, and no proof.
        (Settlement::Reserved, Observation::Unseen { .. } | Observation::SetBack { .. })
        | (Settlement::InFlight { .. }, Observation::Unseen { .. })
        | (Settlement::Reserved | Settlement::InFlight { .. } | Settlement::Confirmed { .. }, Observation::Stranded) => {
            Step::Wait
        }

        // A whole batch failed: the payment may be innocent. By itself it gets a second chance.
        (Settlement::InFlight { setback: None, .. }, Observation::SetBack { shared: true, .. }) if is_open => {
            Step::Sign { alone: true }
        }
        (Settlement::InFlight { setback: known, .. }, Observation::SetBack { setback, .. }) => {
            if known.as_ref() == Some(setback) {
                Step::Wait
            } else {
                Step::Record(if Bug::RevertIsFailure.is_on() {
                    revert_is_failure(setback)
                } else {
                    Event::SetBack(setback.clone())
                })
            }
        }

        (Settlement::Confirmed { landed: known, .. }, Observation::Landed(landed)) => {
            let is_elsewhere = known.block.hash != landed.block.hash || known.tx != landed.tx;
            if is_elsewhere && !Bug::ReorganizationIgnored.is_on() {
                Step::Record(Event::Reversed)
            } else if landed.is_final {
                Step::Record(Event::Finalized(landed.clone()))
            } else {
                Step::Wait
            }
        }
        // Gone from the chain, and not because a lagging node has yet to see the block.
        (Settlement::Confirmed { landed, .. }, Observation::Unseen { head }) => {
            if *head >= landed.block.height || Bug::LaggingNodeReverses.is_on() {
                Step::Record(Event::Reversed)
            } else {
                Step::Wait
            }
        }
        (Settlement::Confirmed { .. }, Observation::SetBack { .. } | Observation::CannotLand(_)) => {
            Step::Record(Event::Reversed)
        }
    }
}

/// The state after an event.
///
/// # Errors
/// The event cannot follow the state; nothing may be written.
pub fn apply(at: Settlement, event: &Event) -> Result<Settlement, IllegalTransition> {
    let illegal = IllegalTransition {
        state: at.state().as_str(),
        event: event.as_str(),
    };
    match (at, event) {
        (Settlement::Reserved | Settlement::InFlight { .. }, Event::Signed(tx)) => Ok(Settlement::InFlight {
            tx: tx.clone(),
            setback: None,
        }),
        (Settlement::InFlight { tx, .. }, Event::SetBack(setback)) => Ok(Settlement::InFlight {
            tx,
            setback: Some(setback.clone()),
        }),
        (Settlement::Reserved, Event::Confirmed(landed)) => Ok(Settlement::Confirmed {
            landed: landed.clone(),
            tx: None,
        }),
        (Settlement::InFlight { tx, setback: None }, Event::Confirmed(landed))
        | (Settlement::InFlight { tx, setback: Some(_) }, Event::LateSettled(landed)) => Ok(Settlement::Confirmed {
            landed: landed.clone(),
            tx: Some(tx),
        }),
        (Settlement::Confirmed { tx: Some(tx), .. }, Event::Reversed) if !Bug::ReversalForgetsTransaction.is_on() => {
            Ok(Settlement::InFlight { tx, setback: None })
        }
        (Settlement::Confirmed { .. }, Event::Reversed) | (Settlement::Withdrawn, Event::Reopened) => {
            Ok(Settlement::Reserved)
        }
        (Settlement::Confirmed { .. }, Event::Finalized(landed)) => Ok(Settlement::Final { landed: landed.clone() }),
        (Settlement::Reserved | Settlement::InFlight { .. }, Event::Failed(proof)) => {
            Ok(Settlement::Failed { proof: proof.clone() })
        }
        (Settlement::InFlight { .. }, Event::Withdrawn) if Bug::WithdrawnAfterSigning.is_on() => {
            Ok(Settlement::Withdrawn)
        }
        (Settlement::Reserved, Event::Withdrawn) => Ok(Settlement::Withdrawn),
        _ => Err(illegal),
    }
}

/// [`Bug::RevertIsFailure`].
fn revert_is_failure(setback: &Setback) -> Event {
    let (Setback::Reverted { tx } | Setback::TransferMissing { tx }) = setback;
    Event::Failed(CannotLand::FailedOnChain {
        tx: tx.clone(),
        block: ChainPoint {
            height: 0,
            hash: String::new(),
            time: Timestamp(0),
        },
    })
}

#[cfg(test)]
#[path = "settlement_tests.rs"]
mod tests;
