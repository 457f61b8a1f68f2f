//! What becomes of a payment that does not go straight through: blocks that are forgotten, blocks that are not made
//! final, and a node that forgets what it showed. Nothing is called failed without proof, nothing final that is not.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::payer::Envelope;
use crate::support::proxy::{Call, Fault, send};
use crate::support::solana::books::books_agree;
use crate::support::solana::surfpool::Sureness;
use crate::support::solana::world::{Setup, SolanaWorld, hasty};
use crate::support::solana::{history, statuses, words};

/// Slots that are over soon, and callers who do not wait as long.
fn impatient() -> Setup {
    Setup {
        wait_seconds: 1,
        ..hasty()
    }
}

/// Until the chain can have forgotten the newest block for good.
async fn long_enough(world: &SolanaWorld) {
    world.node.blocks_pass(152, Sureness::Finalized).await;
}

async fn expires_unsent(envelope: Envelope, batches: bool) {
    let world = Setup { batches, ..impatient() }.start().await;
    let final_then = world.node.slot(Sureness::Finalized).await;
    let payment = world.payment(0).await;
    let body = payment.body_in(envelope);
    let lost = world.proxy.fault(send, Fault::LoseRequest);
    let tx = world.facilitator.settle(&body).await.pending();
    world.reaches(&payment, "failed").await;
    lost.release();
    let (reason, named) = world.facilitator.settle(&body).await.unsettled();
    assert_eq!(reason, words(envelope, "transaction_failed"));
    assert!(named.is_empty() || named == tx);
    let proof: String = world.db.one("select proof from settlements").await;
    assert_eq!(proof, "window_closed");
    // Nothing is known before the last block in which it could land is final.
    let known_by: i64 = world.db.one("select proof_height from settlements").await;
    assert!(u64::try_from(known_by).unwrap() > final_then + 150, "{known_by}");
    let status: String = world.db.one("select status from chain_transactions").await;
    assert_eq!(status, "dead");
    assert_eq!((world.received().await, world.lamports_spent().await), (0, 0));
    // And the lane goes on.
    let next = world.payment(1).await;
    world
        .facilitator
        .caller()
        .settle_until_known(&next.body())
        .await
        .settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn h17_a_blockhash_that_expires_before_the_bytes_get_out() {
    futures_util::join!(expires_unsent(Envelope::V1, true), expires_unsent(Envelope::V2, false));
}

/// It landed, and nobody here saw it: the history is searched before anything is called failed.
#[tokio::test]
async fn h18_a_landing_that_is_seen_only_after_the_blockhash_has_expired() {
    let world = impatient().start().await;
    let payment = world.payment(0).await;
    let hidden = world.proxy.fault(statuses, Fault::LoseRequest);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    long_enough(&world).await;
    assert_eq!(world.state(&payment).await.as_deref(), Some("in_flight"));
    hidden.release();
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.settled(), tx);
    world.reaches(&payment, "final").await;
    books_agree(&world).await;
}

/// A node that knows only what is recent says of everything older that it never was: that is no proof, as long as the
/// search of its history does not say so too.
#[tokio::test]
async fn h21_a_status_that_is_forgotten_is_no_proof() {
    let world = impatient().start().await;
    let payment = world.payment(0).await;
    let forgetful = |call: &Call, answer: &mut Value| {
        if call.params[1]["searchTransactionHistory"] != true {
            for status in answer["result"]["value"].as_array_mut().into_iter().flatten() {
                *status = Value::Null;
            }
        }
    };
    let forgetting = world.proxy.fault(statuses, Fault::Falsify(forgetful));
    world.facilitator.settle(&payment.body()).await.unsettled();
    long_enough(&world).await;
    world.reaches(&payment, "final").await;
    forgetting.release();
    let events = world.events(&payment).await;
    assert!(!events.contains(&"payment.failed".to_owned()), "{events:?}");
    books_agree(&world).await;
}

/// A node that has thrown away the blocks in which it would be cannot say that it was in none of them.
#[tokio::test]
async fn a_history_that_does_not_reach_back_is_no_proof() {
    let mut world = impatient().start().await;
    let payment = world.payment(0).await;
    let lost = world.proxy.fault(send, Fault::LoseRequest);
    let first_block = |call: &Call| call.method == "getFirstAvailableBlock";
    let pruned = world.proxy.fault(first_block, Fault::Result("150"));
    world.facilitator.settle(&payment.body()).await.pending();
    long_enough(&world).await;
    pruned.met(2).await;
    world.facilitator.says("older than the node's first block", 1).await;
    assert_eq!(world.state(&payment).await.as_deref(), Some("in_flight"));
    pruned.release();
    world.reaches(&payment, "failed").await;
    lost.release();
    assert_eq!((world.received().await, world.lamports_spent().await), (0, 0));
    books_agree(&world).await;
}

fn never_final(call: &Call, answer: &mut Value) {
    let is_finalized = call.params[0]["commitment"] == "finalized";
    match call.method.as_str() {
        "getSignatureStatuses" => {
            for status in answer["result"]["value"].as_array_mut().into_iter().flatten() {
                if !status.is_null() {
                    status["confirmationStatus"] = "confirmed".into();
                    status["confirmations"] = json!(1);
                }
            }
        }
        "getSlot" | "getBlockHeight" if is_finalized => answer["result"] = json!(1),
        _ => {}
    }
}

fn about_finality(call: &Call) -> bool {
    matches!(
        call.method.as_str(),
        "getSignatureStatuses" | "getSlot" | "getBlockHeight"
    )
}

#[tokio::test]
async fn a_payment_that_is_confirmed_and_never_final() {
    let world = hasty().start().await;
    let stuck = world.proxy.fault(about_finality, Fault::Falsify(never_final));
    let payment = world.payment(0).await;
    world.facilitator.settle(&payment.body()).await.settled();
    long_enough(&world).await;
    assert_eq!(world.state(&payment).await.as_deref(), Some("confirmed"));
    let posted = "ledger_entries where stage = 'posted'";
    assert_eq!(world.db.count(posted).await, 0);
    stuck.release();
    world.reaches(&payment, "final").await;
    books_agree(&world).await;
}

/// What a node of a fork that lost would say: it never was.
fn never_was(call: &Call, answer: &mut Value) {
    match call.method.as_str() {
        "getSignatureStatuses" => {
            for status in answer["result"]["value"].as_array_mut().into_iter().flatten() {
                *status = Value::Null;
            }
        }
        "getTransaction" => answer["result"] = Value::Null,
        _ => {}
    }
}

/// What a node says of a block that few have voted for.
fn only_processed(_: &Call, answer: &mut Value) {
    for status in answer["result"]["value"].as_array_mut().into_iter().flatten() {
        if status.is_object() {
            status["confirmationStatus"] = json!("processed");
            status["confirmations"] = json!(0);
        }
    }
}

#[tokio::test]
async fn h19_a_payment_that_was_only_processed_and_dropped_is_no_success() {
    let world = Setup {
        slot_ms: 100,
        ..impatient()
    }
    .start()
    .await;
    let payment = world.payment(0).await;
    let processed = world.proxy.fault(statuses, Fault::Falsify(only_processed));
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    processed.met(3).await;
    assert_eq!(world.state(&payment).await.as_deref(), Some("in_flight"));
    let forgotten = world
        .proxy
        .fault(|call| statuses(call) || history(call), Fault::Falsify(never_was));
    processed.release();
    forgotten.met(3).await;
    assert_eq!(world.state(&payment).await.as_deref(), Some("in_flight"));
    forgotten.release();
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.settled(), tx);
    books_agree(&world).await;
}

/// Everybody was told of a success that the chain takes back, and gives again: it is on record as what it is, sent
/// again, and bought once.
#[tokio::test]
async fn h19_a_confirmed_payment_that_the_chain_forgets() {
    // The blockhash must be good while the node has forgotten.
    let world = Setup {
        slot_ms: 100,
        ..hasty()
    }
    .start()
    .await;
    let payment = world.payment(0).await;
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    let forgotten = world
        .proxy
        .fault(|call| statuses(call) || history(call), Fault::Falsify(never_was));
    eventually("the reversal is on record", async || {
        let events = world.events(&payment).await;
        events.contains(&"payment.reversed".to_owned()).then_some(())
    })
    .await;
    let pending = "ledger_entries where stage = 'voided'";
    assert_eq!(world.db.count(pending).await, 1);
    forgotten.release();
    world.reaches(&payment, "final").await;
    assert_eq!(world.db.count("settlements where granted_at is not null").await, 1);
    let (reason, named) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!((reason.as_str(), named), ("duplicate_settlement", tx));
    books_agree(&world).await;
}

#[tokio::test]
async fn a_node_whose_answers_contradict_each_other_proves_nothing() {
    let world = impatient().start().await;
    let payment = world.payment(0).await;
    // It has the transaction's status, and does not show the transaction.
    let lying = world.proxy.fault(history, Fault::Result("null"));
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    long_enough(&world).await;
    assert_eq!(world.state(&payment).await.as_deref(), Some("in_flight"));
    lying.release();
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.settled(), tx);
    books_agree(&world).await;
}
