//! The transaction did not revert, so the seller was told "paid": but the token had moved less, or nothing.
//!
//! - x402-foundation/x402#3087: only the receipt's status is read.
//! - x402-foundation/x402#3080: a token that keeps a part for itself pays less than was asked for.

use crate::support::books::books_agree;
use crate::support::contracts::{Trick, addresses};
use crate::support::payer::Payment;
use crate::support::world::World;

async fn is_not_paid(trick: Trick) {
    let world = World::usual().await;
    world.node.administer(addresses().trick_token, &trick.on()).await;
    let payment = Payment::in_trick_token(1);
    let (reason, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(reason, "invalid_exact_evm_transfer_event_mismatch", "{trick:?}");
    assert_eq!(world.node.receipt(&tx).await["status"], "0x1", "{trick:?}");
    books_agree(&world).await;
}

#[tokio::test]
async fn a_receipt_whose_status_is_all_that_is_good() {
    is_not_paid(Trick::NoTransferEvent).await;
    is_not_paid(Trick::Nothing).await;
}

#[tokio::test]
async fn a_token_that_delivers_less() {
    is_not_paid(Trick::Half).await;
}
