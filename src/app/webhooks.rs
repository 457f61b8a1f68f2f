//! Tells others of what happens: what the feed holds goes to each endpoint that is interested, at least once, and a payment's
//! events in their order.
//!
//! Any number of processes do this at once and do one another no harm. What fails is tried again after anything up to 10 s,
//! 20 s, 40 s and so on up to 4 h, for 3 days; an endpoint's `Retry-After` is kept, up to 4 h. While an event of a payment
//! waits, those after it wait too. Nothing is waited for by whoever settles.

pub mod sign;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::sign::{Keys, headers};
use crate::app::SystemClock;
use crate::app::feed::{Feed, Part};
use crate::domain::event::Event;
use crate::domain::id::EndpointId;
use crate::domain::signing::Secret;
use crate::domain::time::Clock;
use crate::outbound::{Answer, Outbound, Unheard};
use crate::seeded::Bug;
use crate::store::{Claim, Endpoint, FEED_PAGE_MAX, Happening, Patience, Place, Store, StoreFault};
use crate::task::guarded;

/// Deliveries under way at once, at one endpoint and at all of them.
const AT_ONE_MAX: usize = 8;
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

/// What is under way here, by endpoint.
#[derive(Default)]
struct Seats(HashMap<EndpointId, usize>);

impl Seats {
    fn free(&self, endpoint: EndpointId) -> usize {
        let at_one = AT_ONE_MAX.saturating_sub(self.0.get(&endpoint).copied().unwrap_or_default());
        at_one.min(AT_ALL_MAX.saturating_sub(self.0.values().sum()))
    }

    fn take(&mut self, endpoint: EndpointId) {
        let taken = self.0.entry(endpoint).or_default();
        *taken = taken.saturating_add(1);
    }

    fn give(&mut self, endpoint: EndpointId) {
        let taken = self.0.entry(endpoint).or_default();
        *taken = taken.saturating_sub(1);
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
        }
    }

    /// Delivers what is due, until told to stop.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut ear = self.feed.ear(GATHERED);
        let (mut seats, mut under_way) = (Seats::default(), FuturesUnordered::new());
        let mut tidy = std::pin::pin!(self.tidy());
        loop {
            let has_more = match guarded(self.round(&mut seats)).await {
                Some(Ok((claims, has_more))) => {
                    under_way.extend(
                        claims
                            .into_iter()
                            .map(|(endpoint, claim)| self.deliver(endpoint, claim)),
                    );
                    has_more
                }
                Some(Err(fault)) => {
                    tracing::warn!(error = %fault, "could not look for what is to be delivered");
                    false
                }
                None => false,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = &mut tidy => {}
                Some(ended) = under_way.next(), if !under_way.is_empty() => seats.give(ended),
                () = ear.listen(), if !has_more => {}
                () = std::future::ready(()), if has_more => {}
            }
            while let Some(Some(ended)) = under_way.next().now_or_never() {
                seats.give(ended);
            }
        }
        let rest = async { while under_way.next().await.is_some() {} };
        if tokio::time::timeout(LEAVING_PATIENCE, rest).await.is_err() {
            tracing::info!("deliveries were cut off; they are made again");
        }
    }

    /// Hands what is new to the endpoints, and claims what is due there. True when there is more that is new.
    async fn round(&self, seats: &mut Seats) -> Result<(Vec<(Endpoint, Claim)>, bool), StoreFault> {
        let endpoints = self.store.endpoints_served().await?;
        let (mut parts, mut has_more) = (HashMap::new(), false);
        for endpoint in &endpoints {
            has_more |= self.hand_out(endpoint, &mut parts).await?;
        }
        let mut claims = Vec::new();
        for endpoint in endpoints {
            let free = seats.free(endpoint.id);
            if free == 0 {
                continue;
            }
            for claim in self.store.deliveries_claim(endpoint.id, free, TERM).await? {
                seats.take(endpoint.id);
                claims.push((endpoint.clone(), claim));
            }
        }
        Ok((claims, has_more))
    }

    /// Puts the next part of the feed among the endpoint's deliveries. Endpoints that are equally far share one reading.
    async fn hand_out(&self, endpoint: &Endpoint, parts: &mut HashMap<Place, Part>) -> Result<bool, StoreFault> {
        let part = match parts.entry(endpoint.cursor) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                unknown.insert(self.feed.part(endpoint.cursor, FEED_PAGE_MAX, &[]).await?)
            }
        };
        if part.next == endpoint.cursor {
            return Ok(false);
        }
        let wants = |entry: &&Happening| endpoint.kinds.is_empty() || endpoint.kinds.contains(&entry.event.kind);
        let wanted: Vec<&Happening> = part.entries.iter().filter(wants).collect();
        Ok(self.store.deliveries_add(endpoint, &wanted, part.next).await? && part.has_more)
    }

    async fn deliver(&self, endpoint: Endpoint, claim: Claim) -> EndpointId {
        let done = guarded(self.attempt(&endpoint, &claim)).await;
        if let Some(Err(fault)) = done {
            tracing::warn!(endpoint = %endpoint.id, error = %fault, "what became of a delivery is not on record; it is made again");
        }
        endpoint.id
    }

    async fn attempt(&self, endpoint: &Endpoint, claim: &Claim) -> Result<(), StoreFault> {
        let id = endpoint.id;
        if Bug::DispatcherForgets.is_on() {
            self.store.delivery_done(id, claim, "taken for delivered").await?;
        }
        let answer = self.post.send(endpoint, &claim.event).await;
        let outcome = answer.map_or_else(|unheard| unheard.to_string(), |it| format!("HTTP {}", it.status));
        if answer.is_ok_and(|it| (200..300).contains(&it.status)) {
            count("delivered");
            tracing::debug!(endpoint = %id, event = %claim.event.id, attempt = claim.attempt, "event delivered");
            return self.store.delivery_done(id, claim, &outcome).await;
        }
        let patience = patience(claim.attempt, answer.ok().and_then(|it| it.retry_after));
        let (given_up, mut is_disabled) = self.store.delivery_failed(id, claim, &outcome, patience).await?;
        if answer.is_ok_and(|it| it.status == GONE) {
            is_disabled = self
                .store
                .endpoint_disable(id, "the endpoint said that it is gone")
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
        Ok(())
    }

    /// Forgets old deliveries and measures how long the oldest one waits, for ever.
    async fn tidy(&self) {
        loop {
            if let Some(Err(fault)) = guarded(self.look_after()).await {
                tracing::warn!(error = %fault, "could not look after the deliveries");
            }
            tokio::time::sleep(TIDIED_EVERY).await;
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
        Ok(())
    }
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
        let (mut seats, hanging, other) = (Seats::default(), EndpointId::mint(), EndpointId::mint());
        for _ in 0..AT_ONE_MAX {
            seats.take(hanging);
        }
        assert_eq!((seats.free(hanging), seats.free(other)), (0, AT_ONE_MAX));
        seats.give(hanging);
        assert_eq!(seats.free(hanging), 1);
        for _ in 0..AT_ALL_MAX {
            seats.take(EndpointId::mint());
        }
        assert_eq!((seats.free(hanging), seats.free(other)), (0, 0));
    }
}
