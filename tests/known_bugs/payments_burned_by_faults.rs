//! A fault that had nothing to do with the payment used it up: it was claimed, the chain could not be asked, and from
//! then on the good payment was a replay.
//!
//! - cardotrejos/x402#30: a settlement that fails leaves its claim behind.
//! - GetBindu/Bindu#532: so does a verification that fails.
//! - x402-foundation/x402#1065: gas cannot be estimated now and then, and the settlement fails.

use crate::support::books::books_agree;
use crate::support::payer::Payment;
use crate::support::proxy::{Call, Fault, anything};
use crate::support::world::World;

#[tokio::test]
async fn a_settlement_that_cannot_ask_the_chain() {
    let world = World::usual().await;
    let body = Payment::by(1).body();
    let failing = world.proxy.fault(anything, Fault::Status(502));
    assert_eq!(world.facilitator.settle(&body).await.outcome(503)["success"], false);
    assert_eq!(world.db.count("payments").await, 0);
    failing.release();
    world.facilitator.settle(&body).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn a_verification_that_cannot_ask_the_chain() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let failing = world.proxy.fault(anything, Fault::Status(502));
    assert_eq!(
        world.facilitator.verify(&payment.body()).await.verdict(503)["isValid"],
        false
    );
    failing.release();
    world.facilitator.verify(&payment.body()).await.valid();
    world.facilitator.settle(&payment.body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn gas_that_cannot_be_estimated() {
    let world = World::usual().await;
    let estimates = |call: &Call| call.method == "eth_estimateGas";
    let _failing = world
        .proxy
        .fault(estimates, Fault::Error(-32_000, "unable to estimate gas"));
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    books_agree(&world).await;
}
