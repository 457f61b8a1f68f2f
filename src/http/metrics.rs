//! `/metrics`, on a listener of its own: operators' numbers are nobody else's business.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

/// A router with `/metrics` only: what `render` gives, in Prometheus' text format 0.0.4.
pub fn metrics_router(render: impl Fn() -> String + Send + Sync + 'static) -> Router {
    let render = Arc::new(render);
    let metrics = move || {
        let text = render();
        async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text) }
    };
    Router::new().route("/metrics", get(metrics))
}
