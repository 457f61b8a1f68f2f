//! The payer chose what the facilitator's account calls, and the facilitator paid the gas for it.
//!
//! - x402-foundation/x402#2480: the factory named in an ERC-6492 signature is called, whatever it is.
//! - cardotrejos/x402#73: any token is called, with as much gas as it asks for.

use crate::support::contracts::{Trick, addresses};
use crate::support::payer::{Envelope, Payment};
use crate::support::world::World;

async fn is_never_sent(world: &World, body: &serde_json::Value) -> String {
    world.facilitator.verify(body).await.invalid();
    let (reason, tx) = world.facilitator.settle(body).await.unsettled();
    assert_eq!(tx, "");
    assert_eq!(world.proxy.transactions(), [""; 0]);
    assert_eq!(world.db.count("payments").await, 0);
    reason
}

#[tokio::test]
async fn a_factory_of_the_payers_choice() {
    let (world, at) = (World::usual().await, addresses());
    let payment = Payment::from_wallet(at.counterfactual_wallet, at.owner_wallet_owner_key);
    // The second is the very token in which the facilitator might be rich.
    for factory in [at.wallet_factory, at.usdc, at.multicall3] {
        let body = payment.body_with(Envelope::V2, &payment.signature_6492(factory));
        assert_eq!(is_never_sent(&world, &body).await, "eip6492_factory_not_allowed");
    }
}

#[tokio::test]
async fn a_token_of_the_payers_choice() {
    let mut world = World::prepare(crate::support::world::Setup::default()).await;
    world.facilitator.config.evm[0].assets.truncate(1);
    world.facilitator.start().await;
    let token = addresses().trick_token;
    world.node.administer(token, &Trick::BurnAllGas.on()).await;
    let body = Payment::in_trick_token(1).body();
    assert_eq!(is_never_sent(&world, &body).await, "invalid_payment_requirements");
}
