//! `/verify` on a stub node, beside the limit in the same run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::load::{self, Load, Plan, Until};
use crate::payment::{Chain, Mint};
use crate::table::{Row, aim, median, number};
use crate::world::{Database, Facilitator, Helper, Running, Scratch};
use crate::{Pace, progress, stub};

/// Distinct payments that are sent, over and over.
const PAYMENTS: usize = 20_000;
const PAYERS: usize = 512;
const CONNECTIONS: [usize; 3] = [1, 16, 64];
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(25)];

/// What a good answer of either endpoint says.
pub(crate) const VALID: &str = r#""isValid":true"#;

struct Sample {
    load: Load,
    cpu_ms: f64,
    rpc_each: f64,
}

struct Scene {
    requests: Arc<Vec<Vec<u8>>>,
    stub: Helper,
    limit: Helper,
    facilitator: Facilitator,
    _database: Database,
}

/// All rows about `/verify`.
pub(crate) fn rows(pace: Pace, scratch: &Scratch, chain: &Chain) -> Vec<Row> {
    progress(&format!("signing {PAYMENTS} payments"));
    let requests = requests(chain, PAYMENTS);
    let (stub, limit) = (Helper::start("--stub"), Helper::start("--limit"));
    let database = Database::create("verify");
    let facilitator = Facilitator::start(scratch, chain, stub.address, &database, Duration::from_secs(1));
    let scene = Scene {
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
                "verify, run {run}, {connections} connections: limit {}/s, node at once {}/s, node after 25 ms {}/s",
                rate(&limits[at]),
                rate(&verifies[0][at]),
                rate(&verifies[1][at]),
            ));
        }
    }
    // Its threads end with their connections, and their processor time with them.
    let mut rows = vec![Row {
        cpu_ms: None,
        ..row("the stub: one call about one payment, at once", 1, &hops)
    }];
    rows.extend(table(&limits, &verifies));
    rows
}

/// Requests to `/verify`, all distinct and all valid.
pub(crate) fn requests(chain: &Chain, count: usize) -> Arc<Vec<Vec<u8>>> {
    Arc::new(Mint::new(chain, PAYERS, 16).requests("/verify", count))
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
            Target::Stub => load(pace, to, &Arc::new(vec![stub::lens_request()]), "result", connections),
            Target::Limit | Target::Facilitator => load(pace, to, &self.requests, VALID, connections),
        };
        let (asked_after, used_after) = (stub::counts(self.stub.address), process.usage());
        if let Some(complaint) = &load.complaint {
            progress(&format!("{} wrong answers, the first: {complaint}", load.bad));
        }
        let answers = (load.good + load.bad).max(1) as f64;
        Sample {
            cpu_ms: (used_after.cpu - used.cpu) * 1e3 / answers,
            rpc_each: (asked_after.requests - asked.requests) as f64 / answers,
            load,
        }
    }
}

fn table(limits: &[Vec<Sample>], verifies: &[Vec<Vec<Sample>>]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (connections, samples) in CONNECTIONS.into_iter().zip(limits) {
        rows.push(row("the limit: parse, hash, recover", connections, samples));
    }
    for (delay_at, delay) in DELAYS.into_iter().enumerate() {
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            let samples = &verifies[delay_at][at];
            let figure = format!("/verify, the node answers after {} ms", delay.as_millis());
            let mut row = row(&figure, connections, samples);
            let pairs = samples.iter().zip(&limits[at]);
            let ratio = median(pairs.map(|(verify, limit)| verify.load.rate / limit.load.rate));
            let rpc_each = median(samples.iter().map(|it| it.rpc_each));
            let trips = row.p50_ms.unwrap_or(f64::NAN) / (delay.as_secs_f64() * 1e3);
            let mut more = vec![format!("{} RPC requests each", number(rpc_each))];
            let mut aims = Vec::new();
            if delay.is_zero() {
                more.insert(0, format!("{} of the limit", number(ratio)));
                aims.push(aim("at least 0.70 of the limit", ratio >= 0.70));
            } else {
                more.insert(0, format!("{} round trips", number(trips)));
                aims.push(aim("at most 1.05 round trips", trips <= 1.05));
            }
            if connections == 64 {
                aims.push(aim("at most 0.1 RPC requests each", rpc_each <= 0.1));
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
