//! What each of our mined transactions has cost, and how its payments share that. The share of a payment that is over is what
//! the ledger has of it as gas: summed by signer and network, `booked` is the ledger's balance.

use async_trait::async_trait;

use super::{Asked, Find, Listing};
use crate::app::question::{Keys, NETWORK};
use crate::app::reports::table::{Cell, Column, block_time, integer, maybe, number, of, text, time};
use crate::app::reports::totals::Totals;
use crate::domain::amount::Amount;
use crate::domain::rejection::Malformed;
use crate::export::{COIN, Decimals};
use crate::store::{Fee, FeeFilter, PAGE_MAX, Store, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "fees_and_gas",
    columns: &COLUMNS,
    edition: 1,
    conditions: "of network, signer, blockTimeFrom, blockTimeBefore, each at most once and not empty",
    period: Some(["blockTimeFrom", "blockTimeBefore"]),
    ask: |keys| Ok(Asked::rows(filter(keys)?)),
};

const COLUMNS: [Column; 17] = [
    time("block_time"),
    text("network"),
    text("signer"),
    integer("nonce"),
    text("transaction"),
    integer("block_number"),
    text("block_hash"),
    text("purpose"),
    text("cost_atomic"),
    text("cost"),
    integer("payments"),
    text("share_atomic"),
    text("share"),
    text("first_share_atomic"),
    text("booked_atomic"),
    text("booked"),
    text("payment_ids"),
];

fn filter(keys: &mut Keys) -> Result<FeeFilter, Malformed> {
    Ok(FeeFilter {
        network: keys.parsed("network", NETWORK)?,
        signer: keys.take("signer"),
        from: keys.block_time("blockTimeFrom")?,
        before: keys.block_time("blockTimeBefore")?,
    })
}

#[async_trait]
impl Find for FeeFilter {
    type Row = Fee;
    type Place = Fee;

    async fn find(&self, store: &Store, after: Option<&Fee>) -> Result<Vec<Fee>, StoreFault> {
        store.fees_list(self, after, PAGE_MAX).await
    }

    fn place(row: Fee) -> Fee {
        row
    }

    fn sum(row: &Fee, totals: &mut Totals) {
        let sum = totals.of(&row.network, COIN, ("signer", &row.signer));
        sum.add(row.cost);
        sum.add_besides("booked", signed(booked(row)));
        sum.add_besides("payments", i128::try_from(row.shares.len()).unwrap_or(i128::MAX));
    }

    fn cells<'r>(row: &'r Fee, decimals: &Decimals) -> Vec<Cell<'r>> {
        cells(row, decimals)
    }
}

fn signed(amount: Amount) -> i128 {
    i128::try_from(amount.units()).unwrap_or(i128::MAX)
}

/// What the ledger has of the transaction.
fn booked(fee: &Fee) -> Amount {
    let over = fee.shares.iter().filter(|it| it.is_booked);
    over.fold(Amount::ZERO, |sum, it| {
        Amount::from_units(sum.units().saturating_add(it.cost.units()))
    })
}

fn cells<'r>(fee: &'r Fee, decimals: &Decimals) -> Vec<Cell<'r>> {
    let coins = |amount| maybe(Some(decimals.write(&fee.network, COIN, amount)));
    let atomic = |amount: Amount| Cell::text(amount.to_string());
    let share = |place: Option<&crate::store::Share>| place.map(|it| it.cost);
    // The first of several bears what does not divide.
    let (first, each) = (share(fee.shares.first()), share(fee.shares.last()));
    let ids: Vec<String> = fee.shares.iter().map(|it| it.payment.to_string()).collect();
    vec![
        block_time(&fee.block),
        of(fee.network.as_str()),
        of(&fee.signer),
        number(Some(fee.nonce)),
        of(&fee.tx.0),
        number(Some(fee.block.height)),
        of(&fee.block.hash),
        of(if fee.is_empty { "free_nonce" } else { "settle" }),
        atomic(fee.cost),
        coins(fee.cost),
        number(u64::try_from(ids.len()).ok()),
        each.map_or(Cell::Empty, atomic),
        each.map_or(Cell::Empty, coins),
        first.map_or(Cell::Empty, atomic),
        atomic(booked(fee)),
        coins(booked(fee)),
        maybe(Some(ids.join(" "))),
    ]
}
