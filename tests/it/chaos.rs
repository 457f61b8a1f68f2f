//! Faults without aim: at whatever moment they fall, every payment is paid once, every answer is true, and the books
//! agree once they have passed.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::{Call, Fault, anything};
use crate::support::world::{Setup, World};

pub(crate) fn crowd(count: usize) -> Vec<Value> {
    (0..count).map(|i| Payment::by(1 + i % 6).body()).collect()
}

/// Presents every payment until its fate is known: each is paid, by one transaction that the answer names.
pub(crate) async fn all_are_paid(world: &World, bodies: &[Value]) {
    all_are_paid_among(world, bodies, bodies.len()).await;
}

/// The same where the merchant has had as many payments as this in all.
pub(crate) async fn all_are_paid_among(world: &World, bodies: &[Value], payments: usize) {
    let caller = world.facilitator.caller();
    for body in bodies {
        let answer = eventually("the payment is known", async || {
            let answer = caller
                .try_post("/settle", body)
                .await
                .filter(|answer| answer.status == 200)?;
            (answer.json()["errorReason"] != "settlement_pending").then_some(answer)
        })
        .await;
        let said = answer.outcome(200);
        // Whoever heard of the success before the fault fell has it; all others hear which transaction it was.
        let is_told = said["success"] == true || said["errorReason"] == "invalid_exact_evm_nonce_already_used";
        assert!(is_told && said["transaction"].as_str().unwrap().len() == 66, "{said}");
    }
    assert_eq!(world.received().await, 10_000 * payments as u128);
    let open = "settlements where state not in ('confirmed', 'final')";
    assert_eq!(world.db.count(open).await, 0);
    books_agree(world).await;
}

/// Sends everything at once, whatever comes back.
pub(crate) fn send_all(world: &World, bodies: &[Value]) {
    for body in bodies {
        let (caller, body) = (world.facilitator.caller(), body.clone());
        tokio::spawn(async move { caller.try_post("/settle", &body).await });
    }
}

#[tokio::test]
async fn killed_at_any_request_to_the_chain_under_load() {
    let mut world = World::start(Setup {
        wait_seconds: 3,
        ..Setup::default()
    })
    .await;
    let bodies = crowd(40);
    for (round, part) in bodies.chunks(5).enumerate() {
        let begun = world.proxy.requests();
        send_all(&world, part);
        eventually("it has come so far", async || {
            (world.proxy.requests() > begun + round).then_some(())
        })
        .await;
        world.facilitator.kill();
        world.facilitator.start().await;
    }
    all_are_paid(&world, &bodies).await;
}

#[tokio::test]
async fn a_database_that_throws_everybody_out_under_load() {
    let setup = Setup {
        mining: Mining::EverySecond,
        wait_seconds: 3,
        ..Setup::default()
    };
    thrown_out_under_load(World::start(setup).await).await;
}

/// The same in this world.
pub(crate) async fn thrown_out_under_load(world: World) {
    let bodies = crowd(40);
    for part in bodies.chunks(8) {
        send_all(&world, part);
        let thrown_out = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid()";
        eventually("somebody is thrown out", async || {
            let ended: i64 = sqlx::query_scalar(thrown_out).fetch_one(&world.db.pool).await.ok()?;
            (ended > 0).then_some(())
        })
        .await;
    }
    all_are_paid(&world, &bodies).await;
}

#[tokio::test]
async fn a_database_connection_that_is_cut_again_and_again_under_load() {
    let setup = Setup {
        mining: Mining::EverySecond,
        wait_seconds: 3,
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let bodies = crowd(40);
    for part in bodies.chunks(8) {
        send_all(&world, part);
        let begun = world.proxy.requests();
        eventually("it has come so far", async || {
            (world.proxy.requests() > begun + 2).then_some(())
        })
        .await;
        world.gate.shut();
        eventually("the facilitator notices", async || {
            (world.facilitator.get("/health/ready").await.status == 503).then_some(())
        })
        .await;
        world.gate.open();
    }
    all_are_paid(&world, &bodies).await;
}

fn every_third(_: &Call) -> bool {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    ASKED.fetch_add(1, Ordering::Relaxed) % 3 == 2
}

#[tokio::test]
async fn a_node_of_which_every_third_answer_is_bad() {
    let setup = Setup {
        mining: Mining::EverySecond,
        wait_seconds: 3,
        signers: 2,
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let bodies = crowd(40);
    let faults = [
        Fault::LoseAnswer,
        Fault::Status(502),
        Fault::LoseRequest,
        Fault::Garbage("{}"),
        Fault::Result("null"),
    ];
    for (part, fault) in bodies.chunks(8).zip(faults) {
        let bad = world.proxy.fault(every_third, fault);
        send_all(&world, part);
        bad.met(8).await;
        bad.release();
    }
    all_are_paid(&world, &bodies).await;
}

#[tokio::test]
async fn blocks_that_are_taken_back_under_load() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 3,
        ..Setup::default()
    })
    .await;
    let bodies = crowd(24);
    for (part, depth) in bodies.chunks(8).zip([1, 2, 3]) {
        send_all(&world, part);
        eventually("the node has some of it", async || {
            (world.node.waiting().await > 0).then_some(())
        })
        .await;
        world.node.mine(depth).await;
        world.node.reorganize(depth).await;
    }
    world.node.call("evm_setIntervalMining", serde_json::json!([1])).await;
    eventually("all is confirmed", async || {
        (world.db.count("payments").await == 24 && world.db.unpaid().await == 0).then_some(())
    })
    .await;
    all_are_paid(&world, &bodies).await;
}

/// The node answers nothing for a while: nothing is lost by it, and nothing is called failed.
#[tokio::test]
async fn a_node_that_is_away_for_a_while_under_load() {
    let setup = Setup {
        mining: Mining::EverySecond,
        wait_seconds: 1,
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let bodies = crowd(20);
    send_all(&world, &bodies);
    world.recorded(20).await;
    let away = world.proxy.fault(anything, Fault::LoseRequest);
    away.met(20).await;
    assert_eq!(
        world
            .db
            .count("settlements where state in ('failed', 'withdrawn')")
            .await,
        0
    );
    away.release();
    all_are_paid(&world, &bodies).await;
}
