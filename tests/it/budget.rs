//! What settling may cost is bounded before it is spent, metered from the chain, and refused in time.

use alloy::primitives::{Address, Bytes, U256, address, bytes};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::events::notices;
use crate::support::anvil::{Mining, number, parse};
use crate::support::books::books_agree;
use crate::support::config::Budget;
use crate::support::contracts::{Trick, addresses};
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::payer::{NETWORK, Payment};
use crate::support::proxy::{Call, Fault};
use crate::support::world::{Setup, World};

/// What a payment takes at most in these worlds, about: 471,000 gas at 100 gwei.
const NEARLY_EACH: u128 = 47_000_000_000_000_000;

/// Where OP chains keep the price of their data.
const ORACLE: Address = address!("420000000000000000000000000000000000000F");

/// Answers every question with the word in its first slot of storage.
const ORACLE_CODE: Bytes = bytes!("60005460005260206000f3");

/// The reason's words and the scope of an answer that says that a budget is used up, until when.
#[track_caller]
fn exhausted(answer: &Answer, scope: &str) -> u64 {
    let body = answer.outcome(429);
    assert_eq!((&body["success"], &body["transaction"]), (&false.into(), &"".into()));
    assert_eq!(body["errorReason"], "budget_exhausted");
    let message = body["errorMessage"].as_str().unwrap();
    assert!(message.starts_with(&format!("budget_exhausted ({scope})")), "{message}");
    answer.header("retry-after").unwrap().parse().unwrap()
}

/// What the window of the whole network's day holds, in wei.
async fn held(world: &World) -> u128 {
    let sql = "select coalesce(max(taken), 0)::text from budget_windows where scope = 'total' and span = 86400";
    world.db.one::<String>(sql).await.parse().unwrap()
}

async fn balance(world: &World, account: Address) -> u128 {
    let balance = world.node.call("eth_getBalance", json!([account, "latest"])).await;
    parse::<U256>(&balance).to::<u128>()
}

#[tokio::test]
async fn m01_a_hundred_requests_at_once_at_two_processes_never_take_more_than_there_is() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        budget: Budget {
            total: r#"{ minute = "unlimited", day = 0.5 }"#,
            ..Budget::UNLIMITED
        },
        ..Setup::default()
    })
    .await;
    let other = world.replica().await;
    let bodies: Vec<Value> = (0..100).map(|_| Payment::by(1).body()).collect();
    let both = [&world.facilitator, &other];
    let answers = join_all(bodies.iter().zip(both.iter().cycle()).map(|(body, at)| at.settle(body))).await;
    let (refused, taken): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 429);
    assert_eq!((refused.len(), taken.len()), (90, 10));
    for answer in refused {
        assert!((1..=86_400).contains(&exhausted(answer, "total")));
    }
    for answer in taken {
        answer.pending();
    }
    assert_eq!(world.db.count("payments").await, 10);
    assert!((10 * NEARLY_EACH..=500_000_000_000_000_000).contains(&held(&world).await));

    // What they really cost is much less, so there is room again.
    eventually("the worst cases are given back", async || {
        world.node.mine(1).await;
        (held(&world).await < NEARLY_EACH).then_some(())
    })
    .await;
    let more = Payment::by(1);
    let settling = world.settling(&more);
    eventually("it is settled", async || {
        world.node.mine(1).await;
        world.is_paid(&more).await.then_some(())
    })
    .await;
    drop(settling.await.unwrap());
    books_agree(&world).await;
}

/// The chain's own word on what was spent is the signer's balance.
#[tokio::test]
async fn m02_what_is_metered_is_what_the_signer_has_less() {
    let world = World::start(Setup {
        epoch: Some(1),
        budget: Budget {
            total: r#"{ minute = "unlimited", day = 100 }"#,
            ..Budget::UNLIMITED
        },
        ..Setup::default()
    })
    .await;
    let signer = addresses().accounts[9].address;
    let before = balance(&world, signer).await;
    let payments = (0..8).map(|i| Payment::by(1 + i % 4));
    let bodies: Vec<Value> = payments.map(|it| it.body()).collect();
    let answers = join_all(bodies.iter().map(|it| world.facilitator.settle(it))).await;
    let reverted = Payment::in_trick_token(1);
    world
        .node
        .administer(addresses().trick_token, &Trick::Revert.on())
        .await;
    world.facilitator.settle(&reverted.body()).await.unsettled();
    for answer in &answers {
        answer.settled();
    }
    let spent = before - balance(&world, signer).await;
    assert!(spent > 9 * 21_000 * 1_000_000, "{spent}");
    eventually("the meter shows what was spent", async || {
        (held(&world).await == spent).then_some(())
    })
    .await;
    eventually("so do the books, of what is over", async || {
        world.node.mine(1).await;
        (world.db.count("settlements where state = 'final'").await == 8).then_some(())
    })
    .await;
    let sql = "select count(*) from ledger_entries where purpose = 'gas' and amount > 0";
    assert_eq!(world.db.one::<i64>(sql).await, 8);
    assert_eq!(held(&world).await, spent);
    books_agree(&world).await;
}

#[tokio::test]
async fn m03_a_payer_whose_transactions_fail_again_and_again_is_refused_for_the_hour() {
    let world = World::start(Setup {
        budget: Budget {
            payer_reverts_max: 3,
            ..Budget::UNLIMITED
        },
        ..Setup::default()
    })
    .await;
    world
        .node
        .administer(addresses().trick_token, &Trick::Revert.on())
        .await;
    for _ in 0..3 {
        world
            .facilitator
            .settle(&Payment::in_trick_token(1).body())
            .await
            .unsettled();
    }
    let bodies: Vec<Value> = (0..97).map(|_| Payment::in_trick_token(1).body()).collect();
    for answer in join_all(bodies.iter().map(|it| world.facilitator.settle(it))).await {
        assert!((1..=3_600).contains(&exhausted(&answer, "reverts")));
    }
    assert_eq!(world.db.count("payments").await, 3);
    assert_eq!(world.proxy.transactions().len(), 3);
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    books_agree(&world).await;
}

#[tokio::test]
async fn a_signer_that_has_spent_what_it_may_signs_no_more_and_says_so_before_the_next() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 2,
        budget: Budget {
            signer: r#"{ minute = "unlimited", day = 0.06 }"#,
            ..Budget::UNLIMITED
        },
        ..Setup::default()
    })
    .await;
    let first = Payment::by(1);
    world.facilitator.settle(&first.body()).await.pending();
    let second = Payment::by(2);
    let tx = world.facilitator.settle(&second.body()).await.pending();
    assert_eq!(tx, "", "nothing was signed for it");
    exhausted(&world.facilitator.settle(&Payment::by(3).body()).await, "signer");
    assert_eq!(world.db.count("payments").await, 2);
    assert_eq!(world.proxy.transactions().len(), 1);
    eventually("both are settled once the first has its receipt", async || {
        world.node.mine(1).await;
        world.is_paid(&second).await.then_some(())
    })
    .await;
    books_agree(&world).await;
}

#[tokio::test]
async fn m04_a_network_that_no_signer_can_pay_on_is_withdrawn_until_one_is_funded() {
    let world = World::start(Setup {
        network_key: "balance_min = 1.5",
        ..Setup::default()
    })
    .await;
    let signer = addresses().accounts[9].address;
    let fund = async |wei: &str| world.node.call("anvil_setBalance", json!([signer, wei])).await;
    let kinds = async || {
        let supported = world.facilitator.get("/supported").await.json();
        supported["kinds"].as_array().unwrap().len()
    };
    assert_eq!(kinds().await, 2);
    // While a payment waits to be final, balances are read every 10 s.
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
    fund("0xde0b6b3a7640000").await;
    eventually("it is withdrawn", async || (kinds().await == 0).then_some(())).await;
    let payment = Payment::by(1);
    assert_eq!(
        world.facilitator.verify(&payment.body()).await.verdict(503)["isValid"],
        false
    );
    let refused = world.facilitator.settle(&payment.body()).await;
    let message = refused.outcome(503)["errorMessage"].clone();
    assert!(message.as_str().unwrap().contains("is not served now"), "{message}");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(world.db.count("payments").await, 1);
    let ready = world.facilitator.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["withdrawn"]), (200, &json!([NETWORK])));
    let metrics = world.facilitator.metrics().await;
    let gauge = |name: &str| metrics.lines().find(|it| it.starts_with(name)).unwrap().to_owned();
    assert!(gauge("facilitator_signer_balance").ends_with(" 1"), "{metrics}");
    assert!(
        gauge("facilitator_signer_settlements_left").ends_with(" 21"),
        "{metrics}"
    );
    assert!(gauge("facilitator_network_withdrawn").ends_with(" 1"));
    assert_eq!(world.facilitator.logs().matches("network withdrawn").count(), 1);

    fund("0x8ac7230489e80000").await;
    eventually("it is back", async || (kinds().await == 2).then_some(())).await;
    let ready = world.facilitator.get("/health/ready").await;
    assert_eq!(ready.json()["withdrawn"], json!([]));
    let turns = [
        "signer.low_balance",
        "network.withdrawn",
        "signer.funded",
        "network.restored",
    ];
    assert_eq!(notices(&world, turns.len()).await, turns);
    world.facilitator.settle(&payment.body()).await.settled();
    books_agree(&world).await;
}

/// The fee for data is the chain's own to take: receipts tell it, as an OP node's do.
fn charge_for_data(_: &Call, answer: &mut Value) {
    if answer["result"].is_object() {
        answer["result"]["l1Fee"] = json!("0x2540be400");
    }
}

#[tokio::test]
async fn m05_a_spike_of_the_fee_for_data_is_waited_out_and_the_fee_is_metered() {
    let mut world = World::prepare(Setup {
        wait_seconds: 1,
        budget: Budget {
            total: r#"{ minute = "unlimited", day = 100 }"#,
            ..Budget::UNLIMITED
        },
        ..Setup::default()
    })
    .await;
    world.node.set_code(ORACLE, &ORACLE_CODE).await;
    let (status, said) = world.facilitator.run("doctor", &[]).await;
    assert!(!status.success() && said.contains("data_fee_max_gwei"), "{said}");
    world.facilitator.config.evm[0].key = "data_fee_max_gwei = 1000";
    let price = async |gwei: u64| {
        let wei = format!("{:#066x}", u128::from(gwei) * 1_000_000_000);
        world.node.call("anvil_setStorageAt", json!([ORACLE, "0x0", wei])).await
    };
    price(100).await;
    let receipts = world.proxy.fault(
        |call| call.method == "eth_getTransactionReceipt",
        Fault::Falsify(charge_for_data),
    );
    world.facilitator.start().await;
    let first = Payment::by(1);
    let tx = world.facilitator.settle(&first.body()).await.settled();
    let receipt = world.node.receipt(&tx).await;
    let cost = u128::from(number(&receipt["gasUsed"])) * u128::from(number(&receipt["effectiveGasPrice"]));
    eventually("the fee for data is metered", async || {
        (held(&world).await == cost + 10_000_000_000).then_some(())
    })
    .await;

    price(501).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let second = Payment::by(2);
    let unsigned = world.facilitator.settle(&second.body()).await.pending();
    assert_eq!(unsigned, "");
    assert_eq!(world.proxy.transactions(), [tx]);
    price(100).await;
    world.reaches(&second, "confirmed").await;
    receipts.release();
    books_agree(&world).await;
}
