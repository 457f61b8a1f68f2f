//! Whoever asked for it is told of everything that happens, at least once, whoever fails.

use std::collections::BTreeSet;
use std::process::ExitStatus;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::Value;

use crate::clients::run_script;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::receiver::{Arrival, Manner, Receiver};
use crate::support::world::{Setup, World};

const PAID: [&str; 3] = ["payment.reserved", "payment.signed", "payment.confirmed"];

/// A world that signs, and tells addresses that are not public.
async fn telling() -> World {
    let mut world = World::prepare(Setup::default()).await;
    world.facilitator.config.tells_private = Some(true);
    world.facilitator.start().await;
    world
}

/// What the command does and prints; what changes an endpoint, it does for Ada.
async fn ran(world: &World, arguments: &[&str]) -> (ExitStatus, String) {
    let changes = ["add", "rotate", "enable", "disable", "remove"].contains(&arguments[0]);
    let why: &[&str] = if changes {
        &["--by", "ada", "--because", "a test"]
    } else {
        &[]
    };
    let arguments = [&["webhooks"], arguments, why].concat();
    world.facilitator.run("admin", &arguments).await
}

/// What the command prints, line by line.
pub(crate) async fn webhook(world: &World, arguments: &[&str]) -> Vec<String> {
    let (status, said) = ran(world, arguments).await;
    assert!(status.success(), "{arguments:?}: {said}");
    said.lines().map(str::to_owned).collect()
}

/// An endpoint, its secret and its public key.
struct Told {
    id: String,
    keys: (String, String),
}

fn keys(line: &str) -> (String, String) {
    let (secret, public) = line.split_once(' ').unwrap();
    (secret.to_owned(), public.to_owned())
}

async fn add(world: &World, receiver: &Receiver, types: &[&str]) -> Told {
    let types = types.join(",");
    let mut arguments = vec!["add", "--url", &receiver.url];
    if !types.is_empty() {
        arguments.extend(["--types", &types]);
    }
    let said = webhook(world, &arguments).await;
    Told {
        id: said[0].clone(),
        keys: keys(&said[1]),
    }
}

async fn pay(world: &World, payer: usize) {
    world.facilitator.settle(&Payment::by(payer).body()).await.settled();
}

/// Whether one of the signatures is by this key.
fn is_signed(arrival: &Arrival, public: &str) -> bool {
    let key = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
    let key = VerifyingKey::from_bytes(&key.try_into().unwrap()).unwrap();
    let signed = format!(
        "{}.{}.{}",
        arrival.id(),
        arrival.header("webhook-timestamp"),
        arrival.body
    );
    let signatures = arrival.header("webhook-signature").split(' ');
    let mut ours = signatures.filter_map(|it| it.strip_prefix("v1a,"));
    ours.any(|it| {
        let signature = Signature::from_slice(&STANDARD.decode(it).unwrap()).unwrap();
        key.verify_strict(signed.as_bytes(), &signature).is_ok()
    })
}

/// What the official library makes of it.
async fn verified(arrival: &Arrival, secret: &str) -> Value {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names
        .map(|name| (name.to_owned(), Value::from(arrival.header(name))))
        .into_iter()
        .collect();
    let settings = [
        ("SECRET", secret.to_owned()),
        ("HEADERS", headers.to_string()),
        ("BODY", arrival.body.clone()),
    ];
    run_script("webhook.mjs", &settings).await["event"].clone()
}

/// Has what failed tried again now.
async fn hurry(world: &World) {
    sqlx::query(
        "update webhook_deliveries set due_at = now() where state = 'pending' and due_at < now() + interval '5 hours'",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
}

async fn all_delivered(world: &World, count: i64) {
    eventually("all is delivered", async || {
        let done = world.db.count("webhook_deliveries where state = 'delivered'").await;
        (done == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_has_the_feeds_bytes_in_order_signed_both_ways() {
    let world = telling().await;
    let (all, some) = (
        Receiver::start(Manner::Status(204)).await,
        Receiver::start(Manner::Status(200)).await,
    );
    let told = add(&world, &all, &[]).await;
    add(&world, &some, &["payment.confirmed", "payment.failed"]).await;
    pay(&world, 1).await;
    let arrivals = all.met(3).await;
    all_delivered(&world, 4).await;
    assert_eq!(all.kinds(), PAID);
    assert_eq!(some.kinds(), ["payment.confirmed"]);
    let feed = world.facilitator.get("/v1/events").await.text();
    for arrival in &arrivals {
        assert!(feed.contains(&arrival.body), "{feed}");
        assert_eq!(arrival.event()["id"], arrival.id());
        assert_eq!(arrival.header("content-type"), "application/json");
        assert!(is_signed(arrival, &told.keys.1));
    }
    assert_eq!(verified(&arrivals[2], &told.keys.0).await, arrivals[2].event());
    let (secrets, logs) = ([&told.keys.0["whsec_".len()..], "canary"], world.facilitator.logs());
    assert!(secrets.iter().all(|it| !logs.contains(it)), "{logs}");
}

#[tokio::test]
async fn what_fails_comes_again_under_its_id_and_holds_back_only_its_payment() {
    let world = telling().await;
    let receiver = Receiver::start(Manner::Refuse("payment.signed")).await;
    add(&world, &receiver, &[]).await;
    pay(&world, 1).await;
    pay(&world, 2).await;
    // Of each payment the second event is refused, and the third waits.
    eventually("both are tried again", async || {
        hurry(&world).await;
        let kinds = receiver.kinds();
        let refused = kinds.iter().filter(|it| *it == "payment.signed").count();
        (refused >= 4).then_some(())
    })
    .await;
    assert!(!receiver.kinds().contains(&"payment.confirmed".to_owned()));
    receiver.behave(Manner::Status(200));
    eventually("all is delivered", async || {
        hurry(&world).await;
        (world.db.count("webhook_deliveries where state = 'delivered'").await == 6).then_some(())
    })
    .await;
    let arrivals = receiver.arrivals();
    let ids: BTreeSet<&str> = arrivals.iter().map(Arrival::id).collect();
    assert_eq!(ids.len(), 6, "the same id each time");
    for payment in arrivals
        .iter()
        .map(|it| it.event()["payment"].clone())
        .collect::<Vec<_>>()
    {
        let of_payment = arrivals
            .iter()
            .map(Arrival::event)
            .filter(|it| it["payment"] == payment);
        let versions: Vec<i64> = of_payment.map(|it| it["version"].as_i64().unwrap()).collect();
        assert!(versions.is_sorted(), "{versions:?}");
    }
}

#[tokio::test]
async fn s04_an_endpoint_that_hangs_fails_or_floods_harms_nobody_else() {
    let world = telling().await;
    let manners = [Manner::Hang, Manner::Status(500), Manner::Flood, Manner::Later(86_400)];
    let mut bad = Vec::new();
    for manner in manners {
        let receiver = Receiver::start(manner).await;
        add(&world, &receiver, &[]).await;
        bad.push(receiver);
    }
    let good = Receiver::start(Manner::Status(200)).await;
    add(&world, &good, &[]).await;
    for payer in [1, 2, 3] {
        pay(&world, payer).await;
    }
    good.met(9).await;
    for receiver in &bad {
        receiver.met(1).await;
    }
    // The flood says that it took it, and is cut off; what asked for a day gets the most that is given: 4 hours.
    bad[2].met(9).await;
    eventually("a pause is kept", async || {
        let kept = "webhook_deliveries where outcome = 'HTTP 503' and due_at between now() + interval '3 hours'
            and now() + interval '4 hours'";
        (world.db.count(kept).await >= 3).then_some(())
    })
    .await;
    assert!(world.facilitator.resident() < 200 * 1024 * 1024);
}

#[tokio::test]
async fn a_pause_until_a_date_is_kept() {
    let world = telling().await;
    let then = chrono::DateTime::from_timestamp((crate::support::now() + 7200).try_into().unwrap(), 0).unwrap();
    let date = then.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let receiver = Receiver::start(Manner::After(date)).await;
    add(&world, &receiver, &["payment.reserved"]).await;
    pay(&world, 1).await;
    eventually("the pause is kept", async || {
        let kept = "webhook_deliveries where outcome = 'HTTP 503' and due_at between now() + interval '110 minutes'
            and now() + interval '125 minutes'";
        (world.db.count(kept).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn s03_a_redirect_is_not_followed_and_a_private_address_not_connected_to() {
    let mut world = telling().await;
    let secret = Receiver::start(Manner::Status(200)).await;
    let receiver = Receiver::start(Manner::Redirect(secret.url.clone())).await;
    add(&world, &receiver, &[]).await;
    pay(&world, 1).await;
    receiver.met(1).await;
    eventually("the redirect is a failure", async || {
        (world.db.count("webhook_deliveries where outcome = 'HTTP 307'").await >= 1).then_some(())
    })
    .await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    // Where private addresses are not allowed, they are refused when they are added, and when they are sent to.
    world.facilitator.config.tells_private = Some(false);
    let name = format!("https://localhost:{}/", secret.url.split([':', '/']).nth(4).unwrap());
    for url in [
        &receiver.url,
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "https://2130706433/",
    ] {
        let (status, said) = ran(&world, &["add", "--url", url]).await;
        assert!(!status.success() && said.contains("--url: expected"), "{said}");
    }
    let named = webhook(&world, &["add", "--url", &name]).await;
    world.facilitator.start().await;
    let arrived = receiver.arrivals().len();
    hurry(&world).await;
    pay(&world, 2).await;
    eventually("both are refused", async || {
        (world
            .db
            .count("webhook_deliveries where outcome = 'not a public address'")
            .await
            >= 2)
            .then_some(())
    })
    .await;
    let (status, said) = ran(&world, &["test", &named[0]]).await;
    assert!(!status.success() && said.contains("not a public address"), "{said}");
    assert_eq!((receiver.arrivals().len(), secret.arrivals().len()), (arrived, 0));
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_told_no_more_and_one_that_is_back_misses_nothing() {
    let world = telling().await;
    let (gone, watcher) = (
        Receiver::start(Manner::Status(410)).await,
        Receiver::start(Manner::Status(200)).await,
    );
    let told = add(&world, &gone, &[]).await;
    add(&world, &watcher, &["webhook.disabled"]).await;
    pay(&world, 1).await;
    let notice = watcher.met(1).await[0].event();
    assert_eq!(notice["data"]["endpoint"], told.id);
    let listed = webhook(&world, &["list"]).await;
    assert!(
        listed.iter().any(|it| it.contains(&told.id) && it.contains("gone")),
        "{listed:?}"
    );
    let before = gone.arrivals().len();
    pay(&world, 2).await;
    all_delivered(&world, 1).await;
    assert_eq!(gone.arrivals().len(), before);
    gone.behave(Manner::Status(200));
    webhook(&world, &["enable", &told.id]).await;
    eventually("nothing is missed", async || {
        hurry(&world).await;
        let ids: BTreeSet<String> = gone.arrivals().iter().map(|it| it.id().to_owned()).collect();
        (ids.len() == 7).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_has_failed_for_days_is_disabled_and_old_events_are_given_up() {
    let world = telling().await;
    let receiver = Receiver::start(Manner::Status(500)).await;
    let told = add(&world, &receiver, &["payment.reserved"]).await;
    pay(&world, 1).await;
    receiver.met(1).await;
    let age = |sql: &'static str| sqlx::query(sql).execute(&world.db.pool);
    age("update webhook_deliveries set created_at = now() - interval '73 hours'")
        .await
        .unwrap();
    eventually("it is given up", async || {
        hurry(&world).await;
        (world.db.count("webhook_deliveries where state = 'given_up'").await == 1).then_some(())
    })
    .await;
    assert_eq!(webhook(&world, &["replay", &told.id, "--given-up"]).await, ["1"]);
    eventually("it fails again", async || {
        hurry(&world).await;
        age(
            "update webhook_endpoints set failing_since = now() - interval '121 hours' where failing_since is not null",
        )
        .await
        .unwrap();
        (world.db.count("webhook_endpoints where disabled_at is not null").await == 1).then_some(())
    })
    .await;
    assert_eq!(world.db.count("notices where kind = 'webhook.disabled'").await, 1);
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_until_the_old_one_ends() {
    let world = telling().await;
    let receiver = Receiver::start(Manner::Status(200)).await;
    let told = add(&world, &receiver, &["payment.confirmed"]).await;
    let shown = webhook(&world, &["rotate", &told.id]).await;
    let (new, old) = (keys(&shown[0]), keys(&shown[1]));
    assert_eq!(old, told.keys);
    pay(&world, 1).await;
    let arrival = receiver.met(1).await.remove(0);
    for (secret, public) in [&new, &old] {
        assert!(is_signed(&arrival, public));
        assert_eq!(verified(&arrival, secret).await, arrival.event());
    }
    assert_eq!(
        webhook(&world, &["rotate", &told.id, "--overlap-hours", "0"])
            .await
            .len(),
        1
    );
    webhook(&world, &["test", &told.id]).await;
    let test = receiver.met(2).await.remove(1);
    assert_eq!(test.kind(), "webhook.test");
    assert!(!is_signed(&test, &new.1) && !is_signed(&test, &old.1));
}

#[tokio::test]
async fn what_was_delivered_is_delivered_again_when_it_is_asked_for() {
    let world = telling().await;
    let receiver = Receiver::start(Manner::Status(200)).await;
    let told = add(&world, &receiver, &[]).await;
    pay(&world, 1).await;
    let first = receiver.met(3).await;
    all_delivered(&world, 3).await;
    webhook(&world, &["replay", &told.id, "--event", first[1].id()]).await;
    let again = receiver.met(4).await.remove(3);
    assert_eq!((again.id(), &again.body), (first[1].id(), &first[1].body));
    all_delivered(&world, 3).await;
    webhook(&world, &["replay", &told.id, "--after", &"0".repeat(34)]).await;
    let all = receiver.met(7).await;
    let ids: BTreeSet<&str> = all[4..].iter().map(Arrival::id).collect();
    assert_eq!(ids, first.iter().map(Arrival::id).collect());
    all_delivered(&world, 3).await;
    let listed = webhook(&world, &["deliveries", &told.id]).await;
    assert_eq!(
        listed.iter().filter(|it| it.contains("delivered,1,HTTP 200")).count(),
        3,
        "{listed:?}"
    );
    webhook(&world, &["disable", &told.id]).await;
    webhook(&world, &["enable", &told.id]).await;
    webhook(&world, &["rotate", &told.id]).await;
    webhook(&world, &["remove", &told.id]).await;
    assert_eq!(world.db.count("webhook_deliveries").await, 0);
    let log = "select entry from admin_log where (entry::json)->>'by' = 'ada' order by seq";
    let log: Vec<String> = sqlx::query_scalar(log).fetch_all(&world.db.pool).await.unwrap();
    let changes = ["add", "disable", "enable", "rotate", "remove"];
    assert_eq!(log.len(), changes.len(), "{log:?}");
    for (entry, change) in log.iter().zip(changes) {
        assert!(
            entry.contains(&format!("\"webhook.{change}\"")) && entry.contains(&told.id),
            "{entry}"
        );
        assert!(!entry.contains(&receiver.url), "an address may hold a key");
    }
}

#[tokio::test]
async fn k14_killed_with_a_webhook_half_sent() {
    let mut world = telling().await;
    let receiver = Receiver::start(Manner::Hang).await;
    add(&world, &receiver, &[]).await;
    pay(&world, 1).await;
    let half_sent = receiver.met(1).await.remove(0);
    world.facilitator.kill();
    receiver.behave(Manner::Status(200));
    world.facilitator.start().await;
    all_delivered(&world, 3).await;
    let arrivals = receiver.arrivals();
    assert_eq!(receiver.kinds()[1..], PAID);
    assert_eq!((arrivals[1].id(), &arrivals[1].body), (half_sent.id(), &half_sent.body));
}

#[tokio::test]
async fn two_processes_deliver_everything_and_twice_only_under_one_id() {
    let world = telling().await;
    let other = world.replica().await;
    let receiver = Receiver::start(Manner::Status(200)).await;
    add(&world, &receiver, &[]).await;
    for payer in [1, 2, 3] {
        pay(&world, payer).await;
        other.settle(&Payment::by(payer).body()).await.settled();
    }
    all_delivered(&world, 18).await;
    let ids: BTreeSet<String> = receiver.arrivals().iter().map(|it| it.id().to_owned()).collect();
    assert_eq!(ids.len(), 18);
}
