//! Closed statements, a row for each day of an account. Their lines are the payments: a report of settlements.

use async_trait::async_trait;

use super::{Asked, Find, Listing};
use crate::app::question::{Keys, NETWORK};
use crate::app::reports::table::{Cell, Column, instant, integer, maybe, number, of, text, time};
use crate::app::reports::totals::Totals;
use crate::domain::amount::Amount;
use crate::domain::id::StatementId;
use crate::domain::rejection::Malformed;
use crate::export::csv::decimal;
use crate::export::{COIN, Decimals};
use crate::store::{Closed, PAGE_MAX, StatementFilter, Store, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "statements",
    columns: &COLUMNS,
    edition: 1,
    conditions: "of network, asset, payTo, from, to, each at most once and not empty",
    period: Some(["from", "to"]),
    ask: |keys| Ok(Asked::rows(filter(keys)?)),
};

const COLUMNS: [Column; 32] = [
    text("id"),
    text("network"),
    text("asset"),
    text("pay_to"),
    integer("sequence"),
    time("period_start"),
    time("period_end"),
    text("opening_atomic"),
    text("opening"),
    text("credits_atomic"),
    text("credits"),
    text("late_credits_atomic"),
    text("late_credits"),
    text("other_credits_atomic"),
    text("other_credits"),
    text("debits_atomic"),
    text("debits"),
    text("unexplained_atomic"),
    text("unexplained"),
    text("closing_atomic"),
    text("closing"),
    text("balance_atomic"),
    integer("block_number"),
    text("block_hash"),
    text("gas_atomic"),
    text("gas"),
    integer("lines"),
    integer("late_lines"),
    text("merkle_root"),
    text("previous_hash"),
    text("hash"),
    time("closed_at"),
];

fn filter(keys: &mut Keys) -> Result<StatementFilter, Malformed> {
    Ok(StatementFilter {
        network: keys.parsed("network", NETWORK)?,
        asset: keys.take("asset"),
        pay_to: keys.take("payTo"),
        from: keys.block_time("from")?,
        before: keys.block_time("to")?,
    })
}

#[async_trait]
impl Find for StatementFilter {
    type Row = Closed;
    type Place = StatementId;

    async fn find(&self, store: &Store, after: Option<&StatementId>) -> Result<Vec<Closed>, StoreFault> {
        store.statements_find(self, after.copied(), PAGE_MAX).await
    }

    fn place(row: Closed) -> StatementId {
        row.statement.id
    }

    fn sum(row: &Closed, totals: &mut Totals) {
        let statement = &row.statement;
        let sum = totals.of_all(&statement.account.network, &statement.account.asset);
        sum.add(statement.credits);
        sum.add_besides("lateCredits", units(statement.late_credits));
        sum.add_besides("otherCredits", statement.other_credits);
        sum.add_besides("debits", units(statement.debits));
        sum.add_besides("unexplained", statement.unexplained);
        sum.add_besides("gas", units(statement.gas));
    }

    fn cells<'r>(row: &'r Closed, decimals: &Decimals) -> Vec<Cell<'r>> {
        cells(row, decimals)
    }
}

fn units(amount: Amount) -> i128 {
    i128::try_from(amount.units()).unwrap_or(i128::MAX)
}

fn cells<'r>(closed: &'r Closed, decimals: &Decimals) -> Vec<Cell<'r>> {
    let it = &closed.statement;
    let (network, asset) = (&it.account.network, &it.account.asset);
    let coins = |amount| maybe(Some(decimals.write(network, asset, amount)));
    let both = |amount: Amount| [Cell::text(amount.to_string()), coins(amount)];
    let places = decimals.of(network, asset);
    let both_signed = |units: i128| {
        let coins = places.map_or(Cell::Empty, |places| Cell::text(decimal(units, places)));
        [Cell::text(units.to_string()), coins]
    };
    let balance = it.balance.as_ref();
    let mut row = vec![
        Cell::text(it.id.to_string()),
        of(network.as_str()),
        of(asset),
        of(&it.account.pay_to),
        number(Some(it.sequence)),
        instant(it.period.starts),
        instant(it.period.ends),
    ];
    row.extend([it.opening, it.credits, it.late_credits].into_iter().flat_map(both));
    row.extend(both_signed(it.other_credits));
    row.extend(both(it.debits));
    row.extend(both_signed(it.unexplained));
    row.extend(both(it.closing));
    row.extend([
        balance.map_or(Cell::Empty, |it| Cell::text(it.amount.to_string())),
        number(balance.map(|it| it.block.height)),
        maybe(balance.map(|it| it.block.hash.as_str())),
        Cell::text(it.gas.to_string()),
        maybe(Some(decimals.write(network, COIN, it.gas))),
        number(Some(it.lines)),
        number(Some(it.late)),
        Cell::text(hex::encode(it.merkle_root)),
        it.previous.map_or(Cell::Empty, |hash| Cell::text(hex::encode(hash))),
        Cell::text(hex::encode(closed.hash)),
        Cell::Time(closed.at),
    ]);
    row
}
