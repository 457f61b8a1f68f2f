//! Every transfer into and out of the accounts that were ever paid through us, in finalized blocks, and what it belongs to.

use async_trait::async_trait;

use super::{Asked, Find, Listing};
use crate::app::question::{Keys, NETWORK};
use crate::app::reports::table::{Cell, Column, block_time, integer, maybe, number, of, text, time};
use crate::app::reports::totals::Totals;
use crate::domain::reconciliation::{Direction, State};
use crate::domain::rejection::Malformed;
use crate::export::Decimals;
use crate::store::{Activity, ActivityFilter, Belonging, PAGE_MAX, Store, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "balance_activity",
    columns: &COLUMNS,
    edition: 1,
    conditions: "of network, asset, payTo, direction, blockTimeFrom, blockTimeBefore, each at most once and not empty",
    period: Some(["blockTimeFrom", "blockTimeBefore"]),
    ask: |keys| Ok(Asked::rows(filter(keys)?)),
};

const COLUMNS: [Column; 20] = [
    time("block_time"),
    text("network"),
    integer("block_number"),
    text("block_hash"),
    text("transaction"),
    integer("log_index"),
    text("direction"),
    text("asset"),
    text("account"),
    text("counterparty"),
    text("amount_atomic"),
    text("amount"),
    text("belongs_to"),
    text("belongs_to_id"),
    text("merchant_reference"),
    text("order_id"),
    text("reconciliation"),
    text("memo"),
    text("nonce"),
    text("sender"),
];

fn filter(keys: &mut Keys) -> Result<ActivityFilter, Malformed> {
    let directions = [Direction::Credit, Direction::Debit];
    let named = |name: &str| directions.into_iter().find(|it| it.as_str() == name);
    Ok(ActivityFilter {
        network: keys.parsed("network", NETWORK)?,
        asset: keys.take("asset"),
        holder: keys.take("payTo"),
        direction: keys.named("direction", "credit or debit", named)?,
        from: keys.block_time("blockTimeFrom")?,
        before: keys.block_time("blockTimeBefore")?,
    })
}

#[async_trait]
impl Find for ActivityFilter {
    type Row = Activity;
    type Place = Activity;

    async fn find(&self, store: &Store, after: Option<&Activity>) -> Result<Vec<Activity>, StoreFault> {
        store.activity_list(self, after, PAGE_MAX).await
    }

    fn place(row: Activity) -> Activity {
        row
    }

    fn sum(row: &Activity, totals: &mut Totals) {
        let moved = &row.transfer;
        let direction = ("direction", moved.direction.as_str());
        totals
            .of(&row.network, &moved.account.asset, direction)
            .add(moved.amount);
    }

    fn cells<'r>(row: &'r Activity, decimals: &Decimals) -> Vec<Cell<'r>> {
        cells(row, decimals)
    }
}

fn cells<'r>(it: &'r Activity, decimals: &Decimals) -> Vec<Cell<'r>> {
    let moved = &it.transfer;
    let (belongs_to, id, merchant_reference, order_id) = match &it.of {
        Belonging::Payment {
            id,
            merchant_reference,
            order_id,
        } => (
            "payment",
            Some(id.to_string()),
            merchant_reference.as_ref(),
            order_id.as_ref(),
        ),
        Belonging::Refund {
            id,
            merchant_reference,
            order_id,
        } => (
            "refund",
            Some(id.to_string()),
            merchant_reference.as_ref(),
            order_id.as_ref(),
        ),
        Belonging::Stray(exception) => ("stray", exception.map(|id| id.to_string()), None, None),
    };
    vec![
        block_time(&moved.block),
        of(it.network.as_str()),
        number(Some(moved.block.height)),
        of(&moved.block.hash),
        of(&moved.tx.0),
        number(Some(moved.index)),
        of(moved.direction.as_str()),
        of(&moved.account.asset),
        of(&moved.account.holder),
        maybe(moved.counterparty.as_deref()),
        Cell::text(moved.amount.to_string()),
        maybe(Some(decimals.write(&it.network, &moved.account.asset, moved.amount))),
        of(belongs_to),
        maybe(id),
        maybe(merchant_reference.map(crate::domain::labels::Label::as_str)),
        maybe(order_id.map(crate::domain::labels::Label::as_str)),
        maybe(it.reconciliation.map(State::as_str)),
        maybe(moved.memo.as_deref()),
        maybe(moved.nonce.as_deref()),
        of(&moved.sender),
    ]
}
