//! Refunds on Solana: found when the merchant pays them himself, and paid from his wallet once, with a new transaction where
//! the last one's blockhash is proven to be over.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::crash::Stop;
use crate::reconcile::reconcile;
use crate::refunds::{read, recorded};
use crate::support::books::records_agree;
use crate::support::database::Obstacle;
use crate::support::eventually;
use crate::support::proxy::{Fault, send};
use crate::support::solana::payer::Payment;
use crate::support::solana::programs::associated_account;
use crate::support::solana::world::{Setup, SolanaWorld, hasty};
use crate::support::world::Payable;

/// One final payment of 10,000 to the seller, whose wallet refunds it, and the payment's id.
async fn paid_world(setup: Setup) -> (SolanaWorld, Payment, String) {
    let mut world = setup.prepare().await;
    let table = format!("[[network.refund_wallet]]\nkey = \"{}\"", world.node.at.seller.text);
    world.facilitator.config.solana[0].key = table.leak();
    world.facilitator.start().await;
    let payment = world.payment(0).await;
    world.facilitator.settle(&payment.body()).await.settled();
    world.reaches(&payment, "final").await;
    let id: String = world.db.one("select id::text from payments").await;
    let path = format!("/payments/lookup?network={}", world.node.at.network);
    let (asset, payer) = (&payment.asset, payment.payer.address);
    let found = world
        .facilitator
        .get(&format!("{path}&asset={asset}&payer={payer}&nonce={}", payment.nonce()))
        .await;
    let shown = found.json()["settlements"][0]["id"].as_str().unwrap().to_owned();
    assert!(!id.is_empty());
    (world, payment, shown)
}

async fn reaches(world: &SolanaWorld, refund: &Value, state: &str) -> Value {
    eventually(&format!("the refund is {state}"), async || {
        let read = read(world, &refund["id"]).await;
        (read["state"] == state).then_some(read)
    })
    .await
}

/// The seller sends tokens back to the payer by himself; a fee payer that nobody is offered pays for it.
async fn sends(world: &SolanaWorld, payment: &Payment, amount: u64) -> String {
    let fee_payer = world.node.at.retired_fee_payer.clone();
    let mut back = world.payment(0).await.through(fee_payer.address);
    back.payer = world.node.at.seller.clone();
    back.transfer.source = payment.transfer.destination;
    back.transfer.destination = payment.transfer.source;
    back.transfer.authority = back.payer.address;
    back.amount = amount;
    let wire = back.message().signed_by(&[&back.payer, &fee_payer]);
    let how = json!({"encoding": "base64", "skipPreflight": true});
    let sent = world
        .node
        .call("sendTransaction", json!([STANDARD.encode(&wire), how]))
        .await;
    sent.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_refund_that_the_merchant_pays_on_solana_is_found() {
    let (world, payment, id) = paid_world(hasty()).await;
    let refund = recorded(&world, &id, "a", &json!({"amount": "2500"})).await;
    let tx = sends(&world, &payment, 2_500).await;
    let done = reaches(&world, &refund, "paid").await;
    assert_eq!(done["transaction"], tx);
    let tx = sends(&world, &payment, 1_000).await;
    let claimed = recorded(&world, &id, "b", &json!({"amount": "1000", "transaction": tx})).await;
    reaches(&world, &claimed, "paid").await;
    assert_eq!(reconcile(&world, &[]).await.0, 0);
    records_agree(&world.db).await;
}

#[tokio::test]
async fn a_refund_is_paid_on_solana_from_the_account_that_was_paid() {
    let (world, payment, id) = paid_world(hasty()).await;
    let held = world.node.tokens(payment.transfer.source).await;
    let refund = recorded(&world, &id, "a", &json!({"amount": "2500", "execute": true})).await;
    assert_eq!(refund["wallet"], world.node.at.seller.address.to_string());
    let done = reaches(&world, &refund, "paid").await;
    assert_eq!(world.node.tokens(payment.transfer.source).await, held + 2_500);
    assert_eq!(world.received().await, 7_500);
    assert_eq!(done["attempts"], 1);
    let memo: String = world.db.one("select memo from payments where memo like 'rfd%'").await;
    assert_eq!(memo, refund["id"].as_str().unwrap());
    eventually("the refund's record is matched", async || {
        (world.db.count("reconciliations where state = 'matched'").await == 2).then_some(())
    })
    .await;
    assert_eq!(reconcile(&world, &[]).await.0, 0);
    assert_eq!(
        world.db.count("watched_accounts where is_wallet").await,
        0,
        "it is a recipient, too"
    );
    let mint = world.node.mint("usdc");
    let account = associated_account(world.node.at.seller.address, mint.program, mint.address);
    assert_eq!(account, payment.transfer.destination);
    records_agree(&world.db).await;
}

#[tokio::test]
async fn a_refund_whose_blockhash_is_over_is_paid_by_the_next_attempt() {
    let (world, payment, id) = paid_world(hasty()).await;
    let held = world.node.tokens(payment.transfer.source).await;
    let lost = world.proxy.fault(send, Fault::LoseRequest);
    let refund = recorded(&world, &id, "a", &json!({"amount": "2500", "execute": true})).await;
    eventually("the first attempt is over", async || {
        let read = read(&world, &refund["id"]).await;
        (read["attempts"] == 2).then_some(())
    })
    .await;
    assert_eq!(world.node.tokens(payment.transfer.source).await, held);
    lost.release();
    let done = reaches(&world, &refund, "paid").await;
    assert!(done["attempts"].as_u64().unwrap() >= 2, "{done}");
    assert_eq!(world.node.tokens(payment.transfer.source).await, held + 2_500);
    records_agree(&world.db).await;
}

async fn survives(stop: Stop) {
    let slower = Setup {
        slot_ms: 100,
        ..Setup::default()
    };
    let (mut world, payment, id) = paid_world(slower).await;
    let held = world.node.tokens(payment.transfer.source).await;
    let stopped = stop.arm(&world).await;
    let refund = recorded(&world, &id, "a", &json!({"amount": "2500", "execute": true})).await;
    stopped.reached().await;
    world.facilitator.kill();
    stopped.clear().await;
    world.facilitator.start().await;
    reaches(&world, &refund, "paid").await;
    assert_eq!(world.node.tokens(payment.transfer.source).await, held + 2_500);
    records_agree(&world.db).await;
}

#[tokio::test]
async fn killed_around_the_attempt_a_refund_on_solana_is_paid_once() {
    survives(Stop::Database(Obstacle::WritesTo("refund_attempts"))).await;
    survives(Stop::Database(Obstacle::WritesTo("settlements"))).await;
    survives(Stop::Chain(send, Fault::HoldAnswer)).await;
}
