//! Reports: ordered once, made by whoever comes first, the same in every format and on the command line.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::eventually;
use crate::support::payer::{NETWORK, Payment};
use crate::support::world::World;

const FORMATS: [&str; 4] = ["csv", "json", "ndjson", "parquet"];

async fn order(world: &World, asked: &Value) -> Value {
    let answer = world.facilitator.caller().post("/v1/reports", asked).await;
    assert_eq!(answer.status, 202, "{asked}: {}", answer.text());
    let place = answer.headers["location"].to_str().unwrap().to_owned();
    let report = answer.json();
    assert_eq!(place, format!("/v1/reports/{}", report["id"].as_str().unwrap()));
    report
}

async fn made(world: &World, asked: &Value) -> Value {
    let place = format!("/v1/reports/{}", order(world, asked).await["id"].as_str().unwrap());
    eventually("the report is made", async || {
        let report = world.facilitator.get(&place).await.json();
        (report["state"] == "done").then_some(report)
    })
    .await
}

/// The report's bytes, which are what it says of them.
async fn content(world: &World, report: &Value) -> Vec<u8> {
    let answer = world.facilitator.get(report["content"].as_str().unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(report["bytes"], answer.body.len());
    assert_eq!(report["sha256"], hex::encode(Sha256::digest(&answer.body)));
    assert_eq!(answer.headers["content-length"], answer.body.len().to_string());
    answer.body
}

#[tokio::test]
async fn a_report_is_made_once_and_says_the_same_in_every_format() {
    let world = World::usual().await;
    let caller = world.facilitator.caller();
    for payer in [1, 2, 3] {
        let names = [("order-id", "=1+1"), ("metadata", r#"{"a":"b,c"}"#)];
        caller.settle_named(&Payment::by(payer).body(), &names).await.settled();
    }
    let payer = addresses().accounts[2].address;
    let asked = |format: &str| json!({"type": "settlements", "format": format, "filter": {"payer": payer.to_string().to_lowercase(), "network": NETWORK}});
    let mut rows = BTreeSet::new();
    for format in FORMATS {
        let report = made(&world, &asked(format)).await;
        assert_eq!([&report["rows"], &report["expectedRows"]], [1, 1]);
        let usdc = addresses().usdc.to_string();
        assert_eq!(
            report["totals"],
            json!([{"network": NETWORK, "asset": usdc, "rows": 1, "amount": "10000"}])
        );
        let bytes = content(&world, &report).await;
        let row: Value = match format {
            "json" => serde_json::from_slice::<Value>(&bytes).unwrap()[0].clone(),
            "ndjson" => serde_json::from_slice(&bytes).unwrap(),
            "csv" => {
                let text = String::from_utf8(bytes).unwrap();
                assert!(
                    text.contains(",'=1+1,\"{\"\"a\"\":\"\"b,c\"\"}\",") && text.lines().count() == 2,
                    "{text}"
                );
                continue;
            }
            _ => {
                assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
                continue;
            }
        };
        assert_eq!(row["payer"], payer.to_string());
        assert_eq!([&row["order_id"], &row["amount"]], ["=1+1", "0.010000"]);
        rows.insert(row.to_string());
    }
    assert_eq!(rows.len(), 1);
    // The same order, its account written otherwise, is the same report; a later edition is another.
    let first = made(&world, &asked("csv")).await;
    let again =
        json!({"type": "settlements", "format": "csv", "filter": {"network": NETWORK, "payer": payer.to_string()}});
    assert_eq!(order(&world, &again).await, first);
    let mut later = again.clone();
    later["version"] = json!(2);
    assert_ne!(order(&world, &later).await["id"], first["id"]);
    let (status, printed) = world.facilitator.run("report", &["--payer", &payer.to_string()]).await;
    assert!(status.success(), "{printed}");
    assert_eq!(printed.into_bytes(), content(&world, &first).await);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_report_that_a_killed_process_was_making_is_made() {
    let mut world = World::usual().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    world.facilitator.kill();
    let begun = "insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, claimed_by,
            claimed_until, created_at)
        values (gen_random_uuid(), sha256('x'), 'settlements', 'json', '{}', 1, 'running', 9, 7, 5, gen_random_uuid(), now(),
            now());
        insert into report_pieces select id, 0, 'half' from reports";
    sqlx::raw_sql(begun).execute(&world.db.pool).await.unwrap();
    world.facilitator.start().await;
    eventually("the report is made", async || {
        (world.db.count("reports where state = 'done' and rows = 1").await == 1).then_some(())
    })
    .await;
    let whole: Vec<u8> = world
        .db
        .one("select string_agg(bytes, '' order by position) from report_pieces")
        .await;
    let rows: Vec<Value> = serde_json::from_slice(&whole).unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn an_order_that_is_none_is_refused_and_a_report_that_is_not_there_is_not_found() {
    let world = World::usual().await;
    for (asked, place) in [
        (json!({}), "body"),
        (json!({"type": "settlements", "format": "csv", "colour": "red"}), "body"),
        (
            json!({"type": "settlements", "format": "csv", "filter": {"limit": 1}}),
            "body",
        ),
        (json!({"type": "everything", "format": "csv"}), "type"),
        (json!({"type": "exceptions", "format": "pdf"}), "format"),
        (json!({"type": "exceptions", "format": "csv", "version": 0}), "version"),
        (
            json!({"type": "settlements", "format": "csv", "filter": {"state": "settled"}}),
            "state",
        ),
        (
            json!({"type": "settlements", "format": "csv", "filter": {"cursor": "7"}}),
            "query",
        ),
    ] {
        let answer = world.facilitator.caller().post("/v1/reports", &asked).await;
        let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(
            answer.status == 400 && said.starts_with(place),
            "{asked}: {} {said}",
            answer.status
        );
    }
    assert_eq!(world.db.count("reports").await, 0);
    for (path, status) in [
        ("/v1/reports/7", 400),
        ("/v1/reports/rep_01kaf4rza2e38v79e6wbw02jwx", 404),
        ("/v1/reports/rep_01kaf4rza2e38v79e6wbw02jwx/content", 404),
    ] {
        assert_eq!(world.facilitator.get(path).await.status, status, "{path}");
    }
}
