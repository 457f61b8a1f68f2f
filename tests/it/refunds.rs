//! Money that goes back: recorded against its payment, found on the chain when the merchant pays it himself, or paid from his
//! wallet once, whatever happens meanwhile.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use crate::crash::Stop;
use crate::events::notices;
use crate::reconcile::reconcile;
use crate::schema::faults;
use crate::statements::day_passes;
use crate::support::books::{books_agree, records_agree};
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::database::Obstacle;
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, lens, send};
use crate::support::world::{Payable, Setup, World};

/// The wallet that refunds the merchant's payments: an account that holds tokens.
fn wallet() -> Address {
    addresses().accounts[6].address
}

/// A network with that wallet.
fn with_wallet() -> &'static str {
    static TABLE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| {
        format!(
            "[[network.refund_wallet]]\nkey = \"{}\"\npay_to = [\"{}\"]",
            addresses().accounts[6].key,
            addresses().pay_to
        )
    })
}

/// One final payment of 10,000, and the payment's id.
async fn paid_world(network_key: &'static str) -> (World, String) {
    let world = World::start(Setup {
        epoch: Some(1),
        network_key,
        ..Setup::default()
    })
    .await;
    let id = paid(&world, &Payment::by(1)).await;
    (world, id)
}

async fn paid(world: &World, payment: &Payment) -> String {
    world.facilitator.settle(&payment.body()).await.settled();
    world.node.mine(4).await;
    world.reaches(payment, "final").await;
    id_of(world, payment).await
}

async fn id_of(world: &World, payment: &Payment) -> String {
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

async fn refused(world: &World, payment: &str, key: &str, body: &Value) -> (u16, String) {
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
async fn reaches(world: &World, refund: &Value, state: &str) -> Value {
    eventually(&format!("the refund is {state}"), async || {
        world.node.mine(1).await;
        let read = read(world, &refund["id"]).await;
        (read["state"] == state).then_some(read)
    })
    .await
}

/// The merchant sends tokens.
async fn sends(world: &World, to: Address, value: u64) -> String {
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

async fn held_by(world: &World, owner: Address) -> u128 {
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
    assert_eq!(refused(&world, &payment, "one more", &amount("1")).await, exceeds);
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
    assert_eq!(refused(&world, &payment, "too much", &amount("2501")).await, exceeds);
    recorded(&world, &payment, "all of the rest", &amount("2500")).await;

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
    let world = World::start(Setup {
        network_key: with_wallet(),
        ..Setup::default()
    })
    .await;
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

/// Money that goes back by way of us.
const EXECUTE: &str = "execute";

fn executed(units: &str) -> Value {
    json!({"amount": units, EXECUTE: true, "merchantReference": "CN-8"})
}

#[tokio::test]
async fn a_refund_is_paid_from_the_wallet_as_a_payment_of_its_own() {
    let (world, payment) = paid_world(with_wallet()).await;
    let payer = Payment::by(1).from;
    let (before, in_wallet) = (held_by(&world, payer).await, held_by(&world, wallet()).await);
    let refund = recorded(&world, &payment, "k", &executed("2500")).await;
    assert_eq!(
        (&refund["state"], &refund["wallet"]),
        (&json!("executing"), &json!(wallet().to_string()))
    );
    let done = reaches(&world, &refund, "paid").await;
    assert_eq!(held_by(&world, payer).await, before + 2_500);
    assert_eq!(held_by(&world, wallet()).await, in_wallet - 2_500);
    assert_eq!(done["attempts"], 1);
    let paying = world
        .facilitator
        .get(&format!("/v1/settlements/{}", done["settlement"].as_str().unwrap()))
        .await;
    let paying = held(paying.json(), "Payment");
    assert_eq!(
        (&paying["refund"], &paying["refundOf"]),
        (&refund["id"], &json!(payment))
    );
    assert_eq!(paying["transaction"], done["transaction"]);
    assert_eq!(
        refused(&world, paying["id"].as_str().unwrap(), "r", &executed("1")).await,
        (409, "payment_is_refund".into())
    );
    // The wallet is followed, and no sale: its own top-ups are no exceptions.
    let topped = Token::transferCall {
        to: wallet(),
        value: U256::from(9),
    };
    world
        .node
        .send_mined(addresses().accounts[3].address, addresses().usdc, &topped)
        .await;
    eventually("the refund's record is matched", async || {
        world.node.mine(1).await;
        let matched = world.db.count("reconciliations where state = 'matched'").await;
        (matched == 2).then_some(())
    })
    .await;
    world.node.mine(4).await;
    assert_eq!(reconcile(&world, &[]).await.0, 0);
    assert_eq!(world.db.count("watched_accounts where is_wallet").await, 1);
    assert_eq!(world.db.count("watched_accounts").await, 2, "and not the payer");
    assert_eq!(notices(&world, 2).await, ["refund.created", "refund.paid"]);
    let other = paid(&world, &Payment::by(2)).await;
    recorded(&world, &other, "own", &json!({"amount": "2500"})).await;
    books_agree(&world).await;
}

#[tokio::test]
async fn no_wallet_pays_for_a_recipient_that_it_is_not_configured_for() {
    let (world, payment) = paid_world("").await;
    assert_eq!(
        refused(&world, &payment, "k", &executed("1")).await,
        (409, "no_refund_wallet".to_owned())
    );
}

#[tokio::test]
async fn a_wallet_without_money_says_so_and_pays_once_it_has_some() {
    let (world, payment) = paid_world(with_wallet()).await;
    let all = U256::from(held_by(&world, wallet()).await);
    let pays = async |from: Address, to: Address| {
        let call = Token::transferCall { to, value: all };
        world.node.fund(from).await;
        world.node.call("anvil_impersonateAccount", json!([from])).await;
        world.node.send_mined(from, addresses().usdc, &call).await;
    };
    pays(wallet(), third_party()).await;
    let refund = recorded(&world, &payment, "k", &executed("10000")).await;
    eventually("the problem is told", async || {
        let problem = read(&world, &refund["id"]).await["problem"].clone();
        problem.as_str().is_some_and(|it| it.contains("balance")).then_some(())
    })
    .await;
    let cancel = format!("/v1/refunds/{}/cancel", refund["id"].as_str().unwrap());
    assert_eq!(
        world.facilitator.caller().post(&cancel, &json!({})).await.status,
        409,
        "an attempt is out"
    );
    pays(third_party(), wallet()).await;
    let done = reaches(&world, &refund, "paid").await;
    assert_eq!((&done["attempts"], &done["problem"]), (&json!(1), &Value::Null));
}

/// The process is killed at the point, while it pays a refund: it is paid once.
async fn survives(stop: Stop) {
    let (mut world, payment) = paid_world(with_wallet()).await;
    let before = held_by(&world, wallet()).await;
    let stopped = stop.arm(&world).await;
    let refund = {
        let (caller, path) = (world.facilitator.caller(), format!("/v1/settlements/{payment}/refunds"));
        let headers = [("idempotency-key", "k".to_owned())];
        let answer = caller
            .post_bytes(&path, &headers, executed("2500").to_string().into())
            .await;
        answer.json()
    };
    stopped.reached().await;
    world.facilitator.kill();
    stopped.clear().await;
    world.facilitator.start().await;
    reaches(&world, &refund, "paid").await;
    assert_eq!(held_by(&world, wallet()).await, before - 2_500);
    assert_eq!(world.db.count("payments").await, 2);
    assert_eq!(world.db.count("notices where kind = 'refund.paid'").await, 1);
    books_agree(&world).await;
}

#[tokio::test]
async fn killed_before_the_attempt_is_on_record() {
    survives(Stop::Database(Obstacle::WritesTo("refund_attempts"))).await;
}

#[tokio::test]
async fn killed_before_the_chain_is_asked() {
    survives(Stop::Chain(lens, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn killed_before_the_payment_is_reserved() {
    survives(Stop::Database(Obstacle::WritesTo("payments"))).await;
}

#[tokio::test]
async fn killed_before_the_payment_is_sent_and_with_its_answer_lost() {
    survives(Stop::Chain(send, Fault::HoldRequest)).await;
    survives(Stop::Chain(send, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn two_processes_pay_a_refund_once() {
    let (world, payment) = paid_world(with_wallet()).await;
    let replica = world.replica().await;
    let before = held_by(&world, wallet()).await;
    let mut refunds = Vec::new();
    for key in ["a", "b", "c"] {
        refunds.push(recorded(&world, &payment, key, &executed("3000")).await);
    }
    for refund in &refunds {
        reaches(&world, refund, "paid").await;
    }
    assert_eq!(held_by(&world, wallet()).await, before - 9_000);
    assert_eq!(world.db.count("payments").await, 4);
    drop(replica);
    books_agree(&world).await;
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

#[tokio::test]
async fn the_days_statement_has_the_refund_as_a_line_that_can_be_shown_alone() {
    let (mut world, payment) = paid_world(with_wallet()).await;
    let own = recorded(
        &world,
        &payment,
        "own",
        &json!({"amount": "2500", "merchantReference": "CN-9"}),
    )
    .await;
    sends(&world, Payment::by(1).from, 2_500).await;
    let ours = recorded(&world, &payment, "ours", &executed("1000")).await;
    for refund in [&own, &ours] {
        reaches(&world, refund, "paid").await;
    }
    world.facilitator.terminate();
    world.facilitator.ended().await;
    day_passes(&world).await;
    reconcile(&world, &[]).await;
    let (status, said) = world.facilitator.run("statement", &["close"]).await;
    assert!(status.success(), "{said}");
    world.facilitator.start().await;
    let page = world.facilitator.get("/v1/statements").await.json();
    let statements = page["statements"].as_array().unwrap();
    let of = |holder: Address| {
        let found = statements.iter().find(|it| it["payTo"] == holder.to_string());
        held(found.unwrap().clone(), "Statement")
    };
    assert_eq!(statements.len(), 2, "the merchant's and the wallet's: {page}");
    let sums =
        |it: &Value| ["credits", "debits", "refunds", "unexplained"].map(|key| it[key].as_str().unwrap().to_owned());
    assert_eq!(sums(&of(addresses().pay_to)), ["10000", "2500", "2500", "0"]);
    assert_eq!(sums(&of(wallet())), ["0", "1000", "1000", "0"]);
    let id = of(addresses().pay_to)["id"].as_str().unwrap().to_owned();
    let proof = world
        .facilitator
        .get(&format!("/v1/statements/{id}/lines/{}", own["id"].as_str().unwrap()))
        .await;
    let proof = held(proof.json(), "StatementProof");
    assert_eq!(
        (&proof["line"]["refund"], &proof["line"]["payment"]),
        (&own["id"], &json!(payment))
    );
    assert_eq!(proof["line"]["reference"], "CN-9");
    let (status, said) = world
        .facilitator
        .run("statement", &["export", "--id", &id, "--format", "xero"])
        .await;
    assert!(status.success() && said.contains("Refunds"), "{said}");
    let (status, said) = world
        .facilitator
        .run("statement", &["export", "--id", &id, "--format", "camt053"])
        .await;
    assert!(status.success() && said.contains("<Cdtr>"), "{said}");
}
