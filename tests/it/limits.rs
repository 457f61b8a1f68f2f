//! Nobody asks too often, whatever it says of itself, and nobody waits for another's crowd.

use facilitator::domain::amount::Amount;
use facilitator::domain::budget::Limits;
use facilitator::domain::tenant::{Access, GatewayKey, KeyId, Restrictions, Scope, TenantId};
use facilitator::store::{Deed, NewKey, Settings, Store};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::eventually;
use crate::support::facilitator::Facilitator;
use crate::support::http::Answer;
use crate::support::payer::{NETWORK, Payment};
use crate::support::world::{Setup, World};

/// A world with these rates, configured as operators write them.
async fn limited(rates: &str) -> World {
    let mut world = World::prepare(Setup::default()).await;
    world.facilitator.config.more = format!("[rates]\n{rates}");
    world.facilitator.start().await;
    world
}

/// Asks for what anybody may have, as a client of whom proxies say this.
async fn asked(world: &World, forwarded_for: &[&str]) -> Answer {
    let headers = match forwarded_for {
        [] => Vec::new(),
        heard => vec![("x-forwarded-for", heard.join(", "))],
    };
    world.facilitator.caller().get_with("/supported", &headers).await
}

/// That the answer says that there were too many, and how many there may be; when to ask again.
#[track_caller]
fn refused(answer: &Answer, gate: &str, burst: u32, window: u64) -> u64 {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    let policy = format!("\"{gate}\";q={burst};w={window}");
    assert_eq!(answer.header("ratelimit-policy"), Some(&*policy));
    assert_eq!(
        answer.header("ratelimit"),
        Some(&*format!("\"{gate}\";r=0;t={seconds}"))
    );
    seconds
}

#[tokio::test]
async fn s07_whatever_a_client_says_of_its_address_changes_nothing() {
    let world = limited("address = { per_minute = 1, burst = 4 }").await;
    for at in 0..4 {
        assert_eq!(asked(&world, &[&format!("192.0.2.{at}")]).await.status, 200);
    }
    for spoofed in [
        &[][..],
        &["192.0.2.9"],
        &["192.0.2.9", "192.0.2.10"],
        &["127.0.0.1"],
        &["x"],
    ] {
        let seconds = refused(&asked(&world, spoofed).await, "address", 4, 240);
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    // Operators who look how it goes are heard all the same.
    assert_eq!(world.facilitator.get("/health/ready").await.status, 200);
    assert_eq!(world.facilitator.get("/version").await.status, 200);
    let metrics = world.facilitator.metrics().await;
    assert!(
        metrics.contains("facilitator_rate_limited_total{gate=\"address\"} 5"),
        "{metrics}"
    );
}

#[tokio::test]
async fn s07_behind_a_proxy_only_what_the_proxy_adds_says_who_asks() {
    let world = limited("address = { per_minute = 1, burst = 2 }\ntrusted_hops = 1").await;
    for spoofed in ["198.51.100.1", "198.51.100.2"] {
        assert_eq!(asked(&world, &[spoofed, "192.0.2.1"]).await.status, 200);
    }
    for spoofed in ["198.51.100.3", "192.0.2.2", "unknown"] {
        refused(&asked(&world, &[spoofed, "192.0.2.1"]).await, "address", 2, 120);
    }
    assert_eq!(
        asked(&world, &["192.0.2.1", "192.0.2.2"]).await.status,
        200,
        "another client"
    );
    // An IPv6 client is all that its site may call itself.
    for host in ["1", "2"] {
        assert_eq!(asked(&world, &[&format!("2001:db8:0:1::{host}")]).await.status, 200);
    }
    refused(&asked(&world, &["2001:db8:0:1:a:b:c:d"]).await, "address", 2, 120);
    assert_eq!(asked(&world, &["2001:db8:0:2::1"]).await.status, 200);
}

#[tokio::test]
async fn who_asks_too_often_is_told_so_in_the_shape_of_each_endpoint() {
    let world = limited("payer = { per_minute = 12, burst = 2 }").await;
    let payment = Payment::by(1);
    let body = payment.body();
    world.facilitator.verify(&body).await.valid();
    world.facilitator.settle(&body).await.settled();
    let verdict = world.facilitator.verify(&body).await;
    assert!((1..=5).contains(&refused(&verdict, "payer", 2, 10)));
    let said = verdict.verdict(429);
    assert_eq!(
        (&said["isValid"], &said["invalidReason"]),
        (&false.into(), &"rate_limited".into())
    );
    let outcome = world.facilitator.settle(&Payment::by(1).body()).await;
    let seconds = refused(&outcome, "payer", 2, 10);
    let said = outcome.outcome(429);
    assert_eq!(
        (&said["success"], &said["errorReason"]),
        (&false.into(), &"rate_limited".into())
    );
    assert_eq!(
        (&said["transaction"], &said["network"]),
        (&"".into(), &"eip155:84532".into())
    );
    let message = said["errorMessage"].as_str().unwrap();
    assert!(
        message.starts_with("rate_limited (payer): at most 12 requests a minute and 2 at once"),
        "{message}"
    );
    // Others pay, and so may this one, in a while.
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    assert_eq!(world.db.count("payments").await, 3);
}

#[tokio::test]
async fn rates_that_cannot_be_meant_are_refused_before_anything_is_served() {
    for (rates, complaint) in [
        ("address = { per_minute = 0, burst = 1 }", "rates.address.per_minute"),
        ("address = { per_minute = 1 }", "rates.address"),
        ("adress = { per_minute = 1, burst = 1 }", "adress"),
        ("key = { per_minute = 1, burst = 1, day = 1 }", "day"),
        ("trusted_hops = -1", "rates.trusted_hops"),
    ] {
        let mut world = World::prepare(Setup::default()).await;
        world.facilitator.config.more = format!("[rates]\n{rates}");
        let (status, said) = world.facilitator.run("serve", &[]).await;
        assert!(!status.success() && said.contains(complaint), "{rates}: {said}");
    }
}

/// What keys are hashed with in these worlds.
const PEPPER: &str = "7e57ed7e57ed7e57ed7e57ed7e57ed7e57ed7e57ed7e57ed7e57ed7e57ed7e57";

/// A tenant with a gateway.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) key: KeyId,
    pub(crate) bearer: String,
}

pub(crate) fn deed() -> Deed {
    Deed {
        by: "a test".into(),
        because: "it wants to know".into(),
    }
}

/// A world with tenants, as operators make them.
pub(crate) async fn shared(setup: Setup, more: &str, names: &[&str]) -> (World, Store, Vec<Tenant>) {
    let mut world = World::prepare(setup).await;
    world.facilitator.config.more = format!("[tenants]\npepper = \"{PEPPER}\"\n{more}");
    world.facilitator.start().await;
    let store = Store::connect(&Settings {
        url: world.db.url.clone(),
        connections_max: 2,
    })
    .await
    .unwrap();
    let mut tenants = Vec::new();
    for (at, name) in names.iter().enumerate() {
        tenants.push(tenant(&store, name, u8::try_from(at).unwrap()).await);
    }
    (world, store, tenants)
}

async fn tenant(store: &Store, name: &str, secret: u8) -> Tenant {
    let id = store.tenant_add(name, &deed()).await.unwrap();
    let key = GatewayKey::new([secret; 32]);
    let new = NewKey {
        access: Access {
            tenant: id,
            merchant: None,
            key: key.id,
            scopes: Scope::ALL.to_vec(),
            restrictions: Restrictions::default(),
        },
        name: "gateway".into(),
        hash: key.hash(&serde_json::from_value(json!(PEPPER)).unwrap()),
    };
    store.key_add(&new, &deed()).await.unwrap();
    Tenant {
        id,
        key: key.id,
        bearer: format!("Bearer {}", *key.reveal()),
    }
}

impl Tenant {
    pub(crate) async fn settle(&self, at: &Facilitator, payment: &Payment) -> Answer {
        let headers = [("authorization", self.bearer.clone())];
        let body = payment.body().to_string().into();
        at.caller().post_bytes("/settle", &headers, body).await
    }
}

#[tokio::test]
async fn m01_a_tenants_budget_is_never_exceeded_by_a_hundred_at_once_at_two_processes() {
    let setup = Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    };
    let (world, store, tenants) = shared(setup, "", &["bounded", "free"]).await;
    let (bounded, free) = (&tenants[0], &tenants[1]);
    // A payment takes 0.047 at most, about.
    let day = Some(Amount::from_units(500_000_000_000_000_000));
    let (network, limits) = (NETWORK.parse().unwrap(), Limits { minute: None, day });
    store
        .tenant_budget_set(bounded.id, &network, None, &limits, &deed())
        .await
        .unwrap();
    let other = world.replica().await;
    let payments: Vec<Payment> = (0..100).map(|_| Payment::by(1)).collect();
    let both = [&world.facilitator, &other];
    let asked = payments.iter().zip(both.iter().cycle());
    let answers = join_all(asked.map(|(payment, at)| bounded.settle(at, payment))).await;
    let (refused, taken): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 429);
    assert_eq!((refused.len(), taken.len()), (90, 10));
    for answer in refused {
        let said = answer.outcome(429);
        assert_eq!(said["errorReason"], "budget_exhausted");
        let message = said["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("budget_exhausted (tenant)"), "{message}");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&seconds));
    }
    let held = "select max(taken)::text from budget_windows where scope = 'tenant'";
    let held: u128 = world.db.one::<String>(held).await.parse().unwrap();
    assert!(
        (470_000_000_000_000_000..=500_000_000_000_000_000).contains(&held),
        "{held}"
    );
    free.settle(&other, &Payment::by(2)).await.pending();
    assert_eq!(world.db.count("payments").await, 11);
    // What they really cost is much less, so there is room again.
    eventually("the worst cases are given back", async || {
        world.node.mine(1).await;
        let held: u128 = world
            .db
            .one::<String>("select max(taken)::text from budget_windows where scope = 'tenant'")
            .await
            .parse()
            .unwrap();
        (held < 47_000_000_000_000_000).then_some(())
    })
    .await;
    bounded.settle(&world.facilitator, &Payment::by(1)).await.pending();
    books_agree(&world).await;
}

#[tokio::test]
async fn a_tenants_flood_delays_another_by_one_turn() {
    const FLOOD: usize = 60;
    let setup = Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        network_key: "batch_max = 5\nin_flight_max = 1",
        ..Setup::default()
    };
    let (world, _, tenants) = shared(setup, "", &["many", "few"]).await;
    let (many, few) = (&tenants[0], &tenants[1]);
    let crowd: Vec<Payment> = (0..FLOOD).map(|at| Payment::by(1 + at % 5)).collect();
    for answer in join_all(crowd.iter().map(|it| many.settle(&world.facilitator, it))).await {
        answer.pending();
    }
    few.settle(&world.facilitator, &Payment::by(6)).await.pending();
    eventually("all are settled", async || {
        world.node.mine(1).await;
        (world.db.unpaid().await == 0).then_some(())
    })
    .await;
    let turn = async |tenant: &Tenant, which: &'static str| {
        let sql = format!(
            "select {which}(a.nonce) from settlement_attempts a join payments p on p.id = a.payment_id
             where p.tenant = '{}'",
            tenant.id.as_uuid()
        );
        world.db.one::<i64>(sql.leak()).await
    };
    let (first, last) = (turn(many, "min").await, turn(many, "max").await);
    assert!(last - first >= 10, "{first} to {last}");
    // One transaction was out when it came.
    assert_eq!(turn(few, "min").await, first + 1);
    books_agree(&world).await;
}

#[tokio::test]
async fn each_key_has_a_rate_of_its_own_and_payers_are_each_tenants_own() {
    let rates = "[rates]\nkey = { per_minute = 1, burst = 3 }\npayer = { per_minute = 1, burst = 2 }";
    let (world, _, tenants) = shared(Setup::default(), rates, &["one", "other"]).await;
    let asked = async |tenant: &Tenant| tenant.settle(&world.facilitator, &Payment::by(1)).await;
    asked(&tenants[0]).await.settled();
    asked(&tenants[0]).await.settled();
    refused(&asked(&tenants[0]).await, "payer", 2, 120);
    let refusal = asked(&tenants[0]).await;
    refused(&refusal, "key", 3, 180);
    assert_eq!(refusal.outcome(429)["network"], "unknown:unknown");
    asked(&tenants[1]).await.settled();
    // Nobody wears out another's key who does not have it.
    let headers = [("authorization", format!("Bearer {}", tenants[1].key))];
    for _ in 0..4 {
        let answer = world.facilitator.caller().get_with("/v1/settlements", &headers).await;
        assert_eq!(answer.status, 401);
    }
    asked(&tenants[1]).await.settled();
}
