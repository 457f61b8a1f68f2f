//! Whether the facilitator runs, whether it can serve, and which one it is.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::domain::network::NetworkId;
use crate::http::Edge;
use crate::http::error::json;

/// How long a readiness check may take: orchestrators give up after a few seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Response {
    json(StatusCode::OK, r#"{"status":"live"}"#)
}

/// `GET /health/ready`: what requests depend on answers too. Says which networks are not served for want of money; the
/// others are.
pub(super) async fn ready(State(edge): State<Edge>) -> Response {
    let checked = tokio::time::timeout(PATIENCE, edge.parts.app.is_ready()).await;
    match checked.unwrap_or_else(|_| Err("the check took too long".to_owned())) {
        Ok(()) => {
            let withdrawn: Vec<&str> = edge.parts.app.withdrawn().map(NetworkId::as_str).collect();
            let body = json!({"status": "ready", "withdrawn": withdrawn}).to_string();
            json(StatusCode::OK, body)
        }
        Err(reason) => {
            tracing::warn!(reason, "not ready");
            let body = json!({"status": "unready", "reason": reason}).to_string();
            let mut response = json(StatusCode::SERVICE_UNAVAILABLE, body);
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

/// `GET /version`.
pub(super) async fn version() -> Response {
    const BODY: &str = concat!(
        r#"{"name":""#,
        env!("CARGO_PKG_NAME"),
        r#"","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}"#
    );
    json(StatusCode::OK, BODY)
}
