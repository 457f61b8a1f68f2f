//! Payments whose turn comes late, because fees are high, a lane is blocked or its nonces are in disorder: each is
//! paid, given back unsigned, or refused for good with a proof; none is forgotten.

use alloy::primitives::U256;
use serde_json::json;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::eventually;
use crate::support::now;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, fee_quote, send};
use crate::support::world::{Setup, World, brief_windows};

const EXPIRED: &str = "invalid_exact_evm_payload_authorization_valid_before";

/// Lets the chain's word about a payment grow old: it is good for two block times.
pub(crate) async fn until_facts_are_old() {
    let then = now() + 4;
    eventually("time passes", async || (now() >= then).then_some(())).await;
}

#[tokio::test]
async fn a_payer_whose_money_is_gone_when_its_turn_comes_is_given_back_unsigned_and_may_come_again() {
    let world = World::usual().await;
    let payer = &addresses().accounts[1];
    let payment = Payment::of(payer, 1_000_000_000_000);
    let quote = world.proxy.fault(fee_quote, Fault::Status(500));
    let settling = world.settling(&payment);
    quote.met(1).await;
    let value = U256::from(1);
    world
        .node
        .send_mined(
            payer.address,
            payment.asset,
            &Token::transferCall {
                to: third_party(),
                value,
            },
        )
        .await;
    until_facts_are_old().await;
    quote.release();
    let answer = settling.await.unwrap().unsettled();
    assert_eq!(answer, ("invalid_exact_evm_insufficient_balance".into(), String::new()));
    assert_eq!(world.state(&payment).await.unwrap(), "withdrawn");
    assert_eq!(world.proxy.transactions(), [""; 0]);
    books_agree(&world).await;

    let back = Token::transferCall {
        to: payer.address,
        value,
    };
    world.node.send_mined(third_party(), payment.asset, &back).await;
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    let events = world.events(&payment).await;
    assert_eq!(
        events[..3],
        ["payment.reserved", "payment.withdrawn", "payment.reopened"]
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payment_that_expires_before_its_turn_is_given_back_unsigned() {
    let world = World::start(brief_windows()).await;
    let payment = Payment {
        valid_before: now() + 12,
        ..Payment::by(1)
    };
    let quote = world.proxy.fault(fee_quote, Fault::Status(500));
    let answer = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(answer, (EXPIRED.into(), String::new()));
    assert_eq!(world.state(&payment).await.unwrap(), "withdrawn");
    quote.release();
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    assert_eq!(world.proxy.transactions().len(), 1);
    books_agree(&world).await;
}

#[tokio::test]
async fn fees_above_the_cap_are_waited_out() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let base_fee = async |wei: u64| {
        world
            .node
            .call("anvil_setNextBlockBaseFeePerGas", json!([format!("{wei:#x}")]))
            .await;
        world.node.mine(1).await;
    };
    base_fee(101_000_000_000).await;
    let payment = Payment::by(1);
    assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), "");
    assert_eq!(world.state(&payment).await.unwrap(), "reserved");
    base_fee(1_000_000_000).await;
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let tx = world
        .facilitator
        .caller()
        .settle_until_known(&payment.body())
        .await
        .settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_base_fee_that_jumps_after_the_broadcast_delays_it() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    world
        .node
        .call("anvil_setNextBlockBaseFeePerGas", json!(["0x174876e800"]))
        .await;
    world.node.mine(1).await;
    assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), tx);
    world.node.call("anvil_setNextBlockBaseFeePerGas", json!(["0x1"])).await;
    world.node.mine(1).await;
    eventually("it lands", async || {
        world.node.mine(1).await;
        world.is_paid(&payment).await.then_some(())
    })
    .await;
    assert_eq!(world.facilitator.settle(&payment.body()).await.settled(), tx);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_lost_transaction_holds_up_those_behind_it_only_until_it_is_sent_again() {
    let world = World::usual().await;
    let (first, second) = (Payment::by(1), Payment::by(2));
    let losing = world.proxy.fault(send, Fault::LoseRequest);
    let settling = world.settling(&first);
    losing.met(1).await;
    losing.release();
    let behind = world.settling(&second);
    settling.await.unwrap().settled();
    behind.await.unwrap().settled();
    assert_eq!(world.received().await, 20_000);
    books_agree(&world).await;
}

/// The signer's key is used by somebody else too, who takes the very nonce that was meant for a payment. The payment
/// cannot land by us any more and is not paid by accident either; those after it are paid.
#[tokio::test]
async fn a_nonce_that_somebody_else_used_up() {
    let setup = Setup {
        mining: Mining::OnDemand,
        epoch: Some(1),
        wait_seconds: 1,
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let signer = addresses().accounts[9].address;
    let (payment, next) = (
        Payment::by(1),
        Payment {
            valid_before: now() + 7200,
            ..Payment::by(2)
        },
    );
    let losing = world.proxy.fault(send, Fault::LoseRequest);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    let foreign = Token::transferCall {
        to: third_party(),
        value: U256::from(1),
    };
    world.node.send_mined(signer, addresses().usdc, &foreign).await;
    losing.release();
    assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), tx);
    world.facilitator.settle(&next.body()).await.pending();
    world.is_waiting(1).await;
    world.node.mine(1).await;
    world
        .facilitator
        .caller()
        .settle_until_known(&next.body())
        .await
        .settled();
    world.node.mine_at(payment.valid_before).await;
    world.node.mine(3).await;
    world.reaches(&payment, "failed").await;
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.unsettled(),
        (EXPIRED.into(), String::new())
    );
    assert_eq!(world.received().await, 10_000);
}

/// While the facilitator is down somebody else uses its key, or its database is restored from an old copy: a lane
/// whose past is not on record is not used, and what waits for it is not lost.
#[tokio::test]
async fn a_lane_whose_past_is_not_on_record_is_closed() {
    let mut world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let first = world.facilitator.settle(&Payment::by(1).body()).await.settled();
    world.facilitator.kill();
    let foreign = Token::transferCall {
        to: third_party(),
        value: U256::from(1),
    };
    world
        .node
        .send_mined(addresses().accounts[9].address, addresses().usdc, &foreign)
        .await;
    world.facilitator.start_with(&["lane closed"]).await;
    let payment = Payment::by(2);
    assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), "");
    assert_eq!(world.proxy.transactions(), [first]);

    // With a signer that nobody else uses, it goes on.
    world.facilitator.kill();
    world.facilitator.config.evm[0].signers = vec![addresses().accounts[8].clone()];
    world.facilitator.start().await;
    world
        .facilitator
        .caller()
        .settle_until_known(&payment.body())
        .await
        .settled();
    assert_eq!(world.received().await, 20_000);
    books_agree(&world).await;
}

/// Fees rise after the broadcast and stay up, below the cap: what was signed for less must not stand in the way of the
/// lane for ever.
#[tokio::test]
async fn r08_fees_that_rise_after_the_broadcast_and_stay_up() {
    let setup = Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let mine_at_50_gwei = async || {
        world
            .node
            .call("anvil_setNextBlockBaseFeePerGas", json!(["0xba43b7400"]))
            .await;
        world.node.mine(1).await;
    };
    let (first, second) = (Payment::by(1), Payment::by(2));
    world.facilitator.settle(&first.body()).await.pending();
    world.is_waiting(1).await;
    mine_at_50_gwei().await;
    world.facilitator.settle(&second.body()).await.pending();
    for payment in [&first, &second] {
        eventually("it is paid at today's price", async || {
            mine_at_50_gwei().await;
            world.is_paid(payment).await.then_some(())
        })
        .await;
    }
    books_agree(&world).await;
}
