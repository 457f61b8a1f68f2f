//! Whoever is told of events: a plain HTTP server that behaves as a test wants it to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::eventually;

/// How it answers.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    Status(u16),
    /// With this many seconds of `Retry-After`.
    Later(u64),
    /// With this date as `Retry-After`.
    After(String),
    /// Sends elsewhere.
    Redirect(String),
    /// With this body.
    Says(String),
    /// Never.
    Hang,
    /// With more than anybody would want to read, and no end.
    Flood,
    /// Refuses the events of this type.
    Refuse(&'static str),
}

/// What has arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Arrival {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.event()["type"].as_str().unwrap().to_owned()
    }
}

struct Inner {
    manner: Mutex<Manner>,
    arrivals: Mutex<Vec<Arrival>>,
}

/// The server; gone with this value.
pub(crate) struct Receiver {
    pub(crate) url: String,
    inner: Arc<Inner>,
    server: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(manner: Manner) -> Self {
        let inner = Arc::new(Inner {
            manner: Mutex::new(manner),
            arrivals: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?key=canary", listener.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state(Arc::clone(&inner));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner, server }
    }

    /// From now on it behaves like this.
    pub(crate) fn behave(&self, manner: Manner) {
        *self.inner.manner.lock().unwrap() = manner;
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.inner.arrivals.lock().unwrap().clone()
    }

    /// Waits for this many arrivals.
    pub(crate) async fn met(&self, count: usize) -> Vec<Arrival> {
        eventually(&format!("{count} arrivals"), async || {
            Some(self.arrivals()).filter(|it| it.len() >= count)
        })
        .await
    }

    /// The types of what has arrived, in order.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.arrivals().iter().map(Arrival::kind).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let arrival = Arrival { headers, body };
    let manner = inner.manner.lock().unwrap().clone();
    let kind = arrival.kind();
    inner.arrivals.lock().unwrap().push(arrival);
    match manner {
        Manner::Refuse(refused) if refused == kind => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Manner::Refuse(_) => StatusCode::OK.into_response(),
        Manner::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Manner::Says(body) => body.into_response(),
        Manner::Later(seconds) => {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds.to_string())]).into_response()
        }
        Manner::After(date) => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", date)]).into_response(),
        Manner::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response(),
        Manner::Hang => {
            tokio::time::sleep(Duration::from_hours(1)).await;
            StatusCode::OK.into_response()
        }
        Manner::Flood => {
            let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'a'; 65_536]));
            Response::new(Body::from_stream(endless))
        }
    }
}
