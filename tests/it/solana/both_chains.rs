//! Both families of chains served by one process: neither suffers from the other's troubles.

use crate::support::anvil::{Anvil, Mining};
use crate::support::books::books_agree_on;
use crate::support::config::{Asset, Budget, Evm};
use crate::support::contracts::addresses;
use crate::support::payer::{Envelope, NETWORK, Payment};
use crate::support::proxy::{Fault, Proxy, anything};
use crate::support::solana::books::books_agree;
use crate::support::solana::world::{Setup, SolanaWorld};

async fn both() -> (SolanaWorld, Anvil, Proxy) {
    let mut world = Setup::default().prepare().await;
    let anvil = Anvil::start(Mining::EachTransaction, None).await;
    let proxy = Proxy::before(anvil.url()).await;
    world.facilitator.config.evm.push(Evm {
        network: NETWORK,
        rpc_url: proxy.url.clone(),
        other_rpc_urls: Vec::new(),
        signers: vec![addresses().accounts[9].clone()],
        sources: Vec::new(),
        assets: vec![Asset::usdc()],
        factories: Vec::new(),
        budget: Budget::UNLIMITED,
        stalled_after_seconds: 3600,
        key: "",
    });
    world.facilitator.start().await;
    (world, anvil, proxy)
}

#[tokio::test]
async fn each_chain_pays_its_own() {
    let (world, anvil, _proxy) = both().await;
    let kinds = world.facilitator.get("/supported").await.json()["kinds"].clone();
    assert_eq!(kinds.as_array().unwrap().len(), 4, "{kinds}");
    for envelope in Envelope::BOTH {
        let here = world.payment(0).await.body_in(envelope);
        world.facilitator.settle(&here).await.settled();
        let there = Payment::by(1).body_in(envelope);
        world.facilitator.settle(&there).await.settled();
    }
    assert_eq!(world.received().await, 20_000);
    assert_eq!(anvil.balance_of(addresses().usdc, addresses().pay_to).await, 20_000);
    books_agree(&world).await;
    books_agree_on(&world, NETWORK, &anvil).await;
}

#[tokio::test]
async fn one_chain_that_is_down_is_its_own_trouble() {
    let (world, anvil, proxy) = both().await;
    let down = proxy.fault(anything, Fault::HoldRequest);
    let waiting = world.settling(&Payment::by(1));
    down.met(1).await;
    world.facilitator.settle(&world.payment(0).await.body()).await.settled();
    down.release();
    waiting.await.unwrap().settled();

    let down = world.proxy.fault(anything, Fault::HoldRequest);
    let waiting = world.settling(&world.payment(1).await);
    down.met(1).await;
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    down.release();
    waiting.await.unwrap().settled();
    books_agree(&world).await;
    books_agree_on(&world, NETWORK, &anvil).await;
}
