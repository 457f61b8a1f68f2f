//! Gets lanes going again: a transaction that does not get mined is replaced by one that pays more, and one that carries
//! nothing any more by one that only uses its nonce up.
//!
//! A nonce holds up all that come after it, so the lowest is what matters. Whatever is replaced stays watched: which
//! transaction of a slot is mined is the chain's to say.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::board::Stuck;
use crate::app::{App, Track, deliver};
use crate::domain::rail::{LaneId, Outbid, Quote, Replacement, Unsigned};
use crate::store::Replaced;
use crate::task::guarded;

/// The pause between two passes. Nothing here is due sooner.
const PASS_EVERY: Duration = Duration::from_secs(1);

/// Replaces what has to be until told to stop. Beside the watch, which must go on looking while somebody else signs. Where
/// there is no fee market nothing has to be.
pub async fn run(app: &App, track: &Track, stop: &CancellationToken) {
    let Some(patience) = track.rail.pace().outbid_after else {
        return;
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PASS_EVERY) => {}
        }
        guarded(pass(app, track, patience)).await;
    }
}

async fn pass(app: &App, track: &Track, patience: Duration) {
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
    let mut silent = HashSet::new();
    for it in stuck {
        let lane = &it.slot.lane;
        if silent.contains(lane) || (!it.is_certain && !track.rail.is_underpriced(&it.slot.raw, &quote)) {
            continue;
        }
        match replace(app, track, it, &quote).await {
            Done::Tended => {}
            Done::AtCap => at_cap.push(lane.clone()),
            Done::Silent => {
                silent.insert(lane.clone());
            }
        }
    }
    at_cap
}

/// What became of a slot that is stuck.
enum Done {
    /// It was replaced, or will be looked at again.
    Tended,
    /// It has had all the replacements and all the money that it may have.
    AtCap,
    /// Whoever keeps the lane's key gives no signature now.
    Silent,
}

async fn replace(app: &App, track: &Track, stuck: &Stuck, quote: &Quote) -> Done {
    let (lane, nonce) = (&stuck.slot.lane, stuck.slot.nonce);
    let bid = match track.rail.outbid(lane, &stuck.slot.raw, stuck.cargo, quote).await {
        Ok(bid) => bid,
        Err(Unsigned::Unfit(fault)) => {
            tracing::error!(lane = %lane, nonce, error = %fault, "cannot be outbid");
            return Done::Tended;
        }
        Err(Unsigned::Unheard(fault)) => {
            tracing::warn!(lane = %lane, nonce, error = %fault, "not outbid for now");
            return Done::Silent;
        }
    };
    let Some(with) = bid else {
        return tell(track, stuck);
    };
    let Some(lease) = track.board.lease(lane) else {
        return Done::Tended;
    };
    match app.store.lane_replace(&lease, nonce, &stuck.slot.tx, &with).await {
        Ok(Replaced::Done(payments)) => {
            track.board.replaced(&stuck.slot, &with, &payments);
            log(stuck, &with);
            deliver::first(track, lane, &with.id, &with.raw, payments.len()).await;
            Done::Tended
        }
        Ok(Replaced::Moved) => {
            track.board.doubt();
            Done::Tended
        }
        Ok(Replaced::Lost) => {
            track.board.lost(lane);
            Done::Tended
        }
        Ok(Replaced::Exhausted) => tell(track, stuck),
        Err(fault) => {
            tracing::warn!(lane = %lane, nonce, error = %fault, "replacement not on record");
            track.board.doubt();
            Done::Tended
        }
    }
}

fn tell(track: &Track, stuck: &Stuck) -> Done {
    if track.board.tell(&stuck.slot.tx) {
        let (lane, nonce) = (&stuck.slot.lane, stuck.slot.nonce);
        tracing::warn!(
            lane = %lane, nonce, tx.id = %stuck.slot.tx,
            "not mined and cannot be outbid, because the fee cap or the number of replacements is reached: it is sent \
             again until the chain's price falls"
        );
    }
    Done::AtCap
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
