//! The same payments without a facilitator: each connection sends one, waits until the cluster has confirmed it, and
//! sends the next. One more connection asks for the state of all that wait.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::http;
use crate::load::{self, Load};

/// Pause between two questions. A client that only waits can ask far more often than any facilitator may.
const PAUSE: Duration = Duration::from_millis(2);

/// Signatures in one question, which a node bounds.
const SIGNATURES_MAX: usize = 256;

/// No single run may take longer, whatever happens.
const RUN_MAX: Duration = Duration::from_secs(90);

/// A payment to send: the name of its transaction, and the request.
pub(crate) struct Sending {
    signature: String,
    request: Vec<u8>,
}

impl Sending {
    /// A transaction with all its signatures, in base64.
    pub(crate) fn new(signature: String, transaction: &str) -> Self {
        let how = json!({"encoding": "base64", "skipPreflight": true});
        Self {
            signature,
            request: call("sendTransaction", &json!([transaction, how])),
        }
    }
}

struct Shared {
    payments: Vec<Sending>,
    lull_max: Duration,
    next: Cell<usize>,
    open: Cell<usize>,
    waiting: RefCell<HashMap<String, oneshot::Sender<()>>>,
    micros: RefCell<Vec<u32>>,
}

impl Shared {
    fn some_waiting(&self) -> Vec<String> {
        let waiting = self.waiting.borrow();
        waiting.keys().take(SIGNATURES_MAX).cloned().collect()
    }
}

/// Sends each of these once over so many connections, after a lull each, and waits for all of them.
pub(crate) fn run(to: SocketAddr, payments: Vec<Sending>, connections: usize, lull_max: Duration) -> Load {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let shared = Rc::new(Shared {
            open: Cell::new(payments.len()),
            payments,
            lull_max,
            next: Cell::new(0),
            waiting: RefCell::default(),
            micros: RefCell::default(),
        });
        let began = Instant::now();
        for _ in 0..connections {
            tokio::task::spawn_local(send(Rc::clone(&shared), to));
        }
        let all = tokio::time::timeout(RUN_MAX, watch(&shared, to)).await;
        all.expect("the cluster confirms what it was sent");
        Load::of(shared.micros.take(), began.elapsed())
    })
}

async fn send(shared: Rc<Shared>, to: SocketAddr) {
    let stream = load::connect(to).await.unwrap();
    let mut buffer = vec![0; 16 * 1024];
    while let Some(payment) = shared.payments.get(shared.next.get()) {
        let number = shared.next.replace(shared.next.get() + 1);
        load::lull(shared.lull_max, number).await;
        let sent = Instant::now();
        let head = load::exchange(&stream, &payment.request, &mut buffer).await.unwrap();
        let answer: Value = serde_json::from_slice(&buffer[head.size..head.whole()]).unwrap();
        assert_eq!(answer["result"], payment.signature, "the node took it: {answer}");
        let (confirmed, is_confirmed) = oneshot::channel();
        shared.waiting.borrow_mut().insert(payment.signature.clone(), confirmed);
        is_confirmed.await.unwrap();
        let micros = u32::try_from(sent.elapsed().as_micros()).unwrap();
        shared.micros.borrow_mut().push(micros);
        shared.open.set(shared.open.get() - 1);
    }
}

async fn watch(shared: &Shared, to: SocketAddr) {
    let stream = load::connect(to).await.unwrap();
    let mut buffer = vec![0; 64 * 1024];
    while shared.open.get() > 0 {
        tokio::time::sleep(PAUSE).await;
        let asked = shared.some_waiting();
        if asked.is_empty() {
            continue;
        }
        let request = call("getSignatureStatuses", &json!([asked]));
        let head = load::exchange(&stream, &request, &mut buffer).await.unwrap();
        let answer: Value = serde_json::from_slice(&buffer[head.size..head.whole()]).unwrap();
        for (signature, status) in asked.iter().zip(answer["result"]["value"].as_array().unwrap()) {
            assert!(status["err"].is_null(), "a payment failed: {status}");
            let how_far = status["confirmationStatus"].as_str();
            if matches!(how_far, Some("confirmed" | "finalized")) {
                let confirmed = shared.waiting.borrow_mut().remove(signature).unwrap();
                confirmed.send(()).unwrap();
            }
        }
    }
}

fn call(method: &str, params: &Value) -> Vec<u8> {
    http::post(
        "/",
        &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(),
    )
}
