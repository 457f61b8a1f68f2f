//! The process is killed between every two steps of a settlement. Whatever the point: the money moves once, and the
//! next to ask is told the truth.

use serde_json::Value;

use crate::support::books::books_agree;
use crate::support::contracts::third_party;
use crate::support::database::{Obstacle, Obstruction};
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, FaultHandle, Pick, fee_quote, lens, receipt, send};
use crate::support::world::{World, brief_windows};
use crate::support::{eventually, now};

const USED: &str = "invalid_exact_evm_nonce_already_used";

/// What keeps the facilitator at the point at which it dies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// A question to the node.
    Chain(Pick, Fault),
    /// A statement to the database; it dies with the process.
    Database(Obstacle),
    /// The same, and the database goes on with the statement after the process is dead.
    DatabaseGoesOn(Obstacle),
}

enum Stopped {
    Chain(FaultHandle),
    Database(Obstruction),
    DatabaseGoesOn(Obstruction),
}

impl Stop {
    async fn arm<N>(self, world: &World<N>) -> Stopped {
        match self {
            Self::Chain(pick, fault) => Stopped::Chain(world.proxy.fault(pick, fault)),
            Self::Database(obstacle) => Stopped::Database(world.db.obstruct(obstacle).await),
            Self::DatabaseGoesOn(obstacle) => Stopped::DatabaseGoesOn(world.db.obstruct(obstacle).await),
        }
    }
}

impl Stopped {
    async fn reached(&self) {
        match self {
            Self::Chain(fault) => fault.met(1).await,
            Self::Database(obstruction) | Self::DatabaseGoesOn(obstruction) => obstruction.met().await,
        }
    }

    async fn clear(self) {
        match self {
            Self::Chain(fault) => fault.discard(),
            Self::Database(obstruction) => obstruction.remove_with_the_waiting().await,
            Self::DatabaseGoesOn(obstruction) => obstruction.remove().await,
        }
    }
}

/// A world in which the facilitator was killed at the point, while it settled this payment.
async fn killed_at(stop: Stop, body: &Value) -> World {
    killed_in(World::usual().await, stop, body).await
}

/// The same in this world, on any chain.
pub(crate) async fn killed_in<N>(mut world: World<N>, stop: Stop, body: &Value) -> World<N> {
    let stopped = stop.arm(&world).await;
    let caller = world.facilitator.caller();
    let asked = body.clone();
    let settling = tokio::spawn(async move { caller.try_post("/settle", &asked).await });
    stopped.reached().await;
    world.facilitator.kill();
    assert!(
        settling.await.unwrap().is_none(),
        "answered before the point was reached"
    );
    stopped.clear().await;
    world
}

/// The payment is paid once, and the first to ask after the crash is the one to hear of it.
async fn survives(stop: Stop) {
    let payment = Payment::by(1);
    let mut world = killed_at(stop, &payment.body()).await;
    world.facilitator.start().await;
    let tx = world
        .facilitator
        .caller()
        .settle_until_known(&payment.body())
        .await
        .settled();
    assert_eq!(
        world.facilitator.settle(&payment.body()).await.unsettled(),
        (USED.into(), tx.clone())
    );
    assert_eq!(world.received().await, 10_000);
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.db.count("settlements where granted_at is not null").await, 1);
    // And the lane goes on.
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn killed_before_the_lens_answers() {
    survives(Stop::Chain(lens, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn killed_before_the_reservation_commits() {
    survives(Stop::Database(Obstacle::WritesTo("payments"))).await;
}

#[tokio::test]
async fn killed_before_the_reservation_commits_and_it_commits_all_the_same() {
    survives(Stop::DatabaseGoesOn(Obstacle::WritesTo("payments"))).await;
}

#[tokio::test]
async fn killed_after_the_reservation_before_the_fee_is_known() {
    survives(Stop::Chain(fee_quote, Fault::HoldRequest)).await;
}

#[tokio::test]
async fn killed_before_the_signed_bytes_are_on_record() {
    for table in ["slots", "chain_transactions", "settlement_attempts", "settlements"] {
        survives(Stop::Database(Obstacle::WritesTo(table))).await;
    }
}

#[tokio::test]
async fn killed_before_the_signed_bytes_are_on_record_and_the_statement_goes_on() {
    survives(Stop::DatabaseGoesOn(Obstacle::WritesTo("slots"))).await;
}

#[tokio::test]
async fn case_41_killed_before_the_bytes_leave() {
    survives(Stop::Chain(send, Fault::HoldRequest)).await;
}

#[tokio::test]
async fn case_41_killed_after_the_broadcast_before_the_node_answers() {
    survives(Stop::Chain(send, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn case_41_killed_after_it_was_mined_before_the_receipt_is_read() {
    survives(Stop::Chain(receipt, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn killed_before_the_confirmation_commits() {
    for table in ["evidence", "ledger_entries"] {
        survives(Stop::Database(Obstacle::WritesTo(table))).await;
    }
}

#[tokio::test]
async fn killed_before_the_confirmation_commits_and_the_statement_goes_on() {
    survives(Stop::DatabaseGoesOn(Obstacle::WritesTo("evidence"))).await;
}

#[tokio::test]
async fn killed_before_the_grant_is_on_record() {
    survives(Stop::Database(Obstacle::Grant)).await;
}

/// The statement is done, the transaction that it is part of is not.
#[tokio::test]
async fn killed_before_the_grant_is_on_record_and_the_statement_goes_on() {
    survives(Stop::DatabaseGoesOn(Obstacle::Grant)).await;
}

/// The first caller went away before the money moved, the second is granted the success, and the process dies before
/// it writes the answer. Nobody can know whether it was heard, so it is not given to anybody else; the transaction is.
#[tokio::test]
async fn killed_after_the_grant_before_the_answer_is_written() {
    let payment = Payment::by(1);
    let mut world = World::usual().await;
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let first = world.settling(&payment);
    sending.met(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // The connection is seen to be gone before the money moves.
    world.facilitator.get("/health/live").await;
    sending.release();
    world.reaches(&payment, "confirmed").await;

    let granting = world.db.obstruct(Obstacle::Grant).await;
    let (caller, asked) = (world.facilitator.caller(), payment.body());
    let second = tokio::spawn(async move { caller.try_post("/settle", &asked).await });
    granting.met().await;
    world.facilitator.kill();
    assert!(second.await.unwrap().is_none());
    granting.remove().await;

    world.facilitator.start().await;
    let (reason, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(reason, USED);
    assert_eq!(world.proxy.transactions(), [tx]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn killed_while_it_recovers_ten_times_in_a_row() {
    let payment = Payment::by(1);
    let mut world = killed_at(Stop::Chain(send, Fault::HoldRequest), &payment.body()).await;
    world.facilitator.start().await;
    for _ in 0..10 {
        world.facilitator.kill();
        let sending = world.proxy.fault(send, Fault::LoseRequest);
        world.facilitator.start().await;
        drop(sending);
    }
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(world.proxy.transactions(), [answer.settled()]);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// Nobody asks again, and still the payment that was reserved is settled: the next start picks it up.
#[tokio::test]
async fn what_was_reserved_is_settled_though_nobody_asks_again() {
    let payment = Payment::by(1);
    let mut world = killed_at(Stop::Chain(fee_quote, Fault::HoldRequest), &payment.body()).await;
    world.facilitator.start().await;
    world.reaches(&payment, "confirmed").await;
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// While nobody watches, somebody else lands what we had signed.
#[tokio::test]
async fn killed_before_the_bytes_leave_and_somebody_else_lands_the_payment() {
    let payment = Payment::by(1);
    let mut world = killed_at(Stop::Chain(send, Fault::HoldRequest), &payment.body()).await;
    let theirs = world
        .node
        .send_mined(third_party(), payment.asset, &payment.call())
        .await;
    world.facilitator.start().await;
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.settled(), theirs);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// While nobody watches, the time for the payment passes: what was not signed never will be.
#[tokio::test]
async fn killed_after_the_reservation_and_the_window_closes() {
    let world = World::start(brief_windows()).await;
    let payment = Payment {
        valid_before: now() + 12,
        ..Payment::by(1)
    };
    let mut world = killed_in(world, Stop::Chain(fee_quote, Fault::HoldRequest), &payment.body()).await;
    eventually("the window has closed", async || {
        (now() > payment.valid_before).then_some(())
    })
    .await;
    world.facilitator.start().await;
    world.reaches(&payment, "withdrawn").await;
    let reason = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(
        reason,
        (
            "invalid_exact_evm_payload_authorization_valid_before".into(),
            String::new()
        )
    );
    assert_eq!(world.proxy.transactions(), [""; 0]);
    books_agree(&world).await;
}
