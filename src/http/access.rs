//! Who asks: `Authorization: Bearer`, where there are tenants. Where there are none, nobody is asked who he is.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use crate::app::gate::{Gate, NotLetIn};
use crate::domain::request::PaymentRequest;
use crate::domain::tenant::{Access, Scope};
use crate::http::error::Denied;
use crate::http::{Edge, Endpoint, ROUTES};
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
            Self::RefundRecord | Self::RefundCancel | Self::ExceptionActions => Some(Scope::Admin),
            Self::Supported | Self::Keys | Self::Live | Self::Ready | Self::Version => None,
        }
    }
}

/// Lets the request in with what it may do, or answers it.
pub(super) async fn enter(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
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
    match gate.enter(bearer(request.headers()), scope).await {
        Ok(access) => {
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        Err(why) => Denied::from(why).answer(Some(endpoint), NETWORK_UNKNOWN),
    }
}

/// The bearer's token (RFC 6750, section 2.1); the scheme's name in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
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
