//! Payments on Solana: what they are made of, and what they are measured on.

mod cluster;
mod direct;
mod ledger;
pub(crate) mod limit;
mod payment;
pub(crate) mod settle;
pub(crate) mod stub;

use std::net::SocketAddr;
use std::time::Duration;

use payment::{DECIMALS, Holder};
use solana_pubkey::{Pubkey, pubkey};

use crate::verify::Subject;
use crate::world::Network;

/// The public test cluster: the first 32 characters of its genesis hash.
const NETWORK: &str = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1";
/// Its USDC.
const USDC: Pubkey = pubkey!("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU");

/// How many of the newest blockhashes the payments name: each client asks for one, at a time of its own.
const BLOCKHASHES: usize = 16;

/// What `/verify` is measured with.
pub(crate) const SUBJECT: Subject = Subject {
    chain: "Solana",
    limit: "parse, verify the signature",
    limit_role: "--solana-limit",
    stub_role: "--solana-stub",
    requests: |count| requests("/verify", count),
    question: stub::question,
    network: |stub| network(NETWORK, stub, ledger::SLOT, &stub::fee_payer(), ""),
};

/// This many payments that the stub node finds good, as requests to this path.
fn requests(path: &str, count: usize) -> Vec<Vec<u8>> {
    stub::mint().requests(path, &stub::blockhashes()[..BLOCKHASHES], count)
}

/// The cluster of that name, by this node, paid for by this fee payer; with more settings, each on a line.
fn network(name: &str, node: SocketAddr, block_time: Duration, fee_payer: &Holder, more: &str) -> Network {
    let block_time_ms = block_time.as_millis();
    let toml = format!(
        r#"
[[network]]
id = "{name}"
rpc_url = "http://{node}"
signers = [{{ env = "FIGURES_SOLANA_KEY" }}]
block_time_ms = {block_time_ms}
budget.total = {{ minute = "unlimited", day = "unlimited" }}
budget.signer = {{ minute = "unlimited", day = "unlimited" }}
budget.payer = {{ minute = "unlimited", day = "unlimited" }}
{more}
[[network.asset]]
address = "{USDC}"
symbol = "USDC"
decimals = {DECIMALS}
program = "token"
"#
    );
    Network {
        toml,
        key: ("FIGURES_SOLANA_KEY", fee_payer.to_base58()),
    }
}
