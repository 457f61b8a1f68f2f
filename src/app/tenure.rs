//! Which lanes this process drives: as many as are its share, by leases that it keeps alive. Takes over what another
//! process leaves, checks a lane's past before it is used, and shuts a lane that somebody else signs in.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::{App, Track};
use crate::domain::lease::{Lease, rebalance};
use crate::domain::rail::{LaneId, TxId};
use crate::domain::settlement::State;
use crate::store::{Roll, StoreFault};
use crate::task::guarded;

/// How long a lease lasts after the last sign of life. What a killed process drove is driven again this and two
/// [`BEAT`]s later.
const TERM: Duration = Duration::from_secs(3);

/// The pause between two signs of life.
const BEAT: Duration = Duration::from_millis(500);

/// Every how many beats the chain is asked whether somebody else signs in our lanes: each 10 s while something is out,
/// each minute while nothing is.
const CHECKED_EVERY: u64 = 20;
const CHECKED_IDLE_EVERY: u64 = 120;

/// How often in a row a nonce must be seen as spent by a finalized block, and by no transaction of ours, before it is
/// taken for somebody else's: nodes that share an address do not all know the same.
const USURPED_AFTER: u32 = 3;

/// How many of a lane's nonces may have become final while nobody drove it: as many are looked at once more.
const OVERLAP: u64 = 100;

/// How many transactions that nobody looks for any more are looked at in one check.
const UNWATCHED_MAX: u16 = 500;

/// How many beats a lane that was handed over is left to the others.
const LEFT_ALONE: u64 = 4;

/// Keeps this process's share of the rail's lanes until told to stop, then gives them back.
pub async fn run(app: &App, track: &Track, stop: &CancellationToken) {
    let mut tenure = Tenure::default();
    loop {
        if let Some(Err(fault)) = guarded(tenure.beat(app, track)).await {
            tracing::warn!(rail.id = %track.rail.id(), error = %fault, "the leases of the lanes were not renewed");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(BEAT) => {}
        }
    }
    let network = &track.rail.id().network;
    let left = async {
        app.store.leases_give(network, app.process, track.rail.lanes()).await?;
        app.store.replica_leave(network, app.process).await
    };
    if let Err(fault) = left.await {
        tracing::warn!(rail.id = %track.rail.id(), error = %fault, "lanes are free only when their leases end");
    }
}

#[derive(Default)]
struct Tenure {
    beats: u64,
    /// Lanes whose row is known to exist.
    begun: HashSet<LaneId>,
    held: BTreeMap<LaneId, Hold>,
    /// The beat until which nothing is taken, because something was just handed over.
    leaves_until: u64,
}

/// A lane that this process has a lease of.
struct Hold {
    lease: Lease,
    /// Its past was compared with the chain's, and what is under way in it is known here.
    is_ready: bool,
    is_quarantined: bool,
    /// How often in a row slots of it were seen as somebody else's.
    usurped: u32,
    /// How many nonces the finalized block of the last check had spent.
    spent: Option<u64>,
    /// What was on record as mined at the last check, and in no block.
    missed: Vec<TxId>,
}

impl Tenure {
    async fn beat(&mut self, app: &App, track: &Track) -> Result<(), StoreFault> {
        self.beats = self.beats.wrapping_add(1);
        self.begin_lanes(app, track).await;
        let network = &track.rail.id().network;
        let roll = app
            .store
            .leases_beat(network, app.process, track.rail.lanes(), TERM)
            .await?;
        self.compare(app, &roll);
        show_quarantined(&roll);
        let change = rebalance(app.process, &roll.lanes, roll.alive);
        if self.beats >= self.leaves_until {
            for lane in &change.take {
                if let Some(lease) = app.store.lease_take(lane, app.process, TERM).await? {
                    self.held.insert(lane.clone(), Hold::new(lease));
                }
            }
        }
        if let Some(lane) = change.give {
            self.held.remove(&lane);
            self.leaves_until = self.beats.saturating_add(LEFT_ALONE);
            self.assign(app, track, &roll);
            app.store.leases_give(network, app.process, &[lane]).await?;
        }
        for hold in self.held.values_mut() {
            hold.tend(app, track, self.beats).await;
        }
        self.assign(app, track, &roll);
        Ok(())
    }

    /// Puts lanes on record that are new, from the chain's nonce on.
    async fn begin_lanes(&mut self, app: &App, track: &Track) {
        for lane in track.rail.lanes() {
            if self.begun.contains(lane) {
                continue;
            }
            match nonces(app, track, lane).await {
                Ok(_) => {
                    self.begun.insert(lane.clone());
                }
                Err(fault) => tracing::warn!(lane = %lane, error = %fault, "lane not ready"),
            }
        }
    }

    /// Lets go of what the records say is not ours any more.
    fn compare(&mut self, app: &App, roll: &Roll) {
        self.held.retain(|lane, hold| {
            let row = roll.lanes.iter().find(|it| it.lane == *lane);
            let ours = row.filter(|it| it.holder == Some(app.process) && it.fence == hold.lease.fence);
            if ours.is_none() {
                tracing::warn!(lane = %lane, "lane lost: its lease was not renewed in time");
            }
            hold.is_quarantined = ours.is_some_and(|it| it.is_quarantined);
            ours.is_some()
        });
    }

    /// Tells the board.
    fn assign(&self, app: &App, track: &Track, roll: &Roll) {
        let ready = self.held.values().filter(|hold| hold.is_ready);
        let held = ready.map(|hold| (hold.lease.clone(), hold.is_quarantined)).collect();
        let others = roll
            .lanes
            .iter()
            .filter(|it| it.holder.is_some_and(|it| it != app.process));
        let elsewhere = others.map(|it| it.lane.clone()).collect();
        track.board.assign(held, elsewhere, roll.alive > 1);
    }
}

impl Hold {
    const fn new(lease: Lease) -> Self {
        Self {
            lease,
            is_ready: false,
            is_quarantined: false,
            usurped: 0,
            spent: None,
            missed: Vec::new(),
        }
    }

    /// Makes the lane ready for use, or sees now and then that nobody else uses it.
    async fn tend(&mut self, app: &App, track: &Track, beat: u64) {
        let is_idle = track.board.unspent_below(&self.lease.lane, u64::MAX).is_empty();
        let every = if is_idle { CHECKED_IDLE_EVERY } else { CHECKED_EVERY };
        if self.is_quarantined || (self.is_ready && !beat.is_multiple_of(every)) {
            self.is_ready = true;
            return;
        }
        match self.check(app, track).await {
            Ok(()) => self.is_ready = true,
            Err(fault) => tracing::warn!(lane = %self.lease.lane, error = %fault, "lane not checked"),
        }
    }

    async fn check(&mut self, app: &App, track: &Track) -> Result<(), String> {
        let lane = &self.lease.lane;
        let (ours, chains) = nonces(app, track, lane).await?;
        if chains.is_some_and(|chains| ours < chains) {
            let message = "lane closed: the chain has seen transactions of this signer that are not on record, so \
                somebody else signs with its key or the database was restored from an old copy";
            tracing::error!(lane = %lane, lane.next_nonce = ours, chain.next_nonce = chains, message);
            return self.quarantine(app).await;
        }
        if !self.is_ready {
            let read = app.reconcile(track, &State::OPEN).await;
            read.map_err(|fault| fault.to_string())?;
            tracing::info!(lane = %lane, lane.next_nonce = ours, lane.fence = self.lease.fence, "lane ready");
            return Ok(());
        }
        let spent = track.rail.lane_spent(lane).await.map_err(|fault| fault.to_string())?;
        if let Some(spent) = spent {
            self.check_mined(app, track, spent).await?;
        }
        self.check_slots(app, track, spent.unwrap_or_default()).await
    }

    /// What is on record as mined, was not final at the last check, and that no open payment refers to: nobody looks for
    /// it any more, so a reorganization may have taken it back, or given it another block and another price. Where the
    /// node only lags, bytes go out once more in vain.
    async fn check_mined(&mut self, app: &App, track: &Track, spent: u64) -> Result<(), String> {
        let from = self.spent.replace(spent).unwrap_or(spent.saturating_sub(OVERLAP));
        let lane = &self.lease.lane;
        let unwatched = app.store.transactions_unwatched(lane, from, UNWATCHED_MAX).await;
        let unwatched = unwatched.map_err(|fault| fault.to_string())?;
        if unwatched.is_empty() {
            self.missed.clear();
            return Ok(());
        }
        let sighting = track.rail.observe(&[], &unwatched).await;
        let mined = sighting.map_err(|fault| fault.to_string())?.mined;
        let written = app.store.transactions_mined(&lane.network, &mined).await;
        written.map_err(|fault| fault.to_string())?;
        let is_seen = |tx: &TxId| mined.iter().any(|it| it.tx == *tx);
        let missed: Vec<TxId> = unwatched.into_iter().filter(|tx| !is_seen(tx)).collect();
        let gone: Vec<TxId> = missed.iter().filter(|tx| self.missed.contains(tx)).cloned().collect();
        self.missed = missed;
        if gone.is_empty() {
            return Ok(());
        }
        tracing::warn!(lane = %lane, transactions = gone.len(), "a reorganization has opened nonces again");
        app.take_back(track, &gone).await.map_err(|fault| fault.to_string())
    }

    /// A nonce that a finalized block shows as spent, and that no transaction of ours has spent, is somebody else's: the
    /// payments that were meant for it take another.
    async fn check_slots(&mut self, app: &App, track: &Track, spent: u64) -> Result<(), String> {
        let lane = &self.lease.lane;
        let usurped = track.board.unspent_below(lane, spent);
        if usurped.is_empty() {
            self.usurped = 0;
            return Ok(());
        }
        self.usurped = self.usurped.saturating_add(1);
        if self.usurped < USURPED_AFTER {
            return Ok(());
        }
        self.usurped = 0;
        let message = "lane closed: nonces that were ours have been spent by somebody else, who signs with its key";
        tracing::error!(lane = %lane, nonces = ?usurped, message);
        let written = app.store.slots_usurped(lane, &usurped).await;
        written.map_err(|fault| fault.to_string())?;
        track.board.usurped(lane, &usurped);
        self.quarantine(app).await
    }

    async fn quarantine(&mut self, app: &App) -> Result<(), String> {
        self.is_quarantined = true;
        let written = app.store.lane_quarantine(&self.lease.lane).await;
        written.map(drop).map_err(|fault| fault.to_string())
    }
}

/// Every process says of every lane what is on record, so that it does not matter which of them is asked.
fn show_quarantined(roll: &Roll) {
    for row in &roll.lanes {
        metrics::gauge!(
            "facilitator_lane_quarantined",
            "network" => row.lane.network.to_string(),
            "signer" => row.lane.signer.clone()
        )
        .set(f64::from(u8::from(row.is_quarantined)));
    }
}

/// The lane's next nonce on record, begun at the chain's when it is new, and, where the chain counts nonces, on the
/// chain. The chain is asked first: a nonce of ours is never spent before it is on record.
async fn nonces(app: &App, track: &Track, lane: &LaneId) -> Result<(u64, Option<u64>), String> {
    let chains = track.rail.lane_nonce(lane).await.map_err(|fault| fault.to_string())?;
    let ours = app.store.lane_prepare(lane, chains.unwrap_or_default()).await;
    Ok((ours.map_err(|fault| fault.to_string())?, chains))
}
