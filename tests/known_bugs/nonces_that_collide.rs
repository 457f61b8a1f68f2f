//! The nonce of the facilitator's own account, taken twice or lost: payments replace one another, or all behind a gap
//! wait for ever.
//!
//! - cardotrejos/x402#72: who settles at the same time reads the same nonce.
//! - x402-foundation/x402#2471: a second transaction before the first is mined is an underpriced replacement of it.
//! - cardotrejos/x402#73: a nonce taken is never sent, because something fails before or while it is.

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, Pick, fee_quote, send};
use crate::support::world::{Setup, World};

async fn unhurried(wait_seconds: u64) -> World {
    World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn many_at_the_same_time() {
    let world = World::usual().await;
    let bodies: Vec<Value> = (0..24).map(|i| Payment::by(1 + i % 6).body()).collect();
    for answer in join_all(bodies.iter().map(|body| world.facilitator.settle(body))).await {
        answer.settled();
    }
    assert_eq!(world.received().await, 240_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_second_one_before_the_first_is_mined() {
    let world = unhurried(20).await;
    let (first, second) = (Payment::by(1), Payment::by(2));
    let first = world.settling(&first);
    world.is_waiting(1).await;
    let second = world.settling(&second);
    world.is_waiting(2).await;
    world.node.mine(1).await;
    assert_ne!(first.await.unwrap().settled(), second.await.unwrap().settled());
    assert_eq!(world.received().await, 20_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn one_that_is_taken_and_not_sent() {
    let faults: [(Pick, Fault); 3] = [
        (fee_quote, Fault::Error(-32_603, "internal error")),
        (fee_quote, Fault::Status(503)),
        (send, Fault::LoseRequest),
    ];
    for (pick, fault) in faults {
        let world = unhurried(1).await;
        let (first, second) = (Payment::by(1), Payment::by(2));
        let failing = world.proxy.fault(pick, fault);
        world.facilitator.settle(&first.body()).await.pending();
        failing.met(1).await;
        failing.release();
        world.facilitator.settle(&second.body()).await;
        for payment in [&first, &second] {
            crate::support::eventually(&format!("paid in spite of {fault:?}"), async || {
                world.node.mine(1).await;
                world.is_paid(payment).await.then_some(())
            })
            .await;
        }
        assert_eq!(world.received().await, 20_000);
        books_agree(&world).await;
    }
}
