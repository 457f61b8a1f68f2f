//! The operator's page in a real browser, over both chains: whoever runs the facilitator finds every payment and sees all of
//! it, by keyboard alone, on a phone too; and nothing that anybody names can become markup. Beside it, what its listener
//! refuses.

use alloy::primitives::U256;
use facilitator::http::operator::PATHS;
use serde_json::{Value, json};

use crate::clients::run_script;
use crate::refunds::{held, recorded};
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::eventually;
use crate::support::http::{Answer, Client};
use crate::support::offered;
use crate::support::payer::Payment;
use crate::support::process::free_port;
use crate::support::proxy::{Fault, fee_quote};
use crate::support::receiver::{Manner, Receiver};
use crate::support::solana::world::Setup as SolanaSetup;
use crate::support::world::{Payable, Setup, World};
use crate::waiting::until_facts_are_old;
use crate::webhooks::webhook;

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
    // A quote is kept for half a block time.
    until_facts_are_old().await;
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
    let headers = [
        ("merchant-reference", HOSTILE),
        ("order-id", "order-7"),
        ("idempotency-key", "key-7"),
        ("metadata", "{\"<b>cart</b>\":\"<i>c7</i>\"}"),
    ];
    world
        .facilitator
        .caller()
        .settle_named(&named.body(), &headers)
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

    let several = format!(
        "insert into tenants values (gen_random_uuid(), '<b>Acme</b>', now());
        update payments set tenant = (select id from tenants where name <> 'sole') where nonce = '{}'",
        named.nonce()
    );
    world.db.tamper(&several).await;
    let mut wanted = references(&world, &named).await;
    let id = wanted["id"].as_str().unwrap().to_owned();
    let asked = json!({"amount": "2500", "reason": "<b>goods</b> came back"});
    wanted["names"]["refund"] = recorded(&world, &id, "r-1", &asked).await["id"].clone();

    let settings = [
        ("OPERATOR_URL", desk(&world)),
        ("CHROMIUM", chromium),
        ("HOSTILE", HOSTILE.to_owned()),
        ("FACILITATOR_URL", world.facilitator.base()),
        ("NEXT_BODY", Payment::by(2).body().to_string()),
        ("WANTED", wanted.to_string()),
    ];
    let report = run_script("page.mjs", &settings).await;
    assert_eq!(report["faults"], json!([]), "{report:#}");
    let acted =
        "reconciliation_actions where action = 'resolve' and actor = 'ada' and note = 'a top-up <b>of ours</b>'";
    assert_eq!(world.db.count(acted).await, 1);
    let logged = "admin_log where (entry::json)->>'by' = 'ada' and (entry::json)->>'action' = 'exception.act'";
    assert_eq!(world.db.count(logged).await, 1);
}

#[tokio::test]
async fn the_operators_listener_serves_the_page_and_its_reading_and_nothing_that_settles() {
    let mut world = shown(Setup::default()).await;
    world.facilitator.start().await;
    let page = get(&world, "/").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        page.status == 200
            && policy.starts_with("default-src 'none'; script-src 'self';")
            && !policy.contains("unsafe"),
        "{policy}"
    );
    let (kept, tag) = (page.header("cache-control").unwrap(), page.header("etag").unwrap());
    assert_eq!((kept, tag.len()), ("no-cache", 34));
    let absent = format!("pay_{}", "0".repeat(26));
    for path in PATHS.map(|it| it.replace("{id}", &absent)) {
        let answer = get(&world, &path).await;
        let status = if path.ends_with(&absent) { 404 } else { 200 };
        let kept = answer.header("cache-control").unwrap();
        assert_eq!((answer.status, kept), (status, "no-store"), "{path}");
        assert!(answer.header("content-security-policy").is_some(), "{path}");
        assert_eq!(world.facilitator.get(&path).await.status, 404, "{path} is not public");
        if status == 200 {
            assert_eq!(get(&world, &format!("{path}?colour=red")).await.status, 400, "{path}");
        }
    }
    assert_eq!(world.facilitator.get("/").await.status, 404);
    for query in [
        "state=lost",
        "state=final&account=0x1",
        "account=a&nonce=b",
        "limit=201",
        "cursor=x",
        "state=",
    ] {
        let path = format!("/v1/operator/payments?{query}");
        assert_eq!(get(&world, &path).await.status, 400, "{path}");
    }
    let refunds = format!("/v1/settlements/{absent}/refunds");
    for (path, status) in [
        ("/verify", 404),
        ("/settle", 404),
        ("/v1/reports", 404),
        (refunds.as_str(), 405),
    ] {
        let url = format!("{}{path}", desk(&world));
        let answer = Client::new().post(&url, &[], b"{}".to_vec()).await.unwrap();
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn the_operators_listener_refuses_other_names_and_other_sites() {
    let mut world = shown(Setup::default()).await;
    world.facilitator.start().await;
    let nobody = "0".repeat(26);
    let act = format!("{}/v1/reconciliation/exceptions/exc_{nobody}/actions", desk(&world));
    let read = format!("{}/v1/operator/about", desk(&world));
    let body = json!({"action": "ignore", "note": "a", "actor": "b"}).to_string();
    let caller = Client::new();
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example:4022"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let forged = [(name, value.to_owned())];
        let acted = caller.post(&act, &forged, body.clone().into()).await.unwrap();
        let seen = caller.get_with(&read, &forged).await.unwrap();
        assert_eq!((acted.status, seen.status), (403, 403), "{name}: {value}");
        assert_eq!(seen.json()["error"]["code"], "from_elsewhere");
        assert!(seen.header("content-security-policy").is_some());
    }
    let own = [("origin", desk(&world)), ("sec-fetch-site", "same-origin".to_owned())];
    assert_eq!(caller.get_with(&read, &own).await.unwrap().status, 200);
    assert_eq!(caller.post(&act, &own, body.clone().into()).await.unwrap().status, 404);
    assert_eq!(caller.post(&act, &[], body.into()).await.unwrap().status, 404);
}

#[tokio::test]
async fn each_view_says_what_is_on_record_in_the_shape_that_is_written_down() {
    let mut world = shown(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    world.facilitator.config.tells_private = Some(true);
    world.facilitator.start().await;
    let receiver = Receiver::start(Manner::Status(200)).await;
    webhook(&world, &["add", "--url", &receiver.url]).await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    world.node.mine(4).await;
    world.reaches(&payment, "final").await;
    receiver.met(4).await;

    let about = view(&world, "about", "OperatorAbout").await;
    assert_eq!(about["assets"][0]["symbol"], "USDC", "{about}");
    let volume = view(&world, "volume", "OperatorVolume").await;
    assert_eq!(volume["sums"][0]["amount"], "10000", "{volume}");
    let volume = view(&world, "volume?period=month&by=recipient", "OperatorVolume").await;
    let recipient = addresses().pay_to.to_string();
    assert_eq!(volume["sums"][0]["payTo"], recipient.as_str(), "{volume}");
    let volume = view(&world, "volume?by=tenant", "OperatorVolume").await;
    assert_eq!(volume["sums"][0]["tenant"], "sole", "{volume}");
    let networks = view(&world, "networks", "OperatorNetworks").await;
    assert_eq!(networks["networks"][0]["endpoints"][0]["fit"], true, "{networks}");
    assert!(!networks.to_string().contains(&world.proxy.url), "{networks}");
    let signers = view(&world, "signers", "OperatorSigners").await;
    assert!(signers["signers"][0]["settlementsLeft"].as_u64() > Some(0), "{signers}");
    assert_eq!(signers["signers"][0]["burn"]["transactions"], 1, "{signers}");
    let told = eventually("a delivery is shown", async || {
        let told = view(&world, "webhooks", "OperatorWebhooks").await;
        (told["deliveries"][0]["state"] == "delivered").then_some(told)
    })
    .await;
    assert!(!told.to_string().contains("canary"), "{told}");

    let id = view(&world, "payments?limit=1", "OperatorPayments").await["payments"][0]["id"].clone();
    let id = id.as_str().unwrap();
    let (payer, nonce) = (payment.from, payment.nonce());
    let upper = payer.to_string().to_uppercase().replace("0X", "0x");
    for (query, found) in [
        (format!("account={payer}"), 1),
        (format!("account={upper}"), 1),
        (format!("account={recipient}"), 1),
        (format!("account={}", third_party()), 0),
        (format!("nonce={nonce}"), 1),
        ("state=confirmed,final".to_owned(), 1),
        ("state=failed".to_owned(), 0),
    ] {
        let listed = view(&world, &format!("payments?{query}"), "OperatorPayments").await;
        assert_eq!(listed["payments"].as_array().unwrap().len(), found, "{query}");
    }
    let story = view(&world, &format!("payments/{id}"), "OperatorStory").await;
    assert_eq!(story["transactions"][0]["status"], "mined", "{story}");
    let shown = &story["evidence"][0];
    assert_eq!((&shown["claim"], &shown["ours"]), (&json!("landed"), &json!(true)));
    let ledger = story["ledger"].as_array().unwrap();
    let booked: Vec<_> = ledger.iter().map(|it| (&it["purpose"], &it["stage"])).collect();
    assert!(booked.contains(&(&json!("payment"), &json!("posted"))), "{story}");
    assert!(booked.contains(&(&json!("gas"), &json!("posted"))), "{story}");
    assert_eq!(story["deliveries"][0]["type"], "payment.reserved", "{story}");
}

/// What the page reads, held to `openapi.yaml`.
async fn view(world: &World, path: &str, schema: &str) -> Value {
    let answer = get(world, &format!("/v1/operator/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    held(answer.json(), schema)
}
