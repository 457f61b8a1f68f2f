//! A closed-loop load generator: each connection sends a prepared request, waits for the answer, and sends the next.
//!
//! One thread, raw sockets, hardly any parsing: it shares two cores with what it measures, so whatever it spends is
//! taken from the figures.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::table::number;
use crate::world::Facilitator;
use crate::{http, progress};

/// No single run may take longer, whatever happens.
const RUN_MAX: Duration = Duration::from_secs(90);

/// What a payment's answer says when it is settled.
const SETTLED: &str = r#""success":true"#;

/// What to send, and for how long.
pub(crate) struct Plan {
    pub(crate) to: SocketAddr,
    pub(crate) requests: Arc<Vec<Vec<u8>>>,
    /// What a good answer's body contains.
    pub(crate) expect: &'static str,
    pub(crate) connections: usize,
    /// No connection waits longer than this between an answer and its next request.
    pub(crate) lull_max: Duration,
    pub(crate) until: Until,
}

/// When a run is over.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// After a time that counts, and before it one that does not; begins anew when the requests run out.
    Elapsed { warm_up: Duration, counted: Duration },
    /// When each request was answered once.
    Answered,
}

/// What came back.
pub(crate) struct Load {
    /// Good answers per second.
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// All good answers, those of the warm-up too.
    pub(crate) good: usize,
    /// Answers with another status or without the expected words, and broken connections.
    pub(crate) bad: usize,
    /// The first of them.
    pub(crate) complaint: Option<String>,
}

struct Shared {
    plan: Plan,
    next: Cell<usize>,
    began: Instant,
    good: Cell<usize>,
    bad: Cell<usize>,
    complaint: RefCell<Option<String>>,
    micros: RefCell<Vec<u32>>,
    ended: Cell<Instant>,
}

/// Sends the load and waits for its end.
pub(crate) fn run(plan: Plan) -> Load {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut streams = Vec::with_capacity(plan.connections);
        for _ in 0..plan.connections {
            streams.push(connect(plan.to).await.expect("the listener takes the connection"));
        }
        let began = Instant::now();
        let shared = Rc::new(Shared {
            plan,
            next: Cell::new(0),
            began,
            good: Cell::new(0),
            bad: Cell::new(0),
            complaint: RefCell::new(None),
            micros: RefCell::new(Vec::with_capacity(1 << 16)),
            ended: Cell::new(began),
        });
        let talks: Vec<_> = streams
            .into_iter()
            .map(|stream| tokio::task::spawn_local(talk(Rc::clone(&shared), stream)))
            .collect();
        let all = async {
            for talk in talks {
                talk.await.unwrap();
            }
        };
        if tokio::time::timeout(RUN_MAX, all).await.is_err() {
            shared.note_bad(format!("the run did not end within {RUN_MAX:?}"));
        }
        shared.sum_up()
    })
}

/// Sends each of these payments to be settled once; gives the processor time for each, in milliseconds, beside the
/// load. Says how it went, after these words.
pub(crate) fn settle(
    facilitator: &Facilitator,
    words: &str,
    connections: usize,
    lull_max: Duration,
    requests: Vec<Vec<u8>>,
) -> (Load, f64) {
    let used = facilitator.process.usage();
    let load = run(Plan {
        to: facilitator.address,
        requests: Arc::new(requests),
        expect: SETTLED,
        connections,
        lull_max,
        until: Until::Answered,
    });
    let used_after = facilitator.process.usage();
    progress(&format!(
        "{words}: {}/s, p50 {} ms, {} settled, {} not",
        number(load.rate),
        number(load.p50_ms),
        load.good,
        load.bad
    ));
    if let Some(complaint) = &load.complaint {
        progress(&format!("the first failure: {complaint}"));
    }
    let answers = (load.good + load.bad).max(1) as f64;
    let cpu_ms = (used_after.cpu - used.cpu) * 1e3 / answers;
    (load, cpu_ms)
}

/// Waits before the request of this number, so that all of them meet a chain at every time between two blocks: an
/// answer comes with a block, and what is sent at once always has a whole block time before it.
pub(crate) async fn lull(max: Duration, number: usize) {
    /// Whose multiples, without their whole parts, are spread more evenly than those of any other number.
    const GOLDEN: f64 = 0.618_033_988_749_895;
    if !max.is_zero() {
        tokio::time::sleep(max.mul_f64((number as f64 * GOLDEN).fract())).await;
    }
}

/// A connection that sends without delay.
pub(crate) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn talk(shared: Rc<Shared>, mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Some(index) = shared.next_request() {
        lull(shared.plan.lull_max, index).await;
        let sent = Instant::now();
        match exchange(&stream, &shared.plan.requests[index], &mut buffer).await {
            Ok(head) => shared.note(sent, &buffer[..head.whole()], head.size),
            Err(error) => {
                shared.note_bad(format!("the connection broke: {error}"));
                match connect(shared.plan.to).await {
                    Ok(fresh) => stream = fresh,
                    Err(_) => return,
                }
            }
        }
    }
}

/// Sends a request and reads its answer to the front of the buffer.
pub(crate) async fn exchange(stream: &TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> io::Result<http::Head> {
    let mut rest = request;
    while !rest.is_empty() {
        match stream.try_write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    let mut filled = 0;
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer[filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if let Some(head) = http::Head::read(&buffer[..filled]) {
            if filled >= head.whole() {
                return Ok(head);
            }
            buffer.resize(buffer.len().max(head.whole()), 0);
        }
    }
}

impl Shared {
    fn next_request(&self) -> Option<usize> {
        let index = self.next.get();
        let is_over = match self.plan.until {
            Until::Elapsed { warm_up, counted } => self.began.elapsed() >= warm_up + counted,
            Until::Answered => index >= self.plan.requests.len(),
        };
        if is_over {
            return None;
        }
        self.next.set(index + 1);
        Some(index % self.plan.requests.len())
    }

    fn note(&self, sent: Instant, response: &[u8], head: usize) {
        let now = Instant::now();
        let status = http::status(response);
        if status != 200 || !contains(&response[head..], self.plan.expect.as_bytes()) {
            let body = String::from_utf8_lossy(&response[head..]);
            self.note_bad(format!("HTTP {status}: {}", body.chars().take(300).collect::<String>()));
            return;
        }
        self.good.set(self.good.get() + 1);
        let (from, to) = match self.plan.until {
            Until::Elapsed { warm_up, counted } => (warm_up, warm_up + counted),
            Until::Answered => (Duration::ZERO, Duration::MAX),
        };
        let at = now.duration_since(self.began);
        if at >= from && at <= to {
            let micros = now.duration_since(sent).as_micros();
            self.micros.borrow_mut().push(u32::try_from(micros).unwrap_or(u32::MAX));
            self.ended.set(now);
        }
    }

    fn note_bad(&self, complaint: String) {
        self.bad.set(self.bad.get() + 1);
        self.complaint.borrow_mut().get_or_insert(complaint);
    }

    fn sum_up(&self) -> Load {
        let took = match self.plan.until {
            Until::Elapsed { counted, .. } => counted,
            Until::Answered => self.ended.get().duration_since(self.began),
        };
        Load {
            good: self.good.get(),
            bad: self.bad.get(),
            complaint: self.complaint.take(),
            ..Load::of(self.micros.take(), took)
        }
    }
}

impl Load {
    /// Of good answers alone, from how long each took, in microseconds, and all of them.
    pub(crate) fn of(mut micros: Vec<u32>, took: Duration) -> Self {
        micros.sort_unstable();
        Self {
            rate: micros.len() as f64 / took.as_secs_f64().max(f64::EPSILON),
            p50_ms: percentile_ms(&micros, 50),
            p99_ms: percentile_ms(&micros, 99),
            good: micros.len(),
            bad: 0,
            complaint: None,
        }
    }
}

fn percentile_ms(sorted_micros: &[u32], percent: usize) -> f64 {
    let rank = (sorted_micros.len() * percent).div_ceil(100).max(1) - 1;
    sorted_micros
        .get(rank)
        .map_or(f64::NAN, |&micros| f64::from(micros) / 1e3)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|it| it == needle)
}
