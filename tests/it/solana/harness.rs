//! The tests' own tools for Solana, held against the chain alone: a tool that lies would prove anything.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::http::Client;
use crate::support::proxy::{Fault, Proxy, anything, send};
use crate::support::solana::payer::Payment;
use crate::support::solana::surfpool::{Sureness, Surfpool};
use crate::support::solana::transaction::{Key, compact, name_of};

/// What the facilitator does with a payment: signs it for the fee payer and hands it over.
async fn send_it(node: &Surfpool, payment: &Payment, fee_payer: &Key) -> Result<String, Value> {
    let wire = payment.message().signed_by(&[&payment.payer, fee_payer]);
    let how = json!({"encoding": "base64", "skipPreflight": true});
    let sent = node
        .try_call("sendTransaction", json!([STANDARD.encode(&wire), how]))
        .await?;
    assert_eq!(sent, name_of(&wire));
    Ok(name_of(&wire))
}

async fn landed(node: &Surfpool, name: &str) -> Value {
    eventually("the transaction is in the chain", async || node.transaction(name).await).await
}

#[tokio::test]
async fn a_payment_that_the_fee_payer_signs_moves_exactly_its_amount() {
    let node = Surfpool::start(50).await;
    for (i, mint) in ["usdc", "pyusd", "ousd"].into_iter().enumerate() {
        let payment = Payment::in_mint(&node, i, node.mint(mint)).await;
        let name = send_it(&node, &payment, &node.at.fee_payers[0]).await.unwrap();
        let found = landed(&node, &name).await;
        assert!(found["meta"]["err"].is_null(), "{mint}: {found}");
        assert_eq!(node.tokens(payment.transfer.destination).await, 10_000, "{mint}");
        assert_eq!(
            node.history(payment.transfer.destination).await,
            [(name, false)],
            "{mint}"
        );
        assert_eq!(node.tokens(payment.transfer.source).await, 999_999_990_000, "{mint}");
    }
}

#[tokio::test]
async fn a_payment_lands_once_whatever_is_sent_again() {
    let node = Surfpool::start(50).await;
    let payment = Payment::by(&node, 0).await;
    let name = send_it(&node, &payment, &node.at.fee_payers[0]).await.unwrap();
    landed(&node, &name).await;
    let again = send_it(&node, &payment, &node.at.fee_payers[0]).await.unwrap_err();
    assert!(again.to_string().contains("already been processed"), "{again}");
    assert_eq!(node.tokens(payment.transfer.destination).await, 10_000);
}

#[tokio::test]
async fn a_payment_of_more_than_there_is_fails_on_the_chain() {
    let node = Surfpool::start(50).await;
    let payment = Payment {
        amount: 1_000_000_000_001,
        ..Payment::by(&node, 0).await
    };
    let name = send_it(&node, &payment, &node.at.fee_payers[0]).await.unwrap();
    assert!(!landed(&node, &name).await["meta"]["err"].is_null());
    assert_eq!(node.history(node.at.fee_payers[0].address).await, [(name, true)]);
}

#[tokio::test]
async fn a_payment_over_a_forgotten_block_cannot_land() {
    let node = Surfpool::start(20).await;
    let payment = Payment::by(&node, 0).await;
    node.blocks_pass(152, Sureness::Confirmed).await;
    // The node takes it all the same, and nothing comes of it.
    let name = name_of(&payment.message().signed_by(&[&payment.payer, &node.at.fee_payers[0]]));
    drop(send_it(&node, &payment, &node.at.fee_payers[0]).await);
    node.blocks_pass(5, Sureness::Confirmed).await;
    assert!(node.transaction(&name).await.is_none());
    assert_eq!(node.tokens(payment.transfer.destination).await, 0);
}

#[tokio::test]
async fn what_an_account_holds_can_be_set() {
    let node = Surfpool::start(50).await;
    let payment = Payment::by(&node, 0).await;
    node.set_tokens(payment.transfer.source, 7).await;
    assert_eq!(node.tokens(payment.transfer.source).await, 7);
    assert_eq!(node.tokens(payment.transfer.destination).await, 0);
    assert_eq!(node.lamports(node.at.fee_payers[0].address).await, 10_000_000_000);
    assert!(node.account(node.at.nonce_account.address).await.is_some());
}

#[test]
fn counts_are_compact() {
    for (number, bytes) in [
        (0, vec![0]),
        (0x7f, vec![0x7f]),
        (0x80, vec![0x80, 1]),
        (0x3fff, vec![0xff, 0x7f]),
    ] {
        assert_eq!(compact(number), bytes, "{number}");
    }
}

async fn ask(proxy: &Proxy, questions: &[&str]) -> Value {
    let ask = |(id, method): (usize, &&str)| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": []});
    let batch: Vec<Value> = questions.iter().enumerate().map(ask).collect();
    let answer = Client::new()
        .post(&proxy.url, &[], json!(batch).to_string().into())
        .await;
    answer.unwrap().json()
}

#[tokio::test]
async fn the_proxy_lends_batches_to_a_node_that_takes_none() {
    let node = Surfpool::start(50).await;
    let (plain, splitting) = (Proxy::before(node.url()).await, Proxy::splitting(node.url()).await);
    let questions = ["getGenesisHash", "getVersion"];
    assert!(ask(&plain, &questions).await["error"].is_object());
    let answers = ask(&splitting, &questions).await;
    assert_eq!(answers[0]["result"], node.at.genesis_hash.as_str());
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(0), &json!(1)));
    assert!(answers[1]["result"].is_object());
    assert_eq!((splitting.requests(), splitting.calls(anything).len()), (1, 2));
}

#[tokio::test]
async fn the_proxy_falsifies_what_is_picked_and_nothing_else() {
    let node = Surfpool::start(50).await;
    let proxy = Proxy::splitting(node.url()).await;
    let genesis = |call: &crate::support::proxy::Call| call.method == "getGenesisHash";
    let lie = proxy.fault(genesis, Fault::Falsify(|_, answer| answer["result"] = "another".into()));
    let answers = ask(&proxy, &["getGenesisHash", "getVersion"]).await;
    assert_eq!(answers[0]["result"], "another");
    assert!(answers[1]["result"].is_object());
    drop(lie);
    let _lie = proxy.fault(genesis, Fault::Pretend(|call| call.method.clone().into()));
    let answers = ask(&proxy, &["getVersion", "getGenesisHash"]).await;
    assert_eq!(answers[1]["result"], "getGenesisHash");
    assert!(answers[0]["result"].is_object());
}

#[tokio::test]
async fn the_proxy_knows_the_name_of_what_is_sent_through_it() {
    let node = Surfpool::start(50).await;
    let proxy = Proxy::before(node.url()).await;
    let payment = Payment::by(&node, 0).await;
    let wire = payment.message().signed_by(&[&payment.payer, &node.at.fee_payers[0]]);
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": [STANDARD.encode(&wire)]});
    let _fault = proxy.fault(send, Fault::Status(500));
    for _ in 0..2 {
        let sent = Client::new().post(&proxy.url, &[], question.to_string().into()).await;
        sent.unwrap();
    }
    assert_eq!(proxy.transactions(), [name_of(&wire)]);
}
