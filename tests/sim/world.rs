//! One seed's world: three replicas on one store and one chain, the clients who pay through them, and what goes wrong.
//! Everything runs on one thread in virtual time, so that a seed is always the same story.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use facilitator::app::{App, Settings};
use facilitator::domain::id::PaymentId;
use facilitator::domain::network::{NetworkId, RailId, Scheme};
use facilitator::domain::rail::{LaneId, Pace};
use facilitator::domain::settlement::State;
use facilitator::domain::time::{Clock, Timestamp};
use facilitator::store::DateTime;
use facilitator::task::Tasks;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::chain_evm::{Chain, SimTx};
use crate::client;
use crate::dice::Dice;
use crate::invariants;
use crate::line::{Gate, Line, Mode};
use crate::plan::{Fault, Plan};
use crate::rail_evm::{SimRail, full_purse};
use crate::store::SimStore;

const REPLICAS: usize = 3;

/// When every story begins, in Unix seconds.
const BEGINNING: u64 = 1_700_000_000;

const BLOCK_TIME: Duration = Duration::from_secs(2);

/// How long after the last fault everything must have come to its end (I16).
const PATIENCE: Duration = Duration::from_mins(30);

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
    chain: Mutex<Chain>,
    dice: Mutex<Dice>,
    began: Instant,
    ids: AtomicU64,
    is_calm: AtomicBool,
    violation: Mutex<Option<String>>,
    trace: Mutex<DefaultHasher>,
    replicas: Mutex<Vec<Replica>>,
}

/// One process.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) app: Arc<App>,
    pub(crate) gate: Gate,
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

fn network() -> NetworkId {
    "eip155:84532".parse().unwrap()
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
            chain: Mutex::new(Chain::new(BEGINNING, balances)),
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

    pub(crate) fn chain(&self) -> MutexGuard<'_, Chain> {
        locked(&self.chain)
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

    /// Bytes leave (I6).
    pub(crate) fn sent(&self, raw: &[u8]) {
        let id = SimTx::read(raw).id();
        self.note(&id.0);
        if self.store.tables().txs.get(&id).is_none_or(|tx| tx.raw != raw) {
            self.violated(format!("I6: {id} left and is not on record"));
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
        let lanes = (0..2 + self.plan.seed % 3).map(|it| LaneId {
            network: network(),
            signer: format!("signer{it}"),
        });
        let rail = SimRail {
            purse: full_purse(),
            world: Arc::clone(self),
            gate: gate.clone(),
            id: RailId {
                scheme: Scheme::exact(),
                network: network(),
            },
            pace: pace(),
            lanes: lanes.collect(),
        };
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
            vec![Arc::new(rail)],
            Arc::new(clock),
            Settings::default(),
            Tasks::default(),
        );
        let app = Arc::new(app);
        let starting = Arc::clone(&app);
        tokio::spawn(async move {
            while starting.start().await.is_err() {
                sleep(Duration::from_millis(500)).await;
            }
        });
        Replica { app, gate }
    }

    /// Blocks, and what happens to them.
    async fn make_blocks(self: Arc<Self>) {
        let mut halted_until = 0;
        loop {
            sleep(BLOCK_TIME).await;
            let time = self.time();
            if self.strikes(Fault::Halt, 20) {
                halted_until = time + self.throw(|dice| dice.within(10, 200));
            }
            if time < halted_until && !self.is_calm.load(Ordering::Relaxed) {
                continue;
            }
            if self.strikes(Fault::Reorg, 60) {
                let depth = self.throw(|dice| dice.within(1, 5));
                self.chain().take_back(usize::try_from(depth).unwrap());
            }
            if self.strikes(Fault::Drop, 60) {
                self.chain().pool.clear();
            }
            let jump = self
                .strikes(Fault::Price, 100)
                .then(|| self.throw(|dice| dice.within(50, 5_000)));
            let front_run = self.strikes(Fault::FrontRun, 250);
            let mut dice = self.throw(Dice::apart);
            let mut chain = self.chain();
            chain.base_fee = jump.unwrap_or((chain.base_fee * 7 / 8).max(100));
            chain.mine(time, &mut dice, front_run);
            let hash = chain.head().point.hash.clone();
            drop(chain);
            self.note(&hash);
        }
    }

    /// Kills and pauses processes.
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
            } else if self.strikes(Fault::Pause, 400) {
                replica.gate.set(Mode::Paused);
                sleep(self.throw(|dice| dice.up_to(Duration::from_secs(10)))).await;
                replica.gate.set(Mode::Alive);
            }
        }
    }

    fn is_quiet(&self) -> bool {
        let tables = self.store.tables();
        let is_over = |state| matches!(state, State::Final | State::Failed | State::Withdrawn);
        tables.payments.values().all(|it| is_over(it.record.settlement.state()))
            && tables.slots.values().all(|it| it.consumed_by.is_some())
    }

    async fn live(self: &Arc<Self>) -> Result<(), String> {
        let started: Vec<Replica> = (0..REPLICAS).map(|_| self.start()).collect();
        locked(&self.replicas).extend(started);
        let mut background = JoinSet::new();
        background.spawn(Arc::clone(self).make_blocks());
        background.spawn(Arc::clone(self).make_trouble());
        let mut clients = JoinSet::new();
        for number in 0..self.plan.payments {
            clients.spawn(client::pay(Arc::clone(self), number));
        }
        while let Some(done) = clients.join_next().await {
            done.map_err(|panic| format!("a client panicked: {panic}"))?;
        }
        self.is_calm.store(true, Ordering::Relaxed);
        let calm = Instant::now();
        while !self.is_quiet() && calm.elapsed() < PATIENCE {
            sleep(Duration::from_secs(5)).await;
        }
        background.shutdown().await;
        if let Some(violation) = locked(&self.violation).take() {
            return Err(violation);
        }
        invariants::quiet(&self.store.tables(), &self.chain(), self.plan.has(Fault::Reorg))
    }
}

fn pace() -> Pace {
    Pace {
        batch_max: 8,
        in_flight_max: 4,
        gather: Duration::from_millis(5),
        redeliver: Duration::from_secs(5),
        outbid_after: Some(Duration::from_secs(8)),
        block_time: BLOCK_TIME,
        stalled_after: BLOCK_TIME * 15,
        recheck: BLOCK_TIME,
        patience: BLOCK_TIME * 2,
        poll: Duration::from_millis(500),
        lifetime_min_seconds: 6,
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
