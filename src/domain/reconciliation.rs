//! The records held against the transfers that the chain shows, both ways. Pure and total.
//!
//! A transfer belongs to the record whose authorization it used: that is what the chain lets happen once. Transactions and
//! places in them are evidence, not identity. Only finalized blocks are compared, so that no reorganization invents
//! anything.

use std::ops::{Range, RangeInclusive};

use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::id::PaymentId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::settlement::{Landed, Settlement};

/// What somebody holds of an asset on a network: a `payTo` that was ever paid through us. Canonical texts of the rail.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    /// The asset.
    pub asset: String,
    /// Who holds it.
    pub holder: String,
}

/// Which way an asset moved, as its holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Into the account.
    Credit,
    /// Out of it.
    Debit,
}

impl Direction {
    /// The direction's stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
        }
    }
}

/// A transfer into or out of a watched account, in a block. One between two of them is seen from both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The account.
    pub account: Account,
    /// Into it or out of it.
    pub direction: Direction,
    /// Who is on the other side; none where the chain does not say.
    pub counterparty: Option<String>,
    /// Atomic units; 2^128 and more are told as 2^128-1.
    pub amount: Amount,
    /// The transaction.
    pub tx: TxId,
    /// Its place, as [`Landed::log_index`] counts.
    pub index: u64,
    /// The block.
    pub block: ChainPoint,
    /// Who had signed the authorization that it used, where the chain tells (EIP-3009 `AuthorizationUsed`).
    pub authorizer: Option<String>,
    /// That authorization's nonce, as [`Authorization::nonce`] is written (Solana: of every transaction); none for a
    /// transfer without one.
    pub nonce: Option<String>,
    /// The note that the chain shows beside it.
    pub memo: Option<String>,
    /// Who sent the transaction and paid for it.
    pub sender: String,
}

/// What blocks show of some accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The last block that was read. Reading may have ended before what was asked for.
    pub until: u64,
    /// The transfers, in the chain's order.
    pub transfers: Vec<Transfer>,
    /// What each account held before the first and after the last of these blocks, in the order asked for.
    pub balances: Vec<Held>,
}

/// What an account held around some blocks; none where the node does not know it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Before the first of them.
    pub before: Option<Amount>,
    /// After the last.
    pub after: Option<Amount>,
}

/// Where a record and the chain stand with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not comparable yet.
    Pending,
    /// One record and one transfer that say the same; or a record that says nothing has moved, and nothing has.
    Matched,
    /// The record says settled, and the chain does not show it.
    MissingOnChain,
    /// A transfer into a watched account that belongs to no record.
    UnknownOnChain,
    /// Another amount than the record's.
    AmountMismatch,
    /// Another asset.
    AssetMismatch,
    /// Another payer or recipient.
    PartyMismatch,
    /// The record says that nothing moves, and its money has moved. The most urgent: somebody was told to pay again.
    StatusMismatch,
    /// Two transfers for one order.
    Duplicate,
    /// A success was told that a reorganization has taken away or put elsewhere.
    OrphanedReorg,
    /// What an account holds has changed by something else than its transfers.
    BalanceMismatch,
}

impl State {
    /// All states.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Matched,
        Self::MissingOnChain,
        Self::UnknownOnChain,
        Self::AmountMismatch,
        Self::AssetMismatch,
        Self::PartyMismatch,
        Self::StatusMismatch,
        Self::Duplicate,
        Self::OrphanedReorg,
        Self::BalanceMismatch,
    ];

    /// The state's stored and public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Matched => "matched",
            Self::MissingOnChain => "missing_on_chain",
            Self::UnknownOnChain => "unknown_on_chain",
            Self::AmountMismatch => "amount_mismatch",
            Self::AssetMismatch => "asset_mismatch",
            Self::PartyMismatch => "party_mismatch",
            Self::StatusMismatch => "status_mismatch",
            Self::Duplicate => "duplicate",
            Self::OrphanedReorg => "orphaned_reorg",
            Self::BalanceMismatch => "balance_mismatch",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Somebody has to look at it.
    #[must_use]
    pub const fn is_exception(self) -> bool {
        !matches!(self, Self::Pending | Self::Matched)
    }
}

/// What became of a comparison, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// Why, in words for an operator.
    pub reason: String,
}

/// A record to compare.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// What was signed.
    pub authorization: &'a Authorization,
    /// Where its money is, as the record has it.
    pub settlement: &'a Settlement,
    /// A caller was told that it is paid.
    pub was_promised: bool,
    /// An earlier payment for the same order that has landed too, or that claims the same transfer.
    pub twin: Option<PaymentId>,
    /// Which side of its transfer is watched: the recipient's, or of what pays a refund the wallet's.
    pub side: Direction,
    /// The blocks that were read for the account on that side; none while it is not watched.
    pub scanned: Option<&'a Range<u64>>,
}

impl Claim<'_> {
    /// The transfer used this authorization; or one with its nonce stands where the record says, which differs from the
    /// record in what else identifies it.
    #[must_use]
    pub fn owns(&self, transfer: &Transfer) -> bool {
        self.is_used_by(transfer) || self.is_nearly_used_by(transfer)
    }

    fn is_used_by(&self, transfer: &Transfer) -> bool {
        let signed = self.authorization;
        let is_by_payer = transfer.authorizer.as_ref().is_none_or(|it| *it == signed.payer);
        transfer.nonce.as_ref() == Some(&signed.nonce) && is_by_payer && transfer.account.asset == signed.asset
    }

    fn is_nearly_used_by(&self, transfer: &Transfer) -> bool {
        let is_there = |landed: &Landed| landed.tx == transfer.tx && landed.log_index == transfer.index;
        transfer.nonce.as_ref() == Some(&self.authorization.nonce) && self.settlement.landed().is_some_and(is_there)
    }

    /// What the record and the transfers with its nonce make of one another.
    #[must_use]
    pub fn judge(&self, transfers: &[Transfer]) -> Verdict {
        let watched = || transfers.iter().filter(|it| it.direction == self.side);
        let mut own: Vec<&Transfer> = watched().filter(|it| self.is_used_by(it)).collect();
        if own.is_empty() {
            own = watched().filter(|it| self.is_nearly_used_by(it)).collect();
        }
        match own.as_slice() {
            [] => self.unseen(),
            [only] => self.seen(only),
            [first, second, ..] => verdict(State::Duplicate, format!("{} and {} both pay it", first.tx, second.tx)),
        }
    }

    fn unseen(&self) -> Verdict {
        let is_read = |height| self.scanned.is_some_and(|it| it.contains(&height));
        match self.settlement {
            Settlement::Reserved | Settlement::InFlight { .. } | Settlement::Confirmed { .. } => {
                verdict(State::Pending, "not final".to_owned())
            }
            Settlement::Final { landed } if is_read(landed.block.height) => verdict(
                State::MissingOnChain,
                format!("{} in block {} does not pay it", landed.tx, landed.block.height),
            ),
            Settlement::Final { .. } => verdict(State::Pending, "its block has not been read".to_owned()),
            Settlement::Failed { proof } if self.was_promised => verdict(
                State::OrphanedReorg,
                format!("success was told, and it failed: {}", proof.as_str()),
            ),
            Settlement::Failed { .. } | Settlement::Withdrawn => {
                verdict(State::Matched, "nothing was to move, and nothing has".to_owned())
            }
        }
    }

    fn seen(&self, transfer: &Transfer) -> Verdict {
        if let Some(differs) = self.difference(transfer) {
            return differs;
        }
        let at = format!("{} in block {}", transfer.tx, transfer.block.height);
        match self.settlement {
            Settlement::Failed { .. } | Settlement::Withdrawn => verdict(
                State::StatusMismatch,
                format!("recorded as {}, and paid by {at}", self.settlement.state().as_str()),
            ),
            Settlement::Reserved | Settlement::InFlight { .. } => {
                verdict(State::Pending, format!("paid by {at}, not on record yet"))
            }
            Settlement::Confirmed { landed, .. } | Settlement::Final { landed } => {
                let is_there = landed.tx == transfer.tx
                    && landed.log_index == transfer.index
                    && landed.block.hash == transfer.block.hash;
                match (is_there, self.settlement, self.twin) {
                    (false, Settlement::Final { .. }, _) => verdict(
                        State::OrphanedReorg,
                        format!(
                            "recorded in {} of block {}, paid by {at}, block {}",
                            landed.tx, landed.block.hash, transfer.block.hash
                        ),
                    ),
                    (false, _, _) => verdict(State::Pending, "not final".to_owned()),
                    (true, _, Some(twin)) => verdict(State::Duplicate, format!("{twin} is paid for the same order")),
                    (true, _, None) => verdict(State::Matched, format!("paid by {at}")),
                }
            }
        }
    }

    /// How the transfer differs from the terms.
    fn difference(&self, transfer: &Transfer) -> Option<Verdict> {
        let signed = self.authorization;
        let differs = |state, what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
            Some(verdict(
                state,
                format!("{what} {expected} on record, {found} on the chain"),
            ))
        };
        if transfer.account.asset != signed.asset {
            return differs(State::AssetMismatch, "asset", &signed.asset, &transfer.account.asset);
        }
        let (holder, found) = (&transfer.account.holder, transfer.counterparty.as_ref());
        let (payer, pay_to) = match transfer.direction {
            Direction::Credit => (None, Some(holder)),
            Direction::Debit => (Some(holder), found),
        };
        if let Some(found) = pay_to.filter(|it| **it != signed.pay_to) {
            return differs(State::PartyMismatch, "recipient", &signed.pay_to, found);
        }
        if let Some(found) = payer.filter(|it| **it != signed.payer) {
            return differs(State::PartyMismatch, "payer", &signed.payer, found);
        }
        if let Some(authorizer) = transfer.authorizer.as_ref().filter(|it| **it != signed.payer) {
            return differs(State::PartyMismatch, "payer", &signed.payer, authorizer);
        }
        if transfer.amount != signed.amount {
            return differs(State::AmountMismatch, "amount", &signed.amount, &transfer.amount);
        }
        None
    }
}

/// What a transfer that belongs to no record looks like. `is_ours` says whether an account is one of our signers.
#[must_use]
pub fn stray(transfer: &Transfer, is_ours: impl Fn(&str) -> bool) -> Verdict {
    let from = transfer.counterparty.as_deref().unwrap_or("somebody");
    let is_self_sent = transfer.counterparty.as_ref() == Some(&transfer.sender);
    let looks = if is_ours(&transfer.sender) {
        "sent by a signer of ours without a record"
    } else if transfer.nonce.is_some() && !is_self_sent {
        "looks like somebody else's settlement"
    } else {
        "a direct transfer"
    };
    verdict(
        State::UnknownOnChain,
        format!("{looks}: {} from {from} in {}", transfer.amount, transfer.tx),
    )
}

/// How much of what an account held around these blocks its transfers in them do not explain; none where they explain it,
/// or where what it held is not known.
#[must_use]
pub fn imbalance<'t>(
    blocks: &RangeInclusive<u64>,
    held: Held,
    transfers: impl Iterator<Item = &'t Transfer>,
) -> Option<(Amount, Verdict)> {
    let (before, after) = (held.before?, held.after?);
    let (mut credits, mut debits) = (Amount::ZERO, Amount::ZERO);
    for it in transfers {
        let sum = match it.direction {
            Direction::Credit => &mut credits,
            Direction::Debit => &mut debits,
        };
        *sum = Amount::from_units(sum.units().saturating_add(it.amount.units()));
    }
    // Compared as sums, so that nothing goes below zero.
    let came = before.units().saturating_add(credits.units());
    let unexplained = came.abs_diff(after.units().saturating_add(debits.units()));
    if unexplained == 0 {
        return None;
    }
    let (first, last) = (blocks.start(), blocks.end());
    let reason = format!("blocks {first} to {last}: {before} before, {credits} in, {debits} out, {after} after");
    Some((Amount::from_units(unexplained), verdict(State::BalanceMismatch, reason)))
}

const fn verdict(state: State, reason: String) -> Verdict {
    Verdict { state, reason }
}

#[cfg(test)]
#[path = "reconciliation_tests.rs"]
mod tests;
