//! Several endpoints of one network: one that fails, lags or lies costs nothing but a request, and decides nothing.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::anvil::Mining;
use crate::support::books::books_agree;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::{Call, Fault, Proxy, SECRET, anything, lens, receipt, send};
use crate::support::solana;
use crate::support::world::{Setup, World};

const BOTH: &str = "quorum = 2";

/// A world whose network has two endpoints: the usual proxy, which is asked first, and this one.
async fn prepare(setup: Setup) -> (World, Proxy) {
    let mut world = World::prepare(setup).await;
    let second = Proxy::before(world.node.url()).await;
    world.facilitator.config.evm[0].other_rpc_urls = vec![second.url.clone()];
    (world, second)
}

async fn start(setup: Setup) -> (World, Proxy) {
    let (mut world, second) = prepare(setup).await;
    world.facilitator.start().await;
    (world, second)
}

fn asks_chain(call: &Call) -> bool {
    call.method == "eth_chainId"
}

fn asks_head(call: &Call) -> bool {
    call.method == "eth_blockNumber"
}

fn statuses(call: &Call) -> bool {
    call.method == "getSignatureStatuses"
}

/// The metric's sum over all lines that carry the label.
fn metric(metrics: &str, name: &str, label: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test]
async fn r11_what_one_endpoint_never_shows_is_believed_of_another() {
    let (world, _second) = start(Setup::default()).await;
    let blind = world.proxy.fault(receipt, Fault::Result("null"));
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    blind.met(1).await;
    world.reaches(&payment, "confirmed").await;
    drop(blind);
    books_agree(&world).await;
}

#[tokio::test]
async fn r11_on_solana_what_one_endpoint_never_shows_is_believed_of_another() {
    let mut world = solana::world::Setup::default().prepare().await;
    let second = Proxy::splitting(world.node.url()).await;
    world.facilitator.config.solana[0].other_rpc_urls = vec![second.url.clone()];
    world.facilitator.start().await;
    let blind = world.proxy.fault(
        statuses,
        Fault::Falsify(|call, answer| {
            let txs = call.params[0].as_array().unwrap().len();
            answer["result"]["value"] = json!(vec![Value::Null; txs]);
        }),
    );
    let payment = world.payment(0).await;
    world.facilitator.settle(&payment.body()).await.settled();
    blind.met(1).await;
}

/// The receipt that a liar gives for whatever it is asked: a true one under another name, with this nonce.
static FABRICATED: OnceLock<(Value, String)> = OnceLock::new();

fn fabricate(call: &Call, answer: &mut Value) {
    let (genuine, nonce) = FABRICATED.get().unwrap();
    let mut receipt = genuine.clone();
    receipt["transactionHash"] = call.params[0].clone();
    for log in receipt["logs"].as_array_mut().unwrap() {
        log["transactionHash"] = call.params[0].clone();
        // Of the two logs only the use of the authorization has the nonce.
        if log["data"] == "0x" {
            log["topics"][2] = nonce.as_str().into();
        }
    }
    *answer = json!({ "result": receipt });
}

/// Settles a payment, so that the liar knows what a receipt looks like, and hands over another.
async fn lied_about(world: &World) -> Payment {
    let (first, second) = (Payment::by(1), Payment::by(1));
    let settling = world.settling(&first);
    world.is_waiting(1).await;
    world.node.mine(1).await;
    let tx = settling.await.unwrap().settled();
    let genuine = world.node.receipt(&tx).await;
    FABRICATED.set((genuine, second.nonce.to_string())).unwrap();
    second
}

#[tokio::test]
async fn r12_a_fabricated_receipt_is_no_evidence_without_a_second_endpoint_that_shows_it() {
    let (world, _second) = start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 2,
        network_key: BOTH,
        ..Setup::default()
    })
    .await;
    let payment = lied_about(&world).await;
    let lying = world.proxy.fault(receipt, Fault::Falsify(fabricate));
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    lying.met(3).await;
    assert_eq!(world.state(&payment).await.unwrap(), "in_flight");
    let metrics = world.facilitator.metrics().await;
    let disagreements = metric(&metrics, "facilitator_endpoint_disagreements_total", "endpoint=\"0\"");
    assert!(disagreements > 0, "{metrics}");
    assert!(world.facilitator.logs().contains("endpoints contradict one another"));
    lying.release();
    world.node.mine(1).await;
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.settled(), tx);
    books_agree(&world).await;
}

/// A lane is closed for good where the chain has seen more of it than the records: one endpoint's word is not enough.
#[tokio::test]
async fn r12_a_nonce_that_one_endpoint_makes_up_closes_no_lane() {
    let (mut world, _second) = prepare(Setup {
        network_key: BOTH,
        ..Setup::default()
    })
    .await;
    let _lying = world.proxy.fault(
        |call| call.method == "eth_getTransactionCount",
        Fault::Falsify(|_, answer| answer["result"] = json!("0x7")),
    );
    world.facilitator.start().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    world.facilitator.kill();
    world.facilitator.start().await;
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    assert_eq!(world.db.count("lanes where quarantined_at is not null").await, 0);
    books_agree(&world).await;
}

#[tokio::test]
async fn r12_where_enough_agree_evidence_comes_as_it_does_from_one() {
    let (world, second) = start(Setup {
        epoch: Some(1),
        network_key: BOTH,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    world.node.mine(4).await;
    world.reaches(&payment, "final").await;
    assert!(!second.calls(receipt).is_empty());
    books_agree(&world).await;
}

#[tokio::test]
async fn r13_an_endpoint_that_lags_is_passed_over() {
    let (mut world, second) = prepare(Setup::default()).await;
    world.node.mine(60).await;
    let lagging = world.proxy.fault(
        asks_head,
        Fault::Falsify(|_, answer| {
            let head = u64::from_str_radix(&answer["result"].as_str().unwrap()[2..], 16).unwrap();
            answer["result"] = format!("{:#x}", head - 50).into();
        }),
    );
    let stale = world.proxy.fault(
        |call| call.method == "eth_getTransactionCount",
        Fault::Result("\"0x7\""),
    );
    world.facilitator.start().await;
    let payment = Payment::by(1);
    world.facilitator.verify(&payment.body()).await.valid();
    world.facilitator.settle(&payment.body()).await.settled();
    assert!(world.proxy.calls(lens).is_empty(), "the one that lags is not asked");
    assert!(!second.calls(lens).is_empty());
    let metrics = world.facilitator.metrics().await;
    assert_eq!(
        metric(&metrics, "facilitator_endpoint_head_lag_blocks", "endpoint=\"0\""),
        50
    );
    drop((lagging, stale));
    books_agree(&world).await;
}

#[tokio::test]
async fn r14_an_endpoint_of_another_chain_is_refused_and_dropped_when_it_comes_back_as_one() {
    let (mut world, second) = prepare(Setup::default()).await;
    let foreign = second.fault(asks_chain, Fault::Result("\"0x1\""));
    let (status, said) = world.facilitator.run("doctor", &[]).await;
    assert!(!status.success());
    assert!(
        said.contains("rpc_url[1]: expected chain id 84532, the node says 1"),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");
    foreign.release();

    world.facilitator.start().await;
    let cut = world.proxy.fault(anything, Fault::LoseRequest);
    let body = Payment::by(1).body();
    world.facilitator.verify(&body).await.valid();
    cut.met(1).await;
    let _foreign = world.proxy.fault(asks_chain, Fault::Result("\"0x1\""));
    cut.release();
    eventually("the endpoint is found to be of another chain", async || {
        world
            .facilitator
            .logs()
            .contains("an endpoint is of another chain")
            .then_some(())
    })
    .await;
    let asked = world.proxy.calls(lens).len();
    world.facilitator.verify(&body).await.valid();
    world.facilitator.settle(&body).await.settled();
    assert_eq!(world.proxy.calls(lens).len(), asked);
    let metrics = world.facilitator.metrics().await;
    assert_eq!(
        metric(&metrics, "facilitator_endpoint_passed_over", "endpoint=\"0\""),
        1
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn r15_an_endpoint_that_asks_for_a_pause_has_it() {
    let (world, second) = start(Setup::default()).await;
    let busy = world.proxy.fault(anything, Fault::TooMany("60"));
    world.facilitator.verify(&Payment::by(1).body()).await.valid();
    busy.met(1).await;
    let asked = world.proxy.requests();
    let payment = Payment::by(2);
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.proxy.requests(), asked, "it is left alone");
    assert_eq!(second.transactions(), [tx]);
    books_agree(&world).await;
}

#[tokio::test]
async fn r16_no_answer_that_is_none_is_taken_for_one() {
    let (world, second) = start(Setup::default()).await;
    for fault in [
        Fault::Status(502),
        Fault::Garbage(r#"{"jsonrpc":"2.0","id":1,"resu"#),
        Fault::Gzip,
        Fault::Flood,
    ] {
        let failing = world.proxy.fault(anything, fault);
        world.facilitator.settle(&Payment::by(1).body()).await.settled();
        let second_failing = second.fault(anything, fault);
        let before = world.db.count("payments").await;
        world.facilitator.settle(&Payment::by(2).body()).await.outcome(503);
        assert_eq!(world.db.count("payments").await, before, "{fault:?}");
        failing.release();
        second_failing.release();
        eventually("one is asked again", async || {
            let answer = world.facilitator.verify(&Payment::by(3).body()).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }
    books_agree(&world).await;
}

#[tokio::test]
async fn r17_while_no_endpoint_answers_a_payment_that_is_out_is_pending_and_never_failed() {
    let (world, second) = start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    world.is_waiting(1).await;
    let down = [&world.proxy, &second].map(|it| it.fault(anything, Fault::LoseRequest));
    world.node.mine(1).await;
    for _ in 0..4 {
        assert_eq!(world.facilitator.settle(&payment.body()).await.pending(), tx);
    }
    assert_eq!(world.state(&payment).await.unwrap(), "in_flight");
    drop(down);
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.settled(), tx);
    books_agree(&world).await;
}

#[tokio::test]
async fn r18_where_no_endpoint_answers_nothing_is_begun() {
    let (world, second) = start(Setup::default()).await;
    let body = Payment::by(1).body();
    let down = [&world.proxy, &second].map(|it| it.fault(anything, Fault::LoseRequest));
    let outcome = world.facilitator.settle(&body).await.outcome(503);
    assert_eq!(outcome["errorReason"], "unexpected_settle_error");
    assert_eq!(world.db.count("payments").await, 0);
    drop(down);
    world.facilitator.settle(&body).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn r19_another_transactions_receipt_is_nobodys() {
    let (world, _second) = start(Setup::default()).await;
    let mixed_up = world.proxy.fault(
        receipt,
        Fault::Falsify(|_, answer| {
            if !answer["result"].is_null() {
                answer["result"]["transactionHash"] = format!("0x{}", "7".repeat(64)).into();
            }
        }),
    );
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    mixed_up.met(1).await;
    drop(mixed_up);
    books_agree(&world).await;
}

#[tokio::test]
async fn one_acceptance_is_acceptance_and_no_other_endpoint_is_waited_for() {
    let (world, second) = start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    for fault in [
        Fault::Error(-32_000, "insufficient funds for gas * price + value"),
        Fault::Error(-32_000, "replacement transaction underpriced"),
        Fault::HoldRequest,
    ] {
        let refusing = world.proxy.fault(send, fault);
        world.facilitator.settle(&Payment::by(1).body()).await.pending();
        refusing.met(1).await;
        world.is_waiting(1).await;
        world.node.mine(1).await;
    }
    assert!(!world.facilitator.logs().contains("lane paused"));
    assert_eq!(second.transactions().len(), 3);
    for state in ["in_flight", "reserved"] {
        let open = format!("settlements where state = '{state}'");
        eventually("all are settled", async || {
            (world.db.count(&open).await == 0).then_some(())
        })
        .await;
    }
    books_agree(&world).await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_asked_at_the_start_is_left_out_while_enough_can() {
    let (mut world, second) = prepare(Setup::default()).await;
    let down = world.proxy.fault(anything, Fault::LoseRequest);
    world.facilitator.start().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    assert!(world.facilitator.logs().contains("left out until it can"));
    world.facilitator.terminate();
    world.facilitator.ended().await;
    world.facilitator.config.evm[0].key = BOTH;
    let (status, said) = world.facilitator.run("doctor", &[]).await;
    assert!(!status.success() && said.contains("rpc_url[0]"), "{said}");
    drop(down);
    for key in ["quorum = 3", "quorum = 0"] {
        world.facilitator.config.evm[0].key = key;
        let (status, said) = world.facilitator.run("doctor", &[]).await;
        assert!(!status.success() && said.contains("quorum"), "{said}");
    }
    assert_eq!(second.transactions().len(), 1);
}

#[tokio::test]
async fn s05_no_endpoints_address_is_told_however_its_endpoint_fails() {
    let (mut world, second) = prepare(Setup {
        wait_seconds: 1,
        log_filter: "trace,sqlx=debug,hyper=debug,h2=debug",
        network_key: BOTH,
        ..Setup::default()
    })
    .await;
    world.facilitator.start().await;
    for fault in [
        Fault::LoseRequest,
        Fault::Status(502),
        Fault::Garbage("{"),
        Fault::TooMany("0"),
        Fault::Result("\"0x1\""),
    ] {
        for failing in [&world.proxy, &second] {
            let handle = failing.fault(anything, fault);
            world.facilitator.verify(&Payment::by(1).body()).await;
            world.facilitator.settle(&Payment::by(2).body()).await;
            handle.release();
        }
    }
    let metrics = world.facilitator.metrics().await;
    let faults = |label: &str| metric(&metrics, "facilitator_endpoint_faults_total", label);
    assert!(
        faults("endpoint=\"0\"") > 0 && faults("endpoint=\"1\"") > 0,
        "{metrics}"
    );
    world.facilitator.terminate();
    world.facilitator.ended().await;
    let said = format!("{}{metrics}", world.facilitator.logs());
    let told = said.lines().find(|line| line.contains(SECRET));
    assert!(told.is_none(), "{}", told.unwrap_or_default());
}
