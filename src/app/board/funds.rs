//! What the board says of the lanes' money: which can pay, and which may.

use std::time::Duration;

use tokio::time::Instant;

use crate::app::board::Board;
use crate::domain::budget::Shortage;
use crate::domain::rail::LaneId;

/// How long a signer counts as having spent all it may after that was last found. A lane that has payments waiting finds
/// it again within this time.
const SHORT_FOR: Duration = Duration::from_secs(3);

impl Board {
    /// The lane's signer holds less than it must, or enough again. True when that is news.
    #[must_use]
    pub fn set_poor(&self, lane: &LaneId, is_poor: bool) -> bool {
        let mut inner = self.lock();
        let is_news = if is_poor {
            inner.poor.insert(lane.clone())
        } else {
            inner.poor.remove(lane)
        };
        drop(inner);
        if is_news {
            self.queued.notify_waiters();
        }
        is_news
    }

    /// Those of these lanes whose signer holds what it must, as far as is known.
    #[must_use]
    pub fn able(&self, lanes: &[LaneId]) -> Vec<LaneId> {
        let inner = self.lock();
        lanes
            .iter()
            .filter(|lane| !inner.poor.contains(lane) && !inner.retired.contains(lane))
            .cloned()
            .collect()
    }

    /// The lane's signer has spent all that it may for now.
    pub fn note_short(&self, lane: &LaneId, shortage: Shortage) {
        let mut inner = self.lock();
        inner.short.insert(lane.clone(), (shortage, Instant::now()));
    }

    /// What is used up, if all of these lanes' signers have spent what they may; of several what comes back first.
    #[must_use]
    pub fn shortage(&self, lanes: &[LaneId]) -> Option<Shortage> {
        let inner = self.lock();
        let now = Instant::now();
        let short = lanes.iter().map(|lane| {
            let (shortage, at) = inner.short.get(lane)?;
            (now.duration_since(*at) < SHORT_FOR).then_some(*shortage)
        });
        let short: Option<Vec<Shortage>> = short.collect();
        short?.into_iter().min_by_key(|it| it.ends_in)
    }
}
