//! The same fate again and again, counted: blocks that are taken back, a chain that stands still, and somebody who is
//! always faster. Each payment is paid once, and each answer says with which transaction.

use futures_util::future::join_all;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::{addresses, third_party};
use crate::support::counted::counted;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, send};
use crate::support::world::{Setup, World, brief_windows};
use crate::support::{eventually, now};

/// How many payments share a world.
const TRIALS: usize = 10;

fn payments() -> Vec<Payment> {
    (0..TRIALS).map(|i| Payment::by(1 + i % 6)).collect()
}

#[tokio::test]
async fn h01_one_to_five_blocks_are_taken_back_and_the_same_bytes_land_again() {
    counted("H01", 1, TRIALS, async |_| {
        let world = World::start(Setup {
            mining: Mining::OnDemand,
            wait_seconds: 1,
            ..Setup::default()
        })
        .await;
        for (payment, depth) in payments().iter().zip((1..=5).cycle()) {
            let tx = world.facilitator.settle(&payment.body()).await.pending();
            world.is_waiting(1).await;
            world.node.mine(1).await;
            world.reaches(payment, "confirmed").await;
            assert_eq!(world.facilitator.settle(&payment.body()).await.settled(), tx);
            let block = world.node.receipt(&tx).await["blockHash"].clone();
            world.node.mine(depth - 1).await;
            world.node.reorganize(depth).await;
            world.reaches(payment, "in_flight").await;
            world.is_waiting(1).await;
            world.node.mine(1).await;
            world.reaches(payment, "confirmed").await;
            assert_ne!(world.node.receipt(&tx).await["blockHash"], block);
        }
        assert_eq!(world.received().await, 100_000);
        assert_eq!(world.proxy.transactions().len(), TRIALS);
        books_agree(&world).await;
    })
    .await;
}

/// All clocks but the chain's are past the window, and the chain goes on within it.
#[tokio::test]
async fn h05_a_chain_that_stands_still_with_payments_under_way_loses_none() {
    counted("H05", 1, TRIALS, async |_| {
        let world = World::start(Setup {
            mining: Mining::OnDemand,
            wait_seconds: 1,
            ..brief_windows()
        })
        .await;
        let valid_before = now() + 20;
        let payments = payments().into_iter().map(|payment| Payment {
            valid_before,
            ..payment
        });
        let bodies: Vec<_> = payments.map(|payment| payment.body()).collect();
        join_all(bodies.iter().map(|body| world.facilitator.settle(body))).await;
        eventually("all is signed and the clock is past the window", async || {
            let signed = world.db.count("settlements where state = 'in_flight'").await;
            (signed == 10 && now() > valid_before).then_some(())
        })
        .await;
        for body in &bodies {
            world.facilitator.settle(body).await.pending();
        }
        world.node.mine_at(valid_before - 1).await;
        for body in &bodies {
            world.facilitator.caller().settle_until_known(body).await.settled();
        }
        assert_eq!(world.received().await, 100_000);
        books_agree(&world).await;
    })
    .await;
}

#[tokio::test]
async fn h09_whoever_is_faster_pays_and_we_say_with_which_transaction() {
    counted("H09", 1, TRIALS, async |_| {
        let world = World::usual().await;
        let signer = addresses().accounts[9].address;
        for (mined, payment) in (1..).zip(payments()) {
            let sending = world.proxy.fault(send, Fault::HoldRequest);
            let settling = world.settling(&payment);
            world.reaches(&payment, "in_flight").await;
            let theirs = world
                .node
                .send_mined(third_party(), payment.asset, &payment.call())
                .await;
            assert_eq!(settling.await.unwrap().settled(), theirs);
            sending.release();
            // Theirs paid, and one of ours is mined for nothing.
            eventually("the lane is free", async || {
                (world.node.sent_by(signer).await == mined).then_some(())
            })
            .await;
        }
        assert_eq!(world.received().await, 100_000);
        books_agree(&world).await;
    })
    .await;
}
