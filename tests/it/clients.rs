//! The official clients and resource servers, unchanged, on both sides of the facilitator.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::process::Process;
use crate::support::provided;
use crate::support::world::{Setup, World};

/// One purchase, as the script reports it.
async fn buy(world: &World, script: &str, payer: usize) -> Value {
    let at = addresses();
    let settings = [
        ("FACILITATOR_URL", world.facilitator.base()),
        ("RPC_URL", world.node.url().to_owned()),
        ("PAYER_KEY", at.accounts[payer].key.to_string()),
        ("PAY_TO", at.pay_to.to_string()),
        ("PRICE", "10000".to_owned()),
    ];
    run_script(script, &settings).await
}

/// Runs an official client with these settings, and gives its report.
pub(crate) async fn run_script(script: &str, settings: &[(&str, String)]) -> Value {
    let mut node = Command::new("node");
    node.arg(PathBuf::from(provided("FACILITATOR_STACK")).join(script));
    node.envs(settings.iter().map(|(name, value)| (name, value)));
    let (status, said) = Process::spawn("the official client", &mut node).ended().await;
    assert!(status.success(), "{script}: {said}");
    let line = said.lines().find(|line| line.starts_with("{\"protocol\"")).unwrap();
    serde_json::from_str(line).unwrap()
}

async fn official(script: &str, network: &str) {
    let world = World::start(Setup {
        mining: Mining::EverySecond,
        ..Setup::default()
    })
    .await;
    let paid = buy(&world, script, 1).await;
    assert_eq!((&paid["unpaidStatus"], &paid["paidStatus"]), (&402.into(), &200.into()));
    assert_eq!(paid["network"], network);
    assert_eq!(world.received().await, 10_000);
    let sql = "select s.landed_tx from payments p join settlements s on s.payment_id = p.id where p.nonce = $1";
    let nonce = paid["nonce"].as_str().unwrap();
    let landed: String = sqlx::query_scalar(sql)
        .bind(nonce)
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(paid["transaction"], landed);
    books_agree(&world).await;
}

#[tokio::test]
async fn case_10_a_purchase_over_version_1() {
    official("pay-v1.mjs", "base-sepolia").await;
}

#[tokio::test]
async fn a_purchase_over_version_2() {
    official("pay-v2.mjs", "eip155:84532").await;
}
