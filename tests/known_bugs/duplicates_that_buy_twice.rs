//! One payment, several successes: whoever asks hears "paid", and each answer releases a resource.
//!
//! - x402-foundation/x402#2801: all who ask at the same time hear of success.
//! - x402-foundation/x402#2615: whoever asks again after success hears of success.
//! - x402-foundation/x402#2482: the same transaction with other bytes in the fee payer's place is another payment.
//! - arXiv:2605.11781: one payment bought 248 times at a live endpoint.
//! - arXiv:2605.30998: duplicates race one another at several processes, and a payment for one resource buys another.

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::books::books_agree;
use crate::support::facilitator::Facilitator;
use crate::support::payer::{Envelope, Payment};
use crate::support::solana;
use crate::support::solana::transaction::with_slot_0;
use crate::support::world::World;

/// How many are told of success, when all of these are asked at the same time.
async fn told(asked: impl IntoIterator<Item = (&Facilitator, &Value)>) -> usize {
    let answers = join_all(asked.into_iter().map(|(facilitator, body)| facilitator.settle(body))).await;
    answers.iter().filter(|it| it.outcome(200)["success"] == true).count()
}

async fn is_one_payment(world: &World) {
    assert_eq!(world.proxy.transactions().len(), 1);
    assert_eq!(world.received().await, 10_000);
    books_agree(world).await;
}

#[tokio::test]
async fn everybody_at_the_same_time() {
    let world = World::usual().await;
    let body = Payment::by(1).body();
    assert_eq!(told((0..32).map(|_| (&world.facilitator, &body))).await, 1);
    is_one_payment(&world).await;
}

#[tokio::test]
async fn once_more_after_success() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    for envelope in Envelope::BOTH {
        let (_, named) = world.facilitator.settle(&payment.body_in(envelope)).await.unsettled();
        assert_eq!(named, tx);
    }
    is_one_payment(&world).await;
}

#[tokio::test]
async fn two_hundred_and_forty_eight_times() {
    let world = World::usual().await;
    let body = Payment::by(1).body();
    let mut told_in_all = 0;
    for _ in 0..8 {
        told_in_all += told((0..31).map(|_| (&world.facilitator, &body))).await;
    }
    assert_eq!(told_in_all, 1);
    is_one_payment(&world).await;
}

#[tokio::test]
async fn at_two_processes_at_the_same_time() {
    let world = World::usual().await;
    let other = world.replica().await;
    let body = Payment::by(1).body();
    let asked = (0..32).map(|i| (if i % 2 == 0 { &world.facilitator } else { &other }, &body));
    assert_eq!(told(asked).await, 1);
    is_one_payment(&world).await;
}

#[tokio::test]
async fn for_another_resource_of_the_same_price() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let other = Payment {
        resource: "https://shop.example/another".into(),
        ..payment.clone()
    };
    let bodies = [payment.body(), other.body()];
    assert_eq!(told((0..16).map(|i| (&world.facilitator, &bodies[i % 2]))).await, 1);
    is_one_payment(&world).await;
}

#[tokio::test]
async fn with_other_bytes_in_the_fee_payers_place() {
    let world = solana::world::Setup::default().start().await;
    let payment = world.payment(0).await;
    let bodies: Vec<Value> = (0..32)
        .map(|i| payment.body_with(Envelope::V2, &with_slot_0(payment.wire(), [i; 64])))
        .collect();
    assert_eq!(told(bodies.iter().map(|body| (&world.facilitator, body))).await, 1);
    assert_eq!(world.proxy.transactions().len(), 1);
    assert_eq!(world.received().await, 10_000);
    solana::books::books_agree(&world).await;
}
