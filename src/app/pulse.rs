//! Whether the chain goes on. One that stands still settles nothing, so nothing new is begun on it; what is under way waits.
//!
//! Judged by how long, on this process's clock, the chain was seen with one and the same newest block: what the blocks say
//! of the time is the chain's affair, and may be hours off.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::Track;
use crate::task::guarded;

/// How often the chain is looked at within the time after which it counts as standing still.
const LOOKS: u32 = 6;

/// The newest block, and for how long it has been that.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Option<Beat>>);

#[derive(Debug, Clone, Copy)]
struct Beat {
    height: u64,
    first_seen: Instant,
    last_seen: Instant,
}

impl Pulse {
    /// The newest block is this high now. Any other than before is a new one: after a reorganization it may be lower.
    fn note(&self, height: u64) {
        let now = Instant::now();
        let mut beat = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match beat.as_mut().filter(|beat| beat.height == height) {
            Some(beat) => beat.last_seen = now,
            None => {
                *beat = Some(Beat {
                    height,
                    first_seen: now,
                    last_seen: now,
                });
            }
        }
    }

    /// How long the chain was seen without a new block. While it cannot be asked, that does not grow.
    fn paused_for(&self) -> Duration {
        let beat = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beat.map_or(Duration::ZERO, |beat| beat.last_seen.duration_since(beat.first_seen))
    }
}

impl Track {
    /// Whether the chain has made no block for so long that nothing new is begun on it.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.pulse.paused_for() >= self.rail.pace().stalled_after
    }
}

/// Looks at the chain's newest block again and again until told to stop.
pub async fn run(track: &Track, stop: &CancellationToken) {
    let stalled_after = track.rail.pace().stalled_after;
    let every = stalled_after.checked_div(LOOKS).unwrap_or(stalled_after);
    loop {
        guarded(look(track)).await;
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn look(track: &Track) {
    let network = track.rail.id().network.to_string();
    let was_stalled = track.is_stalled();
    match track.rail.head().await {
        Ok(height) => track.pulse.note(height),
        Err(fault) => {
            tracing::warn!(network, error = %fault, "could not see whether the chain goes on");
            return;
        }
    }
    let is_stalled = track.is_stalled();
    match (was_stalled, is_stalled) {
        (false, true) => {
            let seconds = track.pulse.paused_for().as_secs();
            tracing::error!(
                network,
                seconds,
                "the chain makes no blocks: no new settlements are begun on it"
            );
        }
        (true, false) => tracing::info!(network, "the chain makes blocks again"),
        (true, true) | (false, false) => {}
    }
    metrics::gauge!("facilitator_chain_stalled", "network" => network).set(u32::from(is_stalled));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_is_seen_of_the_chain_counts() {
        let pulse = Pulse::default();
        let after = async |seconds| tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(pulse.paused_for(), Duration::ZERO, "not seen yet");
        pulse.note(7);
        after(20).await;
        pulse.note(7);
        assert_eq!(pulse.paused_for(), Duration::from_secs(20));
        after(600).await;
        assert_eq!(pulse.paused_for(), Duration::from_secs(20), "nobody could look");
        pulse.note(8);
        assert_eq!(pulse.paused_for(), Duration::ZERO);
        after(5).await;
        pulse.note(8);
        after(1).await;
        pulse.note(6);
        assert_eq!(pulse.paused_for(), Duration::ZERO, "set back and goes on");
    }
}
