//! `/verify`, `/settle` and `/supported`: x402's own three endpoints.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use tracing::Span;

use crate::app;
use crate::app::settle::{Encode, SettleAnswer};
use crate::domain::id::PaymentId;
use crate::domain::outcome::Outcome;
use crate::domain::rejection::Malformed;
use crate::domain::request::{PaymentReference, ReferenceKind};
use crate::http::error::{Denied, json};
use crate::http::{Edge, Endpoint, body};
use crate::wire::{self, Dialect, Envelope, NETWORK_UNKNOWN};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Bytes of an idempotency key.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// `GET /supported`.
pub(super) async fn supported(State(edge): State<Edge>) -> Response {
    let rails: Vec<_> = edge.app.advertised().collect();
    json(StatusCode::OK, wire::encode_supported(&rails))
}

/// `POST /verify`.
pub(super) async fn verify(State(edge): State<Edge>, request: Request) -> Response {
    match verdict(&edge, request).await {
        Ok(body) => json(StatusCode::OK, body),
        Err(denied) => denied.answer(Some(Endpoint::Verify), NETWORK_UNKNOWN),
    }
}

async fn verdict(edge: &Edge, request: Request) -> Result<Vec<u8>, Denied> {
    let (head, body) = request.into_parts();
    let body = body::read(&head.headers, body).await?;
    let envelope = wire::decode(&body)?;
    let encode =
        |payer: Option<&str>, verdict| wire::encode_verify(envelope.dialect, &envelope.network_text, payer, verdict);
    let request = match envelope.request {
        Ok(request) => request,
        Err(refused) => return Ok(encode(None, &Err(refused))),
    };
    let answer = app::verify::verify(&edge.app, request).await?;
    Ok(encode(answer.payer.as_deref(), &answer.verdict))
}

/// `POST /settle`.
pub(super) async fn settle(State(edge): State<Edge>, request: Request) -> Response {
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
    let reference = idempotency_key(headers)?;
    let encode = encoder(envelope.dialect, network);
    let mut request = match envelope.request {
        Ok(request) => request,
        Err(rejection) => {
            let refused = Outcome::Refused { payer: None, rejection };
            return Ok(json(StatusCode::OK, encode(&refused)));
        }
    };
    request.references.extend(reference);
    match app::settle::settle(&edge.app, request, encode).await? {
        SettleAnswer::Fresh(outcome, body) => {
            if let Some(payment) = payment_of(&outcome) {
                Span::current().record("payment.id", tracing::field::display(payment));
            }
            Ok(json(StatusCode::OK, body))
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

/// The caller's name for the request: 1 to 255 visible ASCII characters, given once.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<PaymentReference>, Malformed> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    let is_well_formed =
        (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    match key.to_str() {
        Ok(text) if is_well_formed && given.next().is_none() => Ok(Some(PaymentReference {
            kind: ReferenceKind::IdempotencyKey,
            value: text.to_owned(),
        })),
        _ => Err(Malformed {
            path: "Idempotency-Key header".to_owned(),
            expected: "one, of 1 to 255 visible ASCII characters".to_owned(),
        }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, Malformed> {
        let values = values
            .iter()
            .map(|it| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(it.as_bytes()).unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        idempotency_key(&headers).map(|reference| reference.map(|it| it.value))
    }

    #[test]
    fn an_idempotency_key_is_visible_bounded_and_single() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["order-7"]), Ok(Some("order-7".to_owned())));
        let long = "k".repeat(256);
        assert!(read(&[&long[..255]]).is_ok());
        for bad in [&[""][..], &["a b"], &["é"], &[&long], &["a", "a"]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
