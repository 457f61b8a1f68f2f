//! Tells others of what happens: what the feed holds goes to each endpoint that is interested, at least once, and a payment's
//! events in their order.
//!
//! Any number of processes do this at once and do one another no harm. What fails is tried again after anything up to 10 s,
//! 20 s, 40 s and so on up to 4 h, for 3 days; an endpoint's `Retry-After` is kept, up to 4 h. While an event of a payment
//! waits, those after it wait too. Nothing is waited for by whoever settles.

pub mod sign;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::sign::{Keys, headers};
use crate::app::SystemClock;
use crate::app::feed::{Feed, Part};
use crate::domain::event::Event;
use crate::domain::id::EndpointId;
use crate::domain::signing::Secret;
use crate::domain::tenant::TenantId;
use crate::domain::time::Clock;
use crate::outbound::{Answer, Outbound, Unheard};
use crate::seeded::Bug;
use crate::store::{Claim, DateTime, Endpoint, FEED_PAGE_MAX, Happening, Patience, Place, Store, StoreFault, Utc};
use crate::task::{Tasks, guarded};

/// Deliveries under way at once, at one endpoint and at all of them.
const AT_ONE_MAX: usize = 16;
const AT_ALL_MAX: usize = 64;

/// For how long a delivery is claimed: somewhat longer than one may take.
const TERM: Duration = Duration::from_secs(15);

/// How long news are gathered before they are looked at.
const GATHERED: Duration = Duration::from_millis(5);

/// The longest pause after the first failed attempt; twice as long after each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_hours(4);

/// For how long a delivery is tried, and for how long an endpoint may fail throughout until it is told no more.
const DELIVERY_PATIENCE: Duration = Duration::from_hours(72);
const ENDPOINT_PATIENCE: Duration = Duration::from_hours(120);

/// For how long deliveries are kept, and how often those that are older are looked for.
const KEPT: Duration = Duration::from_hours(720);
const TIDIED_EVERY: Duration = Duration::from_mins(1);

/// How long a process that is to stop waits for what is under way; what is cut off is delivered again.
const LEAVING_PATIENCE: Duration = Duration::from_secs(3);

/// HTTP 410: the endpoint wants no more.
const GONE: u16 = 410;

/// Where webhooks may go.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Also to addresses that are not public, and without TLS: for trying it on one's own machine.
    pub allow_private: bool,
}

/// What tells the endpoints.
pub struct Dispatcher {
    store: Store,
    feed: Feed,
    post: Post,
    /// Told of each delivery that has ended here.
    freed: Notify,
}

/// How one event is sent to one endpoint.
#[derive(Clone)]
pub struct Post {
    outbound: Outbound,
    secret: Secret,
}

impl Post {
    /// Sends by `outbound`, signed with what comes of `secret`.
    #[must_use]
    pub const fn new(outbound: Outbound, secret: Secret) -> Self {
        Self { outbound, secret }
    }

    /// What the endpoint's deliveries are signed with now, the newest first.
    #[must_use]
    pub fn keys(&self, endpoint: &Endpoint) -> Vec<Keys> {
        let previous = endpoint.generation.saturating_sub(u64::from(endpoint.has_previous));
        let generations = (previous..=endpoint.generation).rev();
        generations
            .map(|it| Keys::derive(&self.secret, endpoint.id, it))
            .collect()
    }

    /// Sends the event once.
    ///
    /// # Errors
    /// Why nothing came back.
    pub async fn send(&self, endpoint: &Endpoint, event: &Event) -> Result<Answer, Unheard> {
        let target = self.outbound.target(&endpoint.url).map_err(|_| Unheard::Private)?;
        let body = event.json();
        let headers = headers(&self.keys(endpoint), &event.id.to_string(), SystemClock.now().0, &body);
        self.outbound.post(&target, &headers, body).await
    }
}

/// Room for what is under way here, in all and by endpoint.
struct Seats {
    all: Arc<Semaphore>,
    at: HashMap<EndpointId, Arc<Semaphore>>,
}

/// A delivery's seats; given back with this value.
struct Seat(#[expect(dead_code, reason = "held, not read")] [OwnedSemaphorePermit; 2]);

impl Seats {
    fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(AT_ALL_MAX)),
            at: HashMap::new(),
        }
    }

    fn at(&mut self, endpoint: EndpointId) -> &Arc<Semaphore> {
        self.at
            .entry(endpoint)
            .or_insert_with(|| Arc::new(Semaphore::new(AT_ONE_MAX)))
    }

    fn free(&mut self, endpoint: EndpointId) -> usize {
        self.at(endpoint).available_permits().min(self.all.available_permits())
    }

    /// A seat; none when there is no room.
    fn take(&mut self, endpoint: EndpointId) -> Option<Seat> {
        let at = Arc::clone(self.at(endpoint)).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Seat([at, all]))
    }
}

/// Parts of the feed that were read, by whose they are and where they begin.
type Parts = HashMap<(Option<TenantId>, Place), Part>;

/// What one round of the dispatcher needs of those before.
struct Round {
    dispatcher: Arc<Dispatcher>,
    tasks: Tasks,
    seats: Seats,
    /// As they were when the feed was looked at last.
    endpoints: Vec<Endpoint>,
}

impl Round {
    /// Hands what is new to the endpoints, if anything may be, and begins to deliver what is due there. True when there is
    /// more that is new.
    async fn go(&mut self, is_news: bool) -> Result<bool, StoreFault> {
        let mut has_more = false;
        if is_news {
            self.endpoints = self.dispatcher.store.endpoints_served().await?;
            let mut parts = HashMap::new();
            for endpoint in &self.endpoints {
                has_more |= self.dispatcher.hand_out(endpoint, &mut parts).await?;
            }
        }
        for endpoint in &self.endpoints {
            let free = self.seats.free(endpoint.id);
            if free == 0 {
                continue;
            }
            for claim in self.dispatcher.store.deliveries_claim(endpoint.id, free, TERM).await? {
                let seat = self.seats.take(endpoint.id);
                self.deliver(endpoint.clone(), claim, seat);
            }
        }
        Ok(has_more)
    }

    /// Delivers in the background. Once the process is to stop, what is under way may end within moments.
    fn deliver(&self, endpoint: Endpoint, claim: Claim, seat: Option<Seat>) {
        let (dispatcher, stop) = (Arc::clone(&self.dispatcher), self.tasks.stop_signal());
        self.tasks.spawn("webhook", async move {
            let left = async {
                stop.cancelled().await;
                tokio::time::sleep(LEAVING_PATIENCE).await;
            };
            tokio::select! {
                done = guarded(dispatcher.deliver(&endpoint, claim)) => if let Some(Err(fault)) = done {
                    tracing::warn!(
                        endpoint = %endpoint.id, error = %fault,
                        "what became of a delivery is not on record; it is made again"
                    );
                },
                () = left => {}
            }
            drop(seat);
            dispatcher.freed.notify_one();
        });
    }
}

impl Dispatcher {
    /// Tells the endpoints on these records.
    #[must_use]
    pub fn new(store: Store, post: Post) -> Self {
        Self {
            feed: Feed::new(store.clone()),
            store,
            post,
            freed: Notify::new(),
        }
    }

    /// Delivers what is due, in the background, until told to stop.
    pub fn start(self, tasks: &Tasks) {
        let (it, stop) = (Arc::new(self), tasks.stop_signal());
        let (tidied, stopped) = (Arc::clone(&it), stop.clone());
        tasks.spawn("webhooks_tidy", async move { tidied.tidy(&stopped).await });
        let tasks_of_it = tasks.clone();
        tasks.spawn("webhooks", async move { it.run(&tasks_of_it, &stop).await });
    }

    async fn run(self: &Arc<Self>, tasks: &Tasks, stop: &CancellationToken) {
        let mut round = Round {
            dispatcher: Arc::clone(self),
            tasks: tasks.clone(),
            seats: Seats::new(),
            endpoints: Vec::new(),
        };
        let (mut ear, mut is_news) = (self.feed.ear(GATHERED), true);
        loop {
            let has_more = match guarded(round.go(is_news)).await {
                Some(Ok(has_more)) => has_more,
                Some(Err(fault)) => {
                    tracing::warn!(error = %fault, "could not look for what is to be delivered");
                    false
                }
                None => false,
            };
            is_news = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = std::future::ready(()), if has_more => true,
                () = ear.listen() => true,
                () = self.freed.notified() => false,
            };
        }
    }

    /// Puts the next part of the feed among the endpoint's deliveries. Endpoints that are equally far share one reading.
    async fn hand_out(&self, endpoint: &Endpoint, parts: &mut Parts) -> Result<bool, StoreFault> {
        let part = match parts.entry((endpoint.tenant, endpoint.cursor)) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                let feed = endpoint.tenant.map(|it| self.feed.seen_by(it));
                let feed = feed.as_ref().unwrap_or(&self.feed);
                unknown.insert(feed.part(endpoint.cursor, FEED_PAGE_MAX, &[]).await?)
            }
        };
        if part.next == endpoint.cursor {
            return Ok(false);
        }
        let wants = |entry: &&Happening| endpoint.kinds.is_empty() || endpoint.kinds.contains(&entry.event.kind);
        let wanted: Vec<&Happening> = part.entries.iter().filter(wants).collect();
        Ok(self.store.deliveries_add(endpoint, &wanted, part.next).await? && part.has_more)
    }

    /// Makes the delivery, and then those of the payment's later events that are due by that.
    async fn deliver(&self, endpoint: &Endpoint, first: Claim) -> Result<(), StoreFault> {
        let mut claim = Some(first);
        while let Some(it) = claim {
            let is_done = self.attempt(endpoint, &it).await?;
            claim = match it.event.of_payment() {
                Some((payment, _)) if is_done => self.store.delivery_claim_of(endpoint.id, payment, TERM).await?,
                _ => None,
            };
        }
        Ok(())
    }

    /// True when the endpoint has it.
    async fn attempt(&self, endpoint: &Endpoint, claim: &Claim) -> Result<bool, StoreFault> {
        let id = endpoint.id;
        if Bug::DispatcherForgets.is_on() {
            self.store.delivery_done(id, claim, "taken for delivered").await?;
        }
        let answer = self.post.send(endpoint, &claim.event).await;
        let outcome = answer.map_or_else(|unheard| unheard.to_string(), |it| format!("HTTP {}", it.status));
        if answer.is_ok_and(|it| (200..300).contains(&it.status)) {
            count("delivered");
            let took = Utc::now()
                .signed_duration_since(claim.event.at)
                .to_std()
                .unwrap_or_default();
            metrics::histogram!("facilitator_webhook_delivery_seconds").record(took);
            tracing::debug!(endpoint = %id, event = %claim.event.id, attempt = claim.attempt, "event delivered");
            self.store.delivery_done(id, claim, &outcome).await?;
            return Ok(true);
        }
        let asked = answer.ok().and_then(|it| it.retry_after);
        let patience = patience(claim.attempt, asked.map(|it| it.from(now())));
        let (given_up, mut is_disabled) = self.store.delivery_failed(id, claim, &outcome, patience).await?;
        if answer.is_ok_and(|it| it.status == GONE) {
            is_disabled = self
                .store
                .endpoint_disable(id, "the endpoint said that it is gone", None)
                .await?;
        }
        count(if given_up { "given_up" } else { "failed" });
        tracing::info!(
            endpoint = %id, event = %claim.event.id, attempt = claim.attempt, outcome, given_up,
            "event not delivered"
        );
        if is_disabled {
            tracing::warn!(endpoint = %id, outcome, "endpoint disabled: it is told no more until an operator enables it");
        }
        Ok(false)
    }

    /// Forgets old deliveries and measures how long the oldest one waits, until told to stop.
    async fn tidy(&self, stop: &CancellationToken) {
        loop {
            if let Some(Err(fault)) = guarded(self.look_after()).await {
                tracing::warn!(error = %fault, "could not look after the deliveries");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TIDIED_EVERY) => {}
            }
        }
    }

    async fn look_after(&self) -> Result<(), StoreFault> {
        while self.store.deliveries_forget(KEPT).await? > 0 {}
        let endpoints = self.store.endpoints_list().await?;
        let served = endpoints.iter().filter(|it| it.disabled_because.is_none());
        let oldest = served.filter_map(|it| it.waiting_since).min();
        let now = i64::try_from(SystemClock.now().0).unwrap_or(i64::MAX);
        let age = oldest.map_or(0, |since| now.saturating_sub(since.timestamp()).max(0));
        metrics::gauge!("facilitator_webhook_backlog_seconds").set(u32::try_from(age).unwrap_or(u32::MAX));
        let hidden = self.store.feed_hidden_for().await?;
        metrics::gauge!("facilitator_feed_hidden_seconds").set(u32::try_from(hidden).unwrap_or(u32::MAX));
        Ok(())
    }
}

fn now() -> DateTime<Utc> {
    let seconds = i64::try_from(SystemClock.now().0).ok();
    seconds
        .and_then(|it| DateTime::from_timestamp(it, 0))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn count(outcome: &'static str) {
    metrics::counter!("facilitator_webhook_deliveries_total", "outcome" => outcome).increment(1);
}

/// How to go on after this attempt has failed.
fn patience(attempt: u64, asked: Option<Duration>) -> Patience {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    Patience {
        least: asked.unwrap_or_default().min(PAUSE_MAX),
        most: PAUSE_FIRST
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(PAUSE_MAX),
        of_delivery: DELIVERY_PATIENCE,
        of_endpoint: ENDPOINT_PATIENCE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s04_pauses_double_up_to_four_hours_and_what_is_asked_for_is_kept_within_that() {
        let most = |attempt| patience(attempt, None).most.as_secs();
        assert_eq!([1, 2, 3, 4, 11].map(most), [10, 20, 40, 80, 10_240]);
        assert_eq!([12, 100, u64::MAX].map(most), [14_400; 3]);
        let least = |seconds| patience(1, Some(Duration::from_secs(seconds))).least.as_secs();
        assert_eq!([0, 60, 86_400, u64::MAX].map(least), [0, 60, 14_400, 14_400]);
    }

    #[test]
    fn an_endpoint_that_hangs_leaves_seats_for_the_others() {
        let (mut seats, hanging, other) = (Seats::new(), EndpointId::mint(), EndpointId::mint());
        let mut held: Vec<Option<Seat>> = (0..AT_ONE_MAX).map(|_| seats.take(hanging)).collect();
        assert_eq!((seats.free(hanging), seats.free(other)), (0, AT_ONE_MAX));
        assert!(seats.take(hanging).is_none());
        held.pop();
        assert_eq!(seats.free(hanging), 1);
        let all: Vec<Option<Seat>> = (0..AT_ALL_MAX).map(|_| seats.take(EndpointId::mint())).collect();
        assert_eq!(all.iter().flatten().count(), AT_ALL_MAX - held.len());
        assert_eq!((seats.free(hanging), seats.free(other)), (0, 0));
    }
}
