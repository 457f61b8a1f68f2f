//! A lane at work: take what is waiting, make sure it is still wanted, sign it, put that on record, and only then let
//! it out. The only caller of [`Rail::sign`](crate::domain::rail::Rail::sign) and
//! [`Rail::sign_ahead`](crate::domain::rail::Rail::sign_ahead).
//!
//! One effect per step (one database transaction or one call to the chain), so that a crash anywhere is nothing
//! but a stop: whatever is on record is picked up again from there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::app::board::{Cargo, CargoItem};
use crate::app::{App, Track, deliver, watch};
use crate::domain::authorization::Authorization;
use crate::domain::budget::Shortage;
use crate::domain::id::PaymentId;
use crate::domain::lease::Lease;
use crate::domain::rail::{LaneId, Quote, RailFault, SignedTx, Unsigned};
use crate::domain::rejection::Rejection;
use crate::domain::settlement::{Event, Setback, Settlement, apply};
use crate::domain::verdict::{check_window, judge_facts};
use crate::seeded::Bug;
use crate::store::{Advance, IntendFault, Intent};
use crate::task::guarded;
use crate::trace;

/// The pause after a dependency failed, before the lane tries again.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(500);

/// The pause after a lane's signer was found to have spent all that it may for now.
const PAUSE_WHILE_SHORT: Duration = Duration::from_secs(1);

/// The longest pause after whoever keeps a signer's key gave no signature.
const PAUSE_WHILE_SILENT_MAX: Duration = Duration::from_secs(4);

/// How many block times the chain's word about a payment is good for; after that it is asked again before we sign.
const FACTS_GOOD_FOR_BLOCKS: u32 = 2;

/// Works for one lane whenever this process drives it, until told to stop. Ends between two steps, never within one.
pub async fn run(app: &Arc<App>, track: &Track, lane: &LaneId, stop: &CancellationToken) {
    // Below it nothing is signed anew, whatever the records say: a database that fails over may forget what it committed.
    let mut signed_below = 0;
    // How often in a row whoever keeps the key gave no signature.
    let mut silences = 0;
    loop {
        let (lease, cargo) = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            next = track.board.next_cargo(lane, track.rail.pace()) => next,
        };
        let ids: Vec<PaymentId> = cargo.items.iter().map(|item| item.record.id).collect();
        let is_retry = cargo.is_retry;
        let carried = guarded(carry(app, track, &lease, cargo, &mut signed_below)).await;
        let halt = match carried {
            Some(Ok(())) => {
                silences = 0;
                track.board.release(&ids);
                continue;
            }
            Some(Err(halt)) => halt,
            None => Halt::Poison("a panic".to_owned()),
        };
        tracing::warn!(lane = %lane, payments = ids.len(), error = %halt, "lane paused");
        match &halt {
            Halt::Poison(_) => track.board.isolate(&ids),
            // Other signers may still send them.
            Halt::Short(shortage) => {
                track.board.note_short(lane, *shortage);
                put_back(track, &ids, is_retry);
            }
            Halt::Silent(_) => {
                silences = u32::saturating_add(silences, 1);
                put_back(track, &ids, is_retry);
            }
            Halt::Fault(_) => {}
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(halt.pause(silences)) => {}
        }
        if !matches!(halt, Halt::Short(_) | Halt::Silent(_)) {
            put_back(track, &ids, is_retry);
        }
    }
}

fn put_back(track: &Track, payments: &[PaymentId], is_retry: bool) {
    track.board.release(payments);
    for id in payments {
        track.board.enqueue(*id, is_retry);
    }
}

/// Why a cargo was not carried.
#[derive(Debug, thiserror::Error)]
enum Halt {
    /// What we depend on could not be asked: it is tried again for as long as it takes.
    #[error(transparent)]
    Fault(#[from] RailFault),
    /// The signer may spend no more for now.
    #[error("{0}")]
    Short(Shortage),
    /// Whoever keeps the signer's key gives no signature now.
    #[error("{0}")]
    Silent(RailFault),
    /// Something about the payments themselves: each is tried again by itself, and not for ever.
    #[error("cannot be signed for: {0}")]
    Poison(String),
}

impl Halt {
    /// How long the lane rests. A budget is looked at again before its window ends, since settlements mostly cost less
    /// than was set aside for them; who gave no signature is asked again ever later, so that the others take what waits.
    fn pause(&self, silences: u32) -> Duration {
        match self {
            Self::Fault(_) | Self::Poison(_) => PAUSE_AFTER_FAULT,
            Self::Short(_) => PAUSE_WHILE_SHORT,
            Self::Silent(_) => {
                let doubled = 2_u32.saturating_pow(silences.saturating_sub(1));
                PAUSE_AFTER_FAULT.saturating_mul(doubled).min(PAUSE_WHILE_SILENT_MAX)
            }
        }
    }
}

/// Takes one cargo from the queue to the chain. Tries that were counted and failed for no reason of the payments' are taken
/// back; where that fails too, they stay counted.
async fn carry(app: &App, track: &Track, lease: &Lease, cargo: Cargo, signed_below: &mut u64) -> Result<(), Halt> {
    let (lane, is_retry) = (&lease.lane, cargo.is_retry);
    let (mut wanted, unfit) = sift(app, track, cargo.items).await;
    if wanted.is_empty() {
        return Ok(());
    }
    let quote = affordable(lane, track.rail.quote().await?)?;
    let suspects = wanted.iter().filter(|item| item.is_suspect).map(|item| item.record.id);
    let mut suspects: Vec<PaymentId> = suspects.collect();
    let barred = count_tries(app, track, lane, &suspects).await?;
    suspects.retain(|id| !barred.contains(id));
    wanted.retain(|item| !barred.contains(&item.record.id));
    if let Some((_, why)) = unfit.into_iter().find(|(id, _)| !barred.contains(id)) {
        return Err(Halt::Poison(why));
    }
    let signed = sign(app, track, lease, &wanted, is_retry, &quote, signed_below).await;
    if matches!(signed, Err(Halt::Fault(_) | Halt::Short(_) | Halt::Silent(_)))
        && !suspects.is_empty()
        && let Err(fault) = app.store.settlements_untry(&suspects).await
    {
        tracing::warn!(lane = %lane, error = %fault, "tries stay counted that failed for no reason of the payments'");
    }
    signed
}

/// Signs for these payments and lets the bytes out, once they are on record.
async fn sign(
    app: &App,
    track: &Track,
    lease: &Lease,
    wanted: &[CargoItem],
    is_retry: bool,
    quote: &Quote,
    signed_below: &mut u64,
) -> Result<(), Halt> {
    let lane = &lease.lane;
    let ids: Vec<PaymentId> = wanted.iter().map(|item| item.record.id).collect();
    let ahead = if track.rail.signs_elsewhere(lane) {
        let ahead = Ahead::look(app, track, lease, &ids, is_retry, signed_below).await?;
        match ahead {
            Some(ahead) => Some(ahead.signed(track, lane, wanted, quote).await?),
            None => return Ok(()),
        }
    } else {
        None
    };
    let unrecorded_txs: Mutex<Vec<SignedTx>> = Mutex::default();
    let floor = *signed_below;
    let sign = |nonce: u64, claimed: &[PaymentId]| -> Result<Vec<SignedTx>, IntendFault> {
        check_floor(nonce, floor)?;
        let signed = match &ahead {
            Some(ahead) if ahead.nonce == nonce && ahead.payments == claimed => ahead.txs.clone(),
            Some(_) => return Err(IntendFault::Unsigned),
            None => track
                .rail
                .sign(lane, nonce, &aboard(wanted, claimed), quote)
                .map_err(IntendFault::Sign)?,
        };
        if Bug::SentWithoutRecord.is_on() {
            unrecorded_txs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(signed.clone());
        }
        Ok(signed)
    };
    let limits = &track.rail.purse().budget.signer;
    match app.store.lane_intend(lease, &ids, is_retry, limits, &sign).await {
        // Somebody else moved them: the record tells.
        Ok(intents) if intents.is_empty() => {
            track.board.doubt();
            Ok(())
        }
        Ok(intents) => {
            *signed_below = intents.last().map_or(floor, |it| it.nonce.saturating_add(1));
            let_out(track, lane, &intents).await;
            Ok(())
        }
        Err(fault) => {
            for tx in unrecorded_txs.into_inner().unwrap_or_else(PoisonError::into_inner) {
                deliver::first(track, lane, &tx.id, &tx.raw, tx.payments).await;
            }
            Err(not_intended(app, track, lane, fault, signed_below).await)
        }
    }
}

/// The authorizations of these payments, in the order in which they are wanted.
fn aboard<'w>(wanted: &'w [CargoItem], payments: &[PaymentId]) -> Vec<&'w Authorization> {
    let aboard = wanted.iter().filter(|it| payments.contains(&it.record.id));
    aboard.map(|it| &it.record.authorization).collect()
}

/// A nonce that was signed with before is not signed with anew, whatever the records say.
fn check_floor(nonce: u64, floor: u64) -> Result<(), IntendFault> {
    if nonce < floor && !Bug::ForgottenNonceSigned.is_on() {
        return Err(IntendFault::Forgotten);
    }
    Ok(())
}

/// Why the lane pauses when nothing was put on record.
async fn not_intended(app: &App, track: &Track, lane: &LaneId, fault: IntendFault, signed_below: &mut u64) -> Halt {
    match fault {
        IntendFault::Sign(fault) => Halt::Poison(fault.to_string()),
        IntendFault::Short(shortage) => Halt::Short(shortage),
        IntendFault::Forgotten => close(app, track, lane, signed_below).await.into(),
        IntendFault::Lost => {
            track.board.lost(lane);
            unrecorded(lane, "the lane is another process's, or closed").into()
        }
        IntendFault::Unsigned => {
            track.board.doubt();
            unrecorded(
                lane,
                "what was signed beforehand is not what is to be signed any more; it is dropped",
            )
            .into()
        }
        // They may have moved.
        IntendFault::Store(fault) => {
            track.board.doubt();
            unrecorded(lane, &fault.to_string()).into()
        }
    }
}

/// What somebody else signs before anything is put on record: that takes as long as he takes, and a database transaction
/// must not wait for him. So the records are asked twice, under the same lease: what would be signed now, and then whether it
/// still is. If it is not, the bytes are dropped.
///
/// Dropping them is safe. They have been here and at the signer, never on record and never sent by us. Should the signer send
/// them all the same, each payment in them moves once (its authorization is good once on the chain) and is seen to by the
/// watch like anybody's transaction; the nonce that they spend is then spent by what is not on record, and that closes the
/// lane (`tenure`), as somebody else's use of the key does.
struct Ahead {
    nonce: u64,
    payments: Vec<PaymentId>,
    txs: Vec<SignedTx>,
}

impl Ahead {
    /// What would be signed now; none when nothing is left to be signed for.
    async fn look(
        app: &App,
        track: &Track,
        lease: &Lease,
        payments: &[PaymentId],
        is_retry: bool,
        signed_below: &mut u64,
    ) -> Result<Option<Self>, Halt> {
        let (seen, floor) = (Mutex::new(None), *signed_below);
        let look = |nonce: u64, claimed: &[PaymentId]| -> Result<Vec<SignedTx>, IntendFault> {
            check_floor(nonce, floor)?;
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((nonce, claimed.to_vec()));
            Err(IntendFault::Unsigned)
        };
        let limits = &track.rail.purse().budget.signer;
        match app.store.lane_intend(lease, payments, is_retry, limits, &look).await {
            Err(IntendFault::Unsigned) => {}
            Ok(_) => track.board.doubt(),
            Err(fault) => return Err(not_intended(app, track, &lease.lane, fault, signed_below).await),
        }
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.map(|(nonce, payments)| Self {
            nonce,
            payments,
            txs: Vec::new(),
        }))
    }

    /// Has it signed.
    async fn signed(self, track: &Track, lane: &LaneId, wanted: &[CargoItem], quote: &Quote) -> Result<Self, Halt> {
        let cargo = aboard(wanted, &self.payments);
        match track.rail.sign_ahead(lane, self.nonce, &cargo, quote).await {
            Ok(txs) => Ok(Self { txs, ..self }),
            Err(Unsigned::Unfit(fault)) => Err(Halt::Poison(fault.to_string())),
            Err(Unsigned::Unheard(fault)) => Err(Halt::Silent(fault)),
        }
    }
}

/// Those that are to be signed for, and why some of them cannot even be asked about: that is a failed try of theirs.
async fn sift(app: &App, track: &Track, items: Vec<CargoItem>) -> (Vec<CargoItem>, Vec<(PaymentId, String)>) {
    let asked = join_all(items.iter().map(|item| guarded(still_wanted(app, track, item)))).await;
    let (mut wanted, mut unfit) = (Vec::with_capacity(items.len()), Vec::new());
    for (item, answer) in items.into_iter().zip(asked) {
        match answer.unwrap_or_else(|| Wanted::Unfit("a panic".to_owned())) {
            Wanted::Yes => wanted.push(item),
            Wanted::Later => {}
            Wanted::No(rejection) => give_up(app, track, &item, &rejection).await,
            Wanted::Unfit(why) => {
                unfit.push((item.record.id, why));
                wanted.push(item);
            }
        }
    }
    (wanted, unfit)
}

/// These are on record: they may leave.
async fn let_out(track: &Track, lane: &LaneId, intents: &[Intent]) {
    let mut waited = Vec::new();
    let network = lane.network.to_string();
    for intent in intents {
        waited.extend(track.board.unsent_for(&intent.payments));
        let tx = intent.tx.id.to_string();
        let about = [("network", network.as_str()), ("signer", &lane.signer), ("tx.id", &tx)];
        for (payment, took) in track.board.stood_for(&intent.payments) {
            trace::stage(payment, "payment.signed", took, &about);
        }
        track.board.signed(lane, intent.nonce, &intent.tx, &intent.payments);
    }
    let deliveries = intents
        .iter()
        .map(|it| deliver::first(track, lane, &it.tx.id, &it.tx.raw, it.payments.len()));
    join_all(deliveries).await;
    let sent = metrics::histogram!("facilitator_settlement_sent_seconds", "network" => network);
    for it in waited {
        sent.record(it);
    }
}

/// Closes a lane whose records have forgotten what was signed in it: that may still be mined, so nothing else may take its
/// nonces. Whoever opens the lane again has looked, so that only the records count from there on.
async fn close(app: &App, track: &Track, lane: &LaneId, signed_below: &mut u64) -> RailFault {
    let message = "lane closed: the next nonce on record has been signed with before, so the database has lost what it \
        had committed, as after a failover";
    tracing::error!(lane = %lane, lane.signed_below = *signed_below, message);
    track.board.lost(lane);
    match app.store.lane_quarantine(lane).await {
        Ok(_) => {
            *signed_below = 0;
            unrecorded(lane, "the lane is closed")
        }
        Err(fault) => unrecorded(lane, &fault.to_string()),
    }
}

fn unrecorded(lane: &LaneId, cause: &str) -> RailFault {
    RailFault {
        operation: "intend",
        network: lane.network.clone(),
        cause: cause.to_owned(),
    }
}

/// Counts, before it is made, another try for those whose last may have failed. Names those that have had all of theirs:
/// they are signed for no more, and end when their window does.
async fn count_tries(
    app: &App,
    track: &Track,
    lane: &LaneId,
    suspects: &[PaymentId],
) -> Result<Vec<PaymentId>, RailFault> {
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let tries = app.store.settlements_try(suspects).await;
    let tries = tries.map_err(|fault| unrecorded(lane, &fault.to_string()))?;
    let barred = track.board.tried(&tries);
    for id in &barred {
        metrics::counter!("facilitator_payments_quarantined_total", "network" => lane.network.to_string()).increment(1);
        tracing::error!(payment.id = %id, "payment quarantined: it could not be signed for, again and again");
    }
    Ok(barred)
}

/// The quote, unless nothing signed for it could be mined now.
fn affordable(lane: &LaneId, quote: Quote) -> Result<Quote, RailFault> {
    if quote.is_affordable() || Bug::UnaffordableSigned.is_on() {
        return Ok(quote);
    }
    let (what, allowed, asked) = if quote.floor > quote.fee_max {
        ("the fee cap", quote.fee_max, quote.floor)
    } else {
        ("the cap of the fee for data", quote.data.max, quote.data.now)
    };
    Err(RailFault {
        operation: "quote",
        network: lane.network.clone(),
        cause: format!("{what} allows {allowed} and the chain asks for at least {asked}"),
    })
}

enum Wanted {
    Yes,
    No(Rejection),
    /// Nothing can be said now; the watch puts it in line again.
    Later,
    /// It cannot even be asked about, for this reason of its own.
    Unfit(String),
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
    if item.facts_at.is_some_and(|at| now.since(at) <= good_for) || Bug::OldFactsTrusted.is_on() {
        return Wanted::Yes;
    }
    // Needs nothing but a body that can be read.
    if let Err(fault) = track.rail.cost_max(authorization, item.record.must_go_alone) {
        return Wanted::Unfit(fault.to_string());
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
    let advance = Advance { record, event, next };
    let written = app
        .store
        .settlements_advance_granting(std::slice::from_ref(&advance), &[])
        .await;
    match written {
        Ok(done) if done.moved.contains(&record.id) => {
            tracing::info!(payment.id = %record.id, reason = %rejection, "payment given up");
            watch::tell(track, &advance);
            match advance.next {
                Settlement::Withdrawn => track.board.withdrawn(record.id, rejection),
                Settlement::Reserved
                | Settlement::InFlight { .. }
                | Settlement::Confirmed { .. }
                | Settlement::Final { .. }
                | Settlement::Failed { .. } => track.board.moved(&advance),
            }
        }
        Ok(_) => {}
        Err(fault) => {
            tracing::warn!(payment.id = %record.id, error = %fault, "giving up is not on record yet");
            track.board.doubt();
        }
    }
}
