//! `/settle` on a local cluster with one fee payer, beside the same payments sent without a facilitator, and held
//! against what the seller has in the end.

use std::thread;
use std::time::Duration;

use crate::load::{self, Load};
use crate::solana::cluster::Cluster;
use crate::solana::direct::{self, Sending};
use crate::table::{Row, aim, count, median, number};
use crate::world::{Database, Facilitator, Scratch};
use crate::{Pace, progress};

/// How often there is a slot; over how many connections how many payments are made in one run.
///
/// Usual slots say what a caller waits for; short ones, what of that is the facilitator's own.
const PLANS: [(Duration, usize, usize); 5] = [
    (Duration::from_millis(400), 1, 12),
    (Duration::from_millis(400), 64, 512),
    (Duration::from_millis(400), 256, 1_024),
    (Duration::from_millis(50), 1, 30),
    (Duration::from_millis(50), 16, 320),
];

struct Sample {
    direct: Load,
    load: Load,
    cpu_ms: f64,
    resident_max: f64,
    /// Payments that reached the seller through the facilitator.
    arrived: usize,
}

/// All rows about `/settle`.
pub(crate) fn rows(pace: Pace, scratch: &Scratch) -> Vec<Row> {
    let mut rows = Vec::new();
    let (mut good, mut bad, mut arrived, mut peak) = (0, 0, 0, 0.0_f64);
    for (slot, connections, payments) in PLANS {
        let payments = pace.share_of(payments);
        let samples: Vec<Sample> = (1..=pace.runs)
            .map(|run| {
                let words = format!("slots of {} ms, run {run}, {connections} connections", slot.as_millis());
                sample(scratch, slot, connections, payments, &words)
            })
            .collect();
        rows.extend(pair(slot, connections, &samples));
        for sample in samples {
            good += sample.load.good;
            bad += sample.load.bad;
            arrived += sample.arrived;
            peak = peak.max(sample.resident_max);
        }
    }
    rows.push(Row {
        figure: "Solana: books against the chain".to_owned(),
        more: format!(
            "{} answered as settled, {} reached the seller",
            count(good),
            count(arrived)
        ),
        aim: aim(
            "every answer a success, every success on the chain",
            bad == 0 && good == arrived,
        ),
        ..Row::default()
    });
    rows.push(Row {
        figure: "Solana: memory at most, /settle over 256 connections".to_owned(),
        more: format!("{} MB", number(peak / 1e6)),
        ..Row::default()
    });
    rows
}

/// A new cluster for each half: with each thousand transactions the node takes noticeably longer for one.
fn sample(scratch: &Scratch, slot: Duration, connections: usize, payments: usize, words: &str) -> Sample {
    let direct = send_directly(slot, connections, payments);
    progress(&format!(
        "Solana send and confirmed, {words}: {}/s, p50 {} ms",
        number(direct.rate),
        number(direct.p50_ms)
    ));

    let mut cluster = Cluster::start(slot);
    let database = Database::create("settle");
    let facilitator = Facilitator::start(scratch, &[cluster.network()], &database);
    let (mut mint, blockhash) = (cluster.mint(), cluster.blockhash());
    let requests = mint.requests("/settle", &[blockhash], payments);
    let words = format!("Solana settle, {words}");
    let (load, cpu_ms) = load::settle(&facilitator, &words, connections, requests);
    if load.bad > 0 {
        // Some may land that nobody waited for.
        thread::sleep(slot * 10);
    }
    Sample {
        direct,
        load,
        cpu_ms,
        resident_max: facilitator.process.usage().resident_max as f64,
        arrived: cluster.arrived(),
    }
}

/// The same payments, made out to somebody who sends them by itself.
fn send_directly(slot: Duration, connections: usize, payments: usize) -> Load {
    let mut cluster = Cluster::start(slot);
    let (fee_payer, blockhash, mut mint) = (cluster.direct_fee_payer(), cluster.blockhash(), cluster.mint());
    let sealed = (0..payments).map(|_| mint.sign(&fee_payer.address, blockhash).sealed(&fee_payer));
    let sendings = sealed.map(|(transaction, signature)| Sending::new(signature.to_string(), &transaction));
    let load = direct::run(cluster.address, sendings.collect(), connections);
    assert_eq!(cluster.arrived(), payments, "what was confirmed reached the seller");
    load
}

/// A row for who sends directly, and one for the facilitator.
fn pair(slot: Duration, connections: usize, samples: &[Sample]) -> [Row; 2] {
    let of = |value: fn(&Sample) -> f64| Some(median(samples.iter().map(value)));
    let added = median(samples.iter().map(|it| it.load.p50_ms - it.direct.p50_ms));
    let bad: usize = samples.iter().map(|it| it.load.bad).sum();
    let slots = format!("slots of {} ms", slot.as_millis());
    let direct = Row {
        figure: format!("Solana: send and wait for confirmed, {slots}"),
        connections: Some(connections),
        rate: of(|it| it.direct.rate),
        p50_ms: of(|it| it.direct.p50_ms),
        p99_ms: of(|it| it.direct.p99_ms),
        ..Row::default()
    };
    let settle = Row {
        figure: format!("Solana: /settle, {slots}"),
        rate: of(|it| it.load.rate),
        p50_ms: of(|it| it.load.p50_ms),
        p99_ms: of(|it| it.load.p99_ms),
        cpu_ms: of(|it| it.cpu_ms),
        more: format!(
            "{} ms added to send and confirmed; {}",
            number(added),
            if bad == 0 {
                "no failure".to_owned()
            } else {
                format!("**{bad} failures**")
            }
        ),
        connections: Some(connections),
        ..Row::default()
    };
    [direct, settle]
}
