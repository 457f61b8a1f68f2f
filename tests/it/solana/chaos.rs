//! Faults without aim: at whatever moment they fall, every payment is paid once, every answer is true, and the books
//! agree once they have passed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::eventually;
use crate::support::proxy::{Call, Fault, anything};
use crate::support::solana::books::books_agree;
use crate::support::solana::world::{Setup, SolanaWorld};

/// Blocks that last, so that no payment expires while it is kept from being settled.
fn lasting() -> Setup {
    Setup {
        slot_ms: 400,
        wait_seconds: 3,
        fee_payers: 2,
        ..Setup::default()
    }
}

async fn crowd(world: &SolanaWorld, count: usize) -> Vec<Value> {
    let mut bodies = Vec::new();
    for i in 0..count {
        let fee_payer = world.node.at.fee_payers[i % 2].address;
        bodies.push(world.payment(i % 10).await.through(fee_payer).body());
    }
    bodies
}

/// Sends everything at once, whatever comes back.
fn send_all(world: &SolanaWorld, bodies: &[Value]) {
    for body in bodies {
        let (caller, body) = (world.facilitator.caller(), body.clone());
        tokio::spawn(async move { caller.try_post("/settle", &body).await });
    }
}

/// Presents every payment until its fate is known: each is paid, by one transaction that the answer names.
async fn all_are_paid(world: &SolanaWorld, bodies: &[Value]) {
    let caller = world.facilitator.caller();
    for body in bodies {
        let answer = eventually("the payment is known", async || {
            let answer = caller.try_post("/settle", body).await.filter(|it| it.status == 200)?;
            (answer.json()["errorReason"] != "settlement_pending").then_some(answer)
        })
        .await;
        let said = answer.outcome(200);
        let is_told = said["success"] == true || said["errorReason"] == "duplicate_settlement";
        assert!(is_told && !said["transaction"].as_str().unwrap().is_empty(), "{said}");
    }
    assert_eq!(world.received().await, 10_000 * bodies.len() as u64);
    let open = "settlements where state not in ('confirmed', 'final')";
    assert_eq!(world.db.count(open).await, 0);
    books_agree(world).await;
}

#[tokio::test]
async fn killed_at_any_request_to_the_chain_under_load() {
    let mut world = lasting().start().await;
    let mut bodies = Vec::new();
    for round in 0..5 {
        let part = crowd(&world, 5).await;
        let begun = world.proxy.requests();
        send_all(&world, &part);
        eventually("it has come so far", async || {
            (world.proxy.requests() > begun + round).then_some(())
        })
        .await;
        world.facilitator.kill();
        world.facilitator.start().await;
        bodies.extend(part);
    }
    all_are_paid(&world, &bodies).await;
}

fn every_third(_: &Call) -> bool {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    ASKED.fetch_add(1, Ordering::Relaxed) % 3 == 2
}

#[tokio::test]
async fn a_node_of_which_every_third_answer_is_bad() {
    for batches in [true, false] {
        let world = Setup { batches, ..lasting() }.start().await;
        let mut bodies = Vec::new();
        for fault in [
            Fault::LoseAnswer,
            Fault::Status(502),
            Fault::LoseRequest,
            Fault::Garbage("{}"),
            Fault::Result("null"),
        ] {
            let part = crowd(&world, 6).await;
            let bad = world.proxy.fault(every_third, fault);
            // Who is told that the chain did not answer asks again.
            let insisting = async {
                loop {
                    send_all(&world, &part);
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            };
            tokio::select! {
                () = bad.met(8) => {}
                () = insisting => {}
            }
            bad.release();
            bodies.extend(part);
        }
        all_are_paid(&world, &bodies).await;
    }
}

/// The node answers nothing for a while: nothing is lost by it, and nothing is called failed.
#[tokio::test]
async fn a_node_that_is_away_for_a_while_under_load() {
    let world = Setup {
        wait_seconds: 1,
        ..lasting()
    }
    .start()
    .await;
    let bodies = crowd(&world, 20).await;
    send_all(&world, &bodies);
    world.recorded(20).await;
    let away = world.proxy.fault(anything, Fault::LoseRequest);
    away.met(20).await;
    let over = "settlements where state in ('failed', 'withdrawn')";
    assert_eq!(world.db.count(over).await, 0);
    away.release();
    all_are_paid(&world, &bodies).await;
}
