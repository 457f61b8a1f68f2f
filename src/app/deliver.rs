//! Hands bytes that are on record to the chain, the first time and again.
//!
//! Whatever a node says, only the chain decides: its words choose what to look at and what to send next, and never move
//! a payment.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use crate::app::Track;
use crate::app::board::Due;
use crate::domain::rail::{Delivery, LaneId, Refusal, TxId};
use crate::seeded::Bug;

/// Where a node did not say that it has them, bytes are handed over again sooner.
const REDELIVER_UNACKNOWLEDGED: Duration = Duration::from_secs(1);

/// How many transactions are handed over again at the same time.
const REDELIVERIES_MAX: usize = 16;

/// Lets bytes out for the first time, now that they are on record. Those that do not get through are sent again by the
/// watch.
pub async fn first(track: &Track, lane: &LaneId, tx: &TxId, raw: &[u8], payments: usize) {
    if deliver(track, lane, tx, raw).await {
        tracing::info!(lane = %lane, tx.id = %tx, payments, "transaction sent");
    }
    metrics::counter!("facilitator_transactions_sent_total", "network" => lane.network.to_string()).increment(1);
    track.board.stir();
}

/// Sends again what the chain has not taken: the same bytes, always safe.
pub async fn again(track: &Track) {
    if Bug::SentOnce.is_on() {
        return;
    }
    let due = track
        .board
        .due_for_delivery(track.rail.pace().redeliver, REDELIVER_UNACKNOWLEDGED);
    let send = async |Due { lane, tx, raw }: Due| {
        if deliver(track, &lane, &tx, &raw).await {
            tracing::info!(lane = %lane, tx.id = %tx, "transaction sent again");
        }
    };
    stream::iter(due).for_each_concurrent(REDELIVERIES_MAX, send).await;
}

/// Hands the bytes over, and follows the node's hint. True when it has them.
async fn deliver(track: &Track, lane: &LaneId, tx: &TxId, raw: &[u8]) -> bool {
    match track.rail.deliver(raw).await {
        Delivery::Accepted | Delivery::Known => {
            track.board.acknowledged(tx);
            set_funded(track, lane, true);
            return true;
        }
        // It has one of ours, and the dearer one's time comes.
        Delivery::Refused(Refusal::NotOutbid, why) => {
            track.board.acknowledged(tx);
            tracing::info!(lane = %lane, tx.id = %tx, error = %why, "the node keeps another transaction of the slot");
        }
        // Sending it again brings nothing; looking does.
        Delivery::Refused(Refusal::NonceSpent, why) => {
            track.board.acknowledged(tx);
            track.board.stir();
            if Bug::NonceTooLowGivesUp.is_on() {
                track.board.note_dead(std::slice::from_ref(tx));
            }
            tracing::info!(lane = %lane, tx.id = %tx, error = %why, "the node knows a transaction with this nonce in a block");
        }
        Delivery::Refused(Refusal::NonceAhead, why) => {
            track.board.resend_below(tx);
            tracing::warn!(lane = %lane, tx.id = %tx, error = %why, "the node misses what comes before: sent again");
        }
        Delivery::Refused(Refusal::OutOfFunds, why) => {
            if set_funded(track, lane, false) {
                tracing::warn!(
                    lane = %lane, tx.id = %tx, error = %why,
                    "lane paused: its signer cannot pay for transactions; it goes on once it is funded"
                );
            }
        }
        Delivery::Refused(Refusal::Other, why) | Delivery::Unknown(why) => {
            tracing::warn!(lane = %lane, tx.id = %tx, error = %why, "transaction not acknowledged");
            if Bug::UnknownGivesUp.is_on() {
                track.board.note_dead(std::slice::from_ref(tx));
            }
        }
    }
    false
}

/// True when that is news.
fn set_funded(track: &Track, lane: &LaneId, is_funded: bool) -> bool {
    let is_news = track.board.set_funded(lane, is_funded);
    if is_news {
        metrics::gauge!(
            "facilitator_lane_out_of_funds",
            "network" => lane.network.to_string(),
            "signer" => lane.signer.clone()
        )
        .set(u32::from(!is_funded));
    }
    is_news
}
