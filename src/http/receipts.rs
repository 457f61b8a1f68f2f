//! `/v1/settlements/{id}/receipt` and `/.well-known/jwks.json`: a settlement as a signed statement, and the key to check it.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::app::SystemClock;
use crate::domain::receipt::{KeySet, Notary};
use crate::domain::time::Clock;
use crate::http::access::Seen;
use crate::http::error::{Denied, json};
use crate::http::records::{answer, found};
use crate::http::{Edge, view};

/// `GET /v1/settlements/{id}/receipt`.
pub(super) async fn get(Seen(edge): Seen, id: Result<Path<String>, PathRejection>) -> Response {
    answer(signed(&edge, id).await)
}

async fn signed(edge: &Edge, id: Result<Path<String>, PathRejection>) -> Result<Vec<u8>, Denied> {
    let entry = found(edge, id).await?;
    let notary = edge.parts.notary.as_ref().ok_or_else(Denied::no_notary)?;
    let proven = view::Proven::of(&entry).ok_or_else(Denied::not_settled)?;
    let claims = Claims {
        iat: SystemClock.now().0,
        settlement: proven,
    };
    let receipt = notary.sign(&claims);
    Ok(serde_json::to_vec(&Answer { receipt }).unwrap_or_default())
}

#[derive(Serialize)]
struct Claims<'a> {
    /// When it was signed, in Unix seconds (RFC 7519, section 4.1.6).
    iat: u64,
    settlement: view::Proven<'a>,
}

#[derive(Serialize)]
struct Answer {
    receipt: String,
}

/// `GET /.well-known/jwks.json`.
pub(super) async fn keys(Seen(edge): Seen) -> Response {
    let keys = edge.parts.notary.as_deref().map_or_else(KeySet::default, Notary::keys);
    json(StatusCode::OK, serde_json::to_vec(&keys).unwrap_or_default())
}
