//! What the facilitator does: the use cases, each read top to bottom in a file of its own.
//!
//! Knows the traits and types of `domain` and the `store`; knows no chain, no dialect and, but for what webhooks leave by
//! (`outbound`), no HTTP. Handlers call [`verify`], [`settle`] and [`books`]; [`drive`] and [`watch`] run in the background
//! and own every effect on a chain, because a handler's future is dropped when its client goes away.

pub mod admin;
pub mod audit;
pub mod board;
pub mod books;
pub mod claims;
pub mod deliver;
pub mod desk;
pub mod drive;
pub mod feed;
pub mod funds;
pub mod gate;
pub mod matching;
pub mod outbid;
pub mod pulse;
pub mod question;
pub mod reconcile;
pub mod refunds;
pub mod repay;
pub mod reports;
pub mod screening;
pub mod settle;
pub mod share;
pub mod statements;
pub mod tenure;
pub mod turnstile;
pub mod unsettled;
pub mod verify;
pub mod watch;
pub mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::app::board::Board;
use crate::app::funds::Held;
use crate::app::pulse::Pulse;
use crate::app::screening::Screening;
use crate::app::turnstile::{Refusal, Turnstile, Whose};
use crate::domain::authorization::Authorization;
use crate::domain::budget::Shortage;
use crate::domain::lease::ProcessId;
use crate::domain::network::{NetworkId, RailId};
use crate::domain::rail::{Advertised, LaneId, Rail, RailFault, TxId};
use crate::domain::rejection::{Malformed, Rejection};
use crate::domain::settlement::State;
use crate::domain::tenant::TenantId;
use crate::domain::time::{Clock, Timestamp};
use crate::seeded::Bug;
use crate::store::{Records, StoreFault};
use crate::task::Tasks;

/// How long callers still wait once the process is told to stop. With what the lanes' current steps take it is less than
/// the ten seconds within which a process is to be gone.
const LEAVING_PATIENCE: Duration = Duration::from_secs(2);

/// How the use cases behave.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long `/settle` waits for the chain before it answers `settlement_pending`, in seconds; 1 to 25, since
    /// the least patient official client gives up after 30.
    pub wait_seconds: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { wait_seconds: 20 }
    }
}

/// The facilitator: its rails, its records and its clock.
pub struct App {
    store: Arc<dyn Records>,
    rails: BTreeMap<RailId, Track>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    screening: Arc<Screening>,
    turnstile: Turnstile,
    tasks: Tasks,
    process: ProcessId,
    leaving: CancellationToken,
}

/// A rail with what is under way on it.
#[derive(Clone)]
pub struct Track {
    /// The way to pay.
    pub rail: Arc<dyn Rail>,
    /// Its open settlements.
    pub board: Arc<Board>,
    /// Whether its chain goes on.
    pub pulse: Arc<Pulse>,
    /// What its signers hold.
    pub held: Arc<Held>,
}

/// Why the records could not be held against a chain. What was found until then stands.
#[derive(Debug, thiserror::Error)]
pub enum AskFault {
    /// The chain could not be asked.
    #[error(transparent)]
    Rail(#[from] RailFault),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// Why a request got no verdict. Each says who must act.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The caller's developer: the request is not a payment of this rail.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The caller: it used one name for two different requests.
    #[error("{0} was used before with another request")]
    Conflict(&'static str),
    /// Nobody yet: what settling may cost is used up for now. Nothing happened.
    #[error(transparent)]
    Short(#[from] Shortage),
    /// The caller: it asks too often. Nothing happened.
    #[error(transparent)]
    Limited(#[from] Refusal),
    /// The operator: no signer that could send the payment holds enough. Nothing happened.
    #[error("{0} is not served now: no signer that could send the payment holds enough to pay for it")]
    Unfunded(NetworkId),
    /// Nobody: the chain makes no blocks. Nothing happened.
    #[error("{0} makes no blocks now, so no settlement is begun on it; try again with the same request")]
    Stalled(NetworkId),
    /// Nobody yet: the chain could not be asked. Nothing happened.
    #[error(transparent)]
    Rail(#[from] RailFault),
    /// Nobody yet: the database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl App {
    /// A facilitator over these rails. Its background work runs in `tasks`; nothing runs until [`App::start`].
    #[must_use]
    pub fn new(
        store: Arc<dyn Records>,
        rails: Vec<Arc<dyn Rail>>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        screening: Arc<Screening>,
        turnstile: Turnstile,
        tasks: Tasks,
    ) -> Self {
        let rails = rails
            .into_iter()
            .map(|rail| {
                (
                    rail.id().clone(),
                    Track {
                        board: Arc::new(Board::new(rail.retired())),
                        pulse: Arc::default(),
                        held: Arc::default(),
                        rail,
                    },
                )
            })
            .collect();
        Self {
            store,
            rails,
            clock,
            settings,
            screening,
            turnstile,
            tasks,
            process: ProcessId::mint(),
            leaving: CancellationToken::new(),
        }
    }

    /// Says that this process is to stop: whoever waits for a settlement is answered within seconds with what is known.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Resolves once this process is to stop.
    pub async fn leaves(&self) {
        self.leaving.cancelled().await;
    }

    /// Resolves when it is time to answer, since this process is to stop.
    async fn left(&self) {
        self.leaves().await;
        tokio::time::sleep(LEAVING_PATIENCE).await;
    }

    /// Picks up what an earlier process left unfinished, and starts the background work of every rail.
    ///
    /// # Errors
    /// The database could not be read; nothing runs.
    pub async fn start(self: &Arc<Self>) -> Result<(), StoreFault> {
        for track in self.rails.values() {
            self.reconcile(track, &State::OPEN).await?;
            funds::look(self, track).await;
        }
        for track in self.rails.values() {
            for lane in track.rail.lanes() {
                let (app, track, lane, stop) =
                    (Arc::clone(self), track.clone(), lane.clone(), self.tasks.stop_signal());
                self.tasks
                    .spawn("lane", async move { drive::run(&app, &track, &lane, &stop).await });
            }
            let (app, kept, stop) = (Arc::clone(self), track.clone(), self.tasks.stop_signal());
            self.tasks
                .spawn("tenure", async move { tenure::run(&app, &kept, &stop).await });
            let (app, kept, stop) = (Arc::clone(self), track.clone(), self.tasks.stop_signal());
            self.tasks
                .spawn("share", async move { share::run(&app, &kept, &stop).await });
            let (app, kept, stop) = (Arc::clone(self), track.clone(), self.tasks.stop_signal());
            self.tasks
                .spawn("watch", async move { watch::run(&app, &kept, &stop).await });
            let (app, kept, stop) = (Arc::clone(self), track.clone(), self.tasks.stop_signal());
            self.tasks
                .spawn("outbid", async move { outbid::run(&app, &kept, &stop).await });
            let (kept, stop) = (track.clone(), self.tasks.stop_signal());
            self.tasks.spawn("pulse", async move { pulse::run(&kept, &stop).await });
            let (app, kept, stop) = (Arc::clone(self), track.clone(), self.tasks.stop_signal());
            self.tasks
                .spawn("unsettled", async move { unsettled::run(&app, &kept, &stop).await });
            let (app, kept, stop) = (Arc::clone(self), track.clone(), self.tasks.stop_signal());
            self.tasks
                .spawn("funds", async move { funds::run(&app, &kept, &stop).await });
        }
        Ok(())
    }

    /// Brings a rail's board to what is on record of the settlements in these states.
    async fn reconcile(&self, track: &Track, states: &[State]) -> Result<(), StoreFault> {
        let network = &track.rail.id().network;
        let known = track.board.slots();
        let mut open = self.store.settlements_open(network, states).await?;
        if Bug::RecoverySkipsInFlight.is_on() {
            open.retain(|record| record.settlement.state() != State::InFlight);
        }
        let carriers = self.store.transactions_open(network, states).await?;
        track.board.reconcile(open, carriers, &known);
        Ok(())
    }

    /// Brings a rail's board to what is on record of the slots that are not spent.
    async fn reread_slots(&self, track: &Track) -> Result<(), StoreFault> {
        let known = track.board.slots();
        let carriers = self.store.transactions_open(&track.rail.id().network, &[]).await?;
        track.board.readmit(carriers, &known);
        Ok(())
    }

    /// Transactions of ours are in no canonical block any more: their bytes must go out again.
    async fn take_back(&self, track: &Track, txs: &[TxId]) -> Result<(), StoreFault> {
        self.store
            .transactions_reorganized(&track.rail.id().network, txs)
            .await?;
        // Where the next look sees them mined again, that is news: their cost is no longer on record.
        track.board.note_mined(&[], txs);
        self.reread_slots(track).await
    }

    /// Who may ask how often.
    #[must_use]
    pub const fn turnstile(&self) -> &Turnstile {
        &self.turnstile
    }

    /// Counts a request for the payer; for each tenant by itself, since a smart wallet's name is anybody's to write.
    fn pass_payer(&self, tenant: TenantId, payer: &str) -> Result<(), Refusal> {
        self.turnstile
            .pass(Whose::Payer, || format!("{} {payer}", tenant.as_uuid()))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The rails that are served, in a stable order.
    pub fn rails(&self) -> impl Iterator<Item = &dyn Rail> {
        self.rails.values().map(|track| &*track.rail)
    }

    /// What clients and merchants are told of the rails; without signers where nobody can pay now.
    pub fn advertised(&self) -> impl Iterator<Item = (&RailId, Advertised)> {
        self.rails.iter().map(|(id, track)| {
            let able = track.board.able(track.rail.lanes());
            (id, track.rail.advertised(&able))
        })
    }

    /// The networks that are not served now because none of their signers holds enough.
    pub fn withdrawn(&self) -> impl Iterator<Item = &NetworkId> {
        let tracks = self.rails.values();
        let withdrawn = tracks.filter(|track| track.board.able(track.rail.lanes()).is_empty());
        withdrawn.map(|track| &track.rail.id().network)
    }

    /// Whether requests can be served now; if not, what is missing.
    ///
    /// # Errors
    /// What is missing, in words for an operator.
    pub async fn is_ready(&self) -> Result<(), String> {
        self.store.ping().await.map_err(|fault| fault.to_string())
    }

    fn track(&self, id: &RailId) -> Result<&Track, Rejection> {
        if let Some(track) = self.rails.get(id) {
            return Ok(track);
        }
        if self.rails.keys().any(|known| known.scheme == id.scheme) {
            return Err(Rejection::UnsupportedNetwork(id.network.to_string()));
        }
        Err(Rejection::UnsupportedScheme(id.scheme.to_string()))
    }
}

impl Track {
    /// Those of the lanes that could send the payment whose signers hold what they must; at least one.
    ///
    /// # Errors
    /// [`Trouble::Unfunded`] when there is none.
    fn able(&self, authorization: &Authorization) -> Result<Vec<LaneId>, Trouble> {
        let named = authorization.signer.as_ref();
        let mut able = self.board.able(self.rail.lanes());
        able.retain(|lane| named.is_none_or(|signer| *signer == lane.signer));
        if able.is_empty() {
            return Err(Trouble::Unfunded(self.rail.id().network.clone()));
        }
        Ok(able)
    }
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp(since_epoch.map_or(0, |elapsed| elapsed.as_secs()))
    }
}
