//! The place of the fee payer's signature holds whatever the payer leaves there: a hundred transactions that differ in
//! nothing else are one payment. Told apart, each would buy again. Case 70.

use std::collections::HashSet;

use futures_util::future::join_all;
use sha2::{Digest, Sha512};

use crate::support::payer::Envelope;
use crate::support::solana::books::books_agree;
use crate::support::solana::lab::{valid, without_a_trace};
use crate::support::solana::transaction::with_slot_0;
use crate::support::solana::world::Setup;

/// As good as random, and the same each time.
fn signature(number: usize) -> [u8; 64] {
    Sha512::digest(number.to_le_bytes()).into()
}

#[test]
fn whatever_stands_there_the_payment_is_valid() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        for slot_0 in (0..10).map(signature).chain([[0; 64], [255; 64]]) {
            let wire = with_slot_0(payment.wire(), slot_0);
            valid(world, "mutated", &payment, &wire).await;
        }
    });
}

#[tokio::test]
async fn x06_case_70_a_hundred_at_the_same_time_are_one_payment() {
    let world = Setup {
        wait_seconds: 5,
        ..Setup::default()
    }
    .start()
    .await;
    let payment = world.payment(0).await;
    let bodies: Vec<_> = (0..100)
        .map(|i| payment.body_with(Envelope::BOTH[i % 2], &with_slot_0(payment.wire(), signature(i))))
        .collect();
    let answers = join_all(bodies.iter().map(|body| world.facilitator.settle(body))).await;
    let mut reasons = HashSet::new();
    let mut told = Vec::new();
    for answer in &answers {
        match answer.outcome(200)["success"].as_bool() {
            Some(true) => told.push(answer.settled()),
            _ => drop(reasons.insert(answer.unsettled().0)),
        }
    }
    assert_eq!(told.len(), 1, "{reasons:?}");
    assert_eq!(reasons, HashSet::from(["duplicate_settlement".to_owned()]));
    assert_eq!(world.proxy.transactions(), told);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn one_after_another_they_are_one_payment() {
    let world = Setup::default().start().await;
    let payment = world.payment(0).await;
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    for i in 0..20 {
        let wire = with_slot_0(payment.wire(), signature(i));
        let again = world
            .facilitator
            .settle(&payment.body_with(Envelope::BOTH[i % 2], &wire))
            .await;
        assert_eq!(again.unsettled(), ("duplicate_settlement".to_owned(), tx.clone()));
    }
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}
