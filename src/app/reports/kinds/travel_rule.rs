//! Who has paid a tenant as much as a threshold within a day, a week or a month: once for each day on which that was so.

use async_trait::async_trait;

use super::{Asked, Find, Listing};
use crate::app::question::{Keys, NETWORK};
use crate::app::reports::table::{Cell, Column, instant, integer, maybe, number, of, text, time};
use crate::app::reports::totals::Totals;
use crate::domain::amount::Amount;
use crate::domain::rejection::Malformed;
use crate::domain::time::Timestamp;
use crate::export::Decimals;
use crate::store::{Crossed, CrossedFilter, PAGE_MAX, Store, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "travel_rule",
    columns: &COLUMNS,
    edition: 2,
    conditions: "of network, asset, payer, createdFrom, createdBefore, each at most once and not empty",
    period: Some(["createdFrom", "createdBefore"]),
    ask: |keys| Ok(Asked::rows(filter(keys)?)),
};

const COLUMNS: [Column; 12] = [
    time("day"),
    text("network"),
    text("asset"),
    text("payer"),
    text("span"),
    text("amount_atomic"),
    text("amount"),
    text("threshold_atomic"),
    text("threshold"),
    integer("payments"),
    time("created_at"),
    text("tenant"),
];

fn filter(keys: &mut Keys) -> Result<CrossedFilter, Malformed> {
    Ok(CrossedFilter {
        network: keys.parsed("network", NETWORK)?,
        asset: keys.take("asset"),
        payer: keys.take("payer"),
        from: keys.time("createdFrom")?,
        before: keys.time("createdBefore")?,
    })
}

#[async_trait]
impl Find for CrossedFilter {
    type Row = Crossed;
    type Place = Crossed;

    async fn find(&self, store: &Store, after: Option<&Crossed>) -> Result<Vec<Crossed>, StoreFault> {
        store.sums_crossed(self, after, PAGE_MAX).await
    }

    fn place(row: Crossed) -> Crossed {
        row
    }

    fn sum(row: &Crossed, totals: &mut Totals) {
        // Spans overlap: there is nothing to sum but rows.
        totals
            .of(&row.network, &row.asset, ("span", &row.span))
            .add(Amount::ZERO);
    }

    fn cells<'r>(row: &'r Crossed, decimals: &Decimals) -> Vec<Cell<'r>> {
        cells(row, decimals)
    }
}

fn cells<'r>(it: &'r Crossed, decimals: &Decimals) -> Vec<Cell<'r>> {
    let whole = |units: &str| {
        let amount: Option<u128> = units.parse().ok();
        let amount = amount.map(|it_units| decimals.write(&it.network, &it.asset, Amount::from_units(it_units)));
        maybe(amount)
    };
    vec![
        instant(Timestamp(it.day.saturating_mul(86_400))),
        of(it.network.as_str()),
        of(&it.asset),
        of(&it.payer),
        of(&it.span),
        of(&it.amount),
        whole(&it.amount),
        of(&it.threshold),
        whole(&it.threshold),
        number(Some(it.payments)),
        Cell::Time(it.at),
        Cell::text(it.tenant.to_string()),
    ]
}
