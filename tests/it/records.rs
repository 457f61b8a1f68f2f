//! What is on record can be found by every name it has, listed page by page, and printed for finance; all three say
//! the same.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::{Trick, addresses};
use crate::support::payer::{NETWORK, Payment, with};
use crate::support::world::{Setup, World};

async fn get(world: &World, path: &str) -> Value {
    let answer = world.facilitator.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// All payments of a listing, read in pages of this many.
async fn listed(world: &World, query: &str, limit: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = world
            .facilitator
            .get(&format!("/v1/settlements?limit={limit}{query}{cursor}"))
            .await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let page = answer.json();
        let link = answer.headers.get("link").map(|it| it.to_str().unwrap().to_owned());
        let payments = page["settlements"].as_array().unwrap();
        assert!(payments.len() <= limit);
        found.extend(payments.iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else {
            assert_eq!(link, None);
            return found;
        };
        cursor = format!("&cursor={next}");
        let next = format!("</v1/settlements?limit={limit}{query}{cursor}>; rel=\"next\"");
        assert_eq!(link, Some(next));
    }
}

#[tokio::test]
async fn a_payment_is_found_by_every_name_it_has() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let answer = world
        .facilitator
        .caller()
        .settle_named(
            &payment.body(),
            &[
                ("idempotency-key", "order-7"),
                ("merchant-reference", "INV 7"),
                ("order-id", "7"),
                ("metadata", r#"{"who":"Zo\u00eb"}"#),
            ],
        )
        .await;
    let tx = answer.settled();
    let id = answer.json()["extra"]["paymentId"].as_str().unwrap().to_owned();
    let shown = get(&world, &format!("/payments/{id}")).await;
    for (key, value) in [
        ("id", json!(id)),
        ("state", json!("confirmed")),
        ("network", json!(NETWORK)),
        ("scheme", json!("exact")),
        ("asset", json!(payment.asset.to_string())),
        ("payer", json!(payment.from.to_string())),
        ("payTo", json!(payment.to.to_string())),
        ("amount", json!("10000")),
        ("nonce", json!(payment.nonce)),
        ("validAfter", json!("0")),
        ("validBefore", json!(payment.valid_before.to_string())),
        ("transaction", json!(tx)),
        ("transactions", json!([tx])),
        ("finality", json!("confirmed")),
        ("resource", json!(payment.resource)),
        ("references", json!([{"kind": "idempotency_key", "value": "order-7"}])),
        ("merchantReference", json!("INV 7")),
        ("orderId", json!("7")),
        ("metadata", json!({"who": "Zoë"})),
        ("authorizationReference", json!(reference_of(&payment))),
        ("reconciliation", Value::Null),
        ("failure", Value::Null),
        ("setback", Value::Null),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    assert_eq!(get(&world, &format!("/v1/settlements/{id}")).await, shown);
    assert_eq!(shown["block"]["hash"], world.node.receipt(&tx).await["blockHash"]);
    let lower = |it: String| it.to_lowercase();
    let (asset, payer, nonce) = (payment.asset.to_string(), payment.from.to_string(), payment.nonce);
    for path in [
        format!("/payments/lookup?network={NETWORK}&asset={asset}&payer={payer}&nonce={nonce}"),
        format!(
            "/payments/lookup?network={NETWORK}&asset={}&payer={}&nonce={nonce}",
            lower(asset),
            lower(payer)
        ),
        format!("/payments/lookup?transaction={tx}"),
        format!("/payments/lookup?id={id}"),
        format!("/payments/lookup?authorizationReference={}", reference_of(&payment)),
        "/payments/lookup?idempotencyKey=order-7".to_owned(),
        "/payments/lookup?merchantReference=INV%207".to_owned(),
        "/payments/lookup?orderId=7".to_owned(),
        format!("/payments/lookup?resource={}", payment.resource),
        "/v1/settlements".to_owned(),
    ] {
        assert_eq!(
            get(&world, &path).await,
            json!({"settlements": [shown], "nextCursor": null}),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_no_question_is_refused() {
    let world = World::usual().await;
    let nonce = Payment::by(1).nonce;
    let (usdc, payer) = (addresses().usdc, addresses().accounts[1].address);
    let nothing = json!({"settlements": [], "nextCursor": null});
    for path in [
        format!("/payments/lookup?transaction=0x{}", "0".repeat(64)),
        format!("/payments/lookup?network={NETWORK}&asset={usdc}&payer={payer}&nonce={nonce}"),
        "/v1/settlements?state=failed".to_owned(),
    ] {
        assert_eq!(get(&world, &path).await, nothing, "{path}");
    }
    let unknown = world.facilitator.get("/payments/pay_01kaf4rza2e38v79e6wbw02jwx").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404, &json!("not_found"))
    );
    for (path, place) in [
        ("/payments/7", "id"),
        ("/v1/settlements?colour=red", "query"),
        ("/v1/settlements?limit=0", "limit"),
        ("/v1/settlements?state=settled", "state"),
        ("/v1/settlements?cursor=x", "cursor"),
        ("/payments/lookup", "query"),
        ("/payments/lookup?nonce=0x00", "network"),
        (
            "/payments/lookup?network=eip155:1&asset=0x&payer=0x&nonce=0x00",
            "network",
        ),
        (
            &format!("/payments/lookup?network={NETWORK}&asset=0x&payer=0x&nonce=0x00"),
            "asset",
        ),
    ] {
        let answer = world.facilitator.get(path).await;
        let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            answer.status == 400 && said.starts_with(place),
            "{path}: {} {said}",
            answer.status
        );
    }
}

/// What anybody can compute who knows what the payer signs: the formula of openapi.yaml, written down once more.
fn reference_of(payment: &Payment) -> String {
    let length = u64::try_from(NETWORK.len()).unwrap().to_be_bytes();
    let (token, payer, nonce) = (
        payment.asset.as_slice(),
        payment.from.as_slice(),
        payment.nonce.as_slice(),
    );
    let bytes = [b"eip3009", &length[..], NETWORK.as_bytes(), token, payer, nonce].concat();
    hex::encode(Sha256::digest(bytes))
}

/// The gateway's words are for finding payments, so they must be what they seem; nothing is begun otherwise.
#[tokio::test]
async fn words_that_are_none_are_refused_and_a_twin_does_not_change_those_on_record() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let caller = world.facilitator.caller();
    for header in [
        ("order-id", " "),
        ("merchant-reference", "a\tb"),
        ("metadata", r#"{"a":1}"#),
    ] {
        let answer = caller.settle_named(&payment.body(), &[header]).await;
        let said = answer.json()["errorMessage"].as_str().unwrap().to_lowercase();
        assert!(
            answer.status == 400 && said.contains(header.0),
            "{}: {said}",
            answer.status
        );
    }
    assert_eq!(listed(&world, "", 1).await, [Value::Null; 0]);
    for (at, order) in ["first", "second"].into_iter().enumerate() {
        let answer = caller.settle_named(&payment.body(), &[("order-id", order)]).await;
        assert_eq!(answer.json()["success"], at == 0);
    }
    assert_eq!(listed(&world, "", 1).await[0]["orderId"], "first");
    books_agree(&world).await;
}

/// Payments in several states, oldest first.
async fn various(world: &World) -> Vec<Payment> {
    let mut payments = Vec::new();
    for payer in [1, 2, 1, 3, 2] {
        let payment = Payment::by(payer);
        world.facilitator.settle(&payment.body()).await.settled();
        payments.push(payment);
    }
    world
        .node
        .administer(addresses().trick_token, &Trick::Revert.on())
        .await;
    let reverted = Payment::in_trick_token(1);
    let body = with(
        reverted.body(),
        "/paymentPayload/resource/url",
        "=HYPERLINK(\"x\"),\"quoted\"",
    );
    world.facilitator.settle(&body).await.unsettled();
    payments.push(reverted);
    payments
}

#[tokio::test]
async fn a_listing_is_complete_and_in_order_whatever_the_page() {
    let world = World::usual().await;
    let payments = various(&world).await;
    let nonces: Vec<Value> = payments.iter().map(|it| json!(it.nonce)).collect();
    for limit in [1, 2, 5, 6, 7, 1000] {
        let found: Vec<Value> = listed(&world, "", limit)
            .await
            .iter()
            .map(|it| it["nonce"].clone())
            .collect();
        assert_eq!(found, nonces, "in pages of {limit}");
    }
    let at = addresses();
    let (first, last) = (
        listed(&world, "", 1000).await[0].clone(),
        listed(&world, "", 1000).await[5].clone(),
    );
    let created = |it: &Value| it["createdAt"].as_str().unwrap().to_owned();
    for (query, count) in [
        (format!("&payer={}", at.accounts[1].address), 3),
        (format!("&payer={}", at.accounts[4].address), 0),
        (format!("&payTo={}", at.pay_to), 6),
        (format!("&asset={}", at.trick_token), 1),
        (format!("&network={NETWORK}"), 6),
        ("&network=eip155:1".to_owned(), 0),
        ("&state=confirmed".to_owned(), 5),
        ("&state=in_flight".to_owned(), 1),
        ("&state=in_flight,confirmed".to_owned(), 6),
        ("&state=failed,withdrawn".to_owned(), 0),
        ("&amountFrom=10000&amountTo=10000".to_owned(), 6),
        ("&amountFrom=10001".to_owned(), 0),
        ("&blockTimeFrom=2020-01-01T00:00:00Z".to_owned(), 5),
        ("&blockTimeBefore=2020-01-01T00:00:00Z".to_owned(), 0),
        ("&finalizedFrom=2020-01-01T00:00:00Z".to_owned(), 0),
        ("&reconciliation=missing_on_chain".to_owned(), 0),
        (format!("&state=confirmed&payer={}", at.accounts[2].address), 2),
        (format!("&createdFrom={}", created(&first)), 6),
        (format!("&createdBefore={}", created(&first)), 0),
        (format!("&createdFrom={}", created(&last)), 1),
    ] {
        assert_eq!(listed(&world, &query, 2).await.len(), count, "{query}");
    }
    let set_back = &listed(&world, "&state=in_flight", 1).await[0];
    assert_eq!(set_back["setback"]["kind"], "reverted");
    books_agree(&world).await;
}

#[tokio::test]
async fn the_report_says_what_the_listing_says() {
    let setup = Setup {
        mining: Mining::EachTransaction,
        epoch: Some(1),
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let payments = various(&world).await;
    world.node.mine(3).await;
    for payment in &payments[..5] {
        world.reaches(payment, "final").await;
    }
    let (status, csv) = world.facilitator.run("report", &[]).await;
    assert!(status.success(), "{csv}");
    let mut rows = csv.split("\r\n").map(columns);
    let header = rows.next().unwrap();
    let records = listed(&world, "", 1000).await;
    for (record, row) in records.iter().zip(rows.by_ref()) {
        let cell = |name: &str| row[header.iter().position(|it| it == name).unwrap()].clone();
        for (column, key) in [
            ("id", "id"),
            ("state", "state"),
            ("network", "network"),
            ("asset", "asset"),
            ("payer", "payer"),
            ("pay_to", "payTo"),
            ("amount_atomic", "amount"),
            ("nonce", "nonce"),
            ("transaction", "transaction"),
        ] {
            assert_eq!(record[key], cell(column), "{column}");
        }
        assert_eq!(cell("amount"), "0.010000");
        assert_eq!(
            cell("block_number"),
            record["block"]["number"]
                .as_u64()
                .map_or(String::new(), |it| it.to_string())
        );
        assert_eq!(cell("final_at").is_empty(), record["finalizedAt"].is_null());
    }
    assert_eq!(
        rows.next(),
        Some(vec![String::new()]),
        "the report ends with the listing"
    );
    assert!(
        csv.contains("\"'=HYPERLINK(\"\"x\"\"),\"\"quoted\"\"\""),
        "formulas are disarmed: {csv}"
    );
    let (_, finals) = world.facilitator.run("report", &["--state", "final"]).await;
    assert_eq!(finals.split("\r\n").count(), 1 + 5 + 1);
    books_agree(&world).await;
}

/// The fields of one line of CSV (RFC 4180).
fn columns(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                fields.last_mut().unwrap().push('"');
                letters.next();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}
