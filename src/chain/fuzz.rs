//! What is always true of a node's answer, however it is spoiled.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a property that does not hold has to end the run"
)]

use std::sync::OnceLock;

use super::rpc::{Rpc, TIMEOUT_DEFAULT};

/// Part of the endpoint's address, as a node may repeat it.
const KEY: &str = "c0ffee00c0ffee00";

/// Text of a node is bounded and does not tell the endpoint's address.
pub fn answer(bytes: &[u8]) {
    static RPC: OnceLock<Rpc> = OnceLock::new();
    let rpc = RPC.get_or_init(|| {
        let network = "eip155:84532".parse().unwrap();
        Rpc::new(network, 0, &format!("http://localhost/{KEY}"), TIMEOUT_DEFAULT).unwrap()
    });
    for error in rpc.said(bytes) {
        assert!(!error.contains(KEY), "{error}");
        assert!(error.chars().count() < 500, "{error}");
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
}
