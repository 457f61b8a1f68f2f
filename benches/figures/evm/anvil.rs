//! The local node.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::evm::payment::Chain;
use crate::http::Client;
use crate::world::{Running, START_MAX, Scratch, free_port, local};

/// The local node with the prepared state.
pub(crate) struct Anvil {
    /// Held for its end.
    _process: Running,
    pub(crate) address: SocketAddr,
}

impl Anvil {
    /// A node that puts each transaction into a block at once.
    pub(crate) fn start(scratch: &Scratch, chain: &Chain) -> Self {
        let named = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./dev bench"));
        let port = free_port();
        let (log, _) = scratch.file("anvil.log");
        let mut process = Running(
            Command::new(named("FACILITATOR_ANVIL"))
                .args(["--host", "127.0.0.1", "--port", &port.to_string()])
                .args(["--chain-id", &chain.chain_id.to_string()])
                .args(["--load-state", &named("FACILITATOR_CHAIN_STATE")])
                .stdin(Stdio::null())
                .stdout(File::create(&log).unwrap())
                .stderr(Stdio::inherit())
                .spawn()
                .expect("anvil starts"),
        );
        let (address, began) = (local(port), Instant::now());
        while Client::connect(address).is_err() {
            assert!(
                !process.has_ended() && began.elapsed() < START_MAX,
                "anvil does not get ready"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            _process: process,
            address,
        }
    }
}
