//! One test's world: a node, a fault-injecting proxy, a database and a facilitator, used by nobody else.

use alloy::primitives::{Address, keccak256};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::anvil::{Anvil, Mining};
use super::config::{Asset, Budget, Config, Evm};
use super::contracts::{Account, addresses};
use super::database::Database;
use super::eventually;
use super::facilitator::Facilitator;
use super::gate::Gate;
use super::http::Answer;
use super::payer::{NETWORK, Payment};
use super::pooler::{Care, Pooler};
use super::process::free_port;
use super::proxy::Proxy;

/// How a world differs from the usual one.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) mining: Mining,
    /// Blocks to an epoch; with 1 a block is final two blocks later, else only after dozens.
    pub(crate) epoch: Option<u32>,
    /// How many signers.
    pub(crate) signers: usize,
    /// How long `/settle` waits.
    pub(crate) wait_seconds: u64,
    pub(crate) log_filter: &'static str,
    /// The wallet factories that may be called.
    pub(crate) factories: Vec<Address>,
    /// What settling may cost.
    pub(crate) budget: Budget,
    /// After how long without a block the chain stands still: never, for a test that makes its blocks when it pleases.
    pub(crate) stalled_after_seconds: u32,
    /// Another key of the network, or none.
    pub(crate) network_key: &'static str,
    /// A pooler before the database, and how it is set up.
    pub(crate) pooler: Option<Care>,
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
            budget: Budget::UNLIMITED,
            stalled_after_seconds: 3600,
            network_key: "",
            pooler: None,
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

/// The accounts that sign: those of the prepared chain that are left for it, then some that are new to the chain.
async fn signers(node: &Anvil, count: usize) -> Vec<Account> {
    let prepared = &addresses().accounts;
    let mut signers = vec![prepared[9].clone(), prepared[8].clone()];
    for index in signers.len()..count {
        let signer = Account::of(keccak256(format!("signer {index}")));
        node.fund(signer.address).await;
        signers.push(signer);
    }
    signers.truncate(count);
    signers
}

/// Everything around one facilitator, with a node of one family of chains. Fields are dropped in this order.
pub(crate) struct World<N = Anvil> {
    pub(crate) facilitator: Facilitator,
    pub(crate) proxy: Proxy,
    _pooler: Option<Pooler>,
    pub(crate) gate: Gate,
    pub(crate) db: Database,
    pub(crate) node: N,
}

/// What a test pays with, on any chain.
pub(crate) trait Payable {
    /// As the records have it.
    fn nonce(&self) -> String;

    /// The request body for `/verify` and `/settle`, in version 2.
    fn body(&self) -> Value;
}

impl Payable for Payment {
    fn nonce(&self) -> String {
        self.nonce.to_string()
    }

    fn body(&self) -> Value {
        Self::body(self)
    }
}

impl World {
    /// Everything but a running facilitator.
    pub(crate) async fn prepare(setup: Setup) -> Self {
        Self::prepare_on(Database::create().await, setup).await
    }

    /// The same on a database that the test has chosen.
    pub(crate) async fn prepare_on(db: Database, setup: Setup) -> Self {
        let node = Anvil::start(setup.mining, setup.epoch).await;
        let proxy = Proxy::before(node.url()).await;
        let mut world = Self::around_on(db, node, proxy).await;
        if let Some(care) = setup.pooler {
            let pooler = Pooler::before(&world.db, world.gate.port, care).await;
            world.facilitator.config.database_url = world.db.url_by(pooler.port);
            world = Self {
                _pooler: Some(pooler),
                ..world
            };
        }
        let config = &mut world.facilitator.config;
        config.wait_seconds = setup.wait_seconds;
        config.log_filter = setup.log_filter;
        config.evm.push(Evm {
            network: NETWORK,
            rpc_url: world.proxy.url.clone(),
            other_rpc_urls: Vec::new(),
            signers: signers(&world.node, setup.signers).await,
            sources: Vec::new(),
            assets: vec![Asset::usdc(), Asset::trick()],
            factories: setup.factories,
            budget: setup.budget,
            stalled_after_seconds: setup.stalled_after_seconds,
            key: setup.network_key,
        });
        world
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

impl World {
    /// Waits until the node has as many transactions waiting to be mined.
    pub(crate) async fn is_waiting(&self, transactions: u64) {
        eventually("the node has what was sent", async || {
            (self.node.waiting().await == transactions).then_some(())
        })
        .await;
    }

    /// What the merchant of all test payments has received.
    pub(crate) async fn received(&self) -> u128 {
        self.node.balance_of(addresses().usdc, addresses().pay_to).await
    }
}

impl<N> World<N> {
    /// A facilitator that serves nothing yet, with a database of its own.
    pub(crate) async fn around(node: N, proxy: Proxy) -> Self {
        Self::around_on(Database::create().await, node, proxy).await
    }

    async fn around_on(db: Database, node: N, proxy: Proxy) -> Self {
        let gate = Gate::before(db.address()).await;
        let facilitator = Facilitator::new(Config::new(db.url_by(gate.port)));
        Self {
            facilitator,
            proxy,
            _pooler: None,
            gate,
            db,
            node,
        }
    }

    /// Another facilitator in the same world: the same database, node and signers, other ports.
    pub(crate) async fn replica(&self) -> Facilitator {
        let mut config = self.facilitator.config.clone();
        (config.port, config.metrics_port) = (free_port(), free_port());
        let mut replica = Facilitator::new(config);
        replica.becomes(self.facilitator.version());
        // Its lanes are the others', as long as they live.
        replica.start_with(&[]).await;
        replica
    }

    /// Settles beside the test.
    pub(crate) fn settling(&self, payment: &impl Payable) -> JoinHandle<Answer> {
        self.facilitator.caller().settling(payment.body())
    }

    /// Waits until as many payments as this are on record.
    pub(crate) async fn recorded(&self, payments: i64) {
        eventually("the payments are on record", async || {
            (self.db.count("payments").await == payments).then_some(())
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
    pub(crate) async fn state(&self, payment: &impl Payable) -> Option<String> {
        let sql = "select state from settlements s join payments p on p.id = s.payment_id where p.nonce = $1";
        sqlx::query_scalar(sql)
            .bind(payment.nonce())
            .fetch_optional(&self.db.pool)
            .await
            .unwrap()
    }

    /// It is confirmed, or final already.
    pub(crate) async fn is_paid(&self, payment: &impl Payable) -> bool {
        matches!(self.state(payment).await.as_deref(), Some("confirmed" | "final"))
    }

    pub(crate) async fn reaches(&self, payment: &impl Payable, state: &str) {
        eventually(&format!("the payment is {state}"), async || {
            (self.state(payment).await.as_deref() == Some(state)).then_some(())
        })
        .await;
    }

    /// What happened to the payment, in order.
    pub(crate) async fn events(&self, payment: &impl Payable) -> Vec<String> {
        let sql = "select e.kind from events e join payments p on p.id = e.payment_id where p.nonce = $1
            order by e.version";
        sqlx::query_scalar(sql)
            .bind(payment.nonce())
            .fetch_all(&self.db.pool)
            .await
            .unwrap()
    }
}
