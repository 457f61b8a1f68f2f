//! The admin listener: for whoever has its secret, with who and why, and nowhere else.

use facilitator::http::admin::PATHS;
use serde_json::{Value, json};

use crate::support::contracts::addresses;
use crate::support::eventually;
use crate::support::http::{Answer, Client};
use crate::support::payer::Payment;
use crate::support::process::free_port;
use crate::support::world::{Setup, World};
use crate::tenants::{USDC, admin, tenant, with_keys};

const SECRET: &str = "ad317ad317ad317ad317ad317ad317ad317ad317ad317ad317ad317ad317ad31";

/// A world with tenants and the admin listener, and where that is.
async fn administered() -> (World, String) {
    let mut world = World::prepare(Setup::default()).await;
    with_keys(&mut world);
    let port = free_port();
    let listener = format!("\n[admin]\nlisten = \"127.0.0.1:{port}\"\nsecret = \"{SECRET}\"\n");
    world.facilitator.config.more.push_str(&listener);
    world.facilitator.start().await;
    (world, format!("http://127.0.0.1:{port}"))
}

async fn asked(base: &str, method: &str, path: &str, secret: &str, body: &Value) -> Answer {
    let headers = [("authorization", format!("Bearer {secret}"))];
    let url = format!("{base}{}", path.replace("{id}", "x"));
    match method {
        "GET" => Client::new().get_with(&url, &headers).await.unwrap(),
        _ => Client::new()
            .post(&url, &headers, body.to_string().into())
            .await
            .unwrap(),
    }
}

async fn done(base: &str, path: &str, mut what: Value) -> Value {
    what["by"] = "olga".into();
    what["because"] = "a test".into();
    let answer = asked(base, "POST", path, SECRET, &what).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn list(base: &str, path: &str, key: &str) -> Vec<Value> {
    let answer = asked(base, "GET", path, SECRET, &Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()[key].as_array().unwrap().clone()
}

#[tokio::test]
async fn s08_what_the_admin_listener_serves_is_absent_elsewhere_and_asks_for_its_secret() {
    let (world, base) = administered().await;
    let (_, gateway) = tenant(&world, "a").await;
    let body = json!({"by": "b", "because": "c", "name": "d"});
    for (method, path) in PATHS {
        for key in [gateway.key.as_str(), SECRET] {
            let answer = asked(&world.facilitator.base(), method, path, key, &body).await;
            assert_eq!(answer.status, 404, "{method} {path} at the public listener");
        }
        for key in [gateway.key.as_str(), "", &"0".repeat(64)] {
            let answer = asked(&base, method, path, key, &body).await;
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
        }
    }
    for (method, path) in [("POST", "/verify"), ("POST", "/settle"), ("GET", "/v1/settlements")] {
        assert_eq!(asked(&base, method, path, SECRET, &body).await.status, 404, "{path}");
    }
    assert_eq!(world.db.count("tenants").await, 2);
    assert!(!world.facilitator.logs().contains(SECRET));
}

#[tokio::test]
async fn what_is_administered_works_at_once_and_is_on_record_with_who_and_why() {
    let (world, base) = administered().await;
    let tenant = done(&base, "/v1/admin/tenants", json!({"name": "a"})).await["id"].clone();
    let merchant = done(&base, "/v1/admin/merchants", json!({"tenant": tenant, "name": "m"})).await["id"].clone();
    let shop = addresses().pay_to.to_string();
    let account = json!({"network": USDC, "account": shop, "merchant": merchant});
    done(&base, "/v1/admin/accounts", account.clone()).await;
    let wanted = json!({"tenant": tenant, "merchant": merchant, "name": "k", "scopes": ["verify", "settle"]});
    let key = done(&base, "/v1/admin/keys", wanted).await["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let settle =
        async |payment: Payment| asked(&world.facilitator.base(), "POST", "/settle", &key, &payment.body()).await;
    settle(Payment::by(1)).await.settled();
    let id = list(&base, "/v1/admin/keys", "keys").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    done(&base, &format!("/v1/admin/keys/{id}/revoke"), json!({})).await;
    eventually("the key lets nobody in", async || {
        (settle(Payment::by(2)).await.status == 401).then_some(())
    })
    .await;
    let signer = list(&base, "/v1/admin/lanes", "lanes").await[0]["signer"].clone();
    let lane = json!({"network": USDC, "signer": signer});
    done(&base, "/v1/admin/lanes/close", lane.clone()).await;
    assert!(list(&base, "/v1/admin/lanes", "lanes").await[0]["closedAt"].is_string());
    done(&base, "/v1/admin/lanes/readmit", lane).await;
    assert!(list(&base, "/v1/admin/lanes", "lanes").await[0]["closedAt"].is_null());
    assert!(list(&base, "/v1/admin/webhooks", "webhooks").await.is_empty());
    let budget = json!({"tenant": tenant, "network": USDC, "day": "5000000"});
    done(&base, "/v1/admin/budgets", budget).await;
    assert_eq!(list(&base, "/v1/admin/budgets", "budgets").await[0]["day"], "5000000");
    done(&base, "/v1/admin/accounts/release", account).await;
    admin(
        &world,
        &["merchants", "add", "--tenant", tenant.as_str().unwrap(), "--name", "n"],
    )
    .await;
    let entries = list(&base, "/v1/admin/log", "entries").await;
    let actions: Vec<&str> = entries
        .iter()
        .map(|it| it["entry"]["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "tenant.add",
            "merchant.add",
            "account.claim",
            "key.add",
            "key.revoke",
            "lane.close",
            "lane.readmit",
            "budget.set",
            "account.release",
            "merchant.add"
        ]
    );
    assert!(
        entries
            .iter()
            .all(|it| it["entry"]["by"] == "olga" && it["entry"]["because"] == "a test")
    );
    assert!(entries.iter().all(|it| !it.to_string().contains(&key[32..])));
    assert_eq!(list(&base, "/v1/admin/log?after=7", "entries").await, entries[7..]);
    assert!(admin(&world, &["log", "--check"]).await.starts_with("10 entries"));
    world
        .db
        .tamper("update admin_log set entry = replace(entry, 'olga', 'otto') where seq = 3")
        .await;
    let checked = world.facilitator.run("admin", &["log", "--check"]).await;
    assert!(!checked.0.success() && checked.1.contains("entry 3"), "{}", checked.1);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name_and_is_not_on_record() {
    let (world, base) = administered().await;
    let tenant = done(&base, "/v1/admin/tenants", json!({"name": "a"})).await["id"].clone();
    let shop = addresses().pay_to.to_string();
    for (path, what, status) in [
        ("/v1/admin/tenants", json!({"name": "a"}), 409),
        ("/v1/admin/tenants", json!({"name": ""}), 400),
        ("/v1/admin/tenants", json!({}), 400),
        (
            "/v1/admin/merchants",
            json!({"tenant": "ten_00000000000000000000000001", "name": "m"}),
            404,
        ),
        (
            "/v1/admin/keys",
            json!({"tenant": tenant, "name": "k", "scopes": ["all"]}),
            400,
        ),
        (
            "/v1/admin/keys",
            json!({"tenant": tenant, "name": "k", "scopes": ["read"], "payTo": [shop]}),
            400,
        ),
        (
            "/v1/admin/lanes/close",
            json!({"network": USDC, "signer": "nobody"}),
            404,
        ),
        (
            "/v1/admin/lanes/readmit",
            json!({"network": USDC, "signer": "nobody"}),
            404,
        ),
    ] {
        let mut what = what;
        what["by"] = "olga".into();
        what["because"] = "a test".into();
        let answer = asked(&base, "POST", path, SECRET, &what).await;
        assert_eq!(answer.status, status, "{path} {what}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string());
    }
    let unsigned = asked(
        &base,
        "POST",
        "/v1/admin/tenants",
        SECRET,
        &json!({"name": "b", "by": "o", "because": " "}),
    )
    .await;
    assert_eq!(unsigned.status, 400);
    assert_eq!(list(&base, "/v1/admin/log", "entries").await.len(), 1);
    drop(world);
}
