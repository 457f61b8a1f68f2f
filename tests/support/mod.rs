//! What the tests stand on: a real node, a real database, the real binary between them, and doors that can be shut.

mod answers;
pub(crate) mod anvil;
pub(crate) mod books;
pub(crate) mod cluster;
pub(crate) mod config;
mod confined;
pub(crate) mod contracts;
pub(crate) mod counted;
pub(crate) mod database;
pub(crate) mod disk;
pub(crate) mod facilitator;
pub(crate) mod gate;
pub(crate) mod http;
pub(crate) mod inside;
pub(crate) mod nginx;
pub(crate) mod payer;
pub(crate) mod pooler;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod receiver;
mod rpc;
pub(crate) mod solana;
pub(crate) mod store;
pub(crate) mod world;

use std::io::Write;
use std::time::{Duration, Instant};

/// Far longer than anything here takes, so that a loaded machine does not fail a test.
const PATIENCE: Duration = Duration::from_mins(3);

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Something that `./dev test` provides.
pub(crate) fn provided(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with ./dev test"))
}

/// Something that not every machine and command provides. Where it is missing, this says so past the capture of output.
pub(crate) fn offered(name: &str, what: &str) -> Option<String> {
    let offered = std::env::var(name).ok().filter(|it| !it.is_empty());
    if offered.is_none() {
        drop(writeln!(std::io::stderr(), "SKIPPED: there is no {what} here ({name})"));
    }
    offered
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
