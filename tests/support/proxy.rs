//! A JSON-RPC proxy between the facilitator and its node that counts what passes and, where told to, holds, loses,
//! delays or falsifies it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::http::Client;

/// The part of the node's address that must stay secret, as a provider's key would.
pub(crate) const SECRET: &str = "key-5ec2e7a55e7b0a7d";

/// `{"jsonrpc":"2.0","id":null,"error":{"code":3,"message":"execution reverted"}}`, compressed.
const GZIPPED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x0d\xc6A\x0a\x80 \x10\x05\xd0\xab\xc4_KD\xed\xe66\xa1\x9f0\xcc\x89Q#\x10\xef^o\xf5:\xce\xa2\xd9n\x0f\xc1:/p\x88\x01\x92[J\x0e4S\x83tx\x0d\x84l\x0e\x17K\xd9\x8f\xff\xe0K\xdfj\xd4<\x19\x1fZe\xc0\x18\x1f\xea5z\x97M\x00\x00\x00";

/// One question to the node.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) params: Value,
}

/// Which questions a fault befalls.
pub(crate) type Pick = fn(&Call) -> bool;

/// The lens: a call that runs init code, so it names nobody.
pub(crate) fn lens(call: &Call) -> bool {
    call.method == "eth_call" && call.params[0].get("to").is_none_or(Value::is_null)
}

/// What an account held in a block that is named.
pub(crate) fn past_balance(call: &Call) -> bool {
    let is_past = call.params[1].as_str().is_some_and(|block| block.starts_with("0x"));
    call.method == "eth_call"
        && is_past
        && call.params[0]["input"]
            .as_str()
            .is_some_and(|it| it.starts_with("0x70a08231"))
}

/// The question that comes between a payment's reservation and its signing.
pub(crate) fn fee_quote(call: &Call) -> bool {
    call.method == "eth_maxPriorityFeePerGas"
}

pub(crate) fn send(call: &Call) -> bool {
    matches!(call.method.as_str(), "eth_sendRawTransaction" | "sendTransaction")
}

pub(crate) fn receipt(call: &Call) -> bool {
    call.method == "eth_getTransactionReceipt"
}

pub(crate) fn anything(_: &Call) -> bool {
    true
}

/// What a process on an EVM chain looks up by itself, at times that no test chooses: the chain's progress, its signers.
fn upkeep(call: &Call) -> bool {
    matches!(
        call.method.as_str(),
        "eth_blockNumber" | "eth_getBlockByNumber" | "eth_getBalance" | "eth_getTransactionCount"
    )
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The request waits and the node hears nothing, until released.
    HoldRequest,
    /// The node has acted and its answer waits, until released.
    HoldAnswer,
    /// The connection breaks; the node hears nothing.
    LoseRequest,
    /// The node has acted; the connection breaks.
    LoseAnswer,
    /// The question is answered with this JSON-RPC error; the node hears nothing.
    Error(i64, &'static str),
    /// This HTTP status with no JSON-RPC in it; the node hears nothing.
    Status(u16),
    /// HTTP status 429 with the wish to be left alone for so many seconds; the node hears nothing.
    TooMany(&'static str),
    /// These bytes with status 200; the node hears nothing.
    Garbage(&'static str),
    /// An answer that is one only for whoever undoes its compression; the node hears nothing.
    Gzip,
    /// As many bytes as the client takes, up to 200 MB; the node hears nothing.
    Flood,
    /// This result; the node hears nothing.
    Result(&'static str),
    /// The result that this makes of the question; the node hears nothing.
    Pretend(fn(&Call) -> Value),
    /// The node has acted; this changes what it answers: an object with `result` or `error`.
    Falsify(fn(&Call, &mut Value)),
    /// The node has acted; this changes which of its answers go back and in which order.
    Rearrange(fn(&mut Vec<Value>)),
    /// The node has acted; each request gets the answer to the one before it, and the first one none.
    Displace,
    /// The request passes after this time.
    Delay(Duration),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Shut,
    Open,
    Wall,
}

struct Rule {
    pick: Pick,
    fault: Fault,
    door: watch::Sender<Door>,
    /// How many requests have met this rule.
    met: watch::Sender<usize>,
    /// The last answer, where each goes to the next request.
    last: Mutex<Option<Response<Body>>>,
}

struct Shared {
    node: String,
    /// The node takes no batches, and gets their questions one by one.
    splits: bool,
    client: Client,
    rules: Mutex<Vec<Arc<Rule>>>,
    calls: Mutex<Vec<Call>>,
    requests: AtomicUsize,
    questions: AtomicUsize,
}

/// The proxy.
pub(crate) struct Proxy {
    /// Where the facilitator finds its node.
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn before(node: &str) -> Self {
        Self::open(node, false).await
    }

    /// Lends batches to a node that takes none.
    pub(crate) async fn splitting(node: &str) -> Self {
        Self::open(node, true).await
    }

    async fn open(node: &str, splits: bool) -> Self {
        let shared = Arc::new(Shared {
            node: node.to_owned(),
            splits,
            client: Client::new(),
            rules: Mutex::default(),
            calls: Mutex::default(),
            requests: AtomicUsize::new(0),
            questions: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/{SECRET}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, server }
    }

    /// From now on this befalls every question that `pick` picks, until the handle is released or dropped. Of
    /// several faults the oldest counts.
    #[must_use]
    pub(crate) fn fault(&self, pick: Pick, fault: Fault) -> FaultHandle {
        let rule = Arc::new(Rule {
            pick,
            fault,
            door: watch::Sender::new(Door::Shut),
            met: watch::Sender::new(0),
            last: Mutex::default(),
        });
        self.shared.rules.lock().unwrap().push(Arc::clone(&rule));
        FaultHandle {
            shared: Arc::clone(&self.shared),
            rule,
        }
    }

    /// How many HTTP requests came in.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// How many of them asked more than the process looks up by itself.
    pub(crate) fn questions(&self) -> usize {
        self.shared.questions.load(Ordering::Relaxed)
    }

    /// The questions so far that `pick` picks, those inside batches too.
    pub(crate) fn calls(&self, pick: Pick) -> Vec<Call> {
        self.shared
            .calls
            .lock()
            .unwrap()
            .iter()
            .filter(|call| pick(call))
            .cloned()
            .collect()
    }

    /// The names of all transactions handed over so far, each once, in order.
    pub(crate) fn transactions(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.calls(send).iter().map(name_of) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// The name that the chain gives to what this question hands over.
pub(crate) fn name_of(sending: &Call) -> String {
    if sending.method == "sendTransaction" {
        return super::solana::transaction::name_of(&super::solana::transaction::wire_in(&sending.params[0]));
    }
    let raw: Bytes = super::anvil::parse::<alloy::primitives::Bytes>(&sending.params[0]).0;
    alloy::primitives::keccak256(&raw).to_string()
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A fault in force.
pub(crate) struct FaultHandle {
    shared: Arc<Shared>,
    rule: Arc<Rule>,
}

impl FaultHandle {
    /// Waits until this many requests have met the fault.
    pub(crate) async fn met(&self, times: usize) {
        let mut met = self.rule.met.subscribe();
        let waiting = met.wait_for(|count| *count >= times);
        let met = tokio::time::timeout(super::PATIENCE, waiting).await;
        met.unwrap_or_else(|_| panic!("no {times} requests met {:?}", self.rule.fault))
            .unwrap();
    }

    /// Ends the fault; what it held goes on its way.
    pub(crate) fn release(self) {
        self.end(Door::Open);
    }

    /// Ends the fault; what it held is lost.
    pub(crate) fn discard(self) {
        self.end(Door::Wall);
    }

    fn end(&self, door: Door) {
        self.shared
            .rules
            .lock()
            .unwrap()
            .retain(|rule| !Arc::ptr_eq(rule, &self.rule));
        self.rule.door.send_if_modified(|at| {
            let is_shut = *at == Door::Shut;
            if is_shut {
                *at = door;
            }
            is_shut
        });
    }
}

impl Drop for FaultHandle {
    fn drop(&mut self) {
        self.end(Door::Wall);
    }
}

async fn pass(State(shared): State<Arc<Shared>>, body: Bytes) -> Response<Body> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let questions: Value = serde_json::from_slice(&body).unwrap();
    let calls = calls_in(&questions);
    let is_asked = !calls.iter().all(upkeep);
    shared.questions.fetch_add(is_asked.into(), Ordering::Relaxed);
    shared.calls.lock().unwrap().extend(calls.iter().cloned());
    let rules = shared.rules.lock().unwrap().clone();
    let Some(rule) = rules.iter().find(|rule| calls.iter().any(rule.pick)) else {
        return forward(&shared, body).await;
    };
    rule.met.send_modify(|count| *count += 1);
    match rule.fault {
        Fault::HoldRequest if !rule.opens().await => broken(),
        Fault::HoldRequest => forward(&shared, body).await,
        Fault::HoldAnswer => {
            let answer = forward(&shared, body).await;
            if rule.opens().await { answer } else { broken() }
        }
        Fault::LoseRequest => broken(),
        Fault::LoseAnswer => {
            drop(forward(&shared, body).await);
            broken()
        }
        Fault::Error(..) | Fault::Result(_) | Fault::Pretend(_) | Fault::Falsify(_) | Fault::Rearrange(_) => {
            lie(&shared, &questions, rule.pick, rule.fault).await
        }
        Fault::Displace => {
            let answer = forward(&shared, body).await;
            let before = rule.last.lock().unwrap().replace(answer);
            before.unwrap_or_else(broken)
        }
        Fault::Status(status) => respond(StatusCode::from_u16(status).unwrap(), "<html>out of order</html>"),
        Fault::TooMany(seconds) => {
            let mut answer = respond(StatusCode::TOO_MANY_REQUESTS, "<html>too many requests</html>");
            let wish = header::HeaderValue::from_static(seconds);
            answer.headers_mut().insert(header::RETRY_AFTER, wish);
            answer
        }
        Fault::Garbage(bytes) => respond(StatusCode::OK, bytes),
        Fault::Gzip => {
            let mut answer = respond(StatusCode::OK, GZIPPED);
            let gzip = header::HeaderValue::from_static("gzip");
            answer.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            answer
        }
        Fault::Flood => {
            let parts = futures_util::stream::iter(
                (0..200).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1_000_000]))),
            );
            respond(StatusCode::OK, Body::from_stream(parts))
        }
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            forward(&shared, body).await
        }
    }
}

impl Rule {
    /// Waits for the test's word on what is held.
    async fn opens(&self) -> bool {
        let mut door = self.door.subscribe();
        let at = *door.wait_for(|at| *at != Door::Shut).await.unwrap();
        at == Door::Open
    }
}

fn calls_in(questions: &Value) -> Vec<Call> {
    list_of(questions).iter().map(call_in).collect()
}

fn list_of(questions: &Value) -> &[Value] {
    questions
        .as_array()
        .map_or(std::slice::from_ref(questions), Vec::as_slice)
}

fn call_in(question: &Value) -> Call {
    Call {
        method: question["method"].as_str().unwrap().to_owned(),
        params: question["params"].clone(),
    }
}

async fn forward(shared: &Shared, body: Bytes) -> Response<Body> {
    let questions: Value = serde_json::from_slice(&body).unwrap();
    if let Some(list) = questions.as_array().filter(|_| shared.splits) {
        return match try_join_all(list.iter().map(|question| ask(shared, question))).await {
            Ok(answers) => respond(StatusCode::OK, Value::from(answers).to_string()),
            Err(_) => broken(),
        };
    }
    match shared.client.post(&shared.node, &[], body.to_vec()).await {
        Ok(answer) => respond(StatusCode::from_u16(answer.status).unwrap(), answer.body),
        Err(_) => broken(),
    }
}

/// One question out of a batch, by itself.
async fn ask(shared: &Shared, question: &Value) -> Result<Value, reqwest::Error> {
    let answer = shared
        .client
        .post(&shared.node, &[], question.to_string().into())
        .await?;
    Ok(answer.json())
}

/// Answers the picked questions as the fault has it, and lets the node answer the others.
async fn lie(shared: &Shared, questions: &Value, pick: Pick, fault: Fault) -> Response<Body> {
    let mut answers = Vec::new();
    for question in list_of(questions) {
        let call = call_in(question);
        let is_picked = pick(&call);
        let mut answer = if let Some(made_up) = fault.instead(&call).filter(|_| is_picked) {
            made_up
        } else {
            ask(shared, question).await.unwrap()
        };
        if let (Fault::Falsify(change), true) = (fault, is_picked) {
            change(&call, &mut answer);
        }
        (answer["jsonrpc"], answer["id"]) = ("2.0".into(), question["id"].clone());
        answers.push(answer);
    }
    if let Fault::Rearrange(change) = fault {
        change(&mut answers);
    }
    let body = if questions.is_array() || answers.len() > 1 {
        answers.into()
    } else {
        answers.remove(0)
    };
    respond(StatusCode::OK, Value::to_string(&body))
}

impl Fault {
    /// The answer to a question that the node does not hear.
    fn instead(self, call: &Call) -> Option<Value> {
        match self {
            Self::Error(code, message) => Some(json!({"error": {"code": code, "message": message}})),
            Self::Result(text) => {
                let result: Value = serde_json::from_str(text).unwrap();
                Some(json!({"result": result}))
            }
            Self::Pretend(make) => Some(json!({"result": make(call)})),
            Self::HoldRequest
            | Self::HoldAnswer
            | Self::LoseRequest
            | Self::LoseAnswer
            | Self::Status(_)
            | Self::TooMany(_)
            | Self::Garbage(_)
            | Self::Gzip
            | Self::Flood
            | Self::Falsify(_)
            | Self::Rearrange(_)
            | Self::Displace
            | Self::Delay(_) => None,
        }
    }
}

fn respond(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let builder = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json");
    builder.body(body.into()).unwrap()
}

/// An answer that breaks off before its first byte.
fn broken() -> Response<Body> {
    let end = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
    respond(StatusCode::OK, Body::from_stream(end))
}
