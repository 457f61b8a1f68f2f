//! Two networks served by one process: neither knows of the other's payments, and neither suffers from its troubles.

use crate::support::anvil::{Anvil, Mining};
use crate::support::books::{books_agree, books_agree_on};
use crate::support::payer::{Envelope, Payment};
use crate::support::proxy::{Fault, Proxy, anything};
use crate::support::world::{Setup, World};

/// A world with a second network beside the usual one.
async fn two_networks() -> (World, Anvil, Proxy) {
    let mut world = World::prepare(Setup::default()).await;
    let anvil = Anvil::start_as(8453, Mining::EachTransaction, None).await;
    let proxy = Proxy::before(anvil.url()).await;
    let mut second = world.facilitator.config.evm[0].clone();
    (second.network, second.rpc_url) = ("eip155:8453", proxy.url.clone());
    world.facilitator.config.evm.push(second);
    world.facilitator.start().await;
    (world, anvil, proxy)
}

fn elsewhere(payer: usize) -> Payment {
    Payment {
        network: "eip155:8453",
        network_in_v1: "base",
        chain_id: 8453,
        ..Payment::by(payer)
    }
}

async fn both_books_agree(world: &World, there: &Anvil) {
    books_agree(world).await;
    books_agree_on(world, "eip155:8453", there).await;
}

#[tokio::test]
async fn each_network_pays_its_own() {
    let (world, anvil, proxy) = two_networks().await;
    let kinds = world.facilitator.get("/supported").await.json()["kinds"].clone();
    assert_eq!(kinds.as_array().unwrap().len(), 4, "{kinds}");
    for envelope in Envelope::BOTH {
        world
            .facilitator
            .settle(&Payment::by(1).body_in(envelope))
            .await
            .settled();
        let there = world
            .facilitator
            .settle(&elsewhere(1).body_in(envelope))
            .await
            .settled();
        assert_eq!(anvil.receipt(&there).await["status"], "0x1");
    }
    // Signed for one chain, an authorization is nothing on the other.
    let astray = Payment {
        chain_id: 8453,
        ..Payment::by(2)
    };
    assert_eq!(
        world.facilitator.settle(&astray.body()).await.unsettled().0,
        "invalid_exact_evm_signature"
    );
    // The same nonce on two chains is two payments.
    let here = Payment::by(3);
    let there = Payment {
        nonce: here.nonce,
        ..elsewhere(3)
    };
    world.facilitator.settle(&here.body()).await.settled();
    world.facilitator.settle(&there.body()).await.settled();
    assert_eq!(world.received().await, 30_000);
    assert_eq!((world.proxy.transactions().len(), proxy.transactions().len()), (3, 3));
    both_books_agree(&world, &anvil).await;
}

#[tokio::test]
async fn one_network_that_is_down_is_its_own_trouble() {
    let (world, anvil, proxy) = two_networks().await;
    let down = proxy.fault(anything, Fault::HoldRequest);
    let waiting = world.settling(&elsewhere(1));
    down.met(1).await;
    world.facilitator.verify(&Payment::by(2).body()).await.valid();
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    assert_eq!(world.facilitator.get("/health/ready").await.status, 200);
    down.release();
    waiting.await.unwrap().settled();
    both_books_agree(&world, &anvil).await;
}
