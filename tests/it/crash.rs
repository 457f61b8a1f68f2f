//! The process is killed between every two steps of a settlement. Whatever the point: the money moves once, and the
//! next to ask is told the truth.

use serde_json::Value;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::third_party;
use crate::support::counted::counted;
use crate::support::database::{Obstacle, Obstruction};
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, FaultHandle, Pick, fee_quote, lens, receipt, send};
use crate::support::world::{Setup, World, brief_windows};
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

pub(crate) enum Stopped {
    Chain(FaultHandle),
    Database(Obstruction),
    DatabaseGoesOn(Obstruction),
}

impl Stop {
    pub(crate) async fn arm<N>(self, world: &World<N>) -> Stopped {
        match self {
            Self::Chain(pick, fault) => Stopped::Chain(world.proxy.fault(pick, fault)),
            Self::Database(obstacle) => Stopped::Database(world.db.obstruct(obstacle).await),
            Self::DatabaseGoesOn(obstacle) => Stopped::DatabaseGoesOn(world.db.obstruct(obstacle).await),
        }
    }
}

impl Stopped {
    pub(crate) async fn reached(&self) {
        match self {
            Self::Chain(fault) => fault.met(1).await,
            Self::Database(obstruction) | Self::DatabaseGoesOn(obstruction) => obstruction.met().await,
        }
    }

    pub(crate) async fn clear(self) {
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

/// Killed at the point, counted as a trial of this case: the payment is paid once, and the first to ask after the crash is
/// the one to hear of it.
async fn survives(id: &str, stop: Stop) {
    counted(id, 1, 1, async |_| survives_once(stop).await).await;
}

async fn survives_once(stop: Stop) {
    survives_in(World::usual().await, stop).await;
}

/// The same in this world, once.
pub(crate) async fn survives_in(world: World, stop: Stop) {
    let payment = Payment::by(1);
    let mut world = killed_in(world, stop, &payment.body()).await;
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
async fn k01_killed_before_the_lens_answers() {
    survives("K01", Stop::Chain(lens, Fault::HoldAnswer)).await;
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
async fn k03_killed_after_the_reservation_before_the_fee_is_known() {
    survives("K03", Stop::Chain(fee_quote, Fault::HoldRequest)).await;
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
async fn k06_case_41_killed_before_the_bytes_leave() {
    survives("K06", Stop::Chain(send, Fault::HoldRequest)).await;
}

#[tokio::test]
async fn k07_case_41_killed_after_the_broadcast_before_the_node_answers() {
    survives("K07", Stop::Chain(send, Fault::HoldAnswer)).await;
}

/// The node has it and has said so, and its caller still waits for a block.
#[tokio::test]
async fn k08_killed_after_the_broadcast_before_the_caller_is_answered() {
    counted("K08", 1, 1, async |_| {
        let setup = Setup {
            mining: Mining::OnDemand,
            ..Setup::default()
        };
        let payment = Payment::by(1);
        let mut world = World::start(setup).await;
        let (caller, asked) = (world.facilitator.caller(), payment.body());
        let settling = tokio::spawn(async move { caller.try_post("/settle", &asked).await });
        world.is_waiting(1).await;
        world.is_looked_at().await;
        world.facilitator.kill();
        assert!(settling.await.unwrap().is_none());
        world.node.mine(1).await;
        world.facilitator.start().await;
        let tx = world.facilitator.settle(&payment.body()).await.settled();
        assert_eq!(world.proxy.transactions(), [tx]);
        assert_eq!(world.received().await, 10_000);
        books_agree(&world).await;
    })
    .await;
}

#[tokio::test]
async fn k09_case_41_killed_after_it_was_mined_before_the_receipt_is_read() {
    survives("K09", Stop::Chain(receipt, Fault::HoldAnswer)).await;
}

#[tokio::test]
async fn k09_killed_before_the_confirmation_commits() {
    for table in ["evidence", "ledger_entries"] {
        survives("K09", Stop::Database(Obstacle::WritesTo(table))).await;
    }
}

#[tokio::test]
async fn k09_killed_before_the_confirmation_commits_and_the_statement_goes_on() {
    survives("K09", Stop::DatabaseGoesOn(Obstacle::WritesTo("evidence"))).await;
}

#[tokio::test]
async fn k09_killed_before_the_grant_is_on_record() {
    survives("K09", Stop::Database(Obstacle::Grant)).await;
}

/// The statement is done, the transaction that it is part of is not.
#[tokio::test]
async fn k09_killed_before_the_grant_is_on_record_and_the_statement_goes_on() {
    survives("K09", Stop::DatabaseGoesOn(Obstacle::Grant)).await;
}

/// The first caller went away before the money moved, the second is about to be granted the success, and the process
/// dies.
async fn killed_while_granting(payment: &Payment) -> (World, Obstruction) {
    let mut world = World::usual().await;
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let first = world.settling(payment);
    sending.met(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // The connection is seen to be gone before the money moves.
    world.facilitator.get("/health/live").await;
    sending.release();
    world.reaches(payment, "confirmed").await;

    let granting = world.db.obstruct(Obstacle::Grant).await;
    let (caller, asked) = (world.facilitator.caller(), payment.body());
    let second = tokio::spawn(async move { caller.try_post("/settle", &asked).await });
    granting.met().await;
    world.facilitator.kill();
    assert!(second.await.unwrap().is_none());
    (world, granting)
}

/// The evidence is on record and nobody was told: the next to ask is.
#[tokio::test]
async fn k10_killed_after_the_evidence_before_the_grant() {
    counted("K10", 1, 1, async |_| {
        let payment = Payment::by(1);
        let (mut world, granting) = killed_while_granting(&payment).await;
        granting.remove_with_the_waiting().await;
        world.facilitator.start().await;
        let tx = world.facilitator.settle(&payment.body()).await.settled();
        assert_eq!(world.proxy.transactions(), [tx]);
        assert_eq!(world.received().await, 10_000);
        books_agree(&world).await;
    })
    .await;
}

/// Nobody can know whether the answer was heard, so the success is not given to anybody else; the transaction is.
#[tokio::test]
async fn k11_killed_after_the_grant_before_the_answer_is_written() {
    counted("K11", 1, 1, async |_| {
        let payment = Payment::by(1);
        let (mut world, granting) = killed_while_granting(&payment).await;
        granting.remove().await;
        world.facilitator.start().await;
        let (reason, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
        assert_eq!(reason, USED);
        assert_eq!(world.proxy.transactions(), [tx]);
        assert_eq!(world.received().await, 10_000);
        books_agree(&world).await;
    })
    .await;
}

/// The process has seen that a block is gone, and dies before it has that on record.
#[tokio::test]
async fn k13_killed_after_a_reorganization_is_seen_before_it_is_on_record() {
    counted("K13", 1, 1, async |_| {
        let setup = Setup {
            mining: Mining::OnDemand,
            wait_seconds: 1,
            ..Setup::default()
        };
        let payment = Payment::by(1);
        let mut world = World::start(setup).await;
        let tx = world.facilitator.settle(&payment.body()).await.pending();
        world.node.mine(1).await;
        world.reaches(&payment, "confirmed").await;
        let reversing = world.db.obstruct(Obstacle::WritesTo("settlements")).await;
        world.node.reorganize(1).await;
        reversing.met().await;
        world.facilitator.kill();
        reversing.remove_with_the_waiting().await;
        assert_eq!(world.state(&payment).await.unwrap(), "confirmed");
        world.facilitator.start().await;
        world.is_waiting(1).await;
        world.node.mine(1).await;
        eventually("it is on the chain again and told", async || {
            let answer = world.facilitator.settle(&payment.body()).await;
            (answer.outcome(200)["success"] == true).then_some(())
        })
        .await;
        assert_eq!(world.proxy.transactions(), [tx]);
        assert_eq!(world.received().await, 10_000);
        books_agree(&world).await;
    })
    .await;
}

#[tokio::test]
async fn k18_killed_while_it_recovers_ten_times_in_a_row() {
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

/// The same of a payment whose bytes have left: the next start looks for it.
#[tokio::test]
async fn what_was_sent_is_followed_though_nobody_asks_again() {
    let payment = Payment::by(1);
    let mut world = killed_at(Stop::Chain(send, Fault::HoldAnswer), &payment.body()).await;
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
