//! The limit: the least that any verification in Rust has to do, in a process of its own. Reads the body into types,
//! checks the payer's signature, and answers. No chain, no rules, no metrics.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::post;

use crate::world;

/// As many as the facilitator has on two cores.
const WORKERS: usize = 2;

/// Serves, with this way to judge a body, until the process that started this one has gone.
pub(crate) fn serve(is_valid: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
    let is_valid = Arc::new(is_valid);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        world::tell_port(listener.local_addr().unwrap());
        let verify = async move |body: Bytes| answer(is_valid(&body));
        let router = Router::new().route("/verify", post(verify));
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router).await.unwrap();
    });
}

fn answer(is_valid: bool) -> impl IntoResponse {
    let answer = if is_valid {
        r#"{"isValid":true}"#
    } else {
        r#"{"isValid":false}"#
    };
    (StatusCode::OK, [(CONTENT_TYPE, "application/json")], answer)
}
