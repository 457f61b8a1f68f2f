//! The admin listener: tenants, their merchants and accounts, keys, lanes, exceptions and webhooks, changed by whoever has its
//! secret. Off unless it is configured, and nothing of it is served anywhere else. Each change says who makes it and why, and
//! is logged with both.

mod operation;
mod people;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::admin::{self, NAME_MAX, NoKey, NotOpened, Office};
use crate::app::gate::NotLetIn;
use crate::domain::signing::Secret;
use crate::domain::tenant::TenantId;
use crate::http::access::bearer;
use crate::http::error::{Denied, json as answered};
use crate::http::records::{keys, malformed};
use crate::http::{body, frame};
use crate::store::{Deed, NotDone};
use crate::wire::NETWORK_UNKNOWN;

/// Connections that may be open, and requests that may be under way.
pub(super) const CONNECTIONS_MAX: usize = 64;
const IN_FLIGHT_MAX: usize = 16;

/// Where the admin listener is, if it is anywhere.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address to listen at. Plain HTTP: end TLS in front of it where other machines reach it.
    #[serde(default = "listen_default")]
    pub listen: SocketAddr,
    /// What whoever asks has to present, as `Authorization: Bearer`.
    pub secret: Secret,
}

fn listen_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4023))
}

/// What this listener serves, with the method of each.
pub const PATHS: [(&str, &str); 20] = [
    ("GET", "/v1/admin/tenants"),
    ("POST", "/v1/admin/tenants"),
    ("GET", "/v1/admin/merchants"),
    ("POST", "/v1/admin/merchants"),
    ("GET", "/v1/admin/accounts"),
    ("POST", "/v1/admin/accounts"),
    ("POST", "/v1/admin/accounts/release"),
    ("GET", "/v1/admin/keys"),
    ("POST", "/v1/admin/keys"),
    ("POST", "/v1/admin/keys/{id}/revoke"),
    ("GET", "/v1/admin/lanes"),
    ("POST", "/v1/admin/lanes/close"),
    ("POST", "/v1/admin/lanes/readmit"),
    ("GET", "/v1/admin/budgets"),
    ("POST", "/v1/admin/budgets"),
    ("POST", "/v1/admin/exceptions/{id}/actions"),
    ("GET", "/v1/admin/webhooks"),
    ("POST", "/v1/admin/webhooks/{id}/enable"),
    ("POST", "/v1/admin/webhooks/{id}/disable"),
    ("GET", "/v1/admin/log"),
];

/// The path as it is called in logs and metrics; none that this listener does not serve.
pub(super) fn path_of(path: &str) -> Option<&'static str> {
    PATHS.into_iter().map(|(_, it)| it).find(|it| *it == path)
}

/// The listener's router. Nobody is let in without the secret.
pub fn router(office: Office, settings: &Settings) -> Router {
    let handlers: [MethodRouter<Office>; PATHS.len()] = [
        get(people::tenants),
        post(people::tenant_add),
        get(people::merchants),
        post(people::merchant_add),
        get(people::accounts),
        post(people::account_claim),
        post(people::account_release),
        get(people::gateway_keys),
        post(people::key_add),
        post(people::key_revoke),
        get(operation::lanes),
        post(operation::lane_close),
        post(operation::lane_readmit),
        get(operation::budgets),
        post(operation::budget_set),
        post(operation::exception_act),
        get(operation::webhooks),
        post(operation::webhook_enable),
        post(operation::webhook_disable),
        get(operation::log),
    ];
    let routes = PATHS.into_iter().zip(handlers);
    let routes = routes.fold(Router::new(), |router, ((_, path), handler)| {
        router.route(path, handler)
    });
    let routes = routes
        .with_state(office)
        .route_layer(from_fn_with_state(settings.secret.clone(), enter));
    frame::around(routes, IN_FLIGHT_MAX, None)
}

async fn enter(State(secret): State<Secret>, request: Request, next: Next) -> Response {
    if bearer(request.headers()).is_some_and(|it| secret.is_shown_by(it)) {
        return next.run(request).await;
    }
    Denied::from(NotLetIn::Unknown).answer(None, NETWORK_UNKNOWN)
}

type Answered = Result<Value, Denied>;

fn ok(answer: Answered) -> Response {
    match answer {
        Ok(value) => answered(StatusCode::OK, value.to_string()),
        Err(denied) => denied.answer(None, NETWORK_UNKNOWN),
    }
}

/// Who acts and why, beside what is asked.
#[derive(Deserialize)]
struct Order<T> {
    by: String,
    because: String,
    #[serde(flatten)]
    what: T,
}

async fn order<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<(T, Deed), Denied> {
    let body = body::read(headers, body).await?;
    let order: Order<T> = serde_json::from_slice(&body).map_err(|error| {
        malformed(
            "body",
            &format!("by, because and what openapi.yaml says of this path ({error})"),
        )
    })?;
    let deed = admin::deed(&order.by, &order.because)
        .ok_or_else(|| malformed("by", "by and because, in 1 to 100 and 1 to 1000 characters"))?;
    Ok((order.what, deed))
}

fn named(name: &str) -> Result<&str, Denied> {
    let fits = !name.trim().is_empty() && name.chars().count() <= NAME_MAX && !name.contains('\0');
    fits.then_some(name)
        .ok_or_else(|| malformed("name", "1 to 100 characters"))
}

fn id<T: std::str::FromStr>(name: Result<Path<String>, PathRejection>, shape: &str) -> Result<T, Denied> {
    let read = name.ok().and_then(|Path(text)| text.parse().ok());
    read.ok_or_else(|| malformed("id", shape))
}

/// The tenant that a query names, if it names one.
fn tenant(uri: &Uri) -> Result<Option<TenantId>, Denied> {
    let known = "tenant or nothing";
    let mut keys = keys(uri, known)?;
    let tenant = keys.parsed("tenant", TenantId::SHAPE)?;
    keys.end(known)?;
    Ok(tenant)
}

#[derive(Deserialize)]
struct Nothing {}

impl From<NotDone> for Denied {
    fn from(why: NotDone) -> Self {
        match why {
            NotDone::Store(fault) => fault.into(),
            NotDone::Unknown(_) => Self::of_admin(StatusCode::NOT_FOUND, "not_found", why.to_string()),
            NotDone::Taken(_) | NotDone::TooMany | NotDone::AtOnce => {
                Self::of_admin(StatusCode::CONFLICT, "conflict", why.to_string())
            }
        }
    }
}

impl From<NoKey> for Denied {
    fn from(why: NoKey) -> Self {
        match why {
            NoKey::NotDone(why) => why.into(),
            NoKey::ForNothing | NoKey::ShowsTooMuch => malformed("scopes", &why.to_string()),
            NoKey::NoPepper => Self::of_admin(StatusCode::CONFLICT, "no_tenants", why.to_string()),
            NoKey::NotRandom => Self::bug(),
        }
    }
}

impl From<NotOpened> for Denied {
    fn from(why: NotOpened) -> Self {
        match why {
            NotOpened::NotDone(why) => why.into(),
            NotOpened::Rail(fault) => crate::app::Trouble::from(fault).into(),
        }
    }
}
