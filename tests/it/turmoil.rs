//! Processes that come and go and lose their lanes while payments are under way at all of them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, interval_at};

use crate::chaos::{all_are_paid, crowd};
use crate::support::anvil::Mining;
use crate::support::counted::{counted, counted_at_once};
use crate::support::eventually;
use crate::support::facilitator::{Caller, Facilitator, Version};
use crate::support::http::Answer;
use crate::support::world::{Setup, World};

/// Gateways that ask at the same time.
pub(crate) const GATEWAYS: usize = 32;

/// A balancer that knows nothing but what it is told: each request goes to the next process in turn.
pub(crate) struct Balancer {
    processes: Vec<Caller>,
    turn: AtomicUsize,
    left_out: Mutex<HashSet<usize>>,
}

impl Balancer {
    pub(crate) fn before(processes: &[&mut Facilitator]) -> Arc<Self> {
        Arc::new(Self {
            processes: processes.iter().map(|it| it.caller()).collect(),
            turn: AtomicUsize::new(0),
            left_out: Mutex::default(),
        })
    }

    /// Nobody is sent to this process, by its place, until it is let in again.
    pub(crate) fn leave_out(&self, place: usize) {
        self.left_out.lock().unwrap().insert(place);
    }

    pub(crate) fn let_in(&self, place: usize) {
        self.left_out.lock().unwrap().remove(&place);
    }

    fn next(&self) -> &Caller {
        loop {
            let place = self.turn.fetch_add(1, Ordering::Relaxed) % self.processes.len();
            if !self.left_out.lock().unwrap().contains(&place) {
                return &self.processes[place];
            }
        }
    }

    /// Presents the payment until it is settled; every answer before that is an honest "not known yet".
    pub(crate) async fn settle_unrefused(&self, body: &Value) {
        eventually("the payment is settled", async || {
            let outcome = self.next().post("/settle", body).await.outcome(200);
            let is_settled = outcome["success"] == true;
            assert!(
                is_settled || outcome["errorReason"] == "settlement_pending",
                "{outcome}"
            );
            is_settled.then_some(())
        })
        .await;
    }

    async fn try_settle(&self, body: &Value) -> Option<Answer> {
        self.next().try_post("/settle", body).await
    }

    /// Presents the payment until its fate is known, whoever is there to say so.
    async fn settle(&self, body: &Value) {
        eventually("the payment is known", async || {
            let answer = self.try_settle(body).await.filter(|answer| answer.status == 200)?;
            (answer.json()["errorReason"] != "settlement_pending").then_some(())
        })
        .await;
    }
}

/// A world with many signers, two more processes, and a block each second.
pub(crate) async fn crowded() -> (World, [Facilitator; 2]) {
    crowded_with(&Version::this()).await
}

/// The same with processes of this version.
pub(crate) async fn crowded_with(version: &Version) -> (World, [Facilitator; 2]) {
    let mut world = World::prepare(Setup {
        mining: Mining::EverySecond,
        wait_seconds: 3,
        signers: 8,
        ..Setup::default()
    })
    .await;
    world.facilitator.becomes(version);
    world.facilitator.start().await;
    let others = [world.replica().await, world.replica().await];
    (world, others)
}

#[tokio::test]
async fn x11_payments_by_eight_signers_at_three_processes_of_which_one_is_killed_every_five_seconds() {
    const KILLED_EVERY: Duration = Duration::from_secs(5);
    counted_at_once("X11", 400, async |payments| {
        let (mut world, [mut second, mut third]) = crowded().await;
        let bodies = crowd(payments);
        let mut processes = [&mut world.facilitator, &mut second, &mut third];
        let balancer = Balancer::before(&processes);
        let gateways = join_all(bodies.chunks(payments.div_ceil(GATEWAYS)).map(async |share| {
            for body in share {
                balancer.settle(body).await;
            }
        }));
        let mut kills = 0;
        let killing = async {
            let mut time = interval_at(Instant::now() + KILLED_EVERY, KILLED_EVERY);
            loop {
                time.tick().await;
                let process = &mut *processes[kills % 3];
                process.kill();
                kills += 1;
                process.start_with(&[]).await;
            }
        };
        tokio::select! {
            _ = gateways => {}
            () = killing => {}
        }
        assert!(kills > 1, "{kills} killed: all was over too early to say anything");
        println!("{payments} payments, {kills} processes killed");
        // It may have been on its way up again when the last payment was known.
        if !world.facilitator.is_running() {
            world.facilitator.start_with(&[]).await;
        }
        all_are_paid(&world, &bodies).await;
        let signed: i64 = world.db.one("select count(distinct signer) from slots").await;
        assert_eq!(signed, 8, "signers that took part");
    })
    .await;
}

/// Every second all leases end early, so that every lane changes hands, and the process whose turn it is stands still
/// until the next time: it wakes up in the midst of what it was doing, with its lanes gone.
#[tokio::test]
async fn x12_lanes_change_hands_every_second_with_payments_under_way() {
    const FLAPS: usize = 10;
    const EVERY: Duration = Duration::from_secs(1);
    counted("X12", 1, FLAPS, async |_| {
        let (mut world, [mut second, mut third]) = crowded().await;
        let bodies = crowd(24 * FLAPS);
        let processes = [&mut world.facilitator, &mut second, &mut third];
        let balancer = Balancer::before(&processes);
        let mut drivers: HashSet<String> = HashSet::new();
        let mut time = interval_at(Instant::now() + EVERY, EVERY);
        for (flap, part) in bodies.chunks(24).enumerate() {
            for body in part {
                let (balancer, body) = (Arc::clone(&balancer), body.clone());
                tokio::spawn(async move { balancer.try_settle(&body).await });
            }
            let fences: i64 = world.db.one("select sum(fence)::bigint from lanes").await;
            processes[flap % 3].pause();
            // A lane that is being handed over has no holder.
            let ended =
                "with ended as (update lanes set lease_until = now() where lease_holder is not null returning 1)
                select count(*) from ended";
            assert!(world.db.one::<i64>(ended).await > 0);
            eventually("the lanes are taken anew", async || {
                let now: i64 = world.db.one("select sum(fence)::bigint from lanes").await;
                (now > fences).then_some(())
            })
            .await;
            let who = "select string_agg(lease_holder::text, ' ' order by signer) from lanes";
            drivers.insert(world.db.one(who).await);
            time.tick().await;
            processes[flap % 3].resume();
        }
        assert!(drivers.len() > 1, "the lanes stayed with {drivers:?}");
        all_are_paid(&world, &bodies).await;
    })
    .await;
}
