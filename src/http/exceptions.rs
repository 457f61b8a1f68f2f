//! `/v1/reconciliation/exceptions`: what somebody has to look at, and what was done about it.

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::app::question::EXCEPTIONS;
use crate::domain::id::{ExceptionId, PaymentId};
use crate::http::access::Seen;
use crate::http::error::Denied;
use crate::http::records::{answer, keys, malformed};
use crate::http::{Edge, body};
use crate::store::{Action, Deed, Exception, PAGE_MAX};

/// Exceptions on a page when the caller does not say.
const PAGE_DEFAULT: u16 = 100;

/// The longest note and the longest name of whoever acted, in bytes.
const NOTE_MAX: usize = 1000;
const ACTOR_MAX: usize = 255;

/// `GET /v1/reconciliation/exceptions`.
pub(super) async fn list(Seen(edge): Seen, uri: Uri) -> Response {
    answer(page(&edge, &uri).await)
}

async fn page(edge: &Edge, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let mut keys = keys(uri, EXCEPTIONS)?;
    let limit: u16 = keys.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let after: Option<ExceptionId> = keys.parsed("cursor", "the nextCursor of an earlier page")?;
    let filter = keys.exceptions()?;
    keys.end(EXCEPTIONS)?;
    let exceptions = edge
        .parts
        .books
        .exceptions(filter, after, limit.saturating_add(1))
        .await?;
    let shown = exceptions.len().min(usize::from(limit));
    let is_last = exceptions.len() == shown;
    let shown: Vec<View<'_>> = exceptions.iter().take(shown).map(View::of).collect();
    let next_cursor = shown.last().filter(|_| !is_last).map(|it| it.id);
    Ok(serde_json::to_vec(&PageView {
        exceptions: shown,
        next_cursor,
    })
    .unwrap_or_default())
}

/// `POST /v1/reconciliation/exceptions/{id}/actions`.
pub(super) async fn act(
    Seen(edge): Seen,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    answer(acted(&edge, id, &headers, body).await)
}

async fn acted(
    edge: &Edge,
    id: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Vec<u8>, Denied> {
    let id: ExceptionId = id
        .ok()
        .and_then(|Path(text)| text.parse().ok())
        .ok_or_else(|| malformed("id", ExceptionId::SHAPE))?;
    let body = body::read(headers, body).await?;
    let acting: Acting = serde_json::from_slice(&body)
        .map_err(|_| malformed("body", "an object with action, note and actor, and nothing else"))?;
    let action = Action::named(&acting.action).ok_or_else(|| malformed("action", "resolve or ignore"))?;
    for (key, text, most) in [("note", &acting.note, NOTE_MAX), ("actor", &acting.actor, ACTOR_MAX)] {
        if text.trim().is_empty() || text.len() > most || text.contains('\0') {
            return Err(malformed(key, &format!("1 to {most} bytes that say something")));
        }
    }
    let deed = Deed {
        by: acting.actor,
        because: acting.note,
    };
    if !edge.parts.books.exception_act(id, action, &deed).await? {
        return Err(Denied::no_such_exception());
    }
    let acted = Acted {
        id,
        handled: action.as_str(),
    };
    Ok(serde_json::to_vec(&acted).unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acting {
    action: String,
    note: String,
    actor: String,
}

#[derive(Serialize)]
struct Acted {
    id: ExceptionId,
    handled: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageView<'a> {
    exceptions: Vec<View<'a>>,
    next_cursor: Option<ExceptionId>,
}

/// An exception as the API shows it. Every key is always there; what there is not is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    id: ExceptionId,
    state: &'static str,
    reason: &'a str,
    payment: Option<PaymentId>,
    network: &'a str,
    asset: &'a str,
    pay_to: &'a str,
    amount: String,
    transaction: Option<&'a str>,
    block: Option<u64>,
    since: String,
    handled: Option<&'static str>,
}

impl<'a> View<'a> {
    fn of(exception: &'a Exception) -> Self {
        Self {
            id: exception.id,
            state: exception.state.as_str(),
            reason: &exception.reason,
            payment: exception.payment,
            network: exception.network.as_str(),
            asset: &exception.asset,
            pay_to: &exception.pay_to,
            amount: exception.amount.to_string(),
            transaction: exception.tx.as_ref().map(|tx| tx.0.as_str()),
            block: exception.height,
            since: exception.since.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            handled: exception.handled.map(Action::as_str),
        }
    }
}
