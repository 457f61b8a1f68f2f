//! Crashes and duplicates without aim, counted: three replicas, many copies, and kills at random times.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use crate::chaos::{all_are_paid, crowd, send_all};
use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::counted::counted;
use crate::support::database::Ailment;
use crate::support::eventually;
use crate::support::facilitator::{Caller, Facilitator};
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, fee_quote};
use crate::support::world::{Payable, Setup, World};

/// A fixed sequence without pattern (splitmix64), so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// With blocks every second, so that a second's worth of delays meets every step of a settlement.
#[tokio::test]
async fn k15_killed_at_random_times_under_load() {
    const KILLS: usize = 10;
    counted("K15", 1, KILLS, async |round| {
        let mut world = World::start(Setup {
            mining: Mining::EverySecond,
            wait_seconds: 3,
            ..Setup::default()
        })
        .await;
        let mut random = Random(round as u64);
        let bodies = crowd(6 * KILLS);
        for part in bodies.chunks(6) {
            send_all(&world, part);
            tokio::time::sleep(Duration::from_millis(random.below(1500))).await;
            world.facilitator.kill();
            world.facilitator.start_with(&[]).await;
        }
        all_are_paid(&world, &bodies).await;
    })
    .await;
}

/// What is under way is on record, its callers are answered, nobody else is let in, the process is gone within ten
/// seconds, and another finishes it all.
#[tokio::test]
async fn k16_asked_to_stop_with_200_payments_in_flight() {
    let mut world = World::start(Setup {
        mining: Mining::OnDemand,
        ..Setup::default()
    })
    .await;
    let successor = world.replica().await;
    let bodies = crowd(200);
    let waiting: Vec<_> = bodies
        .iter()
        .map(|body| world.facilitator.caller().settling(body.clone()))
        .collect();
    world.recorded(200).await;
    let began = std::time::Instant::now();
    world.facilitator.terminate();
    for answer in join_all(waiting).await {
        answer.unwrap().pending();
    }
    let late = Payment::by(1).body();
    let refused = world.facilitator.caller().try_post("/settle", &late).await;
    assert!(refused.is_none_or(|answer| answer.status == 503));
    assert!(world.facilitator.ended().await.success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    eventually("the other finishes them", async || {
        world.node.mine(1).await;
        (world.db.unpaid().await == 0).then_some(())
    })
    .await;
    for body in &bodies {
        successor.settle(body).await.outcome(200);
    }
    assert_eq!(world.db.count("payments").await, 200);
    assert_eq!(world.received().await, 2_000_000);
    books_agree(&world).await;
}

/// A body is never held beyond its bound, so that a GiB at once does not hurt a process that may have a quarter of that.
#[tokio::test]
async fn k19_a_flood_of_giant_bodies_takes_no_memory() {
    const MIB: usize = 1024 * 1024;
    let world = World::usual().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let _confined = world.facilitator.confine(256 * MIB);
    let before = world.facilitator.memory_max();
    let giant = Value::String("x".repeat(16 * MIB));
    let caller = world.facilitator.caller();
    let answers = join_all((0..64).map(|_| caller.try_post("/settle", &giant))).await;
    // One that is refused before it is read to its end may also see its connection closed.
    for answer in answers.into_iter().flatten() {
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    let grown = world.facilitator.memory_max() - before;
    assert!(grown < 32 * 1024, "{grown} KiB");
    // Its caller may hear that it is pending: a quarter of a GiB of cache has just been pushed out from under it.
    let after = Payment::by(2).body();
    caller.settle_until_known(&after).await.settled();
    books_agree(&world).await;
}

/// A payment whose stored bytes nobody can read any more: it is tried five times more, each time by itself, and then left
/// to its window, while the lane goes on.
#[tokio::test]
async fn k20_a_payment_that_fails_every_try_is_quarantined_and_the_lane_goes_on() {
    let mut world = World::start(Setup {
        mining: Mining::OnDemand,
        epoch: Some(1),
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let quoting = world.proxy.fault(fee_quote, Fault::Status(500));
    let (poison, neighbour) = (Payment::by(1), Payment::by(2));
    world.facilitator.settle(&poison.body()).await.pending();
    world.facilitator.settle(&neighbour.body()).await.pending();
    world.facilitator.kill();
    let sql =
        "with spoilt as (update payments set body = '\\x00' where nonce = $1 returning 1) select count(*) from spoilt";
    let spoilt: i64 = sqlx::query_scalar(sql)
        .bind(poison.nonce())
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(spoilt, 1);
    quoting.release();
    world.facilitator.start().await;
    world.facilitator.says("payment quarantined", 1).await;
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let caller = world.facilitator.caller();
    caller.settle_until_known(&neighbour.body()).await.settled();
    let later = Payment::by(3);
    world.facilitator.settle(&later.body()).await.pending();
    world.is_waiting(1).await;
    world.node.mine(1).await;
    caller.settle_until_known(&later.body()).await.settled();
    assert_eq!(world.facilitator.settle(&poison.body()).await.pending(), "");
    assert_eq!(world.db.one::<i64>("select max(tries) from settlements").await, 6);
    world.node.mine_at(poison.valid_before).await;
    world.node.mine(3).await;
    world.reaches(&poison, "failed").await;
    assert_eq!(world.received().await, 20_000);
    books_agree(&world).await;
}

/// What fails again and again is not the payment, and it was taken over from a process that was killed, so that each try
/// is counted: it is paid all the same.
#[tokio::test]
async fn a_payment_is_not_blamed_for_what_its_lane_suffers() {
    let mut world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let quoting = world.proxy.fault(fee_quote, Fault::Status(500));
    world.facilitator.settle(&payment.body()).await.pending();
    world.facilitator.kill();
    quoting.release();
    world.db.ail(Ailment::NothingIsSigned).await;
    world.facilitator.start().await;
    world.facilitator.says("lane paused", 8).await;
    world.db.recover(Ailment::NothingIsSigned).await;
    let caller = world.facilitator.caller();
    caller.settle_until_known(&payment.body()).await.settled();
    books_agree(&world).await;
}

/// Three processes on one database, with the world's first among them.
async fn three() -> (World, [Facilitator; 2]) {
    let world = World::usual().await;
    let others = [world.replica().await, world.replica().await];
    (world, others)
}

/// Asks each of three in turn: as many copies of each body as this, all at once.
async fn copies(world: &World, others: &[Facilitator; 2], bodies: &[Value], times: usize, is_keyed: bool) -> Vec<Told> {
    let at = [world.facilitator.caller(), others[0].caller(), others[1].caller()];
    let ask = async |caller: &Caller, payment: usize| {
        let body = &bodies[payment];
        let answer = if is_keyed {
            caller.settle_keyed(body, &format!("order-{payment}")).await
        } else {
            caller.post("/settle", body).await
        };
        let outcome = answer.outcome(200);
        let is_success = outcome["success"] == true;
        let reason = outcome["errorReason"].as_str().unwrap_or_default().to_owned();
        let tx = outcome["transaction"].as_str().unwrap().to_owned();
        Told {
            payment,
            is_success,
            reason,
            tx,
        }
    };
    let asked = (0..times * bodies.len()).map(|i| ask(&at[(i + i / bodies.len()) % 3], i % bodies.len()));
    join_all(asked).await
}

/// What a caller was told of a payment.
struct Told {
    payment: usize,
    is_success: bool,
    reason: String,
    tx: String,
}

/// Each payment has as many successes as this, moved its money once, and names one transaction to everybody.
async fn each_is_paid_once(world: &World, told: &[Told], payments: usize, successes: usize) {
    for payment in 0..payments {
        let of_it: Vec<&Told> = told.iter().filter(|it| it.payment == payment).collect();
        let reasons: HashSet<&str> = of_it.iter().map(|it| it.reason.as_str()).collect();
        let told = of_it.iter().filter(|it| it.is_success).count();
        assert_eq!(told, successes, "payment {payment}: {reasons:?}");
        let named: HashSet<&str> = of_it
            .iter()
            .map(|it| it.tx.as_str())
            .filter(|tx| !tx.is_empty())
            .collect();
        assert_eq!(named.len(), 1, "payment {payment}: {named:?}");
    }
    assert_eq!(world.received().await, 10_000 * payments as u128);
    books_agree(world).await;
}

#[tokio::test]
async fn x01_one_hundred_copies_at_three_processes_buy_once() {
    let (world, others) = three().await;
    let told = copies(&world, &others, &crowd(1), 100, false).await;
    each_is_paid_once(&world, &told, 1, 1).await;
}

#[tokio::test]
async fn x01_twenty_copies_of_each_of_many_payments_at_three_processes_buy_once() {
    const PAYMENTS: usize = 25;
    counted("X01", 1, PAYMENTS, async |_| {
        let (world, others) = three().await;
        many_copies_buy_once(&world, &others, PAYMENTS, 20).await;
    })
    .await;
}

/// As many copies as this of each of so many payments, at three processes at once.
pub(crate) async fn many_copies_buy_once(world: &World, others: &[Facilitator; 2], payments: usize, times: usize) {
    let told = copies(world, others, &crowd(payments), times, false).await;
    each_is_paid_once(world, &told, payments, 1).await;
}

#[tokio::test]
async fn x02_one_hundred_copies_with_a_key_at_three_processes_get_one_answer() {
    counted("X02", 1, 1, async |_| {
        let (world, others) = three().await;
        let told = copies(&world, &others, &crowd(1), 100, true).await;
        each_is_paid_once(&world, &told, 1, 100).await;
    })
    .await;
}
