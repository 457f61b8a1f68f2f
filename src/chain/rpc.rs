//! JSON-RPC 2.0 to one node: a question out, an answer or a fault back.
//!
//! Knows nothing of payments and never repeats a request: whether asking again is safe is the caller's to say.
//! It is our own and thin because every rule below is about money or secrets: an answer that is not certainly
//! the answer to this question is a fault, what a node may send is bounded, and no text that leaves this module
//! names the endpoint, whose path often is a key.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::SharedString;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::network::NetworkId;
use crate::domain::rail::RailFault;
use crate::seeded::Bug;

/// The most bytes of one response that are read. Somebody else's receipt must fit, or a payment could be hidden in it:
/// at 8 gas for each byte of a log, the 16,777,216 gas of one transaction (EIP-7825) make 2 MiB, 4 MiB in hexadecimal.
const RESPONSE_BYTES_MAX: usize = 5 * 1024 * 1024;

/// The most calls in one HTTP request; hosted nodes refuse more than 100 to 1000 (Alchemy, QuickNode).
const BATCH_CALLS_MAX: usize = 100;

/// The longest text of a node or of the transport that is passed on, in characters.
const TEXT_CHARS_MAX: usize = 300;

/// Parts of the endpoint's address shorter than this, in bytes, are too common to be a secret.
const SECRET_BYTES_MIN: usize = 8;

/// For how long a node that says "too many requests" is left alone when it does not say so, and at most.
const REST_DEFAULT: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_mins(5);

/// How long a request may take when the settings do not say.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// One node of one network. Requests share kept-alive HTTP/1 connections.
pub(super) struct Rpc {
    network: NetworkId,
    network_label: SharedString,
    /// What the endpoint is called where its address must not be told.
    label: SharedString,
    url: reqwest::Url,
    /// What must not appear in any text: the address and those of its parts that may be keys.
    secrets: Vec<String>,
    http: reqwest::Client,
    next_id: AtomicU64,
    /// Until when the node wants to be left alone.
    rests: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rpc")
            .field("network", &self.network)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// Why there is no result.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum RpcError {
    /// The node answered this very question with an error.
    #[error("the node answers {code}: {message}")]
    Node {
        /// Its code; -32768 to -32000 are the specification's (JSON-RPC 2.0, 5.1), 3 is a revert with data (geth).
        code: i64,
        /// Its words: at most 300 printable characters, without the endpoint's address.
        message: String,
        /// The error's `data` when that is a string, unchanged: the bytes of a revert in hexadecimal.
        data: Option<String>,
    },
    /// No telling whether the node did anything.
    #[error(transparent)]
    Fault(#[from] RailFault),
}

/// One call of a batch.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The JSON-RPC method.
    pub(super) method: &'static str,
    /// Its parameters, an array.
    pub(super) params: Value,
}

#[derive(Serialize)]
struct Request<'a, P: Serialize> {
    jsonrpc: &'static str,
    id: u64,
    method: &'static str,
    params: &'a P,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
    /// `null` is a result too.
    #[serde(default, deserialize_with = "even_null")]
    result: Option<Box<RawValue>>,
    error: Option<NodeError>,
}

#[derive(Deserialize)]
struct NodeError {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

/// Why an HTTP request brought no answers. Not yet freed of the endpoint's address.
enum Failure {
    TooLarge,
    Unreadable(StatusCode),
    Other(String),
}

fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl Rpc {
    /// A client for the node at `url` (`http` or `https`, with its key, if any, in path, query or user part), which
    /// metrics call by `label`. `timeout` bounds each request from connecting to the last byte. Nothing is sent yet.
    ///
    /// # Errors
    /// The address or the machine's TLS roots cannot be used; the text does not name the address.
    pub(super) fn new(network: NetworkId, label: usize, url: &str, timeout: Duration) -> Result<Self, String> {
        // Fails only when another client installed a provider before, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let url: reqwest::Url = url.parse().map_err(|_| "the endpoint is not a URL".to_owned())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("the endpoint is not an http or https URL".to_owned());
        }
        let mut builder = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(32)
            .pool_idle_timeout(Duration::from_secs(20))
            .default_headers(HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )]))
            .timeout(timeout);
        if url.scheme() == "http" {
            // A node on the same machine must not need a certificate store.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|e| bounded(&chain_of(&e.without_url())))?;
        Ok(Self {
            network_label: SharedString::from_shared(Arc::from(network.as_str())),
            label: label.to_string().into(),
            network,
            secrets: secrets_of(&url),
            url,
            http,
            next_id: AtomicU64::new(1),
            rests: Mutex::default(),
        })
    }

    /// The network this node is asked about.
    pub(super) fn network(&self) -> &NetworkId {
        &self.network
    }

    /// What the endpoint is called where its address must not be told.
    pub(super) fn label(&self) -> SharedString {
        self.label.clone()
    }

    /// Whether the node has asked to be left alone, and that time is not over.
    pub(super) fn is_resting(&self) -> bool {
        let until = *self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// A request id that no other request of this client has.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A fault of `operation` on this network; the cause is bounded and freed of the endpoint's address.
    pub(super) fn fault(&self, operation: &'static str, cause: &str) -> RailFault {
        RailFault {
            operation,
            network: self.network.clone(),
            cause: self.cleaned(cause),
        }
    }

    /// The error as a fault, for callers to whom a node's error means just that it could not be asked.
    pub(super) fn refused(&self, operation: &'static str, error: RpcError) -> RailFault {
        match error {
            RpcError::Fault(fault) => fault,
            node @ RpcError::Node { .. } => self.fault(operation, &node.to_string()),
        }
    }

    /// Asks one question. The result may be JSON `null`.
    ///
    /// # Errors
    /// [`RpcError::Node`] when the node answered with an error, else [`RpcError::Fault`].
    pub(super) async fn call(
        &self,
        operation: &'static str,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<Box<RawValue>, RpcError> {
        let id = self.next_id();
        let request = Request {
            jsonrpc: "2.0",
            id,
            method,
            params,
        };
        let body = serde_json::to_vec(&request).map_err(|e| self.fault(operation, &e.to_string()))?;
        self.call_raw(operation, method, id, body).await
    }

    /// Asks one question and reads the answer as `T`.
    ///
    /// # Errors
    /// As [`Rpc::call`]; a result of another shape is a fault.
    pub(super) async fn call_as<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: &'static str,
        params: &impl Serialize,
    ) -> Result<T, RpcError> {
        let result = self.call(operation, method, params).await?;
        Ok(self.read(operation, &result)?)
    }

    /// Sends a request that the caller has written out already: a JSON-RPC object of `method` with this `id`
    /// (from [`Rpc::next_id`]).
    ///
    /// # Errors
    /// As [`Rpc::call`].
    pub(super) async fn call_raw(
        &self,
        operation: &'static str,
        method: &'static str,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Box<RawValue>, RpcError> {
        self.count(method);
        let (status, bytes) = self
            .post(operation, body)
            .await
            .map_err(|failure| self.failed(operation, &failure))?;
        let unreadable = || self.failed(operation, &Failure::Unreadable(status));
        let Ok(answer) = serde_json::from_slice::<Answer>(&bytes) else {
            return Err(unreadable().into());
        };
        if answer.id.as_u64() != Some(id) && !(answer.id.is_null() && answer.error.is_some()) {
            return Err(self.fault(operation, "the answer belongs to another question").into());
        }
        if !status.is_success() && answer.error.is_none() {
            return Err(unreadable().into());
        }
        self.open(operation, answer)
    }

    /// Asks all questions, in one HTTP request for each 100, and gives the answers in the questions' order.
    /// Questions whose answers are too large together are asked again in halves, so a batch is for reads.
    ///
    /// # Errors
    /// A fault when any question went without an answer of its own.
    pub(super) async fn batch(
        &self,
        operation: &'static str,
        calls: &[Call],
    ) -> Result<Vec<Result<Box<RawValue>, RpcError>>, RailFault> {
        let mut answers = Vec::with_capacity(calls.len());
        let mut waiting: VecDeque<&[Call]> = calls.chunks(BATCH_CALLS_MAX).collect();
        while let Some(chunk) = waiting.pop_front() {
            match self.batch_once(operation, chunk).await {
                Ok(some) => answers.extend(some),
                Err(Failure::TooLarge) if chunk.len() > 1 => {
                    let (first, second) = chunk.split_at(chunk.len().div_ceil(2));
                    waiting.push_front(second);
                    waiting.push_front(first);
                }
                Err(failure) => return Err(self.failed(operation, &failure)),
            }
        }
        Ok(answers)
    }

    async fn batch_once(
        &self,
        operation: &'static str,
        calls: &[Call],
    ) -> Result<Vec<Result<Box<RawValue>, RpcError>>, Failure> {
        let ids: Vec<u64> = calls.iter().map(|_| self.next_id()).collect();
        let requests: Vec<_> = calls
            .iter()
            .zip(&ids)
            .map(|(call, &id)| Request {
                jsonrpc: "2.0",
                id,
                method: call.method,
                params: &call.params,
            })
            .collect();
        let body = serde_json::to_vec(&requests).map_err(|e| Failure::Other(e.to_string()))?;
        for call in calls {
            self.count(call.method);
        }
        let (status, bytes) = self.post(operation, body).await?;
        let Ok(list) = serde_json::from_slice::<Vec<Answer>>(&bytes) else {
            return Err(
                match serde_json::from_slice::<Answer>(&bytes).map(|answer| answer.error) {
                    Ok(Some(error)) => Failure::Other(format!("batch refused, {}: {}", error.code, error.message)),
                    Ok(None) | Err(_) => Failure::Unreadable(status),
                },
            );
        };
        if !status.is_success() {
            return Err(Failure::Unreadable(status));
        }
        let mut by_id = HashMap::with_capacity(list.len());
        for answer in list {
            let known = answer.id.as_u64().filter(|id| ids.contains(id));
            if known.is_none_or(|id| by_id.insert(id, answer).is_some()) {
                return Err(Failure::Other("an answer belongs to no question of the batch".into()));
            }
        }
        ids.iter()
            .map(|id| match by_id.remove(id) {
                Some(answer) => Ok(self.open(operation, answer)),
                None => Err(Failure::Other("a question of the batch has no answer".into())),
            })
            .collect()
    }

    /// Reads a result as `T`.
    ///
    /// # Errors
    /// A fault when it has another shape.
    pub(super) fn read<T: DeserializeOwned>(&self, operation: &'static str, result: &RawValue) -> Result<T, RailFault> {
        serde_json::from_str(result.get()).map_err(|e| self.fault(operation, &format!("unexpected result: {e}")))
    }

    fn open(&self, operation: &'static str, answer: Answer) -> Result<Box<RawValue>, RpcError> {
        match (answer.error, answer.result) {
            (Some(error), _) => Err(RpcError::Node {
                code: error.code,
                message: self.cleaned(&error.message),
                data: match error.data {
                    Value::String(data) => Some(data),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
                },
            }),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(self.fault(operation, "the answer has neither result nor error").into()),
        }
    }

    /// What an HTTP response with these bytes would be said to be: its errors, as they would be passed on.
    #[cfg(any(test, fuzzing))]
    pub(super) fn said(&self, bytes: &[u8]) -> Vec<String> {
        let answers = match serde_json::from_slice::<Answer>(bytes) {
            Ok(one) => vec![one],
            Err(_) => serde_json::from_slice(bytes).unwrap_or_default(),
        };
        let opened = answers.into_iter().map(|answer| self.open("fuzz", answer));
        opened.filter_map(Result::err).map(|error| error.to_string()).collect()
    }

    async fn post(&self, operation: &'static str, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>), Failure> {
        let began = Instant::now();
        let outcome = self.exchange(body).await;
        metrics::histogram!(
            "facilitator_rpc_request_duration_seconds",
            "network" => self.network_label.clone(),
            "operation" => operation
        )
        .record(began.elapsed());
        outcome
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>), Failure> {
        let said = |e: reqwest::Error| {
            Failure::Other(if e.is_timeout() {
                "no answer in time".to_owned()
            } else {
                chain_of(&e.without_url())
            })
        };
        let mut response = self.http.post(self.url.clone()).body(body).send().await.map_err(said)?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            self.rest(response.headers());
        }
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await.map_err(said)? {
            if bytes.len().saturating_add(part.len()) > RESPONSE_BYTES_MAX {
                return Err(Failure::TooLarge);
            }
            bytes.extend_from_slice(&part);
        }
        Ok((response.status(), bytes))
    }

    fn rest(&self, headers: &HeaderMap) {
        let seconds = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
        let rest = seconds.map_or(REST_DEFAULT, Duration::from_secs).min(REST_MAX);
        *self.rests.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now().checked_add(rest);
    }

    fn failed(&self, operation: &'static str, failure: &Failure) -> RailFault {
        match failure {
            Failure::TooLarge => self.fault(
                operation,
                &format!("the answer is larger than {RESPONSE_BYTES_MAX} bytes"),
            ),
            Failure::Unreadable(status) => self.fault(
                operation,
                &format!("HTTP status {} and no JSON-RPC answer", status.as_u16()),
            ),
            Failure::Other(cause) => self.fault(operation, cause),
        }
    }

    fn count(&self, method: &'static str) {
        metrics::counter!(
            "facilitator_rpc_requests_total",
            "network" => self.network_label.clone(),
            "endpoint" => self.label.clone(),
            "method" => method
        )
        .increment(1);
    }

    /// The text, bounded and freed of the endpoint's address.
    pub(super) fn cleaned(&self, text: &str) -> String {
        // A page of HTML is cut before it is searched.
        let mut text: String = text.chars().take(4 * TEXT_CHARS_MAX).collect();
        for secret in self.secrets.iter().filter(|_| !Bug::EndpointTold.is_on()) {
            text = text.replace(secret, "(endpoint)");
        }
        bounded(&text)
    }
}

/// The text's first 300 characters, with a space for whatever cannot be printed.
pub(super) fn bounded(text: &str) -> String {
    text.chars()
        .take(TEXT_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The error and what caused it, outermost first.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn secrets_of(url: &reqwest::Url) -> Vec<String> {
    let mut secrets = vec![url.to_string(), url.path().to_owned()];
    secrets.extend(url.host_str().map(ToOwned::to_owned));
    secrets.extend(url.query().map(ToOwned::to_owned));
    secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    secrets.extend(url.path_segments().into_iter().flatten().map(ToOwned::to_owned));
    secrets.extend([url.username().to_owned(), url.password().unwrap_or_default().to_owned()]);
    secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
    // The longest first, so that no part of one is left over.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

#[cfg(test)]
pub(super) mod tests;
