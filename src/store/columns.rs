//! Rows read column by column.

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row};

/// A row's columns, in the statement's order. There are millions of rows: by name, each column would be looked up again in
/// every one. Nor is its type looked up, which the statement fixes: the tests read each.
pub(super) struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(super) const fn of(row: &'r PgRow) -> Self {
        Self { row, next: 0 }
    }

    /// The next column.
    pub(super) fn take<T: Decode<'r, Postgres>>(&mut self) -> Result<T, sqlx::Error> {
        let column = self.row.try_get_unchecked(self.next)?;
        self.next = self.next.saturating_add(1);
        Ok(column)
    }
}
