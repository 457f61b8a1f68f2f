//! One seed's world: three replicas on one store and its chains, the clients who pay through them, and what goes wrong.
//! Everything runs on one thread in virtual time, so that a seed is always the same story.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use facilitator::app::screening::Screening;
use facilitator::app::turnstile::{Settings as Rates, Turnstile};
use facilitator::app::{App, Settings};
use facilitator::domain::id::PaymentId;
use facilitator::domain::network::{NetworkId, RailId, Scheme};
use facilitator::domain::rail::{LaneId, Rail, TxId};
use facilitator::domain::request::PaymentRequest;
use facilitator::domain::time::{Clock, Timestamp};
use facilitator::store::DateTime;
use facilitator::task::Tasks;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::chain_evm::Chain;
use crate::chain_solana::Cluster;
use crate::client;
use crate::dice::Dice;
use crate::invariants::{self, Truth};
use crate::line::{Gate, Line, Mode};
use crate::plan::{Fault, Network, Plan};
use crate::reach::Reach;
use crate::store::SimStore;
use crate::{rail_evm, rail_solana};

const REPLICAS: usize = 3;

/// When every story begins, in Unix seconds.
const BEGINNING: u64 = 1_700_000_000;

/// How long after the last fault everything must have come to its end (I16).
const PATIENCE: Duration = Duration::from_mins(30);

/// How long a process that is asked to stop may take for its last steps.
const STOPS_WITHIN: Duration = Duration::from_mins(1);

/// What a story came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) payments: u64,
    pub(crate) simulated: Duration,
    /// Equal for equal stories.
    pub(crate) trace: u64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) store: SimStore,
    evm: Mutex<Chain>,
    solana: Mutex<Cluster>,
    /// What has ever landed in a block, also in one that was taken back.
    landed: Mutex<BTreeSet<Vec<u8>>>,
    dice: Mutex<Dice>,
    began: Instant,
    ids: AtomicU64,
    is_calm: AtomicBool,
    violation: Mutex<Option<String>>,
    trace: Mutex<DefaultHasher>,
    replicas: Mutex<Vec<Replica>>,
}

/// Bytes that leave.
pub(crate) struct Sent<'a> {
    pub(crate) tx: TxId,
    pub(crate) raw: &'a [u8],
    pub(crate) signer: &'a str,
    /// None where the chain counts none.
    pub(crate) nonce: Option<u64>,
}

/// One process.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) app: Arc<App>,
    pub(crate) gate: Gate,
    tasks: Tasks,
}

/// A replica's clock, which may be wrong by some seconds.
struct SimClock {
    world: Arc<World>,
    skew: u64,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.world.time() + self.skew)
    }

    fn mint(&self) -> PaymentId {
        let number = self.world.ids.fetch_add(1, Ordering::Relaxed);
        PaymentId::from_uuid(Uuid::from_u128(number.into()))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    fn new(plan: &Plan) -> Arc<Self> {
        let mut dice = Dice::new(plan.seed).apart();
        let began = Instant::now();
        let now = move || {
            let millis = u64::try_from(began.elapsed().as_millis()).unwrap();
            DateTime::from_timestamp_millis((BEGINNING * 1000 + millis).try_into().unwrap()).unwrap()
        };
        let balances: BTreeMap<String, u64> = (0..4)
            .map(|it| (format!("payer{it}"), dice.within(500, 5_000)))
            .collect();
        Arc::new(Self {
            plan: plan.clone(),
            store: SimStore::new(Arc::new(now)),
            evm: Mutex::new(Chain::new(BEGINNING, balances.clone())),
            solana: Mutex::new(Cluster::new(BEGINNING, balances)),
            landed: Mutex::default(),
            dice: Mutex::new(dice),
            began,
            ids: AtomicU64::new(1),
            is_calm: AtomicBool::new(false),
            violation: Mutex::new(None),
            trace: Mutex::new(DefaultHasher::new()),
            replicas: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn time(&self) -> u64 {
        BEGINNING + self.began.elapsed().as_secs()
    }

    pub(crate) fn evm(&self) -> MutexGuard<'_, Chain> {
        locked(&self.evm)
    }

    pub(crate) fn solana(&self) -> MutexGuard<'_, Cluster> {
        locked(&self.solana)
    }

    /// What the chains show now.
    fn truth(&self) -> Truth {
        let mut truth = Truth::default();
        let (evm, solana) = (self.evm(), self.solana());
        evm.blocks.iter().for_each(|block| block.tell(&mut truth));
        solana.blocks.iter().for_each(|block| block.tell(&mut truth));
        truth
            .taken_back
            .extend(evm.taken_back.iter().chain(&solana.taken_back).cloned());
        truth
    }

    /// A block was made.
    fn made(&self, hash: &str, truth: Truth) {
        self.note(hash);
        locked(&self.landed).extend(truth.landings.into_iter().map(|(signed, _)| signed));
    }

    /// A caller hears that the request has been paid for (I3), which must be the one that was reserved (I4).
    pub(crate) fn succeeded(&self, request: &PaymentRequest) {
        self.note("success");
        let signed = &request.proof.0;
        if !locked(&self.landed).contains(signed.as_bytes()) {
            self.violated(format!("I3: a success was said of {signed}, which has never landed"));
        }
        let tables = self.store.tables();
        let mut records = tables.payments.values().map(|it| &it.record);
        let is_reserved = records
            .any(|it| it.authorization.body == signed.as_bytes() && it.digest == request.digest(&it.authorization));
        if !is_reserved {
            self.violated(format!(
                "I4: a success was said of {signed} for what it was not reserved for"
            ));
        }
    }

    /// A throw of the world's dice.
    pub(crate) fn throw<T>(&self, of: impl FnOnce(&mut Dice) -> T) -> T {
        of(&mut locked(&self.dice))
    }

    /// The fault happens here and now: it is on in this story, and chance will have it.
    pub(crate) fn strikes(&self, fault: Fault, per_mille: u64) -> bool {
        !self.is_calm.load(Ordering::Relaxed) && self.plan.has(fault) && self.throw(|dice| dice.chance(per_mille))
    }

    /// Puts down what happened, for comparing two stories.
    pub(crate) fn note(&self, what: &str) {
        let millis = self.began.elapsed().as_millis();
        (millis, what).hash(&mut *locked(&self.trace));
    }

    pub(crate) fn violated(&self, what: String) {
        locked(&self.violation).get_or_insert(what);
    }

    /// The store was written to.
    pub(crate) fn written(&self, operation: &str) {
        self.note(operation);
        if let Err(what) = invariants::always(&self.store.tables()) {
            self.violated(format!("after {operation}: {what}"));
        }
    }

    /// Bytes leave.
    pub(crate) fn sent(&self, sent: &Sent<'_>) {
        self.note(&sent.tx.0);
        if let Err(what) = invariants::on_sending(&self.store.tables(), sent) {
            self.violated(what);
        }
    }

    /// The process that serves at this place now.
    pub(crate) fn replica(&self, place: usize) -> Replica {
        locked(&self.replicas)[place % REPLICAS].clone()
    }

    /// A new process, which tries to start until it can.
    fn start(self: &Arc<Self>) -> Replica {
        let gate = Gate::new();
        let skew = if self.plan.has(Fault::Skew) {
            self.throw(|dice| dice.below(20))
        } else {
            0
        };
        let rails = self.plan.networks.iter();
        let rails = rails.map(|network| self.rail(*network, &gate)).collect();
        let tasks = Tasks::default();
        let line = Line {
            world: Arc::clone(self),
            gate: gate.clone(),
        };
        let clock = SimClock {
            world: Arc::clone(self),
            skew,
        };
        let app = App::new(
            Arc::new(line),
            rails,
            Arc::new(clock),
            Settings::default(),
            Arc::new(Screening::off()),
            Turnstile::new(Rates::default()),
            tasks.clone(),
        );
        let app = Arc::new(app);
        let starting = Arc::clone(&app);
        tokio::spawn(async move {
            while starting.start().await.is_err() {
                sleep(Duration::from_millis(500)).await;
            }
        });
        Replica { app, gate, tasks }
    }

    /// A network as a replica reaches it.
    fn rail(self: &Arc<Self>, network: Network, gate: &Gate) -> Arc<dyn Rail> {
        let id = |network| RailId {
            scheme: Scheme::exact(),
            network,
        };
        let reach = |id: &RailId| Reach {
            world: Arc::clone(self),
            gate: gate.clone(),
            network: id.network.clone(),
        };
        let lanes = |network: &NetworkId| {
            let signers = self.signers().map(|signer| LaneId {
                network: network.clone(),
                signer,
            });
            signers.collect()
        };
        match network {
            Network::Evm => {
                let id = id(rail_evm::network());
                Arc::new(rail_evm::SimRail {
                    reach: reach(&id),
                    lanes: lanes(&id.network),
                    pace: rail_evm::pace(),
                    purse: rail_evm::purse(),
                    id,
                })
            }
            Network::Solana => {
                let id = id(rail_solana::network());
                Arc::new(rail_solana::SimRail {
                    reach: reach(&id),
                    lanes: lanes(&id.network),
                    pace: rail_solana::pace(),
                    purse: rail_evm::purse(),
                    id,
                })
            }
        }
    }

    /// Those who sign on each network.
    pub(crate) fn signers(&self) -> impl Iterator<Item = String> + use<> {
        (0..2 + self.plan.seed % 3).map(|it| format!("signer{it}"))
    }

    /// Whether a chain stands still, which strikes so many times in a thousand.
    fn is_halted(&self, until: &mut u64, per_mille: u64) -> bool {
        let time = self.time();
        if self.strikes(Fault::Halt, per_mille) {
            *until = time + self.throw(|dice| dice.within(10, 200));
        }
        time < *until && !self.is_calm.load(Ordering::Relaxed)
    }

    /// Blocks of the EVM chain, and what happens to them.
    async fn make_blocks(self: Arc<Self>) {
        let mut halted_until = 0;
        loop {
            sleep(rail_evm::BLOCK_TIME).await;
            if self.is_halted(&mut halted_until, 20) {
                continue;
            }
            if self.strikes(Fault::Reorg, 60) {
                let depth = self.throw(|dice| dice.within(1, 5));
                self.evm().take_back(usize::try_from(depth).unwrap());
            }
            if self.strikes(Fault::Drop, 60) {
                self.evm().pool.clear();
            }
            let jump = self
                .strikes(Fault::Price, 100)
                .then(|| self.throw(|dice| dice.within(50, 5_000)));
            let front_run = self.strikes(Fault::FrontRun, 250);
            let fails_batches = self.strikes(Fault::Batch, 300);
            let mut dice = self.throw(Dice::apart);
            let mut chain = self.evm();
            chain.fails_batches = fails_batches;
            chain.base_fee = jump.unwrap_or((chain.base_fee * 7 / 8).max(100));
            chain.mine(self.time(), &mut dice, front_run);
            let mut truth = Truth::default();
            chain.head().tell(&mut truth);
            let hash = chain.head().point.hash.clone();
            drop(chain);
            self.made(&hash, truth);
        }
    }

    /// Slots of the cluster, and what happens to them.
    async fn make_slots(self: Arc<Self>) {
        let mut halted_until = 0;
        loop {
            sleep(rail_solana::SLOT_TIME).await;
            if self.is_halted(&mut halted_until, 4) {
                continue;
            }
            let mut dice = self.throw(Dice::apart);
            if self.strikes(Fault::Reorg, 25) {
                let depth = self.throw(|dice| dice.within(1, 8));
                self.solana().give_up(usize::try_from(depth).unwrap(), &mut dice);
            }
            if self.strikes(Fault::Drop, 60) {
                self.solana().drop_all();
            }
            let mut cluster = self.solana();
            cluster.advance(self.time(), &mut dice);
            let newest = cluster.blocks.last().unwrap();
            let mut truth = Truth::default();
            newest.tell(&mut truth);
            let hash = newest.point.hash.clone();
            drop(cluster);
            self.made(&hash, truth);
        }
    }

    /// Takes from signers what they pay with, and gives it back.
    async fn make_poor(self: Arc<Self>) {
        let signers: Vec<String> = self.signers().collect();
        loop {
            sleep(self.throw(|dice| dice.up_to(Duration::from_secs(20)))).await;
            if self.strikes(Fault::Drained, 500) {
                let signer = self.throw(|dice| dice.pick(&signers).clone());
                self.evm().drained.insert(signer.clone());
                self.solana().drained.insert(signer);
                sleep(self.throw(|dice| dice.up_to(Duration::from_secs(40)))).await;
                self.evm().drained.clear();
                self.solana().drained.clear();
            }
        }
    }

    /// Kills, stops and pauses processes.
    async fn make_trouble(self: Arc<Self>) {
        loop {
            sleep(self.throw(|dice| dice.up_to(Duration::from_secs(8)))).await;
            let at = usize::try_from(self.throw(|dice| dice.below(REPLICAS.try_into().unwrap()))).unwrap();
            let replica = locked(&self.replicas)[at].clone();
            if self.strikes(Fault::Kill, 400) {
                replica.gate.set(Mode::Dead);
                sleep(self.throw(|dice| dice.up_to(Duration::from_secs(4)))).await;
                let next = self.start();
                locked(&self.replicas)[at] = next;
            } else if self.strikes(Fault::Stop, 300) {
                if !replica.tasks.drain(STOPS_WITHIN).await {
                    self.violated("a process that was asked to stop did not".into());
                }
                replica.gate.set(Mode::Dead);
                let next = self.start();
                locked(&self.replicas)[at] = next;
            } else if self.strikes(Fault::Pause, 400) {
                replica.gate.set(Mode::Paused);
                sleep(self.throw(|dice| dice.up_to(Duration::from_secs(10)))).await;
                replica.gate.set(Mode::Alive);
            }
        }
    }

    fn is_quiet(&self) -> Result<(), String> {
        invariants::quiet(&self.store.tables(), &self.truth(), self.plan.has(Fault::Reorg))
    }

    async fn live(self: &Arc<Self>) -> Result<(), String> {
        let started: Vec<Replica> = (0..REPLICAS).map(|_| self.start()).collect();
        locked(&self.replicas).extend(started);
        let mut background = JoinSet::new();
        for network in &self.plan.networks {
            match network {
                Network::Evm => background.spawn(Arc::clone(self).make_blocks()),
                Network::Solana => background.spawn(Arc::clone(self).make_slots()),
            };
        }
        background.spawn(Arc::clone(self).make_trouble());
        if self.plan.has(Fault::Drained) {
            background.spawn(Arc::clone(self).make_poor());
        }
        let mut clients = JoinSet::new();
        for number in 0..self.plan.payments {
            clients.spawn(client::pay(Arc::clone(self), number));
        }
        while let Some(done) = clients.join_next().await {
            done.map_err(|panic| format!("a client panicked: {panic}"))?;
        }
        self.is_calm.store(true, Ordering::Relaxed);
        let calm = Instant::now();
        while self.is_quiet().is_err() && calm.elapsed() < PATIENCE {
            sleep(Duration::from_secs(5)).await;
        }
        background.shutdown().await;
        if let Some(violation) = locked(&self.violation).take() {
            return Err(violation);
        }
        self.is_quiet()
    }
}

/// Plays one story to its end.
pub(crate) fn play(plan: &Plan) -> Result<Told, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(plan);
        world.live().await?;
        let trace = locked(&world.trace).finish();
        Ok(Told {
            payments: plan.payments,
            simulated: world.began.elapsed(),
            trace,
        })
    })
}
