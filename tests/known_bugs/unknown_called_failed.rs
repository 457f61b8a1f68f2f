//! Whether the money moved was not known, and the seller heard "failed": the payer, charged already, signed and paid
//! again.
//!
//! - x402-foundation/x402#1062: the wait is over before the block comes.
//! - x402-foundation/x402#2294: and afterwards nobody can find out.
//! - qntx/facilitator#73: the receipt cannot be read, and the answer has no hash.
//! - aws-samples/sample-agentcore-cloudfront-x402-payments#40: the network breaks after the broadcast.
//! - x402-foundation/x402#3231: the node calls the facilitator's own nonce too low.
//! - x402-foundation/x402#3438: the answer is lost, and the retry pays again.
//! - cardotrejos/x402#72: the client's patience ends before the facilitator's.
//! - cardotrejos/x402#78: the database fails after the broadcast, and retries hear of a duplicate for ever.

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::payer::{Envelope, Payment};
use crate::support::proxy::{Fault, Pick, receipt, send};
use crate::support::solana;
use crate::support::world::{Setup, World};

async fn impatient(mining: Mining) -> World {
    let setup = Setup {
        mining,
        wait_seconds: 1,
        ..Setup::default()
    };
    World::start(setup).await
}

/// The same body again, until it is known: it is paid, once, by this transaction.
async fn is_paid_by(world: &World, payment: &Payment, tx: &str) {
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.settled(), tx);
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.received().await, 10_000);
    books_agree(world).await;
}

#[tokio::test]
async fn a_wait_that_is_shorter_than_a_block() {
    let world = impatient(Mining::OnDemand).await;
    for (count, envelope) in (1..).zip(Envelope::BOTH) {
        let body = Payment::by(1).body_in(envelope);
        let tx = world.facilitator.settle(&body).await.pending();
        assert!(!tx.is_empty());
        world.node.mine(1).await;
        let answer = world.facilitator.caller().settle_until_known(&body).await;
        assert_eq!(answer.settled(), tx);
        assert_eq!(world.received().await, count * 10_000);
    }
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payment_whose_fate_is_asked_for_after_a_restart() {
    let mut world = impatient(Mining::OnDemand).await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    world.facilitator.kill();
    world.node.mine(1).await;
    world.facilitator.start().await;
    is_paid_by(&world, &payment, &tx).await;
}

/// Faults before which the payment is mined, and faults before which it waits: neither is a failure.
#[tokio::test]
async fn faults_around_the_broadcast() {
    let (qntx, aws, stale) = (
        "qntx/facilitator#73",
        "aws-samples/sample-agentcore-cloudfront-x402-payments#40",
        "x402-foundation/x402#3231",
    );
    let nonce = Fault::Error(-32_000, "nonce too low: next nonce 7, tx nonce 6");
    let faults: [(&str, Mining, Pick, Fault); 5] = [
        (qntx, Mining::EachTransaction, receipt, Fault::LoseAnswer),
        (qntx, Mining::EachTransaction, receipt, Fault::Status(500)),
        (aws, Mining::OnDemand, send, Fault::LoseAnswer),
        (aws, Mining::OnDemand, send, Fault::Status(504)),
        (stale, Mining::OnDemand, send, nonce),
    ];
    for (reference, mining, pick, fault) in faults {
        let is_mined = matches!(mining, Mining::EachTransaction);
        let world = impatient(mining).await;
        let payment = Payment::by(1);
        let failing = world.proxy.fault(pick, fault);
        let tx = world.facilitator.settle(&payment.body()).await.pending();
        assert!(!tx.is_empty(), "{reference}: {fault:?}");
        failing.met(1).await;
        failing.release();
        if !is_mined {
            world.is_waiting(1).await;
            world.node.mine(1).await;
        }
        is_paid_by(&world, &payment, &tx).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_and_asked_for_again() {
    let world = World::usual().await;
    let (payment, caller) = (Payment::by(1), world.facilitator.caller());
    let first = caller.settle_keyed(&payment.body(), "purchase-3438").await;
    let again = caller.settle_keyed(&payment.body(), "purchase-3438").await;
    assert_eq!(again.text(), first.text());
    assert_eq!(world.proxy.transactions(), [again.settled()]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_client_whose_patience_ends_first() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let client = world.settling(&payment);
    world.is_waiting(1).await;
    client.abort();
    world.node.mine(1).await;
    world.reaches(&payment, "confirmed").await;
    let [tx] = world.proxy.transactions().try_into().unwrap();
    is_paid_by(&world, &payment, &tx).await;
}

#[tokio::test]
async fn a_database_that_fails_after_the_broadcast() {
    let world = solana::world::Setup {
        wait_seconds: 5,
        ..solana::world::Setup::default()
    }
    .start()
    .await;
    let payment = world.payment(0).await;
    let sending = world.proxy.fault(send, Fault::HoldAnswer);
    let settling = world.settling(&payment);
    sending.met(1).await;
    world.gate.shut();
    sending.release();
    let first = settling.await.unwrap();
    assert_ne!(first.json()["errorReason"], "duplicate_settlement");
    world.gate.open();
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(world.proxy.transactions(), [answer.settled()]);
    assert_eq!(world.received().await, 10_000);
    solana::books::books_agree(&world).await;
}
