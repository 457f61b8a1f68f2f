//! The facilitator's real use cases in virtual time, over a simulated store and simulated chains: every seed is another
//! story of replicas, clients, faults and chains that misbehave, always told the same way.
//!
//! `FACILITATOR_SEED` replays one story, `FACILITATOR_SEEDS` says how many are played, from `FACILITATOR_SEED_FIRST` on.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads what it is to play, and spawns the processes and clients of its story"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows is a test that fails"
)]

mod chain_evm;
mod chain_solana;
mod client;
mod dice;
mod invariants;
mod liar;
mod line;
mod plan;
mod rail_evm;
mod rail_solana;
mod reach;
mod scan;
mod sighting_evm;
#[expect(dead_code, reason = "the script of conformance reads the rest")]
mod store;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::world::{Told, play};

/// How many stories a plain test run plays.
const SEEDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// The smallest story found that fails as this one does: without each network and each kind of fault that is not needed,
/// then shorter.
fn shrunk(plan: &Plan) -> Plan {
    let mut smallest = plan.clone();
    for network in plan.networks.clone() {
        let mut fewer = smallest.clone();
        fewer.networks.remove(&network);
        if !fewer.networks.is_empty() && play(&fewer).is_err() {
            smallest = fewer;
        }
    }
    for fault in plan.faults.clone() {
        let mut fewer = smallest.clone();
        fewer.faults.remove(&fault);
        if play(&fewer).is_err() {
            smallest = fewer;
        }
    }
    while smallest.payments > 1 {
        let mut fewer = smallest.clone();
        fewer.payments /= 2;
        if play(&fewer).is_ok() {
            break;
        }
        smallest = fewer;
    }
    smallest
}

fn fail(plan: &Plan, what: &str) -> ! {
    let smallest = shrunk(plan);
    let why = play(&smallest).err().unwrap_or_default();
    panic!(
        "{what}\n  replay:   FACILITATOR_SEED={plan} ./dev test --test sim\n  smallest: FACILITATOR_SEED={smallest} \
         ./dev test --test sim\n  which says: {why}"
    );
}

#[test]
fn whatever_goes_wrong_every_payment_ends_in_the_truth() {
    if let Ok(text) = std::env::var("FACILITATOR_SEED") {
        let plan: Plan = text.parse().expect("a seed");
        match play(&plan) {
            Ok(told) => println!("{plan}: {told:?}"),
            Err(what) => fail(&plan, &what),
        }
        return;
    }
    let (first, count) = (
        number("FACILITATOR_SEED_FIRST").unwrap_or(1),
        number("FACILITATOR_SEEDS").unwrap_or(SEEDS),
    );
    let next = AtomicU64::new(first);
    let (payments, simulated) = (AtomicU64::new(0), Mutex::new(Duration::ZERO));
    let failed: Mutex<Option<(Plan, String)>> = Mutex::new(None);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let plan = Plan::drawn(seed);
                    match play(&plan) {
                        Ok(Told {
                            payments: more,
                            simulated: longer,
                            ..
                        }) => {
                            payments.fetch_add(more, Ordering::Relaxed);
                            *simulated.lock().unwrap() += longer;
                        }
                        Err(what) => {
                            failed.lock().unwrap().get_or_insert((plan, what));
                        }
                    }
                }
            });
        }
    });
    if let Some((plan, what)) = failed.into_inner().unwrap() {
        fail(&plan, &what);
    }
    let (payments, simulated) = (payments.into_inner(), simulated.into_inner().unwrap().as_secs());
    let took = began.elapsed().as_secs_f64();
    println!("SIM seeds={count} first={first} payments={payments} simulated={simulated}s took={took:.1}s violations=0");
}

/// An empty transaction was outbid, and the record of what outbid it said that it carried payments.
#[test]
fn what_outbids_an_empty_transaction_is_on_record_as_empty() {
    let plan = "133/18/Evm/Lag+Reorg+Drop+Price+FrontRun+Broke".parse().unwrap();
    play(&plan).unwrap();
}

/// A payment was withdrawn and presented anew for another resource while a caller for the first one still waited: that one
/// heard the success.
#[test]
fn a_payment_that_is_presented_anew_for_another_resource_is_no_success_of_the_first() {
    let plan = "1372/19/Evm+Solana/StoreUnknown+Lag+FrontRun+Pause+Skew+Hold+Drained+Batch+Resale"
        .parse()
        .unwrap();
    play(&plan).unwrap();
}

/// A process that could not read of its second rail was started again, and kept the lanes of the first one twice over: neither
/// knew what the other held, and nobody sent what was in them.
#[test]
fn a_process_that_starts_at_the_second_try_works_once() {
    let plan = "20356/12/Evm+Solana/StoreDown+StoreUnknown+NodeDown+Send+Reorg+Drop+Price+FrontRun+Cancel+Skew+Forget+Hold+Batch"
        .parse()
        .unwrap();
    play(&plan).unwrap();
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 7, 11] {
        let plan = Plan::drawn(seed);
        assert_eq!(play(&plan), play(&plan), "{plan}");
    }
}

#[test]
fn a_story_is_read_as_it_is_written() {
    let plan = Plan::drawn(5);
    assert_eq!(plan.to_string().parse(), Ok(plan));
}
