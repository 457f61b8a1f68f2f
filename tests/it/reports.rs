//! Reports: ordered once, made by whoever comes first, the same in every format and on the command line.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exports::closed_world;
use crate::support::anvil::number;
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

/// The rows of the report, which the command prints and the service makes alike, with its totals.
async fn rows(world: &World, kind: &str) -> (Vec<Value>, Value) {
    let report = made(world, &json!({"type": kind, "format": "ndjson"})).await;
    let bytes = content(world, &report).await;
    let arguments = ["--of", kind, "--format", "ndjson"];
    let (status, printed) = world.facilitator.run("report", &arguments).await;
    assert!(status.success() && printed.as_bytes() == bytes, "{kind}: {printed}");
    let rows: Vec<Value> = printed.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!((&report["rows"], &report["edition"]), (&json!(rows.len()), &json!(1)));
    (rows, report["totals"].clone())
}

fn units(value: &Value) -> i128 {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_kind_says_what_the_chain_the_ledger_and_the_statements_say() {
    let (world, statement) = closed_world().await;
    let at = addresses();
    let (moved, totals) = rows(&world, "balance_activity").await;
    let told = |row: &Value| {
        let of = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        (
            of("direction"),
            of("amount_atomic"),
            of("belongs_to"),
            of("reconciliation"),
        )
    };
    let mut said: Vec<_> = moved.iter().map(told).collect();
    said.sort();
    let row = |of: [&str; 4]| (of[0].to_owned(), of[1].to_owned(), of[2].to_owned(), of[3].to_owned());
    assert_eq!(
        said,
        [
            row(["credit", "10000", "payment", "matched"]),
            row(["credit", "10000", "payment", "matched"]),
            row(["credit", "7", "stray", "unknown_on_chain"]),
            row(["debit", "5", "stray", ""]),
        ]
    );
    for row in &moved {
        assert_eq!(row["account"], at.pay_to.to_string());
        let prefix = match (row["belongs_to"].as_str(), row["direction"].as_str()) {
            (Some("payment"), _) => Some("pay_"),
            (_, Some("credit")) => Some("exc_"),
            _ => None,
        };
        let id = row["belongs_to_id"].as_str();
        assert_eq!(id.map(|it| &it[..4]), prefix, "{row}");
    }
    let sum = |direction: &str| {
        let groups = totals.as_array().unwrap();
        units(&groups.iter().find(|it| it["direction"] == direction).unwrap()["amount"])
    };
    let held = world.node.balance_of(at.usdc, at.pay_to).await;
    assert_eq!(sum("credit") - sum("debit"), i128::try_from(held).unwrap());

    let (fees, totals) = rows(&world, "fees_and_gas").await;
    let ledger: Vec<(String, String)> = sqlx::query_as(
        "select substr(credit, 8), sum(amount)::text from ledger_entries where purpose = 'gas' group by credit",
    )
    .fetch_all(&world.db.pool)
    .await
    .unwrap();
    let booked = totals.as_array().unwrap().iter();
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    let booked: Vec<_> = booked.map(|it| (text(it, "signer"), text(it, "booked"))).collect();
    assert_eq!(booked, ledger);
    for row in &fees {
        let receipt = world.node.receipt(row["transaction"].as_str().unwrap()).await;
        let paid = |key: &str| u128::from(number(&receipt[key]));
        assert_eq!(
            units(&row["cost_atomic"]),
            i128::try_from(paid("gasUsed") * paid("effectiveGasPrice")).unwrap()
        );
        let (whole, rest) = row["cost"].as_str().unwrap().split_once('.').unwrap();
        assert_eq!((whole, rest.len()), ("0", 18));
        assert!(row["payment_ids"].as_str().unwrap().starts_with("pay_"));
    }

    let (days, totals) = rows(&world, "statements").await;
    let shown = world
        .facilitator
        .get(&format!("/v1/statements/{statement}"))
        .await
        .json();
    for (column, key) in [
        ("closing_atomic", "closing"),
        ("other_credits_atomic", "otherCredits"),
        ("unexplained_atomic", "unexplained"),
        ("hash", "hash"),
        ("merkle_root", "merkleRoot"),
    ] {
        assert_eq!(days[0][column], shown[key], "{column}");
    }
    assert_eq!(
        (&totals[0]["amount"], &totals[0]["debits"]),
        (&json!("20000"), &json!("5"))
    );
    assert_eq!(days[0]["gas_atomic"], totals[0]["gas"]);

    let (open, _) = rows(&world, "reconciliation_exceptions").await;
    assert_eq!((open.len(), &open[0]["amount"]), (1, &json!("0.000007")));
    let made = "notices where kind = 'report.ready'";
    assert_eq!(world.db.count(made).await, 4);
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
        (json!({"type": "statements", "format": "pdf"}), "format"),
        (json!({"type": "statements", "format": "csv", "version": 0}), "version"),
        (
            json!({"type": "settlements", "format": "csv", "filter": {"state": "settled"}}),
            "state",
        ),
        (
            json!({"type": "settlements", "format": "csv", "filter": {"cursor": "7"}}),
            "cursor: expected no such condition",
        ),
        (
            json!({"type": "fees_and_gas", "format": "csv", "filter": {"payTo": "0x1"}}),
            "payTo: expected no such condition: a report of fees_and_gas takes some of network, signer",
        ),
        (
            json!({"type": "balance_activity", "format": "csv", "filter": {"direction": "up"}}),
            "direction: expected credit or debit",
        ),
        (
            json!({"type": "statements", "format": "csv", "filter": {"from": "yesterday"}}),
            "from",
        ),
        (
            json!({"type": "reconciliation_exceptions", "format": "csv", "filter": {"payer": "0x1"}}),
            "payer",
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
