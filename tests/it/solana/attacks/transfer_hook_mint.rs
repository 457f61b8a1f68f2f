//! A mint of Token-2022 whose issuer sets a hook while payments are taken: a program of its own would run within the
//! payment.

use crate::support::solana::books::books_agree;
use crate::support::solana::lab::{failing, refused};
use crate::support::solana::payer::Payment;
use crate::support::solana::programs::MEMO;
use crate::support::solana::world::Setup;

/// Token-2022's `TransferHook`: an authority, then the program.
const TRANSFER_HOOK: u16 = 14;

#[tokio::test]
async fn v07_a_hook_that_is_set() {
    let setup = Setup {
        mints: &["usdc", "ousd"],
        ..Setup::default()
    };
    let world = setup.start().await;
    let mint = world.node.mint("ousd");
    let payment = Payment::in_mint(&world.node, 0, mint).await;
    world.facilitator.settle(&payment.body()).await.settled();

    let hook = MEMO.to_bytes();
    let set = async |program: [u8; 32]| {
        let change = |value: &mut [u8]| value[32..64].copy_from_slice(&program);
        world.node.change_extension(mint.address, TRANSFER_HOOK, change).await;
    };
    set(hook).await;
    let payment = Payment::in_mint(&world.node, 0, mint).await;
    refused(
        &world,
        "with a hook",
        &payment,
        &payment.wire(),
        &failing("simulation_failed"),
    )
    .await;

    set([0; 32]).await;
    let payment = Payment::in_mint(&world.node, 0, mint).await;
    world.facilitator.settle(&payment.body()).await.settled();
    assert_eq!(world.node.tokens(mint.seller_account).await, 20_000);
    books_agree(&world).await;
}
