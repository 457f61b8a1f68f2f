//! All that happens, read in order from any place on, and waited for.

use std::time::Duration;

use tokio::sync::watch;

use crate::domain::id::PaymentId;
use crate::domain::tenant::TenantId;
use crate::store::{Happening, Place, Store, StoreFault};

/// The longest pause between two looks at the feed: by then what other processes have committed is seen.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The feed. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    store: Store,
}

/// Some of the feed.
pub struct Part {
    /// Those of the entries that were read that are of the kinds asked for.
    pub entries: Vec<Happening>,
    /// The place after all that were read.
    pub next: Place,
    /// As many were read as could be: there may be more.
    pub has_more: bool,
}

impl Feed {
    /// The feed of these records.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// The same feed, of which it shows this tenant's alone.
    #[must_use]
    pub fn seen_by(&self, tenant: TenantId) -> Self {
        Self::new(self.store.seen_by(tenant))
    }

    /// Reads what comes after this place, at most `limit` entries, and keeps those of these kinds; of all, if none is named.
    /// What is kept costs no more to find the rarer it is.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn part(&self, after: Place, limit: u16, kinds: &[String]) -> Result<Part, StoreFault> {
        let mut entries = self.store.feed_page(after, limit).await?;
        let next = entries.last().map_or(after, |last| last.place);
        let has_more = entries.len() >= usize::from(limit);
        entries.retain(|it| kinds.is_empty() || kinds.contains(&it.event.kind));
        Ok(Part {
            entries,
            next,
            has_more,
        })
    }

    /// What happened to a payment, in order; nothing when there is no such payment.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn of(&self, payment: PaymentId) -> Result<Vec<Happening>, StoreFault> {
        self.store.feed_of(payment).await
    }

    /// The place after all that there is now.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn end(&self) -> Result<Place, StoreFault> {
        self.store.feed_end().await
    }

    /// An ear for what is new, which is heard of at most once in each `least`.
    #[must_use]
    pub fn ear(&self, least: Duration) -> Ear {
        Ear {
            news: self.store.news(),
            least,
            pause: least,
        }
    }
}

/// Waits for news. What this process has committed is heard at once; it may be shown a moment later, so that the next looks
/// come soon too, and then ever more seldom.
pub struct Ear {
    news: watch::Receiver<()>,
    least: Duration,
    pause: Duration,
}

impl Ear {
    /// Resolves when it is time to look: there is news, or there may be.
    pub async fn listen(&mut self) {
        match tokio::time::timeout(self.pause, self.news.changed()).await {
            Ok(_) => {
                self.pause = self.least;
                tokio::time::sleep(self.least).await;
            }
            Err(_) => self.pause = self.pause.saturating_mul(2).min(LOOK_EVERY),
        }
    }
}
