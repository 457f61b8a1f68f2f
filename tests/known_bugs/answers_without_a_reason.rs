//! Something was wrong, and the answer did not say what, or for whom.
//!
//! - x402-rs/x402-rs#119: a failed settlement names neither the network nor the payer.
//! - x402-foundation/x402#213: there is a code and no word about what differs.
//! - x402-foundation/x402#573: the reason is a tree of a parser's errors instead of a text.

use alloy::primitives::Address;
use serde_json::json;

use crate::support::anvil::parse;
use crate::support::payer::{Envelope, Payment, with};
use crate::support::world::World;

#[tokio::test]
async fn a_refusal_that_names_nobody() {
    let world = World::usual().await;
    for envelope in Envelope::BOTH {
        let payment = Payment::of(&crate::support::contracts::addresses().accounts[1], u64::MAX);
        let body = payment.body_in(envelope);
        let said = world.facilitator.settle(&body).await.outcome(200);
        assert_eq!(said["success"], false);
        assert_eq!(said["network"], payment.network_in(envelope));
        assert_eq!(parse::<Address>(&said["payer"]), payment.from);
        let said = world.facilitator.verify(&body).await.verdict(200);
        assert_eq!(parse::<Address>(&said["payer"]), payment.from);
    }
}

#[tokio::test]
async fn a_refusal_that_does_not_say_what_differs() {
    let world = World::usual().await;
    let payment = Payment {
        value: alloy::primitives::U256::from(9_999),
        ..Payment::by(1)
    };
    let said = world.facilitator.verify(&payment.body()).await.verdict(200);
    let message = said["invalidMessage"].as_str().unwrap();
    assert!(message.contains("9999") && message.contains("10000"), "{message}");
    let said = world.facilitator.settle(&payment.body()).await.outcome(200);
    assert_eq!(said["errorMessage"], message);
}

#[tokio::test]
async fn a_reason_that_is_no_text() {
    let world = World::usual().await;
    for payload in [json!({}), json!({"signature": 7}), json!([]), json!(null)] {
        let body = with(Payment::by(1).body(), "/paymentPayload/payload", payload);
        let said = world.facilitator.verify(&body).await.verdict(400);
        assert!(said["invalidReason"].is_string(), "{said}");
        let said = world.facilitator.settle(&body).await.outcome(400);
        assert!(said["errorReason"].is_string(), "{said}");
    }
}
