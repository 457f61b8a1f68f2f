//! One test's world with a Solana node.

use super::payer::{NETWORK, Payment};
use super::surfpool::Surfpool;
use crate::support::config::{Listed, Solana};
use crate::support::proxy::Proxy;
use crate::support::world::World;

/// How a world differs from the usual one.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The time between slots.
    pub(crate) slot_ms: u64,
    /// How many fee payers are advertised, 1 or 2.
    pub(crate) fee_payers: usize,
    /// The tokens accepted, by the names that the prepared node gives them.
    pub(crate) mints: &'static [&'static str],
    /// The node takes batches of questions, as real ones do and surfpool does not.
    pub(crate) batches: bool,
    /// The facilitator knows the node's WebSocket.
    pub(crate) subscribes: bool,
    /// What `/settle` answers on.
    pub(crate) commitment: &'static str,
    /// How long `/settle` waits.
    pub(crate) wait_seconds: u64,
    pub(crate) log_filter: &'static str,
    /// Another key of the network, or none.
    pub(crate) key: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            slot_ms: 100,
            fee_payers: 1,
            mints: &["usdc", "pyusd"],
            batches: true,
            subscribes: true,
            commitment: "confirmed",
            wait_seconds: 20,
            log_filter: "info",
            key: "",
        }
    }
}

/// Slots so short that a test can wait until a payment is final or its blockhash forgotten.
pub(crate) fn hasty() -> Setup {
    Setup {
        slot_ms: 40,
        ..Setup::default()
    }
}

/// Everything around one facilitator that serves a Solana cluster.
pub(crate) type SolanaWorld = World<Surfpool>;

impl Setup {
    /// Everything but a running facilitator.
    pub(crate) async fn prepare(self) -> SolanaWorld {
        let node = Surfpool::start(self.slot_ms).await;
        let proxy = if self.batches {
            Proxy::splitting(node.url()).await
        } else {
            Proxy::before(node.url()).await
        };
        let mut world = World::around(node, proxy).await;
        let cluster = self.cluster(&world);
        let config = &mut world.facilitator.config;
        config.wait_seconds = self.wait_seconds;
        config.log_filter = self.log_filter;
        config.solana.push(cluster);
        world
    }

    fn cluster(&self, world: &SolanaWorld) -> Solana {
        let at = &world.node.at;
        assert_eq!(at.network, NETWORK);
        Solana {
            network: at.network.clone(),
            genesis_hash: Some(at.genesis_hash.clone()),
            rpc_url: world.proxy.url.clone(),
            other_rpc_urls: Vec::new(),
            ws_url: self.subscribes.then(|| at.ws_url.clone()),
            signers: at.fee_payers[..self.fee_payers]
                .iter()
                .map(|it| it.text.clone())
                .collect(),
            retired_signers: vec![at.retired_fee_payer.text.clone()],
            sources: Vec::new(),
            mints: self.mints.iter().map(|name| listed(world, name)).collect(),
            commitment: self.commitment,
            slot_ms: self.slot_ms,
            key: self.key,
        }
    }

    pub(crate) async fn start(self) -> SolanaWorld {
        let mut world = self.prepare().await;
        world.facilitator.start().await;
        world
    }
}

/// One of the node's tokens, as a configuration names it.
pub(crate) fn listed(world: &SolanaWorld, name: &str) -> Listed {
    let mint = world.node.mint(name);
    Listed {
        address: mint.address.to_string(),
        symbol: name.to_uppercase(),
        decimals: mint.decimals,
        program: if mint.program == super::programs::TOKEN {
            "token".into()
        } else {
            "token-2022".into()
        },
    }
}

impl SolanaWorld {
    /// A good payment over the newest block.
    pub(crate) async fn payment(&self, payer: usize) -> Payment {
        Payment::by(&self.node, payer).await
    }

    /// What the seller of all test payments has received.
    pub(crate) async fn received(&self) -> u64 {
        self.node.tokens(self.node.mint("usdc").seller_account).await
    }

    /// What all fee payers have spent since the node was started.
    pub(crate) async fn lamports_spent(&self) -> u64 {
        const EACH: u64 = 10_000_000_000;
        let at = &self.node.at;
        let mut spent = 0;
        for key in at.fee_payers.iter().chain([&at.retired_fee_payer]) {
            spent += EACH - self.node.lamports(key.address).await;
        }
        spent
    }
}
