//! A mint of Token-2022 whose issuer switches a fee on while payments are taken: the merchant would get less than is
//! answered for. Case 67.

use crate::support::solana::books::books_agree;
use crate::support::solana::lab::{failing, refused, valid};
use crate::support::solana::payer::Payment;
use crate::support::solana::surfpool::{Mint, Surfpool};
use crate::support::solana::world::Setup;

/// Token-2022's `TransferFeeConfig`, and the basis points of its newer fee, behind two authorities, what was withheld,
/// and the older fee.
const TRANSFER_FEE_CONFIG: u16 = 1;
const OLDER_BASIS_POINTS: usize = 32 + 32 + 8 + 16;
const NEWER_BASIS_POINTS: usize = OLDER_BASIS_POINTS + 2 + 16;

async fn set_fee(node: &Surfpool, mint: Mint, basis_points: u16) {
    node.change_extension(mint.address, TRANSFER_FEE_CONFIG, |value| {
        for at in [OLDER_BASIS_POINTS, NEWER_BASIS_POINTS] {
            value[at..at + 2].copy_from_slice(&basis_points.to_le_bytes());
        }
    })
    .await;
}

#[tokio::test]
async fn v07_case_67_a_fee_that_is_switched_on() {
    let world = Setup::default().start().await;
    let mint = world.node.mint("pyusd");
    let pay = async || Payment::in_mint(&world.node, 0, mint).await;
    let payment = pay().await;
    valid(&world, "without a fee", &payment, &payment.wire()).await;
    world.facilitator.settle(&payment.body()).await.settled();

    set_fee(&world.node, mint, 100).await;
    let payment = pay().await;
    refused(
        &world,
        "one in a hundred",
        &payment,
        &payment.wire(),
        &failing("simulation_failed"),
    )
    .await;
    set_fee(&world.node, mint, 1).await;
    let payment = pay().await;
    refused(
        &world,
        "one in ten thousand",
        &payment,
        &payment.wire(),
        &failing("simulation_failed"),
    )
    .await;
    assert_eq!(world.node.tokens(mint.seller_account).await, 10_000);

    set_fee(&world.node, mint, 0).await;
    let payment = pay().await;
    world.facilitator.settle(&payment.body()).await.settled();
    assert_eq!(world.node.tokens(mint.seller_account).await, 20_000);
    books_agree(&world).await;
}
