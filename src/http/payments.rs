//! `/verify`, `/settle` and `/supported`: x402's own three endpoints.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use crate::app;
use crate::app::settle::{Encode, SettleAnswer};
use crate::domain::id::PaymentId;
use crate::domain::outcome::Outcome;
use crate::domain::rejection::Rejection;
use crate::http::access::Seen;
use crate::http::error::{Denied, json};
use crate::http::labels::{idempotency_key, labels};
use crate::http::{Edge, Endpoint, body};
use crate::wire::{self, Dialect, Envelope, NETWORK_UNKNOWN};

pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// `GET /supported`.
pub(super) async fn supported(Seen(edge): Seen) -> Response {
    let rails: Vec<_> = edge.parts.app.advertised().collect();
    json(StatusCode::OK, wire::encode_supported(&rails))
}

/// `POST /verify`.
pub(super) async fn verify(Seen(edge): Seen, request: Request) -> Response {
    match verdict(&edge, request).await {
        Ok(response) => response,
        Err(denied) => denied.answer(Some(Endpoint::Verify), NETWORK_UNKNOWN),
    }
}

async fn verdict(edge: &Edge, request: Request) -> Result<Response, Denied> {
    let (head, body) = request.into_parts();
    let body = body::read(&head.headers, body).await?;
    let envelope = wire::decode(&body)?;
    let encode =
        |payer: Option<&str>, verdict| wire::encode_verify(envelope.dialect, &envelope.network_text, payer, verdict);
    let mut request = match envelope.request {
        Ok(request) => request,
        Err(refused) => return Ok(json(StatusCode::OK, encode(None, &Err(refused)))),
    };
    edge.admit(&mut request).await?;
    let answer = app::verify::verify(&edge.parts.app, request).await?;
    let body = encode(answer.payer.as_deref(), &answer.verdict);
    Ok(answered(body, answer.verdict.as_ref().err()))
}

/// The answer, with when to come again where that may help.
fn answered(body: Vec<u8>, rejection: Option<&Rejection>) -> Response {
    let mut response = json(StatusCode::OK, body);
    if matches!(rejection, Some(Rejection::Unscreened)) {
        let seconds = HeaderValue::from(app::screening::RETRY_AFTER);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// `POST /settle`.
pub(super) async fn settle(Seen(edge): Seen, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let denied = |denied: Denied, network: &str| denied.answer(Some(Endpoint::Settle), network);
    let body = match body::read(&head.headers, body).await {
        Ok(body) => body,
        Err(refused) => return denied(refused, NETWORK_UNKNOWN),
    };
    let envelope = match wire::decode(&body) {
        Ok(envelope) => envelope,
        Err(error) => return denied(error.into(), &wire::network_text(&body)),
    };
    let network: Arc<str> = envelope.network_text.as_str().into();
    match outcome(&edge, envelope, &network, &head.headers).await {
        Ok(response) => response,
        Err(refused) => denied(refused, &network),
    }
}

async fn outcome(edge: &Edge, envelope: Envelope, network: &Arc<str>, headers: &HeaderMap) -> Result<Response, Denied> {
    let (reference, labels) = (idempotency_key(headers)?, labels(headers)?);
    let encode = encoder(envelope.dialect, network);
    let mut request = match envelope.request {
        Ok(request) => request,
        Err(rejection) => {
            let refused = Outcome::Refused { payer: None, rejection };
            return Ok(json(StatusCode::OK, encode(&refused)));
        }
    };
    edge.admit(&mut request).await?;
    request.references.extend(reference);
    request.labels = labels;
    match app::settle::settle(&edge.parts.app, request, encode).await? {
        SettleAnswer::Fresh(outcome, body) => {
            let rejection = match &outcome {
                Outcome::Refused { rejection, .. } => Some(rejection),
                Outcome::Settled { .. }
                | Outcome::SetBack { .. }
                | Outcome::Failed { .. }
                | Outcome::Pending { .. }
                | Outcome::Duplicate { .. } => None,
            };
            let mut response = answered(body, rejection);
            if let Some(payment) = payment_of(&outcome) {
                response.extensions_mut().insert(payment);
            }
            Ok(response)
        }
        SettleAnswer::Replayed(body) => {
            let mut response = json(StatusCode::OK, Bytes::from(body));
            response
                .headers_mut()
                .insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
    }
}

fn encoder(dialect: Dialect, network: &Arc<str>) -> Encode {
    let network = Arc::clone(network);
    Arc::new(move |outcome| wire::encode_settle(dialect, &network, outcome))
}

const fn payment_of(outcome: &Outcome) -> Option<PaymentId> {
    match outcome {
        Outcome::Settled { payment, .. }
        | Outcome::SetBack { payment, .. }
        | Outcome::Failed { payment, .. }
        | Outcome::Pending { payment, .. } => Some(*payment),
        Outcome::Refused { .. } | Outcome::Duplicate { .. } => None,
    }
}
