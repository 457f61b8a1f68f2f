//! Dependencies that go away and processes that are asked to stop: what was not begun is refused with "try again",
//! what was begun is finished or left as it can be finished.

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::database::Obstacle;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, anything, send};
use crate::support::world::{Setup, World};

async fn becomes(world: &World, path: &str, status: u16) {
    let what = format!("{path} answers {status}");
    eventually(&what, async || {
        (world.facilitator.get(path).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_database_no_settlement() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    world.gate.shut();
    let answer = world.facilitator.settle(&payment.body()).await;
    let outcome = answer.outcome(503);
    assert_eq!(
        (&outcome["success"], &outcome["transaction"]),
        (&false.into(), &"".into())
    );
    assert_eq!(outcome["errorReason"], "unexpected_settle_error");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(world.db.count("payments").await, 0);
    assert_eq!(world.proxy.transactions(), [""; 0]);
    world.gate.open();
    becomes(&world, "/health/ready", 200).await;
    world.facilitator.settle(&payment.body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn readiness_is_the_databases_and_liveness_is_not() {
    let world = World::usual().await;
    for _ in 0..2 {
        becomes(&world, "/health/ready", 200).await;
        world.gate.shut();
        becomes(&world, "/health/ready", 503).await;
        assert_eq!(world.facilitator.get("/health/live").await.status, 200);
        world.gate.open();
    }
    becomes(&world, "/health/ready", 200).await;
}

#[tokio::test]
async fn a_database_that_goes_away_after_the_broadcast_delays_the_answer_and_no_more() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    world.gate.shut();
    world.node.mine(1).await;
    becomes(&world, "/health/ready", 503).await;
    world.gate.open();
    becomes(&world, "/health/ready", 200).await;
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

#[tokio::test]
async fn a_database_that_goes_away_while_a_payment_is_waiting_leaves_it_pending_and_true() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 3,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let settling = world.settling(&payment);
    world.is_waiting(1).await;
    let [tx] = world.proxy.transactions().try_into().unwrap();
    world.gate.shut();
    world.node.mine(1).await;
    assert_eq!(settling.await.unwrap().pending(), tx);
    world.gate.open();
    becomes(&world, "/health/ready", 200).await;
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
async fn r18_no_node_no_verdict_and_nothing_begun() {
    let world = World::usual().await;
    let body = Payment::by(1).body();
    for fault in [
        Fault::LoseRequest,
        Fault::Status(503),
        Fault::Garbage("down for maintenance"),
    ] {
        let handle = world.proxy.fault(anything, fault);
        let verify = world.facilitator.verify(&body).await;
        assert_eq!(verify.verdict(503)["invalidReason"], "unexpected_verify_error");
        let settle = world.facilitator.settle(&body).await;
        let outcome = settle.outcome(503);
        assert_eq!(outcome["errorReason"], "unexpected_settle_error");
        assert_eq!(
            (&outcome["success"], &outcome["transaction"]),
            (&false.into(), &"".into())
        );
        assert!(verify.header("retry-after").is_some() && settle.header("retry-after").is_some());
        handle.release();
    }
    assert_eq!(world.db.count("payments").await, 0);
    world.facilitator.settle(&body).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn a_node_that_goes_away_after_the_reservation_is_waited_for() {
    let world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let quote = world.proxy.fault(crate::support::proxy::fee_quote, Fault::Status(500));
    assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), "");
    assert_eq!(world.state(&payment).await.unwrap(), "reserved");
    quote.release();
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
async fn a_stopping_process_finishes_what_it_has_begun() {
    let mut world = World::start(Setup {
        mining: Mining::OnDemand,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let settling = world.settling(&payment);
    world.is_waiting(1).await;
    world.facilitator.terminate();
    let body = Payment::by(2).body();
    let caller = world.facilitator.caller();
    eventually("new connections are refused", async || {
        // A connection that is open already may still be served, and then answers in full.
        caller.try_post("/verify", &body).await.is_none().then_some(())
    })
    .await;
    world.node.mine(1).await;
    settling.await.unwrap().settled();
    assert!(world.facilitator.ended().await.success());
    books_agree(&world).await;
}

#[tokio::test]
async fn a_stopping_process_leaves_what_it_cannot_finish_to_the_next() {
    let setup = Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    };
    for is_sent in [true, false] {
        let mut world = World::start(Setup {
            factories: Vec::new(),
            ..setup
        })
        .await;
        let payment = Payment::by(1);
        let sending = (!is_sent).then(|| world.proxy.fault(send, Fault::HoldRequest));
        let settling = world.settling(&payment);
        world.reaches(&payment, "in_flight").await;
        world.facilitator.terminate();
        let tx = settling.await.unwrap().pending();
        assert!(world.facilitator.ended().await.success());
        drop(sending);
        world.facilitator.start().await;
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
        assert_eq!(world.proxy.transactions(), [tx]);
        books_agree(&world).await;
    }
}

/// It has a time limit for each statement, and what did not happen within it never does.
#[tokio::test]
async fn a_database_that_is_too_slow_has_not_done_it() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let writing = world.db.obstruct(Obstacle::WritesTo("payments")).await;
    let outcome = world.facilitator.settle(&payment.body()).await.outcome(503);
    assert_eq!(outcome["errorReason"], "unexpected_settle_error");
    writing.remove().await;
    assert_eq!(world.db.count("payments").await, 0);
    world.facilitator.settle(&payment.body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn metrics_count_what_happened_and_are_not_public() {
    let world = World::usual().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let metrics = world.facilitator.metrics().await;
    for (name, labels) in [
        ("facilitator_settlements_total", "event=\"payment.confirmed\""),
        ("facilitator_transactions_sent_total", "network=\"eip155:84532\""),
        ("facilitator_rpc_requests_total", "method=\"eth_sendRawTransaction\""),
    ] {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(name) && line.contains(labels));
        assert!(
            line.is_some_and(|line| line.ends_with(" 1")),
            "{name} {labels} in {metrics}"
        );
    }
    assert_eq!(world.facilitator.get("/metrics").await.status, 404);
}
