//! One test's world: a node, a fault-injecting proxy, a database and a facilitator, used by nobody else.

use alloy::primitives::Address;
use tokio::task::JoinHandle;

use super::anvil::{Anvil, Mining};
use super::contracts::addresses;
use super::database::Database;
use super::eventually;
use super::facilitator::{Config, Facilitator};
use super::gate::Gate;
use super::http::Answer;
use super::payer::Payment;
use super::process::free_port;
use super::proxy::Proxy;

/// How a world differs from the usual one.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) mining: Mining,
    /// Blocks to an epoch; with 1 a block is final two blocks later, else only after dozens.
    pub(crate) epoch: Option<u32>,
    /// How many signers, 1 or 2.
    pub(crate) signers: usize,
    /// How long `/settle` waits.
    pub(crate) wait_seconds: u64,
    pub(crate) log_filter: &'static str,
    /// The wallet factories that may be called.
    pub(crate) factories: Vec<Address>,
    /// Another key of the network, or none.
    pub(crate) network_key: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            mining: Mining::EachTransaction,
            epoch: None,
            signers: 1,
            wait_seconds: 20,
            log_filter: "info",
            factories: Vec::new(),
            network_key: "",
        }
    }
}

/// For payments that are to expire while a test waits: they may be verified until their last seconds, so that a slow
/// machine has time to begin with them.
pub(crate) fn brief_windows() -> Setup {
    Setup {
        network_key: "lifetime_min_seconds = 1",
        ..Setup::default()
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
        config.factories = setup.factories;
        config.network_key = setup.network_key;
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

    /// Another facilitator in the same world: the same database, node and signers, other ports.
    pub(crate) async fn replica(&self) -> Facilitator {
        let mut config = self.facilitator.config.clone();
        (config.port, config.metrics_port) = (free_port(), free_port());
        let mut replica = Facilitator::new(config);
        replica.start().await;
        replica
    }

    /// The usual world.
    pub(crate) async fn usual() -> Self {
        Self::start(Setup::default()).await
    }
}

impl World {
    /// Settles beside the test.
    pub(crate) fn settling(&self, payment: &Payment) -> JoinHandle<Answer> {
        self.facilitator.caller().settling(payment.body())
    }

    /// Waits until as many payments as this are on record.
    pub(crate) async fn recorded(&self, payments: i64) {
        eventually("the payments are on record", async || {
            (self.db.count("payments").await == payments).then_some(())
        })
        .await;
    }

    /// Waits until the node has as many transactions waiting to be mined.
    pub(crate) async fn is_waiting(&self, transactions: u64) {
        eventually("the node has what was sent", async || {
            (self.anvil.waiting().await == transactions).then_some(())
        })
        .await;
    }

    /// Waits until the facilitator has looked at the chain as it is now.
    pub(crate) async fn is_looked_at(&self) {
        let begun = self.proxy.requests();
        // One that was under way may have seen what was before.
        eventually("the facilitator looks at the chain", async || {
            (self.proxy.requests() > begun + 2).then_some(())
        })
        .await;
    }

    /// The state of the payment on record, if it is.
    pub(crate) async fn state(&self, payment: &Payment) -> Option<String> {
        let sql = "select state from settlements s join payments p on p.id = s.payment_id where p.nonce = $1";
        let nonce = payment.nonce.to_string();
        sqlx::query_scalar(sql)
            .bind(nonce)
            .fetch_optional(&self.db.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn reaches(&self, payment: &Payment, state: &str) {
        eventually(&format!("the payment is {state}"), async || {
            (self.state(payment).await.as_deref() == Some(state)).then_some(())
        })
        .await;
    }

    /// What happened to the payment, in order.
    pub(crate) async fn events(&self, payment: &Payment) -> Vec<String> {
        let sql = "select e.kind from events e join payments p on p.id = e.payment_id where p.nonce = $1
            order by e.version";
        sqlx::query_scalar(sql)
            .bind(payment.nonce.to_string())
            .fetch_all(&self.db.pool)
            .await
            .unwrap()
    }

    /// What the merchant of all test payments has received.
    pub(crate) async fn received(&self) -> u128 {
        self.anvil.balance_of(addresses().usdc, addresses().pay_to).await
    }
}
