//! The processes that a benchmark needs around itself: databases, nodes, facilitators. Each ends with its guard.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use crate::http::{self, Client};

/// The binary that is measured.
pub(crate) const FACILITATOR: &str = env!("CARGO_BIN_EXE_facilitator");

/// No process may take longer until it serves.
pub(crate) const START_MAX: Duration = Duration::from_secs(30);

/// A process that is killed when this is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// Seconds of processor time.
    pub(crate) cpu: f64,
    /// Bytes of memory now.
    pub(crate) resident: u64,
    /// Bytes of memory at most.
    pub(crate) resident_max: u64,
}

impl Running {
    pub(crate) fn usage(&self) -> Usage {
        let proc = PathBuf::from(format!("/proc/{}", self.0.id()));
        // Each thread's first number is in nanoseconds; the process's own times are in hundredths of a second.
        let threads = std::fs::read_dir(proc.join("task")).unwrap();
        let nanos = threads.filter_map(|it| {
            let text = std::fs::read_to_string(it.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<f64>().ok()
        });
        let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|it| it.strip_prefix(name));
            line.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        Usage {
            cpu: nanos.sum::<f64>() / 1e9,
            resident: 1024 * kilobytes("VmRSS:"),
            resident_max: 1024 * kilobytes("VmHWM:"),
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().map_or(true, |it| it.is_some())
    }
}

/// Says to the process that started this one where it listens, and ends with it.
pub(crate) fn tell_port(address: SocketAddr) {
    println!("{}", address.port());
    std::io::stdout().flush().unwrap();
    thread::spawn(|| {
        drop(std::io::stdin().read(&mut [0]));
        process::exit(0);
    });
}

/// Another process of this program, in another role.
pub(crate) struct Helper {
    pub(crate) process: Running,
    pub(crate) address: SocketAddr,
}

impl Helper {
    pub(crate) fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port: u16 = line.trim().parse().expect("a helper says its port");
        Self {
            process: Running(child),
            address: local(port),
        }
    }
}

/// Files that live as long as the run.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("facilitator-figures.{}", process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> (PathBuf, u32) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        (self.0.join(format!("{number}-{name}")), number)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A database of its own, dropped with its guard.
pub(crate) struct Database {
    cluster: PgConnectOptions,
    name: String,
}

impl Database {
    pub(crate) fn create(purpose: &str) -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a Postgres; ./dev bench starts one");
        let cluster = PgConnectOptions::from_str(&url).unwrap();
        let name = format!("figures_{purpose}_{}", process::id());
        let database = Self { cluster, name };
        database.tell(&format!("CREATE DATABASE {}", database.name)).unwrap();
        database
    }

    fn url(&self) -> String {
        self.cluster.clone().database(&self.name).to_url_lossy().to_string()
    }

    /// Runs statements in it.
    pub(crate) fn execute(&self, statements: &str) {
        self.with(async |connection| connection.execute(AssertSqlSafe(statements)).await.map(drop));
    }

    /// Does this with a connection to it.
    pub(crate) fn with<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>) -> T {
        run(&self.cluster.clone().database(&self.name), work).unwrap()
    }

    /// The one text that a query of it gives.
    pub(crate) fn one(&self, query: &str) -> String {
        self.with(async |connection| sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await)
    }

    fn tell(&self, statement: &str) -> Result<(), sqlx::Error> {
        run(&self.cluster, async |connection| {
            connection.execute(AssertSqlSafe(statement)).await.map(drop)
        })
    }
}

/// Does this with a connection of its own.
fn run<T>(
    options: &PgConnectOptions,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { work(&mut options.connect().await?).await })
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.tell(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)) {
            eprintln!("the database {} is left over: {error}", self.name);
        }
    }
}

/// A network that a facilitator serves.
pub(crate) struct Network {
    /// Its table of the configuration.
    pub(crate) toml: String,
    /// The variable of the environment that holds its signer's key, and the key.
    pub(crate) key: (&'static str, String),
}

/// The release binary, serving.
pub(crate) struct Facilitator {
    pub(crate) process: Running,
    pub(crate) address: SocketAddr,
    config: PathBuf,
    database_url: String,
    keys: Vec<(&'static str, String)>,
    /// From its start until it said that it was ready.
    pub(crate) ready_after: Duration,
}

impl Facilitator {
    /// Starts one on these networks and this database, with settings as they come.
    pub(crate) fn start(scratch: &Scratch, networks: &[Network], database: &Database) -> Self {
        let (port, metrics) = (free_port(), free_port());
        let (config, number) = scratch.file("facilitator.toml");
        std::fs::write(&config, configuration(networks, port, metrics)).unwrap();
        let log = scratch.path().join(format!("{number}-facilitator.log"));
        let mut command = Command::new(FACILITATOR);
        command
            .args(["serve", "--config"])
            .arg(&config)
            .env("FIGURES_DATABASE_URL", database.url())
            .envs(networks.iter().map(|it| (it.key.0, &it.key.1)))
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap());
        let began = Instant::now();
        let mut process = Running(command.spawn().expect("the facilitator starts"));
        let address = local(port);
        while !is_ready(address) {
            assert!(
                !process.has_ended() && began.elapsed() < START_MAX,
                "the facilitator does not get ready:\n{}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(1));
        }
        Self {
            process,
            address,
            config,
            database_url: database.url(),
            keys: networks.iter().map(|it| it.key.clone()).collect(),
            ready_after: began.elapsed(),
        }
    }
}

impl Facilitator {
    /// A subcommand of it, ready to run.
    pub(crate) fn subcommand(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(FACILITATOR);
        command
            .args([subcommand, "--config"])
            .arg(&self.config)
            .args(arguments)
            .env("FIGURES_DATABASE_URL", &self.database_url)
            .envs(self.keys.iter().map(|(name, key)| (name, key)));
        command
    }

    /// Runs a subcommand of it, which must succeed.
    pub(crate) fn run(&self, subcommand: &str, arguments: &[&str]) {
        let done = self.subcommand(subcommand, arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn configuration(networks: &[Network], port: u16, metrics: u16) -> String {
    let networks: String = networks.iter().map(|it| it.toml.as_str()).collect();
    format!(
        r#"
[http]
listen = "127.0.0.1:{port}"
[metrics]
listen = "127.0.0.1:{metrics}"
[database]
url = {{ env = "FIGURES_DATABASE_URL" }}
[signing]
secret = "{}"
[webhooks]
allow_private = true
{networks}"#,
        "5e".repeat(32)
    )
}

fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut client) = Client::connect(address) else {
        return false;
    };
    client
        .ask(&http::get("/health/ready"))
        .is_ok_and(|(status, _)| status == 200)
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A port that nobody listens on.
///
/// Below the range that the kernel hands out for outgoing connections, so that a port found free stays free.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Relaxed)) % 15_000;
        let port = 15_000 + u16::try_from(number).unwrap();
        if TcpListener::bind(local(port)).is_ok() {
            return port;
        }
    }
}
