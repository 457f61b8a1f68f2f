//! The operator's page in a real browser, over both chains: whoever runs the facilitator finds every payment and sees all of
//! it, by keyboard alone, on a phone too; and nothing that anybody names can become markup. Beside it, what its listener
//! refuses.

use alloy::primitives::U256;
use serde_json::{Value, json};

use crate::clients::run_script;
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::eventually;
use crate::support::http::{Answer, Client};
use crate::support::offered;
use crate::support::payer::Payment;
use crate::support::process::free_port;
use crate::support::proxy::{Fault, fee_quote};
use crate::support::solana::world::Setup as SolanaSetup;
use crate::support::world::{Payable, Setup, World};
use crate::waiting::until_facts_are_old;

/// What a merchant may call a payment: markup wherever a page would take it for such.
const HOSTILE: &str = "<img src=x onerror=\"globalThis.hit=1\"><script>globalThis.hit=1</script>'\"&lt;";

/// A world with the operator's page.
async fn shown(setup: Setup) -> World {
    let mut world = World::prepare(setup).await;
    world.facilitator.config.operator_port = Some(free_port());
    world
}

fn desk(world: &World) -> String {
    let port = world.facilitator.config.operator_port.unwrap();
    format!("http://127.0.0.1:{port}")
}

async fn get(world: &World, path: &str) -> Answer {
    Client::new().get(&format!("{}{path}", desk(world))).await.unwrap()
}

/// A payment that is withdrawn: its payer has spent the money before its turn came.
async fn withdrawn(world: &World) {
    let payment = Payment::by(5);
    let payer = addresses().accounts[5].address;
    let value = U256::from(world.node.balance_of(payment.asset, payer).await);
    let quote = world.proxy.fault(fee_quote, Fault::Status(500));
    let settling = world.settling(&payment);
    quote.met(1).await;
    let call = Token::transferCall {
        to: third_party(),
        value,
    };
    world.node.send_mined(payer, payment.asset, &call).await;
    until_facts_are_old().await;
    quote.release();
    settling.await.unwrap().unsettled();
    assert_eq!(world.state(&payment).await.unwrap(), "withdrawn");
}

/// What the page is asked to find, by the kind of the name.
async fn references(world: &World, payment: &Payment) -> Value {
    let nonce = payment.nonce();
    let page = get(world, &format!("/v1/operator/payments?nonce={nonce}")).await.json();
    let id = page["payments"][0]["id"].as_str().unwrap().to_owned();
    let record = get(world, &format!("/v1/settlements/{id}")).await.json();
    json!({
        "id": id,
        "names": {
            "id": id,
            "nonce": nonce,
            "transaction": record["transaction"],
            "authorizationReference": record["authorizationReference"],
            "merchantReference": HOSTILE,
            "orderId": "order-7",
            "idempotencyKey": "key-7",
            "resource": payment.resource,
        },
    })
}

#[tokio::test]
async fn an_operator_finds_and_sees_everything_by_keyboard_and_on_a_phone() {
    let Some(chromium) = offered("FACILITATOR_CHROMIUM", "Chromium") else {
        return;
    };
    let solana = SolanaSetup::default().prepare().await;
    let mut world = shown(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let cluster = solana.facilitator.config.solana[0].clone();
    world.facilitator.config.solana.push(cluster);
    world.facilitator.config.tells_private = Some(true);
    world.facilitator.start().await;

    let named = Payment {
        resource: format!("https://shop.example/{}?<svg onload=alert(1)>", "r".repeat(120)),
        ..Payment::by(1)
    };
    let names = [
        ("merchant-reference", HOSTILE),
        ("order-id", "order-7"),
        ("idempotency-key", "key-7"),
        ("metadata", "{\"<b>cart</b>\":\"<i>c7</i>\"}"),
    ];
    world
        .facilitator
        .caller()
        .settle_named(&named.body(), &names)
        .await
        .settled();
    for payer in 2..=4 {
        world.facilitator.settle(&Payment::by(payer).body()).await.settled();
    }
    for payer in 0..2 {
        let payment = solana.payment(payer).await;
        world.facilitator.settle(&payment.body()).await.settled();
    }
    withdrawn(&world).await;
    let direct = Token::transferCall {
        to: addresses().pay_to,
        value: U256::from(7),
    };
    let outsider = addresses().accounts[3].address;
    world.node.send_mined(outsider, addresses().usdc, &direct).await;
    world.node.mine(4).await;
    world.reaches(&named, "final").await;
    eventually("the direct transfer is an exception", async || {
        world.node.mine(1).await;
        let open = world.db.count("reconciliations where state = 'unknown_on_chain'").await;
        (open == 1).then_some(())
    })
    .await;

    let settings = [
        ("OPERATOR_URL", desk(&world)),
        ("CHROMIUM", chromium),
        ("HOSTILE", HOSTILE.to_owned()),
        ("FACILITATOR_URL", world.facilitator.base()),
        ("NEXT_BODY", Payment::by(2).body().to_string()),
        ("WANTED", references(&world, &named).await.to_string()),
    ];
    let report = run_script("page.mjs", &settings).await;
    assert_eq!(report["faults"], json!([]), "{report:#}");
    let acted =
        "reconciliation_actions where action = 'resolve' and actor = 'ada' and note = 'a top-up <b>of ours</b>'";
    assert_eq!(world.db.count(acted).await, 1);
}

#[tokio::test]
async fn the_operators_listener_serves_the_page_and_its_reading_and_nothing_that_settles() {
    let mut world = shown(Setup::default()).await;
    world.facilitator.start().await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();

    let page = get(&world, "/").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        page.status == 200 && policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    let tag = page.headers["etag"].to_str().unwrap();
    assert_eq!(
        (page.headers["cache-control"].to_str().unwrap(), tag.len()),
        ("no-cache", 34)
    );
    for path in [
        "/v1/operator/about",
        "/v1/operator/signers",
        "/v1/operator/networks",
        "/v1/operator/webhooks",
    ] {
        let answer = get(&world, path).await;
        assert_eq!(
            (answer.status, answer.headers["cache-control"].to_str().unwrap()),
            (200, "no-store"),
            "{path}"
        );
        assert_eq!(get(&world, &format!("{path}?colour=red")).await.status, 400, "{path}");
        assert_eq!(world.facilitator.get(path).await.status, 404, "{path} is not public");
    }
    let caller = Client::new();
    for path in ["/verify", "/settle", "/v1/reports"] {
        let answer = caller
            .post(&format!("{}{path}", desk(&world)), &[], b"{}".to_vec())
            .await
            .unwrap();
        assert_eq!(answer.status, 404, "{path}");
    }
    let act = format!(
        "{}/v1/reconciliation/exceptions/exc_{}/actions",
        desk(&world),
        "0".repeat(26)
    );
    let body = json!({"action": "ignore", "note": "a", "actor": "b"}).to_string();
    for (name, value) in [
        ("host", "evil.example"),
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let forged = [(name, value.to_owned())];
        assert_eq!(
            caller.post(&act, &forged, body.clone().into()).await.unwrap().status,
            403,
            "{name}"
        );
    }
    assert_eq!(caller.post(&act, &[], body.into()).await.unwrap().status, 404);

    let volume = get(&world, "/v1/operator/volume").await.json();
    assert_eq!(volume["sums"][0]["amount"], "10000", "{volume}");
    let networks = get(&world, "/v1/operator/networks").await;
    let signers = get(&world, "/v1/operator/signers").await.json();
    assert!(signers["signers"][0]["settlementsLeft"].as_u64() > Some(0), "{signers}");
    assert!(!networks.text().contains(&world.proxy.url), "{}", networks.text());
    assert_eq!(networks.json()["networks"][0]["endpoints"][0]["fit"], true);
    let listed = get(&world, "/v1/operator/payments?state=confirmed,final").await.json();
    let id = listed["payments"][0]["id"].as_str().unwrap();
    let story = get(&world, &format!("/v1/operator/payments/{id}")).await.json();
    assert_eq!(story["transactions"][0]["status"], "mined", "{story}");
    assert_eq!(
        (
            story["evidence"][0]["claim"].as_str(),
            story["evidence"][0]["ours"].as_bool()
        ),
        (Some("landed"), Some(true))
    );
    assert!(story["ledger"].as_array().unwrap().len() >= 2, "{story}");
}
