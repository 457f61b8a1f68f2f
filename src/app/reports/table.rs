//! What reports consist of: named columns in a fixed order, and rows of cells.
//!
//! Columns are never renamed or moved; additions go at the end.

use crate::domain::labels::{Label, Metadata};
use crate::domain::rail::ChainPoint;
use crate::domain::refund::Purpose;
use crate::domain::time::Timestamp;
use crate::export::Decimals;
use crate::store::{DateTime, Exception, Summary, Utc};

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
pub fn settlement(payment: Summary, decimals: &Decimals) -> Vec<Cell> {
    let references: Vec<String> = payment
        .references
        .iter()
        .map(|it| format!("{}={}", it.kind.as_str(), it.value))
        .collect();
    let (labels, landing, purpose) = (payment.labels, payment.landing, Purpose::of(&payment.references));
    let words = |label: Option<Label>| maybe(label.map(|it| it.to_string()));
    vec![
        Cell::Text(payment.id.to_string()),
        Cell::Time(payment.created_at),
        of(payment.state.as_str()),
        of(payment.network.as_str()),
        of(payment.asset.as_str()),
        maybe(Some(payment.payer)),
        maybe(Some(payment.pay_to)),
        Cell::Text(payment.amount.to_string()),
        maybe(Some(decimals.write(&payment.network, &payment.asset, payment.amount))),
        maybe(Some(payment.nonce)),
        maybe(payment.tx.map(|it| it.0)),
        number(landing.map(|it| it.log_index)),
        number(landing.map(|it| it.height)),
        landing.map_or(Cell::Empty, |it| instant(it.time)),
        payment.confirmed_at.map_or(Cell::Empty, Cell::Time),
        payment.final_at.map_or(Cell::Empty, Cell::Time),
        maybe(payment.resource_url),
        maybe(Some(references.join(" "))),
        maybe(payment.memo),
        of(payment.scheme.as_str()),
        Cell::Text(payment.key.to_string()),
        words(labels.merchant_reference),
        words(labels.order_id),
        labels.metadata.as_ref().map_or(Cell::Empty, metadata),
        maybe(payment.reconciliation.map(crate::domain::reconciliation::State::as_str)),
        payment.gas.map_or(Cell::Empty, |it| Cell::Text(it.to_string())),
        Cell::Text(payment.refunded.to_string()),
        maybe(Some(decimals.write(&payment.network, &payment.asset, payment.refunded))),
        maybe(purpose.map(|it| it.payment.to_string())),
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
        maybe(exception.handled.map(|it| it.as_str().to_owned())),
        exception.payment.map_or(Cell::Empty, |it| Cell::Text(it.to_string())),
        of(exception.network.as_str()),
        of(&exception.asset),
        of(&exception.pay_to),
        Cell::Text(exception.amount.to_string()),
        of(&decimals.write(&exception.network, &exception.asset, exception.amount)),
        maybe(exception.tx.as_ref().map(|tx| tx.0.clone())),
        number(exception.height),
    ]
}

pub(super) fn of(text: &str) -> Cell {
    maybe(Some(text))
}

/// No text says the same as an empty one: formats differ in whether they can tell the two apart.
pub(super) fn maybe(text: Option<impl Into<String>>) -> Cell {
    text.map(Into::into)
        .filter(|it: &String| !it.is_empty())
        .map_or(Cell::Empty, Cell::Text)
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
