//! The operator's listener: a page to look at everything, and the reading that it does. Off unless it is configured.
//!
//! It trusts whoever reaches it, so it listens at the machine itself unless it is told otherwise, and refuses what a page
//! from elsewhere makes the operator's own browser ask: another name for this address (DNS rebinding), and requests that
//! the browser says come from another site.

mod assets;
mod views;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{Edge, Endpoint, Parts, ROUTES, events, frame, statements};
use crate::app::desk::Desk;
use crate::http::error::Denied;
use crate::wire::NETWORK_UNKNOWN;

/// Connections that may be open, and requests that may be under way: a few people's browsers.
pub(super) const CONNECTIONS_MAX: usize = 256;
const IN_FLIGHT_MAX: usize = 64;

/// Where the operator's page is, if it is anywhere.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address to listen at. Whoever reaches it sees everything and may handle exceptions.
    pub listen: SocketAddr,
    /// It may be an address that other machines reach.
    pub allow_remote: bool,
    /// Names that it is reached by besides `localhost` and addresses, as browsers write them, without the port.
    pub hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4022)),
            allow_remote: false,
            hosts: Vec::new(),
        }
    }
}

impl Settings {
    /// What is wrong with them, and at which key.
    #[must_use]
    pub fn flaw(&self) -> Option<(&'static str, &'static str)> {
        let is_reached = !self.listen.ip().is_loopback() && !self.allow_remote;
        is_reached.then_some((
            "listen",
            "expected an address of this machine alone such as 127.0.0.1:4022, or allow_remote = true: whoever reaches it \
             sees everything",
        ))
    }
}

/// What only the operator's listener serves, all of it by GET. It serves some of [`ROUTES`] too.
pub const PATHS: [&str; 7] = [
    "/v1/operator/about",
    "/v1/operator/payments",
    "/v1/operator/payments/{id}",
    "/v1/operator/signers",
    "/v1/operator/networks",
    "/v1/operator/volume",
    "/v1/operator/webhooks",
];

/// The path as it is called in logs and metrics; none that this listener alone does not serve.
pub(super) fn path_of(path: &str) -> Option<&'static str> {
    let is_file = path == "/" || path.starts_with("/assets/");
    let of_file = is_file.then_some("page");
    of_file.or_else(|| PATHS.into_iter().find(|it| *it == path))
}

/// Those of the public routes that the page reads, and the one by which it handles exceptions.
const SHARED: [Endpoint; 11] = [
    Endpoint::Lookup,
    Endpoint::Settlement,
    Endpoint::History,
    Endpoint::Receipt,
    Endpoint::PaymentRefunds,
    Endpoint::Refund,
    Endpoint::Events,
    Endpoint::Exceptions,
    Endpoint::ExceptionActions,
    Endpoint::Ready,
    Endpoint::Version,
];

/// What the operator's handlers share.
#[derive(Clone)]
struct Counter {
    desk: Desk,
    edge: Edge,
}

/// The page, what it reads, and nothing by which anything is verified or settled.
pub fn router(parts: Parts, desk: Desk, settings: &Settings) -> Router {
    let edge = Edge {
        parts,
        access: None,
        streams: Arc::new(Semaphore::new(events::STREAMS_MAX)),
        whole: Arc::new(Semaphore::new(statements::WHOLE_AT_ONCE)),
    };
    let shared = ROUTES.iter().filter(|route| SHARED.contains(&route.endpoint));
    let shared = shared.fold(Router::new(), |router, route| {
        router.route(route.path, route.endpoint.handler())
    });
    let reading = views::routes().with_state(Counter {
        desk,
        edge: edge.clone(),
    });
    let routes = shared.with_state(edge).merge(reading).merge(assets::routes());
    let names: Arc<[String]> = settings.hosts.iter().map(|it| it.to_ascii_lowercase()).collect();
    frame::around(routes, IN_FLIGHT_MAX, None).layer(from_fn_with_state(names, guard))
}

async fn guard(State(names): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let mut response = if is_at_home(request.method(), request.headers(), &names) {
        next.run(request).await
    } else {
        Denied::from_elsewhere().answer(None, NETWORK_UNKNOWN)
    };
    let headers = response.headers_mut();
    for (name, value) in POLICIES {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// What browsers are to hold this page to: nothing from elsewhere, nothing inline, in nobody's frame, and text stays text.
const POLICIES: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Whether the request is for this address under a name of its own, and by a page of its own where a page makes it.
fn is_at_home(method: &Method, headers: &HeaderMap, names: &[String]) -> bool {
    let Some(host) = headers.get(HOST).and_then(|it| it.to_str().ok()) else {
        return false;
    };
    let is_known = {
        let name = without_port(host).to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || name == "localhost" || names.contains(&name)
    };
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    // A link from elsewhere may lead here; whatever a page fetches must be this one's.
    let is_visit = *method == Method::GET && headers.get("sec-fetch-dest").is_some_and(|it| it == "document");
    let is_own = site.is_none_or(|it| it == b"same-origin" || it == b"none") || is_visit;
    let origin = headers.get(ORIGIN).map(|it| it.to_str().unwrap_or_default());
    let is_same = origin.is_none_or(|it| {
        it.split_once("://")
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host))
    });
    is_known && is_own && is_same
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_this_address_and_this_page_are_served() {
        let names = ["desk.example".to_owned()];
        let asked = |method: Method, pairs: &[(&'static str, &str)]| is_at_home(&method, &headers(pairs), &names);
        for host in [
            "127.0.0.1:4022",
            "localhost:4022",
            "LOCALHOST",
            "[::1]:4022",
            "[::1]",
            "10.0.0.7",
            "Desk.example:443",
        ] {
            assert!(asked(Method::GET, &[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4022",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example:4022",
        ] {
            assert!(!asked(Method::GET, &[("host", host)]), "{host}");
        }
        assert!(!asked(Method::GET, &[]));
        let here = ("host", "localhost:4022");
        for (site, is_served) in [
            ("same-origin", true),
            ("none", true),
            ("same-site", false),
            ("cross-site", false),
        ] {
            assert_eq!(
                asked(Method::POST, &[here, ("sec-fetch-site", site)]),
                is_served,
                "{site}"
            );
        }
        let link = [here, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")];
        assert!(asked(Method::GET, &link) && !asked(Method::POST, &link));
        for (origin, is_served) in [
            ("http://localhost:4022", true),
            ("https://localhost:4022", true),
            ("http://localhost:4020", false),
            ("https://evil.example", false),
            ("null", false),
        ] {
            assert_eq!(asked(Method::POST, &[here, ("origin", origin)]), is_served, "{origin}");
        }
    }

    #[test]
    fn other_machines_reach_it_only_where_that_is_said() {
        for (listen, allow_remote, is_fine) in [
            ("127.0.0.1:4022", false, true),
            ("[::1]:4022", false, true),
            ("0.0.0.0:4022", false, false),
            ("10.0.0.7:4022", false, false),
            ("0.0.0.0:4022", true, true),
        ] {
            let settings = Settings {
                listen: listen.parse().unwrap(),
                allow_remote,
                ..Settings::default()
            };
            assert_eq!(settings.flaw().is_none(), is_fine, "{listen}");
        }
    }

    #[test]
    fn settings_that_are_not_known_are_refused() {
        let read = |value: serde_json::Value| serde_json::from_value::<Settings>(value);
        let known = read(serde_json::json!({"listen": "[::1]:1", "hosts": ["desk.example"]})).unwrap();
        assert_eq!((known.listen.port(), known.allow_remote), (1, false));
        let unknown = read(serde_json::json!({"colour": "red"})).unwrap_err();
        assert!(unknown.to_string().contains("colour"), "{unknown}");
    }

    #[test]
    fn nothing_here_moves_money() {
        for route in ROUTES.iter().filter(|it| SHARED.contains(&it.endpoint)) {
            let is_action = route.endpoint == Endpoint::ExceptionActions;
            assert!(route.method == "GET" || is_action, "{}", route.path);
        }
    }
}
