//! Statements: what came to one recipient in one asset on one network in a day, and went, closed once.
//!
//! A statement reads as a bank's does: it opens and closes with what the account held on the chain, and says of all that
//! moved between the two what came through us, what came otherwise and what went; what none of that explains is a number of
//! its own. It names the one before it by its hash and its lines by the root of a Merkle tree, so that nothing on a closed
//! one can be changed unnoticed, and one line can be shown to be on it without the others.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::domain::amount::Amount;
use crate::domain::id::{PaymentId, RefundId, StatementId};
use crate::domain::merkle::{Hash, root};
use crate::domain::network::NetworkId;
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::time::Timestamp;

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

/// A final payment on a statement, or money of one that went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which payment.
    pub payment: PaymentId,
    /// Which refund of it, where it is one.
    pub refund: Option<RefundId>,
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
    /// The name of what it is: the refund's id, else the payment's.
    #[must_use]
    pub fn name(&self) -> String {
        self.refund
            .map_or_else(|| self.payment.to_string(), |it| it.to_string())
    }

    /// What the line's place in the tree is made of: `SHA-256(0x00 ‖ text)`, where the text is the [`Line::name`], the
    /// amount, the transaction, the log index, and the block's height, hash and time, each ended by a line feed.
    #[must_use]
    pub fn leaf(&self) -> Hash {
        let fields = [
            self.name(),
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

/// A line with what else is known of its payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The line.
    pub line: Line,
    /// Who paid, or gets it back.
    pub payer: String,
    /// The merchant's own name for it: of a refund its own; of a payment the first there is of the gateway's reference, its order, the payment's memo and its
    /// payment identifier.
    pub reference: Option<String>,
}

/// A payment or a refund to put on a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is said of it.
    pub line: Line,
    /// The amount of its transfer, where that is among what came into the account in the period, or was among the other
    /// credits of an earlier statement: it is taken from the other credits, where its line takes its place. None of a
    /// refund.
    pub counted: Option<Amount>,
    /// What carrying it has cost the facilitator so far, in the chain's own coin.
    pub gas: Amount,
}

/// What an account held after a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The block.
    pub block: ChainPoint,
    /// How much.
    pub amount: Amount,
}

/// What the chain shows of an account in a period: nothing of it where nobody could read it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// All that came in, whether on record or not.
    pub credits: Amount,
    /// All that went out.
    pub debits: Amount,
    /// What it held.
    pub held: Bounds,
}

/// What an account held around a period, as far as a node knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Before the first block that counts. Only the account's first statement asks for it.
    pub opening: Option<Amount>,
    /// After the period's last block.
    pub closing: Option<Balance>,
}

/// A closed statement without its lines. Amounts are the asset's atomic units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Our name for it.
    pub id: StatementId,
    /// Whose.
    pub account: Account,
    /// Counts the account's statements, from 1, without gaps.
    pub sequence: u64,
    /// Which block times it is of. A payment that landed earlier and became final later is on it too.
    pub period: Period,
    /// What the account held at the start: the closing of the one before. On the first, what it held before the first block
    /// that counts; where no node knows that, what leaves nothing unexplained, or zero.
    pub opening: Amount,
    /// The sum of the lines of the period.
    pub credits: Amount,
    /// The sum of the lines that landed before it.
    pub late_credits: Amount,
    /// What came in without a line, less what stood here on an earlier statement and has its line on this one, so that it
    /// may be below zero.
    pub other_credits: i128,
    /// What went out.
    pub debits: Amount,
    /// How much of that were refunds: the sum of their lines.
    pub refunds: Amount,
    /// What the chain's balance is more than all of that makes it. Zero when the books close, and where no node knew the
    /// balance.
    pub unexplained: i128,
    /// What the account held at the end: the chain's balance where a node knew it, else what the rest makes it. The opening,
    /// the three credits and the unexplained, less the debits.
    pub closing: Amount,
    /// The evidence of the closing: what the account held at the last block of the period. None where no node knew.
    pub balance: Option<Balance>,
    /// What carrying its lines has cost the facilitator, as far as known when it was closed, in the chain's own coin. Not the
    /// recipient's money, and in none of the sums.
    pub gas: Amount,
    /// How many lines it has.
    pub lines: u64,
    /// How many of them landed before the period.
    pub late: u64,
    /// The root of the tree of its lines, in their order ([`root`]).
    pub merkle_root: Hash,
    /// The hash of the one before; none on the first.
    pub previous: Option<Hash>,
}

/// A sum is 2^127 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the statement's sums are beyond all amounts")]
pub struct TooMuch;

impl Statement {
    /// Closes a period of an account: the statement after `previous`, with these lines in this order.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn close(
        id: StatementId,
        account: Account,
        previous: Option<&Self>,
        period: Period,
        entries: &[Entry],
        shown: Shown,
    ) -> Result<Self, TooMuch> {
        let (refunds, payments): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|it| it.line.refund.is_some());
        let (late, on_time): (Vec<&Entry>, Vec<&Entry>) =
            payments.into_iter().partition(|it| it.line.block.time < period.starts);
        let credits = sum(on_time.iter().map(|it| it.line.amount))?;
        let late_credits = sum(late.iter().map(|it| it.line.amount))?;
        let counted = sum(entries.iter().filter_map(|it| it.counted))?;
        let other_credits = less(units(shown.credits)?, units(counted)?)?;
        let came = plus(plus(units(credits)?, units(late_credits)?)?, other_credits)?;
        let moved = less(came, units(shown.debits)?)?;
        let Bounds {
            opening,
            closing: balance,
        } = shown.held;
        let opening = match (previous, opening, &balance) {
            (Some(previous), _, _) => previous.closing,
            (None, Some(held), _) => held,
            (None, None, Some(balance)) => not_below_zero(less(units(balance.amount)?, moved)?),
            (None, None, None) => Amount::ZERO,
        };
        let expected = plus(units(opening)?, moved)?;
        let closing = balance
            .as_ref()
            .map_or_else(|| not_below_zero(expected), |it| it.amount);
        let leaves: Vec<Hash> = entries.iter().map(|it| it.line.leaf()).collect();
        Ok(Self {
            id,
            account,
            sequence: previous.map_or(1, |it| it.sequence.saturating_add(1)),
            period,
            opening,
            credits,
            late_credits,
            other_credits,
            debits: shown.debits,
            refunds: sum(refunds.iter().map(|it| it.line.amount))?,
            unexplained: less(units(closing)?, expected)?,
            closing,
            balance,
            gas: sum(entries.iter().map(|it| it.gas))?,
            lines: count(entries.len()),
            late: count(late.len()),
            merkle_root: root(&leaves),
            previous: previous.map(Self::hash),
        })
    }

    /// The SHA-256 of what the statement says: `x402 statement 2`, or `x402 statement 3` where it has refunds, id, network, asset, recipient, sequence, start and end of
    /// the period, opening, credits, late credits, other credits, debits, refunds (in version 3 only), unexplained, closing, the height, hash, time and
    /// amount of the balance (or four times nothing), gas, number of lines and of late ones, root, and the previous one's
    /// hash (or nothing), each ended by a line feed; hashes in lower-case hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let of_balance = |said: fn(&Balance) -> String| self.balance.as_ref().map(said).unwrap_or_default();
        let has_refunds = self.refunds > Amount::ZERO;
        let mut fields = vec![
            format!("x402 statement {}", if has_refunds { 3 } else { 2 }),
            self.id.to_string(),
            self.account.network.to_string(),
            self.account.asset.clone(),
            self.account.pay_to.clone(),
            self.sequence.to_string(),
            self.period.starts.0.to_string(),
            self.period.ends.0.to_string(),
            self.opening.to_string(),
            self.credits.to_string(),
            self.late_credits.to_string(),
            self.other_credits.to_string(),
            self.debits.to_string(),
        ];
        fields.extend(has_refunds.then(|| self.refunds.to_string()));
        fields.extend([
            self.unexplained.to_string(),
            self.closing.to_string(),
            of_balance(|it| it.block.height.to_string()),
            of_balance(|it| it.block.hash.clone()),
            of_balance(|it| it.block.time.0.to_string()),
            of_balance(|it| it.amount.to_string()),
            self.gas.to_string(),
            self.lines.to_string(),
            self.late.to_string(),
            hex::encode(self.merkle_root),
            self.previous.map(hex::encode).unwrap_or_default(),
        ]);
        Sha256::digest(lines(&fields)).into()
    }
}

fn sum(mut amounts: impl Iterator<Item = Amount>) -> Result<Amount, TooMuch> {
    let sum = amounts.try_fold(Amount::ZERO, Amount::checked_add);
    sum.ok_or(TooMuch)
}

fn units(amount: Amount) -> Result<i128, TooMuch> {
    amount.units().try_into().map_err(|_| TooMuch)
}

fn plus(one: i128, other: i128) -> Result<i128, TooMuch> {
    one.checked_add(other).ok_or(TooMuch)
}

fn less(one: i128, other: i128) -> Result<i128, TooMuch> {
    one.checked_sub(other).ok_or(TooMuch)
}

fn not_below_zero(units: i128) -> Amount {
    Amount::from_units(u128::try_from(units).unwrap_or_default())
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
