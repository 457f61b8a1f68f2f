//! Hosted as operators are told to: three replicas behind nginx, two tenants, screening, a Prometheus that reads all three, and
//! a restart of each in turn under load. `./dev hosted` runs this alone and prints its figures.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;

use crate::observed::{Prometheus, dashboards};
use crate::screening::List;
use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::facilitator::Facilitator;
use crate::support::nginx::Nginx;
use crate::support::payer::Payment;
use crate::support::world::{Setup, World};
use crate::support::{eventually, offered};
use crate::tenants::{Gateway, tenant, with_keys};

/// Callers of each tenant that ask at the same time.
const CALLERS: usize = 8;

/// Who may pay nobody.
const LISTED: usize = 6;

/// How long the restarts are waited for between one and the next, and before and after them.
const CALM: Duration = Duration::from_secs(3);

/// What a tenant's callers saw.
#[derive(Default)]
struct Seen {
    /// What was paid.
    bodies: Vec<Value>,
    /// How long each verdict and each settlement took, in milliseconds.
    verified: Vec<f64>,
    settled: Vec<f64>,
}

impl Seen {
    fn add(mut self, other: Self) -> Self {
        self.bodies.extend(other.bodies);
        self.verified.extend(other.verified);
        self.settled.extend(other.settled);
        self
    }
}

/// Verifies and settles one payment after the other until it is over. Nothing is refused; what is not known in time is asked
/// for again.
async fn pays(gateway: &Gateway, payer: usize, is_over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !is_over.load(Ordering::Relaxed) {
        let payment = Payment::by(payer);
        let body = payment.body();
        let began = Instant::now();
        gateway.post("/verify", &[], &body).await.valid();
        seen.verified.push(began.elapsed().as_secs_f64() * 1e3);
        let began = Instant::now();
        eventually("the payment is settled", async || {
            let outcome = gateway.post("/settle", &[], &body).await.outcome(200);
            let is_settled = outcome["success"] == true;
            assert!(
                is_settled || outcome["errorReason"] == "settlement_pending",
                "{outcome}"
            );
            is_settled.then_some(())
        })
        .await;
        seen.settled.push(began.elapsed().as_secs_f64() * 1e3);
        seen.bodies.push(body);
    }
    seen
}

/// Restarts each in turn, as a deployment does that tells nobody: nginx finds out by itself.
async fn restarted(processes: [&mut Facilitator; 3]) {
    tokio::time::sleep(CALM).await;
    for process in processes {
        let began = Instant::now();
        process.terminate();
        assert!(process.ended().await.success());
        process.start_with(&[]).await;
        println!("a replica was restarted in {:.1} s", began.elapsed().as_secs_f64());
        tokio::time::sleep(CALM).await;
    }
}

fn figures(what: &str, took_ms: &mut [f64]) {
    took_ms.sort_by(f64::total_cmp);
    let at = |hundredths: usize| took_ms[(took_ms.len() - 1) * hundredths / 100];
    println!(
        "{what}: {} answers, p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        took_ms.len(),
        at(50),
        at(99),
        at(100)
    );
}

#[tokio::test]
async fn three_replicas_behind_nginx_restart_in_turn_under_the_load_of_two_tenants_and_refuse_nobody() {
    let list = List::of(&format!("deny {} # case 9\n", addresses().accounts[LISTED].address));
    let mut world = World::prepare(Setup {
        mining: Mining::EverySecond,
        epoch: Some(1),
        signers: 4,
        ..Setup::default()
    })
    .await;
    with_keys(&mut world);
    world.facilitator.config.more += &list.table();
    world.facilitator.start().await;
    let [mut second, mut third] = [world.replica().await, world.replica().await];
    let configs = [&world.facilitator.config, &second.config, &third.config];
    let (ports, watched) = (configs.map(|it| it.port), configs.map(|it| it.metrics_port));
    let Some(nginx) = Nginx::before(ports).await else {
        return;
    };
    let prometheus = offered("FACILITATOR_PROMETHEUS", "Prometheus")
        .map(|programs| Prometheus::start(Path::new(&programs), &watched));
    let through = world.facilitator.caller().by(nginx.port);
    let mut tenants = Vec::new();
    for name in ["acme", "birch"] {
        let (_, gateway) = tenant(&world, name).await;
        tenants.push(gateway.by(&through));
    }
    let refused = tenants[0].post("/verify", &[], &Payment::by(LISTED).body()).await;
    assert_eq!(refused.invalid(), "payment_rejected");

    let is_over = AtomicBool::new(false);
    let began = Instant::now();
    let load = join_all(tenants.iter().enumerate().map(async |(number, gateway)| {
        let callers = (0..CALLERS).map(|caller| pays(gateway, 1 + (2 * caller + number) % 5, &is_over));
        join_all(callers).await.into_iter().fold(Seen::default(), Seen::add)
    }));
    let restarts = async {
        restarted([&mut world.facilitator, &mut second, &mut third]).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let (seen, ()) = tokio::join!(load, restarts);
    println!(
        "{:.1} s of load by {} callers, 3 restarts, no answer refused",
        began.elapsed().as_secs_f64(),
        2 * CALLERS
    );

    // Each sees its own and nothing else.
    for (gateway, seen) in tenants.iter().zip(&seen) {
        let mut counted = 0;
        let mut path = "/v1/settlements?limit=1000".to_owned();
        loop {
            let page = gateway.get(&path).await.json();
            counted += page["settlements"].as_array().unwrap().len();
            let Some(next) = page["nextCursor"].as_str() else { break };
            path = format!("/v1/settlements?limit=1000&cursor={next}");
        }
        assert_eq!(counted, seen.bodies.len());
    }
    if let Some(prometheus) = prometheus {
        let up = "count(up == 1) == 3";
        eventually("all three are seen", async || {
            prometheus.query(up).await.filter(|it| it.len() == 1)
        })
        .await;
        let dashboards = dashboards();
        for expr in &dashboards {
            assert!(prometheus.query(expr).await.is_some(), "{expr}");
        }
        println!("{} questions of the dashboards are answered", dashboards.len());
    }
    let mut all = seen.into_iter().fold(Seen::default(), Seen::add);
    figures("/verify", &mut all.verified);
    figures("/settle, blocks of a second", &mut all.settled);
    let paid = all.bodies.len();
    assert_eq!(world.db.count("payments").await, i64::try_from(paid).unwrap());
    assert_eq!(world.received().await, 10_000 * paid as u128);
    books_agree(&world).await;
}
