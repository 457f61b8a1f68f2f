//! Statements as CSV: one on a row, or all that moved on one.

use crate::domain::amount::Amount;
use crate::domain::booking::bookings;
use crate::domain::calendar::Calendar;
use crate::domain::merkle::Hash;
use crate::domain::statement::{Balance, Line, Statement};
use crate::export::csv::{decimal, row, time};
use crate::export::{Document, json};

/// Columns of a list of statements. Additions go at the end. Sums are in whole coins, empty where the asset's decimals are
/// not known, and atomic.
pub const COLUMNS: [&str; 33] = [
    "id",
    "network",
    "asset",
    "pay_to",
    "sequence",
    "starts",
    "ends",
    "opening",
    "credits",
    "late_credits",
    "other_credits",
    "debits",
    "unexplained",
    "closing",
    "opening_atomic",
    "credits_atomic",
    "late_credits_atomic",
    "other_credits_atomic",
    "debits_atomic",
    "unexplained_atomic",
    "closing_atomic",
    "balance_atomic",
    "block_number",
    "block_hash",
    "block_time",
    "gas_atomic",
    "lines",
    "late",
    "merkle_root",
    "previous",
    "hash",
    "refunds",
    "refunds_atomic",
];

/// The statement's row.
#[must_use]
pub fn summary(statement: &Statement, hash: &Hash, places: Option<u8>) -> String {
    let account = &statement.account;
    let sums = json::sums(statement);
    let of_balance = |said: fn(&Balance) -> String| statement.balance.as_ref().map(said).unwrap_or_default();
    let mut fields = vec![
        statement.id.to_string(),
        account.network.to_string(),
        account.asset.clone(),
        account.pay_to.clone(),
        statement.sequence.to_string(),
        time(statement.period.starts),
        time(statement.period.ends),
    ];
    fields.extend(sums.iter().map(|sum| in_coins(*sum, places)));
    fields.extend(sums.iter().map(ToString::to_string));
    fields.extend([
        of_balance(|it| it.amount.to_string()),
        of_balance(|it| it.block.height.to_string()),
        of_balance(|it| it.block.hash.clone()),
        of_balance(|it| time(it.block.time)),
        statement.gas.to_string(),
        statement.lines.to_string(),
        statement.late.to_string(),
        hex::encode(statement.merkle_root),
        statement.previous.map(hex::encode).unwrap_or_default(),
        hex::encode(hash),
        in_coins(units(statement.refunds), places),
        statement.refunds.to_string(),
    ]);
    row(&fields)
}

/// Columns of a statement's movements. Additions go at the end.
const MOVEMENT_COLUMNS: [&str; 19] = [
    "statement_id",
    "sequence",
    "type",
    "position",
    "payment_id",
    "booking_date",
    "block_time",
    "amount_atomic",
    "amount",
    "payer",
    "pay_to",
    "network",
    "asset",
    "reference",
    "transaction",
    "log_index",
    "block_number",
    "leaf",
    "refund_id",
];

/// The opening and these movements are the closing.
pub(super) fn movements(document: &Document<'_>, places: Option<u8>, calendar: Calendar) -> String {
    let statement = document.statement;
    let account = &statement.account;
    let mut text = row(&MOVEMENT_COLUMNS);
    for (position, it) in bookings(statement, document.details, calendar, 1).iter().enumerate() {
        let line = it.detail.map(|it| &it.line);
        let of_line = |said: &dyn Fn(&Line) -> String| line.map(said).unwrap_or_default();
        text += &row(&[
            statement.id.to_string(),
            statement.sequence.to_string(),
            it.kind.as_str().to_owned(),
            of_line(&|_| position.to_string()),
            of_line(&|line| line.payment.to_string()),
            it.date.to_string(),
            of_line(&|line| time(line.block.time)),
            it.exact.to_string(),
            in_coins(it.exact, places),
            it.detail.map(|it| it.payer.clone()).unwrap_or_default(),
            account.pay_to.clone(),
            account.network.to_string(),
            account.asset.clone(),
            it.detail.and_then(|it| it.reference.clone()).unwrap_or_default(),
            of_line(&|line| line.tx.to_string()),
            of_line(&|line| line.log_index.to_string()),
            of_line(&|line| line.block.height.to_string()),
            of_line(&|line| hex::encode(line.leaf())),
            of_line(&|line| line.refund.map(|it| it.to_string()).unwrap_or_default()),
        ]);
    }
    text
}

fn in_coins(units: i128, places: Option<u8>) -> String {
    places.map_or_else(String::new, |places| decimal(units, places))
}

/// Atomic units as a signed number; those that a statement has are below 2^127.
pub(super) fn units(amount: Amount) -> i128 {
    i128::try_from(amount.units()).unwrap_or(i128::MAX)
}
