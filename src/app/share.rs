//! What processes on the same records tell one another, through the records alone: which payments wait to be signed for,
//! and what became of those that callers wait for here. No connection is held meanwhile.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::{App, Track};
use crate::domain::settlement::State;
use crate::store::StoreFault;
use crate::task::guarded;

/// The pause between two looks at the records while other processes are there: what a caller of one process waits for
/// while another settles it.
const SHARED_EVERY: Duration = Duration::from_millis(100);

/// Every how many of those looks the records are searched for unsettled payments that nobody works for: 5 s.
const ADOPTED_EVERY: u64 = 50;

/// Every how many of those searches payments that only wait for finality are looked for too.
const ADOPTED_ALL_EVERY: u64 = 6;

/// How many payments that wait to be signed for are taken over at one look.
const TAKEN_MAX: u32 = 500;

/// Shares the rail's work with other processes until told to stop.
pub async fn run(app: &App, track: &Track, stop: &CancellationToken) {
    let mut round: u64 = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SHARED_EVERY) => {}
        }
        round = round.wrapping_add(1);
        if let Some(Err(fault)) = guarded(pass(app, track, round)).await {
            tracing::warn!(rail.id = %track.rail.id(), error = %fault, "could not look for what others do");
        }
    }
}

async fn pass(app: &App, track: &Track, round: u64) -> Result<(), StoreFault> {
    if track.board.has_company() {
        take_over(app, track).await?;
        hear(app, track).await?;
    }
    if !round.is_multiple_of(ADOPTED_EVERY) {
        return Ok(());
    }
    if track.board.is_caretaker() {
        let is_whole = round.is_multiple_of(ADOPTED_EVERY.saturating_mul(ADOPTED_ALL_EVERY));
        let states: &[State] = if is_whole { &State::OPEN } else { &State::UNSETTLED };
        app.reconcile(track, states).await?;
    } else if track.board.drives() {
        // A slot that is spent and forgotten here may be open again: whoever looks for its payment has seen a
        // reorganization, and only who drives its lane sends its bytes again.
        app.reread_slots(track).await?;
    }
    Ok(())
}

/// Takes over what waits for lanes that this process drives.
async fn take_over(app: &App, track: &Track) -> Result<(), StoreFault> {
    if !track.board.drives() {
        return Ok(());
    }
    let waiting = app
        .store
        .settlements_waiting(&track.rail.id().network, TAKEN_MAX)
        .await?;
    let unknown = track.board.unknown(&waiting);
    if !unknown.is_empty() {
        track.board.learn(app.store.payments_get(&unknown).await?);
    }
    Ok(())
}

/// Hears what became of the payments that callers wait for here.
async fn hear(app: &App, track: &Track) -> Result<(), StoreFault> {
    let awaited = track.board.awaited();
    if awaited.is_empty() {
        return Ok(());
    }
    let versions = app.store.settlement_versions(&awaited).await?;
    let outdated = track.board.outdated(&versions);
    if !outdated.is_empty() {
        track.board.learn(app.store.payments_get(&outdated).await?);
    }
    Ok(())
}
