//! Payments on EVM chains: what they are made of, and what they are measured on.

mod anvil;
pub(crate) mod limit;
mod payment;
pub(crate) mod settle;
pub(crate) mod stub;
mod tally;
pub(crate) mod webhooks;

use std::net::SocketAddr;
use std::time::Duration;

use payment::{Chain, Mint};

use crate::verify::Subject;
use crate::world::Network;

/// As many payers as a busy hour has.
const PAYERS: usize = 512;
const PAYEES: usize = 16;

/// What `/verify` is measured with.
pub(crate) const SUBJECT: Subject = Subject {
    chain: "EVM",
    limit: "parse, hash, recover",
    limit_role: "--evm-limit",
    stub_role: "--evm-stub",
    requests: |count| Mint::new(&Chain::load(), PAYERS, PAYEES).requests("/verify", count),
    question: stub::lens_request,
    network: |stub| network(&Chain::load(), stub, Duration::from_secs(1)),
};

/// The prepared chain on this node, with its first account as the facilitator's signer.
fn network(chain: &Chain, node: SocketAddr, block_time: Duration) -> Network {
    let Chain {
        network,
        usdc,
        usdc_name,
        usdc_version,
        ..
    } = chain;
    let block_time_ms = block_time.as_millis();
    let toml = format!(
        r#"
[[network]]
id = "{network}"
rpc_url = "http://{node}"
signers = [{{ env = "FIGURES_EVM_KEY" }}]
block_time_ms = {block_time_ms}
fee_max_gwei = 1000
budget.total = {{ minute = "unlimited", day = "unlimited" }}
budget.signer = {{ minute = "unlimited", day = "unlimited" }}
budget.payer = {{ minute = "unlimited", day = "unlimited" }}
[[network.asset]]
address = "{usdc}"
name = "{usdc_name}"
version = "{usdc_version}"
symbol = "USDC"
decimals = 6
"#
    );
    Network {
        toml,
        key: ("FIGURES_EVM_KEY", chain.accounts[0].key.clone()),
    }
}
