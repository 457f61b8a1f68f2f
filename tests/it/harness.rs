//! The tests' own tools, held against the chain and the database alone: a tool that lies would prove anything.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use alloy::primitives::Bytes;
use futures_util::FutureExt;
use serde_json::json;
use sqlx::{Connection, Executor};

use crate::support::anvil::{Anvil, Mining, number};
use crate::support::books::books_agree;
use crate::support::contracts::{Trick, addresses, third_party};
use crate::support::database::{Database, Obstacle};
use crate::support::eventually;
use crate::support::gate::Gate;
use crate::support::http::{Answer, Client};
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, Proxy, anything, send};
use crate::support::world::World;

#[tokio::test]
async fn a_signed_authorization_moves_exactly_its_amount() {
    let anvil = Anvil::start(Mining::EachTransaction, None).await;
    for payment in [Payment::by(1), Payment::in_trick_token(2)] {
        anvil.send_mined(third_party(), payment.asset, &payment.call()).await;
        assert_eq!(anvil.balance_of(payment.asset, payment.to).await, 10_000);
    }
}

#[tokio::test]
async fn a_cancelled_authorization_moves_nothing() {
    let anvil = Anvil::start(Mining::EachTransaction, None).await;
    let payment = Payment::by(1);
    anvil
        .send_mined(third_party(), payment.asset, &payment.cancellation())
        .await;
    let tx = anvil.send(third_party(), payment.asset, &payment.call()).await;
    assert_eq!(anvil.receipt(&tx).await["status"], "0x0");
    assert_eq!(anvil.balance_of(payment.asset, payment.to).await, 0);
}

#[tokio::test]
async fn the_trick_token_plays_its_tricks_in_transactions() {
    let anvil = Anvil::start(Mining::EachTransaction, None).await;
    let token = addresses().trick_token;
    for (trick, status, logs, moved) in [
        (Trick::NoTransferEvent, "0x1", 1, 10_000),
        (Trick::Revert, "0x0", 0, 0),
        (Trick::Nothing, "0x1", 0, 0),
        (Trick::BurnAllGas, "0x0", 0, 0),
        (Trick::Half, "0x1", 2, 5_000),
    ] {
        anvil.administer(token, &trick.on()).await;
        let payment = Payment::in_trick_token(1);
        let before = anvil.balance_of(token, payment.to).await;
        let tx = anvil.send(third_party(), token, &payment.call()).await;
        let receipt = anvil.receipt(&tx).await;
        assert_eq!(receipt["status"], status, "{trick:?}");
        assert_eq!(receipt["logs"].as_array().unwrap().len(), logs, "{trick:?}");
        assert_eq!(anvil.balance_of(token, payment.to).await - before, moved, "{trick:?}");
    }
}

#[tokio::test]
async fn a_reorganized_transaction_is_forgotten_and_can_land_again() {
    let anvil = Anvil::start(Mining::OnDemand, None).await;
    let payment = Payment::by(1);
    let tx = anvil.send(third_party(), payment.asset, &payment.call()).await;
    assert_eq!(anvil.waiting().await, 1);
    anvil.mine(1).await;
    let before = anvil.receipt(&tx).await;
    anvil.reorganize(1).await;
    assert!(anvil.call("eth_getTransactionReceipt", json!([tx])).await.is_null());
    assert_eq!(anvil.waiting().await, 0);
    let tx = anvil.send(third_party(), payment.asset, &payment.call()).await;
    anvil.mine(1).await;
    assert_ne!(anvil.receipt(&tx).await["blockHash"], before["blockHash"]);
}

#[tokio::test]
async fn blocks_become_final_as_epochs_end() {
    let anvil = Anvil::start(Mining::OnDemand, Some(1)).await;
    let finalized = async || number(&anvil.call("eth_getBlockByNumber", json!(["finalized", false])).await["number"]);
    let head = anvil.block_number().await;
    anvil.mine(4).await;
    assert_eq!(finalized().await, head + 2);
}

async fn ask(proxy: &Proxy, method: &str) -> Option<Answer> {
    let question = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": []});
    Client::new()
        .post(&proxy.url, &[], question.to_string().into())
        .await
        .ok()
}

#[tokio::test]
async fn the_proxy_answers_as_each_fault_says() {
    let anvil = Anvil::start(Mining::OnDemand, None).await;
    let proxy = Proxy::before(anvil.url()).await;
    let chain_id = json!({"jsonrpc": "2.0", "id": 7, "result": "0x14a34"});
    for (fault, expected) in [
        (
            Fault::Delay(Duration::from_millis(1)),
            Some((200, chain_id.to_string())),
        ),
        (Fault::LoseRequest, None),
        (Fault::LoseAnswer, None),
        (Fault::Status(500), Some((500, "<html>out of order</html>".into()))),
        (Fault::Garbage("{"), Some((200, "{".into()))),
        (
            Fault::Result("\"0x1\""),
            Some((200, json!({"jsonrpc": "2.0", "id": 7, "result": "0x1"}).to_string())),
        ),
        (
            Fault::Error(-32_000, "no"),
            Some((
                200,
                json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32_000, "message": "no"}}).to_string(),
            )),
        ),
    ] {
        let handle = proxy.fault(anything, fault);
        let answer = ask(&proxy, "eth_chainId").await;
        handle.met(1).await;
        match (answer, expected) {
            (None, None) => {}
            (Some(answer), Some((status, body))) => {
                assert_eq!(answer.status, status, "{fault:?}");
                let same_json = || answer.json() == serde_json::from_str::<serde_json::Value>(&body).unwrap();
                assert!(answer.text() == body || same_json(), "{fault:?}: {}", answer.text());
            }
            (answer, _) => panic!("{fault:?}: {answer:?}"),
        }
    }
    assert_eq!(ask(&proxy, "eth_chainId").await.unwrap().json(), chain_id);
    assert_eq!(proxy.requests(), 8);
}

#[tokio::test]
async fn the_proxy_counts_inside_batches_and_falsifies_only_what_is_picked() {
    let anvil = Anvil::start(Mining::OnDemand, None).await;
    let proxy = Proxy::before(anvil.url()).await;
    let _fault = proxy.fault(|call| call.method == "eth_gasPrice", Fault::Result("\"0x7\""));
    let ask = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": []});
    let batch = json!([ask(1, "eth_chainId"), ask(2, "eth_gasPrice")]).to_string();
    let answer = Client::new().post(&proxy.url, &[], batch.into()).await.unwrap().json();
    assert_eq!(
        (&answer[0]["result"], &answer[1]["result"]),
        (&json!("0x14a34"), &json!("0x7"))
    );
    assert_eq!((proxy.requests(), proxy.calls(anything).len()), (1, 2));
}

#[tokio::test]
async fn the_proxy_holds_before_and_after_the_node_has_acted() {
    let anvil = Anvil::start(Mining::OnDemand, None).await;
    let proxy = Proxy::before(anvil.url()).await;
    let height = anvil.block_number().await;
    for (fault, is_released, mined) in [
        (Fault::HoldRequest, false, 0),
        (Fault::HoldRequest, true, 1),
        (Fault::HoldAnswer, false, 2),
        (Fault::HoldAnswer, true, 3),
    ] {
        let handle = proxy.fault(anything, fault);
        let asked = async { ask(&proxy, "evm_mine").await.is_some() };
        let let_go = async {
            handle.met(1).await;
            if is_released {
                handle.release();
            } else {
                handle.discard();
            }
        };
        let (is_answered, ()) = tokio::join!(asked, let_go);
        assert_eq!(is_answered, is_released, "{fault:?}");
        assert_eq!(anvil.block_number().await - height, mined, "{fault:?}");
    }
}

#[tokio::test]
async fn the_proxy_knows_the_hash_of_what_is_sent_through_it() {
    let anvil = Anvil::start(Mining::OnDemand, None).await;
    let proxy = Proxy::before(anvil.url()).await;
    let question =
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [Bytes::from(b"a")]});
    let _fault = proxy.fault(send, Fault::Status(500));
    for _ in 0..2 {
        Client::new()
            .post(&proxy.url, &[], question.to_string().into())
            .await
            .unwrap();
    }
    assert_eq!(
        proxy.transactions(),
        ["0x3ac225168df54212a25c1c01fd35bebfea408fdac2e31ddd6f80a4bbf9a5f1cb"]
    );
}

#[tokio::test]
async fn the_gate_cuts_who_is_through_and_lets_in_after_opening() {
    let db = Database::create().await;
    let gate = Gate::before(db.address()).await;
    let url = db.url_by(gate.port);
    let mut session = sqlx::PgConnection::connect(&url).await.unwrap();
    session.execute("select 1").await.unwrap();
    gate.shut();
    assert!(session.execute("select 1").await.is_err());
    assert!(sqlx::PgConnection::connect(&url).await.is_err());
    gate.open();
    sqlx::PgConnection::connect(&url).await.unwrap();
}

#[tokio::test]
async fn an_obstacle_stops_writers_and_lets_readers_pass() {
    let db = Database::create().await;
    db.pool.execute("create table seats (id int)").await.unwrap();
    let obstacle = db.obstruct(Obstacle::WritesTo("seats")).await;
    assert_eq!(db.count("seats").await, 0);
    let pool = db.pool.clone();
    let writer = tokio::spawn(async move { pool.execute("insert into seats values (1)").await.is_ok() });
    obstacle.met().await;
    obstacle.remove().await;
    assert!(writer.await.unwrap());
    assert_eq!(db.count("seats").await, 1);

    let obstacle = db.obstruct(Obstacle::WritesTo("seats")).await;
    let pool = db.pool.clone();
    let writer = tokio::spawn(async move { pool.execute("insert into seats values (2)").await.is_ok() });
    obstacle.met().await;
    obstacle.remove_with_the_waiting().await;
    assert!(!writer.await.unwrap());
    assert_eq!(db.count("seats").await, 1);
}

#[tokio::test]
async fn a_database_is_gone_after_its_test() {
    let (url, server) = {
        let db = Database::create().await;
        assert_eq!(db.one::<i32>("select 1").await, 1);
        (db.url.clone(), crate::support::provided("DATABASE_URL"))
    };
    eventually("the server is there", async || {
        sqlx::PgConnection::connect(&server).await.ok()
    })
    .await;
    assert!(sqlx::PgConnection::connect(&url).await.is_err());
}

#[tokio::test]
async fn the_books_check_finds_what_does_not_agree() {
    let mut world = World::usual().await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    world.facilitator.kill();
    books_agree(&world).await;
    for (tamper, undo) in [
        (
            "update settlements set landed_log_index = 7",
            "update settlements set landed_log_index = 1",
        ),
        ("update evidence set log_index = 7", "update evidence set log_index = 1"),
        (
            "update payments set amount = 9999",
            "update payments set amount = 10000",
        ),
        (
            "update ledger_entries set amount = 9999",
            "update ledger_entries set amount = 10000",
        ),
        (
            "update ledger_entries set purpose = 'gas', stage = 'posted'",
            "update ledger_entries set purpose = 'payment', stage = 'pending'",
        ),
        (
            "update events set version = version + 5 where version > 0",
            "update events set version = version - 5 where version > 0",
        ),
        (
            "update lanes set next_nonce = next_nonce + 1",
            "update lanes set next_nonce = next_nonce - 1",
        ),
        (
            "update chain_transactions set tx = 'x' || tx",
            "update chain_transactions set tx = substr(tx, 2)",
        ),
        ("update payments set nonce = '0x' || repeat('0', 64)", "select 1"),
    ] {
        world.db.tamper(tamper).await;
        let checked = AssertUnwindSafe(books_agree(&world)).catch_unwind().await;
        assert!(checked.is_err(), "not found: {tamper}");
        world.db.tamper(undo).await;
    }
}
