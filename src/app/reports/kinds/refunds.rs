//! Refunds on record, as they are when the report is made.

use async_trait::async_trait;

use super::{Asked, Find, Listing};
use crate::app::question::{Keys, NETWORK};
use crate::app::reports::table::{Cell, Column, instant, integer, maybe, number, of, text, time};
use crate::app::reports::totals::Totals;
use crate::domain::id::RefundId;
use crate::domain::refund::Stage;
use crate::domain::rejection::Malformed;
use crate::export::Decimals;
use crate::store::{PAGE_MAX, Refund, RefundFilter, Store, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "refunds",
    columns: &COLUMNS,
    edition: 1,
    conditions: "of state, network, payTo, each at most once and not empty",
    period: None,
    ask: |keys| Ok(Asked::rows(filter(keys)?)),
};

const COLUMNS: [Column; 23] = [
    text("id"),
    time("created_at"),
    text("state"),
    text("payment_id"),
    text("network"),
    text("asset"),
    text("pay_to"),
    text("recipient"),
    text("amount_atomic"),
    text("amount"),
    text("reason"),
    text("merchant_reference"),
    text("claimed_transaction"),
    text("wallet"),
    integer("attempts"),
    text("settlement_id"),
    text("problem"),
    text("transaction"),
    integer("log_index"),
    integer("block_number"),
    text("block_hash"),
    time("block_time"),
    time("ended_at"),
];

fn filter(keys: &mut Keys) -> Result<RefundFilter, Malformed> {
    let stages = Stage::ALL.map(Stage::as_str).join(", ");
    Ok(RefundFilter {
        payment: None,
        stage: keys.named("state", &format!("one of {stages}"), Stage::named)?,
        network: keys.parsed("network", NETWORK)?,
        pay_to: keys.take("payTo"),
    })
}

#[async_trait]
impl Find for RefundFilter {
    type Row = Refund;
    type Place = RefundId;

    async fn find(&self, store: &Store, after: Option<&RefundId>) -> Result<Vec<Refund>, StoreFault> {
        store.refunds_find(self, after.copied(), PAGE_MAX).await
    }

    fn place(row: Refund) -> RefundId {
        row.id
    }

    fn sum(row: &Refund, totals: &mut Totals) {
        totals
            .of(&row.network, &row.asset, ("state", row.stage.as_str()))
            .add(row.amount);
    }

    fn cells<'r>(row: &'r Refund, decimals: &Decimals) -> Vec<Cell<'r>> {
        cells(row, decimals)
    }
}

fn cells<'r>(it: &'r Refund, decimals: &Decimals) -> Vec<Cell<'r>> {
    let paid = it.paid.as_ref();
    vec![
        Cell::text(it.id.to_string()),
        Cell::Time(it.created_at),
        of(it.stage.as_str()),
        Cell::text(it.payment.to_string()),
        of(it.network.as_str()),
        of(&it.asset),
        of(&it.pay_to),
        of(&it.recipient),
        Cell::text(it.amount.to_string()),
        maybe(Some(decimals.write(&it.network, &it.asset, it.amount))),
        maybe(it.reason.as_deref()),
        maybe(it.merchant_reference.as_deref()),
        maybe(it.claimed.as_ref().map(|tx| tx.0.as_str())),
        maybe(it.wallet.as_deref()),
        number(Some(it.attempts)),
        maybe(it.settlement.map(|id| id.to_string())),
        maybe(it.problem.as_deref()),
        maybe(paid.map(|it| it.tx.0.as_str())),
        number(paid.map(|it| it.log_index)),
        number(paid.map(|it| it.block.height)),
        maybe(paid.map(|it| it.block.hash.as_str())),
        paid.map_or(Cell::Empty, |it| instant(it.block.time)),
        it.ended_at.map_or(Cell::Empty, Cell::Time),
    ]
}
