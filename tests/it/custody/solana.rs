//! The same on Solana, where a signature of Ed25519 is always the same.

use futures_util::future::join_all;

use super::keeper::{CANARY, Keeper, Key, Manner, Service};
use crate::support::solana::books::books_agree;
use crate::support::solana::world::{Setup, SolanaWorld};

async fn kept(service: Service, setup: Setup) -> (SolanaWorld, Keeper) {
    let mut world = setup.prepare().await;
    let key = Key::Ed25519(world.node.at.fee_payers[0].signer.clone());
    let keeper = Keeper::start(service, key).await;
    world.facilitator.config.solana[0].sources = vec![keeper.source()];
    world.facilitator.start().await;
    (world, keeper)
}

#[tokio::test]
async fn each_keeper_signs_whole_payments_on_solana() {
    for service in Service::SOLANA {
        let (world, keeper) = kept(service, Setup::default()).await;
        let payments = join_all((0..3).map(|payer| world.payment(payer))).await;
        world.facilitator.verify(&payments[0].body()).await.valid();
        assert_eq!(
            keeper.asked(),
            1,
            "only at start: a payment that is verified is not signed"
        );
        let settling = payments.iter().map(|payment| world.settling(payment));
        for answer in join_all(settling).await {
            answer.unwrap().settled();
        }
        assert_eq!(world.received().await, 30_000, "{service:?}");
        keeper.was_asked_well();
        books_agree(&world).await;
        assert!(!world.facilitator.logs().contains(CANARY));
    }
}

#[tokio::test]
async fn a_payment_on_solana_waits_for_its_signature_and_is_paid_once_there_is_one() {
    let setup = Setup {
        wait_seconds: 1,
        ..Setup::default()
    };
    let (world, keeper) = kept(Service::Remote, setup).await;
    let bad = [
        Manner::Status(500),
        Manner::SignsAsAnother,
        Manner::SignsAnother,
        Manner::Babbles,
    ];
    for (payer, manner) in bad.into_iter().enumerate() {
        keeper.behave(manner);
        let payment = world.payment(payer % 3).await;
        let begun = world.settling(&payment);
        assert_eq!(begun.await.unwrap().pending(), "", "{manner:?}: nothing is out");
        assert_eq!(world.proxy.transactions().len(), payer, "{manner:?}");
        keeper.behave(Manner::Signs);
        world
            .facilitator
            .caller()
            .settle_until_known(&payment.body())
            .await
            .settled();
    }
    keeper.was_asked_well();
    books_agree(&world).await;
}
