//! What the official clients and the great wallets make was refused.
//!
//! - x402-foundation/x402#2832: a request of version 2 with its resource and extensions.
//! - x402-foundation/x402#1203: the memo that the official client adds.
//! - x402-foundation/x402#991: the Lighthouse assertions of Phantom and Solflare.
//! - x402-foundation/x402#2097: these assertions behind a memo.
//! - x402-foundation/x402#3268: a compute limit of 100,000 units.

use serde_json::json;

use crate::support::payer::{Payment, with};
use crate::support::solana::lab::{valid, without_a_trace};
use crate::support::solana::programs::{ASSERT_TOKEN_ACCOUNT, compute_limit, lighthouse, memo};
use crate::support::world::World;

#[tokio::test]
async fn a_request_with_all_that_version_2_has() {
    let world = World::usual().await;
    let discovery = json!({"bazaar": {"info": {"input": {"type": "http", "method": "GET"}}, "schema": {}}});
    let body = with(Payment::by(1).body(), "/paymentPayload/extensions", discovery);
    world.facilitator.verify(&body).await.valid();
    world.facilitator.settle(&body).await.settled();
}

#[test]
fn a_memo() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let wire = payment.wire_with(|it| it[3] = memo("00112233445566778899aabbccddeeff"));
        valid(world, "the client's memo", &payment, &wire).await;
    });
}

#[test]
fn assertions_of_wallets() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let assertion = || lighthouse(ASSERT_TOKEN_ACCOUNT, &[]);
        let phantoms = payment.wire_with(|it| it[3] = assertion());
        valid(world, "Phantom's", &payment, &phantoms).await;
        let solflares = payment.wire_with(|it| it.splice(3.., [assertion(), assertion()]).for_each(drop));
        valid(world, "Solflare's", &payment, &solflares).await;
    });
}

#[test]
fn assertions_behind_a_memo() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let wire = payment.wire_with(|it| it.extend([(); 2].map(|()| lighthouse(ASSERT_TOKEN_ACCOUNT, &[]))));
        valid(world, "six instructions", &payment, &wire).await;
    });
}

#[test]
fn a_generous_compute_limit() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let wire = payment.wire_with(|it| it[0] = compute_limit(100_000));
        valid(world, "100,000 units", &payment, &wire).await;
    });
}
