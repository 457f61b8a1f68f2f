//! Eyes on the chain: looks for every open settlement, asks the state machine what follows, and puts that on record.
//! Also has bytes sent again that the chain has not taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::board::{Claim, Look};
use crate::app::{App, Track, deliver};
use crate::domain::id::PaymentId;
use crate::domain::outcome::Outcome;
use crate::domain::rail::{Observation, Pace, Sighting, TxId, Watched};
use crate::domain::settlement::{Event, Settlement, State, Step, apply, next_step};
use crate::store::{Advance, Record, StoreFault};
use crate::task::guarded;
use crate::trace;

/// The first pause after a transaction was sent: chains that mine at once are seen at once.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// Watches one rail until told to stop.
pub async fn run(app: &Arc<App>, track: &Track, stop: &CancellationToken) {
    let mut rhythm = Rhythm::new();
    loop {
        let pause = rhythm.pause(track);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = track.board.stirred() => rhythm.quicken(),
            () = track.rail.hint() => rhythm.quicken(),
            () = pause => {}
        }
        match guarded(look(app, track)).await {
            Some(Ok(())) => {}
            Some(Err(fault)) => {
                tracing::warn!(rail.id = %track.rail.id(), error = %fault, "could not look at the chain");
                rhythm.slow_down();
            }
            None => rhythm.slow_down(),
        }
        guarded(async {
            deliver::again(track).await;
            track.board.sweep();
        })
        .await;
    }
}

/// How long to pause between looks: at first hardly, then longer and longer up to the rail's pace.
struct Rhythm {
    pause: Duration,
}

impl Rhythm {
    fn new() -> Self {
        Self { pause: FIRST_PAUSE }
    }

    async fn pause(&mut self, track: &Track) {
        let pace = track.rail.pace();
        if track.board.is_idle() {
            std::future::pending::<()>().await;
        }
        let pause = if track.board.is_busy() {
            self.pause.min(pace.poll)
        } else {
            slow(pace)
        };
        self.pause = self.pause.saturating_mul(2).min(pace.poll);
        tokio::time::sleep(pause).await;
    }

    fn quicken(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    fn slow_down(&mut self) {
        self.pause = Duration::from_secs(1);
    }
}

fn slow(pace: &Pace) -> Duration {
    pace.block_time.max(pace.poll)
}

#[derive(Debug, thiserror::Error)]
enum LookFault {
    #[error(transparent)]
    Rail(#[from] crate::domain::rail::RailFault),
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// One look at the chain and everything that follows from it.
async fn look(app: &App, track: &Track) -> Result<(), LookFault> {
    if track.board.take_doubt() {
        let reconciled = app.reconcile(track, &State::OPEN).await;
        reconciled.inspect_err(|_| track.board.keep_doubt())?;
    }
    let looks = track.board.looks(track.rail.pace());
    let unmined = track.board.unmined();
    if looks.is_empty() && unmined.is_empty() {
        return Ok(());
    }
    let watched: Vec<Watched<'_>> = looks.iter().map(watched).collect();
    let sighting = track.rail.observe(&watched, &unmined).await?;
    track.board.seen(sighting.head);
    let mut advances = Vec::new();
    let mut to_sign = Vec::new();
    for look in &looks {
        let Some(seen) = sighting.payments.get(&look.record.id) else {
            continue;
        };
        match follow(app, look, seen) {
            Some(Next::Advance(advance)) => advances.push(*advance),
            Some(Next::Sign { alone }) => to_sign.push((look.record.id, alone)),
            None => {}
        }
    }
    // First what callers wait for, then the slots, then what is over: that needs the cost of its slot, and nobody looks
    // for its transactions any more. A second try needs its first slot on record as spent.
    let (over, under_way): (Vec<_>, Vec<_>) = advances.into_iter().partition(|it| is_over(&it.event));
    record(app, track, &under_way).await?;
    note_mined(app, track, &looks, &sighting).await?;
    meter(app, &under_way).await?;
    let network = &track.rail.id().network;
    app.store.transactions_dead(network, &sighting.dead).await?;
    track.board.note_dead(&sighting.dead);
    record(app, track, &over).await?;
    for (id, alone) in to_sign {
        track.board.enqueue(id, alone);
    }
    Ok(())
}

/// Puts what it has cost in the place of the worst case of what is settled or set back. Whatever is missed here is done
/// when the payment is over.
async fn meter(app: &App, advances: &[Advance<'_>]) -> Result<(), StoreFault> {
    let done = advances.iter().filter(|it| {
        matches!(
            it.event,
            Event::Confirmed(_) | Event::LateSettled(_) | Event::SetBack(_)
        )
    });
    let done: Vec<PaymentId> = done.map(|it| it.record.id).collect();
    if done.is_empty() {
        return Ok(());
    }
    app.store.budgets_meter(&done).await
}

const fn is_over(event: &Event) -> bool {
    matches!(event, Event::Finalized(_) | Event::Failed(_) | Event::Withdrawn)
}

fn watched(look: &Look) -> Watched<'_> {
    let record = &look.record;
    Watched {
        payment: record.id,
        authorization: &record.authorization,
        txs: &look.txs,
        landed: record.settlement.landed(),
        since_height: record.since_height,
        seek: look.seek,
    }
}

enum Next<'a> {
    Advance(Box<Advance<'a>>),
    Sign { alone: bool },
}

/// What the state machine makes of an observation.
fn follow<'a>(app: &App, look: &'a Look, seen: &Observation) -> Option<Next<'a>> {
    let record: &'a Record = &look.record;
    // Known from the slots, which no block shows.
    let seen = match (seen, &record.settlement) {
        (Observation::Unseen { .. }, Settlement::InFlight { .. }) if look.is_stranded() => &Observation::Stranded,
        _ => seen,
    };
    match next_step(&record.settlement, seen, record.authorization.window, app.clock.now()) {
        Step::Sign { alone } => Some(Next::Sign { alone }),
        Step::Record(event) => match apply(record.settlement.clone(), &event) {
            Ok(next) => Some(Next::Advance(Box::new(Advance { record, event, next }))),
            Err(illegal) => {
                tracing::error!(payment.id = %record.id, error = %illegal, "broken invariant");
                None
            }
        },
        Step::Wait | Step::Stop => None,
    }
}

async fn record(app: &App, track: &Track, advances: &[Advance<'_>]) -> Result<(), StoreFault> {
    if advances.is_empty() {
        return Ok(());
    }
    let waiting = waiting(track, advances);
    let answers: Vec<(PaymentId, &[u8])> = waiting.iter().map(|it| (it.payment, it.answer.as_slice())).collect();
    let done = app
        .store
        .settlements_advance_granting(advances, &answers)
        .await
        .inspect_err(|_| track.board.doubt())?;
    // A claim that was not granted is dropped, and its caller hears that.
    for it in waiting.into_iter().filter(|it| done.granted.contains(&it.payment)) {
        it.claim.grant(it.settled, it.answer);
    }
    let mut next: BTreeMap<PaymentId, &Advance<'_>> = advances.iter().map(|it| (it.record.id, it)).collect();
    for id in done.moved {
        if let Some(advance) = next.remove(&id) {
            log(advance);
            time(track, advance);
            tell(track, advance);
            track.board.moved(advance);
        }
    }
    readmit_reversed(app, track, advances).await?;
    // Somebody else moved these since we looked: take the database's word.
    for id in next.into_keys() {
        if let Some(current) = app.store.payment_get(id).await? {
            track.board.replace(current);
        }
    }
    Ok(())
}

/// A caller who waits for a payment that is about to be confirmed, and the answer in its words.
struct Waiting {
    payment: PaymentId,
    claim: Claim,
    settled: Outcome,
    answer: Vec<u8>,
}

/// The first caller for each payment that is about to be confirmed: its grant shares the commit.
fn waiting(track: &Track, advances: &[Advance<'_>]) -> Vec<Waiting> {
    let confirmed = advances.iter().filter_map(|advance| match &advance.event {
        Event::Confirmed(landed) | Event::LateSettled(landed) => Some((advance.record, landed)),
        Event::Signed(_)
        | Event::SetBack(_)
        | Event::Reversed
        | Event::Finalized(_)
        | Event::Failed(_)
        | Event::Withdrawn
        | Event::Reopened => None,
    });
    confirmed
        .filter_map(|(record, landed)| {
            let claim = track.board.take_claim(record)?;
            let (payment, payer) = (record.id, record.authorization.payer.clone());
            let tx = landed.tx.clone();
            let settled = Outcome::Settled { payment, payer, tx };
            let answer = (claim.caller.encode)(&settled);
            Some(Waiting {
                payment,
                claim,
                settled,
                answer,
            })
        })
        .collect()
}

/// A reorganization took back transactions of ours: their bytes must go out again.
async fn readmit_reversed(app: &App, track: &Track, advances: &[Advance<'_>]) -> Result<(), StoreFault> {
    let reversed = advances.iter().filter(|it| it.event == Event::Reversed);
    let txs: Vec<TxId> = reversed.flat_map(|it| it.record.txs.iter().cloned()).collect();
    if txs.is_empty() {
        return Ok(());
    }
    app.take_back(track, &txs).await
}

fn log(advance: &Advance<'_>) {
    let (id, event) = (advance.record.id, advance.event.as_str());
    metrics::counter!(
        "facilitator_settlements_total",
        "network" => advance.record.network.to_string(),
        "event" => event
    )
    .increment(1);
    match &advance.event {
        Event::Reversed => tracing::warn!(payment.id = %id, event, "payment reversed by a reorganization"),
        Event::SetBack(_) | Event::Failed(_) => tracing::warn!(payment.id = %id, event, "payment not settled"),
        Event::LateSettled(_) => {
            tracing::warn!(payment.id = %id, event, "payment settled after it was said that it was not");
        }
        Event::Signed(_) | Event::Confirmed(_) | Event::Finalized(_) | Event::Withdrawn | Event::Reopened => {
            tracing::info!(payment.id = %id, event, "payment advanced");
        }
    }
}

/// Measures how long the payment took to be confirmed.
fn time(track: &Track, advance: &Advance<'_>) {
    let Event::Confirmed(_) = advance.event else {
        return;
    };
    if let Some(took) = track.board.known_for(advance.record.id) {
        let network = advance.record.network.to_string();
        metrics::histogram!("facilitator_settlement_confirmed_seconds", "network" => network).record(took);
    }
}

/// Tells whoever follows the payment's trace.
pub(super) fn tell(track: &Track, advance: &Advance<'_>) {
    let (record, event) = (advance.record, advance.event.as_str());
    let network = record.network.to_string();
    let tx = advance.next.landed().map(|it| it.tx.to_string());
    let mut about = vec![("network", network.as_str())];
    about.extend(tx.as_deref().map(|tx| ("tx.id", tx)));
    for (payment, took) in track.board.stood_for(&[record.id]) {
        trace::stage(payment, event, took, &about);
    }
    if is_over(&advance.event) {
        trace::whole(record.id, record.created_at.into(), &network, event);
    }
}

/// Puts newly mined transactions on record, and those that a reorganization took back.
async fn note_mined(app: &App, track: &Track, looks: &[Look], sighting: &Sighting) -> Result<(), StoreFault> {
    let network = &track.rail.id().network;
    let looked_for: Vec<TxId> = looks
        .iter()
        .filter(|look| look.record.settlement.state() == State::InFlight)
        .flat_map(|look| look.txs.iter().cloned())
        .collect();
    let (fresh, vanished) = track.board.mined_news(&looked_for, &sighting.mined);
    if !vanished.is_empty() {
        app.store.transactions_reorganized(network, &vanished).await?;
    }
    if !fresh.is_empty() {
        app.store.transactions_mined(network, &fresh).await?;
    }
    track.board.note_mined(&fresh, &vanished);
    Ok(())
}
