//! Shows operators what is neither settled nor over.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::{App, Track};
use crate::task::guarded;

const EVERY: Duration = Duration::from_secs(5);

/// Shows it until told to stop.
pub async fn run(app: &App, track: &Track, stop: &CancellationToken) {
    loop {
        guarded(async { show(app, track) }).await;
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn show(app: &App, track: &Track) {
    let found = track.board.unsettled(app.clock.now());
    let count = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    let oldest = u32::try_from(found.oldest).unwrap_or(u32::MAX);
    let labels = [("network", track.rail.id().network.to_string())];
    metrics::gauge!("facilitator_settlements_unsettled", &labels).set(count(found.count));
    metrics::gauge!("facilitator_settlements_unsettled_oldest_seconds", &labels).set(oldest);
    metrics::gauge!("facilitator_settlements_unsettled_overdue", &labels).set(count(found.overdue));
}
