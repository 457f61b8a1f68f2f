//! Transactions that do not get mined: each lane goes on at the chain's price, within the cap, and whichever of several
//! transactions for one nonce is mined is the one on record.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::{addresses, third_party};
use crate::support::counted::counted;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, send};
use crate::support::world::{Setup, World};

const GWEI: u64 = 1_000_000_000;
const EXPIRED: &str = "invalid_exact_evm_payload_authorization_valid_before";

async fn on_demand() -> World {
    World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await
}

/// The next block will have this base fee.
async fn next_base_fee(world: &World, gwei: u64) {
    let fee = format!("{:#x}", gwei * GWEI);
    world.node.call("anvil_setNextBlockBaseFeePerGas", json!([fee])).await;
}

/// Makes one block with this base fee.
async fn mine_at(world: &World, gwei: u64) {
    next_base_fee(world, gwei).await;
    world.node.mine(1).await;
}

/// Makes blocks with this base fee, one after the other, until as many transactions are on record.
async fn until_signed(world: &World, gwei: u64, transactions: i64) {
    eventually("what is stuck is replaced", async || {
        mine_at(world, gwei).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        (world.db.count("chain_transactions").await == transactions).then_some(())
    })
    .await;
}

/// The bytes of the transaction, as they were handed to the node.
fn raw(world: &World, tx: &str) -> Value {
    let sent = world.proxy.calls(send).into_iter().map(|call| call.params[0].clone());
    let hash = |raw: &Value| {
        let bytes: alloy::primitives::Bytes = raw.as_str().unwrap().parse().unwrap();
        alloy::primitives::keccak256(bytes).to_string()
    };
    sent.into_iter().find(|raw| hash(raw) == tx).unwrap()
}

async fn landed_tx(world: &World) -> String {
    world.db.one("select landed_tx from settlements").await
}

#[tokio::test]
async fn all_that_the_new_price_shuts_out_is_replaced_at_once_lowest_first() {
    let world = on_demand().await;
    let payments: Vec<Payment> = (1..=3).map(Payment::by).collect();
    for payment in &payments {
        world.facilitator.settle(&payment.body()).await.pending();
    }
    world.is_waiting(3).await;
    until_signed(&world, 50, 6).await;
    let sent = eventually("what is on record is sent", async || {
        Some(world.proxy.transactions()).filter(|sent| sent.len() == 6)
    })
    .await;
    let sql = "select string_agg(tx, ' ' order by created_at) from chain_transactions";
    assert_eq!(sent.join(" "), world.db.one::<String>(sql).await);
    mine_at(&world, 50).await;
    for (payment, tx) in payments.iter().zip(&sent[3..]) {
        world.reaches(payment, "confirmed").await;
        assert_eq!(world.facilitator.settle(&payment.body()).await.settled(), *tx);
        let events = world.events(payment).await;
        assert_eq!(events[1..], ["payment.signed", "payment.signed", "payment.confirmed"]);
    }
    assert_eq!(world.proxy.transactions().len(), 6, "nothing is sent again");
    books_agree(&world).await;
}

#[tokio::test]
async fn h06_a_chain_that_stands_still_is_not_outbid() {
    let world = on_demand().await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(world.proxy.transactions(), std::slice::from_ref(&tx));
    world.node.mine(1).await;
    world.reaches(&payment, "confirmed").await;
    assert_eq!(world.facilitator.settle(&payment.body()).await.settled(), tx);
    books_agree(&world).await;
}

#[tokio::test]
async fn h22_the_older_one_may_be_mined_and_a_reorganization_brings_both_back() {
    let world = on_demand().await;
    let payment = Payment::by(1);
    let first = world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    // The newer one is lost on its way, the price falls, and somebody has kept the older one.
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    until_signed(&world, 50, 2).await;
    let second = world.facilitator.settle(&payment.body()).await.pending();
    assert_ne!(first, second);
    mine_at(&world, 1).await;
    let bytes = raw(&world, &first);
    world.node.call("eth_sendRawTransaction", json!([bytes])).await;
    world.node.mine(1).await;
    sending.release();
    world.reaches(&payment, "confirmed").await;
    assert_eq!(landed_tx(&world).await, first);
    assert_eq!(world.facilitator.settle(&payment.body()).await.settled(), first);
    let path = format!("/payments/lookup?transaction={second}");
    let found = world.facilitator.get(&path).await.json();
    assert_eq!(found["settlements"][0]["transactions"], json!([first, second]));
    assert_eq!(found["settlements"][0]["transaction"], json!(first));
    books_agree(&world).await;

    world.node.reorganize(1).await;
    world.reaches(&payment, "in_flight").await;
    world.is_waiting(1).await;
    mine_at(&world, 1).await;
    world.reaches(&payment, "confirmed").await;
    assert_eq!(landed_tx(&world).await, second);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn k12_a_replacement_on_record_is_sent_by_whoever_comes_next() {
    counted("K12", 1, 1, async |_| {
        let mut world = on_demand().await;
        let payment = Payment::by(1);
        world.facilitator.settle(&payment.body()).await.pending();
        world.is_waiting(1).await;
        let sending = world.proxy.fault(send, Fault::LoseRequest);
        until_signed(&world, 50, 2).await;
        world.facilitator.kill();
        sending.release();
        world.facilitator.start().await;
        eventually("it is paid at today's price", async || {
            mine_at(&world, 50).await;
            world.is_paid(&payment).await.then_some(())
        })
        .await;
        assert_eq!(world.db.count("chain_transactions").await, 2);
        books_agree(&world).await;
    })
    .await;
}

#[tokio::test]
async fn r09_a_price_above_the_cap_is_waited_out_with_what_was_signed() {
    let world = on_demand().await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    eventually("the operator is told", async || {
        mine_at(&world, 200).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let at_cap = world.facilitator.series("facilitator_slots_at_fee_cap", "1").await;
        (at_cap == 1).then_some(())
    })
    .await;
    mine_at(&world, 200).await;
    world.is_looked_at().await;
    assert_eq!(
        world.facilitator.logs().matches("cannot be outbid").count(),
        1,
        "said once"
    );
    assert_eq!(world.proxy.transactions(), std::slice::from_ref(&tx));
    mine_at(&world, 1).await;
    eventually("it lands", async || {
        world.node.mine(1).await;
        world.is_paid(&payment).await.then_some(())
    })
    .await;
    // On a slow machine what was signed is replaced at the new price before it lands.
    let landed = world.facilitator.settle(&payment.body()).await.settled();
    assert!(world.proxy.transactions().contains(&landed));
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// The price stays above the cap until the payment's time is over. Its nonce is used up by nothing when the price allows,
/// and what comes behind it is paid.
#[tokio::test]
async fn r09_a_price_above_the_cap_until_the_window_has_closed() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    mine_at(&world, 200).await;
    assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), tx);
    next_base_fee(&world, 200).await;
    world.node.mine_at(payment.valid_before).await;
    eventually("its time is over for good", async || {
        mine_at(&world, 200).await;
        (world.state(&payment).await.as_deref() == Some("failed")).then_some(())
    })
    .await;
    assert_eq!(
        world.db.one::<String>("select proof from settlements").await,
        "window_closed"
    );
    let answer = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(answer, (EXPIRED.into(), String::new()));
    assert_eq!(world.proxy.transactions(), [tx]);

    until_signed(&world, 50, 2).await;
    assert_eq!(world.db.count("chain_transactions where is_empty").await, 1);
    let next = Payment {
        valid_before: payment.valid_before + 3600,
        ..Payment::by(2)
    };
    world.facilitator.settle(&next.body()).await.pending();
    eventually("what comes behind it is paid", async || {
        mine_at(&world, 50).await;
        world.is_paid(&next).await.then_some(())
    })
    .await;
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// Somebody else lands the payment while ours is stuck: its nonce is used up by nothing. Then that landing is undone, and
/// what was meant for the payment is mined after all.
#[tokio::test]
async fn what_was_given_up_may_be_mined_after_all() {
    let world = on_demand().await;
    let payment = Payment::by(1);
    let first = world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    mine_at(&world, 50).await;
    let height = world.node.block_number().await;
    world
        .node
        .send_mined(third_party(), payment.asset, &payment.call())
        .await;
    world.reaches(&payment, "confirmed").await;
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    until_signed(&world, 50, 2).await;
    assert_eq!(world.db.count("chain_transactions where is_empty").await, 1);
    let undone = world.node.block_number().await - height;
    world.node.reorganize(undone).await;
    let bytes = raw(&world, &first);
    next_base_fee(&world, 1).await;
    world.node.call("eth_sendRawTransaction", json!([bytes])).await;
    mine_at(&world, 1).await;
    sending.release();
    eventually("it lands by us", async || {
        world.node.mine(1).await;
        let is_there = world.is_paid(&payment).await;
        (is_there && landed_tx(&world).await == first).then_some(())
    })
    .await;
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// A nonce that was used up by nothing is nobody's business once its payment is over. When the block that holds it is
/// taken back, whatever comes behind it waits for it.
#[tokio::test]
async fn a_nonce_that_a_reorganization_opens_again_is_used_up_again() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    mine_at(&world, 50).await;
    world
        .node
        .send_mined(third_party(), payment.asset, &payment.call())
        .await;
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    until_signed(&world, 50, 2).await;
    eventually("what somebody else landed is final", async || {
        mine_at(&world, 50).await;
        (world.state(&payment).await.as_deref() == Some("final")).then_some(())
    })
    .await;
    sending.release();
    world.is_waiting(1).await;
    mine_at(&world, 1).await;
    let spent = "slots where consumed_by is not null";
    eventually("the nonce is spent on record", async || {
        (world.db.count(spent).await == 1).then_some(())
    })
    .await;
    world.node.reorganize(1).await;

    let next = Payment::by(2);
    world.facilitator.settle(&next.body()).await.pending();
    eventually("what waits behind it lands", async || {
        world.node.mine(1).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.is_paid(&next).await.then_some(())
    })
    .await;
    assert!(
        world
            .facilitator
            .logs()
            .contains("a reorganization has opened nonces again")
    );
    books_agree(&world).await;
}

/// Both lanes run dry. What was signed keeps its place, and each goes on as soon as its signer has money.
#[tokio::test]
async fn r10_a_lane_without_money_pauses_and_the_others_go_on() {
    let world = World::start(Setup {
        signers: 2,
        wait_seconds: 1,
        // That it cannot pay is found out by sending, not by looking.
        network_key: "balance_min = 0",
        ..Setup::default()
    })
    .await;
    let signers = [9, 8].map(|i| addresses().accounts[i].address);
    let fund = async |signer: alloy::primitives::Address, wei: &str| {
        world.node.call("anvil_setBalance", json!([signer, wei])).await;
    };
    let dry = async || world.facilitator.series("facilitator_lane_out_of_funds", "1").await;
    for signer in signers {
        fund(signer, "0x0").await;
    }
    let payments: Vec<Payment> = (1..=4).map(Payment::by).collect();
    for payment in &payments {
        world.facilitator.settle(&payment.body()).await.pending();
    }
    assert_eq!(dry().await, 2);
    assert_eq!(world.db.count("settlements where state = 'in_flight'").await, 2);
    assert_eq!(world.db.count("settlements where state = 'reserved'").await, 2);

    fund(signers[1], "0xde0b6b3a7640000").await;
    let sql = "select count(*) from settlements where state = 'confirmed'";
    eventually("the funded lane does the rest", async || {
        (world.db.one::<i64>(sql).await == 3).then_some(())
    })
    .await;
    assert_eq!(dry().await, 1);
    fund(signers[0], "0xde0b6b3a7640000").await;
    for payment in &payments {
        world.reaches(payment, "confirmed").await;
    }
    assert_eq!(dry().await, 0);
    assert_eq!(world.facilitator.logs().matches("lane paused: its signer").count(), 2);
    books_agree(&world).await;
}

/// A node's refusals say nothing about the money: whatever it says, what was signed is looked for and sent again.
#[tokio::test]
async fn r07_whatever_a_node_says_of_a_transaction_it_is_paid_and_not_sent_in_a_loop() {
    for (words, at_most) in [
        ("nonce too low: next nonce 5, tx nonce 4", 2),
        ("replacement transaction underpriced", 2),
        ("nonce too high", 5),
        ("insufficient funds for gas * price + value", 5),
        ("intrinsic gas too low", 5),
    ] {
        let world = on_demand().await;
        let payment = Payment::by(1);
        let refusing = world.proxy.fault(send, Fault::Error(-32_000, words));
        let tx = world.facilitator.settle(&payment.body()).await.pending();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let sent = world.proxy.calls(send).len();
        assert!(sent <= at_most, "{words}: sent {sent} times");
        refusing.release();
        world.is_waiting(1).await;
        world.node.mine(1).await;
        world.reaches(&payment, "confirmed").await;
        assert_eq!(world.facilitator.settle(&payment.body()).await.settled(), tx);
        assert_eq!(world.db.count("chain_transactions").await, 1);
        books_agree(&world).await;
    }
}
