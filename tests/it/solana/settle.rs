//! `/settle`: the money moves once, and whoever asks is told the truth about it.

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::payer::Envelope;
use crate::support::proxy::{Fault, send};
use crate::support::solana::books::books_agree;
use crate::support::solana::payer::Payment;
use crate::support::solana::surfpool::Sureness;
use crate::support::solana::world::{Setup, hasty};
use crate::support::solana::{history, words};

const DUPLICATE: &str = "duplicate_settlement";

#[tokio::test]
async fn case_69_a_good_payment_moves_the_money() {
    for (batches, subscribes) in [(true, true), (false, false)] {
        let world = Setup {
            batches,
            subscribes,
            ..Setup::default()
        }
        .start()
        .await;
        for (count, envelope) in (1..).zip(Envelope::BOTH) {
            let payment = world.payment(0).await;
            let body = payment.body_in(envelope);
            world.facilitator.verify(&body).await.valid();
            let answer = world.facilitator.settle(&body).await;
            let tx = answer.settled();
            let said = answer.json();
            assert_eq!(said["network"], Payment::network_in(envelope));
            assert_eq!(said["payer"], payment.payer.address.to_string());
            let found = world.node.transaction(&tx).await.unwrap();
            assert!(found["meta"]["err"].is_null(), "{found}");
            assert_eq!(world.received().await, count * 10_000);
            assert_eq!(world.proxy.transactions().len() as u64, count);
        }
        books_agree(&world).await;
    }
}

#[tokio::test]
async fn a_payment_becomes_final_and_its_fee_is_posted() {
    let world = hasty().start().await;
    let payment = world.payment(0).await;
    let tx = world.facilitator.settle(&payment.body()).await.settled();
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
    // Two signatures, ours and the payer's.
    let sql = "select debit || ' ' || amount::text from ledger_entries where purpose = 'gas'";
    let gas: String = world.db.one(sql).await;
    assert!(gas.ends_with(" 10000"), "{gas}");
    let credit: String = world
        .db
        .one("select credit from ledger_entries where purpose = 'gas'")
        .await;
    assert!(credit.contains(&payment.fee_payer.to_string()), "{credit}");
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn an_answer_may_wait_until_the_payment_is_final() {
    let setup = Setup {
        commitment: "finalized",
        ..hasty()
    };
    let world = setup.start().await;
    let payment = world.payment(0).await;
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    let finalized = world.node.slot(Sureness::Finalized).await;
    assert!(world.node.transaction(&tx).await.unwrap()["slot"].as_u64().unwrap() <= finalized);
    world.reaches(&payment, "final").await;
    books_agree(&world).await;
}

#[tokio::test]
async fn the_same_body_again_after_success() {
    let world = Setup::default().start().await;
    for envelope in Envelope::BOTH {
        let body = world.payment(0).await.body_in(envelope);
        let tx = world.facilitator.settle(&body).await.settled();
        for other in Envelope::BOTH {
            let again = if other == envelope {
                body.clone()
            } else {
                body_like(&body, other)
            };
            let answer = world.facilitator.settle(&again).await;
            assert_eq!(answer.unsettled(), (DUPLICATE.to_owned(), tx.clone()));
        }
    }
    assert_eq!(world.proxy.transactions().len(), 2);
    assert_eq!(world.received().await, 20_000);
    books_agree(&world).await;
}

/// The same transaction in the words of the other version.
fn body_like(body: &Value, envelope: Envelope) -> Value {
    let text = |pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut terms = body["paymentRequirements"].clone();
    terms["network"] = Payment::network_in(envelope).into();
    let price = [
        text("/paymentRequirements/amount"),
        text("/paymentRequirements/maxAmountRequired"),
    ]
    .concat();
    let proof = &body["paymentPayload"]["payload"];
    crate::support::payer::enveloped(envelope, proof, terms, &price, "https://shop.example/other")
}

#[tokio::test]
async fn case_70_one_hundred_times_at_once() {
    let world = Setup::default().start().await;
    let body = world.payment(0).await.body();
    let answers = join_all((0..100).map(|_| world.facilitator.settle(&body))).await;
    let (told, others): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.outcome(200)["success"] == true);
    assert_eq!(told.len(), 1);
    let tx = told[0].settled();
    for answer in others {
        let (reason, named) = answer.unsettled();
        assert_eq!(reason, DUPLICATE);
        assert!(named.is_empty() || named == tx, "{named}");
    }
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn case_72_not_confirmed_in_time_then_the_same_body_again() {
    let setup = Setup {
        wait_seconds: 1,
        ..Setup::default()
    };
    let world = setup.start().await;
    for envelope in Envelope::BOTH {
        let lost = world.proxy.fault(send, Fault::LoseRequest);
        let body = world.payment(0).await.body_in(envelope);
        let tx = world.facilitator.settle(&body).await.pending();
        assert_eq!(world.facilitator.settle(&body).await.pending(), tx);
        lost.release();
        assert_eq!(world.facilitator.caller().settle_until_known(&body).await.settled(), tx);
        assert_eq!(
            world.facilitator.settle(&body).await.unsettled(),
            (DUPLICATE.to_owned(), tx)
        );
    }
    books_agree(&world).await;
}

#[tokio::test]
async fn the_same_key_and_body_get_the_recorded_bytes() {
    let world = Setup::default().start().await;
    let caller = world.facilitator.caller();
    let body = world.payment(0).await.body();
    let first = caller.settle_keyed(&body, "order-7").await;
    let tx = first.settled();
    let again = caller.settle_keyed(&body, "order-7").await;
    assert_eq!(
        (again.header("idempotent-replayed"), &again.body),
        (Some("true"), &first.body)
    );
    let other = world.payment(1).await.body();
    caller.settle_keyed(&other, "order-7").await.outcome(409);
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn money_that_is_gone_between_verification_and_settlement() {
    let world = Setup::default().start().await;
    let payment = world.payment(0).await;
    world.facilitator.verify(&payment.body()).await.valid();
    world.node.set_tokens(payment.transfer.source, 9_999).await;
    let (reason, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(
        (reason.as_str(), tx.as_str()),
        ("invalid_exact_svm_transaction_simulation_failed", "")
    );
    assert_eq!(world.lamports_spent().await, 0);
    assert_eq!(world.db.count("payments").await, 0);
}

async fn fails(envelope: Envelope) {
    let world = hasty().start().await;
    let payment = world.payment(0).await;
    let body = payment.body_in(envelope);
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let settling = world.facilitator.caller().settling(body.clone());
    sending.met(1).await;
    world.node.set_tokens(payment.transfer.source, 0).await;
    sending.release();
    let (reason, tx) = settling.await.unwrap().unsettled();
    assert_eq!(reason, words(envelope, "transaction_failed"));
    assert!(!world.node.transaction(&tx).await.unwrap()["meta"]["err"].is_null());
    world.reaches(&payment, "failed").await;
    // Whatever the payer has by then.
    world.node.set_tokens(payment.transfer.source, 10_000).await;
    let again = world.facilitator.settle(&body).await.unsettled();
    assert_eq!(again, (words(envelope, "transaction_failed"), tx));
    let proof: String = world.db.one("select proof from settlements").await;
    assert_eq!(proof, "failed_on_chain");
    assert_eq!(world.received().await, 0);
    assert!(world.lamports_spent().await > 0);
    books_agree(&world).await;
}

/// The money goes after we have signed: the transaction fails on the chain, at our expense, and can never land again.
#[tokio::test]
async fn h20_a_transaction_that_fails_on_the_chain() {
    futures_util::join!(fails(Envelope::V1), fails(Envelope::V2));
}

/// The node says that it succeeded, and shows no such movement: that is no success.
#[tokio::test]
async fn a_success_without_the_movement() {
    let world = hasty().start().await;
    let payment = world.payment(0).await;
    let nothing_moved = |_: &_, answer: &mut Value| {
        let meta = &mut answer["result"]["meta"];
        if !meta.is_null() {
            meta["postTokenBalances"] = meta["preTokenBalances"].clone();
        }
    };
    let lying = world.proxy.fault(history, Fault::Falsify(nothing_moved));
    let (reason, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(reason, "post_settlement_transfer_not_confirmed");
    lying.release();
    world.reaches(&payment, "confirmed").await;
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn many_payments_at_once() {
    for batches in [true, false] {
        let setup = Setup {
            batches,
            fee_payers: 2,
            ..Setup::default()
        };
        let world = setup.start().await;
        let fee_payers = &world.node.at.fee_payers;
        let mut settling = Vec::new();
        for i in 0..60 {
            let payment = world.payment(i % 10).await.through(fee_payers[i % 2].address);
            settling.push(
                world
                    .facilitator
                    .caller()
                    .settling(payment.body_in(Envelope::BOTH[i % 2])),
            );
        }
        for answer in settling {
            answer.await.unwrap().settled();
        }
        assert_eq!(world.received().await, 600_000);
        assert_eq!(world.proxy.transactions().len(), 60);
        books_agree(&world).await;
    }
}

/// Payments differ by whatever their messages differ by.
#[tokio::test]
async fn the_same_purchase_twice_is_two_payments() {
    let world = Setup::default().start().await;
    let first = world.payment(0).await;
    let second = Payment {
        memo: format!("{}2", first.memo),
        ..first.clone()
    };
    let one = world.facilitator.settle(&first.body()).await.settled();
    let two = world.facilitator.settle(&second.body()).await.settled();
    assert_ne!(one, two);
    assert_eq!(world.received().await, 20_000);
    books_agree(&world).await;
}
