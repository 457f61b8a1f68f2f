//! The token's EIP-712 domain was wrong in somebody's table, and all that the seller heard was an invalid signature.
//!
//! - x402-foundation/x402#3102: "USD Coin" for a token that is called "USDC", in version 2.
//! - x402-foundation/x402#3152: the same in version 1.

use crate::support::contracts::addresses;
use crate::support::payer::{Envelope, Payment};
use crate::support::world::World;

async fn is_named(envelope: Envelope) {
    let world = World::usual().await;
    let payment = Payment {
        name: "USD Coin",
        ..Payment::from_wallet(addresses().permissive_wallet, addresses().accounts[1].key)
    };
    let body = payment.body_in(envelope);
    let reason = "invalid_exact_evm_token_name_mismatch";
    assert_eq!(world.facilitator.verify(&body).await.invalid(), reason);
    assert_eq!(
        world.facilitator.settle(&body).await.unsettled(),
        (reason.into(), String::new())
    );
}

#[tokio::test]
async fn in_version_2() {
    is_named(Envelope::V2).await;
}

#[tokio::test]
async fn in_version_1() {
    is_named(Envelope::V1).await;
}
