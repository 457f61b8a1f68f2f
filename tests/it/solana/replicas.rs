//! Two processes on one database: they share fee payers without sharing memory, and what one leaves behind the other
//! finishes.

use futures_util::future::join_all;

use crate::support::payer::Envelope;
use crate::support::proxy::{Fault, send};
use crate::support::solana::books::books_agree;
use crate::support::solana::transaction::with_slot_0;
use crate::support::solana::world::Setup;

#[tokio::test]
async fn case_71_the_same_payment_at_two_processes_buys_once() {
    let setup = Setup {
        wait_seconds: 3,
        ..Setup::default()
    };
    let world = setup.start().await;
    let replica = world.replica().await;
    let callers = [world.facilitator.caller(), replica.caller()];
    let payment = world.payment(0).await;
    let bodies: Vec<_> = (0..40_u8)
        .map(|i| {
            payment.body_with(
                Envelope::BOTH[usize::from(i / 2 % 2)],
                &with_slot_0(payment.wire(), [i; 64]),
            )
        })
        .collect();
    let answers = join_all(
        bodies
            .iter()
            .zip(callers.iter().cycle())
            .map(|(body, at)| at.post("/settle", body)),
    )
    .await;
    let (told, others): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.outcome(200)["success"] == true);
    assert_eq!(told.len(), 1);
    let tx = told[0].settled();
    for answer in others {
        // Who waited at the other process may not have heard in time what became of it.
        let (reason, named) = answer.unsettled();
        assert!(
            ["duplicate_settlement", "settlement_pending"].contains(&reason.as_str()),
            "{reason}"
        );
        assert!(named.is_empty() || named == tx, "{named}");
    }
    for (body, at) in bodies.iter().zip(callers.iter().cycle()) {
        let again = at.post("/settle", body).await.unsettled();
        assert_eq!(again, ("duplicate_settlement".to_owned(), tx.clone()));
    }
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payment_that_another_process_signed_and_left_is_settled() {
    let setup = Setup {
        slot_ms: 200,
        ..Setup::default()
    };
    let mut world = setup.start().await;
    let successor = world.replica().await;
    let payment = world.payment(0).await;
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
async fn two_processes_share_a_fee_payer() {
    let world = Setup::default().start().await;
    let replica = world.replica().await;
    let callers = [world.facilitator.caller(), replica.caller()];
    let mut settling = Vec::new();
    for i in 0..40 {
        settling.push(callers[i % 2].settling(world.payment(i % 10).await.body()));
    }
    for answer in settling {
        answer.await.unwrap().settled();
    }
    assert_eq!(world.received().await, 400_000);
    assert_eq!(world.proxy.transactions().len(), 40);
    books_agree(&world).await;
}
