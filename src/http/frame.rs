//! What every request passes on its way in and out: a name, a place, a span, a count.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures_util::FutureExt;
use metrics::SharedString;
use tokio::sync::Semaphore;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::app::App;
use crate::domain::id::PaymentId;
use crate::http::error::Denied;
use crate::http::{Endpoint, ROUTES, Route, admin, operator, rates};
use crate::trace;
use crate::wire::NETWORK_UNKNOWN;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of a request id that a caller gives.
const REQUEST_ID_MAX: usize = 64;

/// How much is let in.
struct Door {
    seats: Semaphore,
    /// Who counts how often each address asks; nobody at the operator's listener.
    app: Option<Arc<App>>,
}

/// The routes with all that is common to them, and answers for whatever is no route. At most `in_flight_max`
/// requests are under way at once, and `app` says how many each address may send.
pub(super) fn around(routes: Router, in_flight_max: usize, app: Option<Arc<App>>) -> Router {
    let seats = Semaphore::new(in_flight_max.min(Semaphore::MAX_PERMITS));
    let door = Arc::new(Door { seats, app });
    routes
        .fallback(async || Denied::no_such_route().answer(None, NETWORK_UNKNOWN))
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(door, frame))
}

async fn wrong_method(request: Request) -> Response {
    let endpoint = route_of(&request).map(|route| route.endpoint);
    Denied::wrong_method().answer(endpoint, NETWORK_UNKNOWN)
}

async fn frame(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = route_of(&request);
    let path = route.map_or_else(|| of_operator(&request), |route| route.path);
    let id = request_id(request.headers());
    let span = tracing::info_span!(
        "request",
        request.id = id.to_str().unwrap_or_default(),
        http.method = request.method().as_str(),
        http.route = path,
        http.status = Empty,
        payment.id = Empty,
        duration_ms = Empty,
    );

    let endpoint = route.map(|route| route.endpoint);
    let header = |name: &str| request.headers().get(name)?.to_str().ok().map(str::to_owned);
    let traced = trace::request(request.method().as_str(), path, header);
    let answer = let_in(&door, endpoint, request, next).instrument(traced.clone());
    let mut response = answer.instrument(span.clone()).await;
    let payment = response.extensions().get::<PaymentId>().copied();
    if let Some(payment) = payment {
        span.record("payment.id", tracing::field::display(payment));
    }
    trace::answered(&traced, response.status().as_u16(), payment);

    let headers = response.headers_mut();
    // What may be kept says so itself.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_ID, id);
    note(&span, endpoint, path, &response, began);
    response
}

/// Runs the handler if its client may ask and there is room for it. What it takes is given back when the client goes away,
/// too. Operators are never turned away who ask how it goes.
async fn let_in(door: &Door, endpoint: Option<Endpoint>, request: Request, next: Next) -> Response {
    let is_health = endpoint.is_some_and(Endpoint::is_health);
    if let Some(app) = door.app.as_ref().filter(|_| !is_health)
        && let Err(refusal) = rates::pass_address(app.turnstile(), &request)
    {
        return Denied::from(refusal).answer(endpoint, NETWORK_UNKNOWN);
    }
    let _seat = match door.seats.try_acquire() {
        Ok(seat) => Some(seat),
        Err(_) if is_health => None,
        Err(_) => return Denied::too_busy().answer(endpoint, NETWORK_UNKNOWN),
    };
    // The handler's state is shared only through types that survive a panic, or is dropped with it.
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    answer.await.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        Denied::bug().answer(endpoint, NETWORK_UNKNOWN)
    })
}

fn note(span: &Span, endpoint: Option<Endpoint>, path: &'static str, response: &Response, began: Instant) {
    let elapsed = began.elapsed().as_secs_f64();
    let status = response.status();
    span.record("http.status", status.as_u16());
    span.record("duration_ms", elapsed * 1000.0);
    // Questions that change nothing come by the thousand a second: noise, unless one looks for them.
    let is_question = endpoint.is_some_and(|it| it.is_health() || it == Endpoint::Verify);
    if is_question && status.is_success() {
        span.in_scope(|| tracing::debug!("answered"));
    } else {
        span.in_scope(|| tracing::info!("answered"));
    }
    let labels = [
        ("route", SharedString::const_str(path)),
        ("status", status.as_str().to_owned().into()),
    ];
    metrics::counter!("facilitator_http_requests_total", &labels).increment(1);
    metrics::histogram!("facilitator_http_duration_seconds", "route" => path).record(elapsed);
}

/// The route that serves the request, by its path alone.
fn route_of(request: &Request) -> Option<&'static Route> {
    let path = request.extensions().get::<MatchedPath>()?;
    ROUTES.iter().find(|route| route.path == path.as_str())
}

/// The path that only the operator's or the admin's listener serves, for logs and metrics.
fn of_operator(request: &Request) -> &'static str {
    let path = request.extensions().get::<MatchedPath>();
    path.and_then(|it| operator::path_of(it.as_str()).or_else(|| admin::path_of(it.as_str())))
        .unwrap_or("unmatched")
}

/// The caller's name for the request where it is fit to be logged and repeated, else one of ours.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_fit = |value: &&HeaderValue| {
        (1..=REQUEST_ID_MAX).contains(&value.len())
            && value
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    if let Some(given) = headers.get(REQUEST_ID).filter(is_fit) {
        return given.clone();
    }
    let mut text = Uuid::encode_buffer();
    let minted = Uuid::now_v7().simple().encode_lower(&mut text);
    HeaderValue::from_str(minted).unwrap_or(HeaderValue::from_static("none"))
}
