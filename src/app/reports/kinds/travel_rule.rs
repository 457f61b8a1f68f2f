//! Who has paid as much as a threshold within a day, a week or a month: once for each day on which that was so.

use async_trait::async_trait;

use super::{Asked, Listing, Question, Rows};
use crate::app::question::{Keys, NETWORK};
use crate::app::reports::Reports;
use crate::app::reports::table::{Cell, Column, instant, integer, number, of, text, time};
use crate::app::reports::totals::Totals;
use crate::domain::amount::Amount;
use crate::domain::rejection::Malformed;
use crate::domain::time::Timestamp;
use crate::export::Decimals;
use crate::store::{Crossed, CrossedFilter, PAGE_MAX, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "travel_rule",
    columns: &COLUMNS,
    edition: 1,
    conditions: "of network, asset, payer, createdFrom, createdBefore, each at most once and not empty",
    period: Some(["createdFrom", "createdBefore"]),
    ask: |keys| Ok(Asked::rows(filter(keys)?)),
};

const COLUMNS: [Column; 11] = [
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

impl Question for CrossedFilter {
    fn pages(&self) -> Box<dyn Rows> {
        Box::new(Pages {
            filter: self.clone(),
            after: None,
            is_over: false,
        })
    }
}

struct Pages {
    filter: CrossedFilter,
    after: Option<Crossed>,
    is_over: bool,
}

#[async_trait]
impl Rows for Pages {
    async fn next(&mut self, reports: &Reports, totals: &mut Totals) -> Result<Option<Vec<Vec<Cell>>>, StoreFault> {
        if self.is_over {
            return Ok(None);
        }
        let mut found = reports
            .store
            .sums_crossed(&self.filter, self.after.as_ref(), PAGE_MAX)
            .await?;
        for it in &found {
            // Spans overlap: there is nothing to sum but rows.
            totals.of(&it.network, &it.asset, ("span", &it.span)).add(Amount::ZERO);
        }
        let rows = found.iter().map(|it| row(it, &reports.decimals)).collect();
        self.after = found.pop();
        self.is_over = self.after.is_none();
        Ok(Some(rows))
    }
}

fn row(it: &Crossed, decimals: &Decimals) -> Vec<Cell> {
    let whole = |units: &str| {
        let amount: Option<u128> = units.parse().ok();
        let amount = amount.map(|it_units| decimals.write(&it.network, &it.asset, Amount::from_units(it_units)));
        of(&amount.unwrap_or_default())
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
    ]
}
