//! Deployments that roll: one process after another is replaced under load, by itself or by another version, and nobody who
//! asks is refused.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::Value;

use crate::chaos::all_are_paid;
use crate::support::facilitator::{Facilitator, Version};
use crate::support::payer::Payment;
use crate::turmoil::{Balancer, GATEWAYS, crowded, crowded_with};

/// Settles one payment after the other at each gateway for as long as `during` lasts, insisting that none is refused, and
/// gives them all.
async fn settling_during(balancer: &Balancer, during: impl Future<Output = ()>) -> Vec<Value> {
    let is_over = AtomicBool::new(false);
    let gateways = join_all((0..GATEWAYS).map(async |gateway| {
        let mut settled = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let body = Payment::by(1 + gateway % 6).body();
            balancer.settle_unrefused(&body).await;
            settled.push(body);
        }
        settled
    }));
    let during = async {
        during.await;
        is_over.store(true, Ordering::Relaxed);
    };
    let (settled, ()) = tokio::join!(gateways, during);
    settled.concat()
}

/// As an orchestrator does it: out of the rotation, told to stop, started again, and into the rotation once it is ready.
async fn replace(balancer: &Balancer, place: usize, process: &mut Facilitator, version: &Version) {
    balancer.leave_out(place);
    // Whoever was about to ask it has asked by now.
    process.get("/health/ready").await;
    process.terminate();
    assert!(process.ended().await.success());
    process.becomes(version);
    process.start_with(&[]).await;
    balancer.let_in(place);
}

#[tokio::test]
async fn a_rolling_restart_under_load_refuses_nobody() {
    let (mut world, [mut second, mut third]) = crowded().await;
    let processes = [&mut world.facilitator, &mut second, &mut third];
    let balancer = Balancer::before(&processes);
    let bodies = settling_during(&balancer, async {
        for (place, process) in processes.into_iter().enumerate() {
            replace(&balancer, place, process, &Version::this()).await;
        }
    })
    .await;
    all_are_paid(&world, &bodies).await;
}

/// The schema changes while the version before it is under load; both settle side by side, and can follow one another in
/// either order.
#[tokio::test]
async fn k21_the_version_before_and_this_one_run_together_while_the_schema_changes() {
    let Some(before) = Version::before() else {
        return;
    };
    let this = Version::this();
    let (mut world, [mut second, mut third]) = crowded_with(&before).await;
    let known_before = world.db.count("_sqlx_migrations").await;
    let newer = Facilitator::new(world.facilitator.config.clone());
    let processes = [&mut world.facilitator, &mut second, &mut third];
    let balancer = Balancer::before(&processes);
    let bodies = settling_during(&balancer, async {
        let (status, said) = newer.run("migrate", &[]).await;
        assert!(status.success(), "{said}");
        // And one of them back, on the newer schema.
        for (place, version) in [(1, &this), (2, &this), (0, &this), (1, &before)] {
            replace(&balancer, place, processes[place], version).await;
        }
    })
    .await;
    assert!(
        world.db.count("_sqlx_migrations").await > known_before,
        "nothing was migrated"
    );
    all_are_paid(&world, &bodies).await;
    for process in [&world.facilitator, &second] {
        let (status, report) = process.run("report", &[]).await;
        assert!(status.success(), "{report}");
        assert_eq!(report.lines().count(), 1 + bodies.len(), "rows that can be read");
    }
}
