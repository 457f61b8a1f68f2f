//! What reports consist of: named columns in a fixed order, and rows of cells.
//!
//! Columns are never renamed or moved; additions go at the end.

use crate::domain::labels::{Label, Metadata};
use crate::domain::rail::ChainPoint;
use crate::domain::reconciliation;
use crate::domain::refund::Purpose;
use crate::domain::time::Timestamp;
use crate::export::Decimals;
use crate::store::{Action, DateTime, Entry, Exception, Utc};

/// A column: its name, and what its cells are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in every format.
    pub name: &'static str,
    /// What its cells are, where they are not empty.
    pub kind: Kind,
}

/// What cells are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text; amounts too, since no type of spreadsheets and few of databases hold 128 bits.
    Text,
    /// A whole number within 63 bits.
    Integer,
    /// An instant.
    Time,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Not known, or not applicable.
    Empty,
    /// Of a text column.
    Text(String),
    /// Of an integer column.
    Integer(i64),
    /// Of a time column.
    Time(DateTime<Utc>),
}

pub(super) const fn text(name: &'static str) -> Column {
    let kind = Kind::Text;
    Column { name, kind }
}

pub(super) const fn integer(name: &'static str) -> Column {
    let kind = Kind::Integer;
    Column { name, kind }
}

pub(super) const fn time(name: &'static str) -> Column {
    let kind = Kind::Time;
    Column { name, kind }
}

/// Columns of payments.
pub const SETTLEMENTS: [Column; 29] = [
    text("id"),
    time("created_at"),
    text("state"),
    text("network"),
    text("asset"),
    text("payer"),
    text("pay_to"),
    text("amount_atomic"),
    text("amount"),
    text("nonce"),
    text("transaction"),
    integer("log_index"),
    integer("block_number"),
    time("block_time"),
    time("confirmed_at"),
    time("final_at"),
    text("resource"),
    text("references"),
    text("memo"),
    text("scheme"),
    text("authorization_reference"),
    text("merchant_reference"),
    text("order_id"),
    text("metadata"),
    text("reconciliation"),
    text("gas_cost_atomic"),
    text("refunded_atomic"),
    text("refunded"),
    text("refund_of"),
];

/// Columns of the reconciliation's exceptions.
pub const EXCEPTIONS: [Column; 13] = [
    text("id"),
    time("since"),
    text("state"),
    text("reason"),
    text("handled"),
    text("payment_id"),
    text("network"),
    text("asset"),
    text("pay_to"),
    text("amount_atomic"),
    text("amount"),
    text("transaction"),
    integer("block_number"),
];

/// The row of a payment.
#[must_use]
pub fn settlement(entry: &Entry, decimals: &Decimals) -> Vec<Cell> {
    let record = &entry.record;
    let (paid, labels) = (&record.authorization, &record.labels);
    let landed = record.settlement.landed();
    let references: Vec<String> = record
        .references
        .iter()
        .map(|it| format!("{}={}", it.kind.as_str(), it.value))
        .collect();
    let words = |label: &Option<Label>| maybe(label.as_ref().map(Label::as_str));
    vec![
        Cell::Text(record.id.to_string()),
        Cell::Time(record.created_at),
        of(record.settlement.state().as_str()),
        of(record.network.as_str()),
        of(&paid.asset),
        of(&paid.payer),
        of(&paid.pay_to),
        Cell::Text(paid.amount.to_string()),
        of(&decimals.write(&record.network, &paid.asset, paid.amount)),
        of(&paid.nonce),
        maybe(landed.map(|it| &it.tx).or(record.txs.last()).map(|tx| tx.0.as_str())),
        number(landed.map(|it| it.log_index)),
        number(landed.map(|it| it.block.height)),
        landed.map_or(Cell::Empty, |it| block_time(&it.block)),
        record.confirmed_at.map_or(Cell::Empty, Cell::Time),
        record.final_at.map_or(Cell::Empty, Cell::Time),
        maybe(record.resource_url.as_deref()),
        of(&references.join(" ")),
        maybe(paid.memo.as_deref()),
        of(record.scheme.as_str()),
        Cell::Text(paid.key.to_string()),
        words(&labels.merchant_reference),
        words(&labels.order_id),
        labels.metadata.as_ref().map_or(Cell::Empty, metadata),
        maybe(entry.reconciliation.map(reconciliation::State::as_str)),
        entry.gas.map_or(Cell::Empty, |it| Cell::Text(it.to_string())),
        Cell::Text(entry.refunded.to_string()),
        of(&decimals.write(&record.network, &paid.asset, entry.refunded)),
        Purpose::of(&record.references).map_or(Cell::Empty, |it| Cell::Text(it.payment.to_string())),
    ]
}

/// The row of an exception.
#[must_use]
pub fn exception(exception: &Exception, decimals: &Decimals) -> Vec<Cell> {
    vec![
        Cell::Text(exception.id.to_string()),
        Cell::Time(exception.since),
        of(exception.state.as_str()),
        of(&exception.reason),
        maybe(exception.handled.map(Action::as_str)),
        exception.payment.map_or(Cell::Empty, |it| Cell::Text(it.to_string())),
        of(exception.network.as_str()),
        of(&exception.asset),
        of(&exception.pay_to),
        Cell::Text(exception.amount.to_string()),
        of(&decimals.write(&exception.network, &exception.asset, exception.amount)),
        maybe(exception.tx.as_ref().map(|tx| tx.0.as_str())),
        number(exception.height),
    ]
}

pub(super) fn of(text: &str) -> Cell {
    maybe(Some(text))
}

/// No text says the same as an empty one: formats differ in whether they can tell the two apart.
pub(super) fn maybe(text: Option<&str>) -> Cell {
    text.filter(|it| !it.is_empty())
        .map_or(Cell::Empty, |it| Cell::Text(it.to_owned()))
}

pub(super) fn number(value: Option<u64>) -> Cell {
    value
        .and_then(|it| i64::try_from(it).ok())
        .map_or(Cell::Empty, Cell::Integer)
}

pub(super) fn block_time(block: &ChainPoint) -> Cell {
    instant(block.time)
}

pub(super) fn instant(at: Timestamp) -> Cell {
    let seconds = i64::try_from(at.0).ok();
    seconds
        .and_then(|it| DateTime::from_timestamp(it, 0))
        .map_or(Cell::Empty, Cell::Time)
}

fn metadata(metadata: &Metadata) -> Cell {
    Cell::Text(serde_json::json!(metadata.entries()).to_string())
}
