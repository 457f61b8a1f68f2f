//! A transaction over a block that the chain has forgotten, or soon will, can no longer land: to take it is to promise
//! what cannot be kept. Case 73.

use crate::support::solana::books::books_agree;
use crate::support::solana::lab::{failing, refused, valid, without_a_trace};
use crate::support::solana::payer::Payment;
use crate::support::solana::surfpool::Sureness;
use crate::support::solana::world::{Setup, hasty};

#[test]
fn a_block_that_never_was() {
    without_a_trace(async |world| {
        for blockhash in [[0; 32], [7; 32], [255; 32]] {
            let payment = Payment {
                blockhash,
                ..world.payment(0).await
            };
            refused(
                world,
                "invented",
                &payment,
                &payment.wire(),
                &failing("blockhash_too_old"),
            )
            .await;
        }
    });
}

async fn grows_old(batches: bool) {
    let world = Setup { batches, ..hasty() }.start().await;
    let payment = world.payment(0).await;
    valid(&world, "new", &payment, &payment.wire()).await;
    // Of 150 blocks, 30 must be left.
    world.node.blocks_pass(121, Sureness::Confirmed).await;
    refused(
        &world,
        "with little time",
        &payment,
        &payment.wire(),
        &failing("blockhash_too_old"),
    )
    .await;
    world.node.blocks_pass(32, Sureness::Confirmed).await;
    refused(
        &world,
        "with none",
        &payment,
        &payment.wire(),
        &failing("blockhash_too_old"),
    )
    .await;
    assert_eq!(world.db.count("payments").await, 0);
    // The same terms over a new block are another payment, and a good one.
    let anew = Payment {
        blockhash: world.node.blockhash().await,
        ..payment
    };
    world.facilitator.settle(&anew.body()).await.settled();
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// Both where the node takes batches and where it does not.
#[tokio::test]
async fn case_73_a_block_that_grows_old() {
    futures_util::join!(grows_old(true), grows_old(false));
}
