//! The lines of a gateway's file, read from CSV or from JSON, and what a line says of a payment.

use std::collections::BTreeMap;

use serde_json::Value;

use super::is_settled;
use crate::app::question::{Asked, Keys, NAMES};
use crate::domain::labels::Label;
use crate::domain::rejection::Malformed;
use crate::export::Decimals;
use crate::store::{Entry, Name};

/// Lines of a file.
const LINES_MAX: usize = 100_000;

/// Keys that name a payment. The first of them that a line gives finds it, the others are compared.
const NAMING: [&str; 9] = [
    "id",
    "authorizationReference",
    "paymentIdentifier",
    "idempotencyKey",
    "transaction",
    "merchantReference",
    "orderId",
    "memo",
    "resource",
];

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RFC 4180, with a header line.
    Csv,
    /// A JSON object on each line.
    Ndjson,
}

/// A line: which payment, and what the gateway says of it.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which line, from 1 without a header.
    pub number: u64,
    /// By what the payment is found.
    pub name: Name,
    /// The same as text.
    pub called: String,
    said: BTreeMap<String, String>,
}

/// Why a file is none.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It has too many lines.
    #[error("a file has at most {LINES_MAX} lines; split it")]
    TooLong,
    /// A line cannot be read.
    #[error("line {line}: {fault}")]
    Line {
        /// Which, from 1 without a header.
        line: u64,
        /// What is wrong with it.
        fault: String,
    },
}

/// Reads a file. Columns or keys that say nothing here are passed over; names may be written in camelCase or `snake_case`.
///
/// # Errors
/// [`FileFault`].
pub fn read(kind: Kind, bytes: &[u8]) -> Result<Vec<Line>, FileFault> {
    let rows: Box<dyn Iterator<Item = Result<BTreeMap<String, String>, String>> + '_> = match kind {
        Kind::Csv => Box::new(
            csv::Reader::from_reader(bytes)
                .into_deserialize()
                .map(|row| row.map_err(|error: csv::Error| error.to_string())),
        ),
        Kind::Ndjson => Box::new(
            bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.trim_ascii().is_empty())
                .map(object),
        ),
    };
    let mut lines = Vec::new();
    for (number, row) in (1u64..).zip(rows) {
        if lines.len() >= LINES_MAX {
            return Err(FileFault::TooLong);
        }
        let line = row.and_then(|row| Line::of(number, row).map_err(|fault| fault.to_string()));
        lines.push(line.map_err(|fault| FileFault::Line { line: number, fault })?);
    }
    Ok(lines)
}

fn object(line: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let values: BTreeMap<String, Value> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    };
    Ok(values.into_iter().map(|(key, value)| (key, text(value))).collect())
}

impl Line {
    fn of(number: u64, row: BTreeMap<String, String>) -> Result<Self, Malformed> {
        let said: BTreeMap<String, String> = row
            .into_iter()
            .map(|(key, value)| (camel(&key), value.trim().to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let given = NAMING.iter().find_map(|key| Some((*key, said.get(*key)?)));
        let (key, called) = given.ok_or_else(|| Malformed {
            path: "line".to_owned(),
            expected: format!("one of {}", NAMING.join(", ")),
        })?;
        let mut keys = Keys::of([(key.to_owned(), called.clone())], NAMES)?;
        let Asked::Name(name) = keys.name()? else {
            unreachable!("nonce is none of the naming keys");
        };
        Ok(Self {
            number,
            name,
            called: called.clone(),
            said,
        })
    }

    /// The keys in which the payment is another than the line says. Without a word on the state, the line says that the
    /// money has arrived.
    pub(super) fn differs(&self, entry: &Entry, decimals: &Decimals) -> Vec<&'static str> {
        let record = &entry.record;
        let paid = &record.authorization;
        let label = |label: &Option<Label>| label.as_ref().map(ToString::to_string);
        let landed = record.settlement.landed().map(|it| &it.tx);
        let is = |key: &str, found: Option<&str>| self.said.get(key).is_none_or(|it| Some(it.as_str()) == found);
        let is_account = |key: &str, found: &str| self.said.get(key).is_none_or(|it| it.eq_ignore_ascii_case(found));
        let is_named = |key: &str| {
            let mut names = record.references.iter();
            self.said.get(key).is_none_or(|it| names.any(|name| name.value == *it))
        };
        let state = self.said.get("state").map_or("settled", String::as_str);
        let compared = [
            ("id", is("id", Some(&record.id.to_string()))),
            (
                "authorizationReference",
                is("authorizationReference", Some(&paid.key.to_string())),
            ),
            ("paymentIdentifier", is_named("paymentIdentifier")),
            ("idempotencyKey", is_named("idempotencyKey")),
            (
                "transaction",
                self.said.get("transaction").is_none_or(|it| {
                    let mut txs = record.txs.iter().chain(landed);
                    txs.any(|tx| tx.0 == *it)
                }),
            ),
            (
                "merchantReference",
                is("merchantReference", label(&record.labels.merchant_reference).as_deref()),
            ),
            ("orderId", is("orderId", label(&record.labels.order_id).as_deref())),
            ("memo", is("memo", paid.memo.as_deref())),
            ("resource", is("resource", record.resource_url.as_deref())),
            ("network", is("network", Some(record.network.as_str()))),
            ("asset", is_account("asset", &paid.asset)),
            ("payer", is_account("payer", &paid.payer)),
            ("payTo", is_account("payTo", &paid.pay_to)),
            ("amountAtomic", is("amountAtomic", Some(&paid.amount.to_string()))),
            (
                "amount",
                self.said.get("amount").is_none_or(|it| {
                    let whole = decimals.write(&record.network, &paid.asset, paid.amount);
                    is_same_number(it, &whole)
                }),
            ),
            (
                "state",
                state == record.settlement.state().as_str()
                    || (matches!(state, "settled" | "paid") && is_settled(entry)),
            ),
        ];
        compared
            .into_iter()
            .filter(|(_, is_same)| !is_same)
            .map(|(key, _)| key)
            .collect()
    }
}

/// Two decimal numbers are the same, however many zeros end them.
fn is_same_number(one: &str, other: &str) -> bool {
    fn parts(text: &str) -> Option<(u128, &str)> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = !whole.is_empty() && text.bytes().all(|it| it == b'.' || it.is_ascii_digit());
        let whole: u128 = whole.parse().ok().filter(|_| is_digits)?;
        Some((whole, rest.trim_end_matches('0')))
    }
    parts(one).is_some_and(|it| parts(other) == Some(it))
}

fn camel(key: &str) -> String {
    let mut parts = key.trim().split('_').filter(|it| !it.is_empty());
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        name.extend(letters.next().map(|it| it.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_alike_from_csv_and_json() {
        let csv = "order_id,amount,note\r\n7,\"0.01\",x\r\n8,,\r\n";
        let json = "{\"orderId\":\"7\",\"amount\":0.01}\n\n{\"orderId\":\"8\",\"amount\":null}\n";
        for (kind, text) in [(Kind::Csv, csv), (Kind::Ndjson, json)] {
            let lines = read(kind, text.as_bytes()).unwrap();
            let told: Vec<_> = lines
                .iter()
                .map(|it| (it.number, it.called.as_str(), it.said.get("amount").map(String::as_str)))
                .collect();
            assert_eq!(told, [(1, "7", Some("0.01")), (2, "8", None)], "{kind:?}");
            assert_eq!(lines[0].name, Name::Order(Label::new("7").unwrap()));
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (kind, text, line) in [
            (Kind::Csv, "order_id\n7\n\"\n", "line 2"),
            (Kind::Csv, "amount\n7\n", "line 1"),
            (Kind::Csv, "id\nseven\n", "line 1"),
            (Kind::Ndjson, "{\"orderId\":\"7\"}\nseven\n", "line 2"),
        ] {
            let fault = read(kind, text.as_bytes()).unwrap_err().to_string();
            assert!(fault.starts_with(line), "{text}: {fault}");
        }
        let long = format!("order_id\n{}", "7\n".repeat(LINES_MAX + 1));
        assert!(matches!(read(Kind::Csv, long.as_bytes()), Err(FileFault::TooLong)));
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        for (one, other, is_same) in [
            ("0.01", "0.010000", true),
            ("1", "1.000000", true),
            ("0.01", "0.0100001", false),
            ("0.1", "0.010000", false),
            ("", "0.010000", false),
            ("1e-2", "0.010000", false),
            ("-1", "1.000000", false),
        ] {
            assert_eq!(is_same_number(one, other), is_same, "{one} and {other}");
        }
    }
}
