//! A blocking JSON-RPC client for local nodes.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{self, Client};

/// Calls in one HTTP request.
const BATCH: usize = 100;

/// One connection to a node.
pub(crate) struct Node(Client);

impl Node {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self(Client::connect(to).unwrap())
    }

    /// Asks one question; anything but a result ends the benchmark.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let mut answer = self.ask(&request(method, params));
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }

    /// Asks many, a hundred at a time.
    pub(crate) fn batch(&mut self, method: &str, params: &[Value]) -> Vec<Value> {
        let mut results = Vec::with_capacity(params.len());
        for chunk in params.chunks(BATCH) {
            let mut answers = self.ask(&chunk.iter().map(|it| request(method, it)).collect());
            for answer in answers.as_array_mut().expect("a batch is answered by a batch") {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                results.push(answer["result"].take());
            }
        }
        results
    }

    fn ask(&mut self, question: &Value) -> Value {
        let (_, body) = self.0.ask(&http::post("/", &question.to_string())).unwrap();
        serde_json::from_slice(body).unwrap()
    }
}

fn request(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}
