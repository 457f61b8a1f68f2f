//! Screening: whoever a list has pays nothing and is paid nothing, what could not be checked does not pass, and what was
//! decided is on record with what it was decided on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use facilitator::domain::tenant::TenantId;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::events::notices;
use crate::refunds::{id_of, reaches, read, recorded};
use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::receiver::{Manner, Receiver};
use crate::support::solana;
use crate::support::solana::programs::associated_account;
use crate::support::world::{Setup, World};

/// The operator's own list; gone with this value.
pub(crate) struct List(PathBuf);

impl List {
    pub(crate) fn of(lines: &str) -> Self {
        let name = format!("screening-{}-{:p}.txt", std::process::id(), lines);
        let list = Self(std::env::temp_dir().join(name + &crate::support::process::free_port().to_string()));
        list.says(lines);
        list
    }

    fn says(&self, lines: &str) {
        std::fs::write(&self.0, lines).unwrap();
    }

    pub(crate) fn table(&self) -> String {
        format!("[screening]\nfile.path = \"{}\"\n", self.0.display())
    }
}

impl Drop for List {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

async fn world(setup: Setup, tables: &str) -> World {
    let mut world = World::prepare(setup).await;
    world.facilitator.config.more = tables.to_owned();
    world.facilitator.config.tells_private = Some(true);
    world.facilitator.start().await;
    world
}

/// Until the payment is judged so; lists are read again within seconds.
async fn becomes(world: &World, payer: usize, reason: Option<&str>) {
    eventually(&format!("payer {payer} is {reason:?}"), async || {
        let verdict = world.facilitator.verify(&Payment::by(payer).body()).await.json();
        (verdict.get("invalidReason").and_then(Value::as_str) == reason).then_some(())
    })
    .await;
}

/// The rows of the report, which the records have as well.
async fn log(world: &World) -> Vec<Value> {
    let arguments = ["--of", "screening_log", "--format", "ndjson"];
    let (status, printed) = world.facilitator.run("report", &arguments).await;
    assert!(status.success(), "{printed}");
    let rows: Vec<Value> = printed.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(i64::try_from(rows.len()).unwrap(), world.db.count("screenings").await);
    rows
}

fn decisions(rows: &[Value]) -> Vec<(&str, &str)> {
    rows.iter()
        .map(|row| (row["stage"].as_str().unwrap(), row["decision"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_listed_payer_or_recipient_is_refused_before_the_chain_is_asked_and_nothing_is_reserved() {
    let payer = addresses().accounts[1].address.to_string();
    let mixed = payer.replace("0x", "").to_uppercase();
    let list = List::of(&format!("deny 0x{mixed} # case 7\n"));
    let world = world(Setup::default(), &list.table()).await;
    let (questions, body) = (world.proxy.questions(), Payment::by(1).body());
    for _ in 0..2 {
        let answer = world.facilitator.verify(&body).await;
        assert_eq!(answer.invalid(), "payment_rejected");
        assert!(!answer.text().contains("case 7") && answer.headers.get("retry-after").is_none());
    }
    assert_eq!(world.facilitator.settle(&body).await.unsettled().0, "payment_rejected");
    assert_eq!(world.proxy.questions(), questions, "nobody was asked");
    assert_eq!(world.db.count("payments").await, 0);
    assert_eq!(notices(&world, 1).await, ["screening.denied"]);

    let paid = Payment::by(2);
    world.facilitator.settle(&paid.body()).await.settled();
    let rows = log(&world).await;
    // The same refusal is on record once an hour.
    assert_eq!(
        decisions(&rows),
        [("verify", "denied"), ("settle", "denied"), ("settle", "clear")]
    );
    assert!(rows[0]["findings"].as_str().unwrap().contains("case 7"));
    assert!(rows[0]["subjects"].as_str().unwrap().contains(&payer));
    let id = id_of(&world, &paid).await;
    assert_eq!(rows[2]["payment_id"], id);
    let chained: String = world
        .db
        .one("select body ->> 'change' from events where version = 0")
        .await;
    assert_eq!(rows[2]["seal"], chained, "the payment's sealed history holds it");
    let said: String = world.db.one("select screening from payments").await;
    assert_eq!(said, "clear");

    // Delisted, he pays; listed as the recipient, nobody pays him.
    list.says("");
    becomes(&world, 1, None).await;
    world.facilitator.settle(&body).await.settled();
    list.says(&format!("deny {}", addresses().pay_to.to_string().to_lowercase()));
    becomes(&world, 2, Some("payment_rejected")).await;
    assert_eq!(notices(&world, 2).await, ["screening.denied", "screening.review"]);
    list.says("# nobody");
    assert_eq!(notices(&world, 3).await.pop().unwrap(), "screening.cleared");
    // What is no list leaves the last one standing.
    list.says("forbid everybody");
    becomes(&world, 1, None).await;
    books_agree(&world).await;
}

#[tokio::test]
async fn screening_that_is_off_is_on_record_as_off() {
    let world = World::usual().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let said: String = world.db.one("select screening from payments").await;
    assert_eq!((said.as_str(), world.db.count("screenings").await), ("off", 0));
    assert!(world.facilitator.logs().contains("screening is off by configuration"));
}

/// OFAC's file in its own shape, at an address that a redirect leads to.
struct Publisher {
    url: String,
    file: Arc<Mutex<Option<String>>>,
    server: tokio::task::JoinHandle<()>,
}

fn sdn(addresses: &[&str]) -> String {
    let entry = |(address, uid): (&&str, usize)| {
        format!(
            "<sdnEntry><uid>{uid}</uid><programList><program>CYBER2</program></programList><idList><id><uid>9</uid>\
             <idType>Digital Currency Address - USDC</idType><idNumber>{address}</idNumber></id></idList></sdnEntry>"
        )
    };
    let entries: String = addresses.iter().zip(40_000..).map(entry).collect();
    format!(
        "<?xml version=\"1.0\"?><sdnList xmlns=\"https://sanctionslistservice.ofac.treas.gov/api\">\
         <publshInformation><Publish_Date>11/21/2026</Publish_Date></publshInformation>{entries}</sdnList>"
    )
}

impl Publisher {
    async fn start(file: String) -> Self {
        let file = Arc::new(Mutex::new(Some(file)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let signed = format!("{base}/signed?key=1");
        let moved = (StatusCode::FOUND, [("location", signed)]);
        let router = Router::new()
            .route("/SDN.XML", get(|| async { moved }))
            .route("/signed", get(serve))
            .with_state(Arc::clone(&file));
        Self {
            url: format!("{base}/SDN.XML"),
            file,
            server: tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }),
        }
    }

    fn publishes(&self, file: Option<String>) {
        *self.file.lock().unwrap() = file;
    }

    fn table(&self) -> String {
        format!("[screening.ofac]\nurl = \"{}\"\nallow_private = true\n", self.url)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(State(file): State<Arc<Mutex<Option<String>>>>) -> Response {
    let file = file.lock().unwrap().clone();
    file.map_or_else(|| StatusCode::BAD_GATEWAY.into_response(), IntoResponse::into_response)
}

#[tokio::test]
async fn ofacs_list_is_fetched_takes_effect_and_lets_go_and_one_that_is_too_old_clears_nobody() {
    let payer = |at: usize| addresses().accounts[at].address.to_string();
    let publisher = Publisher::start(sdn(&[&payer(1), "12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h", &payer(5)])).await;
    let world = world(Setup::default(), &publisher.table()).await;
    becomes(&world, 1, Some("payment_rejected")).await;
    becomes(&world, 2, None).await;

    // A file that breaks off, or has much less than it had, is not believed.
    let whole = sdn(&[&payer(2), &payer(5), "x"]);
    publisher.publishes(Some(whole[..whole.len() - "</sdnList>".len()].to_owned()));
    let (status, said) = world.facilitator.run("screening", &["refresh"]).await;
    assert!(!status.success() && said.contains("ends before its end"), "{said}");
    publisher.publishes(Some(sdn(&["x"])));
    let (status, said) = world.facilitator.run("screening", &["refresh"]).await;
    assert!(!status.success() && said.contains("--believe"), "{said}");
    becomes(&world, 1, Some("payment_rejected")).await;

    // One is listed and one let go.
    publisher.publishes(Some(whole.clone()));
    let (status, said) = world.facilitator.run("screening", &["refresh"]).await;
    assert!(status.success() && said.contains("edition 2: "), "{said}");
    let (_, said) = world.facilitator.run("screening", &["refresh"]).await;
    assert!(said.contains("the list is that already"), "{said}");
    becomes(&world, 1, None).await;
    becomes(&world, 2, Some("payment_rejected")).await;
    let (_, editions) = world.facilitator.run("screening", &["editions"]).await;
    assert!(
        editions.lines().nth(1).unwrap().starts_with("2,") && editions.lines().count() == 3,
        "{editions}"
    );
    let sha256 = hex::encode(Sha256::digest(&whole));
    assert!(editions.contains(&sha256), "{editions}");
    let let_go: i64 = world.db.count("screening_entries where removed_in = 2").await;
    assert!(let_go >= 1);

    // Too old: nobody is cleared, whoever is listed stays so, and it is told.
    publisher.publishes(None);
    world
        .db
        .tamper("update screening_heads set checked_at = now() - interval '49 hours'")
        .await;
    becomes(&world, 1, Some("screening_unavailable")).await;
    let answer = world.facilitator.settle(&Payment::by(1).body()).await;
    assert_eq!(answer.unsettled().0, "screening_unavailable");
    assert_eq!(answer.headers["retry-after"], "30");
    becomes(&world, 2, Some("payment_rejected")).await;
    assert_eq!(
        world
            .facilitator
            .series("facilitator_screening_list_seconds_left", "0")
            .await,
        1
    );
    assert_eq!(world.db.count("payments").await, 0);
    publisher.publishes(Some(whole));
    let (status, _) = world.facilitator.run("screening", &["refresh"]).await;
    assert!(status.success());
    becomes(&world, 1, None).await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let rows = log(&world).await;
    let last = rows.last().unwrap();
    assert_eq!((&last["stage"], &last["decision"]), (&json!("settle"), &json!("clear")));
    assert!(last["sources"].as_str().unwrap().contains(&sha256));
    assert!(
        rows.iter()
            .any(|it| it["findings"].as_str().unwrap().contains("the list is too old"))
    );
}

fn hook(receiver: &Receiver, unchecked: &str) -> String {
    format!(
        "[screening]\nunchecked = \"{unchecked}\"\n[screening.hook]\nurl = \"{}\"\ntimeout_ms = 300\nallow_private = true\n",
        receiver.url
    )
}

#[tokio::test]
async fn a_vendor_is_asked_once_an_address_and_one_that_does_not_answer_lets_nobody_pass() {
    let receiver = Receiver::start(Manner::Says(json!({"decision": "allow"}).to_string())).await;
    let mut world = world(Setup::default(), &hook(&receiver, "refuse")).await;
    world.facilitator.verify(&Payment::by(1).body()).await.valid();
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let asked = receiver.arrivals();
    assert_eq!(asked.len(), 2, "the payer and the recipient, once each");
    let payer = addresses().accounts[1].address.to_string();
    assert!(asked.iter().any(|it| it.event()["address"] == payer));
    for arrival in &asked {
        assert!(arrival.header("webhook-signature").starts_with("v1,"));
        assert_eq!(arrival.event()["network"], "eip155:84532");
    }
    let (_, keys) = world.facilitator.run("screening", &["keys"]).await;
    assert!(keys.starts_with("whsec_") && keys.contains("whpk_"));

    let said = json!({"decision": "deny", "reference": "A-1", "reason": "mixer"}).to_string();
    receiver.behave(Manner::Says(said));
    becomes(&world, 2, Some("payment_rejected")).await;
    receiver.behave(Manner::Says(json!({"decision": "not_checked"}).to_string()));
    becomes(&world, 3, Some("screening_unavailable")).await;
    for manner in [
        Manner::Hang,
        Manner::Status(500),
        Manner::Says("no".into()),
        Manner::Flood,
    ] {
        receiver.behave(manner);
        becomes(&world, 4, Some("screening_unavailable")).await;
    }
    world.facilitator.verify(&Payment::by(1).body()).await.valid();
    let findings = log(&world)
        .await
        .iter()
        .map(|it| it["findings"].to_string())
        .collect::<String>();
    assert!(findings.contains("mixer") && findings.contains("A-1"));
    let faults = world.facilitator.metrics().await;
    assert!(faults.contains("facilitator_screening_faults_total{source=\"hook\"}"));

    // Where the operator says so it passes, and the records say that it was not checked.
    world.facilitator.terminate();
    world.facilitator.ended().await;
    world.facilitator.config.more = hook(&receiver, "accept");
    world.facilitator.start().await;
    world.facilitator.settle(&Payment::by(4).body()).await.settled();
    let said: String = world
        .db
        .one("select screening from payments order by created_at desc limit 1")
        .await;
    assert_eq!(said, "not_checked");
}

#[tokio::test]
async fn a_contract_on_the_chain_is_asked_beside_the_payment() {
    let oracle = "0x40C57923924B5c5c5455c48D93317139ADDaC8fb";
    let table = format!("[[screening.oracle]]\nnetwork = \"eip155:84532\"\naddress = \"{oracle}\"\n");
    let world = world(Setup::default(), &table).await;
    // No contract is not "no".
    assert_eq!(
        world.facilitator.verify(&Payment::by(2).body()).await.invalid(),
        "screening_unavailable"
    );
    // Answers whether the argument is the address of payer 1.
    let listed = hex::encode(addresses().accounts[1].address);
    let code = format!("0x60043573{listed}145f5260205ff3");
    world.node.call("anvil_setCode", json!([oracle, code])).await;
    becomes(&world, 2, None).await;
    assert_eq!(
        world.facilitator.verify(&Payment::by(1).body()).await.invalid(),
        "payment_rejected"
    );
    assert_eq!(
        world.facilitator.settle(&Payment::by(1).body()).await.unsettled().0,
        "payment_rejected"
    );
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn no_refund_is_begun_to_somebody_listed_and_it_is_paid_once_he_is_let_go() {
    let list = List::of("");
    let wallet = format!(
        "[[network.refund_wallet]]\nkey = \"{}\"\npay_to = [\"{}\"]",
        addresses().accounts[6].key,
        addresses().pay_to
    );
    let setup = Setup {
        epoch: Some(1),
        network_key: wallet.leak(),
        ..Setup::default()
    };
    let world = world(setup, &list.table()).await;
    let payment = crate::refunds::paid(&world, &Payment::by(1)).await;
    list.says(&format!("deny {}", Payment::by(1).from));
    becomes(&world, 1, Some("payment_rejected")).await;
    let refund = recorded(&world, &payment, "k", &json!({"amount": "2500", "execute": true})).await;
    eventually("the problem is told", async || {
        let problem = read(&world, &refund["id"]).await["problem"].clone();
        (problem == "this payment is not accepted").then_some(())
    })
    .await;
    assert_eq!(world.db.count("refund_attempts").await, 0);
    let rows = log(&world).await;
    let refused = rows.iter().find(|it| it["stage"] == "refund").unwrap();
    assert_eq!(
        (&refused["decision"], &refused["refund_id"]),
        (&json!("denied"), &refund["id"])
    );
    list.says("");
    let done = reaches(&world, &refund, "paid").await;
    assert_eq!(done["attempts"], 1);
    let rows = log(&world).await;
    assert!(decisions(&rows).contains(&("refund", "clear")));
    let (status, printed) = world
        .facilitator
        .run("report", &["--of", "refunds", "--format", "ndjson"])
        .await;
    assert!(status.success());
    let row: Value = serde_json::from_str(printed.trim()).unwrap();
    assert_eq!(
        (&row["id"], &row["state"], &row["amount"]),
        (&refund["id"], &json!("paid"), &json!("0.002500"))
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn on_solana_an_address_is_listed_exactly_as_it_is_written() {
    let list = List::of("");
    let mut world = solana::world::Setup::default().prepare().await;
    world.facilitator.config.more = list.table();
    world.facilitator.start().await;
    let payment = world.payment(0).await;
    let payer = payment.payer.address.to_string();
    let verdict = async || world.facilitator.verify(&world.payment(0).await.body()).await.json();
    let listed = eventually("the payer is listed", async || {
        list.says(&format!("deny {payer}"));
        let verdict = verdict().await;
        (verdict["isValid"] == false).then_some(verdict)
    });
    assert_eq!(listed.await["invalidReason"], "payment_rejected");
    eventually("the payer is listed no more", async || {
        list.says(&format!("deny {}", payer.to_lowercase()));
        (verdict().await["isValid"] == true).then_some(())
    })
    .await;
    // A delegate pays out of an account of somebody who is listed.
    let owner = world.node.at.payers[1].address;
    let usdc = world.node.mint("usdc");
    let source = associated_account(owner, usdc.program, usdc.address);
    world.node.delegate(source, payment.payer.address).await;
    let by_delegate = async || {
        let mut payment = world.payment(0).await;
        payment.transfer.source = source;
        world.facilitator.verify(&payment.body()).await.json()
    };
    assert_eq!(by_delegate().await["isValid"], true);
    list.says(&format!("deny {owner}"));
    eventually("the owner is listed", async || {
        (by_delegate().await["invalidReason"] == "payment_rejected").then_some(())
    })
    .await;
    let held: i64 = world.db.count("screenings where body like '%\"holder\"%'").await;
    assert_eq!((held, verdict().await["isValid"].clone()), (1, json!(true)));
    let seller = world.node.at.seller.address.to_string();
    list.says(&format!("deny {seller}"));
    eventually("the recipient is listed", async || {
        (verdict().await["invalidReason"] == "payment_rejected").then_some(())
    })
    .await;
    assert_eq!(world.db.count("payments").await, 0);
}

#[tokio::test]
async fn many_payments_that_reach_a_threshold_together_are_told_of_once_a_day() {
    let list = List::of("");
    let usdc = addresses().usdc;
    let tables = format!(
        "{}[[screening.threshold]]\nnetwork = \"eip155:84532\"\nasset = \"{usdc}\"\nday = \"0.02\"\nweek = \"0.03\"\n",
        list.table()
    );
    let setup = Setup {
        epoch: Some(1),
        ..Setup::default()
    };
    let world = world(setup, &tables).await;
    for payment in [Payment::by(1), Payment::by(1), Payment::by(2)] {
        crate::refunds::paid(&world, &payment).await;
    }
    let review = |told: Vec<String>| told.iter().filter(|it| *it == "screening.review").count();
    eventually("the first threshold is told of", async || {
        (review(notices(&world, 0).await) == 1).then_some(())
    })
    .await;
    crate::refunds::paid(&world, &Payment::by(1)).await;
    eventually("the second threshold is told of, and the first no more", async || {
        (review(notices(&world, 0).await) == 2).then_some(())
    })
    .await;
    let arguments = ["--of", "travel_rule", "--format", "ndjson"];
    let (status, printed) = world.facilitator.run("report", &arguments).await;
    assert!(status.success(), "{printed}");
    let rows: Vec<Value> = printed.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let told = |row: &Value| json!(["span", "amount", "threshold", "payer", "tenant"].map(|it| &row[it]));
    let (payer, tenant) = (Payment::by(1).from.to_string(), TenantId::SOLE);
    let expected = [("day", "0.020000"), ("week", "0.030000")].map(|(span, it)| json!([span, it, it, payer, tenant]));
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), expected);
    let same = "select (select sum(amount) from paid_sums_of_tenants) = (select sum(amount) from payments)";
    assert!(world.db.one::<bool>(same).await);
}
