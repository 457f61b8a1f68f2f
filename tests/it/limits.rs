//! Nobody asks too often, whatever it says of itself, and nobody waits for another's crowd.

use crate::support::http::Answer;
use crate::support::payer::Payment;
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
