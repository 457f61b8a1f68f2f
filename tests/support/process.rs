//! Processes that end with the test that started them.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::eventually;

/// A child process and everything it has said.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let said = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            listen(child.stdout.take().unwrap(), Arc::clone(&said)),
            listen(child.stderr.take().unwrap(), Arc::clone(&said)),
        ];
        Self {
            name,
            child,
            said,
            readers,
        }
    }

    /// Both of its outputs so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits for as many lines as this that contain `text`, and gives the last of them.
    pub(crate) async fn says(&mut self, text: &str, times: usize) -> String {
        let said = Arc::clone(&self.said);
        eventually(&format!("{} says {text:?}", self.name), async || {
            // Before looking, so that its last words are not missed.
            let has_ended = self.child.try_wait().unwrap().is_some();
            let said = said.lock().unwrap();
            let line = said.lines().filter(|line| line.contains(text)).nth(times - 1);
            assert!(
                line.is_some() || !has_ended,
                "{} ended without saying {text:?}:\n{said}",
                self.name
            );
            line.map(str::to_owned)
        })
        .await
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end and gives all it said.
    pub(crate) async fn ended(&mut self) -> (ExitStatus, String) {
        let what = format!("{} ends", self.name);
        let status = eventually(&what, async || self.child.try_wait().unwrap()).await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (status, self.said())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.id().to_string();
        assert!(
            Command::new("kill").args([signal, &pid]).status().unwrap().success(),
            "kill {signal} {pid}"
        );
    }

    /// Takes it out at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        // Fails only when it is over already.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = self.said();
            let last: Vec<&str> = said.lines().rev().take(40).collect();
            eprintln!("--- the last {} lines of {}", last.len(), self.name);
            last.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

fn listen(pipe: impl Read + Send + 'static, said: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            said.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// A port on loopback that nobody uses. Below the range from which the kernel takes ports for outgoing
/// connections, so that it stays free until it is bound, and again between a kill and a restart.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 15_000;
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() * 127 % u32::from(COUNT)).unwrap();
    loop {
        let port = FIRST + (start + TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
