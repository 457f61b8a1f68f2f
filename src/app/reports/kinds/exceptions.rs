//! What reconciliation found that somebody has to look at, as it is when the report is made.

use async_trait::async_trait;

use super::{Asked, Listing, Question, Rows};
use crate::app::reports::Reports;
use crate::app::reports::table::{self, Cell};
use crate::app::reports::totals::Totals;
use crate::domain::id::ExceptionId;
use crate::store::{ExceptionFilter, PAGE_MAX, StoreFault};

pub(super) const LISTING: Listing = Listing {
    name: "reconciliation_exceptions",
    columns: &table::EXCEPTIONS,
    edition: 1,
    conditions: "of state, network, payTo, handled, each at most once and not empty",
    period: None,
    ask: |keys| Ok(Asked::rows(keys.exceptions()?)),
};

impl Question for ExceptionFilter {
    fn pages(&self) -> Box<dyn Rows> {
        Box::new(Pages {
            filter: self.clone(),
            after: None,
            is_over: false,
        })
    }
}

struct Pages {
    filter: ExceptionFilter,
    after: Option<ExceptionId>,
    is_over: bool,
}

#[async_trait]
impl Rows for Pages {
    async fn next(&mut self, reports: &Reports, totals: &mut Totals) -> Result<Option<Vec<Vec<Cell>>>, StoreFault> {
        if self.is_over {
            return Ok(None);
        }
        let found = reports
            .store
            .exceptions_list(&self.filter, self.after, PAGE_MAX)
            .await?;
        for it in &found {
            totals.add(&it.network, &it.asset, it.amount);
        }
        self.after = found.last().map(|it| it.id);
        self.is_over = self.after.is_none();
        Ok(Some(
            found.iter().map(|it| table::exception(it, &reports.decimals)).collect(),
        ))
    }
}
