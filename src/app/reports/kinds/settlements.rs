//! Payments and where their money is. How its pages are read stands in [`super::super`].

use super::{Asked, Listing};
use crate::app::reports::table::SETTLEMENTS;

pub(super) const LISTING: Listing = Listing {
    name: "settlements",
    columns: &SETTLEMENTS,
    edition: 1,
    conditions: "of state, reconciliation, network, asset, payer, payTo, amountFrom, amountTo, createdFrom, createdBefore, \
                 blockTimeFrom, blockTimeBefore, finalizedFrom, finalizedBefore, each at most once and not empty",
    period: Some(["blockTimeFrom", "blockTimeBefore"]),
    ask: |keys| Ok(Asked::Settlements(Box::new(keys.filter()?))),
};
