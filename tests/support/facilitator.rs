//! The real binary, configured by a file, spoken to over HTTP, and ended in every way a process can end.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::config::Config;
use super::confined::Confined;
use super::http::{Answer, Client};
use super::inside::Inside;
use super::process::Process;
use super::{eventually, offered};

/// A directory with the configuration file, gone with this value.
struct Directory(PathBuf);

impl Directory {
    fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "facilitator-it-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Which facilitator is run.
#[derive(Clone)]
pub(crate) struct Version {
    program: PathBuf,
}

impl Version {
    pub(crate) fn this() -> Self {
        Self {
            program: env!("CARGO_BIN_EXE_facilitator").into(),
        }
    }

    /// The one before the last migration, which `./dev rolling` provides.
    pub(crate) fn before() -> Option<Self> {
        offered("FACILITATOR_BEFORE", "version before the last migration").map(|program| Self {
            program: program.into(),
        })
    }
}

/// The facilitator of one world: running, or between two runs.
pub(crate) struct Facilitator {
    pub(crate) config: Config,
    version: Version,
    directory: Directory,
    process: Option<Process>,
    client: Client,
    /// What earlier processes said.
    said: String,
}

impl Facilitator {
    pub(crate) fn new(config: Config) -> Self {
        let directory = Directory::create();
        Self {
            config,
            version: Version::this(),
            directory,
            process: None,
            client: Client::new(),
            said: String::new(),
        }
    }

    /// From its next start on it is another version.
    pub(crate) fn becomes(&mut self, version: &Version) {
        self.version = version.clone();
    }

    pub(crate) const fn version(&self) -> &Version {
        &self.version
    }

    /// The same facilitator in this process.
    pub(crate) async fn inside(&self) -> Inside {
        let file = self.directory.0.join("inside.toml");
        let secrets = self.config.secrets().into_iter();
        let spelled_out = secrets.fold(self.config.to_toml(), |text, (name, secret)| {
            text.replace(&format!("{{ env = \"{name}\" }}"), &format!("\"{secret}\""))
        });
        std::fs::write(&file, spelled_out).unwrap();
        Inside::start(&file).await
    }

    /// Runs a subcommand in the same environment, as configured now.
    fn command(&self, subcommand: &str) -> Command {
        let file = self.directory.0.join("facilitator.toml");
        std::fs::write(&file, self.config.to_toml()).unwrap();
        let mut command = Command::new(&self.version.program);
        command.args([subcommand, "--config"]).arg(file);
        command.envs(self.config.secrets());
        command
    }

    /// A shell at this place that runs the script, in which `facilitator` is the program with its configuration, and
    /// `FACILITATOR` where it listens.
    pub(crate) fn shell(&self, place: &Path, script: &str) -> Command {
        let program = self.command("");
        let file = self.directory.0.join("facilitator.toml");
        let named = format!(
            "facilitator() {{ command={}; subcommand=$1; shift; \"$command\" \"$subcommand\" --config '{}' \"$@\"; }}\n",
            self.version.program.display(),
            file.display()
        );
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(named + script).current_dir(place);
        shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("FACILITATOR", self.base());
        shell
    }

    /// Starts serving and waits until requests are taken and every lane is open.
    pub(crate) async fn start(&mut self) {
        self.start_with(&["lane ready"].repeat(self.config.lanes())).await;
    }

    /// Starts serving, and waits until requests are taken and this was said of the lanes. After that an idle
    /// facilitator asks nobody anything.
    pub(crate) async fn start_with(&mut self, lanes: &[&str]) {
        assert!(self.process.is_none(), "it runs already");
        let mut process = Process::spawn("the facilitator", &mut self.command("serve"));
        let url = self.url("/health/ready");
        eventually("the facilitator is ready", async || {
            assert!(
                !process.has_ended(),
                "it ended before it was ready:\n{}",
                process.said()
            );
            self.client.get(&url).await.ok().filter(|answer| answer.status == 200)
        })
        .await;
        for (index, words) in lanes.iter().enumerate() {
            process.says(words, index + 1).await;
        }
        self.process = Some(process);
    }

    /// Runs a subcommand to its end.
    pub(crate) async fn run(&self, subcommand: &str, arguments: &[&str]) -> (ExitStatus, String) {
        let mut command = self.command(subcommand);
        Process::spawn("the facilitator", command.args(arguments)).ended().await
    }

    /// Ends the process between two instructions, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill();
        self.said += &process.said();
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Asks the process to stop.
    pub(crate) fn terminate(&self) {
        self.process.as_ref().unwrap().signal("-TERM");
    }

    /// The most memory that the process has held so far, in KiB.
    pub(crate) fn memory_max(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process.as_ref().unwrap().id());
        let status = std::fs::read_to_string(status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Lets the process have no more memory than this many bytes: beyond it the kernel kills it.
    pub(crate) fn confine(&self, bytes: usize) -> Confined {
        Confined::to(self.process.as_ref().unwrap().id(), bytes)
    }

    /// Stops it in its tracks until [`Facilitator::resume`], as a machine does that is paused.
    pub(crate) fn pause(&self) {
        self.process.as_ref().unwrap().signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.process.as_ref().unwrap().signal("-CONT");
    }

    /// Waits until it has said this so many times.
    pub(crate) async fn says(&mut self, text: &str, times: usize) {
        self.process.as_mut().unwrap().says(text, times).await;
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let (status, said) = self.process.as_mut().unwrap().ended().await;
        self.process = None;
        self.said += &said;
        status
    }

    /// Bytes of memory that the process has in use.
    pub(crate) fn resident(&self) -> u64 {
        let pid = self.process.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Connections that the process has taken at its listeners, and these: what has only reached the kernel does not count.
    /// By the kernel's table, since the process shows what it has open to nobody but root.
    pub(crate) fn sockets(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let listeners = [self.config.port, self.config.metrics_port].map(|port| format!(":{port:04X}"));
        let is_taken = |line: &&str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (columns[1], columns[3], columns[9]);
            // Established, closed by the other side, listening.
            ["01", "08", "0A"].contains(&state) && inode != "0" && listeners.iter().any(|port| local.ends_with(port))
        };
        table.lines().skip(1).filter(is_taken).count()
    }

    /// Everything logged so far, by all its processes.
    pub(crate) fn logs(&self) -> String {
        let running = self.process.as_ref().map(Process::said).unwrap_or_default();
        format!("{}{running}", self.said)
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.config.metrics_port);
        self.client.get(&url).await.unwrap().text()
    }

    /// How many series of the metric have this value now.
    pub(crate) async fn series(&self, metric: &str, value: &str) -> usize {
        let metrics = self.metrics().await;
        let of_metric = metrics.lines().filter_map(|line| line.strip_prefix(metric));
        of_metric
            .filter(|rest| rest.starts_with('{') && rest.rsplit(' ').next() == Some(value))
            .count()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base())
    }

    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.config.port)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client.get(&self.url(path)).await.unwrap()
    }

    /// A caller of its own, for requests that run beside the test.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            client: self.client.clone(),
            base: self.base(),
        }
    }

    pub(crate) async fn verify(&self, body: &Value) -> Answer {
        self.caller().post("/verify", body).await
    }

    pub(crate) async fn settle(&self, body: &Value) -> Answer {
        self.caller().post("/settle", body).await
    }
}

/// A gateway.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    base: String,
}

impl Caller {
    /// The same gateway, by what listens at this port of the machine.
    pub(crate) fn by(&self, port: u16) -> Self {
        Self {
            client: self.client.clone(),
            base: format!("http://127.0.0.1:{port}"),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, &[], body.to_string().into()).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&'static str, String)]) -> Answer {
        self.client
            .get_with(&format!("{}{path}", self.base), headers)
            .await
            .unwrap()
    }

    pub(crate) async fn post_bytes(&self, path: &str, headers: &[(&'static str, String)], body: Vec<u8>) -> Answer {
        self.client
            .post(&format!("{}{path}", self.base), headers, body)
            .await
            .unwrap()
    }

    /// Settles with an `Idempotency-Key`.
    pub(crate) async fn settle_keyed(&self, body: &Value, key: &str) -> Answer {
        self.settle_named(body, &[("idempotency-key", key)]).await
    }

    /// Settles with these headers.
    pub(crate) async fn settle_named(&self, body: &Value, names: &[(&'static str, &str)]) -> Answer {
        let headers: Vec<_> = names.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.post_bytes("/settle", &headers, body.to_string().into()).await
    }

    /// As `post`, for requests whose connection may break.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.client
            .post(&format!("{}{path}", self.base), &[], body.to_string().into())
            .await
            .ok()
    }
}

impl Caller {
    /// Presents the same request until its fate is known: what official resource servers do once, and gateways
    /// until they know.
    pub(crate) async fn settle_until_known(&self, body: &Value) -> Answer {
        eventually("the settlement is known", async || {
            let answer = self.post("/settle", body).await;
            let is_pending = answer.status == 200 && answer.json()["errorReason"] == "settlement_pending";
            (!is_pending).then_some(answer)
        })
        .await
    }

    /// Settles beside the test.
    pub(crate) fn settling(&self, body: Value) -> tokio::task::JoinHandle<Answer> {
        let caller = self.clone();
        tokio::spawn(async move { caller.post("/settle", &body).await })
    }
}
