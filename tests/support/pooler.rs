//! A real PgBouncer in transaction mode before a test's database, as hard on its clients as it can be: fewer sessions than
//! they have connections, and another one for each transaction.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use super::cluster::is_root;
use super::database::Database;
use super::process::{Process, free_port};
use super::{eventually, offered};

/// What the operator sets up, as README.md says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Care {
    /// Sessions are limited as ours are.
    pub(crate) limits: bool,
    /// Prepared statements are kept.
    pub(crate) statements: bool,
}

impl Care {
    pub(crate) const DUE: Self = Self {
        limits: true,
        statements: true,
    };
}

pub(crate) struct Pooler {
    pub(crate) port: u16,
    directory: PathBuf,
    _process: Process,
}

impl Pooler {
    /// Whether there is a PgBouncer to test with.
    pub(crate) fn is_there() -> bool {
        program().is_some()
    }

    /// One that reaches the database by this port.
    pub(crate) async fn before(db: &Database, database_port: u16, care: Care) -> Self {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("facilitator-pooler-{}-{port}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let file = directory.join("pgbouncer.ini");
        std::fs::write(&file, settings(db, port, database_port, care)).unwrap();
        let mut command = Command::new(program().unwrap());
        command.arg(&file);
        if is_root() {
            // It refuses to stay root.
            command.args(["--user", "nobody"]);
        }
        let mut process = Process::spawn("the pooler", &mut command);
        eventually("the pooler listens", async || {
            assert!(!process.has_ended(), "{}", process.said());
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Self {
            port,
            directory,
            _process: process,
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn program() -> Option<String> {
    offered("FACILITATOR_PGBOUNCER", "PgBouncer from 1.21 on")
}

fn settings(db: &Database, port: u16, database_port: u16, care: Care) -> String {
    let mut target = format!(
        "{name} = host=127.0.0.1 port={database_port} user={user} password={password}",
        name = db.name(),
        user = db.user(),
        password = db.password(),
    );
    if care.limits {
        let limits = "set statement_timeout = ''5s''; set lock_timeout = ''3s''; \
            set idle_in_transaction_session_timeout = ''10s''";
        write!(target, " connect_query='{limits}'").unwrap();
    }
    let statements = if care.statements { 200 } else { 0 };
    format!(
        "[databases]
        {target}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        default_pool_size = 4
        server_round_robin = 1
        server_login_retry = 1
        max_client_conn = 500
        max_prepared_statements = {statements}
        ignore_startup_parameters = options
        "
    )
    .replace("\n        ", "\n")
}
