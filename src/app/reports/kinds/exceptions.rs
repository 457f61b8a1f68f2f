//! What reconciliation found that somebody has to look at, as it is when the report is made.

use async_trait::async_trait;

use super::{Asked, Find, Listing};
use crate::app::reports::table::{self, Cell};
use crate::app::reports::totals::Totals;
use crate::domain::id::ExceptionId;
use crate::export::Decimals;
use crate::store::{Exception, ExceptionFilter, PAGE_MAX, Store, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "reconciliation_exceptions",
    columns: &table::EXCEPTIONS,
    edition: 1,
    conditions: "of state, network, payTo, handled, each at most once and not empty",
    period: None,
    ask: |keys| Ok(Asked::rows(keys.exceptions()?)),
};

#[async_trait]
impl Find for ExceptionFilter {
    type Row = Exception;
    type Place = ExceptionId;

    async fn find(&self, store: &Store, after: Option<&ExceptionId>) -> Result<Vec<Exception>, StoreFault> {
        store.exceptions_list(self, after.copied(), PAGE_MAX).await
    }

    fn place(row: Exception) -> ExceptionId {
        row.id
    }

    fn sum(row: &Exception, totals: &mut Totals) {
        totals.add(&row.network, &row.asset, row.amount);
    }

    fn cells<'r>(row: &'r Exception, decimals: &Decimals) -> Vec<Cell<'r>> {
        table::exception(row, decimals)
    }
}
