//! What reports are of: each kind in a file of its own, which says what it is called, what its columns are, what it can be
//! asked, and how its rows are read. A new one is such a file and a line in [`Kind::ALL`].

mod balance_activity;
mod exceptions;
mod fees_and_gas;
mod refunds;
mod screening_log;
mod settlements;
mod statements;
mod travel_rule;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::encode::{Chunk, Shape};
use super::table::{Cell, Column};
use super::totals::Totals;
use super::{ReportFault, Reports};
use crate::app::question::Keys;
use crate::domain::rejection::Malformed;
use crate::export::Decimals;
use crate::store::{Filter, Store, StoreFault};

/// What a report is of.
#[derive(Clone, Copy)]
pub struct Kind(&'static Listing);

/// A kind, as its file describes it.
pub(super) struct Listing {
    /// Its name.
    name: &'static str,
    /// Its columns, which are never renamed or moved; additions go at the end.
    columns: &'static [Column],
    /// Which edition of the columns that is: from 1, one more with each addition.
    edition: u32,
    /// The keys of its conditions, for complaints.
    conditions: &'static str,
    /// The keys that bound it to a period: from a time on, and before one. None for what is as it is now.
    period: Option<[&'static str; 2]>,
    /// Reads its conditions.
    ask: fn(&mut Keys) -> Result<Asked, Malformed>,
}

/// Which rows are asked for.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// Payments.
    Settlements(Box<Filter>),
    /// What another kind's file reads.
    Rows(Arc<dyn Question>),
}

impl Asked {
    fn rows(question: impl Question + 'static) -> Self {
        Self::Rows(Arc::new(question))
    }
}

/// Conditions on the rows of a kind, and what each of those is to a report.
#[async_trait]
pub(super) trait Find: fmt::Debug + Clone + Send + Sync + 'static {
    /// A row as it is on record.
    type Row: Send;
    /// Its place among all that meet the conditions.
    type Place: Send + Sync;

    /// The rows just after this place, at most a page of them.
    async fn find(&self, store: &Store, after: Option<&Self::Place>) -> Result<Vec<Self::Row>, StoreFault>;

    /// The row's place.
    fn place(row: Self::Row) -> Self::Place;

    /// Adds the row to the totals.
    fn sum(row: &Self::Row, totals: &mut Totals);

    /// The row as it is written, a cell a column.
    fn cells<'r>(row: &'r Self::Row, decimals: &Decimals) -> Vec<Cell<'r>>;
}

/// Conditions on the rows of a kind, whatever the kind is.
pub(super) trait Question: fmt::Debug + Send + Sync {
    /// The rows that meet them, from the first on.
    fn pages(&self) -> Box<dyn Rows>;
}

impl<F: Find> Question for F {
    fn pages(&self) -> Box<dyn Rows> {
        Box::new(Pages {
            question: self.clone(),
            after: None,
            is_over: false,
        })
    }
}

/// Rows that are read page by page, in an order that what comes meanwhile does not upset.
#[async_trait]
pub(super) trait Rows: Send {
    /// The next rows, added to the totals; none after the last.
    async fn next(
        &mut self,
        reports: &Reports,
        shape: Shape,
        totals: &mut Totals,
    ) -> Result<Option<Chunk>, ReportFault>;
}

struct Pages<F: Find> {
    question: F,
    after: Option<F::Place>,
    is_over: bool,
}

#[async_trait]
impl<F: Find> Rows for Pages<F> {
    async fn next(
        &mut self,
        reports: &Reports,
        shape: Shape,
        totals: &mut Totals,
    ) -> Result<Option<Chunk>, ReportFault> {
        if self.is_over {
            return Ok(None);
        }
        let mut found = self.question.find(&reports.store, self.after.as_ref()).await?;
        for row in &found {
            F::sum(row, totals);
        }
        let chunk = shape.chunk(found.iter().map(|row| F::cells(row, &reports.decimals)))?;
        self.after = found.pop().map(F::place);
        self.is_over = self.after.is_none();
        Ok(Some(chunk))
    }
}

impl Kind {
    /// Payments and where their money is.
    pub const SETTLEMENTS: Self = Self(&settlements::LISTING);

    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::SETTLEMENTS,
        Self(&balance_activity::LISTING),
        Self(&fees_and_gas::LISTING),
        Self(&statements::LISTING),
        Self(&exceptions::LISTING),
        Self(&refunds::LISTING),
        Self(&screening_log::LISTING),
        Self(&travel_rule::LISTING),
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Whether tenants may have it: what it reads is kept by tenant.
    #[must_use]
    pub fn is_of_tenants(self) -> bool {
        [
            &settlements::LISTING,
            &statements::LISTING,
            &exceptions::LISTING,
            &refunds::LISTING,
        ]
        .iter()
        .any(|it| it.name == self.as_str())
    }

    /// The names of those that tenants may have, for complaints.
    #[must_use]
    pub fn names_of_tenants() -> String {
        let names = Self::ALL.into_iter().filter(|it| it.is_of_tenants());
        names.map(Self::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The names of all kinds, for complaints.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// The keys that bound it to a period: from a time on, and before one; none for what is as it is now.
    #[must_use]
    pub const fn period(self) -> Option<[&'static str; 2]> {
        self.0.period
    }

    /// Which edition its columns are, from 1.
    #[must_use]
    pub const fn edition(self) -> u32 {
        self.0.edition
    }

    /// Its columns.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        self.0.columns
    }

    /// The keys of its conditions, for complaints.
    pub(super) const fn conditions(self) -> &'static str {
        self.0.conditions
    }

    /// Reads its conditions.
    pub(super) fn ask(self, keys: &mut Keys) -> Result<Asked, Malformed> {
        (self.0.ask)(keys)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| D::Error::custom(format!("expected one of {}", Self::names())))
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Kind {}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_and_every_column_has_a_name_of_its_own() {
        let kinds: BTreeSet<&str> = Kind::ALL.map(Kind::as_str).into();
        assert_eq!(kinds.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let names: BTreeSet<&str> = kind.columns().iter().map(|it| it.name).collect();
            assert_eq!(names.len(), kind.columns().len(), "{kind:?}");
            assert!(kind.edition() >= 1, "{kind:?}");
            for key in kind.period().into_iter().flatten() {
                assert!(kind.conditions().contains(key), "{kind:?} {key}");
            }
        }
    }
}
