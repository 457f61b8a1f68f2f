//! Statements: what was paid to one recipient in one asset on one network in a day, closed once.
//!
//! A statement names the one before it by its hash and its lines by the root of a Merkle tree, so that nothing on a closed
//! one can be changed unnoticed, and one line can be shown to be on it without the others.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::domain::amount::Amount;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::time::Timestamp;

/// SHA-256.
pub type Hash = [u8; 32];

/// Whose statements: what one recipient has of one asset on one network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    /// The network.
    pub network: NetworkId,
    /// The asset, in the rail's canonical text.
    pub asset: String,
    /// The recipient, in the rail's canonical text.
    pub pay_to: String,
}

/// From `starts` on, up to and without `ends`: block times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first second of it.
    pub starts: Timestamp,
    /// The first second after it.
    pub ends: Timestamp,
}

/// A final payment on a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which payment.
    pub payment: PaymentId,
    /// How much.
    pub amount: Amount,
    /// The transaction that moved it.
    pub tx: TxId,
    /// Where in it.
    pub log_index: u64,
    /// Its block.
    pub block: ChainPoint,
}

impl Line {
    /// What the line's place in the tree is made of: `SHA-256(0x00 ‖ text)`, where the text is the payment's id, the amount,
    /// the transaction, the log index, and the block's height, hash and time, each ended by a line feed.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        let fields = [
            self.payment.to_string(),
            self.amount.to_string(),
            self.tx.to_string(),
            self.log_index.to_string(),
            self.block.height.to_string(),
            self.block.hash.clone(),
            self.block.time.0.to_string(),
        ];
        Sha256::new()
            .chain_update([0])
            .chain_update(lines(&fields))
            .finalize()
            .into()
    }
}

/// A closed statement without its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whose.
    pub account: Account,
    /// Counts the account's statements, from 1, without gaps.
    pub sequence: u64,
    /// Which block times it is of. What landed earlier and became final later is on it too.
    pub period: Period,
    /// The closing of the one before; zero on the first.
    pub opening: Amount,
    /// The sum of its lines.
    pub credits: Amount,
    /// The opening and the credits.
    pub closing: Amount,
    /// How many lines it has.
    pub lines: u64,
    /// How many of them landed before the period.
    pub late: u64,
    /// The root of the tree of its lines, in their order ([`root`]).
    pub merkle_root: Hash,
    /// The hash of the one before; none on the first.
    pub previous: Option<Hash>,
}

/// The sums are 2^128 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement's sums are beyond all amounts")]
pub struct TooMuch;

impl Statement {
    /// Closes a period of an account: the statement after `previous`, with these lines in this order.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn close(account: Account, previous: Option<&Self>, period: Period, lines: &[Line]) -> Result<Self, TooMuch> {
        let opening = previous.map_or(Amount::ZERO, |it| it.closing);
        let credits = lines
            .iter()
            .try_fold(Amount::ZERO, |sum, line| sum.checked_add(line.amount))
            .ok_or(TooMuch)?;
        let late = lines.iter().filter(|line| line.block.time < period.starts).count();
        let leaves: Vec<Hash> = lines.iter().map(Line::leaf).collect();
        Ok(Self {
            account,
            sequence: previous.map_or(1, |it| it.sequence.saturating_add(1)),
            period,
            opening,
            credits,
            closing: opening.checked_add(credits).ok_or(TooMuch)?,
            lines: count(lines.len()),
            late: count(late),
            merkle_root: root(&leaves),
            previous: previous.map(Self::hash),
        })
    }

    /// The SHA-256 of what the statement says: `x402 statement 1`, network, asset, recipient, sequence, start and end of the
    /// period, opening, credits, closing, number of lines and of late ones, root, and the previous one's hash (or nothing),
    /// each ended by a line feed; hashes in lower-case hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let fields = [
            "x402 statement 1".to_owned(),
            self.account.network.to_string(),
            self.account.asset.clone(),
            self.account.pay_to.clone(),
            self.sequence.to_string(),
            self.period.starts.0.to_string(),
            self.period.ends.0.to_string(),
            self.opening.to_string(),
            self.credits.to_string(),
            self.closing.to_string(),
            self.lines.to_string(),
            self.late.to_string(),
            hex::encode(self.merkle_root),
            self.previous.map(hex::encode).unwrap_or_default(),
        ];
        Sha256::digest(lines(&fields)).into()
    }
}

/// The root of the Merkle tree over these leaves, as RFC 9162 section 2.1.1 has it: a node is `SHA-256(0x01 ‖ left ‖ right)`,
/// and the left side holds the largest power of two of leaves that leaves something to the right. Of none: SHA-256 of
/// nothing.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(left_side(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// What shows that the leaf at `index` is under the root (RFC 9162 section 2.1.3.1), the nearest first; none when there is
/// no such leaf.
#[must_use]
pub fn inclusion(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    match leaves {
        [_] if index == 0 => Some(Vec::new()),
        [] | [_] => None,
        _ => {
            let (left, right) = leaves.split_at(left_side(leaves.len()));
            let (mut path, other) = match index.checked_sub(left.len()) {
                None => (inclusion(left, index)?, root(right)),
                Some(index) => (inclusion(right, index)?, root(left)),
            };
            path.push(other);
            Some(path)
        }
    }
}

/// The root that the leaf at `index` of `leaves` has by this path; none when the path is not of such a tree.
#[must_use]
pub fn root_of(leaf: &Hash, index: usize, leaves: usize, path: &[Hash]) -> Option<Hash> {
    match (leaves, path) {
        (1, []) if index == 0 => Some(*leaf),
        (2.., [near @ .., other]) if index < leaves => {
            let left = left_side(leaves);
            Some(match index.checked_sub(left) {
                None => node(&root_of(leaf, index, left, near)?, other),
                Some(index) => node(other, &root_of(leaf, index, leaves.checked_sub(left)?, near)?),
            })
        }
        _ => None,
    }
}

/// The largest power of two below `leaves`, which is at least 2.
fn left_side(leaves: usize) -> usize {
    leaves.div_ceil(2).next_power_of_two()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

fn lines(fields: &[String]) -> String {
    fields.iter().fold(String::new(), |mut text, field| {
        // A String takes whatever is written.
        let _always = writeln!(text, "{field}");
        text
    })
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
