//! What the chain does after a payment was sent: finality, reorganizations, windows that close, authorizations that
//! are taken back. The records follow the chain, and "failed" is said only with a proof.

use crate::support::anvil::{Mining, number};
use crate::support::books::books_agree;
use crate::support::contracts::{Trick, addresses, third_party};
use crate::support::eventually;
use crate::support::now;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, send};
use crate::support::world::{Setup, World, brief_windows};

const EXPIRED: &str = "invalid_exact_evm_payload_authorization_valid_before";
const USED: &str = "invalid_exact_evm_nonce_already_used";
const MISMATCH: &str = "invalid_exact_evm_transfer_event_mismatch";

/// A chain that makes blocks only when told to, and on which a block is final two blocks later.
async fn patient_chain() -> World {
    World::start(Setup {
        mining: Mining::OnDemand,
        epoch: Some(1),
        wait_seconds: 1,
        ..Setup::default()
    })
    .await
}

/// Settles one payment on a chain that mines on demand.
async fn settled(world: &World, payment: &Payment) -> String {
    let settling = world.settling(payment);
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let answer = settling.await.unwrap();
    if answer.outcome(200)["success"] == true {
        return answer.settled();
    }
    world
        .facilitator
        .caller()
        .settle_until_known(&payment.body())
        .await
        .settled()
}

#[tokio::test]
async fn a_payment_becomes_final_and_is_posted_with_what_it_cost() {
    let world = patient_chain().await;
    let payment = Payment::by(1);
    let tx = settled(&world, &payment).await;
    assert_eq!(world.state(&payment).await.unwrap(), "confirmed");
    assert_eq!(world.db.count("ledger_entries where stage = 'posted'").await, 0);
    world.node.mine(3).await;
    world.reaches(&payment, "final").await;
    assert_eq!(
        world.events(&payment).await,
        [
            "payment.reserved",
            "payment.signed",
            "payment.confirmed",
            "payment.finalized"
        ]
    );
    let receipt = world.node.receipt(&tx).await;
    let cost = u128::from(number(&receipt["gasUsed"])) * u128::from(number(&receipt["effectiveGasPrice"]));
    let sql = "select sum(amount)::text from ledger_entries where purpose = 'gas' and stage = 'posted'";
    assert_eq!(world.db.one::<String>(sql).await, cost.to_string());
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.unsettled(),
        (USED.into(), tx)
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn h01_a_reorganization_takes_a_payment_back_and_the_same_bytes_land_it_again() {
    for depth in [1, 2] {
        let world = patient_chain().await;
        let payment = Payment::by(1);
        let tx = settled(&world, &payment).await;
        let block = world.node.receipt(&tx).await["blockHash"].clone();
        world.node.mine(depth - 1).await;
        world.node.reorganize(depth).await;
        world.reaches(&payment, "in_flight").await;
        books_agree(&world).await;
        world.is_waiting(1).await;
        world.node.mine(1).await;
        world.reaches(&payment, "confirmed").await;
        assert_ne!(world.node.receipt(&tx).await["blockHash"], block);
        let events = world.events(&payment).await;
        assert_eq!(
            events[2..],
            ["payment.confirmed", "payment.reversed", "payment.confirmed"]
        );
        assert_eq!(world.proxy.transactions(), std::slice::from_ref(&tx));
        // Its one success was told before; it is not told again.
        assert_eq!(
            world.facilitator.settle(&payment.body()).await.unsettled(),
            (USED.into(), tx)
        );
        world.node.mine(3).await;
        world.reaches(&payment, "final").await;
        books_agree(&world).await;
    }
}

#[tokio::test]
async fn a_foreign_landing_that_is_reorganized_away_is_landed_by_us() {
    let world = patient_chain().await;
    let payment = Payment::by(1);
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    world.facilitator.settle(&payment.body()).await.pending();
    world
        .node
        .send_mined(third_party(), payment.asset, &payment.call())
        .await;
    world.reaches(&payment, "confirmed").await;
    world.node.reorganize(1).await;
    world.reaches(&payment, "in_flight").await;
    sending.release();
    world.is_waiting(1).await;
    world.node.mine(1).await;
    world.reaches(&payment, "confirmed").await;
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_window_that_closes_unused_is_a_failure_with_its_proof() {
    let world = patient_chain().await;
    let payment = Payment::by(1);
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    world.facilitator.settle(&payment.body()).await.pending();
    // The head alone proves nothing: it may be taken back.
    world.node.mine_at(payment.valid_before).await;
    world.is_looked_at().await;
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.unsettled().0,
        "settlement_pending"
    );
    world.node.mine(3).await;
    world.reaches(&payment, "failed").await;
    let answer = world.facilitator.settle(&payment.body()).await;
    assert_eq!(answer.unsettled(), (EXPIRED.into(), String::new()));
    assert_eq!(
        world.db.one::<String>("select proof from settlements").await,
        "window_closed"
    );
    books_agree(&world).await;

    // The nonce that was meant for it is used up by nothing, and the lane goes on.
    sending.release();
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let next = Payment {
        valid_before: now() + 7200,
        ..Payment::by(2)
    };
    settled(&world, &next).await;
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn h11_an_authorization_that_its_payer_takes_back_before_it_lands() {
    let world = patient_chain().await;
    let payment = Payment::by(1);
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    let ours = world.facilitator.settle(&payment.body()).await.pending();
    let cancellation = world
        .node
        .send_mined(third_party(), payment.asset, &payment.cancellation())
        .await;
    world.is_looked_at().await;
    let answer = world.facilitator.settle(&payment.body()).await;
    assert_eq!(
        answer.unsettled(),
        ("settlement_pending".into(), ours.clone()),
        "not proven yet"
    );
    world.node.mine(3).await;
    world.reaches(&payment, "failed").await;
    let answer = world.facilitator.settle(&payment.body()).await;
    assert_eq!(answer.unsettled(), (USED.into(), cancellation));
    assert_eq!(
        world.db.one::<String>("select proof from settlements").await,
        "cancelled"
    );
    // What was meant for it is not sent any more once its nonce is to be used up by nothing.
    eventually("nothing takes its place", async || {
        (world.db.count("chain_transactions where is_empty").await == 1).then_some(())
    })
    .await;
    sending.release();
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let unmined = world
        .node
        .call("eth_getTransactionReceipt", serde_json::json!([ours]))
        .await;
    assert!(unmined.is_null(), "{unmined}");
    assert_eq!(world.node.sent_by(addresses().accounts[9].address).await, 1);
    books_agree(&world).await;
}

#[tokio::test]
async fn an_authorization_used_for_something_else_fails_when_that_is_final() {
    let world = patient_chain().await;
    world.node.administer(addresses().trick_token, &Trick::Half.on()).await;
    let payment = Payment::in_trick_token(1);
    let settling = world.settling(&payment);
    world.is_waiting(1).await;
    world.node.mine(1).await;
    settling.await.unwrap();
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    let (reason, tx) = answer.unsettled();
    assert_eq!(reason, MISMATCH);
    world.node.mine(1).await;
    world.is_looked_at().await;
    assert_eq!(world.state(&payment).await.unwrap(), "in_flight", "not proven yet");
    world.node.mine(3).await;
    world.reaches(&payment, "failed").await;
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.unsettled(),
        (MISMATCH.into(), tx)
    );
    assert_eq!(
        world.db.one::<String>("select proof from settlements").await,
        "used_otherwise"
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn a_reverted_payment_fails_for_good_only_when_its_window_has_closed() {
    let world = patient_chain().await;
    world
        .node
        .administer(addresses().trick_token, &Trick::Revert.on())
        .await;
    let payment = Payment::in_trick_token(1);
    let settling = world.settling(&payment);
    world.is_waiting(1).await;
    world.node.mine(1).await;
    settling.await.unwrap();
    world
        .facilitator
        .caller()
        .settle_until_known(&payment.body())
        .await
        .unsettled();
    world.node.mine(10).await;
    assert_eq!(world.state(&payment).await.unwrap(), "in_flight");
    world.node.mine_at(payment.valid_before).await;
    world.node.mine(3).await;
    world.reaches(&payment, "failed").await;
    assert_eq!(
        world.db.one::<String>("select proof from settlements").await,
        "window_closed"
    );
    books_agree(&world).await;
}

/// It was said that it had not moved, and our own old bytes land it in another block.
#[tokio::test]
async fn h15_a_reverted_payment_that_another_block_takes_after_all_counts_as_paid() {
    let world = patient_chain().await;
    let token = addresses().trick_token;
    world.node.administer(token, &Trick::Revert.on()).await;
    let payment = Payment::in_trick_token(1);
    let settling = world.settling(&payment);
    world.is_waiting(1).await;
    world.node.mine(1).await;
    settling.await.unwrap();
    let caller = world.facilitator.caller();
    let (_, tx) = caller.settle_until_known(&payment.body()).await.unsettled();
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    world.node.reorganize(1).await;
    world.node.administer(token, &Trick::Honest.on()).await;
    sending.release();
    world.is_waiting(1).await;
    world.node.mine(1).await;
    world.reaches(&payment, "confirmed").await;
    assert_eq!(
        world.events(&payment).await[2..],
        ["payment.set_back", "payment.late_settled"]
    );
    assert_eq!(world.facilitator.settle(&payment.body()).await.settled(), tx);
    assert!(world.proxy.transactions().iter().all(|sent| *sent == tx));
    world.node.mine(3).await;
    world.reaches(&payment, "final").await;
    books_agree(&world).await;
}

#[tokio::test]
async fn h04_a_transaction_that_the_node_forgets_is_sent_again() {
    let world = patient_chain().await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    world.node.call("anvil_dropTransaction", serde_json::json!([tx])).await;
    world.is_waiting(0).await;
    world.is_waiting(1).await;
    world.node.mine(1).await;
    assert_eq!(
        world
            .facilitator
            .caller()
            .settle_until_known(&payment.body())
            .await
            .settled(),
        tx
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn h05_a_chain_that_stands_still_is_no_proof_of_anything() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..brief_windows()
    })
    .await;
    let payment = Payment {
        valid_before: now() + 12,
        ..Payment::by(1)
    };
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    eventually("the clock is past the window", async || {
        (now() > payment.valid_before).then_some(())
    })
    .await;
    assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), tx);
    // When the chain goes on, it may still be within the window by the chain's own clock.
    world.node.mine_at(payment.valid_before - 1).await;
    assert_eq!(
        world
            .facilitator
            .caller()
            .settle_until_known(&payment.body())
            .await
            .settled(),
        tx
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn h06_a_chain_that_stands_still_is_given_nothing_new() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        stalled_after_seconds: 8,
        ..Setup::default()
    })
    .await;
    let (under_way, new) = (Payment::by(1), Payment::by(2));
    let tx = world.facilitator.settle(&under_way.body()).await.pending();
    eventually("the chain is seen to stand still", async || {
        let stalled = world.facilitator.series("facilitator_chain_stalled", "1").await;
        (stalled == 1).then_some(())
    })
    .await;
    let refused = world.facilitator.settle(&new.body()).await;
    assert_eq!(refused.outcome(503)["errorReason"], "chain_stalled");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(world.db.count("payments").await, 1, "nothing is reserved");
    assert_eq!(
        world.facilitator.verify(&new.body()).await.verdict(200)["isValid"],
        true
    );
    assert_eq!(world.facilitator.settle(&under_way.body()).await.pending(), tx);

    world.node.mine(1).await;
    world.reaches(&under_way, "confirmed").await;
    assert_eq!(world.facilitator.settle(&under_way.body()).await.settled(), tx);
    eventually("new payments are taken again", async || {
        let answer = world.facilitator.settle(&new.body()).await;
        (answer.status == 200).then_some(())
    })
    .await;
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let caller = world.facilitator.caller();
    caller.settle_until_known(&new.body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn deeper_confirmation_is_waited_for_when_asked() {
    let setup = Setup {
        mining: Mining::OnDemand,
        network_key: "confirmations = 3",
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let payment = Payment::by(1);
    let settling = world.settling(&payment);
    world.is_waiting(1).await;
    world.node.mine(2).await;
    eventually("the facilitator has seen it mined", async || {
        (world.db.count("chain_transactions where status = 'mined'").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.state(&payment).await.unwrap(), "in_flight");
    world.node.mine(1).await;
    settling.await.unwrap().settled();
    books_agree(&world).await;
}

/// What was answered for is taken back by the chain, and then its time has passed: the books say so.
#[tokio::test]
async fn h02_a_payment_that_is_reorganized_away_and_expires_is_failed_and_its_movement_voided() {
    let world = patient_chain().await;
    let payment = Payment::by(1);
    settled(&world, &payment).await;
    let sending = world.proxy.fault(send, Fault::LoseRequest);
    world.node.reorganize(1).await;
    world.reaches(&payment, "in_flight").await;
    world.node.mine_at(payment.valid_before).await;
    world.node.mine(3).await;
    world.reaches(&payment, "failed").await;
    assert_eq!(world.received().await, 0);
    assert_eq!(world.db.count("ledger_entries where stage = 'voided'").await, 1);
    let events = world.events(&payment).await;
    assert_eq!(events[2..], ["payment.confirmed", "payment.reversed", "payment.failed"]);
    // Its one success was told. What is told now is not another one.
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.outcome(200)["success"],
        false
    );
    drop(sending);
    books_agree(&world).await;
}

#[tokio::test]
async fn h03_a_payment_that_is_reorganized_away_and_landed_by_somebody_else_is_one_payment() {
    let world = patient_chain().await;
    let payment = Payment::by(1);
    settled(&world, &payment).await;
    let _sending = world.proxy.fault(send, Fault::LoseRequest);
    world.node.reorganize(1).await;
    world.reaches(&payment, "in_flight").await;
    let theirs = world
        .node
        .send_mined(third_party(), payment.asset, &payment.call())
        .await;
    world.reaches(&payment, "confirmed").await;
    let (_, named) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(named, theirs);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}
