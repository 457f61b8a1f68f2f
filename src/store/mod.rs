//! How Postgres remembers payments: the only SQL.
//!
//! It must not know HTTP, dialects, or what a chain's bytes mean. Nothing waits for the network while a
//! transaction is open, and a row that means money is written by the transaction that made it true. What may not
//! be (a key twice, two live seats, a movement resolved twice) is refused by constraints rather than by checks
//! made beforehand, because only the database sees all callers.
//!
//! Statements are constants, listed by [`Store::statements`], so that a test prepares each against the real
//! schema: that stands in for checking them at build time, and no build needs a database.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgPool, Postgres, SqlSafeStr, SqlStr, Transaction};
use tokio::sync::watch;

use self::rows::{OutOfPlace, unsigned};
use crate::domain::tenant::TenantId;
use crate::domain::time::Timestamp;

pub use sqlx::types::chrono::{DateTime, Utc};

/// Declares statements and lists them, so that none escapes the test that prepares them all.
macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$meta])* const $name: &str = $sql;)*
        pub(super) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

mod activity;
mod admin_log;
mod audit;
mod budgets;
mod closing;
mod columns;
mod cursor;
mod deliveries;
mod desk;
mod endpoints;
mod entries;
mod events;
mod fault;
mod feed;
mod fees;
mod gauges;
mod labels;
mod lanes;
mod leases;
mod ledger;
mod naming;
mod notices;
mod payments;
mod reconciliations;
mod records;
mod refund_attempts;
mod refund_matching;
mod refunds;
mod replacements;
mod report_deliveries;
mod report_jobs;
mod reports;
mod rows;
mod screening_lists;
mod screenings;
mod session;
mod settlements;
mod statements;
mod summary;
mod sums;
mod sweep;
mod tenant_budgets;
mod tenants;
mod transactions;
mod view;
mod watching;

pub use activity::{Activity, ActivityFilter, Belonging};
pub use admin_log::{Broken, Deed, Logged};
pub use audit::{EventSeen, Movement, SealSeen, SlotSeen, Surroundings, TxSeen};
pub use closing::Due;
pub use cursor::{Cursor, NotACursor};
pub use deliveries::{Claim, Delivery, Patience};
pub use desk::{Carried, EvidenceRow, Glimpse, LedgerRow, Shown, Standpoint, Story, Telling};
pub use endpoints::Endpoint;
pub use entries::Entry;
pub use fault::{Cause, SchemaMismatch, StoreFault};
pub use feed::{FEED_PAGE_MAX, Happening, NotAPlace, Place};
pub use fees::{Fee, FeeFilter, Share};
pub use gauges::{BURN_OVER, Burn, COUNTED_MAX, Grouping, OPEN_COUNTED_MAX, Open, Reach, Volume};
pub use lanes::{IntendFault, Intent};
pub use leases::{FOREIGN, LaneRecord, Roll};
pub use payments::{NewPayment, Reservation};
pub use reconciliations::{Action, Exception, ExceptionFilter, Judged};
pub use records::{Records, Sign, in_time};
pub use refund_attempts::{Attempt, NewAttempt};
pub use refund_matching::PaidWith;
pub use refunds::{Cancelled, NewRefund, Recorded, Refund, RefundFilter};
pub use replacements::Replaced;
pub use report_deliveries::{Delivering, Failed, Pauses};
pub use report_jobs::{Piece, Progress, Report, ReportOrder, Whole};
pub use reports::{Filter, Name, PAGE_MAX, Page};
pub use rows::Record;
pub use screening_lists::{Edition, Fetched, Listed, Replaced as ListReplaced};
pub use screenings::{Review, Screening, ScreeningFilter};
pub use session::SessionFlaw;
pub use settlements::{Advance, Advanced};
pub use statements::{Closed, StatementFilter};
pub use summary::{Landing, Summary};
pub use sums::{Crossed, CrossedFilter, Threshold};
pub use tenant_budgets::TenantLimit;
pub use tenants::{ClaimedAccount, KeptKey, Named, NewKey, NotDone};
pub use transactions::Carrier;
pub use watching::Followed;

/// Where the database is and how hard to lean on it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `postgres://user:password@host:port/database`, with the driver's options (`sslmode`, `sslrootcert`, ...).
    /// A secret: it holds the password.
    pub url: String,
    /// The most connections to hold; at least 1.
    #[serde(default = "connections_max_default")]
    pub connections_max: u32,
}

const fn connections_max_default() -> u32 {
    16
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

/// The longest wait for a free connection. Under the callers' patience, so that they hear of an overload.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection unused for this long is asked whether it lives before it is used; a busy one is not, since that
/// costs a round trip.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);

/// What each migration's transaction begins with: it may take its time, but not hold up the tables' users while it waits
/// for a lock.
const MIGRATING: &str = "set local statement_timeout = 0; set local lock_timeout = '10s';";

/// Forward only: version, name, text. A text is never changed once it was released.
const MIGRATIONS: [(i64, &str, &str); 23] = [
    (1, "initial", include_str!("../../migrations/0001_initial.sql")),
    (2, "solana", include_str!("../../migrations/0002_solana.sql")),
    (3, "unstuck", include_str!("../../migrations/0003_unstuck.sql")),
    (4, "leases", include_str!("../../migrations/0004_leases.sql")),
    (5, "event_chain", include_str!("../../migrations/0005_event_chain.sql")),
    (6, "budgets", include_str!("../../migrations/0006_budgets.sql")),
    (
        7,
        "cost_corrections",
        include_str!("../../migrations/0007_cost_corrections.sql"),
    ),
    (
        9,
        "reconciliation",
        include_str!("../../migrations/0009_reconciliation.sql"),
    ),
    (10, "statements", include_str!("../../migrations/0010_statements.sql")),
    (11, "labels", include_str!("../../migrations/0011_labels.sql")),
    (12, "feed", include_str!("../../migrations/0012_feed.sql")),
    (13, "webhooks", include_str!("../../migrations/0013_webhooks.sql")),
    (14, "closing", include_str!("../../migrations/0014_closing.sql")),
    (15, "append_only", include_str!("../../migrations/0015_append_only.sql")),
    (16, "reports", include_str!("../../migrations/0016_reports.sql")),
    (17, "refunds", include_str!("../../migrations/0017_refunds.sql")),
    (
        18,
        "watched_by_height",
        include_str!("../../migrations/0018_watched_by_height.sql"),
    ),
    (19, "deliveries", include_str!("../../migrations/0019_deliveries.sql")),
    (25, "screening", include_str!("../../migrations/0025_screening.sql")),
    (26, "paid_sums", include_str!("../../migrations/0026_paid_sums.sql")),
    (27, "tenants", include_str!("../../migrations/0027_tenants.sql")),
    (
        28,
        "tenant_limits",
        include_str!("../../migrations/0028_tenant_limits.sql"),
    ),
    (
        29,
        "sums_by_tenant",
        include_str!("../../migrations/0029_sums_by_tenant.sql"),
    ),
];

statements! {
    PING = "select 1";
    CLOCK = "select extract(epoch from clock_timestamp())::bigint";
    APPLIED = "select version, success, checksum from _sqlx_migrations order by version";
    FLOOR = "select coalesce(max(migration), 0) from schema_floor";
}

/// The database. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    /// Rung when something was committed that is told.
    bell: Arc<watch::Sender<()>>,
    /// Whose rows alone are shown; all where it is none.
    view: Option<TenantId>,
}

impl Store {
    /// Connects, and so proves that the database answers, and that a pooler before it, if there is one, can be worked
    /// with. Says nothing about the schema.
    ///
    /// # Errors
    /// [`StoreFault::Settings`] when the URL is none, [`StoreFault::Session`] when a pooler takes away what we need,
    /// [`StoreFault::Unavailable`] after 3 s without a connection.
    pub async fn connect(settings: &Settings) -> Result<Self, StoreFault> {
        let options: PgConnectOptions = settings.url.parse().map_err(|_| StoreFault::Settings)?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections_max.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, was| {
                Box::pin(async move {
                    if was.idle_for > IDLE_TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(session::options(options))
            .await
            .map_err(StoreFault::reading("connect"))?;
        let store = Self {
            pool,
            bell: Arc::new(watch::Sender::new(())),
            view: None,
        };
        store.session_check().await?;
        Ok(store)
    }

    /// Brings the schema up to this program's. Each migration is applied whole or not at all. When two processes do
    /// it at once, one of them may fail and only needs to be run again.
    ///
    /// # Errors
    /// [`StoreFault::Schema`] when the database is ahead of this program or a migration was altered;
    /// otherwise as of any change.
    pub async fn migrate(&self) -> Result<(), StoreFault> {
        let mut connection = self.connection("migrate").await?;
        let mut migrator = Migrator::with_migrations(migrations());
        // The driver would lock with an advisory lock, which not every such database has.
        migrator.set_locking(false);
        // What a newer program has added may stay; what it has taken away is refused below.
        migrator.set_ignore_missing(true);
        let done = migrator.run_direct(None, &mut *connection, false).await;
        done.map_err(|error| StoreFault::migrating(&error))?;
        self.schema_check().await
    }

    /// Refuses a schema that this program cannot work on: behind, altered, half applied, or ahead by a migration that
    /// took away what this program needs. One that is ahead by additions alone will do, so that a new version can be
    /// rolled out, and back, while the old one runs.
    ///
    /// # Errors
    /// [`StoreFault::Schema`] names the first migration that differs; [`StoreFault::Unavailable`].
    pub async fn schema_check(&self) -> Result<(), StoreFault> {
        let operation = "schema_check";
        let applied: Vec<(i64, bool, Vec<u8>)> = match sqlx::query_as(APPLIED).fetch_all(&self.pool).await {
            Ok(applied) => applied,
            Err(error) if is_undefined_table(&error) => Vec::new(),
            Err(error) => return Err(StoreFault::reading(operation)(error)),
        };
        let known = migrations();
        let mut ahead = None;
        for (version, is_done, checksum) in &applied {
            if !is_done {
                return Err(StoreFault::Schema(SchemaMismatch::Unfinished(*version)));
            }
            let Some(migration) = known.iter().find(|migration| migration.version == *version) else {
                ahead = ahead.or(Some(*version));
                continue;
            };
            if migration.checksum != *checksum {
                return Err(StoreFault::Schema(SchemaMismatch::Altered(*version)));
            }
        }
        let missing = known
            .iter()
            .find(|migration| applied.iter().all(|(version, ..)| *version != migration.version));
        if let Some(migration) = missing {
            return Err(StoreFault::Schema(SchemaMismatch::Behind(migration.version)));
        }
        let Some(ahead) = ahead else {
            return Ok(());
        };
        let floor: i64 = sqlx::query_scalar(FLOOR)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        if known.iter().any(|migration| migration.version >= floor) {
            return Ok(());
        }
        Err(StoreFault::Schema(SchemaMismatch::Ahead(ahead)))
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn ping(&self) -> Result<(), StoreFault> {
        sqlx::query(PING)
            .execute(&self.pool)
            .await
            .map_err(StoreFault::reading("ping"))?;
        Ok(())
    }

    /// The database's own time.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn clock(&self) -> Result<Timestamp, StoreFault> {
        let operation = "clock";
        let seconds: i64 = sqlx::query_scalar(CLOCK)
            .fetch_one(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        unsigned("clock", seconds)
            .map(Timestamp)
            .map_err(OutOfPlace::during(operation))
    }

    /// Hears of it whenever this process commits something that is told in the feed. It may not be shown yet: see
    /// [`Store::feed_page`].
    #[must_use]
    pub fn news(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    /// Something was committed that is told.
    fn ring(&self) {
        self.bell.send_replace(());
    }

    /// Closes the connections once their present work is done; later calls fail with [`StoreFault::Unavailable`].
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Every statement this module runs, with its name.
    pub fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
        [
            STATEMENTS,
            activity::STATEMENTS,
            admin_log::STATEMENTS,
            audit::STATEMENTS,
            budgets::STATEMENTS,
            closing::STATEMENTS,
            deliveries::STATEMENTS,
            desk::STATEMENTS,
            endpoints::STATEMENTS,
            entries::STATEMENTS,
            events::STATEMENTS,
            feed::STATEMENTS,
            fees::STATEMENTS,
            gauges::STATEMENTS,
            lanes::STATEMENTS,
            leases::STATEMENTS,
            ledger::STATEMENTS,
            naming::STATEMENTS,
            notices::STATEMENTS,
            payments::STATEMENTS,
            reconciliations::STATEMENTS,
            refund_attempts::STATEMENTS,
            refund_matching::STATEMENTS,
            refunds::STATEMENTS,
            replacements::STATEMENTS,
            report_deliveries::STATEMENTS,
            report_jobs::STATEMENTS,
            reports::STATEMENTS,
            screening_lists::STATEMENTS,
            screenings::STATEMENTS,
            session::STATEMENTS,
            settlements::STATEMENTS,
            statements::STATEMENTS,
            sums::STATEMENTS,
            sweep::STATEMENTS,
            tenant_budgets::STATEMENTS,
            tenants::STATEMENTS,
            transactions::STATEMENTS,
            view::STATEMENTS,
            watching::STATEMENTS,
        ]
        .into_iter()
        .flatten()
        .copied()
    }

    /// A transaction that sees everything and may change it.
    async fn begin(&self, operation: &'static str) -> Result<Transaction<'static, Postgres>, StoreFault> {
        self.begin_with(operation, None).await
    }

    /// A connection for one statement. Taken apart from running it, because failing here means nothing was sent.
    async fn connection(&self, operation: &'static str) -> Result<PoolConnection<Postgres>, StoreFault> {
        self.pool.acquire().await.map_err(StoreFault::reading(operation))
    }

    /// A transaction. It begins in a task of its own, because the driver (sqlx 0.9.0, its issue 4393) forgets one whose
    /// beginning nobody waits for any more: its connection goes back to the pool, and whoever has it next writes into a
    /// transaction that nobody commits.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one door to transactions, and its task is waited for here"
    )]
    async fn begin_with(
        &self,
        operation: &'static str,
        statement: Option<SqlStr>,
    ) -> Result<Transaction<'static, Postgres>, StoreFault> {
        let connection = self.connection(operation).await?;
        let beginning = tokio::spawn(Transaction::begin(connection, statement));
        match beginning.await {
            Ok(begun) => begun.map_err(StoreFault::reading(operation)),
            Err(_) => Err(StoreFault::Unavailable {
                operation,
                source: Cause::named("no transaction was begun"),
            }),
        }
    }
}

async fn commit(transaction: Transaction<'_, Postgres>, operation: &'static str) -> Result<(), StoreFault> {
    transaction.commit().await.map_err(StoreFault::writing(operation))
}

fn migrations() -> Vec<Migration> {
    MIGRATIONS
        .into_iter()
        .map(|(version, name, text)| {
            let sql = AssertSqlSafe(format!("{MIGRATING}\n{text}")).into_sql_str();
            // What is compared is the text alone.
            let known = Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false);
            Migration { sql, ..known }
        })
        .collect()
}

fn is_undefined_table(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "42P01")
}
