//! What can go wrong with the database, told apart by what the caller may do next.
//!
//! Judged by SQLSTATE and by kind, never by a message's words. The driver's own errors stay in here: their text
//! can show a row's values, and those are bearer instruments.

use std::fmt;

use sqlx::migrate::MigrateError;

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// The settings are not usable; nothing was connected.
    #[error("store.url is not a postgres:// URL")]
    Settings,
    /// A pooler stands before the database and takes away what a session of ours must have.
    #[error("the database cannot be used through this pooler: {0}")]
    Session(super::SessionFlaw),
    /// The database did not take part: not reached, too busy, out of time, or it asks to try again. Nothing was
    /// changed.
    #[error("{operation}: the database is not available")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The change was sent and its answer was lost: it may or may not have been made. Read again, by the ids that
    /// were handed in, before doing anything that depends on it.
    #[error("{operation}: the connection was lost before the database said whether it is done")]
    OutcomeUnknown {
        /// What was being done.
        operation: &'static str,
        /// How the answer was lost.
        #[source]
        source: Cause,
    },
    /// The database refused what it was told to store or to do: a bug of ours. Nothing was changed.
    #[error("{operation}: the database refused it")]
    Refused {
        /// What was being done.
        operation: &'static str,
        /// What it refused.
        #[source]
        source: Cause,
    },
    /// The database's schema is not the one this program was built for.
    #[error("the database schema does not fit this program: {0}")]
    Schema(SchemaMismatch),
    /// A value is not one that this program stores, or one asked for cannot be stored: a bug of ours, or somebody
    /// else's hand in the tables. Nothing was changed.
    #[error("{operation}: {what} is out of place")]
    Corrupt {
        /// What was being done.
        operation: &'static str,
        /// Which value.
        what: &'static str,
    },
}

/// How the schema differs. Numbers are migration versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMismatch {
    /// A migration that this program needs was not applied.
    #[error("migration {0} is missing, run `facilitator migrate`")]
    Behind(i64),
    /// A migration was applied that this program does not know, and what it needs has been taken away since.
    #[error("migration {0} is not known to this program, which is older than the database allows")]
    Ahead(i64),
    /// A migration was applied in another wording.
    #[error("migration {0} was applied in another wording")]
    Altered(i64),
    /// A migration was begun and not finished.
    #[error("migration {0} is half applied")]
    Unfinished(i64),
}

/// Why the database did not do it, without any value, address or statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Cause {
    what: &'static str,
    sqlstate: Option<String>,
    constraint: Option<String>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if let Some(sqlstate) = &self.sqlstate {
            write!(f, " (SQLSTATE {sqlstate})")?;
        }
        if let Some(constraint) = &self.constraint {
            write!(f, ", constraint {constraint}")?;
        }
        Ok(())
    }
}

impl Cause {
    /// The database's own code for it, five characters, when it was the database that said so.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// The constraint that refused the row, when one did.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// A cause in these words, which hold no value, address or statement.
    #[must_use]
    pub const fn named(what: &'static str) -> Self {
        Self {
            what,
            sqlstate: None,
            constraint: None,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the driver's list of errors is open; an unknown one is judged as the least we can be sure of"
    )]
    fn of(error: &sqlx::Error) -> Self {
        if let Some(said) = error.as_database_error() {
            return Self {
                what: "the database said so",
                sqlstate: said.code().map(Into::into),
                constraint: said.constraint().map(Into::into),
            };
        }
        Self::named(match error {
            sqlx::Error::Io(_) => "connection lost or not made",
            sqlx::Error::Tls(_) => "no TLS with the database",
            sqlx::Error::Protocol(_) => "the connection does not speak the protocol",
            sqlx::Error::PoolTimedOut => "no connection became free in time",
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => "the connections are closed",
            sqlx::Error::RowNotFound => "a row is missing",
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => "a column is of another type",
            sqlx::Error::Encode(_) => "a value cannot be sent",
            _ => "the driver failed",
        })
    }
}

/// Who has to act on an error, and whether the database may have done it all the same.
enum Blame {
    /// The database, and it did nothing.
    Database,
    /// The database, and it may have done it.
    DatabaseUnsure,
    /// This program.
    Program,
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the driver's list of errors is open; an unknown one is judged as the least we can be sure of"
)]
fn blame(error: &sqlx::Error) -> Blame {
    let Some(said) = error.as_database_error() else {
        return match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Blame::Database,
            sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::RowNotFound => Blame::Program,
            _ => Blame::DatabaseUnsure,
        };
    };
    let code = said.code().unwrap_or_default();
    match (code.as_ref(), code.get(..2).unwrap_or_default()) {
        // Statement completion unknown, and the server going away beneath us.
        ("40003" | "57P01" | "57P02" | "57P03" | "57P05", _) | (_, "08") => Blame::DatabaseUnsure,
        // 25006 is a standby that has not taken over yet; 0A000 a plan older than the last migration.
        ("25006" | "25P03" | "55P03" | "0A000", _) | (_, "28" | "3D" | "40" | "53" | "57" | "58" | "XX") => {
            Blame::Database
        }
        _ => Blame::Program,
    }
}

impl StoreFault {
    /// A statement that changes nothing by itself failed: a read, or one inside a transaction not committed yet.
    pub(super) fn reading(operation: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |error| {
            let source = Cause::of(&error);
            match blame(&error) {
                Blame::Database | Blame::DatabaseUnsure => Self::Unavailable { operation, source },
                Blame::Program => Self::Refused { operation, source },
            }
        }
    }

    /// A statement that changes something as soon as it arrives failed: a commit, or one outside a transaction.
    pub(super) fn writing(operation: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |error| Self::sent(operation, &error)
    }

    fn sent(operation: &'static str, error: &sqlx::Error) -> Self {
        let source = Cause::of(error);
        match blame(error) {
            Blame::Database => Self::Unavailable { operation, source },
            Blame::DatabaseUnsure => Self::OutcomeUnknown { operation, source },
            Blame::Program => Self::Refused { operation, source },
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the driver's list of errors is open; an unknown one is judged as the least we can be sure of"
    )]
    pub(super) fn migrating(error: &MigrateError) -> Self {
        let operation = "migrate";
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::sent(operation, error),
            MigrateError::VersionMissing(version)
            | MigrateError::VersionTooNew(version, _)
            | MigrateError::VersionNotPresent(version) => Self::Schema(SchemaMismatch::Ahead(*version)),
            MigrateError::VersionMismatch(version) => Self::Schema(SchemaMismatch::Altered(*version)),
            MigrateError::Dirty(version) => Self::Schema(SchemaMismatch::Unfinished(*version)),
            _ => Self::Refused {
                operation,
                source: Cause::named("the migrations are not in order"),
            },
        }
    }

    /// The constraint that refused the row, when one did.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Unavailable { source, .. } | Self::OutcomeUnknown { source, .. } | Self::Refused { source, .. } => {
                source.constraint()
            }
            Self::Settings | Self::Session(_) | Self::Schema(_) | Self::Corrupt { .. } => None,
        }
    }
}
