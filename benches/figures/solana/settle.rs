//! `/settle` on a local cluster with one fee payer, beside the same payments sent without a facilitator, and held
//! against what the seller has in the end.

use std::thread;
use std::time::Duration;

use crate::load::{self, Load};
use crate::solana::USDC;
use crate::solana::cluster::Cluster;
use crate::solana::direct::{self, Sending};
use crate::solana::payment::{Mint, Terms, VALUE};
use crate::table::{Row, aim, count, median, number};
use crate::world::{Database, Facilitator, Scratch};
use crate::{Pace, progress};

/// How often there is a slot, and over how many connections how many payments are made in one run.
///
/// Usual slots say what a caller waits for; short ones, what of that is the facilitator's own.
const PLANS: [(Duration, &[(usize, usize)]); 2] = [
    (Duration::from_millis(400), &[(1, 12), (64, 640), (256, 2_048)]),
    (Duration::from_millis(50), &[(1, 30), (16, 320)]),
];

struct Sample {
    direct: Load,
    load: Load,
    cpu_ms: f64,
    /// Payments that reached the seller through the facilitator.
    arrived: u64,
}

/// All rows about `/settle`.
pub(crate) fn rows(pace: Pace, scratch: &Scratch) -> Vec<Row> {
    let (mut rows, mut peaks) = (Vec::new(), Vec::new());
    let (mut good, mut bad, mut arrived) = (0, 0, 0);
    for (slot, plan) in PLANS {
        let mut samples: Vec<Vec<Sample>> = plan.iter().map(|_| Vec::new()).collect();
        for run in 1..=pace.runs {
            let mut scene = Scene::start(scratch, slot);
            for (at, (connections, payments)) in plan.iter().enumerate() {
                samples[at].push(scene.sample(run, *connections, pace.share_of(*payments)));
            }
            peaks.push(scene.facilitator.process.usage().resident_max as f64 / 1e6);
        }
        for ((connections, _), samples) in plan.iter().zip(&samples) {
            rows.extend(pair(slot, *connections, samples));
            good += samples.iter().map(|it| it.load.good).sum::<usize>();
            bad += samples.iter().map(|it| it.load.bad).sum::<usize>();
            arrived += samples.iter().map(|it| it.arrived).sum::<u64>();
        }
    }
    let arrived = usize::try_from(arrived).unwrap();
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
    let peak = peaks.into_iter().fold(0.0, f64::max);
    rows.push(Row {
        figure: "Solana: memory at most, /settle over 256 connections".to_owned(),
        more: format!("{} MB", number(peak)),
        ..Row::default()
    });
    rows
}

struct Scene {
    slot: Duration,
    cluster: Cluster,
    facilitator: Facilitator,
    _database: Database,
    mint: Mint,
}

impl Scene {
    fn start(scratch: &Scratch, slot: Duration) -> Self {
        let cluster = Cluster::start(slot);
        let database = Database::create("settle");
        let facilitator = Facilitator::start(scratch, &[cluster.network()], &database);
        let mint = Mint::new(Terms {
            network: cluster.placed.network.clone(),
            mint: USDC,
            fee_payer: cluster.fee_payer().address,
            payers: cluster.payers(),
            payees: vec![cluster.placed.seller.holder().address],
        });
        Self {
            slot,
            cluster,
            facilitator,
            _database: database,
            mint,
        }
    }

    fn sample(&mut self, run: usize, connections: usize, payments: usize) -> Sample {
        let slot = self.slot.as_millis();
        let before = self.cluster.sold();
        let sendings = self.sendings(payments);
        let direct = direct::run(self.cluster.address, sendings, connections);
        progress(&format!(
            "Solana send and confirmed, slots of {slot} ms, run {run}, {connections} connections: {}/s, p50 {} ms",
            number(direct.rate),
            number(direct.p50_ms)
        ));
        let between = self.cluster.sold();
        assert_eq!(
            between - before,
            VALUE * u64::try_from(payments).unwrap(),
            "what was confirmed reached the seller"
        );

        let blockhash = self.cluster.blockhash();
        let requests = self.mint.requests("/settle", &[blockhash], payments);
        let words = format!("Solana settle, slots of {slot} ms, run {run}, {connections} connections");
        let (load, cpu_ms) = load::settle(&self.facilitator, &words, connections, requests);
        if load.bad > 0 {
            // Some may land that nobody waited for.
            thread::sleep(self.slot * 10);
        }
        Sample {
            direct,
            load,
            cpu_ms,
            arrived: (self.cluster.sold() - between) / VALUE,
        }
    }

    /// Payments made out to somebody else than the facilitator, with all signatures.
    fn sendings(&mut self, payments: usize) -> Vec<Sending> {
        let (fee_payer, blockhash) = (self.cluster.direct_fee_payer(), self.cluster.blockhash());
        let sealed = (0..payments).map(|_| self.mint.sign(&fee_payer.address, blockhash).sealed(&fee_payer));
        sealed
            .map(|(transaction, signature)| Sending::new(signature.to_string(), &transaction))
            .collect()
    }
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
