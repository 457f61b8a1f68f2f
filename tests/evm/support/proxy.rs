//! Stands between the facilitator and a node, counts what passes, and answers in the node's place when told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use super::anvil::http_client;

/// What to do with one request.
pub(crate) enum Fate {
    /// Goes on unchanged.
    Pass,
    /// Goes on as this.
    Change(Value),
    /// Is answered by the proxy with this result.
    Answer(Value),
    /// Is answered by the proxy with an error of this code and message.
    Fail(i64, &'static str),
}

type Judge = Box<dyn Fn(&Value) -> Fate + Send + Sync>;

struct Inner {
    upstream: String,
    http: reqwest::Client,
    judge: Mutex<Judge>,
    seen: Mutex<Vec<String>>,
    calls: AtomicUsize,
}

/// A running proxy; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Proxy {
    inner: Arc<Inner>,
    /// Where it listens.
    pub(crate) url: String,
}

impl Proxy {
    /// A proxy before this node that passes everything.
    pub(crate) async fn before(upstream: &str) -> Self {
        let inner = Arc::new(Inner {
            upstream: upstream.to_owned(),
            http: http_client(),
            judge: Mutex::new(Box::new(|_| Fate::Pass)),
            seen: Mutex::default(),
            calls: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&inner));
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { inner, url }
    }

    /// Judges each request by this from now on. A batch is judged call by call.
    pub(crate) fn judge(&self, judge: impl Fn(&Value) -> Fate + Send + Sync + 'static) {
        *self.inner.judge.lock().unwrap() = Box::new(judge);
    }

    /// How many HTTP requests passed since the last time this was asked.
    pub(crate) fn requests(&self) -> usize {
        self.inner.calls.swap(0, Ordering::Relaxed)
    }

    /// The methods that passed since the last time this was asked, in their order.
    pub(crate) fn methods(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.seen.lock().unwrap())
    }
}

async fn answer(State(inner): State<Arc<Inner>>, body: Bytes) -> String {
    inner.calls.fetch_add(1, Ordering::Relaxed);
    let request: Value = serde_json::from_slice(&body).unwrap();
    let Value::Array(calls) = request else {
        return one(&inner, request).await.to_string();
    };
    let mut answers = Vec::new();
    for call in calls {
        answers.push(one(&inner, call).await);
    }
    Value::Array(answers).to_string()
}

async fn one(inner: &Inner, call: Value) -> Value {
    inner
        .seen
        .lock()
        .unwrap()
        .push(call["method"].as_str().unwrap().to_owned());
    let fate = (inner.judge.lock().unwrap())(&call);
    let call = match fate {
        Fate::Pass => call,
        Fate::Change(other) => other,
        Fate::Answer(result) => return json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
        Fate::Fail(code, message) => {
            return json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": code, "message": message } });
        }
    };
    let post = inner
        .http
        .post(&inner.upstream)
        .header("content-type", "application/json");
    let answer = post.body(call.to_string()).send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}
