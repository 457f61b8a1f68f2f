//! Statements as JSON: what the API shows and `facilitator statement export` writes. Amounts are atomic units in decimal
//! digits.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::id::{PaymentId, RefundId, StatementId};
use crate::domain::merkle::Hash;
use crate::domain::rail::ChainPoint;
use crate::domain::statement::{Detail, Statement};
use crate::export::Document;
use crate::export::csv::time;
use crate::export::table::units;

/// A statement without its lines. Every key is always there; what there is not is null.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementView<'a> {
    id: StatementId,
    network: &'a str,
    asset: &'a str,
    pay_to: &'a str,
    sequence: u64,
    period_start: String,
    period_end: String,
    decimals: Option<u8>,
    opening: String,
    credits: String,
    late_credits: String,
    other_credits: String,
    debits: String,
    refunds: String,
    unexplained: String,
    closing: String,
    balance: Option<BalanceView<'a>>,
    gas: String,
    lines: u64,
    late: u64,
    merkle_root: String,
    previous: Option<String>,
    hash: String,
    closed_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BalanceView<'a> {
    amount: String,
    block: BlockView<'a>,
}

#[derive(Debug, Serialize)]
struct BlockView<'a> {
    number: u64,
    hash: &'a str,
    time: String,
}

/// A line of a statement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineView<'a> {
    position: u64,
    payment: PaymentId,
    refund: Option<RefundId>,
    payer: &'a str,
    amount: String,
    transaction: &'a str,
    log_index: u64,
    block: BlockView<'a>,
    reference: Option<&'a str>,
    leaf: String,
}

#[derive(Serialize)]
struct Whole<'a> {
    statement: StatementView<'a>,
    lines: Vec<LineView<'a>>,
}

impl<'a> StatementView<'a> {
    /// What the statement says.
    #[must_use]
    pub fn of(statement: &'a Statement, hash: &Hash, closed_at: DateTime<Utc>, decimals: Option<u8>) -> Self {
        let account = &statement.account;
        let [
            opening,
            credits,
            late_credits,
            other_credits,
            debits,
            unexplained,
            closing,
        ] = sums(statement).map(|sum| sum.to_string());
        Self {
            id: statement.id,
            network: account.network.as_str(),
            asset: &account.asset,
            pay_to: &account.pay_to,
            sequence: statement.sequence,
            period_start: time(statement.period.starts),
            period_end: time(statement.period.ends),
            decimals,
            opening,
            credits,
            late_credits,
            other_credits,
            debits,
            refunds: statement.refunds.to_string(),
            unexplained,
            closing,
            balance: statement.balance.as_ref().map(|it| BalanceView {
                amount: it.amount.to_string(),
                block: BlockView::of(&it.block),
            }),
            gas: statement.gas.to_string(),
            lines: statement.lines,
            late: statement.late,
            merkle_root: hex::encode(statement.merkle_root),
            previous: statement.previous.map(hex::encode),
            hash: hex::encode(hash),
            closed_at: closed_at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        }
    }
}

impl<'a> BlockView<'a> {
    fn of(block: &'a ChainPoint) -> Self {
        Self {
            number: block.height,
            hash: &block.hash,
            time: time(block.time),
        }
    }
}

impl<'a> LineView<'a> {
    /// What these lines say, the first of them at this position.
    #[must_use]
    pub fn all(details: &'a [Detail], first: u64) -> Vec<Self> {
        let view = |(position, detail): (u64, &'a Detail)| Self {
            position,
            payment: detail.line.payment,
            refund: detail.line.refund,
            payer: &detail.payer,
            amount: detail.line.amount.to_string(),
            transaction: &detail.line.tx.0,
            log_index: detail.line.log_index,
            block: BlockView::of(&detail.line.block),
            reference: detail.reference.as_deref(),
            leaf: hex::encode(detail.line.leaf()),
        };
        (first..).zip(details).map(view).collect()
    }
}

/// Opening, credits, late credits, other credits, debits, unexplained, closing.
pub(super) fn sums(statement: &Statement) -> [i128; 7] {
    [
        units(statement.opening),
        units(statement.credits),
        units(statement.late_credits),
        statement.other_credits,
        units(statement.debits),
        statement.unexplained,
        units(statement.closing),
    ]
}

pub(super) fn whole(document: &Document<'_>, decimals: Option<u8>) -> String {
    let whole = Whole {
        statement: StatementView::of(document.statement, document.hash, document.closed_at, decimals),
        lines: LineView::all(document.details, 0),
    };
    serde_json::to_string(&whole).unwrap_or_default()
}
