//! Money that goes back: recorded against its payment, never more than was paid, and found on the chain when the merchant pays
//! it himself.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use crate::events::notices;
use crate::reconcile::reconcile;
use crate::schema::faults;
use crate::support::books::{books_agree, records_agree};
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::payer::Payment;
use crate::support::world::{Payable, Setup, World};

/// One final payment of 10,000, and the payment's id.
pub(crate) async fn paid_world(network_key: &'static str) -> (World, String) {
    let world = World::start(Setup {
        epoch: Some(1),
        network_key,
        ..Setup::default()
    })
    .await;
    let id = paid(&world, &Payment::by(1)).await;
    (world, id)
}

pub(crate) async fn paid(world: &World, payment: &Payment) -> String {
    world.facilitator.settle(&payment.body()).await.settled();
    world.node.mine(4).await;
    world.reaches(payment, "final").await;
    id_of(world, payment).await
}

pub(crate) async fn id_of(world: &World, payment: &Payment) -> String {
    let (usdc, payer) = (payment.asset, payment.from);
    let path = format!(
        "/payments/lookup?network=eip155:84532&asset={usdc}&payer={payer}&nonce={}",
        payment.nonce()
    );
    let found = world.facilitator.get(&path).await.json();
    found["settlements"][0]["id"].as_str().unwrap().to_owned()
}

/// What is there, held to what `openapi.yaml` says of it.
pub(crate) fn held(value: Value, schema: &str) -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let document: Value = serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let shape = &document["components"]["schemas"][schema];
    assert_eq!(faults(&document, shape, &value, "answer"), [""; 0], "{value:#}");
    value
}

pub(crate) async fn ask<N>(world: &World<N>, payment: &str, key: &str, body: &Value) -> Answer {
    let headers = [("idempotency-key", key.to_owned())];
    let path = format!("/v1/settlements/{payment}/refunds");
    let caller = world.facilitator.caller();
    caller.post_bytes(&path, &headers, body.to_string().into()).await
}

pub(crate) async fn recorded<N>(world: &World<N>, payment: &str, key: &str, body: &Value) -> Value {
    let answer = ask(world, payment, key, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    held(answer.json(), "Refund")
}

pub(crate) async fn refused(world: &World, payment: &str, key: &str, body: &Value) -> (u16, String) {
    let answer = ask(world, payment, key, body).await;
    let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
    (answer.status, code)
}

pub(crate) async fn read<N>(world: &World<N>, id: &Value) -> Value {
    let answer = world
        .facilitator
        .get(&format!("/v1/refunds/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    held(answer.json(), "Refund")
}

/// Until the refund is in this state; blocks go on.
pub(crate) async fn reaches(world: &World, refund: &Value, state: &str) -> Value {
    eventually(&format!("the refund is {state}"), async || {
        world.node.mine(1).await;
        let read = read(world, &refund["id"]).await;
        (read["state"] == state).then_some(read)
    })
    .await
}

/// The merchant sends tokens.
pub(crate) async fn sends(world: &World, to: Address, value: u64) -> String {
    let pay_to = addresses().pay_to;
    world.node.fund(pay_to).await;
    world.node.call("anvil_impersonateAccount", json!([pay_to])).await;
    let value = U256::from(value);
    let sent = world
        .node
        .send_mined(pay_to, addresses().usdc, &Token::transferCall { to, value })
        .await;
    world.node.mine(4).await;
    sent
}

pub(crate) async fn held_by(world: &World, owner: Address) -> u128 {
    world.node.balance_of(addresses().usdc, owner).await
}

#[tokio::test]
async fn a_refund_that_the_merchant_pays_is_found_whether_it_is_recorded_before_or_after() {
    let (world, payment) = paid_world("").await;
    let payer = Payment::by(1).from;
    let order = json!({"amount": "2500", "reason": "zurück", "merchantReference": "CN-7"});
    let refund = recorded(&world, &payment, "first", &order).await;
    assert_eq!(
        (&refund["state"], &refund["recipient"]),
        (&json!("awaiting"), &json!(payer.to_string()))
    );
    let again = ask(&world, &payment, "first", &order).await;
    assert_eq!((again.status, again.json()), (201, refund.clone()));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let shown = world
        .facilitator
        .get(&format!("/v1/settlements/{payment}"))
        .await
        .json();
    assert_eq!(
        (&shown["refunded"], &shown["refundPending"]),
        (&json!("0"), &json!("2500"))
    );

    let tx = sends(&world, payer, 2_500).await;
    let done = reaches(&world, &refund, "paid").await;
    assert_eq!(done["transaction"], tx);
    let answered = ask(&world, &payment, "first", &order).await.json();
    assert_eq!(answered, refund, "the same request is answered the same for ever");

    // One that is on the chain before it is recorded, and named.
    let tx = sends(&world, payer, 7_000).await;
    eventually("the transfer is seen", async || {
        world.node.mine(1).await;
        (world.db.count("observed_transfers where amount = 7000").await == 1).then_some(())
    })
    .await;
    let late = json!({"amount": "7000", "transaction": tx.to_uppercase().replace("0X", "0x")});
    let late = recorded(&world, &payment, "late", &late).await;
    assert_eq!(late["claimedTransaction"], tx);
    assert_eq!(reaches(&world, &late, "paid").await["transaction"], tx);
    let shown = world
        .facilitator
        .get(&format!("/v1/settlements/{payment}"))
        .await
        .json();
    assert_eq!(
        (&shown["refunded"], &shown["refundPending"]),
        (&json!("9500"), &json!("0"))
    );
    let listed = world
        .facilitator
        .get(&format!("/v1/settlements/{payment}/refunds?state=paid&limit=1"))
        .await;
    let listed = held(listed.json(), "Refunds");
    assert_eq!(
        (&listed["refunds"][0]["id"], &listed["nextCursor"]),
        (&refund["id"], &refund["id"])
    );
    let cursor = format!("/v1/refunds?cursor={}", listed["nextCursor"].as_str().unwrap());
    let rest = held(world.facilitator.get(&cursor).await.json(), "Refunds");
    assert_eq!(
        (rest["refunds"].as_array().unwrap().len(), &rest["nextCursor"]),
        (1, &Value::Null)
    );

    let told: Vec<String> = notices(&world, 4).await;
    assert_eq!(told, ["refund.created", "refund.paid", "refund.created", "refund.paid"]);
    assert_eq!(reconcile(&world, &[]).await.0, 0, "what goes back is no exception");
    books_agree(&world).await;
}

#[tokio::test]
async fn refunds_in_parts_never_exceed_their_payment_and_what_is_cancelled_counts_no_more() {
    let (world, payment) = paid_world("").await;
    let amount = |units: &str| json!({"amount": units});
    let parts = ["4000", "3500", "2500"];
    let mut refunds = Vec::new();
    for part in parts {
        refunds.push(recorded(&world, &payment, part, &amount(part)).await);
    }
    let exceeds = (409, "refund_exceeds_payment".to_owned());
    assert_eq!(refused(&world, &payment, "one-more", &amount("1")).await, exceeds);
    assert_eq!(
        refused(&world, &payment, "4000", &amount("1")).await,
        (409, "conflict".to_owned())
    );
    let cancel = async |refund: &Value| {
        let path = format!("/v1/refunds/{}/cancel", refund["id"].as_str().unwrap());
        world.facilitator.caller().post(&path, &json!({})).await
    };
    let cancelled = cancel(&refunds[2]).await;
    assert_eq!(
        (cancelled.status, &held(cancelled.json(), "Refund")["state"]),
        (200, &json!("cancelled"))
    );
    assert_eq!(cancel(&refunds[2]).await.status, 200, "once more");
    assert_eq!(refused(&world, &payment, "too-much", &amount("2501")).await, exceeds);
    recorded(&world, &payment, "all-of-the-rest", &amount("2500")).await;

    sends(&world, Payment::by(1).from, 4_000).await;
    reaches(&world, &refunds[0], "paid").await;
    let late = cancel(&refunds[0]).await;
    assert_eq!(
        (late.status, &late.json()["error"]["code"]),
        (409, &json!("refund_not_cancellable"))
    );
    let nobodys = format!("rfd_{}", "0".repeat(26));
    assert_eq!(cancel(&json!({"id": nobodys})).await.status, 404);
    assert_eq!(
        world.facilitator.get(&format!("/v1/refunds/{nobodys}")).await.status,
        404
    );
    records_agree(&world.db).await;
}

#[tokio::test]
async fn what_cannot_be_refunded_is_refused_with_its_reason() {
    let world = World::start(Setup { ..Setup::default() }).await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    let id = id_of(&world, &payment).await;
    let order = json!({"amount": "1"});
    assert_eq!(
        refused(&world, &id, "k", &order).await,
        (409, "payment_not_final".to_owned())
    );
    let nobodys = format!("pay_{}", "0".repeat(26));
    assert_eq!(
        refused(&world, &nobodys, "k", &order).await,
        (404, "not_found".to_owned())
    );
    let path = format!("/v1/settlements/{id}/refunds");
    let caller = world.facilitator.caller();
    assert_eq!(caller.post(&path, &order).await.status, 400, "without a key");
    for bad in [
        json!([]),
        json!({}),
        json!({"amount": "0"}),
        json!({"amount": 1}),
        json!({"amount": "1", "x": 1}),
    ] {
        assert_eq!(
            refused(&world, &id, "k", &bad).await,
            (400, "malformed".to_owned()),
            "{bad}"
        );
    }
    for bad in [
        "/v1/refunds?state=lost",
        "/v1/refunds?colour=red",
        "/v1/refunds/rfd_7",
        "/v1/refunds?cursor=7",
    ] {
        assert_eq!(world.facilitator.get(bad).await.status, 400, "{bad}");
    }
    assert_eq!(
        world
            .facilitator
            .get(&format!("/v1/settlements/{nobodys}/refunds"))
            .await
            .status,
        404
    );
    assert_eq!(world.db.count("refunds").await, 0);
}

#[tokio::test]
async fn a_claim_that_the_chain_does_not_bear_out_is_told() {
    let (world, payment) = paid_world("").await;
    let wrong = sends(&world, third_party(), 500).await;
    let claim = |tx: &str| json!({"amount": "500", "transaction": tx});
    let misled = recorded(&world, &payment, "a", &claim(&wrong)).await;
    let nowhere = recorded(&world, &payment, "b", &claim(&format!("0x{}", "7".repeat(64)))).await;
    let open = eventually("both are told", async || {
        world.node.mine(1).await;
        let page = world.facilitator.get("/v1/reconciliation/exceptions").await.json();
        let found = page["exceptions"].as_array().unwrap().clone();
        (found.len() == 2).then_some(found)
    })
    .await;
    let states: Vec<&str> = open.iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["party_mismatch", "missing_on_chain"]);
    for refund in [&misled, &nowhere] {
        let read = read(&world, &refund["id"]).await;
        assert_eq!(read["state"], "awaiting");
        assert!(
            read["problem"].as_str().unwrap().contains("the claimed transaction"),
            "{read}"
        );
        let path = format!("/v1/refunds/{}/cancel", refund["id"].as_str().unwrap());
        assert_eq!(world.facilitator.caller().post(&path, &json!({})).await.status, 200);
    }
    assert_eq!(
        reconcile(&world, &[]).await.0,
        0,
        "what is cancelled is nobody's concern"
    );
}

#[tokio::test]
async fn the_command_records_lists_and_takes_back() {
    let (world, payment) = paid_world("").await;
    let run = async |args: &[&str]| {
        let (status, said) = world.facilitator.run("refund", args).await;
        let rows: Vec<Vec<String>> = said
            .lines()
            .map(|it| it.split(',').map(str::to_owned).collect())
            .collect();
        (status.code(), rows)
    };
    let create = [
        "create",
        "--payment",
        &payment,
        "--amount",
        "2500",
        "--key",
        "k",
        "--reason",
        "damaged",
    ];
    let (status, rows) = run(&create).await;
    assert_eq!((status, rows.len()), (Some(0), 2), "{rows:?}");
    let id = rows[1][0].clone();
    assert_eq!(
        rows[1][2..9].iter().step_by(6).collect::<Vec<_>>(),
        ["awaiting", "0.002500"]
    );
    assert_eq!(run(&create).await.1, rows, "the same again");
    assert_eq!(
        run(&["list", "--payment", &payment, "--state", "awaiting"]).await.1,
        rows
    );
    assert_eq!(run(&["cancel", "--id", &id]).await.0, Some(0));
    assert_eq!(run(&["show", "--id", &id]).await.1[1][2], "cancelled");
    let beyond = ["create", "--payment", &payment, "--amount", "10001", "--key", "l"];
    assert_eq!(run(&beyond).await.0, Some(1));
}
