//! A Postgres of the test's own, to be killed, paused and started again.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{Connection, PgConnection};

use super::process::{Process, free_port};
use super::{eventually, provided};

/// The user `nobody`: Postgres refuses to run as root.
const NOBODY: u32 = 65_534;

/// A cluster, gone with this value.
pub(crate) struct Cluster {
    directory: PathBuf,
    port: u16,
    postmaster: Process,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_in(&std::env::temp_dir()).await
    }

    /// One whose files are in this directory.
    pub(crate) async fn start_in(parent: &Path) -> Self {
        let port = free_port();
        let directory = parent.join(format!("facilitator-cluster-{}-{port}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut initdb = program(&directory, "initdb");
        initdb.args([
            "-D",
            "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
            "--wal-segsize=1",
        ]);
        let (status, said) = Process::spawn("initdb", &mut initdb).ended().await;
        assert!(status.success(), "{said}");
        let postmaster = postmaster(&directory, port);
        let mut cluster = Self {
            directory,
            port,
            postmaster,
        };
        cluster.is_ready().await;
        cluster
    }

    /// How it is reached.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:none@127.0.0.1:{}/postgres", self.port)
    }

    /// `kill -9` of the postmaster; its sessions see that and leave.
    pub(crate) fn kill(&mut self) {
        self.postmaster.kill();
    }

    /// The shutdown that Postgres calls immediate: no session may end what it does, and nothing is tidied up.
    pub(crate) async fn quit(&mut self) {
        self.postmaster.signal("-QUIT");
        self.postmaster.ended().await;
    }

    /// Starts it again, to recover from what is in its log.
    pub(crate) async fn start_again(&mut self) {
        self.postmaster = postmaster(&self.directory, self.port);
        self.is_ready().await;
    }

    /// Stops every process of it in its tracks until [`Cluster::resume`]; connections stay open.
    pub(crate) fn pause(&self) {
        self.signal_all("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal_all("-CONT");
    }

    fn signal_all(&self, signal: &str) {
        let of_it = self.postmaster.id().to_string();
        self.postmaster.signal(signal);
        let status = Command::new("pkill").args([signal, "-P", &of_it]).status().unwrap();
        assert!(status.success(), "pkill {signal} -P {of_it}");
    }

    /// Waits until it takes connections, starting it again if it has ended.
    pub(crate) async fn is_ready(&mut self) {
        let url = self.url();
        eventually("the cluster is ready", async || {
            if self.postmaster.has_ended() {
                // A killed one's sessions have the shared memory as long as they have not all left.
                self.postmaster = postmaster(&self.directory, self.port);
            }
            PgConnection::connect(&url).await.ok()
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Whoever is paused would not see that the postmaster is gone.
        let of_it = self.postmaster.id().to_string();
        drop(Command::new("pkill").args(["-CONT", "-P", &of_it]).status());
        self.postmaster.kill();
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

pub(super) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn program(directory: &Path, name: &str) -> Command {
    let mut command = Command::new(Path::new(&provided("FACILITATOR_POSTGRES")).join(name));
    command.current_dir(directory);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// What is committed is with the kernel when its client hears of it, so that it survives the server's death; it need not
/// survive the machine's.
fn postmaster(directory: &Path, port: u16) -> Process {
    let mut command = program(directory, "postgres");
    command.args(["-D", "data", "-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "synchronous_commit=on",
        "max_connections=100",
        // Small, so that the cluster has room on a small disk.
        "max_wal_size=4MB",
        "min_wal_size=2MB",
    ] {
        command.args(["-c", setting]);
    }
    Process::spawn("the cluster", &mut command)
}
