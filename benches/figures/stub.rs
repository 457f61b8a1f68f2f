//! What stub nodes have in common: each is a process of its own that knows nothing and finds every payment good,
//! answers after a set delay, and counts what it is asked.
//!
//! Blocking, one thread a connection: the facilitator opens few, and the delay of a sleeping thread is exact to a
//! twentieth of a millisecond, where an asynchronous timer rounds to a whole one.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::http::{self, Client};
use crate::world;

/// A chain's way to answer.
pub(crate) trait Node: Send + Sync + 'static {
    /// Writes the answer to this JSON-RPC request, a call or a batch of them, and gives the number of its calls.
    fn answer(&self, body: &str, answer: &mut String) -> u64;
}

/// What was asked so far.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Counts {
    /// HTTP requests.
    pub(crate) requests: u64,
    /// Calls in them; a batch has several.
    pub(crate) calls: u64,
}

struct Stub<N> {
    node: N,
    delay_micros: AtomicU64,
    requests: AtomicU64,
    calls: AtomicU64,
}

/// Serves until the process that started this one has gone.
pub(crate) fn serve(node: impl Node) {
    let stub = Arc::new(Stub {
        node,
        delay_micros: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        calls: AtomicU64::new(0),
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    world::tell_port(listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let (stream, stub) = (stream.unwrap(), Arc::clone(&stub));
        // A connection that breaks off is its peer's business.
        thread::spawn(move || drop(stub.talk(stream)));
    }
}

impl<N: Node> Stub<N> {
    fn talk(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut buffer, mut answer, mut response) = (Vec::new(), String::new(), Vec::new());
        while let Some(head) = http::receive(&mut stream, &mut buffer)? {
            let text = std::str::from_utf8(&buffer[..head.whole()]).map_err(io::Error::other)?;
            let (head, body) = text.split_at(head.size);
            answer.clear();
            if let Some(path) = head.strip_prefix("GET ") {
                answer = self.control(path);
            } else {
                self.requests.fetch_add(1, Relaxed);
                let delay = Duration::from_micros(self.delay_micros.load(Relaxed));
                let calls = self.node.answer(body, &mut answer);
                self.calls.fetch_add(calls, Relaxed);
                if !delay.is_zero() {
                    thread::sleep(delay);
                }
            }
            response.clear();
            let size = answer.len();
            write!(
                response,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n{answer}"
            )?;
            stream.write_all(&response)?;
        }
        Ok(())
    }

    fn control(&self, path: &str) -> String {
        let delay = path.strip_prefix("/delay/").and_then(|it| it.split(' ').next());
        if let Some(micros) = delay.and_then(|it| it.parse().ok()) {
            self.delay_micros.store(micros, Relaxed);
        }
        json!({ "requests": self.requests.load(Relaxed), "calls": self.calls.load(Relaxed) }).to_string()
    }
}

/// Sets how long the stub waits before it answers.
pub(crate) fn set_delay(stub: SocketAddr, delay: Duration) {
    control(stub, &format!("/delay/{}", delay.as_micros()));
}

/// What the stub was asked so far.
pub(crate) fn counts(stub: SocketAddr) -> Counts {
    control(stub, "/counts")
}

fn control(stub: SocketAddr, path: &str) -> Counts {
    let mut client = Client::connect(stub).unwrap();
    let (_, body) = client.ask(&http::get(path)).unwrap();
    serde_json::from_slice(body).unwrap()
}
