//! Who asks: `Authorization: Bearer`, where there are tenants. Where there are none, nobody is asked who he is.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::app::gate::{Gate, NotLetIn};
use crate::app::turnstile::Whose;
use crate::domain::request::PaymentRequest;
use crate::domain::tenant::{Access, Scope};
use crate::domain::token::{self, Bound, Token};
use crate::http::error::Denied;
use crate::http::{Edge, Endpoint, ROUTES, body};
use crate::wire::NETWORK_UNKNOWN;

impl Endpoint {
    /// What a key must be for to be let in here; none where no key is asked for.
    pub(super) const fn scope(self) -> Option<Scope> {
        match self {
            Self::Verify => Some(Scope::Verify),
            Self::Settle => Some(Scope::Settle),
            Self::Lookup
            | Self::Payment
            | Self::Settlements
            | Self::Settlement
            | Self::History
            | Self::Receipt
            | Self::PaymentRefunds
            | Self::Refunds
            | Self::Refund
            | Self::Events
            | Self::Exceptions
            | Self::Statements
            | Self::Statement
            | Self::StatementLines
            | Self::StatementLine => Some(Scope::Read),
            Self::ReportOrder | Self::Report | Self::ReportContent | Self::GatewayFile => Some(Scope::Reports),
            Self::RefundRecord | Self::RefundCancel | Self::ExceptionActions | Self::ClaimText | Self::Claim => {
                Some(Scope::Admin)
            }
            Self::Supported | Self::Keys | Self::Live | Self::Ready | Self::Version => None,
        }
    }
}

/// Lets the request in with what it may do, or answers it.
pub(super) async fn enter(State((gate, app)): State<(Gate, Arc<App>)>, request: Request, next: Next) -> Response {
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map(|it| it.as_str().to_owned());
    let route = |method: &str| {
        ROUTES
            .iter()
            .find(|it| Some(it.path) == path.as_deref() && it.method == method)
    };
    // One path may have several methods, and `HEAD` goes with `GET`; one that there is not is answered as ever.
    let method = request.method().as_str();
    let route = route(if method == "HEAD" { "GET" } else { method });
    let Some((endpoint, scope)) = route.and_then(|it| Some((it.endpoint, it.endpoint.scope()?))) else {
        return next.run(request).await;
    };
    match let_in(&gate, &app, endpoint, scope, request).await {
        Ok(request) => next.run(request).await,
        Err(denied) => denied.answer(Some(endpoint), NETWORK_UNKNOWN),
    }
}

/// The request with what it may do, if whoever sends it may, and not too often.
async fn let_in(
    gate: &Gate,
    app: &App,
    endpoint: Endpoint,
    scope: Scope,
    mut request: Request,
) -> Result<Request, Denied> {
    let presented = bearer(request.headers());
    let (access, bound) = match presented.filter(|text| is_token(text)) {
        None => (gate.enter(presented, scope).await?, None),
        Some(text) => {
            let token = Token::read(text).map_err(NotLetIn::from)?;
            let path = request.uri().path_and_query().map_or("", |it| it.as_str());
            let method = request.method().as_str();
            let asked = token::Request { method, path };
            let (access, bound) = gate.enter_by_token(&token, asked, app.now(), scope).await?;
            (access, Some(bound))
        }
    };
    app.turnstile().pass(Whose::Key, || access.key.to_string())?;
    request.extensions_mut().insert(access);
    match bound {
        None => Ok(request),
        Some(bound) => held_against(request, endpoint, &bound).await,
    }
}

/// A token has three parts with dots between them; a key has none.
fn is_token(text: &str) -> bool {
    text.contains('.')
}

/// The same request, whose body is the one that its token was made for.
async fn held_against(request: Request, endpoint: Endpoint, bound: &Bound) -> Result<Request, Denied> {
    let (head, body) = request.into_parts();
    let body = body::read_unseen(body, endpoint == Endpoint::GatewayFile).await?;
    bound.check(&body).map_err(NotLetIn::from)?;
    Ok(Request::from_parts(head, body.into()))
}

/// The bearer's token (RFC 6750, section 2.1); the scheme's name in any case.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// What the endpoints ask, as far as whoever asks may see it.
pub(super) struct Seen(pub(super) Edge);

impl FromRequestParts<Edge> for Seen {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Infallible> {
        Ok(Self(match parts.extensions.get::<Access>() {
            Some(access) => edge.seen_by(access),
            None => edge.clone(),
        }))
    }
}

impl Edge {
    fn seen_by(&self, access: &Access) -> Self {
        let mut edge = self.clone();
        edge.parts.books = self.parts.books.seen_by(access.tenant);
        edge.parts.refunds = self.parts.refunds.seen_by(access.tenant);
        edge.parts.feed = self.parts.feed.seen_by(access.tenant);
        edge.access = Some(access.clone());
        edge
    }

    /// Makes the payment the tenant's of whoever asks, if he may ask for it.
    pub(super) async fn admit(&self, request: &mut PaymentRequest) -> Result<(), NotLetIn> {
        let (Some(access), Some(gate)) = (&self.access, &self.parts.gate) else {
            return Ok(());
        };
        let canonical = |text: &str| self.parts.books.canonical(text).unwrap_or_else(|| text.to_owned());
        let (asset, pay_to) = (canonical(&request.terms.asset), canonical(&request.terms.pay_to));
        gate.admit(access, &request.rail.network, &asset, &pay_to).await?;
        request.tenant = access.tenant;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_one_header_of_its_scheme_alone() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer a"]).as_deref(), Some("a"));
        assert_eq!(read(&["bearer  a "]).as_deref(), Some("a"));
        for none in [&[][..], &["Basic a"], &["Bearer"], &["a"], &["Bearer a", "Bearer b"]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn every_route_that_shows_or_changes_a_record_asks_for_a_key() {
        let open: Vec<&str> = ROUTES
            .iter()
            .filter(|it| it.endpoint.scope().is_none())
            .map(|it| it.path)
            .collect();
        assert_eq!(
            open,
            [
                "/supported",
                "/.well-known/jwks.json",
                "/health/live",
                "/health/ready",
                "/version"
            ]
        );
        for route in ROUTES.iter().filter(|it| it.endpoint.scope() == Some(Scope::Read)) {
            assert_eq!(route.method, "GET", "{}", route.path);
        }
    }
}
