//! `/v1/events`: all that happens, in order. As pages for whoever asks, as a stream (server-sent events) for whoever waits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::app::feed::{Ear, Feed, Part};
use crate::domain::event::KINDS;
use crate::http::Edge;
use crate::http::access::Seen;
use crate::http::error::Denied;
use crate::http::records::{self, malformed};
use crate::store::{FEED_PAGE_MAX, Happening, Place, StoreFault};
use crate::wire::NETWORK_UNKNOWN;

/// Streams that may be open at once.
pub(super) const STREAMS_MAX: usize = 64;

/// Events on a page when the caller does not say, and those that a stream reads together.
const PAGE_DEFAULT: u16 = 100;

/// How long events are gathered for a stream: many streams, and many events, cost the database no more than that.
const GATHERED: Duration = Duration::from_millis(200);

/// How often a stream on which nothing happens says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

const KNOWN: &str = "of after, limit and type, each at most once and not empty";
const CURSOR: &str = "a nextCursor or the id of a streamed event, of this database, or now";

/// `GET /v1/events`.
pub(super) async fn answer(Seen(edge): Seen, headers: HeaderMap, uri: Uri) -> Response {
    let accepts = |value: &axum::http::HeaderValue| value.to_str().is_ok_and(|it| it.contains("text/event-stream"));
    if !headers.get_all(ACCEPT).iter().any(accepts) {
        return records::answer(page(&edge, &uri).await);
    }
    match streamed(edge, &headers, &uri).await {
        Ok(response) => response,
        Err(denied) => denied.answer(None, NETWORK_UNKNOWN),
    }
}

/// What is asked for.
struct Question {
    after: Option<String>,
    limit: u16,
    kinds: Vec<String>,
}

impl Question {
    fn read(uri: &Uri) -> Result<Self, Denied> {
        let mut keys = records::keys(uri, KNOWN)?;
        let limit = keys.limit(PAGE_DEFAULT, FEED_PAGE_MAX)?;
        let types = format!("of {}, with commas between them", KINDS.join(", "));
        let kinds = keys.several("type", &types, |name| KINDS.contains(&name).then(|| name.to_owned()))?;
        let after = keys.take("after");
        keys.end(KNOWN)?;
        Ok(Self { after, limit, kinds })
    }
}

/// Where to begin; with everything, if nothing is said.
async fn begin(feed: &Feed, key: &str, after: Option<&str>) -> Result<Place, Denied> {
    match after {
        None => Ok(Place::BEGINNING),
        Some("now") => Ok(feed.end().await?),
        Some(text) => {
            let place = text.parse().map_err(|_| malformed(key, CURSOR))?;
            // One from another server, or from before a backup was put back, would silently wait for ages.
            if place > feed.end().await? {
                return Err(malformed(key, CURSOR));
            }
            Ok(place)
        }
    }
}

async fn page(edge: &Edge, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let question = Question::read(uri)?;
    let after = begin(&edge.parts.feed, "after", question.after.as_deref()).await?;
    let part = edge.parts.feed.part(after, question.limit, &question.kinds).await?;
    let view = PageView {
        events: raw(&part.entries),
        next_cursor: part.next.to_string(),
        has_more: part.has_more,
    };
    Ok(serde_json::to_vec(&view).unwrap_or_default())
}

/// `GET /v1/settlements/{id}/events`.
pub(super) async fn history(Seen(edge): Seen, id: Result<Path<String>, PathRejection>) -> Response {
    records::answer(told(&edge, id).await)
}

async fn told(edge: &Edge, id: Result<Path<String>, PathRejection>) -> Result<Vec<u8>, Denied> {
    let happened = edge.parts.feed.of(records::id(id)?).await?;
    if happened.is_empty() {
        return Err(Denied::no_such_payment());
    }
    let events = raw(&happened);
    Ok(serde_json::to_vec(&History { events }).unwrap_or_default())
}

#[derive(Serialize)]
struct History {
    events: Vec<Box<RawValue>>,
}

fn raw(entries: &[Happening]) -> Vec<Box<RawValue>> {
    let json = |it: &Happening| RawValue::from_string(it.event.json()).ok();
    entries.iter().filter_map(json).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView {
    events: Vec<Box<RawValue>>,
    next_cursor: String,
    has_more: bool,
}

async fn streamed(edge: Edge, headers: &HeaderMap, uri: &Uri) -> Result<Response, Denied> {
    let question = Question::read(uri)?;
    let seat = Arc::clone(&edge.streams)
        .try_acquire_owned()
        .map_err(|_| Denied::too_busy())?;
    // A client that comes back says what it had last, whatever it had asked for first.
    let last = headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or_default());
    let place = match last {
        Some(_) => begin(&edge.parts.feed, "Last-Event-ID header", last).await?,
        None => begin(&edge.parts.feed, "after", question.after.as_deref()).await?,
    };
    let source = Source {
        ear: edge.parts.feed.ear(GATHERED),
        app: edge.parts.app,
        feed: edge.parts.feed,
        place,
        kinds: question.kinds,
        ready: VecDeque::new(),
        _seat: seat,
    };
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("");
    Ok(Sse::new(source.events()).keep_alive(heartbeat).into_response())
}

/// What one stream is fed from. Ends when the process is to stop or the database does not answer; the client comes back with
/// the id of the last event that it had.
struct Source {
    app: Arc<App>,
    feed: Feed,
    ear: Ear,
    place: Place,
    kinds: Vec<String>,
    ready: VecDeque<Happening>,
    _seat: OwnedSemaphorePermit,
}

impl Source {
    fn events(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream::unfold(self, async |mut source| {
            let entry = source.next().await?;
            let event = sse::Event::default()
                .id(entry.place.to_string())
                .data(entry.event.json());
            Some((Ok(event), source))
        })
    }

    async fn next(&mut self) -> Option<Happening> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(entry);
            }
            let app = Arc::clone(&self.app);
            tokio::select! {
                biased;
                () = app.leaves() => return None,
                more = self.more() => match more {
                    Ok(()) => {}
                    Err(fault) => {
                        tracing::warn!(error = %fault, "an event stream ends");
                        return None;
                    }
                },
            }
        }
    }

    /// Reads what comes next; waits when that is nothing.
    async fn more(&mut self) -> Result<(), StoreFault> {
        let Part {
            entries,
            next,
            has_more,
        } = self.feed.part(self.place, PAGE_DEFAULT, &self.kinds).await?;
        self.place = next;
        self.ready.extend(entries);
        if self.ready.is_empty() && !has_more {
            self.ear.listen().await;
        }
        Ok(())
    }
}
