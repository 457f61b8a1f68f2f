//! Gets lanes going again: a transaction that does not get mined is replaced by one that pays more, and one that carries
//! nothing any more by one that only uses its nonce up.
//!
//! A nonce holds up all that come after it, so the lowest is what matters. Whatever is replaced stays watched: which
//! transaction of a slot is mined is the chain's to say.

use std::time::Duration;

use tokio::time::Instant;

use crate::app::board::Stuck;
use crate::app::{App, Track, deliver};
use crate::domain::rail::{LaneId, Outbid, Quote, Replacement};
use crate::store::Replaced;

/// The pause between two passes. Nothing here is due sooner.
const PASS_EVERY: Duration = Duration::from_secs(1);

/// When the last pass was.
#[derive(Default)]
pub struct Outbidding {
    last: Option<Instant>,
}

impl Outbidding {
    /// Replaces what has to be, unless that was just done. Where there is no fee market nothing has.
    pub async fn pass(&mut self, app: &App, track: &Track) {
        let Some(patience) = track.rail.pace().outbid_after else {
            return;
        };
        if self.last.is_some_and(|at| at.elapsed() < PASS_EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let stuck = track.board.stuck(patience);
        let at_cap = if stuck.is_empty() {
            Vec::new()
        } else {
            replace_all(app, track, &stuck).await
        };
        for lane in track.rail.lanes() {
            let count = at_cap.iter().filter(|it| *it == lane).count();
            metrics::gauge!(
                "facilitator_slots_at_fee_cap",
                "network" => lane.network.to_string(),
                "signer" => lane.signer.clone()
            )
            .set(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }
}

/// Replaces these, lowest nonce first. Names the lane of each that cannot be.
async fn replace_all(app: &App, track: &Track, stuck: &[Stuck]) -> Vec<LaneId> {
    let mut at_cap = Vec::new();
    let quote = match track.rail.quote().await {
        Ok(quote) => quote,
        Err(fault) => {
            tracing::warn!(rail.id = %track.rail.id(), error = %fault, "no price to outbid with");
            return at_cap;
        }
    };
    for it in stuck {
        if !it.is_certain && !track.rail.is_underpriced(&it.slot.raw, &quote) {
            continue;
        }
        if !replace(app, track, it, &quote).await {
            at_cap.push(it.slot.lane.clone());
        }
    }
    at_cap
}

/// Replaces one. False when it has had all the replacements and all the money that it may have.
async fn replace(app: &App, track: &Track, stuck: &Stuck, quote: &Quote) -> bool {
    let (lane, nonce) = (&stuck.slot.lane, stuck.slot.nonce);
    let bid = match track.rail.outbid(lane, &stuck.slot.raw, stuck.cargo, quote) {
        Ok(bid) => bid,
        Err(fault) => {
            tracing::error!(lane = %lane, nonce, error = %fault, "cannot be outbid");
            return true;
        }
    };
    let Some(with) = bid else {
        return tell(track, stuck);
    };
    let Some(lease) = track.board.lease(lane) else {
        return true;
    };
    match app.store.lane_replace(&lease, nonce, &stuck.slot.tx, &with).await {
        Ok(Replaced::Done(payments)) => {
            track.board.replaced(&stuck.slot, &with, &payments);
            log(stuck, &with);
            deliver::first(track, lane, &with.id, &with.raw, payments.len()).await;
            true
        }
        Ok(Replaced::Moved) => {
            track.board.doubt();
            true
        }
        Ok(Replaced::Lost) => {
            track.board.lost(lane);
            true
        }
        Ok(Replaced::Exhausted) => tell(track, stuck),
        Err(fault) => {
            tracing::warn!(lane = %lane, nonce, error = %fault, "replacement not on record");
            track.board.doubt();
            true
        }
    }
}

fn tell(track: &Track, stuck: &Stuck) -> bool {
    if track.board.tell(&stuck.slot.tx) {
        let (lane, nonce) = (&stuck.slot.lane, stuck.slot.nonce);
        tracing::warn!(
            lane = %lane, nonce, tx.id = %stuck.slot.tx,
            "not mined and cannot be outbid, because the fee cap or the number of replacements is reached: it is sent \
             again until the chain's price falls"
        );
    }
    false
}

fn log(stuck: &Stuck, with: &Replacement) {
    let (lane, nonce) = (&stuck.slot.lane, stuck.slot.nonce);
    let cargo = match with.cargo {
        Outbid::Same => "same",
        Outbid::Nothing => "nothing",
    };
    metrics::counter!(
        "facilitator_transactions_replaced_total",
        "network" => lane.network.to_string(),
        "cargo" => cargo
    )
    .increment(1);
    tracing::info!(lane = %lane, nonce, tx.id = %with.id, tx.replaced = %stuck.slot.tx, cargo, "transaction replaced");
}
