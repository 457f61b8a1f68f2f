//! What payers, recipients, issuers and passers-by do with an authorization that we have on record, and by whose clock
//! it is judged.

use alloy::primitives::Bytes;
use alloy::sol_types::SolCall;
use serde_json::json;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::{Call3, Multicall3, Token, addresses, admin, third_party};
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, fee_quote, send};
use crate::support::world::{Setup, World, brief_windows};
use crate::support::{eventually, now};

async fn patient_chain() -> World {
    World::start(Setup {
        mining: Mining::OnDemand,
        epoch: Some(1),
        wait_seconds: 1,
        ..brief_windows()
    })
    .await
}

async fn proof(world: &World) -> String {
    world.db.one("select proof from settlements").await
}

#[tokio::test]
async fn r22_four_payments_in_somebody_elses_transaction_are_four_successes() {
    let world = patient_chain().await;
    let payments: Vec<Payment> = (1..=4).map(Payment::by).collect();
    let lost = world.proxy.fault(send, Fault::LoseRequest);
    for payment in &payments {
        world.facilitator.settle(&payment.body()).await.pending();
    }
    let calls = payments.iter().map(|payment| Call3 {
        target: payment.asset,
        allowFailure: false,
        callData: payment.call().abi_encode().into(),
    });
    let together = Multicall3::aggregate3Call { calls: calls.collect() };
    let theirs = world
        .node
        .send_mined(third_party(), addresses().multicall3, &together)
        .await;
    for payment in &payments {
        let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
        assert_eq!(answer.settled(), theirs);
    }
    let places: i64 = world
        .db
        .one("select count(distinct (tx, log_index)) from evidence")
        .await;
    assert_eq!(places, 4);
    lost.release();
    assert_eq!(world.received().await, 40_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn h07_a_chain_an_hour_ahead_judges_by_its_own_clock() {
    let world = World::usual().await;
    world.node.call("evm_increaseTime", json!([3_600])).await;
    world.node.mine(1).await;
    let over = Payment::by(1);
    let (_, tx) = world.facilitator.settle(&over.body()).await.unsettled();
    assert_eq!(tx, "");
    assert_eq!(world.db.count("payments").await, 0);
    let open = Payment {
        valid_before: now() + 7_200,
        ..Payment::by(2)
    };
    world.facilitator.settle(&open.body()).await.settled();
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn h08_in_a_block_of_the_very_second_in_which_it_ends_it_is_over() {
    let world = patient_chain().await;
    let payment = Payment {
        valid_before: now() + 60,
        ..Payment::by(1)
    };
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    world.node.mine_at(payment.valid_before).await;
    assert_eq!(world.node.receipt(&tx).await["status"], "0x0");
    world.node.mine(3).await;
    world.reaches(&payment, "failed").await;
    assert_eq!(proof(&world).await, "window_closed");
    assert_eq!(world.received().await, 0);
    books_agree(&world).await;
}

/// The payer lets somebody collect with the same nonce: that is not what was signed for the merchant.
#[tokio::test]
async fn h12_a_collection_by_somebody_else_is_no_payment() {
    let world = patient_chain().await;
    let payment = Payment::by(1);
    let lost = world.proxy.fault(send, Fault::LoseRequest);
    world.facilitator.settle(&payment.body()).await.pending();
    world
        .node
        .send_mined(third_party(), payment.asset, &payment.collection(third_party()))
        .await;
    world.node.mine(3).await;
    world.reaches(&payment, "failed").await;
    assert_eq!(proof(&world).await, "used_otherwise");
    lost.release();
    assert_eq!(world.received().await, 0);
    books_agree(&world).await;
}

#[tokio::test]
async fn h13_a_token_that_stops_before_its_turn_costs_nothing() {
    let payer = addresses().accounts[1].address;
    let pay_to = addresses().pay_to;
    for call in [
        Token::pauseCall {}.abi_encode(),
        Token::blacklistCall { account: payer }.abi_encode(),
        Token::blacklistCall { account: pay_to }.abi_encode(),
    ] {
        let world = World::usual().await;
        let payment = Payment::by(1);
        let quote = world.proxy.fault(fee_quote, Fault::Status(500));
        let settling = world.settling(&payment);
        quote.met(1).await;
        let stop = json!({"from": admin(), "to": payment.asset, "data": Bytes::from(call)});
        world.node.call("eth_sendTransaction", json!([stop])).await;
        // The chain's word about a payment is good for two block times.
        let then = now() + 4;
        eventually("the facts are old", async || (now() >= then).then_some(())).await;
        quote.release();
        let (_, tx) = settling.await.unwrap().unsettled();
        assert_eq!(tx, "");
        assert_eq!(world.state(&payment).await.unwrap(), "withdrawn");
        assert_eq!(world.proxy.transactions(), [""; 0]);
        books_agree(&world).await;
    }
}
