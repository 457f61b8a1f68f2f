//! The process is killed between every two steps of a settlement on Solana. Whatever the point: the money moves once,
//! and the next to ask is told the truth.

use serde_json::Value;

use crate::crash::{Stop, killed_in};
use crate::support::counted::counted;
use crate::support::database::Obstacle;
use crate::support::proxy::{Fault, send};
use crate::support::solana::books::books_agree;
use crate::support::solana::surfpool::Sureness;
use crate::support::solana::world::{Setup, SolanaWorld, hasty};
use crate::support::solana::{history, simulation, statuses};

/// Slots so long that a blockhash outlives a crash.
async fn killed_at(stop: Stop) -> (SolanaWorld, Value) {
    let setup = Setup {
        slot_ms: 200,
        ..Setup::default()
    };
    let world = setup.start().await;
    let body = world.payment(0).await.body();
    (killed_in(world, stop, &body).await, body)
}

/// Killed at the point, counted as a trial of this case: the payment is paid once, and the first to ask after the crash is
/// the one to hear of it.
async fn survives(id: &str, stop: Stop) {
    counted(id, 1, 1, async |_| survives_once(stop).await).await;
}

async fn survives_once(stop: Stop) {
    let (mut world, body) = killed_at(stop).await;
    world.facilitator.start().await;
    let tx = world.facilitator.caller().settle_until_known(&body).await.settled();
    assert_eq!(
        world.facilitator.settle(&body).await.unsettled(),
        ("duplicate_settlement".into(), tx.clone())
    );
    assert_eq!(world.received().await, 10_000);
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.db.count("settlements where granted_at is not null").await, 1);
    // And the lane goes on.
    world.facilitator.settle(&world.payment(1).await.body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn k01_killed_before_the_simulation_is_answered() {
    survives("K01", Stop::Chain(simulation, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn k01_killed_before_the_reservation_commits() {
    survives("K01", Stop::Database(Obstacle::WritesTo("payments"))).await;
}

#[tokio::test]
async fn k02_killed_before_the_reservation_commits_and_it_commits_all_the_same() {
    survives("K02", Stop::DatabaseGoesOn(Obstacle::WritesTo("payments"))).await;
}

#[tokio::test]
async fn k04_k05_killed_before_the_signed_bytes_are_on_record() {
    for (id, table) in [
        ("K04", "slots"),
        ("K05", "chain_transactions"),
        ("K05", "settlement_attempts"),
        ("K05", "settlements"),
    ] {
        survives(id, Stop::Database(Obstacle::WritesTo(table))).await;
    }
}

#[tokio::test]
async fn k05_killed_before_the_signed_bytes_are_on_record_and_the_statement_goes_on() {
    survives("K05", Stop::DatabaseGoesOn(Obstacle::WritesTo("slots"))).await;
}

#[tokio::test]
async fn k06_killed_before_the_bytes_leave() {
    survives("K06", Stop::Chain(send, Fault::HoldRequest)).await;
}

#[tokio::test]
async fn k07_killed_after_the_broadcast_before_the_node_answers() {
    survives("K07", Stop::Chain(send, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn k08_killed_before_the_status_is_read() {
    survives("K08", Stop::Chain(statuses, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn k09_killed_before_the_transaction_is_read() {
    survives("K09", Stop::Chain(history, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn k09_killed_before_the_confirmation_commits() {
    for table in ["evidence", "ledger_entries"] {
        survives("K09", Stop::Database(Obstacle::WritesTo(table))).await;
    }
}

#[tokio::test]
async fn k09_killed_before_the_grant_is_on_record() {
    survives("K09", Stop::Database(Obstacle::Grant)).await;
}

#[tokio::test]
async fn k09_killed_before_the_grant_is_on_record_and_the_statement_goes_on() {
    survives("K09", Stop::DatabaseGoesOn(Obstacle::Grant)).await;
}

/// Nobody asks again, and still the payment that was reserved is settled: the next start picks it up.
#[tokio::test]
async fn what_was_reserved_is_settled_though_nobody_asks_again() {
    let (mut world, _) = killed_at(Stop::Database(Obstacle::WritesTo("slots"))).await;
    world.facilitator.start().await;
    crate::support::eventually("the payment is confirmed", async || {
        (world.db.unpaid().await == 0).then_some(())
    })
    .await;
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// While nobody watches, the blockhash grows too old: what was not signed never will be.
#[tokio::test]
async fn killed_after_the_reservation_and_the_blockhash_expires() {
    let world = hasty().start().await;
    let payment = world.payment(0).await;
    let mut world = killed_in(world, Stop::Database(Obstacle::WritesTo("slots")), &payment.body()).await;
    world.node.blocks_pass(152, Sureness::Finalized).await;
    world.facilitator.start().await;
    crate::support::eventually("the payment is over", async || {
        let over = "settlements where state in ('withdrawn', 'failed')";
        (world.db.count(over).await == 1).then_some(())
    })
    .await;
    let (_, named) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(named, "");
    assert_eq!(world.proxy.transactions(), [""; 0]);
    assert_eq!((world.received().await, world.lamports_spent().await), (0, 0));
    books_agree(&world).await;
}

/// The bytes were signed and never left, and by the time that somebody looks they can no longer land.
#[tokio::test]
async fn killed_before_the_bytes_leave_and_the_blockhash_expires() {
    let world = hasty().start().await;
    let payment = world.payment(0).await;
    let mut world = killed_in(world, Stop::Chain(send, Fault::HoldRequest), &payment.body()).await;
    world.node.blocks_pass(152, Sureness::Finalized).await;
    world.facilitator.start().await;
    world.reaches(&payment, "failed").await;
    let (reason, _) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(reason, "invalid_exact_svm_transaction_failed");
    assert_eq!((world.received().await, world.lamports_spent().await), (0, 0));
    books_agree(&world).await;
}
