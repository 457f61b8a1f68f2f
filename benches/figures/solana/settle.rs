//! `/settle` with one fee payer: on a local cluster, beside the same payments sent without a facilitator and held
//! against what the seller has in the end; and on the stub node, since the local one is soon at its limit.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::load::{self, Load};
use crate::node::Node;
use crate::solana::cluster::Cluster;
use crate::solana::direct::{self, Sending};
use crate::solana::ledger::SLOT;
use crate::solana::{self, SUBJECT};
use crate::table::{Row, aim, count, median, number};
use crate::world::{Database, Facilitator, Helper, Network, Running, Scratch};
use crate::{Pace, progress};

/// How often there is a slot; over how many connections how many payments are made in one run.
///
/// Usual slots say what a caller waits for; short ones, what of that is the facilitator's own.
const PLANS: [(Duration, usize, usize); 4] = [
    (Duration::from_millis(400), 1, 24),
    (Duration::from_millis(400), 64, 256),
    (Duration::from_millis(400), 256, 768),
    (Duration::from_millis(50), 1, 40),
];

/// On the stub node: connections, and payments in one run of each.
const ON_STUB: [(usize, usize); 2] = [(64, 768), (256, 3_072)];

const RUNS: &str = "the node runs, as it did before";

/// One way to have payments made.
struct Half {
    load: Load,
    /// Processor time of the node for each payment.
    node_cpu_ms: f64,
}

struct Sample {
    settle: Half,
    cpu_ms: f64,
    resident_max: f64,
    /// Payments that are on the chain in the end.
    arrived: usize,
    /// The same without the facilitator.
    direct: Option<Half>,
}

/// All rows about `/settle`.
pub(crate) fn rows(pace: Pace, scratch: &Scratch) -> Vec<Row> {
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    let plans = if Cluster::start(SLOT).is_some() {
        &PLANS[..]
    } else {
        progress("no Solana node here: what needs one is left out");
        &[]
    };
    for &(slot, connections, payments) in plans {
        let slots = format!("slots of {} ms", slot.as_millis());
        let sample = |run| {
            let words = format!("{slots}, run {run}, {connections} connections");
            on_cluster(scratch, slot, connections, pace.share_of(payments), &words)
        };
        let samples: Vec<Sample> = (1..=pace.runs).map(sample).collect();
        rows.push(direct_row(
            &format!("Solana: send and wait for confirmed, {slots}"),
            connections,
            &samples,
        ));
        rows.push(row(&format!("Solana: /settle, {slots}"), connections, &samples));
        all.extend(samples);
    }
    for (connections, payments) in ON_STUB {
        let sample = |run| {
            let words = format!("a stub node, run {run}, {connections} connections");
            on_stub(scratch, connections, pace.share_of(payments), &words)
        };
        let samples: Vec<Sample> = (1..=pace.runs).map(sample).collect();
        let figure = format!("Solana: /settle, a stub node with slots of {} ms", SLOT.as_millis());
        rows.push(row(&figure, connections, &samples));
        all.extend(samples);
    }
    rows.extend(books(&all));
    rows
}

/// A new cluster for each half: with each thousand transactions the node takes noticeably longer for one.
fn on_cluster(scratch: &Scratch, slot: Duration, connections: usize, payments: usize, words: &str) -> Sample {
    let direct = send_directly(slot, connections, payments, words);
    let mut cluster = Cluster::start(slot).expect(RUNS);
    let (mut mint, blockhash) = (cluster.mint(), cluster.blockhash());
    let requests = || mint.requests("/settle", &[blockhash], payments);
    let sample = settle(
        scratch,
        &cluster.process,
        cluster.network(),
        requests,
        connections,
        slot,
        words,
    );
    if sample.settle.load.bad > 0 {
        // Some may land that nobody waited for.
        thread::sleep(slot * 10);
    }
    Sample {
        arrived: cluster.arrived(),
        direct: Some(direct),
        ..sample
    }
}

fn on_stub(scratch: &Scratch, connections: usize, payments: usize, words: &str) -> Sample {
    let stub = Helper::start(SUBJECT.stub_role);
    let network = (SUBJECT.network)(stub.address);
    let requests = || solana::requests("/settle", payments);
    let sample = settle(scratch, &stub.process, network, requests, connections, SLOT, words);
    let taken = Node::connect(stub.address).call("getTransactionCount", &json!([]));
    Sample {
        arrived: serde_json::from_value(taken).unwrap(),
        ..sample
    }
}

/// Has these payments settled; made only once everything runs, since they do not live long.
fn settle(
    scratch: &Scratch,
    node: &Running,
    network: Network,
    requests: impl FnOnce() -> Vec<Vec<u8>>,
    connections: usize,
    slot: Duration,
    words: &str,
) -> Sample {
    let database = Database::create("settle");
    let facilitator = Facilitator::start(scratch, &[network], &database);
    let requests = requests();
    let (payments, used) = (requests.len(), node.usage().cpu);
    let words = format!("Solana settle, {words}");
    let (load, cpu_ms) = load::settle(&facilitator, &words, connections, lull_max(connections, slot), requests);
    Sample {
        settle: Half {
            load,
            node_cpu_ms: (node.usage().cpu - used) * 1e3 / payments as f64,
        },
        cpu_ms,
        resident_max: facilitator.process.usage().resident_max as f64,
        arrived: 0,
        direct: None,
    }
}

/// A single connection is there for the latency, several for the rate.
const fn lull_max(connections: usize, slot: Duration) -> Duration {
    if connections == 1 { slot } else { Duration::ZERO }
}

/// The same payments, made out to somebody who sends them by itself.
fn send_directly(slot: Duration, connections: usize, payments: usize, words: &str) -> Half {
    let mut cluster = Cluster::start(slot).expect(RUNS);
    let (fee_payer, blockhash, mut mint) = (cluster.direct_fee_payer(), cluster.blockhash(), cluster.mint());
    let sealed = (0..payments).map(|_| mint.sign(&fee_payer.address, blockhash).sealed(&fee_payer));
    let sendings = sealed.map(|(transaction, signature)| Sending::new(signature.to_string(), &transaction));
    let (sendings, used) = (sendings.collect(), cluster.process.usage().cpu);
    let load = direct::run(cluster.address, sendings, connections, lull_max(connections, slot));
    let node_cpu_ms = (cluster.process.usage().cpu - used) * 1e3 / payments as f64;
    progress(&format!(
        "Solana send and confirmed, {words}: {}/s, p50 {} ms",
        number(load.rate),
        number(load.p50_ms)
    ));
    assert_eq!(cluster.arrived(), payments, "what was confirmed reached the seller");
    Half { load, node_cpu_ms }
}

fn direct_row(figure: &str, connections: usize, samples: &[Sample]) -> Row {
    let of = |value: fn(&Half) -> f64| median(samples.iter().filter_map(|it| it.direct.as_ref()).map(value));
    Row {
        figure: figure.to_owned(),
        connections: Some(connections),
        rate: (connections > 1).then(|| of(|it| it.load.rate)),
        p50_ms: Some(of(|it| it.load.p50_ms)),
        p99_ms: Some(of(|it| it.load.p99_ms)),
        more: format!("the node's CPU {} ms each", number(of(|it| it.node_cpu_ms))),
        ..Row::default()
    }
}

fn row(figure: &str, connections: usize, samples: &[Sample]) -> Row {
    let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
    let added = samples.iter().filter_map(|it| {
        let direct = it.direct.as_ref()?;
        Some(it.settle.load.p50_ms - direct.load.p50_ms)
    });
    let bad: usize = samples.iter().map(|it| it.settle.load.bad).sum();
    let more = [
        // Over several, both wait for the node most of the time.
        (connections == 1).then(|| format!("{} ms added to send and confirmed", number(median(added)))),
        Some(format!(
            "the node's CPU {} ms each",
            number(of(|it| it.settle.node_cpu_ms))
        )),
        Some(if bad == 0 {
            "no failure".to_owned()
        } else {
            format!("**{bad} failures**")
        }),
    ];
    Row {
        figure: figure.to_owned(),
        connections: Some(connections),
        rate: (connections > 1).then(|| of(|it| it.settle.load.rate)),
        p50_ms: Some(of(|it| it.settle.load.p50_ms)),
        p99_ms: Some(of(|it| it.settle.load.p99_ms)),
        cpu_ms: Some(of(|it| it.cpu_ms)),
        more: more.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ..Row::default()
    }
}

/// What was answered and what is on the chain, over all runs.
fn books(samples: &[Sample]) -> [Row; 2] {
    let all = |value: fn(&Sample) -> usize| samples.iter().map(value).sum::<usize>();
    let (good, bad) = (all(|it| it.settle.load.good), all(|it| it.settle.load.bad));
    let arrived = all(|it| it.arrived);
    let is_true = bad == 0 && samples.iter().all(|it| it.arrived == it.settle.load.good);
    let peak = samples.iter().map(|it| it.resident_max).fold(0.0, f64::max);
    [
        Row {
            figure: "Solana: books against the chain".to_owned(),
            more: format!("{} answered as settled, {} on the chain", count(good), count(arrived)),
            aim: aim("every answer a success, every success on the chain", is_true),
            ..Row::default()
        },
        Row {
            figure: "Solana: memory at most, /settle over 256 connections".to_owned(),
            more: format!("{} MB", number(peak / 1e6)),
            ..Row::default()
        },
    ]
}
