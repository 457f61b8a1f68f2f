//! Receipts: signed by us, checked by others without asking.

use std::process::Command;

use serde_json::{Value, json};

use super::clients::run_script;
use crate::support::books::books_agree;
use crate::support::payer::Payment;
use crate::support::world::{Setup, World};

/// Runs `facilitator receipt check`: its status, and what it says.
fn check(keys: &str, receipt: &str) -> (Option<i32>, String) {
    let file = std::env::temp_dir().join(format!("facilitator-keys-{}.json", std::process::id()));
    std::fs::write(&file, keys).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_facilitator"))
        .args(["receipt", "check", "--keys"])
        .arg(&file)
        .arg(receipt)
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_receipt_is_good_to_whoever_has_the_published_key_and_says_what_the_chain_shows() {
    let mut world = World::prepare(Setup::default()).await;
    world.facilitator.config.tells_private = Some(false);
    world.facilitator.start().await;
    let (payment, caller) = (Payment::by(1), world.facilitator.caller());
    let answer = caller.settle_named(&payment.body(), &[("order-id", "7")]).await;
    let tx = answer.settled();
    let id = answer.json()["extra"]["paymentId"].as_str().unwrap().to_owned();
    let place = format!("/v1/settlements/{id}/receipt");
    let receipt = world.facilitator.get(&place).await.json()["receipt"]
        .as_str()
        .unwrap()
        .to_owned();
    let keys = world.facilitator.get("/.well-known/jwks.json").await.text();

    let settings = [("KEYS", keys.clone()), ("RECEIPT", receipt.clone())];
    let read = run_script("receipt.mjs", &settings).await;
    assert_eq!(read["header"]["typ"], "x402-receipt+jwt");
    let said = &read["claims"]["settlement"];
    let logs = world.node.receipt(&tx).await;
    for (key, value) in [
        ("id", json!(id)),
        ("transaction", json!(tx)),
        ("payer", json!(payment.from.to_string())),
        ("payTo", json!(payment.to.to_string())),
        ("amount", json!("10000")),
        ("orderId", json!("7")),
        ("resource", json!(payment.resource)),
        ("finality", json!("confirmed")),
    ] {
        assert_eq!(said[key], value, "{key}");
    }
    assert_eq!(said["block"]["hash"], logs["blockHash"]);

    let (status, printed) = check(&keys, &receipt);
    assert_eq!(status, Some(0), "{printed}");
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), read["claims"]);
    let parts: Vec<&str> = receipt.split('.').collect();
    assert_eq!(
        check(&keys, &format!("{}.{}A.{}", parts[0], parts[1], parts[2])).0,
        Some(1)
    );
    assert_eq!(check(r#"{"keys":[]}"#, &receipt).0, Some(1));
    assert_eq!(check("{}", &receipt).0, Some(2));

    let told = world
        .facilitator
        .get(&format!("/v1/settlements/{id}/events"))
        .await
        .json();
    let kinds: Vec<&Value> = told["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["type"])
        .collect();
    assert_eq!(kinds, ["payment.reserved", "payment.signed", "payment.confirmed"]);
    assert_eq!(told["events"][2]["data"]["orderId"], "7");
    books_agree(&world).await;
}

#[tokio::test]
async fn a_receipt_stays_good_after_the_secret_was_changed() {
    let mut world = World::prepare(Setup::default()).await;
    world.facilitator.config.tells_private = Some(false);
    world.facilitator.start().await;
    let paid = world.facilitator.settle(&Payment::by(1).body()).await;
    paid.settled();
    let id = paid.json()["extra"]["paymentId"].as_str().unwrap().to_owned();
    let place = format!("/v1/settlements/{id}/receipt");
    let receipt = world.facilitator.get(&place).await.json()["receipt"].clone();
    let keys = world.facilitator.get("/.well-known/jwks.json").await.json();
    let former = keys["keys"][0]["x"].as_str().unwrap();
    world.facilitator.terminate();
    world.facilitator.ended().await;
    let retired = format!("retired_receipt_keys = [\"{former}\"]");
    world.facilitator.config.signing = (
        "0fad50fad50fad50fad50fad50fad50fad50fad50fad50fad50fad50fad50fad",
        retired,
    );
    world.facilitator.start().await;
    let keys = world.facilitator.get("/.well-known/jwks.json").await;
    let both = keys.json()["keys"].as_array().unwrap().clone();
    assert_eq!((both.len(), &both[1]["x"]), (2, &json!(former)));
    let anew = world.facilitator.get(&place).await.json()["receipt"].clone();
    assert_ne!(anew, receipt);
    for receipt in [&receipt, &anew] {
        let (status, printed) = check(&keys.text(), receipt.as_str().unwrap());
        assert_eq!(status, Some(0), "{printed}");
    }
}

#[tokio::test]
async fn there_is_no_receipt_of_what_the_chain_does_not_show_and_none_without_a_key() {
    let world = World::usual().await;
    let paid = world.facilitator.settle(&Payment::by(1).body()).await;
    paid.settled();
    let id = paid.json()["extra"]["paymentId"].as_str().unwrap().to_owned();
    let refused = world.facilitator.get(&format!("/v1/settlements/{id}/receipt")).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (409, &json!("no_receipt"))
    );
    let keys = world.facilitator.get("/.well-known/jwks.json").await.json();
    assert_eq!(keys, json!({"keys": []}));
    for path in ["receipt", "events"] {
        let unknown = format!("/v1/settlements/pay_01kaf4rza2e38v79e6wbw02jwx/{path}");
        assert_eq!(world.facilitator.get(&unknown).await.status, 404, "{path}");
    }
}
