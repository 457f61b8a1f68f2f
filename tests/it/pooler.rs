//! Behind a pooler in transaction mode no two transactions of a process need have the same session: nothing is lost by
//! that, and what would be is refused before anything is served.

use std::time::Duration;

use crate::chaos::{all_are_paid, crowd, send_all};
use crate::crash::{Stop, survives_in};
use crate::support::anvil::Mining;
use crate::support::database::Obstacle;
use crate::support::gate::Loss;
use crate::support::pooler::{Care, Pooler};
use crate::support::proxy::{Fault, receipt, send};
use crate::support::world::{Setup, World};
use crate::{chaos, load, lost};

fn pooled() -> Setup {
    Setup {
        pooler: Some(Care::DUE),
        ..Setup::default()
    }
}

fn pooled_with_blocks_every_second() -> Setup {
    Setup {
        mining: Mining::EverySecond,
        wait_seconds: 3,
        ..pooled()
    }
}

#[tokio::test]
async fn behind_a_pooler_three_processes_settle_what_all_are_asked_at_once() {
    if !Pooler::is_there() {
        return;
    }
    let world = World::start(pooled()).await;
    let others = [world.replica().await, world.replica().await];
    load::many_copies_buy_once(&world, &others, 25, 20).await;
}

#[tokio::test]
async fn behind_a_pooler_a_process_may_be_killed_at_any_step() {
    if !Pooler::is_there() {
        return;
    }
    for stop in [
        Stop::Database(Obstacle::WritesTo("payments")),
        Stop::DatabaseGoesOn(Obstacle::WritesTo("payments")),
        Stop::Database(Obstacle::WritesTo("slots")),
        Stop::DatabaseGoesOn(Obstacle::WritesTo("slots")),
        Stop::Chain(send, Fault::HoldRequest),
        Stop::Chain(receipt, Fault::HoldAnswer),
        Stop::Database(Obstacle::WritesTo("evidence")),
        Stop::DatabaseGoesOn(Obstacle::WritesTo("evidence")),
        Stop::Database(Obstacle::Grant),
        Stop::DatabaseGoesOn(Obstacle::Grant),
    ] {
        survives_in(World::start(pooled()).await, stop).await;
    }
}

#[tokio::test]
async fn behind_a_pooler_a_process_may_be_killed_again_and_again_under_load() {
    if !Pooler::is_there() {
        return;
    }
    let mut world = World::start(pooled_with_blocks_every_second()).await;
    let bodies = crowd(48);
    for (round, part) in bodies.chunks(6).enumerate() {
        send_all(&world, part);
        tokio::time::sleep(Duration::from_millis(170 * round as u64)).await;
        world.facilitator.kill();
        world.facilitator.start_with(&[]).await;
    }
    all_are_paid(&world, &bodies).await;
}

#[tokio::test]
async fn behind_a_pooler_the_database_may_throw_everybody_out() {
    if !Pooler::is_there() {
        return;
    }
    chaos::thrown_out_under_load(World::start(pooled_with_blocks_every_second()).await).await;
}

#[tokio::test]
async fn behind_a_pooler_answers_of_the_database_may_be_lost() {
    if !Pooler::is_there() {
        return;
    }
    for statement in ["insert into chain_transactions", "insert into evidence"] {
        let setup = Setup {
            wait_seconds: 3,
            ..pooled()
        };
        lost::survives_in(World::start(setup).await, |_| Loss::Commit(statement)).await;
    }
}

/// Without its prepared statements, one process's could run under the name of another's; without its limits, whoever
/// stops in the middle keeps a lane from all others.
#[tokio::test]
async fn a_pooler_that_takes_away_what_a_session_needs_is_refused_by_name() {
    if !Pooler::is_there() {
        return;
    }
    let without_limits = Care {
        limits: false,
        ..Care::DUE
    };
    let without_statements = Care {
        statements: false,
        ..Care::DUE
    };
    for (care, named) in [
        (without_limits, "idle_in_transaction_session_timeout"),
        (without_statements, "max_prepared_statements"),
    ] {
        let world = World::prepare(Setup {
            pooler: Some(care),
            ..Setup::default()
        })
        .await;
        for subcommand in ["serve", "doctor", "migrate"] {
            let (status, said) = world.facilitator.run(subcommand, &[]).await;
            assert!(!status.success() && said.contains(named), "{subcommand}: {said}");
        }
    }
}
