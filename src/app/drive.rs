//! A lane at work: take what is waiting, make sure it is still wanted, sign it, put that on record, and only then let
//! it out. The only caller of [`Rail::sign`](crate::domain::rail::Rail::sign).
//!
//! One effect per step (one database transaction or one call to the chain), so that a crash anywhere is nothing
//! but a stop: whatever is on record is picked up again from there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::app::board::{Cargo, CargoItem};
use crate::app::{App, Track, deliver};
use crate::domain::authorization::Authorization;
use crate::domain::id::PaymentId;
use crate::domain::rail::{LaneId, Quote, RailFault, SignedTx};
use crate::domain::rejection::Rejection;
use crate::domain::settlement::{Event, Setback, Settlement, apply};
use crate::domain::verdict::{check_window, judge_facts};
use crate::store::{Advance, IntendFault};

/// The pause after a dependency failed, before the lane tries again.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(500);

/// How many block times the chain's word about a payment is good for; after that it is asked again before we sign.
const FACTS_GOOD_FOR_BLOCKS: u32 = 2;

/// Works for one lane until told to stop. Ends between two steps, never within one.
pub async fn run(app: &Arc<App>, track: &Track, lane: &LaneId, stop: &CancellationToken) {
    if prepare(app, track, lane, stop).await.is_none() {
        return;
    }
    loop {
        let cargo = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            cargo = track.board.next_cargo(lane, track.rail.pace()) => cargo,
        };
        let ids: Vec<PaymentId> = cargo.items.iter().map(|item| item.record.id).collect();
        let is_retry = cargo.is_retry;
        if let Err(fault) = carry(app, track, lane, cargo).await {
            tracing::warn!(lane = %lane, payments = ids.len(), error = %fault, "lane paused");
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE_AFTER_FAULT) => {}
            }
            track.board.release(&ids);
            for id in ids {
                track.board.enqueue(id, is_retry);
            }
        } else {
            track.board.release(&ids);
        }
    }
}

/// Makes sure that the lane is on record, starting at the chain's nonce when it is new. None when it must not be
/// used, or when told to stop.
async fn prepare(app: &App, track: &Track, lane: &LaneId, stop: &CancellationToken) -> Option<()> {
    loop {
        match nonces(app, track, lane).await {
            Ok((ours, Some(chains))) if ours < chains => {
                let message = "lane closed: the chain has seen transactions of this signer that are not on record, so \
                    somebody else signs with its key or the database was restored from an old copy";
                tracing::error!(lane = %lane, lane.next_nonce = ours, chain.next_nonce = chains, message);
                return None;
            }
            Ok((ours, _)) => {
                tracing::info!(lane = %lane, lane.next_nonce = ours, "lane ready");
                return Some(());
            }
            Err(fault) => tracing::warn!(lane = %lane, error = %fault, "lane not ready"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(PAUSE_AFTER_FAULT) => {}
        }
    }
}

/// The lane's next nonce on record and, where the chain counts nonces, on the chain.
async fn nonces(app: &App, track: &Track, lane: &LaneId) -> Result<(u64, Option<u64>), String> {
    let chains = track.rail.lane_nonce(lane).await.map_err(|fault| fault.to_string())?;
    let ours = app
        .store
        .lane_prepare(lane, chains.unwrap_or_default())
        .await
        .map_err(|fault| fault.to_string())?;
    Ok((ours, chains))
}

/// Takes one cargo from the queue to the chain.
async fn carry(app: &App, track: &Track, lane: &LaneId, cargo: Cargo) -> Result<(), RailFault> {
    let is_retry = cargo.is_retry;
    let asked = join_all(cargo.items.iter().map(|item| still_wanted(app, track, item))).await;
    let mut wanted = Vec::with_capacity(cargo.items.len());
    for (item, answer) in cargo.items.into_iter().zip(asked) {
        match answer {
            Wanted::Yes => wanted.push(item.record),
            Wanted::Later => {}
            Wanted::No(rejection) => give_up(app, track, &item, &rejection).await,
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let quote = affordable(lane, track.rail.quote().await?)?;
    let ids: Vec<PaymentId> = wanted.iter().map(|record| record.id).collect();
    let sign = |nonce: u64, claimed: &[PaymentId]| -> Result<Vec<SignedTx>, RailFault> {
        let aboard: Vec<&Authorization> = wanted
            .iter()
            .filter(|it| claimed.contains(&it.id))
            .map(|it| &it.authorization)
            .collect();
        track.rail.sign(lane, nonce, &aboard, &quote)
    };
    match app.store.lane_intend(lane, &ids, is_retry, &sign).await {
        // Somebody else moved them: the record tells.
        Ok(intents) if intents.is_empty() => {
            track.board.doubt();
            Ok(())
        }
        Ok(intents) => {
            for intent in &intents {
                track.board.signed(lane, intent.nonce, &intent.tx, &intent.payments);
            }
            let deliveries = intents
                .iter()
                .map(|it| deliver::first(track, lane, &it.tx.id, &it.tx.raw, it.payments.len()));
            join_all(deliveries).await;
            Ok(())
        }
        Err(IntendFault::Sign(fault)) => Err(fault),
        // They may have moved.
        Err(IntendFault::Store(fault)) => {
            track.board.doubt();
            Err(RailFault {
                operation: "intend",
                network: lane.network.clone(),
                cause: fault.to_string(),
            })
        }
    }
}

/// The quote, unless nothing signed for it could be mined now.
fn affordable(lane: &LaneId, quote: Quote) -> Result<Quote, RailFault> {
    if quote.is_affordable() {
        return Ok(quote);
    }
    Err(RailFault {
        operation: "quote",
        network: lane.network.clone(),
        cause: format!(
            "the fee cap allows {} and the chain asks for at least {}",
            quote.fee_max, quote.floor
        ),
    })
}

enum Wanted {
    Yes,
    No(Rejection),
    /// Nothing can be said now; the watch puts it in line again.
    Later,
}

/// Asks the clock, and if the chain's last word is old the chain too, whether the payment would still go through:
/// a revert costs us gas.
async fn still_wanted(app: &App, track: &Track, item: &CargoItem) -> Wanted {
    let (now, pace) = (app.clock.now(), track.rail.pace());
    let authorization = &item.record.authorization;
    if let Err(rejection) = check_window(authorization, now, 1) {
        return Wanted::No(rejection);
    }
    let good_for = pace.block_time.saturating_mul(FACTS_GOOD_FOR_BLOCKS).as_secs().max(1);
    if item.facts_at.is_some_and(|at| now.since(at) <= good_for) {
        return Wanted::Yes;
    }
    let facts = match track.rail.inspect(authorization).await {
        Ok(facts) => facts,
        Err(fault) => {
            tracing::warn!(payment.id = %item.record.id, error = %fault, "not signed for now");
            return Wanted::Later;
        }
    };
    match judge_facts(authorization, &facts) {
        Ok(()) => Wanted::Yes,
        // Somebody used it: not ours to judge here, the watch looks for what it was used for.
        Err(Rejection::NonceUsed { .. }) => Wanted::Later,
        Err(rejection) => Wanted::No(rejection),
    }
}

/// The payment would not go through. If nothing was ever signed, nothing will be: it is withdrawn, and may be
/// presented again. Otherwise the setback stands, and the chain has the last word.
async fn give_up(app: &App, track: &Track, item: &CargoItem, rejection: &Rejection) {
    let record = &*item.record;
    let event = match &record.settlement {
        Settlement::InFlight { tx, .. } => Event::SetBack(Setback::Reverted { tx: tx.clone() }),
        Settlement::Reserved
        | Settlement::Confirmed { .. }
        | Settlement::Final { .. }
        | Settlement::Failed { .. }
        | Settlement::Withdrawn => Event::Withdrawn,
    };
    let Ok(next) = apply(record.settlement.clone(), &event) else {
        return;
    };
    let advance = Advance {
        record,
        event,
        next: next.clone(),
    };
    match app.store.settlements_advance_granting(&[advance], &[]).await {
        Ok(done) if done.moved.contains(&record.id) => {
            tracing::info!(payment.id = %record.id, reason = %rejection, "payment given up");
            match next {
                Settlement::Withdrawn => track.board.withdrawn(record.id, rejection),
                Settlement::Reserved
                | Settlement::InFlight { .. }
                | Settlement::Confirmed { .. }
                | Settlement::Final { .. }
                | Settlement::Failed { .. } => track.board.moved(record.id, next),
            }
        }
        Ok(_) => {}
        Err(fault) => {
            tracing::warn!(payment.id = %record.id, error = %fault, "giving up is not on record yet");
            track.board.doubt();
        }
    }
}
