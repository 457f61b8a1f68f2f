//! Two processes on one database, as in every rolling deployment: they share lanes without sharing memory, and what
//! one leaves behind the other finishes.

use std::collections::HashSet;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use alloy::primitives::U256;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, fee_quote, send};
use crate::support::world::{Setup, World};

#[tokio::test]
async fn a_payment_that_another_process_reserved_and_left_is_settled() {
    let mut world = World::usual().await;
    let successor = world.replica().await;
    let payment = Payment::by(1);
    let quote = world.proxy.fault(fee_quote, Fault::HoldRequest);
    let (caller, body) = (world.facilitator.caller(), payment.body());
    let settling = tokio::spawn(async move { caller.try_post("/settle", &body).await });
    quote.met(1).await;
    world.facilitator.kill();
    assert!(settling.await.unwrap().is_none());
    quote.discard();
    let tx = successor.caller().settle_until_known(&payment.body()).await.settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payment_that_another_process_signed_and_left_is_settled() {
    let mut world = World::usual().await;
    let successor = world.replica().await;
    let payment = Payment::by(1);
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let (caller, body) = (world.facilitator.caller(), payment.body());
    let settling = tokio::spawn(async move { caller.try_post("/settle", &body).await });
    sending.met(1).await;
    world.facilitator.kill();
    assert!(settling.await.unwrap().is_none());
    sending.discard();
    let tx = successor.caller().settle_until_known(&payment.body()).await.settled();
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payment_that_another_process_confirmed_becomes_final() {
    let mut world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let _successor = world.replica().await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    world.facilitator.terminate();
    assert!(world.facilitator.ended().await.success());
    assert_eq!(world.state(&payment).await.unwrap(), "confirmed");
    world.node.mine(3).await;
    world.reaches(&payment, "final").await;
    books_agree(&world).await;
}

#[tokio::test]
async fn x01_the_same_body_a_hundred_times_at_three_processes_buys_once() {
    let world = World::start(Setup {
        wait_seconds: 3,
        ..Setup::default()
    })
    .await;
    let replicas = [world.replica().await, world.replica().await];
    let body = Payment::by(1).body();
    let callers = [world.facilitator.caller(), replicas[0].caller(), replicas[1].caller()];
    let answers = join_all((0..100).map(|i| callers[i % 3].post("/settle", &body))).await;
    let told: Vec<_> = answers.iter().filter(|it| it.outcome(200)["success"] == true).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(world.proxy.transactions(), [told[0].settled()]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn x02_the_same_keyed_request_a_hundred_times_at_three_processes_has_one_answer() {
    let world = World::usual().await;
    let replicas = [world.replica().await, world.replica().await];
    let body = Payment::by(1).body();
    let callers = [world.facilitator.caller(), replicas[0].caller(), replicas[1].caller()];
    let answers = join_all((0..100).map(|i| callers[i % 3].settle_keyed(&body, "order-7"))).await;
    assert_eq!(world.proxy.transactions(), [answers[0].settled()]);
    for answer in &answers {
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn two_processes_share_a_lane() {
    let world = World::start(Setup {
        mining: Mining::EverySecond,
        ..Setup::default()
    })
    .await;
    let replica = world.replica().await;
    let callers = [world.facilitator.caller(), replica.caller()];
    let payments: Vec<Payment> = (0..40).map(|i| Payment::by(1 + i % 6)).collect();
    let settling: Vec<_> = payments
        .iter()
        .zip(callers.iter().cycle())
        .map(|(it, at)| at.settling(it.body()))
        .collect();
    let mut transactions = HashSet::new();
    for answer in settling {
        transactions.insert(answer.await.unwrap().settled());
    }
    assert!(
        transactions.len() < payments.len(),
        "payments of both share transactions"
    );
    assert_eq!(world.received().await, 400_000);
    books_agree(&world).await;
}

/// Each lane's holder, in the order of the signers; none that nobody drives.
async fn holders(world: &World) -> Vec<String> {
    let sql = "select coalesce(string_agg(lease_holder::text, ' ' order by signer), '') from lanes
        where lease_until > now()";
    let all: String = world.db.one(sql).await;
    all.split_whitespace().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn what_a_killed_process_drove_is_driven_again_within_seconds() {
    let mut world = World::usual().await;
    let successor = world.replica().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    world.facilitator.kill();
    let began = Instant::now();
    successor.settle(&Payment::by(2).body()).await.settled();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    books_agree(&world).await;
}

/// A process that stands still for longer than its lease lasts: the other takes over, and when the first wakes up it does
/// no harm with what it believes to have.
#[tokio::test]
async fn k17_a_process_that_is_paused_beyond_its_lease_and_wakes_up_does_no_harm() {
    let world = World::start(Setup {
        mining: Mining::EverySecond,
        ..Setup::default()
    })
    .await;
    let other = world.replica().await;
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let first = world.settling(&Payment::by(1));
    sending.met(1).await;
    world.facilitator.pause();
    sending.release();
    let payments: Vec<Payment> = (2..=6).map(Payment::by).collect();
    for payment in &payments[..3] {
        other.settle(&payment.body()).await.settled();
    }
    let now = holders(&world).await;
    world.facilitator.resume();
    let rest = payments[3..].iter().map(|it| world.settling(it));
    for answer in rest.collect::<Vec<_>>() {
        answer.await.unwrap().settled();
    }
    first.await.unwrap().settled();
    assert_eq!(holders(&world).await, now, "the lane stays where it went");
    assert_eq!(world.received().await, 60_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn lanes_are_shared_among_those_who_are_there() {
    let mut world = World::start(Setup {
        signers: 2,
        ..Setup::default()
    })
    .await;
    let shared = async |expected: usize| {
        eventually("the lanes are shared", async || {
            let holders = holders(&world).await;
            let distinct: HashSet<&String> = holders.iter().collect();
            (holders.len() == 2 && distinct.len() == expected).then_some(())
        })
        .await;
    };
    shared(1).await;
    let mut replica = world.replica().await;
    shared(2).await;
    let both = [world.facilitator.caller(), replica.caller()];
    let settle = async |from: usize| {
        let payments: Vec<Payment> = (from..from + 6).map(|i| Payment::by(1 + i % 6)).collect();
        let settling = payments
            .iter()
            .zip(both.iter().cycle())
            .map(|(it, at)| at.settling(it.body()));
        for answer in settling.collect::<Vec<_>>() {
            answer.await.unwrap().settled();
        }
    };
    settle(0).await;
    // One that leaves in order leaves its lane at once.
    replica.terminate();
    assert!(replica.ended().await.success());
    shared(1).await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    books_agree(&world).await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    assert!(holders(&world).await.is_empty());
    assert_eq!(world.db.count("replicas").await, 0);
}

/// What an operator does with a signer's lane, and what he hears.
async fn lanes(world: &World, what: &str, signer: &str) -> (ExitStatus, String) {
    let why = ["--by", "ada", "--because", "a test"];
    let arguments = [&["lanes", what, "eip155:84532", signer][..], &why].concat();
    world.facilitator.run("admin", &arguments).await
}

#[tokio::test]
async fn a_lane_that_an_operator_closes_is_signed_in_by_no_process_until_he_opens_it() {
    let world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let replica = world.replica().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let signer: String = world.db.one("select signer from slots").await;
    let (status, said) = lanes(&world, "close", &signer).await;
    assert!(status.success(), "{said}");
    let again = lanes(&world, "close", &signer).await;
    assert!(
        !again.0.success() && again.1.contains("no such open lane"),
        "{}",
        again.1
    );
    let payments = [Payment::by(2), Payment::by(3)];
    world.facilitator.settle(&payments[0].body()).await.pending();
    replica.settle(&payments[1].body()).await.pending();
    assert_eq!(world.db.count("slots").await, 1, "nothing is signed");
    let (status, said) = lanes(&world, "readmit", &signer).await;
    assert!(status.success(), "{said}");
    for payment in &payments {
        world
            .facilitator
            .caller()
            .settle_until_known(&payment.body())
            .await
            .settled();
    }
    books_agree(&world).await;
}

/// Somebody else has the key of one of two signers and takes the very nonce that was meant for a payment: nothing more is
/// signed with that key, and once the loss is final the payment goes by the other.
#[tokio::test]
async fn r06_a_nonce_that_somebody_else_took_closes_the_lane_and_the_payment_goes_by_another() {
    let mut world = World::start(Setup {
        mining: Mining::OnDemand,
        epoch: Some(1),
        wait_seconds: 1,
        signers: 2,
        ..Setup::default()
    })
    .await;
    let losing = world.proxy.fault(send, Fault::LoseRequest);
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.pending();
    let signer: String = world.db.one("select signer from slots").await;
    let foreign = Token::transferCall {
        to: third_party(),
        value: U256::from(1),
    };
    world
        .node
        .send_mined(signer.parse().unwrap(), addresses().usdc, &foreign)
        .await;
    world.node.mine(4).await;
    losing.release();
    world.facilitator.says("lane closed", 1).await;
    eventually("it goes by the other signer", async || {
        world.node.mine(1).await;
        world.is_paid(&payment).await.then_some(())
    })
    .await;
    let by: String = world
        .db
        .one("select signer from slots where consumed_by is distinct from 'foreign'")
        .await;
    assert_ne!(by, signer);
    assert_eq!(world.received().await, 10_000);

    let closed = async || world.facilitator.series("facilitator_lane_quarantined", "1").await;
    eventually("it is shown as closed", async || (closed().await == 1).then_some(())).await;
    let (status, listed) = world.facilitator.run("lanes", &[]).await;
    assert!(
        status.success()
            && listed
                .lines()
                .any(|line| line.contains(&signer) && !line.ends_with(',')),
        "{listed}"
    );
    let (status, said) = lanes(&world, "readmit", "0xNobody").await;
    assert!(!status.success() && said.contains("no such lane"), "{said}");
    let (status, said) = lanes(&world, "readmit", &signer).await;
    assert!(status.success(), "{said}");
    eventually("it is shown as open again", async || {
        (closed().await == 0).then_some(())
    })
    .await;
    let nonces = world
        .node
        .call("eth_getTransactionCount", json!([signer, "latest"]))
        .await;
    let sql = "select '0x' || to_hex(next_nonce) from lanes order by (signer = (select signer from slots where
        consumed_by = 'foreign' limit 1)) desc limit 1";
    assert_eq!(json!(world.db.one::<String>(sql).await), nonces);
    books_agree(&world).await;
}
