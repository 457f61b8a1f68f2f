//! Questions to a node, asked behind the facilitator's back.

use serde_json::{Value, json};

use super::http::Client;

/// A node's JSON-RPC.
pub(crate) struct Rpc {
    pub(crate) url: String,
    client: Client,
}

impl Rpc {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            client: Client::new(),
        }
    }

    /// Asks; an error is an answer.
    pub(crate) async fn try_call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self
            .client
            .post(&self.url, &[], request.to_string().into())
            .await
            .unwrap();
        let mut answer = answer.json();
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}
