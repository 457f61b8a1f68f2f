//! Looks after the signers' money: what each has left is read again and again, and a lane that has too little takes on no
//! more payments before it begins to fail.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::app::{App, Track};
use crate::domain::amount::Amount;
use crate::domain::budget::settlements_left;
use crate::domain::event::{NETWORK_RESTORED, NETWORK_WITHDRAWN, SIGNER_FUNDED, SIGNER_LOW};
use crate::domain::rail::LaneId;
use crate::domain::time::Timestamp;
use crate::task::guarded;

/// The pause between two readings, while something is under way or a signer waits to be funded.
const EVERY: Duration = Duration::from_secs(10);

/// Every how many of those pauses the balances are read while nothing is: each minute.
const IDLE_EVERY: u64 = 6;

/// After how many pauses windows are forgotten that have ended: an hour.
const FORGET_EVERY: u64 = 360;

/// What the signers held when they were last asked, and when that was.
#[derive(Debug, Default)]
pub struct Held(Mutex<HashMap<LaneId, (Amount, Timestamp)>>);

impl Held {
    fn note(&self, lane: &LaneId, balance: Amount, at: Timestamp) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(lane.clone(), (balance, at));
    }

    /// The signer's; none before it was read.
    #[must_use]
    pub fn of(&self, lane: &LaneId) -> Option<(Amount, Timestamp)> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(lane).copied()
    }
}

/// Reads the balances until told to stop. Between two readings, and while the chain cannot be asked, the last one stands.
pub async fn run(app: &App, track: &Track, stop: &CancellationToken) {
    let mut round: u64 = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        round = round.wrapping_add(1);
        let (lanes, retired) = (track.rail.lanes(), track.rail.retired());
        let all_able = track.board.able(lanes).len().saturating_add(retired.len()) == lanes.len();
        let is_quiet = track.board.is_idle() && all_able;
        if !is_quiet || round.is_multiple_of(IDLE_EVERY) {
            guarded(look(app, track)).await;
        }
        if round.is_multiple_of(FORGET_EVERY)
            && let Some(Err(fault)) = guarded(app.store.budgets_forget()).await
        {
            tracing::warn!(error = %fault, "windows of the budgets that have ended are kept");
        }
    }
}

/// Reads the balances once.
pub async fn look(app: &App, track: &Track) {
    let lanes = track.rail.lanes();
    match track.rail.balances().await {
        Ok(balances) => {
            let could_pay = !track.board.able(lanes).is_empty();
            for (lane, balance) in lanes.iter().zip(balances) {
                note(app, track, lane, balance).await;
            }
            tell(app, track, could_pay).await;
        }
        Err(fault) => {
            tracing::warn!(rail.id = %track.rail.id(), error = %fault, "could not read the signers' balances");
        }
    }
}

async fn note(app: &App, track: &Track, lane: &LaneId, balance: Amount) {
    track.held.note(lane, balance, app.clock.now());
    let purse = track.rail.purse();
    let left = settlements_left(balance, purse.settlement_max);
    let labels = [("network", lane.network.to_string()), ("signer", lane.signer.clone())];
    metrics::gauge!("facilitator_signer_balance", &labels).set(coins(balance, purse.decimals));
    metrics::gauge!("facilitator_signer_settlements_left", &labels).set(u32::try_from(left).unwrap_or(u32::MAX));
    let is_poor = balance < purse.balance_min;
    if !track.board.set_poor(lane, is_poor) {
        return;
    }
    if is_poor {
        tracing::warn!(
            lane = %lane, balance = %balance, balance.min = %purse.balance_min, settlements.left = left,
            "signer runs dry: it takes on no more payments until it is funded"
        );
    } else {
        tracing::info!(lane = %lane, balance = %balance, settlements.left = left, "signer has enough again");
    }
    let data = json!({
        "network": lane.network.as_str(),
        "signer": lane.signer,
        "balance": balance.to_string(),
        "settlementsLeft": left,
    });
    put_on_record(
        app,
        if is_poor { SIGNER_LOW } else { SIGNER_FUNDED },
        &lane.to_string(),
        &data,
    )
    .await;
}

/// Other processes see the same, and what is not told now is still logged and measured.
async fn put_on_record(app: &App, kind: &str, subject: &str, data: &Value) {
    if let Err(fault) = app.store.notice_turn(kind, subject, data).await {
        tracing::warn!(subject, kind, error = %fault, "the event could not be put on record");
    }
}

/// Says it when a network can no longer be paid on, or can again.
async fn tell(app: &App, track: &Track, could_pay: bool) {
    let can_pay = !track.board.able(track.rail.lanes()).is_empty();
    match (could_pay, can_pay) {
        (true, false) => {
            tracing::error!(rail.id = %track.rail.id(), "network withdrawn: none of its signers holds enough to settle");
        }
        (false, true) => tracing::info!(rail.id = %track.rail.id(), "network offered again: a signer is funded"),
        (true, true) | (false, false) => {}
    }
    let network = track.rail.id().network.to_string();
    if could_pay != can_pay {
        let kind = if can_pay { NETWORK_RESTORED } else { NETWORK_WITHDRAWN };
        put_on_record(app, kind, &network, &json!({"network": network})).await;
    }
    metrics::gauge!("facilitator_network_withdrawn", "network" => network).set(u32::from(!can_pay));
}

/// In whole coins, as metrics have them: about, from 2^53 of the smallest unit on.
fn coins(amount: Amount, decimals: u8) -> f64 {
    format!("{amount}e-{decimals}").parse().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "each is the nearest number there is")]
    fn balances_are_whole_coins_as_metrics() {
        for (units, decimals, coin) in [
            (0, 18, 0.0),
            (5_000, 9, 0.000_005),
            (1_500_000_000_000_000_000, 18, 1.5),
            (7, 0, 7.0),
        ] {
            assert_eq!(coins(Amount::from_units(units), decimals), coin);
        }
    }
}
