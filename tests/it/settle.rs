//! `/settle`, one payment at a time: the money moves once, and whoever asks is told the truth about it.

use alloy::primitives::Address;
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::anvil::{Mining, parse};
use crate::support::books::books_agree;
use crate::support::contracts::{Trick, addresses, third_party};
use crate::support::payer::{Envelope, Payment, with};
use crate::support::proxy::{Fault, anything, send};
use crate::support::world::{Setup, World};

const USED: &str = "invalid_exact_evm_nonce_already_used";
const REVERTED: &str = "invalid_exact_evm_transaction_failed";

#[tokio::test]
async fn cases_10_and_35_a_good_payment_moves_the_money() {
    let world = World::usual().await;
    for (count, envelope) in (1..).zip(Envelope::BOTH) {
        let payment = Payment::by(1);
        let body = payment.body_in(envelope);
        world.facilitator.verify(&body).await.valid();
        let answer = world.facilitator.settle(&body).await;
        let tx = answer.settled();
        let said = answer.json();
        assert_eq!(said["network"], payment.network_in(envelope));
        assert_eq!(parse::<Address>(&said["payer"]), payment.from);
        let receipt = world.node.receipt(&tx).await;
        assert_eq!(
            (&receipt["status"], parse::<Address>(&receipt["to"])),
            (&"0x1".into(), payment.asset)
        );
        assert_eq!(world.received().await, count * 10_000);
        assert_eq!(world.proxy.transactions().len() as u128, count);
    }
    books_agree(&world).await;
}

#[tokio::test]
async fn case_36_the_same_body_again_after_success() {
    let world = World::usual().await;
    for (envelope, reason) in [(Envelope::V1, "duplicate_settlement"), (Envelope::V2, USED)] {
        let body = Payment::by(1).body_in(envelope);
        let tx = world.facilitator.settle(&body).await.settled();
        for _ in 0..2 {
            let again = world.facilitator.settle(&body).await;
            assert_eq!(again.unsettled(), (reason.to_owned(), tx.clone()));
        }
        assert_eq!(world.facilitator.verify(&body).await.invalid(), USED);
    }
    assert_eq!(world.proxy.transactions().len(), 2);
    books_agree(&world).await;
}

#[tokio::test]
async fn x01_case_37_one_hundred_times_at_once() {
    let world = World::usual().await;
    let body = Payment::by(1).body();
    let answers = join_all((0..100).map(|_| world.facilitator.settle(&body))).await;
    let is_success = |answer: &&_| answer_is_success(answer);
    let winners: Vec<_> = answers.iter().filter(is_success).collect();
    assert_eq!(winners.len(), 1);
    let tx = winners[0].settled();
    for answer in answers.iter().filter(|answer| !answer_is_success(answer)) {
        let (reason, named) = answer.unsettled();
        assert!([USED, "duplicate_settlement"].contains(&reason.as_str()), "{reason}");
        assert!(named.is_empty() || named == tx, "{named}");
    }
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

fn answer_is_success(answer: &crate::support::http::Answer) -> bool {
    answer.outcome(200)["success"] == true
}

#[tokio::test]
async fn x03_one_authorization_buys_one_resource() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let first = world.settling(&payment);
    world.is_waiting(1).await;
    let [tx] = world.proxy.transactions().try_into().unwrap();
    let elsewhere = Payment {
        resource: "https://shop.example/other".into(),
        ..payment.clone()
    };
    for other in [elsewhere.body(), payment.body_in(Envelope::V1)] {
        let answer = world.facilitator.settle(&other).await;
        assert_eq!(answer.unsettled(), ("duplicate_settlement".into(), tx.clone()));
    }
    world.node.mine(1).await;
    assert_eq!(first.await.unwrap().settled(), tx);
    assert_eq!(
        world.facilitator.settle(&elsewhere.body()).await.unsettled(),
        (USED.into(), tx)
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn x09_case_38_no_receipt_in_time_then_the_same_body_again() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    for envelope in Envelope::BOTH {
        let body = Payment::by(1).body_in(envelope);
        let tx = world.facilitator.settle(&body).await.pending();
        assert_eq!(world.facilitator.settle(&body).await.pending(), tx);
        world.node.mine(1).await;
        assert_eq!(world.facilitator.caller().settle_until_known(&body).await.settled(), tx);
        assert_ne!(
            world.facilitator.settle(&body).await.unsettled().0,
            "settlement_pending"
        );
    }
    assert_eq!(world.proxy.transactions().len(), 2);
    books_agree(&world).await;
}

#[tokio::test]
async fn r25_case_39_a_transaction_that_reverts() {
    let world = World::usual().await;
    world
        .node
        .administer(addresses().trick_token, &Trick::Revert.on())
        .await;
    let payment = Payment::in_trick_token(1);
    let (reason, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(reason, REVERTED);
    assert_eq!(world.node.receipt(&tx).await["status"], "0x0");
    // The authorization is alive, so nothing is over; but nothing more of ours is spent on it either.
    assert_eq!(world.state(&payment).await.unwrap(), "in_flight");
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.unsettled(),
        (reason, tx)
    );
    assert_eq!(world.proxy.transactions().len(), 1);
    books_agree(&world).await;
}

#[tokio::test]
async fn h15_case_39_a_reverted_payment_that_somebody_lands_after_all_counts_as_paid() {
    let world = World::usual().await;
    let token = addresses().trick_token;
    world.node.administer(token, &Trick::Revert.on()).await;
    let payment = Payment::in_trick_token(1);
    let (_, ours) = world.facilitator.settle(&payment.body()).await.unsettled();
    world.node.administer(token, &Trick::Honest.on()).await;
    let theirs = world.node.send_mined(third_party(), token, &payment.call()).await;
    assert_ne!(ours, theirs);
    world.reaches(&payment, "confirmed").await;
    assert_eq!(
        world.events(&payment).await[2..],
        ["payment.set_back", "payment.late_settled"]
    );
    assert_eq!(world.facilitator.settle(&payment.body()).await.settled(), theirs);
    books_agree(&world).await;
}

#[tokio::test]
async fn r20_r21_r23_case_40_a_transaction_that_succeeds_without_the_transfer() {
    let world = World::usual().await;
    for trick in [Trick::NoTransferEvent, Trick::Nothing, Trick::Half] {
        world.node.administer(addresses().trick_token, &trick.on()).await;
        let payment = Payment::in_trick_token(1);
        let (reason, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
        assert_eq!(reason, "invalid_exact_evm_transfer_event_mismatch", "{trick:?}");
        assert_eq!(world.node.receipt(&tx).await["status"], "0x1", "{trick:?}");
        let again = world.facilitator.settle(&payment.body()).await.unsettled();
        assert_eq!(again, (reason, tx), "{trick:?}");
    }
    assert_eq!(world.proxy.transactions().len(), 3);
    books_agree(&world).await;
}

#[tokio::test]
async fn case_30_a_contract_wallet_pays() {
    let world = World::usual().await;
    let at = addresses();
    let payment = Payment::from_wallet(at.owner_wallet, at.owner_wallet_owner_key);
    let body = payment.body_with(Envelope::V2, &payment.signature_for_owner_wallet());
    world.facilitator.settle(&body).await.settled();
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn case_33_a_wallet_is_deployed_and_pays_in_one_transaction() {
    let at = addresses();
    let world = World::start(Setup {
        factories: vec![at.wallet_factory],
        ..Setup::default()
    })
    .await;
    for _ in 0..2 {
        let payment = Payment::from_wallet(at.counterfactual_wallet, at.owner_wallet_owner_key);
        let body = payment.body_with(Envelope::V2, &payment.signature_6492(at.wallet_factory));
        world.facilitator.settle(&body).await.settled();
    }
    assert_eq!(world.received().await, 20_000);
    assert_eq!(world.proxy.transactions().len(), 2);
    books_agree(&world).await;
}

#[tokio::test]
async fn case_34_a_wallet_that_its_factory_will_not_deploy() {
    let at = addresses();
    let world = World::start(Setup {
        factories: vec![at.reverting_factory],
        ..Setup::default()
    })
    .await;
    let payment = Payment::from_wallet(at.counterfactual_wallet, at.owner_wallet_owner_key);
    let body = payment.body_with(Envelope::V2, &payment.signature_6492(at.reverting_factory));
    let answer = world.facilitator.settle(&body).await.unsettled();
    assert_eq!(answer, ("smart_wallet_deployment_failed".into(), String::new()));
    assert_eq!(world.proxy.transactions(), [""; 0]);
    assert_eq!(world.db.count("payments").await, 0);
}

#[tokio::test]
async fn a_payment_that_verification_refuses_is_not_settled_and_leaves_no_trace() {
    let world = World::usual().await;
    let by = || Payment::by(1);
    let other_key = Payment {
        key: addresses().accounts[2].key,
        ..by()
    };
    for (body, reason) in [
        (other_key.body(), "invalid_exact_evm_signature"),
        (
            with(by().body(), "/paymentPayload/accepted/amount", "9999"),
            "invalid_payment_requirements",
        ),
        (
            Payment::of(&addresses().accounts[1], u64::MAX).body(),
            "invalid_exact_evm_insufficient_balance",
        ),
    ] {
        assert_eq!(
            world.facilitator.settle(&body).await.unsettled(),
            (reason.into(), String::new())
        );
    }
    assert_eq!(world.db.count("payments").await, 0);
    assert_eq!(world.proxy.transactions(), [""; 0]);
}

#[tokio::test]
async fn a_client_that_hangs_up_loses_the_answer_and_not_the_payment() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let client = world.settling(&payment);
    sending.met(1).await;
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    sending.release();
    world.reaches(&payment, "confirmed").await;
    // Nobody has been told yet, so whoever asks first is.
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_node_that_falls_silent_after_the_broadcast() {
    let world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let settling = world.settling(&payment);
    sending.met(1).await;
    let silence = world.proxy.fault(anything, Fault::LoseRequest);
    sending.release();
    let tx = settling.await.unwrap().pending();
    assert_eq!(world.node.receipt(&tx).await["status"], "0x1");
    assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), tx);
    silence.release();
    assert_eq!(
        world
            .facilitator
            .caller()
            .settle_until_known(&payment.body())
            .await
            .settled(),
        tx
    );
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

/// What a node says of a broadcast, again and again while its caller waits, is no evidence: the payment lands in the end,
/// by the bytes that were signed first.
async fn lands_in_spite_of(fault: Fault) {
    let world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let body = Payment::by(1).body();
    let lying = world.proxy.fault(send, fault);
    let settling = world.facilitator.caller().settling(body.clone());
    lying.met(1).await;
    let first = settling.await.unwrap();
    lying.release();
    let last = if answer_is_success(&first) {
        first
    } else {
        world.facilitator.caller().settle_until_known(&body).await
    };
    assert_eq!(world.proxy.transactions(), [last.settled()], "{fault:?}");
    assert_eq!(world.received().await, 10_000, "{fault:?}");
    books_agree(&world).await;
}

#[tokio::test]
async fn r01_a_broadcast_whose_answer_is_lost() {
    lands_in_spite_of(Fault::LoseAnswer).await;
}

#[tokio::test]
async fn r02_a_broadcast_that_never_arrives() {
    lands_in_spite_of(Fault::LoseRequest).await;
}

#[tokio::test]
async fn r02_a_broadcast_that_a_gateway_swallows() {
    lands_in_spite_of(Fault::Status(502)).await;
}

#[tokio::test]
async fn r03_a_node_that_claims_to_know_what_it_never_saw() {
    lands_in_spite_of(Fault::Error(-32_000, "already known")).await;
}

#[tokio::test]
async fn r04_a_node_that_says_it_imported_what_it_never_saw() {
    lands_in_spite_of(Fault::Error(-32_003, "transaction already imported")).await;
}

/// It has taken the bytes and mined them, and says what one says of a second copy.
#[tokio::test]
async fn r05_a_node_that_says_the_nonce_is_used_by_the_very_transaction() {
    lands_in_spite_of(Fault::Falsify(|_, answer| {
        *answer = serde_json::json!({"error": {"code": -32_000, "message": "nonce too low"}});
    }))
    .await;
}

#[tokio::test]
async fn a_node_that_says_the_nonce_is_used() {
    lands_in_spite_of(Fault::Error(-32_000, "nonce too low")).await;
}

#[tokio::test]
async fn a_node_that_says_the_signer_has_no_money() {
    lands_in_spite_of(Fault::Error(-32_000, "insufficient funds for gas * price + value")).await;
}

#[tokio::test]
async fn h09_somebody_else_lands_the_authorization_first() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let settling = world.settling(&payment);
    sending.met(1).await;
    let theirs = world
        .node
        .send_mined(third_party(), payment.asset, &payment.call())
        .await;
    assert_eq!(settling.await.unwrap().settled(), theirs);
    sending.release();
    // Ours reverts, and the lane goes on.
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    assert_eq!(world.received().await, 20_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn h10_somebody_else_has_landed_it_before_we_were_asked() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    world
        .node
        .send_mined(third_party(), payment.asset, &payment.call())
        .await;
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.unsettled(),
        (USED.into(), String::new())
    );
    assert_eq!(world.proxy.transactions(), [""; 0]);
    assert_eq!(world.db.count("payments").await, 0);
}

#[tokio::test]
async fn h14_a_payer_without_the_money_when_its_turn_comes() {
    let world = World::usual().await;
    let payment = Payment::of(&addresses().accounts[1], 1_000_000_000_000);
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let settling = world.settling(&payment);
    sending.met(1).await;
    let elsewhere = Payment {
        pay_to: third_party(),
        to: third_party(),
        ..Payment::by(1)
    };
    world
        .node
        .send_mined(third_party(), elsewhere.asset, &elsewhere.call())
        .await;
    sending.release();
    let (reason, tx) = settling.await.unwrap().unsettled();
    assert_eq!(reason, REVERTED);
    assert_eq!(world.node.receipt(&tx).await["status"], "0x0");
    books_agree(&world).await;
}

#[tokio::test]
async fn amounts_and_addresses_may_be_written_in_any_case_and_mean_the_same_payment() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let lower = |body: Value, pointer: &str| {
        let text = body.pointer(pointer).unwrap().as_str().unwrap().to_lowercase();
        with(body, pointer, text)
    };
    let body = lower(payment.body(), "/paymentPayload/payload/authorization/from");
    let body = lower(lower(body, "/paymentRequirements/asset"), "/paymentRequirements/payTo");
    let tx = world.facilitator.settle(&body).await.settled();
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.unsettled(),
        (USED.into(), tx)
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn x05_one_authorization_written_in_many_ways_at_once_buys_once() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let good = payment.signature();
    let zero_or_one = [&good[..64], &[good[64] - 27]].concat();
    let elsewhere = Payment {
        resource: "https://shop.example/other".into(),
        ..payment.clone()
    };
    let lower = payment.from.to_string().to_lowercase();
    let bodies = [
        payment.body(),
        payment.body_in(Envelope::V1),
        payment.body_with(Envelope::V2, &zero_or_one),
        elsewhere.body(),
        with(payment.body(), "/paymentPayload/payload/authorization/from", lower),
        with(payment.body(), "/paymentRequirements/maxTimeoutSeconds", 61),
    ];
    let answers = join_all((0..48).map(|i| world.facilitator.settle(&bodies[i % bodies.len()]))).await;
    assert_eq!(answers.iter().filter(|answer| answer_is_success(answer)).count(), 1);
    assert_eq!(world.proxy.transactions().len(), 1);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn one_balance_does_not_pay_twice() {
    let world = World::usual().await;
    let payments: Vec<Payment> = (0..8)
        .map(|_| Payment::of(&addresses().accounts[1], 600_000_000_000))
        .collect();
    let bodies: Vec<Value> = payments.iter().map(Payment::body).collect();
    let answers = join_all(bodies.iter().map(|body| world.facilitator.settle(body))).await;
    let (paid, unpaid): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer_is_success(answer));
    assert_eq!((paid.len(), unpaid.len()), (1, 7));
    for answer in unpaid {
        let (reason, _) = answer.unsettled();
        assert!(
            [REVERTED, "invalid_exact_evm_insufficient_balance"].contains(&reason.as_str()),
            "{reason}"
        );
    }
    assert_eq!(world.received().await, 600_000_000_000);
    books_agree(&world).await;
}
