//! Keys that are kept elsewhere: whole payments signed by each keeper, and the truth told of every payment whatever a keeper
//! does. The keepers are servers of the test's own that hold each request to its service's public documentation and sign
//! with real keys; no cloud is asked.

mod checks;
mod evm;
mod faults;
mod keeper;
mod solana;
mod start;

use self::keeper::{Keeper, Key, Service};
use crate::support::contracts::addresses;
use crate::support::world::{Setup, World};

/// A world whose first signer's key is kept there, and not running yet.
async fn prepared(service: Service, setup: Setup) -> (World, Keeper) {
    let mut world = World::prepare(setup).await;
    let keeper = Keeper::start(service, Key::of(&addresses().accounts[9])).await;
    let network = &mut world.facilitator.config.evm[0];
    network.sources = vec![keeper.source()];
    let others = network.signers.iter().skip(1).map(|it| format!("\"{}\"", it.key));
    network.sources.extend(others.collect::<Vec<_>>());
    (world, keeper)
}

/// The same, running.
async fn kept(service: Service, setup: Setup) -> (World, Keeper) {
    let (mut world, keeper) = prepared(service, setup).await;
    world.facilitator.start().await;
    (world, keeper)
}
