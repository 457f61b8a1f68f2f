//! Several tenants at one facilitator: each has keys, sees its own records and nothing of the others', and answers that are the
//! same whether the others are there or not.

mod apart;

use serde_json::{Value, json};

use crate::exports::closed_world;
use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::contracts::{addresses, third_party};
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::payer::Payment;
use crate::support::pooler::{Care, Pooler};
use crate::support::world::{Payable, Setup, World};

pub(crate) const USDC: &str = "eip155:84532";
const ALL: &str = "verify,settle,read,reports,admin";

/// What the operator does, with who and why.
pub(crate) async fn admin(world: &World, arguments: &[&str]) -> String {
    let (status, said) = tried(world, arguments).await;
    assert!(status, "{arguments:?}: {said}");
    said
}

async fn tried(world: &World, arguments: &[&str]) -> (bool, String) {
    let reads = arguments.contains(&"list") || arguments[0] == "log";
    let signed = ["--by", "olga", "--because", "a test"];
    let arguments: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(signed.into_iter().filter(|_| !reads))
        .collect();
    let (status, said) = world.facilitator.run("admin", &arguments).await;
    (status.success(), said.trim().to_owned())
}

pub(crate) fn with_keys(world: &mut World) {
    let tenants = format!("\n[tenants]\npepper = \"{}\"\n", "9e".repeat(32));
    world.facilitator.config.more.push_str(&tenants);
}

/// A world in which keys are asked for, that serves.
async fn hosted(setup: Setup) -> World {
    let mut world = World::prepare(setup).await;
    with_keys(&mut world);
    world.facilitator.start().await;
    world
}

/// A tenant with a key for everything.
pub(crate) async fn tenant(world: &World, name: &str) -> (String, Gateway) {
    let tenant = admin(world, &["tenants", "add", "--name", name]).await;
    let gateway = gateway(world, &tenant, &["--scopes", ALL]).await;
    (tenant, gateway)
}

async fn gateway(world: &World, tenant: &str, more: &[&str]) -> Gateway {
    let key = ["keys", "add", "--tenant", tenant, "--name", "k"];
    Gateway {
        key: admin(world, &[&key, more].concat()).await,
        caller: world.facilitator.caller(),
    }
}

/// Whoever has a key.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) key: String,
    caller: crate::support::facilitator::Caller,
}

impl Gateway {
    /// The same gateway, by another way in.
    pub(crate) fn by(self, caller: &crate::support::facilitator::Caller) -> Self {
        Self {
            caller: caller.clone(),
            ..self
        }
    }

    fn headers(&self, more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let own = ("authorization", format!("Bearer {}", self.key));
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        std::iter::once(own).chain(more).collect()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.caller.get_with(path, &self.headers(&[])).await
    }

    pub(crate) async fn post(&self, path: &str, names: &[(&'static str, &str)], body: &Value) -> Answer {
        let body = body.to_string().into();
        self.caller.post_bytes(path, &self.headers(names), body).await
    }

    async fn settle(&self, payment: &Payment, names: &[(&'static str, &str)]) -> Answer {
        self.post("/settle", names, &payment.body()).await
    }

    async fn ids(&self, path: &str, list: &str) -> Vec<Value> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].clone())
            .collect()
    }
}

/// What a payment's gateway calls it.
const NAMES: [(&str, &str); 3] = [
    ("idempotency-key", "key-1"),
    ("order-id", "order-1"),
    ("merchant-reference", "invoice-1"),
];

/// A payment of the tenant's that is final, with a refund and a report; what each is called.
struct Traces {
    payment: String,
    refund: String,
    report: String,
    exception: String,
}

async fn leaves_traces(world: &World, a: &Gateway, payment: &Payment) -> Traces {
    a.settle(payment, &NAMES).await.settled();
    world.node.mine(4).await;
    world.reaches(payment, "final").await;
    let ids = a.ids("/v1/settlements", "settlements").await;
    let payment = ids[0].as_str().unwrap().to_owned();
    let path = format!("/v1/settlements/{payment}/refunds");
    let refunded = a
        .post(&path, &[("idempotency-key", "r-1")], &json!({"amount": "5"}))
        .await;
    assert_eq!(refunded.status, 201, "{}", refunded.text());
    let ordered = a
        .post("/v1/reports", &[], &json!({"type": "settlements", "format": "json"}))
        .await;
    let report = ordered.json()["id"].as_str().unwrap().to_owned();
    let exception = facilitator::domain::id::ExceptionId::mint();
    let opened = format!(
        "insert into reconciliations (id, subject, payment_id, network, asset, pay_to, amount, state, reason, since)
         select '{}', 'one', id, network, asset, pay_to, amount, 'party_mismatch', 'a test', now() from payments",
        exception.as_uuid()
    );
    world.db.tamper(&opened).await;
    Traces {
        payment,
        refund: refunded.json()["id"].as_str().unwrap().to_owned(),
        report,
        exception: exception.to_string(),
    }
}

/// Another's key finds nothing of what this one finds.
async fn sees_nothing_of_anothers(world: &World) {
    let (_, a) = tenant(world, "a").await;
    let (_, b) = tenant(world, "b").await;
    let payment = Payment::by(1);
    let traces = leaves_traces(world, &a, &payment).await;
    let (id, refund, report) = (&traces.payment, &traces.refund, &traces.report);
    eventually("the report is made", async || {
        let answer = a.get(&format!("/v1/reports/{report}")).await.json();
        (answer["state"] == "done").then_some(())
    })
    .await;
    for (path, own) in [
        (format!("/payments/{id}"), 200),
        (format!("/v1/settlements/{id}"), 200),
        (format!("/v1/settlements/{id}/events"), 200),
        (format!("/v1/settlements/{id}/receipt"), 409),
        (format!("/v1/settlements/{id}/refunds"), 200),
        (format!("/v1/refunds/{refund}"), 200),
        (format!("/v1/reports/{report}"), 200),
        (format!("/v1/reports/{report}/content"), 200),
    ] {
        assert_eq!(a.get(&path).await.status, own, "{path}");
        let others = b.get(&path).await;
        assert_eq!(others.status, 404, "{path}: {}", others.text());
        assert!(!others.text().contains(id.as_str()));
    }
    let (asset, payer, nonce) = (payment.asset, payment.from, payment.nonce());
    let tx = a.get(&format!("/payments/{id}")).await.json()["transaction"].clone();
    for (path, list) in [
        ("/v1/settlements".to_owned(), "settlements"),
        ("/payments/lookup?orderId=order-1".to_owned(), "settlements"),
        ("/payments/lookup?merchantReference=invoice-1".to_owned(), "settlements"),
        ("/payments/lookup?idempotencyKey=key-1".to_owned(), "settlements"),
        (
            format!("/payments/lookup?transaction={}", tx.as_str().unwrap()),
            "settlements",
        ),
        (
            format!("/payments/lookup?network={USDC}&asset={asset}&payer={payer}&nonce={nonce}"),
            "settlements",
        ),
        (format!("/v1/settlements?payer={payer}"), "settlements"),
        ("/v1/refunds".to_owned(), "refunds"),
        ("/v1/events".to_owned(), "events"),
        ("/v1/reconciliation/exceptions".to_owned(), "exceptions"),
    ] {
        assert_ne!(a.ids(&path, list).await, [Value::Null; 0], "{path}");
        assert_eq!(b.ids(&path, list).await, [Value::Null; 0], "{path}");
    }
    for (path, body) in [
        (format!("/v1/settlements/{id}/refunds"), json!({"amount": "5"})),
        (format!("/v1/refunds/{refund}/cancel"), json!({})),
        (
            format!("/v1/reconciliation/exceptions/{}/actions", traces.exception),
            json!({"action": "ignore", "note": "n", "actor": "b"}),
        ),
    ] {
        let refused = b.post(&path, &[("idempotency-key", "r-1")], &body).await;
        assert_eq!(refused.status, 404, "{path}: {}", refused.text());
    }
    assert_eq!(
        a.get(&format!("/v1/refunds/{refund}")).await.json()["state"],
        "awaiting"
    );
    // The same report of another tenant is another report, of its own rows.
    let asked = json!({"type": "settlements", "format": "json"});
    let others = b.post("/v1/reports", &[], &asked).await.json();
    assert_ne!(others["id"], *report.as_str());
    let rows = eventually("the other's report is made", async || {
        let path = format!("/v1/reports/{}", others["id"].as_str().unwrap());
        let answer = b.get(&path).await.json();
        (answer["state"] == "done").then(|| answer["rows"].clone())
    })
    .await;
    assert_eq!(rows, 0);
    for kind in ["balance_activity", "fees_and_gas", "screening_log", "travel_rule"] {
        let asked = json!({"type": kind, "format": "json"});
        assert_eq!(b.post("/v1/reports", &[], &asked).await.status, 400, "{kind}");
    }
}

#[tokio::test]
async fn s01_a_key_finds_nothing_of_another_tenants() {
    let world = hosted(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    sees_nothing_of_anothers(&world).await;
}

/// The wall behind the statements is the second thing that keeps tenants apart, not the only one.
#[tokio::test]
async fn s01_without_the_databases_wall_a_key_finds_nothing_of_another_tenants() {
    let world = hosted(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let open_all = "do $$ declare it record; begin
        for it in select relname from pg_class where relrowsecurity loop
            execute format('alter table %I disable row level security', it.relname);
        end loop; end $$";
    world.db.alter(open_all.to_owned()).await;
    sees_nothing_of_anothers(&world).await;
}

#[tokio::test]
async fn s01_behind_a_pooler_too_a_key_finds_nothing_of_another_tenants() {
    if !Pooler::is_there() {
        return;
    }
    let world = hosted(Setup {
        epoch: Some(1),
        pooler: Some(Care::DUE),
        ..Setup::default()
    })
    .await;
    sees_nothing_of_anothers(&world).await;
}

#[tokio::test]
async fn what_was_on_record_before_there_were_tenants_is_the_sole_tenants() {
    let (mut world, statement) = closed_world().await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    with_keys(&mut world);
    world.facilitator.start().await;
    let (other, b) = tenant(&world, "b").await;
    let sole = admin(&world, &["tenants", "list"]).await;
    let sole = sole
        .lines()
        .find(|it| it.ends_with('Z') && it.contains(",sole,"))
        .unwrap();
    let a = gateway(&world, sole.split(',').next().unwrap(), &["--scopes", ALL]).await;
    let paths = [
        format!("/v1/statements/{statement}"),
        format!("/v1/statements/{statement}/lines"),
        format!("/v1/statements/{statement}?format=csv"),
    ];
    for path in &paths {
        assert_eq!(a.get(path).await.status, 200, "{path}");
        assert_eq!(b.get(path).await.status, 404, "{path}");
    }
    assert_eq!(a.ids("/v1/statements", "statements").await.len(), 1);
    assert_eq!(b.ids("/v1/statements", "statements").await.len(), 0);
    assert_eq!(a.ids("/v1/settlements", "settlements").await.len(), 2);
    // What is closed stays whose it is, whoever has the account from then on.
    let merchant = admin(&world, &["merchants", "add", "--tenant", &other, "--name", "m"]).await;
    let account = addresses().pay_to.to_string();
    let network = ["--network", USDC, "--account", &account, "--merchant", &merchant];
    admin(&world, &[&["accounts", "claim"][..], &network].concat()).await;
    for path in &paths {
        assert_eq!(a.get(path).await.status, 200, "{path}");
        assert_eq!(b.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn s02_a_key_that_is_revoked_lets_nobody_in_and_what_came_in_before_completes() {
    let world = hosted(Setup {
        mining: Mining::OnDemand,
        ..Setup::default()
    })
    .await;
    let (owner, old) = tenant(&world, "a").await;
    let new = gateway(&world, &owner, &["--scopes", ALL]).await;
    let payment = Payment::by(1);
    let settling = {
        let (old, payment) = (old.clone(), payment.clone());
        tokio::spawn(async move { old.settle(&payment, &NAMES).await })
    };
    world.is_waiting(1).await;
    // Both keys of a rotation are good until one of them is not.
    assert_eq!(new.get("/v1/settlements").await.status, 200);
    let name = format!("key_{}", &old.key[5..31]);
    admin(&world, &["keys", "revoke", &name]).await;
    eventually("the revoked key lets nobody in", async || {
        (old.get("/v1/settlements").await.status == 401).then_some(())
    })
    .await;
    assert_eq!(
        old.settle(&Payment::by(2), &[]).await.outcome(401)["errorReason"],
        "unauthorized"
    );
    world.node.mine(1).await;
    settling.await.unwrap().settled();
    assert_eq!(new.get("/v1/settlements").await.status, 200);
    let listed = admin(&world, &["keys", "list", "--tenant", &owner]).await;
    let line = listed.lines().find(|it| it.starts_with(&name)).unwrap();
    assert!(
        line.split(',').rev().take(2).all(|it| it.ends_with('Z')),
        "revoked and used: {line}"
    );
    assert!(!tried(&world, &["keys", "revoke", &name]).await.0, "once");
}

#[tokio::test]
async fn whoever_has_no_key_is_told_so_in_the_shape_of_what_he_asked_for() {
    let world = hosted(Setup::default()).await;
    let (_, a) = tenant(&world, "a").await;
    let caller = world.facilitator.caller();
    let body = Payment::by(1).body();
    for path in [
        "/supported",
        "/.well-known/jwks.json",
        "/health/live",
        "/health/ready",
        "/version",
    ] {
        assert_eq!(world.facilitator.get(path).await.status, 200, "{path}");
    }
    let mut mistyped = a.key.clone().into_bytes();
    mistyped.swap(40, 41);
    mistyped[50] ^= 1;
    let stranger = facilitator::domain::tenant::GatewayKey::new([7; 32]);
    let forged = format!("{}{}", &a.key[..32], &stranger.reveal()[32..]);
    for key in [
        None,
        Some(String::from_utf8_lossy(&mistyped).into_owned()),
        Some(stranger.reveal().to_string()),
        Some(forged),
        Some("x402_".to_owned()),
    ] {
        let headers: Vec<(&'static str, String)> =
            key.iter().map(|it| ("authorization", format!("Bearer {it}"))).collect();
        let verdict = caller.post_bytes("/verify", &headers, body.to_string().into()).await;
        assert_eq!(verdict.verdict(401)["invalidReason"], "unauthorized", "{key:?}");
        let outcome = caller.post_bytes("/settle", &headers, body.to_string().into()).await;
        assert_eq!(outcome.outcome(401)["errorReason"], "unauthorized", "{key:?}");
        let listed = caller.get_with("/v1/settlements", &headers).await;
        assert_eq!(listed.json()["error"]["code"], "unauthorized", "{key:?}");
        for answer in [&verdict, &outcome, &listed] {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(world.db.count("payments").await, 0);
    a.settle(&Payment::by(1), &[]).await.settled();
    let logs = world.facilitator.logs();
    assert!(
        !logs.contains(&a.key) && !logs.contains(&a.key[32..]),
        "a key is in the logs"
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn a_key_is_for_its_scopes_networks_assets_and_accounts_alone() {
    let world = hosted(Setup::default()).await;
    let (ours, a) = tenant(&world, "a").await;
    let (theirs, b) = tenant(&world, "b").await;
    let merchant = async |tenant: &str| admin(&world, &["merchants", "add", "--tenant", tenant, "--name", "m"]).await;
    let (mine, anothers) = (merchant(&ours).await, merchant(&theirs).await);
    let (usdc, shop) = (addresses().usdc.to_string(), addresses().pay_to.to_string());
    let stranger = third_party().to_string();
    let refused = async |more: &[&str], payment: &Payment, field: &str| {
        let key = gateway(&world, &ours, &[&["--scopes", "verify,settle"], more].concat()).await;
        let outcome = key.settle(payment, &[]).await.outcome(403);
        assert_eq!(outcome["errorReason"], "forbidden");
        let message = outcome["errorMessage"].as_str().unwrap().to_owned();
        assert!(
            message.starts_with(&format!("paymentRequirements.{field}: ")),
            "{message}"
        );
        let verdict = key.post("/verify", &[], &payment.body()).await.verdict(403);
        assert_eq!(verdict["invalidReason"], "forbidden");
    };
    let payment = Payment::by(1);
    refused(&["--networks", "eip155:1"], &payment, "network").await;
    refused(&["--assets", &usdc], &Payment::in_trick_token(1), "asset").await;
    refused(&["--pay-to", &stranger], &payment, "payTo").await;
    refused(&["--merchant", &mine], &payment, "payTo").await;

    // Addresses are the same in every case that they are written in.
    let lower = shop.to_lowercase();
    let narrow = [
        "--scopes",
        "settle",
        "--networks",
        USDC,
        "--assets",
        &usdc,
        "--pay-to",
        &lower,
    ];
    let narrow = gateway(&world, &ours, &narrow).await;
    narrow.settle(&payment, &[]).await.settled();
    for path in ["/v1/settlements", "/v1/events"] {
        let denied = narrow.get(path).await;
        assert_eq!(
            (denied.status, &denied.json()["error"]["code"]),
            (403, &json!("forbidden")),
            "{path}"
        );
        assert!(denied.text().contains("scope read"), "{}", denied.text());
    }
    assert_eq!(
        narrow.post("/verify", &[], &payment.body()).await.verdict(403)["invalidReason"],
        "forbidden"
    );

    let claim = |merchant: &str| {
        [
            "accounts",
            "claim",
            "--network",
            USDC,
            "--account",
            &shop,
            "--merchant",
            merchant,
        ]
        .map(str::to_owned)
    };
    let claimed = claim(&mine);
    admin(&world, &claimed.each_ref().map(String::as_str)).await;
    let taken = claim(&anothers);
    let (is_done, said) = tried(&world, &taken.each_ref().map(String::as_str)).await;
    assert!(!is_done && said.contains("the account is taken"), "{said}");
    let bound = gateway(&world, &ours, &["--scopes", "settle", "--merchant", &mine]).await;
    eventually("the claim is known", async || {
        let answer = b.settle(&Payment::by(2), &[]).await;
        (answer.status == 403).then_some(())
    })
    .await;
    bound.settle(&Payment::by(3), &[]).await.settled();
    a.settle(&Payment::by(4), &[]).await.settled();
    let unfit = [
        "keys", "add", "--tenant", &ours, "--name", "k", "--scopes", "read", "--pay-to", &shop,
    ];
    let (is_done, said) = tried(&world, &unfit).await;
    assert!(!is_done && said.contains("verify and settle alone"), "{said}");
    let log = admin(&world, &["log", "--check"]).await;
    assert!(log.contains(" entries, the newest "), "{log}");
}
