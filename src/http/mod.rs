//! How the world asks: HTTP/1.1 in, HTTP/1.1 out. The only place that knows the web framework.
//!
//! Handlers read a request, call one use case of `app` and write its answer; they never sign, send or decide,
//! because a handler's future is dropped when its client goes away. Every answer is JSON, errors included, but for exported
//! statements; and an error of `/verify` or `/settle` has the shape of their answers, since official clients read nothing else.

mod accept;
mod access;
pub mod admin;
mod body;
mod claims;
mod error;
mod events;
mod exceptions;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod health;
mod labels;
mod matching;
pub mod operator;
mod patience;
mod payments;
mod rates;
mod receipts;
mod records;
mod refunds;
mod reports;
mod server;
mod statements;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use tokio::sync::Semaphore;

pub use self::server::{ListenError, serve};
use crate::app::App;
use crate::app::books::Books;
use crate::app::claims::Claims;
use crate::app::feed::Feed;
use crate::app::gate::Gate;
use crate::app::refunds::Refunds;
use crate::domain::receipt::Notary;
use crate::domain::tenant::Access;
use crate::export::Style;

/// Where to listen and how much to take on at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address that sellers reach the facilitator at. Plain HTTP: end TLS in front of it.
    pub listen: SocketAddr,
    /// Requests under way at once; one more is answered 503. Each may wait up to 25 s for a chain.
    pub in_flight_max: usize,
    /// Open connections, at least 1; more wait in the kernel's queue until one closes.
    pub connections_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4020)),
            in_flight_max: 4096,
            connections_max: 8192,
        }
    }
}

/// One route: what `openapi.yaml` describes and the router serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method, in capitals. `HEAD` goes with `GET`.
    pub method: &'static str,
    /// The path, with `{name}` for a parameter.
    pub path: &'static str,
    endpoint: Endpoint,
}

/// Every route of the public listener.
pub const ROUTES: [Route; 31] = [
    Route::post("/verify", Endpoint::Verify),
    Route::post("/settle", Endpoint::Settle),
    Route::get("/supported", Endpoint::Supported),
    Route::get("/payments/lookup", Endpoint::Lookup),
    Route::get("/payments/{id}", Endpoint::Payment),
    Route::get("/v1/settlements", Endpoint::Settlements),
    Route::get("/v1/settlements/{id}", Endpoint::Settlement),
    Route::get("/v1/settlements/{id}/events", Endpoint::History),
    Route::get("/v1/settlements/{id}/receipt", Endpoint::Receipt),
    Route::post("/v1/settlements/{id}/refunds", Endpoint::RefundRecord),
    Route::get("/v1/settlements/{id}/refunds", Endpoint::PaymentRefunds),
    Route::get("/v1/refunds", Endpoint::Refunds),
    Route::get("/v1/refunds/{id}", Endpoint::Refund),
    Route::post("/v1/refunds/{id}/cancel", Endpoint::RefundCancel),
    Route::get("/.well-known/jwks.json", Endpoint::Keys),
    Route::get("/v1/claims/text", Endpoint::ClaimText),
    Route::post("/v1/claims", Endpoint::Claim),
    Route::get("/v1/events", Endpoint::Events),
    Route::get("/v1/reconciliation/exceptions", Endpoint::Exceptions),
    Route::post("/v1/reconciliation/exceptions/{id}/actions", Endpoint::ExceptionActions),
    Route::post("/v1/reconciliation/gateway-files", Endpoint::GatewayFile),
    Route::post("/v1/reports", Endpoint::ReportOrder),
    Route::get("/v1/reports/{id}", Endpoint::Report),
    Route::get("/v1/reports/{id}/content", Endpoint::ReportContent),
    Route::get("/v1/statements", Endpoint::Statements),
    Route::get("/v1/statements/{id}", Endpoint::Statement),
    Route::get("/v1/statements/{id}/lines", Endpoint::StatementLines),
    Route::get("/v1/statements/{id}/lines/{payment}", Endpoint::StatementLine),
    Route::get("/health/live", Endpoint::Live),
    Route::get("/health/ready", Endpoint::Ready),
    Route::get("/version", Endpoint::Version),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Verify,
    Settle,
    Supported,
    Lookup,
    /// The same as a settlement; what gateways poll by.
    Payment,
    Settlements,
    Settlement,
    History,
    Receipt,
    RefundRecord,
    PaymentRefunds,
    Refunds,
    Refund,
    RefundCancel,
    Keys,
    ClaimText,
    Claim,
    Events,
    Exceptions,
    ExceptionActions,
    GatewayFile,
    ReportOrder,
    Report,
    ReportContent,
    Statements,
    Statement,
    StatementLines,
    StatementLine,
    Live,
    Ready,
    Version,
}

impl Route {
    const fn get(path: &'static str, endpoint: Endpoint) -> Self {
        Self {
            method: "GET",
            path,
            endpoint,
        }
    }

    const fn post(path: &'static str, endpoint: Endpoint) -> Self {
        Self {
            method: "POST",
            path,
            endpoint,
        }
    }
}

impl Endpoint {
    fn handler(self) -> MethodRouter<Edge> {
        match self {
            Self::Verify => post(payments::verify),
            Self::Settle => post(payments::settle),
            Self::Supported => get(payments::supported),
            Self::Lookup => get(records::lookup),
            Self::Settlements => get(records::list),
            Self::Payment | Self::Settlement => get(records::get),
            Self::History => get(events::history),
            Self::Receipt => get(receipts::get),
            Self::RefundRecord => post(refunds::record),
            Self::PaymentRefunds => get(refunds::of_payment),
            Self::Refunds => get(refunds::list),
            Self::Refund => get(refunds::one),
            Self::RefundCancel => post(refunds::cancel),
            Self::Keys => get(receipts::keys),
            Self::ClaimText => get(claims::text),
            Self::Claim => post(claims::prove),
            Self::Events => get(events::answer),
            Self::Exceptions => get(exceptions::list),
            Self::ExceptionActions => post(exceptions::act),
            Self::GatewayFile => post(matching::file),
            Self::ReportOrder => post(reports::order),
            Self::Report => get(reports::get),
            Self::ReportContent => get(reports::content),
            Self::Statements => get(statements::list),
            Self::Statement => get(statements::one),
            Self::StatementLines => get(statements::lines),
            Self::StatementLine => get(statements::proof),
            Self::Live => get(health::live),
            Self::Ready => get(health::ready),
            Self::Version => get(health::version),
        }
    }

    /// Operators ask these, and must hear back from a facilitator that is too busy for anybody else.
    const fn is_health(self) -> bool {
        matches!(self, Self::Live | Self::Ready | Self::Version)
    }
}

/// What the endpoints ask.
#[derive(Clone)]
pub struct Parts {
    /// The use cases.
    pub app: Arc<App>,
    /// The records.
    pub books: Books,
    /// Money that goes back.
    pub refunds: Refunds,
    /// What happens.
    pub feed: Feed,
    /// Asks who comes; none where there is one tenant only, and nobody is asked.
    pub gate: Option<Gate>,
    /// Where accounts are claimed.
    pub claims: Claims,
    /// Signs receipts; none where nothing is signed.
    pub notary: Option<Arc<Notary>>,
    /// How statements are written.
    pub style: Style,
}

/// What handlers share.
#[derive(Clone)]
struct Edge {
    parts: Parts,
    /// What whoever asks may do; none where nobody is asked who he is.
    access: Option<Access>,
    /// One for each event stream that may be open.
    streams: Arc<Semaphore>,
    /// Turns at holding a whole statement.
    whole: Arc<Semaphore>,
}

/// The router over all [`ROUTES`]. Build it after the metrics recorder is installed.
pub fn router(parts: Parts, settings: &Settings) -> Router {
    let gate = parts.gate.clone();
    let edge = Edge {
        parts,
        access: None,
        streams: Arc::new(Semaphore::new(events::STREAMS_MAX)),
        whole: Arc::new(Semaphore::new(statements::WHOLE_AT_ONCE)),
    };
    let routes = ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, route.endpoint.handler())
    });
    let app = Arc::clone(&edge.parts.app);
    let mut routes = routes.with_state(edge);
    if let Some(gate) = gate {
        let porter = (gate, Arc::clone(&app));
        routes = routes.route_layer(from_fn_with_state(porter, access::enter));
    }
    frame::around(routes, settings.in_flight_max, Some(app))
}

#[cfg(test)]
mod tests;
