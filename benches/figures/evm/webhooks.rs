//! How soon a webhook leaves: from the transaction that confirms a payment to the request's arrival, on one clock.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{io, io::Write, thread};

use serde_json::Value;
use sqlx::types::chrono::{DateTime, Utc};

use crate::evm::payment::Chain;
use crate::evm::settle::Scene;
use crate::table::{Row, aim, count, median};
use crate::world::Scratch;
use crate::{Pace, http, progress};

/// Connections, and payments in one run of each.
const LOADS: [(usize, usize); 2] = [(1, 100), (16, 320)];

/// No delivery takes longer, or none will come.
const ARRIVAL_MAX: Duration = Duration::from_secs(30);

/// Whoever is told, and how long after it happened, in milliseconds.
struct Receiver {
    address: SocketAddr,
    after_ms: Arc<Mutex<Vec<f64>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let after_ms: Arc<Mutex<Vec<f64>>> = Arc::default();
        let noted = Arc::clone(&after_ms);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let noted = Arc::clone(&noted);
                // A connection that breaks off is its peer's business.
                thread::spawn(move || drop(receive(stream, &noted)));
            }
        });
        Self { address, after_ms }
    }

    /// What has arrived since it was asked last, once it is this much.
    fn take(&self, expected: usize) -> Vec<f64> {
        let began = Instant::now();
        while self.after_ms.lock().unwrap().len() < expected && began.elapsed() < ARRIVAL_MAX {
            thread::sleep(Duration::from_millis(5));
        }
        std::mem::take(&mut self.after_ms.lock().unwrap())
    }
}

fn receive(mut stream: TcpStream, noted: &Mutex<Vec<f64>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(head) = http::receive(&mut stream, &mut buffer)? {
        let now = Utc::now();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        let event: Value = serde_json::from_slice(&buffer[head.size..head.whole()])?;
        if event["type"] == "payment.confirmed" {
            let happened = DateTime::parse_from_rfc3339(event["createdAt"].as_str().unwrap_or_default());
            let micros = (now - happened.map_err(io::Error::other)?.to_utc()).num_microseconds();
            noted.lock().unwrap().push(micros.unwrap_or_default() as f64 / 1e3);
        }
    }
    Ok(())
}

/// All rows about webhooks.
pub(crate) fn rows(pace: Pace, scratch: &Scratch) -> Vec<Row> {
    let chain = &Chain::load();
    let mut samples: Vec<Vec<(usize, Vec<f64>)>> = LOADS.iter().map(|_| Vec::new()).collect();
    for run in 1..=pace.runs {
        let mut scene = Scene::start(scratch, chain, Duration::from_millis(250));
        let receiver = Receiver::start();
        let url = format!("http://{}/", receiver.address);
        scene.facilitator.run("webhook", &["add", "--url", &url]);
        for (at, (connections, payments)) in LOADS.into_iter().enumerate() {
            let requests = scene.requests(pace.share_of(payments));
            let expected = requests.len();
            scene.sample(run, connections, requests);
            let mut after_ms = receiver.take(expected);
            after_ms.sort_by(f64::total_cmp);
            progress(&format!(
                "webhooks, run {run}: {} of {expected} arrived",
                after_ms.len()
            ));
            samples[at].push((expected, after_ms));
        }
    }
    LOADS
        .into_iter()
        .zip(&samples)
        .map(|((connections, _), runs)| row(connections, runs))
        .collect()
}

fn row(connections: usize, runs: &[(usize, Vec<f64>)]) -> Row {
    let at = |percent: usize| {
        median(runs.iter().map(|(_, sorted)| {
            sorted
                .get(sorted.len().saturating_sub(1) * percent / 100)
                .copied()
                .unwrap_or(f64::NAN)
        }))
    };
    let arrived: usize = runs.iter().map(|(_, sorted)| sorted.len()).sum();
    let expected: usize = runs.iter().map(|(expected, _)| expected).sum();
    let p99 = at(99);
    Row {
        figure: "Webhook: confirmation on record to the request's arrival".to_owned(),
        connections: Some(connections),
        p50_ms: Some(at(50)),
        p99_ms: Some(p99),
        more: format!("{} of {} payments told", count(arrived), count(expected)),
        aim: aim("all within 100 ms at p99", p99 <= 100.0 && arrived == expected),
        ..Row::default()
    }
}
