//! Closed statements over HTTP, each line with its proof, and in the forms that bookkeeping takes.

use std::path::{Path, PathBuf};
use std::process::Command;

use facilitator::domain::amount::Amount;
use facilitator::domain::id::{PaymentId, StatementId};
use facilitator::domain::merkle::root_of;
use facilitator::domain::rail::{ChainPoint, TxId};
use facilitator::domain::statement::{Account, Bounds, Detail, Entry, Line, Period, Shown, Statement};
use facilitator::domain::time::Timestamp;
use facilitator::export::{Decimals, Document, Format, Style};
use serde_json::Value;

use crate::reconcile::reconcile;
use crate::schema::faults;
use crate::statements::{day_passes, is_closed, paid_world_at_rest, pays};
use crate::support::contracts::{addresses, third_party};
use crate::support::process::Process;
use crate::support::world::World;
use crate::support::{offered, provided};

const PATH: &str = "/v1/statements";

/// A day with two payments, a direct transfer of 7 and 5 that went, closed; the service runs.
pub(crate) async fn closed_world() -> (World, String) {
    let (mut world, _) = paid_world_at_rest().await;
    let pay_to = addresses().pay_to;
    world.node.fund(pay_to).await;
    world
        .node
        .call("anvil_impersonateAccount", serde_json::json!([pay_to]))
        .await;
    pays(&world, addresses().accounts[3].address, pay_to, 7).await;
    pays(&world, pay_to, third_party(), 5).await;
    day_passes(&world).await;
    reconcile(&world, &[]).await;
    let id = is_closed(&world).await["id"].clone();
    world.facilitator.start().await;
    (world, id)
}

/// What is there, held to what `openapi.yaml` says of it.
async fn get(world: &World, path: &str, schema: &str) -> Value {
    let answer = world.facilitator.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let document: Value = serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (shape, value) = (&document["components"]["schemas"][schema], answer.json());
    assert_eq!(faults(&document, shape, &value, "answer"), [""; 0], "{path}");
    value
}

async fn status(world: &World, path: &str) -> u16 {
    world.facilitator.get(path).await.status
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// The line as its JSON has it.
fn line_of(line: &Value) -> Line {
    let block = &line["block"];
    let time = chrono::DateTime::parse_from_rfc3339(text(block, "time")).unwrap();
    Line {
        payment: text(line, "payment").parse().unwrap(),
        refund: line["refund"].as_str().map(|it| it.parse().unwrap()),
        amount: text(line, "amount").parse().unwrap(),
        tx: TxId(text(line, "transaction").to_owned()),
        log_index: line["logIndex"].as_u64().unwrap(),
        block: ChainPoint {
            height: block["number"].as_u64().unwrap(),
            hash: text(block, "hash").to_owned(),
            time: Timestamp(time.timestamp().try_into().unwrap()),
        },
    }
}

#[tokio::test]
async fn statements_are_served_and_each_line_can_be_shown_to_be_on_its_own() {
    let (world, id) = closed_world().await;
    let pay_to = addresses().pay_to.to_string().to_lowercase();
    let page = get(
        &world,
        &format!("{PATH}?network=eip155:84532&payTo={pay_to}&limit=1"),
        "Statements",
    )
    .await;
    let [statement] = page["statements"].as_array().unwrap().as_slice() else {
        panic!("{page}");
    };
    assert_eq!(
        (text(statement, "id"), &page["nextCursor"]),
        (id.as_str(), &Value::Null)
    );
    let sums = ["credits", "otherCredits", "debits", "unexplained"].map(|it| text(statement, it));
    assert_eq!(sums, ["20000", "7", "5", "0"]);
    assert_eq!(statement["balance"]["amount"], statement["closing"]);
    assert_eq!(get(&world, &format!("{PATH}/{id}"), "Statement").await, *statement);
    let start = text(statement, "periodStart");
    for (query, count) in [
        (format!("from={start}"), 1),
        (format!("to={start}"), 0),
        (format!("cursor={id}"), 0),
    ] {
        let page = get(&world, &format!("{PATH}?{query}"), "Statements").await;
        assert_eq!(page["statements"].as_array().unwrap().len(), count, "{query}");
    }

    let first = get(&world, &format!("{PATH}/{id}/lines?limit=1"), "StatementLines").await;
    let cursor = text(&first, "nextCursor");
    let second = get(&world, &format!("{PATH}/{id}/lines?cursor={cursor}"), "StatementLines").await;
    assert_eq!(second["nextCursor"], Value::Null);
    for (position, page) in [first, second].iter().enumerate() {
        let line = &page["lines"][0];
        let path = format!("{PATH}/{id}/lines/{}", text(line, "payment"));
        let proof = get(&world, &path, "StatementProof").await;
        assert_eq!(
            (&proof["line"], line["position"].as_u64()),
            (line, Some(position as u64))
        );
        let leaf = line_of(line).leaf();
        assert_eq!(text(line, "leaf"), hex::encode(leaf));
        let beside = proof["path"].as_array().unwrap().iter();
        let beside: Vec<[u8; 32]> = beside
            .map(|it| hex::decode(it.as_str().unwrap()).unwrap().try_into().unwrap())
            .collect();
        let root = root_of(
            &leaf,
            position,
            proof["lines"].as_u64().unwrap().try_into().unwrap(),
            &beside,
        );
        assert_eq!(root.map(hex::encode).as_deref(), statement["merkleRoot"].as_str());
    }

    let (nobodys, no_payment) = (StatementId::mint(), PaymentId::mint());
    for (path, expected) in [
        (format!("{PATH}/{nobodys}"), 404),
        (format!("{PATH}/{nobodys}/lines"), 404),
        (format!("{PATH}/{id}/lines/{no_payment}"), 404),
        (format!("{PATH}/{no_payment}"), 400),
        (format!("{PATH}/{id}/lines/{id}"), 400),
        (format!("{PATH}/{id}?format=pdf"), 400),
        (format!("{PATH}?payer=0x1"), 400),
        (format!("{PATH}?from=yesterday"), 400),
        (format!("{PATH}/{id}/lines?cursor=-1"), 400),
    ] {
        assert_eq!(status(&world, &path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn every_form_of_a_statement_is_the_same_over_http_and_by_the_command() {
    let (world, id) = closed_world().await;
    for (format, media_type) in [
        ("json", "application/json"),
        ("csv", "text/csv; charset=utf-8; header=present"),
        ("quickbooks", "text/csv; charset=utf-8; header=present"),
        ("xero", "text/csv; charset=utf-8; header=present"),
        ("camt053", "application/xml"),
    ] {
        let answer = world.facilitator.get(&format!("{PATH}/{id}?format={format}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)));
        let (_, said) = world
            .facilitator
            .run("statement", &["export", "--id", &id, "--format", format])
            .await;
        assert_eq!(answer.text(), said, "{format}");
        if media_type.starts_with("text/csv") {
            assert!(said.lines().count() > 2, "{said}");
            assert_eq!(said.matches('\n').count(), said.matches("\r\n").count(), "{said}");
        }
        if format == "camt053" {
            valid("exported", &said).await;
        }
    }
}

#[tokio::test]
async fn a_statement_comes_in_the_form_that_is_accepted_unless_one_is_named() {
    let (world, id) = closed_world().await;
    let caller = world.facilitator.caller();
    let get = async |query: &str, accept: &str| {
        let headers = [("accept", accept.to_owned())];
        caller.get_with(&format!("{PATH}/{id}{query}"), &headers).await
    };
    for (query, accept, expected) in [
        ("", "*/*", "application/json"),
        (
            "",
            "text/csv, application/json;q=0.5",
            "text/csv; charset=utf-8; header=present",
        ),
        ("", "application/xml", "application/xml"),
        (
            "?format=xero",
            "application/pdf",
            "text/csv; charset=utf-8; header=present",
        ),
        ("?format=json", "text/csv", "application/json"),
    ] {
        let answer = get(query, accept).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(expected)),
            "{accept}"
        );
        assert_eq!(answer.header("vary"), Some("Accept"));
    }
    assert_eq!(get("", "text/csv").await.text(), get("?format=csv", "*/*").await.text());
    let refused = get("", "application/pdf").await;
    let error = &refused.json()["error"];
    assert_eq!((refused.status, &error["code"]), (406, &Value::from("not_acceptable")));
    assert!(text(error, "message").contains("application/xml"), "{error}");
    assert_eq!(refused.header("vary"), Some("Accept"));
}

/// Holds the document to the schema, where there is one here.
async fn valid(name: &str, document: &str) {
    let Some(schemas) = offered("FACILITATOR_SCHEMAS", "schema of ISO 20022") else {
        return;
    };
    let file = std::env::temp_dir().join(format!("camt053-{}-{name}.xml", std::process::id()));
    std::fs::write(&file, document).unwrap();
    let (is_valid, said) = validate(&Path::new(&schemas).join("camt.053.001.08.xsd"), &file).await;
    let twisted = document.replace("<Cd>CLBD</Cd>", "<Cd>CLOSING</Cd>");
    std::fs::write(&file, twisted).unwrap();
    let (is_still_valid, _) = validate(&Path::new(&schemas).join("camt.053.001.08.xsd"), &file).await;
    std::fs::remove_file(&file).unwrap();
    assert!(is_valid, "{name}: {said}\n{document}");
    assert!(!is_still_valid, "the schema refuses nothing");
}

async fn validate(schema: &Path, document: &Path) -> (bool, String) {
    let mut node = Command::new("node");
    node.arg(PathBuf::from(provided("FACILITATOR_STACK")).join("validate.mjs"));
    node.args([schema, document]);
    let (status, said) = Process::spawn("the validator", &mut node).ended().await;
    (status.success(), said)
}

#[tokio::test]
async fn a_bank_statement_is_one_by_the_schema_of_iso_20022_whatever_was_paid() {
    let account = Account {
        network: "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap(),
        asset: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".into(),
        pay_to: "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU".into(),
    };
    let period = Period {
        starts: Timestamp(1_699_920_000),
        ends: Timestamp(1_700_006_400),
    };
    let long = "an order name that is longer than any reference of a bank's";
    let references = [None, Some("order 7"), Some("<&\"'>\u{1}\t€ 末"), Some(long), Some("")];
    let detail = |(number, reference): (u64, Option<&str>)| Detail {
        line: Line {
            payment: PaymentId::mint(),
            refund: None,
            amount: Amount::from_units(u128::from(number) * 1_234_567),
            tx: TxId("5".repeat(88)),
            log_index: number,
            block: ChainPoint {
                height: number,
                hash: "9".repeat(44),
                time: Timestamp(period.starts.0 - 1 + number),
            },
        },
        payer: account.pay_to.clone(),
        reference: reference.map(str::to_owned),
    };
    let details: Vec<Detail> = (0..).zip(references).map(detail).collect();
    let none: Vec<Detail> = Vec::new();
    for (name, details, places) in [("full", &details, 6), ("empty", &none, 0), ("fine", &details, 18)] {
        let entries: Vec<Entry> = details
            .iter()
            .map(|it| Entry {
                line: it.line.clone(),
                counted: None,
                gas: Amount::ZERO,
            })
            .collect();
        let shown = Shown {
            credits: Amount::from_units(3),
            debits: Amount::from_units(1_000_001),
            held: Bounds {
                opening: Some(Amount::from_units(1_000_000)),
                closing: None,
            },
        };
        let statement = Statement::close(StatementId::mint(), account.clone(), None, period, &entries, shown).unwrap();
        let document = Document {
            statement: &statement,
            hash: &statement.hash(),
            closed_at: chrono::DateTime::UNIX_EPOCH,
            details,
        };
        let style = Style {
            decimals: Decimals::new(vec![(account.network.clone(), account.asset.clone(), places)]),
            ..Style::default()
        };
        valid(name, &Format::Camt053.write(&document, &style).unwrap()).await;
    }
}

/// The shell blocks of the page, in their order.
fn walk_through() -> String {
    let page = include_str!("../../docs/closing-the-books.md");
    let blocks = page.split("```sh\n").skip(1);
    blocks.filter_map(|it| it.split("```").next()).collect()
}

#[tokio::test]
async fn an_accountant_can_walk_through_the_page_on_closing_the_books() {
    let (mut world, _) = paid_world_at_rest().await;
    let pay_to = addresses().pay_to;
    pays(&world, addresses().accounts[3].address, pay_to, 7).await;
    world.node.fund(pay_to).await;
    world
        .node
        .call("anvil_impersonateAccount", serde_json::json!([pay_to]))
        .await;
    pays(&world, pay_to, addresses().accounts[1].address, 2_500).await;
    day_passes(&world).await;
    world.facilitator.start().await;
    let place = std::env::temp_dir().join(format!("closing-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    let mut shell = world.facilitator.shell(&place, &format!("set -eu\n{}", walk_through()));
    shell.env("PAY_TO", pay_to.to_string());
    let (status, said) = Process::spawn("the walk-through", &mut shell).ended().await;
    assert!(status.success(), "{said}");
    let written = |name: &str| std::fs::read_to_string(place.join(name)).unwrap();
    let json = |name: &str| serde_json::from_str::<Value>(&written(name)).unwrap_or_else(|_| panic!("{name}"));

    assert_eq!(written("payments.csv").lines().count(), 3);
    let exceptions = json("exceptions.json");
    assert_eq!(text(&exceptions["exceptions"][0], "state"), "unknown_on_chain");
    assert_eq!(world.db.count("reconciliations where handled = 'ignore'").await, 1);
    let statement = json("statement.json");
    assert_eq!(
        (text(&statement, "otherCredits"), text(&statement, "unexplained")),
        ("7", "0")
    );
    assert_eq!(
        (text(&statement, "debits"), text(&statement, "refunds")),
        ("2500", "2500")
    );
    assert!(written("refund.csv").contains(",awaiting,"));
    let units = |key: &str| text(&statement, key).parse::<i128>().unwrap();
    assert_eq!(
        written("moved.txt").trim(),
        (units("closing") - units("opening")).to_string()
    );
    assert_eq!(json("proof.json")["merkleRoot"], statement["merkleRoot"]);
    assert_eq!(json("whole.json")["statement"], statement);
    for journal in ["quickbooks.csv", "xero.csv"] {
        let lines = written(journal);
        assert!(
            lines.contains("Stablecoin wallet") && lines.contains("Sales") && lines.contains("Refunds"),
            "{lines}"
        );
    }
    assert!(written("camt053.xml").contains("<Cd>CLBD</Cd>"));
    assert_eq!(written("bank.xml"), written("camt053.xml"));
    for (report, lines) in [
        ("activity.csv", 5),
        ("fees.csv", 3),
        ("days.csv", 2),
        ("open.ndjson", 0),
    ] {
        assert_eq!(written(report).lines().count(), lines, "{report}");
    }
    let activity = written("activity.csv");
    for (belongs_to, transfers) in [(",payment,pay_", 2), (",refund,rfd_", 1), (",stray,exc_", 1)] {
        assert_eq!(activity.matches(belongs_to).count(), transfers, "{activity}");
    }
    assert!(written("totals.txt").starts_with("0 rows, sha256 "));
    std::fs::remove_dir_all(&place).unwrap();
}
