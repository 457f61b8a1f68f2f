//! What is on record can be found by every name it has: on Solana also by what it says on chain.

use serde_json::{Value, json};

use crate::support::solana::books::books_agree;
use crate::support::solana::payer::NETWORK;
use crate::support::solana::world::{Setup, SolanaWorld, hasty};
use crate::support::world::Payable;

async fn get(world: &SolanaWorld, path: &str) -> Value {
    let answer = world.facilitator.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_payment_is_found_by_every_name_it_has() {
    let world = Setup::default().start().await;
    let payment = world.payment(0).await.remembering("order 7 & more");
    let answer = world
        .facilitator
        .caller()
        .settle_keyed(&payment.body(), "order-7")
        .await;
    let tx = answer.settled();
    let id = answer.json()["extra"]["paymentId"].as_str().unwrap().to_owned();
    let shown = get(&world, &format!("/payments/{id}")).await;
    for (key, value) in [
        ("id", json!(id)),
        ("state", json!("confirmed")),
        ("network", json!(NETWORK)),
        ("scheme", json!("exact")),
        ("asset", json!(payment.asset)),
        ("payer", json!(payment.payer.address.to_string())),
        ("payTo", json!(payment.pay_to.to_string())),
        ("amount", json!("10000")),
        ("nonce", json!(payment.nonce())),
        ("memo", json!("order 7 & more")),
        ("transaction", json!(tx)),
        ("transactions", json!([tx])),
        ("finality", json!("confirmed")),
        ("resource", json!(payment.resource)),
        ("failure", Value::Null),
        ("setback", Value::Null),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    let found = world.node.transaction(&tx).await.unwrap();
    assert_eq!(shown["block"]["number"], found["slot"]);
    let (asset, payer, nonce) = (&payment.asset, payment.payer.address, payment.nonce());
    for path in [
        format!("/payments/lookup?network={NETWORK}&asset={asset}&payer={payer}&nonce={nonce}"),
        format!("/payments/lookup?transaction={tx}"),
        "/payments/lookup?memo=order%207%20%26%20more".to_owned(),
        format!("/v1/settlements?payTo={}", payment.pay_to),
        "/v1/settlements".to_owned(),
    ] {
        assert_eq!(
            get(&world, &path).await,
            json!({"settlements": [shown], "nextCursor": null}),
            "{path}"
        );
    }
    books_agree(&world).await;
}

#[tokio::test]
async fn memos_are_found_as_they_are_and_only_where_they_were_asked_for() {
    let world = Setup::default().start().await;
    let mut ids = Vec::new();
    for memo in ["order 7", "order 7", "order 70", "ORDER 7"] {
        let payment = world.payment(ids.len()).await.remembering(memo);
        let answer = world.facilitator.settle(&payment.body()).await;
        answer.settled();
        ids.push(answer.json()["extra"]["paymentId"].clone());
    }
    // Its memo is its own affair.
    let unasked = world.payment(5).await;
    world.facilitator.settle(&unasked.body()).await.settled();
    let found = async |memo: &str| {
        let page = get(&world, &format!("/payments/lookup?memo={memo}")).await;
        let list = page["settlements"].as_array().unwrap().iter();
        list.map(|it| it["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found("order%207").await, ids[..2]);
    assert_eq!(found("order%2070").await, ids[2..3]);
    assert_eq!(found("order").await, [Value::Null; 0]);
    assert_eq!(found(&unasked.memo).await, [Value::Null; 0]);
    books_agree(&world).await;
}

#[tokio::test]
async fn the_report_has_solanas_payments() {
    let world = hasty().start().await;
    let payment = world.payment(0).await.remembering("=1+1");
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    world.reaches(&payment, "final").await;
    let (status, csv) = world.facilitator.run("report", &[]).await;
    assert!(status.success(), "{csv}");
    let lines: Vec<&str> = csv.split("\r\n").filter(|it| !it.is_empty()).collect();
    assert_eq!(lines.len(), 2, "{csv}");
    let payer = payment.payer.address.to_string();
    for part in [tx.as_str(), NETWORK, &payment.asset, &payer, ",final,", "0.010000"] {
        assert!(lines[1].contains(part), "{part}: {csv}");
    }
    assert!(!csv.contains(",=1+1"), "formulas are disarmed: {csv}");
    books_agree(&world).await;
}
