//! One test's world: a node, a fault-injecting proxy, a database and a facilitator, used by nobody else.

use super::anvil::{Anvil, Mining};
use super::contracts::addresses;
use super::database::Database;
use super::facilitator::{Config, Facilitator};
use super::gate::Gate;
use super::proxy::Proxy;

/// How a world differs from the usual one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) mining: Mining,
    /// Blocks to an epoch; with 1 a block is final two blocks later, else only after dozens.
    pub(crate) epoch: Option<u32>,
    /// How many signers, 1 or 2.
    pub(crate) signers: usize,
    /// How long `/settle` waits.
    pub(crate) wait_seconds: u64,
    pub(crate) log_filter: &'static str,
    /// More keys of the network.
    pub(crate) network_keys: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            mining: Mining::EachTransaction,
            epoch: None,
            signers: 1,
            wait_seconds: 20,
            log_filter: "info",
            network_keys: "",
        }
    }
}

/// Everything around one facilitator. Fields are dropped in this order.
pub(crate) struct World {
    pub(crate) facilitator: Facilitator,
    pub(crate) proxy: Proxy,
    pub(crate) gate: Gate,
    pub(crate) db: Database,
    pub(crate) anvil: Anvil,
}

impl World {
    /// Everything but a running facilitator.
    pub(crate) async fn prepare(setup: Setup) -> Self {
        let anvil = Anvil::start(setup.mining, setup.epoch).await;
        let proxy = Proxy::before(&anvil.url).await;
        let db = Database::create().await;
        let gate = Gate::before(db.address()).await;
        let mut config = Config::new(db.url_by(gate.port), proxy.url.clone());
        config.signers = [9, 8][..setup.signers]
            .iter()
            .map(|&i| addresses().accounts[i].clone())
            .collect();
        config.wait_seconds = setup.wait_seconds;
        config.log_filter = setup.log_filter;
        setup.network_keys.clone_into(&mut config.network_keys);
        Self {
            facilitator: Facilitator::new(config),
            proxy,
            gate,
            db,
            anvil,
        }
    }

    pub(crate) async fn start(setup: Setup) -> Self {
        let mut world = Self::prepare(setup).await;
        world.facilitator.start().await;
        world
    }

    /// The usual world.
    pub(crate) async fn usual() -> Self {
        Self::start(Setup::default()).await
    }
}
