//! Two processes on one database, as in every rolling deployment: they share lanes without sharing memory, and what
//! one leaves behind the other finishes.

use std::collections::HashSet;

use futures_util::future::join_all;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, fee_quote, send};
use crate::support::world::{Setup, World};

#[tokio::test]
async fn a_payment_that_another_process_reserved_and_left_is_settled() {
    let mut world = World::usual().await;
    let successor = world.replica().await;
    let payment = Payment::by(1);
    let quote = world.proxy.fault(fee_quote, Fault::HoldRequest);
    let (caller, body) = (world.facilitator.caller(), payment.body());
    let settling = tokio::spawn(async move { caller.try_post("/settle", &body).await });
    quote.met(1).await;
    world.facilitator.kill();
    assert!(settling.await.unwrap().is_none());
    quote.discard();
    let tx = successor.caller().settle_until_known(&payment.body()).await.settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payment_that_another_process_signed_and_left_is_settled() {
    let mut world = World::usual().await;
    let successor = world.replica().await;
    let payment = Payment::by(1);
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let (caller, body) = (world.facilitator.caller(), payment.body());
    let settling = tokio::spawn(async move { caller.try_post("/settle", &body).await });
    sending.met(1).await;
    world.facilitator.kill();
    assert!(settling.await.unwrap().is_none());
    sending.discard();
    let tx = successor.caller().settle_until_known(&payment.body()).await.settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payment_that_another_process_confirmed_becomes_final() {
    let mut world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let _successor = world.replica().await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    world.facilitator.terminate();
    assert!(world.facilitator.ended().await.success());
    assert_eq!(world.state(&payment).await.unwrap(), "confirmed");
    world.node.mine(3).await;
    world.reaches(&payment, "final").await;
    books_agree(&world).await;
}

#[tokio::test]
async fn the_same_body_at_two_processes_buys_once() {
    let world = World::start(Setup {
        wait_seconds: 3,
        ..Setup::default()
    })
    .await;
    let replica = world.replica().await;
    let body = Payment::by(1).body();
    let callers = [world.facilitator.caller(), replica.caller()];
    let answers = join_all((0..40).map(|i| callers[i % 2].post("/settle", &body))).await;
    let told: Vec<_> = answers.iter().filter(|it| it.outcome(200)["success"] == true).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(world.proxy.transactions(), [told[0].settled()]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn two_processes_share_a_lane() {
    let world = World::start(Setup {
        mining: Mining::EverySecond,
        ..Setup::default()
    })
    .await;
    let replica = world.replica().await;
    let callers = [world.facilitator.caller(), replica.caller()];
    let payments: Vec<Payment> = (0..40).map(|i| Payment::by(1 + i % 6)).collect();
    let settling: Vec<_> = payments
        .iter()
        .zip(callers.iter().cycle())
        .map(|(it, at)| at.settling(it.body()))
        .collect();
    let mut transactions = HashSet::new();
    for answer in settling {
        transactions.insert(answer.await.unwrap().settled());
    }
    assert!(transactions.len() >= 2, "each process sends its own");
    assert_eq!(world.received().await, 400_000);
    books_agree(&world).await;
}
