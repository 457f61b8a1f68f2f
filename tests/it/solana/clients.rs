//! The official clients and resource servers, unchanged, on both sides of the facilitator.

use serde_json::Value;

use crate::clients::run_script;
use crate::support::solana::books::books_agree;
use crate::support::solana::payer::NETWORK;
use crate::support::solana::world::{Setup, SolanaWorld};

/// One purchase in this token, as the script reports it.
async fn buy(world: &SolanaWorld, script: &str, payer: usize, mint: &str, memo: &str) -> Value {
    let at = &world.node.at;
    let settings = [
        ("FACILITATOR_URL", world.facilitator.base()),
        ("RPC_URL", world.node.url().to_owned()),
        ("PAYER_KEY", at.payers[payer].text.clone()),
        ("PAY_TO", at.seller.address.to_string()),
        ("PRICE", "10000".to_owned()),
        ("ASSET", world.node.mint(mint).address.to_string()),
        ("MEMO", memo.to_owned()),
    ];
    let paid = run_script(script, &settings).await;
    assert_eq!((&paid["unpaidStatus"], &paid["paidStatus"]), (&402.into(), &200.into()));
    assert_eq!(paid["payer"], at.payers[payer].address.to_string());
    let sql = "select landed_tx from settlements order by created_at desc limit 1";
    let landed: String = world.db.one(sql).await;
    assert_eq!(paid["transaction"], landed);
    paid
}

#[tokio::test]
async fn a_purchase_over_version_1() {
    let setup = Setup {
        slot_ms: 400,
        ..Setup::default()
    };
    let world = setup.start().await;
    let paid = buy(&world, "pay-solana-v1.mjs", 1, "usdc", "").await;
    assert_eq!(paid["network"], "solana-devnet");
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn purchases_over_version_2() {
    let setup = Setup {
        slot_ms: 400,
        fee_payers: 2,
        ..Setup::default()
    };
    let world = setup.start().await;
    for (payer, (mint, memo)) in [("usdc", ""), ("usdc", "order 7"), ("pyusd", "order 8")]
        .into_iter()
        .enumerate()
    {
        let paid = buy(&world, "pay-solana-v2.mjs", payer, mint, memo).await;
        assert_eq!(paid["network"], NETWORK);
    }
    assert_eq!(world.received().await, 20_000);
    let memos: i64 = world.db.count("payments where memo in ('order 7', 'order 8')").await;
    assert_eq!(memos, 2);
    books_agree(&world).await;
}
