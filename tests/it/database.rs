//! A database that dies, hangs, refuses, forgets or is busy: what was begun is finished, nothing is signed twice, and
//! nothing leaves that is not on record.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::chaos::{all_are_paid, all_are_paid_among, crowd, send_all};
use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::cluster::Cluster;
use crate::support::counted::counted;
use crate::support::database::{Ailment, Database};
use crate::support::disk::Disk;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, receipt};
use crate::support::world::{Setup, World};

async fn on(cluster: &Cluster, setup: Setup) -> World {
    let mut world = World::prepare_on(Database::create_in(cluster.url()).await, setup).await;
    world.facilitator.start().await;
    world
}

fn every_second() -> Setup {
    Setup {
        mining: Mining::EverySecond,
        wait_seconds: 3,
        ..Setup::default()
    }
}

#[tokio::test]
async fn d01_the_database_server_is_killed_again_and_again_under_load() {
    const KILLS: usize = 5;
    counted("D01", 1, KILLS, async |round| {
        let mut cluster = Cluster::start().await;
        let world = on(&cluster, every_second()).await;
        let bodies = crowd(8 * KILLS);
        for (kill, part) in bodies.chunks(8).enumerate() {
            let begun = world.proxy.requests();
            send_all(&world, part);
            let further = (round * KILLS + kill) % 12;
            eventually("it has come so far", async || {
                (world.proxy.requests() > begun + further).then_some(())
            })
            .await;
            cluster.kill();
            cluster.start_again().await;
        }
        all_are_paid(&world, &bodies).await;
    })
    .await;
}

#[tokio::test]
async fn d02_the_database_server_restarts_between_the_broadcast_and_its_record() {
    let mut cluster = Cluster::start().await;
    let world = on(&cluster, Setup::default()).await;
    let payment = Payment::by(1);
    let reading = world.proxy.fault(receipt, Fault::HoldAnswer);
    let settling = world.settling(&payment);
    reading.met(1).await;
    let [tx] = world.proxy.transactions().try_into().unwrap();
    cluster.quit().await;
    reading.release();
    cluster.start_again().await;
    let first = settling.await.unwrap();
    let answer = match first.json()["success"].as_bool() {
        Some(true) => first,
        _ => world.facilitator.caller().settle_until_known(&payment.body()).await,
    };
    assert_eq!(answer.settled(), tx);
    assert_eq!(world.proxy.transactions(), [tx]);
    books_agree(&world).await;
}

/// For longer than any statement may take and any lease lasts: whoever asks is told to try again, in time; nothing
/// leaves; and afterwards all goes on.
#[tokio::test]
async fn d04_a_database_that_hangs_for_20_seconds() {
    let cluster = Cluster::start().await;
    let world = on(&cluster, every_second()).await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let sent = world.proxy.transactions();
    cluster.pause();
    let began = Instant::now();
    let bodies = crowd(8);
    let answers = join_all(bodies.iter().map(|body| world.facilitator.settle(body))).await;
    let waited = began.elapsed();
    tokio::time::sleep(Duration::from_secs(20).saturating_sub(waited)).await;
    assert_eq!(world.proxy.transactions(), sent);
    cluster.resume();
    for answer in answers {
        assert_eq!(answer.outcome(503)["errorReason"], "unexpected_settle_error");
    }
    assert!(waited < Duration::from_secs(15), "{waited:?}");
    for body in &bodies {
        world.facilitator.caller().settle_until_known(body).await.settled();
    }
    assert_eq!(world.received().await, 90_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn d05_every_fifth_transaction_fails_with_an_error_that_passes() {
    let world = World::start(every_second()).await;
    world.db.ail(Ailment::EveryFifthFails).await;
    let bodies = crowd(40);
    for part in bodies.chunks(8) {
        send_all(&world, part);
        world.is_looked_at().await;
    }
    all_are_paid(&world, &bodies).await;
    let failed: i64 = world.db.one("select last_value / 5 from statements_run").await;
    assert!(failed > 5, "{failed}");
}

/// A disk that is really full: the server refuses what needs another page, and may end when its log needs one.
#[tokio::test]
async fn d06_a_disk_that_is_full_for_a_while_loses_nothing() {
    let Some(disk) = Disk::of(96) else {
        return;
    };
    let mut cluster = Cluster::start_in(disk.path()).await;
    let world = on(&cluster, every_second()).await;
    let bodies = crowd(120);
    let settle = async |body| world.facilitator.caller().try_post("/settle", body).await;
    let begun = join_all(bodies[..20].iter().map(settle)).await;
    assert!(begun.iter().flatten().all(|answer| answer.status == 200), "{begun:?}");
    let ballast = disk.fill();
    let refused = join_all(bodies[20..].iter().map(settle)).await;
    let refused = refused.iter().flatten().filter(|answer| answer.status == 503).count();
    assert!(refused > 0, "the disk was not full");
    drop(ballast);
    cluster.is_ready().await;
    send_all(&world, &bodies);
    all_are_paid(&world, &bodies).await;
}

/// What the server says when its disk is full, to every write. (With its log on a full disk it ends by itself: D01.)
#[tokio::test]
async fn d06_nothing_is_begun_while_the_disk_is_full_and_what_was_begun_is_watched() {
    let setup = Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let (begun, refused) = (Payment::by(1), Payment::by(2));
    let tx = world.facilitator.settle(&begun.body()).await.pending();
    world.db.ail(Ailment::DiskIsFull).await;
    let outcome = world.facilitator.settle(&refused.body()).await.outcome(503);
    assert_eq!(outcome["errorReason"], "unexpected_settle_error");
    world.node.mine(1).await;
    world.is_looked_at().await;
    assert_eq!(world.facilitator.settle(&begun.body()).await.pending(), tx);
    world.db.recover(Ailment::DiskIsFull).await;
    let caller = world.facilitator.caller();
    assert_eq!(caller.settle_until_known(&begun.body()).await.settled(), tx);
    assert_eq!(world.db.count("payments").await, 1);
    let second = world.settling(&refused);
    world.is_waiting(1).await;
    world.node.mine(1).await;
    drop(second.await.unwrap());
    caller.settle_until_known(&refused.body()).await;
    assert_eq!(world.received().await, 20_000);
    books_agree(&world).await;
}

/// A replica that had not heard of the last commits takes the primary's place, or a backup is restored: the chain knows
/// transactions of the lane that are not on record, so nothing more is signed in it, and what waits for it is not lost.
#[tokio::test]
async fn d07_d08_a_database_that_has_forgotten_the_last_payments_signs_no_more() {
    let mut world = World::start(Setup {
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    world.facilitator.kill();
    let backup = world.db.back_up().await;
    world.facilitator.start().await;
    let forgotten = Payment::by(2);
    let tx = world
        .facilitator
        .caller()
        .settle_until_known(&forgotten.body())
        .await
        .settled();
    world.facilitator.kill();
    backup.restore(&world.db).await;

    world.facilitator.start_with(&["lane closed"]).await;
    let sent = world.proxy.transactions();
    let (reason, named) = world.facilitator.settle(&forgotten.body()).await.unsettled();
    assert_eq!(reason, "invalid_exact_evm_nonce_already_used");
    assert!(named.is_empty() || named == tx, "{named}");
    assert_eq!(world.facilitator.settle(&Payment::by(3).body()).await.pending(), "");
    assert_eq!(world.proxy.transactions(), sent);
    assert_eq!(world.received().await, 20_000);
}

/// The same under a process that goes on running, with fifty commits missing: what it holds of its lane was never said to
/// the database that it has now.
#[tokio::test]
async fn d07_a_replica_without_the_last_50_payments_takes_over_under_a_running_process() {
    let mut world = World::start(every_second()).await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let backup = world.db.back_up().await;
    let forgotten = crowd(50);
    all_are_paid_among(&world, &forgotten, 51).await;
    backup.restore(&world.db).await;
    world.facilitator.says("lane closed", 1).await;
    let sent = world.proxy.transactions();
    for body in forgotten.iter().step_by(10) {
        let (reason, _) = world.facilitator.settle(body).await.unsettled();
        assert_eq!(reason, "invalid_exact_evm_nonce_already_used");
    }
    assert_eq!(world.facilitator.settle(&Payment::by(3).body()).await.pending(), "");
    assert_eq!(
        world.proxy.transactions(),
        sent,
        "something was signed without knowing the lane"
    );
    assert_eq!(world.received().await, 510_000);
}

/// The same before the chain can tell, since what was forgotten is not mined yet, and before the lease is over: the
/// process itself has signed with the nonce that is next on record.
#[tokio::test]
async fn d07_commits_are_lost_before_what_they_signed_is_mined() {
    let mut world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let caller = world.facilitator.caller();
    let settle = async |payment: &Payment| {
        let body = payment.body();
        let taken = eventually("the database is there again", async || {
            Some(caller.post("/settle", &body).await).filter(|answer| answer.status == 200)
        });
        taken.await.pending()
    };
    settle(&Payment::by(1)).await;
    let backup = world.db.back_up().await;
    assert_ne!(settle(&Payment::by(2)).await, "");
    world.is_waiting(2).await;
    let sent = world.proxy.transactions();
    backup.restore(&world.db).await;
    assert_eq!(settle(&Payment::by(3)).await, "");
    world.facilitator.says("the database has lost what it", 1).await;
    assert_eq!(world.proxy.transactions(), sent, "a nonce was signed with anew");
}

#[tokio::test]
async fn d09_500_callers_who_wait_hold_no_connection() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        ..Setup::default()
    })
    .await;
    let bodies = crowd(500);
    let waiting: Vec<_> = bodies
        .iter()
        .map(|body| world.facilitator.caller().settling(body.clone()))
        .collect();
    world.recorded(500).await;
    let unsigned = "settlements where state = 'reserved'";
    eventually("all are signed for", async || {
        (world.db.count(unsigned).await == 0).then_some(())
    })
    .await;
    let held: i64 = world
        .db
        .one("select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'")
        .await;
    assert_eq!(held, 0);
    for i in 1..=20 {
        world.facilitator.verify(&Payment::by(1 + i % 6).body()).await.valid();
        assert_eq!(world.facilitator.get("/health/ready").await.status, 200);
    }
    assert!(waiting.iter().all(|it| !it.is_finished()), "somebody waits no more");
    world.node.mine(1).await;
    for answer in join_all(waiting).await {
        answer.unwrap().settled();
    }
    books_agree(&world).await;
}
