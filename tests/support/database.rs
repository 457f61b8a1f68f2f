//! A database of its own for each test, and a session beside the facilitator's to look into it and to lock it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use super::{eventually, provided};

/// A database that is dropped with this value.
pub(crate) struct Database {
    name: String,
    /// The cluster it is in.
    server: String,
    /// How the facilitator reaches it.
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

impl Database {
    pub(crate) async fn create() -> Self {
        Self::create_in(provided("DATABASE_URL")).await
    }

    /// One in the cluster with this address.
    pub(crate) async fn create_in(server: String) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("it_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut admin = PgConnection::connect(&server).await.unwrap();
        // Left behind by a process of the same number that was killed.
        admin
            .execute(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
            .await
            .unwrap();
        admin
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .unwrap();
        let mut url: reqwest::Url = server.parse().unwrap();
        url.set_path(&name);
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_lazy(url.as_str())
            .unwrap();
        Self {
            name,
            server,
            url: url.to_string(),
            pool,
        }
    }

    /// Whatever happens to the database from here, [`Backup::restore`] undoes. Nobody may be connected to it.
    pub(crate) async fn back_up(&self) -> Backup {
        let name = format!("{}_backup", self.name);
        self.copy(&self.name, &name).await;
        Backup { name }
    }

    /// Makes a database that is as another is now, in place of one of that name.
    async fn copy(&self, from: &str, to: &str) {
        let mut admin = PgConnection::connect(&self.server).await.unwrap();
        let ends = "select pg_terminate_backend(pid) from pg_stat_activity where datname in ($1, $2)";
        sqlx::query(ends).bind(from).bind(to).execute(&mut admin).await.unwrap();
        for sql in [
            format!("drop database if exists {to} with (force)"),
            format!("create database {to} template {from}"),
        ] {
            admin.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }

    /// The same database by way of another port.
    pub(crate) fn url_by(&self, port: u16) -> String {
        let mut url: reqwest::Url = self.url.parse().unwrap();
        url.set_port(Some(port)).unwrap();
        url.to_string()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn user(&self) -> String {
        let options: PgConnectOptions = self.url.parse().unwrap();
        options.get_username().to_owned()
    }

    pub(crate) fn password(&self) -> String {
        let url: reqwest::Url = self.url.parse().unwrap();
        url.password().expect("DATABASE_URL has a password").to_owned()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        let options: PgConnectOptions = self.url.parse().unwrap();
        format!("{}:{}", options.get_host(), options.get_port())
            .parse()
            .unwrap()
    }

    /// One value of one row.
    pub(crate) async fn one<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
    {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// How many payments are neither confirmed nor final.
    pub(crate) async fn unpaid(&self) -> i64 {
        self.count("settlements where state not in ('confirmed', 'final')")
            .await
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Changes the tables as a superuser can: past the triggers that refuse it.
    pub(crate) async fn tamper(&self, statements: &str) {
        let past = "set session_replication_role = replica";
        let sql = format!("{past}; {statements}; reset session_replication_role");
        let done = self.pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Opens a session that keeps the facilitator from doing what `what` says. Readers pass.
    pub(crate) async fn obstruct(&self, what: Obstacle) -> Obstruction {
        let mut session = PgConnection::connect(&self.url).await.unwrap();
        let statements = match what {
            Obstacle::WritesTo(table) => vec![format!("begin; lock table {table} in exclusive mode")],
            Obstacle::Grant => vec![
                GRANT_WAITS.to_owned(),
                format!("begin; select pg_advisory_xact_lock({KEY})"),
            ],
        };
        for sql in statements {
            session.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
        }
        Obstruction {
            session,
            pool: self.pool.clone(),
        }
    }
}

/// A database as it was once.
pub(crate) struct Backup {
    name: String,
}

impl Backup {
    /// Makes the database what it was, as a restored backup does, or a replica that had not heard of the last commits.
    pub(crate) async fn restore(self, db: &Database) {
        db.copy(&self.name, &db.name).await;
        let mut admin = PgConnection::connect(&db.server).await.unwrap();
        let sql = format!("drop database {} with (force)", self.name);
        admin.execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

/// Makes every fifth statement of these fail, in turn with each of the errors that say "try again": serialization,
/// deadlock, cancelled.
const EVERY_FIFTH_FAILS: &str = "
    create sequence statements_run;
    create function every_fifth_fails() returns trigger language plpgsql as $$
        declare
            number bigint := nextval('statements_run');
            codes text[] := array['40001', '40P01', '57014'];
        begin
            if number % 5 = 0 then
                raise exception 'injected' using errcode = codes[1 + (number / 5) % 3];
            end if;
            return null;
        end $$;";

/// Makes every write fail as it does when the disk is full.
const DISK_IS_FULL: &str = "
    create function disk_is_full() returns trigger language plpgsql as $$
        begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;";

const NOTHING_IS_SIGNED: &str = "
    create function nothing_is_signed() returns trigger language plpgsql as $$
        begin raise exception 'injected' using errcode = '40001'; end $$;";

/// All that the facilitator writes to while it settles.
const WRITTEN: [&str; 9] = [
    "payments",
    "payment_references",
    "settlements",
    "slots",
    "chain_transactions",
    "settlement_attempts",
    "evidence",
    "ledger_entries",
    "events",
];

/// How writes go wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ailment {
    /// One transaction in five that reserves, signs or confirms is refused with an error that passes.
    EveryFifthFails,
    /// None is taken.
    DiskIsFull,
    /// None that signs is taken, with an error that passes.
    NothingIsSigned,
}

impl Ailment {
    /// The function's name and text, and the tables to whose writers it happens.
    const fn parts(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::EveryFifthFails => (
                "every_fifth_fails",
                EVERY_FIFTH_FAILS,
                &["payments", "slots", "evidence"],
            ),
            Self::DiskIsFull => ("disk_is_full", DISK_IS_FULL, &WRITTEN),
            Self::NothingIsSigned => ("nothing_is_signed", NOTHING_IS_SIGNED, &["slots"]),
        }
    }
}

impl Database {
    /// From here on writes go wrong, until [`Database::recover`].
    pub(crate) async fn ail(&self, how: Ailment) {
        let (name, function, tables) = how.parts();
        let trigger = |table| {
            format!(
                "create trigger {name} before insert or update on {table} for each statement execute function {name}();"
            )
        };
        let triggers: String = tables.iter().map(trigger).collect();
        self.alter(format!("{function} {triggers}")).await;
    }

    pub(crate) async fn recover(&self, from: Ailment) {
        self.alter(format!("drop function {}() cascade", from.parts().0)).await;
    }

    /// Changes tables under a facilitator that writes to them in orders of its own, so that the two may wait for each
    /// other, and Postgres ends either.
    pub(crate) async fn alter(&self, sql: String) {
        eventually("the tables are altered", async || {
            match self.pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.clone()))).await {
                Ok(_) => Some(()),
                Err(sqlx::Error::Database(fault)) if fault.code().as_deref() == Some("40P01") => None,
                Err(fault) => panic!("{fault}"),
            }
        })
        .await;
    }
}

const KEY: u32 = 41;

/// Makes the statement that grants wait for whoever holds the advisory lock.
const GRANT_WAITS: &str = "
    create function wait_to_grant() returns trigger language plpgsql as $$
        begin perform pg_advisory_xact_lock(41); return new; end $$;
    create trigger wait_to_grant before update on settlements for each row
        when (old.granted_at is null and new.granted_at is not null) execute function wait_to_grant();";

/// What is kept from happening.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Obstacle {
    /// Any write to this table.
    WritesTo(&'static str),
    /// Telling anybody of a success.
    Grant,
}

/// An obstacle in force, until it is removed or dropped.
pub(crate) struct Obstruction {
    session: PgConnection,
    pool: PgPool,
}

impl Obstruction {
    /// Waits until somebody stands before the obstacle.
    pub(crate) async fn met(&self) {
        eventually("a statement waits for the lock", async || {
            let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&self.pool).await.unwrap();
            (waiting > 0).then_some(())
        })
        .await;
    }

    /// Lets those who wait go on. The sessions of a killed process go on too, as long as their statement lasts.
    pub(crate) async fn remove(self) {
        self.session.close().await.unwrap();
    }

    /// Removes the obstacle after ending every session that waits for it.
    pub(crate) async fn remove_with_the_waiting(self) {
        let ended = sqlx::query(END_WAITING).execute(&self.pool).await.unwrap();
        assert!(ended.rows_affected() > 0, "nobody waits any more");
        eventually("the waiting sessions have ended", async || {
            let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&self.pool).await.unwrap();
            (waiting == 0).then_some(())
        })
        .await;
        self.session.close().await.unwrap();
    }
}

const WAITING: &str =
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

const END_WAITING: &str = "select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'";

impl Drop for Database {
    fn drop(&mut self) {
        let (name, server) = (std::mem::take(&mut self.name), std::mem::take(&mut self.server));
        let (done, is_done) = std::sync::mpsc::channel();
        // A runtime of its own, because this one is busy dropping.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut admin = PgConnection::connect(&server).await.unwrap();
                let sql = AssertSqlSafe(format!("drop database if exists {name} with (force)"));
                admin.execute(sql).await.unwrap();
            });
            done.send(()).ok();
        });
        // Postgres drops a database when every session of the server has heard of it, also one that is logging in
        // and waits for the very thread that waits here. And a leftover database is no reason to fail.
        is_done.recv_timeout(Duration::from_secs(3)).ok();
    }
}
