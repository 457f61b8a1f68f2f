//! Refunds that the facilitator pays, from the merchant's wallet: once, whatever happens meanwhile, and booked as refunds.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use crate::crash::Stop;
use crate::events::notices;
use crate::reconcile::reconcile;
use crate::refunds::{held, held_by, paid, paid_world, reaches, read, recorded, refused, sends};
use crate::statements::day_passes;
use crate::support::books::books_agree;
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::database::Obstacle;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, lens, send};

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
        problem.as_str().is_some_and(|it| it.contains("must pay")).then_some(())
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

/// Whoever saw the authorization while it was tried may send it as soon as it can land. It is the refund, and no other is paid.
#[tokio::test]
async fn an_attempt_that_somebody_else_sends_has_paid_the_refund() {
    let (mut world, payment) = paid_world(with_wallet()).await;
    let (wallet, usdc) = (wallet(), addresses().usdc);
    let all = held_by(&world, wallet).await;
    let pays = async |from: Address, to: Address| {
        let value = U256::from(all);
        world.node.fund(from).await;
        world.node.call("anvil_impersonateAccount", json!([from])).await;
        let call = Token::transferCall { to, value };
        world.node.send_mined(from, usdc, &call).await;
    };
    pays(wallet, third_party()).await;
    let refund = recorded(&world, &payment, "k", &executed("2500")).await;
    eventually("an attempt is out", async || {
        (world.db.count("refund_attempts").await == 1).then_some(())
    })
    .await;
    world.facilitator.kill();
    pays(third_party(), wallet).await;
    let proof: Value = world.db.one("select proof::jsonb from refund_attempts").await;
    let good_until: i64 = world.db.one("select good_until from refund_attempts").await;
    let tx = world.node.send_mined(third_party(), usdc, &presented(&proof)).await;
    world.node.mine_at(u64::try_from(good_until).unwrap() + 1).await;
    world.node.mine(4).await;
    world.facilitator.start().await;
    let done = reaches(&world, &refund, "paid").await;
    assert_eq!((&done["attempts"], &done["transaction"]), (&json!(1), &json!(tx)));
    assert_eq!(held_by(&world, wallet).await, all - 2_500);
    assert_eq!(world.db.count("payments").await, 1);
}

/// The call that carries what a payer presents.
fn presented(proof: &Value) -> Token::transferWithAuthorizationCall {
    let signed = &proof["authorization"];
    let text = |key: &str| signed[key].as_str().unwrap();
    let signature: alloy::primitives::Signature = proof["signature"].as_str().unwrap().parse().unwrap();
    Token::transferWithAuthorizationCall {
        from: text("from").parse().unwrap(),
        to: text("to").parse().unwrap(),
        value: text("value").parse().unwrap(),
        validAfter: text("validAfter").parse().unwrap(),
        validBefore: text("validBefore").parse().unwrap(),
        nonce: text("nonce").parse().unwrap(),
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    }
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
    survives(Stop::Database(Obstacle::WritesTo("settlements"))).await;
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
