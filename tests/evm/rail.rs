//! The rail under test, and verification as the application does it.

use std::sync::Arc;

use facilitator::chain::{self, Unservable};
use facilitator::domain::rail::{Facts, Rail};
use facilitator::domain::rejection::{Refused, Rejection};
use facilitator::domain::time::Timestamp;
use facilitator::domain::verdict::{Verified, precheck};
use facilitator::task::Tasks;
use serde_json::{Value, json};

use crate::support::anvil::{Anvil, told};
use crate::support::pay::Payment;

/// When payments are judged: the chain's own time is earlier.
pub(crate) const NOW: Timestamp = Timestamp(3_000_000_000);

/// The settings of the local chain; account 0 settles.
pub(crate) fn settings(anvil: &Anvil, url: &str) -> Value {
    let asset = |name: &str| {
        let address = anvil.address(name);
        json!({ "address": address, "name": "USDC", "version": "2", "symbol": "USDC", "decimals": 6 })
    };
    json!({
        "id": "eip155:84532", "rpc_url": url, "signers": [anvil.key(0)], "block_time_ms": 1000,
        "fee_max_gwei": 100, "factories": [anvil.address("walletFactory"), anvil.address("revertingFactory")],
        "budget": {
            "total": { "minute": "unlimited", "day": "unlimited" },
            "signer": { "minute": "unlimited", "day": "unlimited" },
            "payer": { "minute": "unlimited", "day": "unlimited" },
        },
        "asset": [asset("usdc"), asset("trickToken")],
    })
}

pub(crate) async fn connect(settings: Value) -> Result<Arc<dyn Rail>, Unservable> {
    let settings: chain::evm::Settings = serde_json::from_value(settings).unwrap();
    let mut rails = chain::connect(&[chain::Settings::Evm(settings)], &Tasks::default()).await?;
    Ok(rails.remove(0))
}

/// A node of its own and a rail on it.
pub(crate) async fn rail() -> (Anvil, Arc<dyn Rail>) {
    let anvil = Anvil::start(&[]).await;
    let rail = connect(settings(&anvil, &anvil.url)).await.unwrap();
    (anvil, rail)
}

/// What becomes of a payment: verified, refused for this, or a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad(Rejection),
    Malformed(String),
    Fault(String),
}

impl Verdict {
    /// The rejection's name, `Good`, or what else it is.
    pub(crate) fn name(&self) -> String {
        let text = match self {
            Self::Bad(rejection) => format!("{rejection:?}"),
            Self::Good | Self::Malformed(_) | Self::Fault(_) => format!("{self:?}"),
        };
        text.split([' ', '(', '{']).next().unwrap().to_owned()
    }
}

/// All rules in the order that the application applies them.
pub(crate) async fn verify(rail: &dyn Rail, payment: &Payment) -> Verdict {
    let request = payment.request();
    let authorization = match rail.decode(&request) {
        Ok(authorization) => authorization,
        Err(Refused::Malformed(malformed)) => return Verdict::Malformed(malformed.path),
        Err(Refused::Rejected(rejection)) => return Verdict::Bad(rejection),
    };
    let canonical = |text: &str| rail.canonical_account(text);
    if let Err(rejection) = precheck(
        &request,
        &authorization,
        NOW,
        rail.pace().lifetime_min_seconds,
        canonical,
    ) {
        return Verdict::Bad(rejection);
    }
    let facts = match rail.inspect(&authorization).await {
        Ok(facts) => facts,
        Err(fault) => return Verdict::Fault(fault.to_string()),
    };
    match Verified::judge(request, authorization, facts) {
        Ok(_) => Verdict::Good,
        Err(rejection) => Verdict::Bad(rejection),
    }
}

/// What the chain says of the payment.
pub(crate) async fn facts(rail: &dyn Rail, payment: &Payment) -> Facts {
    let authorization = rail.decode(&payment.request()).unwrap();
    rail.inspect(&authorization).await.unwrap()
}

#[test]
fn the_lens_is_what_its_source_compiles_to() {
    let stack = told("FACILITATOR_STACK");
    let checked = std::process::Command::new("node")
        .args(["compile.mjs", "lens", "--check"])
        .current_dir(stack)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
