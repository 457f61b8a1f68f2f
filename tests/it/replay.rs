//! Names that callers give to requests: the same name and the same request get the same answer, byte for byte; the
//! same name and another request are a conflict; and no payment is granted twice whatever it is called.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::http::Answer;
use crate::support::payer::{Envelope, Payment, with};
use crate::support::world::{Setup, World};

const USED: &str = "invalid_exact_evm_nonce_already_used";

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == Some("true")
}

/// The body with an id of the payment-identifier extension.
fn named(body: Value, id: &str) -> Value {
    let extension = json!({"payment-identifier": {"info": {"required": true, "id": id}, "schema": {}}});
    with(body, "/paymentPayload/extensions", extension)
}

#[tokio::test]
async fn case_74_the_same_key_and_body_get_the_recorded_bytes() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    for envelope in Envelope::BOTH {
        let body = Payment::by(1).body_in(envelope);
        let key = format!("order-{envelope:?}");
        let first = caller.settle_keyed(&body, &key).await;
        let tx = first.settled();
        assert!(!is_replayed(&first));
        for _ in 0..2 {
            let again = caller.settle_keyed(&body, &key).await;
            assert!(is_replayed(&again));
            assert_eq!((again.status, &again.body), (200, &first.body));
        }
        // Who does not know the name does not get the answer.
        for stranger in [
            world.facilitator.settle(&body).await,
            caller.settle_keyed(&body, "another").await,
        ] {
            let (reason, named) = stranger.unsettled();
            assert!([USED, "duplicate_settlement"].contains(&reason.as_str()), "{reason}");
            assert_eq!(named, tx);
        }
    }
    assert_eq!(world.proxy.transactions().len(), 2);
    books_agree(&world).await;
}

#[tokio::test]
async fn case_74_a_payment_identifier_is_as_good_as_a_key() {
    let world = World::usual().await;
    let body = named(Payment::by(1).body(), "pay_0123456789abcdef");
    let first = world.facilitator.settle(&body).await;
    first.settled();
    let again = world.facilitator.settle(&body).await;
    assert!(is_replayed(&again));
    assert_eq!(again.body, first.body);
    let other = named(Payment::by(1).body(), "pay_0123456789abcdef");
    let conflict = world.facilitator.settle(&other).await.outcome(409);
    assert_eq!(
        (&conflict["success"], &conflict["transaction"]),
        (&json!(false), &json!(""))
    );
    assert_eq!(world.proxy.transactions().len(), 1);
    books_agree(&world).await;
}

#[tokio::test]
async fn case_74_the_same_key_with_another_body_is_a_conflict() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let caller = world.facilitator.caller();
    let payment = Payment::by(1);
    let tx = caller.settle_keyed(&payment.body(), "order-7").await.pending();
    let elsewhere = Payment {
        resource: "https://shop.example/other".into(),
        ..payment.clone()
    };
    for other in [Payment::by(2).body(), elsewhere.body(), payment.body_in(Envelope::V1)] {
        let conflict = caller.settle_keyed(&other, "order-7").await.outcome(409);
        assert_eq!(
            (&conflict["success"], &conflict["transaction"]),
            (&json!(false), &json!(""))
        );
        let message = conflict["errorMessage"].as_str().unwrap();
        assert!(message.contains("Idempotency-Key"), "{message}");
    }
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.db.count("payments").await, 1);
    world.node.mine(1).await;
    world.reaches(&payment, "confirmed").await;
    books_agree(&world).await;
}

#[tokio::test]
async fn a_keyed_request_that_was_pending_is_answered_when_it_lands_and_then_replayed() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let caller = world.facilitator.caller();
    let payment = Payment::by(1);
    let first = caller.settle_keyed(&payment.body(), "order-7").await;
    let tx = first.pending();
    assert!(!is_replayed(&first));
    world.node.mine(1).await;
    world.reaches(&payment, "confirmed").await;
    let success = caller.settle_keyed(&payment.body(), "order-7").await;
    assert_eq!(success.settled(), tx);
    let replay = caller.settle_keyed(&payment.body(), "order-7").await;
    assert!(is_replayed(&replay));
    assert_eq!(replay.body, success.body);
    books_agree(&world).await;
}

#[tokio::test]
async fn x02_keyed_callers_at_the_same_time_share_one_answer() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    let body = Payment::by(1).body();
    let answers = join_all((0..20).map(|_| caller.settle_keyed(&body, "order-7"))).await;
    let tx = answers[0].settled();
    for answer in &answers {
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn one_payment_is_granted_once_among_keyed_and_unkeyed_callers() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    let body = Payment::by(1).body();
    let ask = async |index: usize| match index % 4 {
        0 => caller.post("/settle", &body).await,
        kind => caller.settle_keyed(&body, &format!("order-{kind}")).await,
    };
    let answers = join_all((0..40).map(ask)).await;
    let mut successes: Vec<(usize, &Answer)> = answers.iter().enumerate().collect();
    successes.retain(|(_, answer)| answer.outcome(200)["success"] == true);
    assert!(!successes.is_empty());
    let kinds: Vec<usize> = successes.iter().map(|(index, _)| index % 4).collect();
    assert!(
        kinds.iter().all(|kind| *kind == kinds[0]),
        "granted to callers of different names: {kinds:?}"
    );
    assert!(
        kinds[0] != 0 || kinds.len() == 1,
        "granted to {} callers without a name",
        kinds.len()
    );
    assert_eq!(world.db.count("settlements where granted_at is not null").await, 1);
    assert_eq!(world.proxy.transactions().len(), 1);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_key_is_visible_and_bounded() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    let body = Payment::by(1).body();
    for key in ["", " ", "a b", &"k".repeat(256)] {
        let refused = caller.settle_keyed(&body, key).await.outcome(400);
        assert!(
            refused["errorMessage"].as_str().unwrap().contains("Idempotency-Key"),
            "{refused}"
        );
    }
    assert_eq!(world.db.count("payments").await, 0);
    caller.settle_keyed(&body, &"k".repeat(255)).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn a_refusal_uses_up_no_name() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    let good = Payment::by(1);
    let forged = with(good.body(), "/paymentPayload/payload/authorization/value", "9999");
    caller.settle_keyed(&forged, "order-7").await.unsettled();
    caller.settle_keyed(&good.body(), "order-7").await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn a_key_survives_a_restart() {
    let mut world = World::usual().await;
    let body = Payment::by(1).body();
    let first = world.facilitator.caller().settle_keyed(&body, "order-7").await;
    world.facilitator.kill();
    world.facilitator.start().await;
    let again = world.facilitator.caller().settle_keyed(&body, "order-7").await;
    assert!(is_replayed(&again));
    assert_eq!(again.body, first.body);
    books_agree(&world).await;
}

/// By the chain's clock, at which the payment is final long since.
#[tokio::test]
async fn x10_the_same_request_a_day_and_a_month_later() {
    let world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let caller = world.facilitator.caller();
    let (keyed, unkeyed) = (Payment::by(1), Payment::by(2));
    let first = caller.settle_keyed(&keyed.body(), "order-7").await;
    let tx = caller.post("/settle", &unkeyed.body()).await.settled();
    for days in [1, 30] {
        world.node.call("evm_increaseTime", json!([days * 86_400])).await;
        world.node.mine(3).await;
        for payment in [&keyed, &unkeyed] {
            world.reaches(payment, "final").await;
        }
        assert_eq!(caller.settle_keyed(&keyed.body(), "order-7").await.body, first.body);
        let (_, named) = caller.post("/settle", &unkeyed.body()).await.unsettled();
        assert_eq!(named, tx);
    }
    assert_eq!(world.proxy.transactions().len(), 2);
    books_agree(&world).await;
}
