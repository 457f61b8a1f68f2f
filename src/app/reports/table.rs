//! What reports consist of: named columns in a fixed order, and rows of cells.
//!
//! Columns are never renamed or moved; additions go at the end.

use std::borrow::Cow;

use crate::domain::labels::{Label, Metadata};
use crate::domain::rail::ChainPoint;
use crate::domain::refund::Purpose;
use crate::domain::time::Timestamp;
use crate::export::Decimals;
use crate::store::{Action, DateTime, Exception, Summary, Utc};

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
pub enum Cell<'r> {
    /// Not known, or not applicable.
    Empty,
    /// Of a text column.
    Text(Cow<'r, str>),
    /// Of an integer column.
    Integer(i64),
    /// Of a time column.
    Time(DateTime<Utc>),
}

impl<'r> Cell<'r> {
    /// A text, empty or not.
    pub fn text(text: impl Into<Cow<'r, str>>) -> Self {
        Self::Text(text.into())
    }

    /// The same, whatever becomes of what it was made of.
    #[must_use]
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Self::Empty => Cell::Empty,
            Self::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Self::Integer(number) => Cell::Integer(number),
            Self::Time(at) => Cell::Time(at),
        }
    }
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
pub fn settlement<'r>(payment: &'r Summary, decimals: &Decimals) -> [Cell<'r>; SETTLEMENTS.len()] {
    let references = payment.references.iter();
    let references: Vec<String> = references
        .map(|it| format!("{}={}", it.kind.as_str(), it.value))
        .collect();
    let (labels, landing, purpose) = (&payment.labels, payment.landing, Purpose::of(&payment.references));
    let words = |label: &'r Option<Label>| maybe(label.as_ref().map(Label::as_str));
    [
        Cell::text(payment.id.to_string()),
        Cell::Time(payment.created_at),
        of(payment.state.as_str()),
        of(payment.network.as_str()),
        of(&payment.asset),
        of(&payment.payer),
        of(&payment.pay_to),
        Cell::text(payment.amount.to_string()),
        maybe(Some(decimals.write(&payment.network, &payment.asset, payment.amount))),
        of(&payment.nonce),
        maybe(payment.tx.as_ref().map(|it| it.0.as_str())),
        number(landing.map(|it| it.log_index)),
        number(landing.map(|it| it.height)),
        landing.map_or(Cell::Empty, |it| instant(it.time)),
        payment.confirmed_at.map_or(Cell::Empty, Cell::Time),
        payment.final_at.map_or(Cell::Empty, Cell::Time),
        maybe(payment.resource_url.as_deref()),
        maybe(Some(references.join(" "))),
        maybe(payment.memo.as_deref()),
        of(payment.scheme.as_str()),
        Cell::text(payment.key.to_string()),
        words(&labels.merchant_reference),
        words(&labels.order_id),
        labels.metadata.as_ref().map_or(Cell::Empty, metadata),
        maybe(payment.reconciliation.map(crate::domain::reconciliation::State::as_str)),
        payment.gas.map_or(Cell::Empty, |it| Cell::text(it.to_string())),
        Cell::text(payment.refunded.to_string()),
        maybe(Some(decimals.write(&payment.network, &payment.asset, payment.refunded))),
        maybe(purpose.map(|it| it.payment.to_string())),
    ]
}

/// The row of an exception.
#[must_use]
pub fn exception<'r>(exception: &'r Exception, decimals: &Decimals) -> Vec<Cell<'r>> {
    vec![
        Cell::text(exception.id.to_string()),
        Cell::Time(exception.since),
        of(exception.state.as_str()),
        of(&exception.reason),
        maybe(exception.handled.map(Action::as_str)),
        exception.payment.map_or(Cell::Empty, |it| Cell::text(it.to_string())),
        of(exception.network.as_str()),
        of(&exception.asset),
        of(&exception.pay_to),
        Cell::text(exception.amount.to_string()),
        maybe(Some(decimals.write(
            &exception.network,
            &exception.asset,
            exception.amount,
        ))),
        maybe(exception.tx.as_ref().map(|tx| tx.0.as_str())),
        number(exception.height),
    ]
}

pub(super) fn of(text: &str) -> Cell<'_> {
    maybe(Some(text))
}

/// No text says the same as an empty one: formats differ in whether they can tell the two apart.
pub(super) fn maybe<'r>(text: Option<impl Into<Cow<'r, str>>>) -> Cell<'r> {
    text.map(Into::into)
        .filter(|it: &Cow<'r, str>| !it.is_empty())
        .map_or(Cell::Empty, Cell::Text)
}

pub(super) fn number(value: Option<u64>) -> Cell<'static> {
    value
        .and_then(|it| i64::try_from(it).ok())
        .map_or(Cell::Empty, Cell::Integer)
}

pub(super) fn block_time(block: &ChainPoint) -> Cell<'static> {
    instant(block.time)
}

pub(super) fn instant(at: Timestamp) -> Cell<'static> {
    let seconds = i64::try_from(at.0).ok();
    seconds
        .and_then(|it| DateTime::from_timestamp(it, 0))
        .map_or(Cell::Empty, Cell::Time)
}

fn metadata(metadata: &Metadata) -> Cell<'static> {
    Cell::text(serde_json::json!(metadata.entries()).to_string())
}
