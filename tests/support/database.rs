//! A database of its own for each test, and a session beside the facilitator's to look into it and to lock it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use super::{eventually, provided};

/// A database that is dropped with this value.
pub(crate) struct Database {
    name: String,
    /// How the facilitator reaches it.
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

impl Database {
    pub(crate) async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("it_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let server = provided("DATABASE_URL");
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
            url: url.to_string(),
            pool,
        }
    }

    /// The same database by way of another port.
    pub(crate) fn url_by(&self, port: u16) -> String {
        let mut url: reqwest::Url = self.url.parse().unwrap();
        url.set_port(Some(port)).unwrap();
        url.to_string()
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

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
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
        let name = std::mem::take(&mut self.name);
        let (done, is_done) = std::sync::mpsc::channel();
        // A runtime of its own, because this one is busy dropping.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut admin = PgConnection::connect(&provided("DATABASE_URL")).await.unwrap();
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
