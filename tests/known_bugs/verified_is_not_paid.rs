//! What was true when a payment was verified is not when it is settled, or it was never verified at all.
//!
//! - arXiv:2605.11781: the payer takes the payment back between the two, and is served.
//! - x402-rs/x402-rs#22: the authorization expires between the two.
//! - x402-foundation/x402#2476: "invalid" with status 200 is taken for a payment.

use crate::support::books::books_agree;
use crate::support::contracts::{addresses, third_party};
use crate::support::now;
use crate::support::payer::Payment;
use crate::support::world::World;

async fn is_not_paid(world: &World, payment: &Payment) -> String {
    let (reason, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(tx, "");
    assert_eq!(world.proxy.transactions(), [""; 0]);
    books_agree(world).await;
    reason
}

#[tokio::test]
async fn a_payment_taken_back_in_between() {
    let world = World::usual().await;
    let cancelled = Payment::by(1);
    world.facilitator.verify(&cancelled.body()).await.valid();
    let cancellation = cancelled.cancellation();
    world
        .node
        .send_mined(third_party(), cancelled.asset, &cancellation)
        .await;
    assert_eq!(
        is_not_paid(&world, &cancelled).await,
        "invalid_exact_evm_nonce_already_used"
    );

    let emptied = Payment::of(&addresses().accounts[2], 1_000_000_000_000);
    world.facilitator.verify(&emptied.body()).await.valid();
    let elsewhere = Payment {
        to: third_party(),
        ..Payment::by(2)
    };
    world
        .node
        .send_mined(third_party(), elsewhere.asset, &elsewhere.call())
        .await;
    assert_eq!(
        is_not_paid(&world, &emptied).await,
        "invalid_exact_evm_insufficient_balance"
    );
}

#[tokio::test]
async fn an_authorization_without_time_to_settle() {
    let world = World::usual().await;
    let payment = Payment {
        valid_before: now() + 5,
        ..Payment::by(1)
    };
    let reason = "invalid_exact_evm_payload_authorization_valid_before";
    assert_eq!(world.facilitator.verify(&payment.body()).await.invalid(), reason);
    assert_eq!(is_not_paid(&world, &payment).await, reason);
}

#[tokio::test]
async fn a_payment_that_is_settled_in_spite_of_its_verdict() {
    let world = World::usual().await;
    let payment = Payment {
        key: addresses().accounts[2].key,
        ..Payment::by(1)
    };
    let reason = "invalid_exact_evm_signature";
    assert_eq!(world.facilitator.verify(&payment.body()).await.invalid(), reason);
    assert_eq!(is_not_paid(&world, &payment).await, reason);
}
