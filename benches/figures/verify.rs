//! `/verify` on a stub node, beside the limit in the same run; alike for every chain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::load::{self, Load, Plan, Until};
use crate::table::{Row, aim, median, number};
use crate::world::{Database, Facilitator, Helper, Network, Running, Scratch};
use crate::{Pace, progress, stub};

/// Distinct payments that are sent, over and over.
const PAYMENTS: usize = 20_000;
const CONNECTIONS: [usize; 3] = [1, 16, 64];
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(25)];

/// What part of its limit `/verify` aims at, at least, when the node answers at once.
const RATIO_MIN: f64 = 0.7;

/// What a good answer of either endpoint says.
pub(crate) const VALID: &str = r#""isValid":true"#;

/// A chain to measure on.
pub(crate) struct Subject {
    /// What the figures call it.
    pub(crate) chain: &'static str,
    /// What its limit does.
    pub(crate) limit: &'static str,
    /// The roles of this program that serve its limit and its stub node.
    pub(crate) limit_role: &'static str,
    pub(crate) stub_role: &'static str,
    /// This many requests to `/verify`, all distinct and all valid.
    pub(crate) requests: fn(usize) -> Vec<Vec<u8>>,
    /// A request to the stub node as the facilitator makes it, about one payment.
    pub(crate) question: fn() -> Vec<u8>,
    /// The network that the stub node at this address serves.
    pub(crate) network: fn(SocketAddr) -> Network,
}

struct Sample {
    load: Load,
    cpu_ms: f64,
    requests_each: f64,
    calls_each: f64,
}

struct Scene {
    question: Arc<Vec<Vec<u8>>>,
    requests: Arc<Vec<Vec<u8>>>,
    stub: Helper,
    limit: Helper,
    facilitator: Facilitator,
    _database: Database,
}

/// All rows about `/verify` on this chain.
pub(crate) fn rows(subject: &Subject, pace: Pace, scratch: &Scratch) -> Vec<Row> {
    let chain = subject.chain;
    progress(&format!("{chain}: signing {PAYMENTS} payments"));
    let requests = Arc::new((subject.requests)(PAYMENTS));
    let (stub, limit) = (Helper::start(subject.stub_role), Helper::start(subject.limit_role));
    let database = Database::create("verify");
    let facilitator = Facilitator::start(scratch, &[(subject.network)(stub.address)], &database);
    let scene = Scene {
        question: Arc::new(vec![(subject.question)()]),
        requests,
        stub,
        limit,
        facilitator,
        _database: database,
    };

    let mut hops = Vec::new();
    let mut limits: Vec<Vec<Sample>> = CONNECTIONS.iter().map(|_| Vec::new()).collect();
    let mut verifies: Vec<Vec<Vec<Sample>>> = DELAYS
        .iter()
        .map(|_| CONNECTIONS.iter().map(|_| Vec::new()).collect())
        .collect();
    for run in 1..=pace.runs {
        stub::set_delay(scene.stub.address, Duration::ZERO);
        hops.push(scene.sample(pace, 1, Target::Stub));
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            limits[at].push(scene.sample(pace, connections, Target::Limit));
            for (delay_at, delay) in DELAYS.into_iter().enumerate() {
                stub::set_delay(scene.stub.address, delay);
                verifies[delay_at][at].push(scene.sample(pace, connections, Target::Facilitator));
            }
            let rate = |samples: &[Sample]| number(samples.last().map_or(f64::NAN, |it| it.load.rate));
            progress(&format!(
                "{chain} verify, run {run}, {connections} connections: limit {}/s, node at once {}/s, node after 25 ms {}/s",
                rate(&limits[at]),
                rate(&verifies[0][at]),
                rate(&verifies[1][at]),
            ));
        }
    }
    // Its threads end with their connections, and their processor time with them.
    let mut rows = vec![Row {
        cpu_ms: None,
        ..row(
            &format!("{chain}: the stub: one request about one payment, at once"),
            1,
            &hops,
        )
    }];
    rows.extend(table(subject, &limits, &verifies));
    rows
}

/// Sends these to this address for a while.
pub(crate) fn load(
    pace: Pace,
    to: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    expect: &'static str,
    connections: usize,
) -> Load {
    load::run(Plan {
        to,
        requests: Arc::clone(requests),
        expect,
        connections,
        lull_max: Duration::ZERO,
        until: Until::Elapsed {
            warm_up: Duration::from_millis(300),
            counted: pace.counted,
        },
    })
}

#[derive(Clone, Copy)]
enum Target {
    Stub,
    Limit,
    Facilitator,
}

impl Scene {
    fn sample(&self, pace: Pace, connections: usize, target: Target) -> Sample {
        let (process, to): (&Running, _) = match target {
            Target::Stub => (&self.stub.process, self.stub.address),
            Target::Limit => (&self.limit.process, self.limit.address),
            Target::Facilitator => (&self.facilitator.process, self.facilitator.address),
        };
        let (asked, used) = (stub::counts(self.stub.address), process.usage());
        let load = match target {
            Target::Stub => load(pace, to, &self.question, "result", connections),
            Target::Limit | Target::Facilitator => load(pace, to, &self.requests, VALID, connections),
        };
        let (asked_after, used_after) = (stub::counts(self.stub.address), process.usage());
        if let Some(complaint) = &load.complaint {
            progress(&format!("{} wrong answers, the first: {complaint}", load.bad));
        }
        let answers = (load.good + load.bad).max(1) as f64;
        Sample {
            cpu_ms: (used_after.cpu - used.cpu) * 1e3 / answers,
            requests_each: (asked_after.requests - asked.requests) as f64 / answers,
            calls_each: (asked_after.calls - asked.calls) as f64 / answers,
            load,
        }
    }
}

fn table(subject: &Subject, limits: &[Vec<Sample>], verifies: &[Vec<Vec<Sample>>]) -> Vec<Row> {
    let chain = subject.chain;
    let mut rows = Vec::new();
    for (connections, samples) in CONNECTIONS.into_iter().zip(limits) {
        rows.push(row(
            &format!("{chain}: the limit: {}", subject.limit),
            connections,
            samples,
        ));
    }
    for (delay_at, delay) in DELAYS.into_iter().enumerate() {
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            let samples = &verifies[delay_at][at];
            let figure = format!("{chain}: /verify, the node answers after {} ms", delay.as_millis());
            let mut row = row(&figure, connections, samples);
            let pairs = samples.iter().zip(&limits[at]);
            let ratio = median(pairs.map(|(verify, limit)| verify.load.rate / limit.load.rate));
            let requests_each = median(samples.iter().map(|it| it.requests_each));
            let calls_each = median(samples.iter().map(|it| it.calls_each));
            let trips = row.p50_ms.unwrap_or(f64::NAN) / (delay.as_secs_f64() * 1e3);
            let mut more = vec![format!(
                "{} RPC requests and {} calls in them each",
                number(requests_each),
                number(calls_each)
            )];
            let mut aims = Vec::new();
            if delay.is_zero() {
                more.insert(0, format!("{} of the limit", number(ratio)));
                aims.push(aim(
                    &format!("at least {RATIO_MIN:.2} of the limit"),
                    ratio >= RATIO_MIN,
                ));
            } else {
                more.insert(0, format!("{} round trips", number(trips)));
                aims.push(aim("at most 1.05 round trips", trips <= 1.05));
            }
            if connections == 64 {
                aims.push(aim("at most 0.1 RPC requests each", requests_each <= 0.1));
            }
            row.more = [more.join(", "), row.more].join("");
            row.aim = aims.join("; ");
            rows.push(row);
        }
    }
    rows
}

fn row(figure: &str, connections: usize, samples: &[Sample]) -> Row {
    let of = |value: fn(&Sample) -> f64| Some(median(samples.iter().map(value)));
    let bad: usize = samples.iter().map(|it| it.load.bad).sum();
    Row {
        figure: figure.to_owned(),
        connections: Some(connections),
        rate: of(|it| it.load.rate),
        p50_ms: of(|it| it.load.p50_ms),
        p99_ms: of(|it| it.load.p99_ms),
        cpu_ms: of(|it| it.cpu_ms),
        more: if bad == 0 {
            String::new()
        } else {
            format!(", **{bad} wrong answers**")
        },
        ..Row::default()
    }
}
