//! A statement as books take it: dated movements of the recipient's wallet, each a balanced pair of two accounts.

use chrono::NaiveDate;
use serde::Deserialize;

use crate::domain::calendar::Calendar;
use crate::domain::statement::{Detail, Statement};
use crate::domain::time::Timestamp;

/// What the accounts are called that statements are booked to: names for QuickBooks, codes for Xero.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Accounts {
    /// What is held on the chain: an asset.
    pub wallet: String,
    /// What payments earn.
    pub revenue: String,
    /// The other side of what came in without a record.
    pub other_credits: String,
    /// The other side of what went out.
    pub debits: String,
    /// The other side of what went back to who paid.
    pub refunds: String,
    /// The other side of what nothing explains.
    pub unexplained: String,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            wallet: "Stablecoin wallet".into(),
            revenue: "Sales".into(),
            other_credits: "Unidentified receipts".into(),
            debits: "Transfers out".into(),
            refunds: "Refunds".into(),
            unexplained: "Suspense".into(),
        }
    }
}

/// What a movement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A payment of the period.
    Payment,
    /// A payment that landed before it.
    LatePayment,
    /// Money of a payment that went back.
    Refund,
    /// What came in without a record.
    OtherCredits,
    /// What else went out.
    Debits,
    /// What nothing explains.
    Unexplained,
}

impl Kind {
    /// The kind's public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::LatePayment => "late_payment",
            Self::Refund => "refund",
            Self::OtherCredits => "other_credits",
            Self::Debits => "debits",
            Self::Unexplained => "unexplained",
        }
    }

    /// The account on its other side.
    #[must_use]
    pub fn counterpart(self, accounts: &Accounts) -> &str {
        match self {
            Self::Payment | Self::LatePayment => &accounts.revenue,
            Self::Refund => &accounts.refunds,
            Self::OtherCredits => &accounts.other_credits,
            Self::Debits => &accounts.debits,
            Self::Unexplained => &accounts.unexplained,
        }
    }
}

/// A movement into the wallet, or out of it where it is below zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking<'a> {
    /// What it is.
    pub kind: Kind,
    /// Which payment or refund, if it is one.
    pub detail: Option<&'a Detail>,
    /// The day of its block; of a sum, the last day of the period.
    pub date: NaiveDate,
    /// Atomic units.
    pub exact: i128,
    /// The books' smallest units: by so many the balance changes that books can say, which is the exact one without what
    /// is smaller. So the sums of booked movements are never off by more than one of them.
    pub booked: i128,
}

/// All that moved, in the order of the statement: its lines, then the sums. `unit` is how many atomic units make the books'
/// smallest one, at least 1.
#[must_use]
pub fn bookings<'a>(statement: &Statement, details: &'a [Detail], calendar: Calendar, unit: i128) -> Vec<Booking<'a>> {
    let period = statement.period;
    let last_day = calendar
        .date_of(Timestamp(period.ends.0.saturating_sub(1)))
        .unwrap_or_default();
    let lines = details.iter().map(|detail| {
        let block = &detail.line.block;
        let amount = units(detail.line.amount.units());
        let (kind, exact) = match detail.line.refund {
            Some(_) => (Kind::Refund, amount.saturating_neg()),
            None if block.time < period.starts => (Kind::LatePayment, amount),
            None => (Kind::Payment, amount),
        };
        let date = calendar.date_of(block.time).unwrap_or(last_day);
        (kind, Some(detail), date, exact)
    });
    let sums = [
        (Kind::OtherCredits, statement.other_credits),
        (
            Kind::Debits,
            units(statement.refunds.units()).saturating_sub(units(statement.debits.units())),
        ),
        (Kind::Unexplained, statement.unexplained),
    ];
    let sums = sums.into_iter().filter(|(_, sum)| *sum != 0);
    let mut balance = units(statement.opening.units());
    lines
        .chain(sums.map(|(kind, sum)| (kind, None, last_day, sum)))
        .map(|(kind, detail, date, exact)| {
            let before = balance;
            balance = balance.saturating_add(exact);
            Booking {
                kind,
                detail,
                date,
                exact,
                booked: balance.div_euclid(unit).saturating_sub(before.div_euclid(unit)),
            }
        })
        .collect()
}

/// A statement's sums are below 2^127.
fn units(units: u128) -> i128 {
    i128::try_from(units).unwrap_or(i128::MAX)
}

#[cfg(test)]
#[path = "booking_tests.rs"]
mod tests;
