//! What payers, recipients, issuers and passers-by do with an authorization that we have on record, and by whose clock
//! it is judged.

use alloy::primitives::Bytes;
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::{Call3, Multicall3, Token, addresses, admin, third_party};
use crate::support::payer::Payment;
use crate::support::proxy::{Call, Fault, fee_quote, receipt, send};
use crate::support::world::{Setup, World, brief_windows};
use crate::support::{eventually, now};

/// `Transfer(address,address,uint256)` of ERC-20.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

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
async fn h07_a_chain_an_hour_behind_judges_by_its_own_clock() {
    let world = patient_chain().await;
    world.node.call("evm_setTime", json!([now() - 3_600])).await;
    world.node.mine(3).await;
    let early = Payment {
        valid_after: now() - 600,
        ..Payment::by(1)
    };
    let (_, tx) = world.facilitator.settle(&early.body()).await.unsettled();
    assert_eq!(tx, "");
    assert_eq!(world.db.count("payments").await, 0);

    let open = Payment {
        valid_before: now() + 12,
        ..Payment::by(2)
    };
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    world.facilitator.settle(&open.body()).await.pending();
    eventually("all clocks but the chain's are past it", async || {
        (now() > open.valid_before).then_some(())
    })
    .await;
    world.node.mine(3).await;
    world.is_looked_at().await;
    assert_eq!(world.state(&open).await.unwrap(), "in_flight");
    sending.release();
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let answer = world.facilitator.caller().settle_until_known(&open.body()).await;
    answer.settled();
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

#[tokio::test]
async fn h08_in_a_block_of_the_very_second_after_which_it_begins_it_is_too_early() {
    let world = patient_chain().await;
    let payment = Payment {
        valid_after: now() + 2,
        ..Payment::by(1)
    };
    world.node.mine_at(payment.valid_after).await;
    eventually("all clocks but the chain's are past it", async || {
        (now() > payment.valid_after).then_some(())
    })
    .await;
    let (_, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(tx, "");
    assert_eq!(world.db.count("payments").await, 0);
    world.node.mine_at(payment.valid_after + 1).await;
    world.facilitator.verify(&payment.body()).await.valid();
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

/// A receipt whose transfer goes to another account.
fn to_somebody_else(_: &Call, answer: &mut Value) {
    let nobody = json!(format!("0x{:064x}", 7));
    for log in answer["result"]["logs"].as_array_mut().into_iter().flatten() {
        if log["topics"][0] == TRANSFER {
            log["topics"][2] = nobody.clone();
        }
    }
}

/// A receipt in which another token says what the token should.
fn of_another_token(_: &Call, answer: &mut Value) {
    for log in answer["result"]["logs"].as_array_mut().into_iter().flatten() {
        log["address"] = json!(addresses().plain_token);
    }
}

#[tokio::test]
async fn r21_a_transfer_to_somebody_else_or_of_another_token_is_no_payment() {
    for falsify in [to_somebody_else, of_another_token] {
        let world = World::start(Setup {
            wait_seconds: 2,
            ..Setup::default()
        })
        .await;
        let payment = Payment::by(1);
        let shown = world.proxy.fault(receipt, Fault::Falsify(falsify));
        let answer = world.facilitator.settle(&payment.body()).await.outcome(200);
        assert_eq!(answer["success"], false, "{answer}");
        shown.met(2).await;
        assert_eq!(world.state(&payment).await.unwrap(), "in_flight");
        shown.release();
        world.reaches(&payment, "confirmed").await;
        let tx = world.facilitator.settle(&payment.body()).await.settled();
        assert_eq!(answer["transaction"], tx);
        books_agree(&world).await;
    }
}

/// Between our signature and the block: one transaction is mined for nothing, and the caller hears which.
#[tokio::test]
async fn b15_h13_what_stops_a_payment_on_its_way_costs_one_transaction() {
    let payer = addresses().accounts[1].address;
    let pay_to = addresses().pay_to;
    let stops = [
        Some(Token::pauseCall {}.abi_encode()),
        Some(Token::blacklistCall { account: payer }.abi_encode()),
        Some(Token::blacklistCall { account: pay_to }.abi_encode()),
        // The payer's account becomes a wallet that refuses everything.
        None,
    ];
    for stop in stops {
        let world = World::usual().await;
        let payment = Payment::by(1);
        let sending = world.proxy.fault(send, Fault::HoldRequest);
        let settling = world.settling(&payment);
        sending.met(1).await;
        if let Some(call) = stop {
            let stop = json!({"from": admin(), "to": payment.asset, "data": Bytes::from(call)});
            let stopped = world.node.call("eth_sendTransaction", json!([stop])).await;
            world.node.receipt(stopped.as_str().unwrap()).await;
        } else {
            let delegation = [&[0xef, 0x01, 0x00], addresses().refusing_wallet.as_slice()].concat();
            world.node.set_code(payer, &delegation.into()).await;
        }
        sending.release();
        let (_, tx) = settling.await.unwrap().unsettled();
        assert_eq!(world.node.receipt(&tx).await["status"], "0x0");
        assert_eq!(world.proxy.transactions(), [tx]);
        assert_eq!(world.received().await, 0);
        books_agree(&world).await;
    }
}

/// The payer's other payment stands before ours in the very same block.
#[tokio::test]
async fn h14_a_payer_who_spends_the_money_in_the_same_block() {
    let world = patient_chain().await;
    let payment = Payment::of(&addresses().accounts[1], 1_000_000_000_000);
    let ours = world.facilitator.settle(&payment.body()).await.pending();
    let elsewhere = Payment {
        pay_to: third_party(),
        to: third_party(),
        ..Payment::by(1)
    };
    let data = Bytes::from(elsewhere.call().abi_encode());
    // Dearer, so that it comes first.
    let dear = json!({"from": third_party(), "to": elsewhere.asset, "data": data, "gas": "0xf4240",
        "gasPrice": "0x174876e800"});
    let theirs = world.node.call("eth_sendTransaction", json!([dear])).await;
    world.is_waiting(2).await;
    world.node.mine(1).await;
    let (mine, other) = (
        world.node.receipt(&ours).await,
        world.node.receipt(theirs.as_str().unwrap()).await,
    );
    assert_eq!(mine["blockHash"], other["blockHash"]);
    assert_eq!((&mine["status"], &other["status"]), (&json!("0x0"), &json!("0x1")));
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.unsettled().1, ours);
    books_agree(&world).await;
}

#[tokio::test]
async fn b08_a_nonce_that_is_used_again_for_another_value_pays_once() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let dearer = Payment {
        nonce: payment.nonce,
        ..Payment::of(&addresses().accounts[1], 20_000)
    };
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    let (reason, _) = world.facilitator.settle(&dearer.body()).await.unsettled();
    assert_eq!(reason, "duplicate_settlement");
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let caller = world.facilitator.caller();
    assert_eq!(caller.settle_until_known(&payment.body()).await.settled(), tx);
    assert_eq!(
        caller.post("/settle", &dearer.body()).await.unsettled().0,
        "invalid_exact_evm_nonce_already_used"
    );
    assert_eq!(
        world.facilitator.verify(&dearer.body()).await.invalid(),
        "invalid_exact_evm_nonce_already_used"
    );
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}
