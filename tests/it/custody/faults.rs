//! A keeper that does what it likes: nothing is lost, nothing is held, and whoever asks is told the truth.

use std::time::{Duration, Instant};

use super::keeper::{Manner, Service};
use super::kept;
use crate::crash::{Stop, survives_in};
use crate::support::books::books_agree;
use crate::support::database::Obstacle;
use crate::support::payer::Payment;
use crate::support::world::{Setup, World, brief_windows};
use crate::support::{eventually, now};

const BAD: [Manner; 6] = [
    Manner::Hangs,
    Manner::Status(500),
    Manner::SignsAsAnother,
    Manner::SignsAnother,
    Manner::Babbles,
    Manner::Raves,
];

fn impatient() -> Setup {
    Setup {
        wait_seconds: 1,
        ..Setup::default()
    }
}

/// While a keeper hangs, nobody holds a row for it or waits within a transaction.
async fn nothing_is_held(world: &World) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'
        and state_change < now() - interval '1 second'";
    assert_eq!(world.db.one::<i64>(sql).await, 0);
    let begun = Instant::now();
    for table in ["lanes", "settlements", "payments"] {
        world.db.tamper(&format!("select 1 from {table} for update")).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_payment_waits_for_its_signature_and_is_paid_once_there_is_one() {
    let (world, keeper) = kept(Service::Remote, impatient()).await;
    for (payer, manner) in (1..).zip(BAD) {
        keeper.behave(manner);
        let (payment, asked) = (Payment::by(payer), keeper.asked());
        let begun = world.settling(&payment);
        keeper.met(asked + 1).await;
        if manner == Manner::Hangs {
            nothing_is_held(&world).await;
        }
        assert_eq!(begun.await.unwrap().pending(), "", "{manner:?}: nothing is out");
        assert_eq!(world.state(&payment).await.as_deref(), Some("reserved"), "{manner:?}");
        assert_eq!(world.proxy.transactions().len(), payer - 1, "{manner:?}");
        keeper.behave(Manner::Signs);
        world
            .facilitator
            .caller()
            .settle_until_known(&payment.body())
            .await
            .settled();
    }
    let faults = world.facilitator.metrics().await;
    assert!(faults.contains("facilitator_custody_faults_total{"), "{faults}");
    assert_eq!(world.received().await, 60_000);
    assert_eq!(
        world.db.count("chain_transactions").await,
        6,
        "none was signed for twice on record"
    );
    assert_eq!(
        world.db.count("settlements where tries > 1").await,
        0,
        "it is no fault of the payments'"
    );
    keeper.was_asked_well();
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payment_that_gets_no_signature_while_it_is_good_is_withdrawn() {
    let setup = Setup {
        wait_seconds: 1,
        ..brief_windows()
    };
    let (world, keeper) = kept(Service::Remote, setup).await;
    keeper.behave(Manner::Status(503));
    let payment = Payment {
        valid_before: now() + 8,
        ..Payment::by(1)
    };
    world.facilitator.settle(&payment.body()).await.pending();
    world.reaches(&payment, "withdrawn").await;
    assert_eq!(world.events(&payment).await, ["payment.reserved", "payment.withdrawn"]);
    assert_eq!((world.received().await, world.proxy.transactions().len()), (0, 0));
    keeper.behave(Manner::Signs);
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn killed_between_the_signature_and_its_record() {
    for obstacle in ["slots", "chain_transactions"] {
        let (world, keeper) = kept(Service::Aws, Setup::default()).await;
        survives_in(world, Stop::Database(Obstacle::WritesTo(obstacle))).await;
        keeper.was_asked_well();
    }
}

#[tokio::test]
async fn killed_while_the_keeper_takes_its_time() {
    let (mut world, keeper) = kept(Service::Socket, Setup::default()).await;
    keeper.behave(Manner::Hangs);
    let payment = Payment::by(1);
    let (caller, body) = (world.facilitator.caller(), payment.body());
    let settling = tokio::spawn(async move { caller.try_post("/settle", &body).await });
    keeper.met(2).await;
    world.facilitator.kill();
    assert!(settling.await.unwrap().is_none());
    keeper.behave(Manner::Signs);
    world.facilitator.start().await;
    world
        .facilitator
        .caller()
        .settle_until_known(&payment.body())
        .await
        .settled();
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// The keeper has signed for who was replaced while it did: those bytes are nobody's.
#[tokio::test]
async fn what_was_signed_for_a_lane_that_is_anothers_by_now_is_dropped() {
    let (world, keeper) = kept(Service::Remote, impatient()).await;
    keeper.behave(Manner::Hangs);
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.pending();
    let asked = keeper.asked();
    keeper.met(asked).await;
    world.facilitator.pause();
    keeper.behave(Manner::Signs);
    let mut other = world.replica().await;
    other.says("lane ready", 1).await;
    let tx = other.caller().settle_until_known(&payment.body()).await.settled();
    world.facilitator.resume();
    tokio::time::sleep(Duration::from_secs(3)).await;
    other.settle(&Payment::by(2).body()).await.settled();
    eventually("the first hears of it", async || {
        let (_, told) = world.facilitator.settle(&payment.body()).await.unsettled();
        (told == tx).then_some(())
    })
    .await;
    assert_eq!(world.received().await, 20_000);
    assert_eq!(world.proxy.transactions().len(), 2);
    assert_eq!(world.db.count("lanes where quarantined_at is not null").await, 0);
    books_agree(&world).await;
}
