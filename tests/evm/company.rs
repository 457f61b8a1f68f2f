//! Many payments at once: they share calls, and nobody suffers for a neighbour.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::rail::{Verdict, connect, settings, verify};
use super::verify::{counterfactual, good};
use crate::support::anvil::Anvil;
use crate::support::pay::Payment;
use crate::support::proxy::{Fate, Proxy};

async fn verdicts(rail: &dyn facilitator::domain::rail::Rail, payments: &[Payment]) -> Vec<Verdict> {
    join_all(payments.iter().map(|payment| verify(rail, payment))).await
}

/// How many payments a call to the lens carries: the size of its list.
fn carried(call: &Value) -> Option<usize> {
    let data = call["params"][0]["data"].as_str()?;
    let lens = include_str!("../../src/chain/evm/lens.hex").trim_end();
    let arguments = data.strip_prefix(lens)?;
    usize::from_str_radix(&arguments[4 * 64..5 * 64], 16).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_payment_takes_one_call_and_many_share_few() {
    let anvil = Anvil::start(&[]).await;
    let proxy = Proxy::before(&anvil.url).await;
    let rail = connect(settings(&anvil, &proxy.url)).await.unwrap();
    proxy.requests();
    assert_eq!(verify(&*rail, &good(&anvil, 1, "lone")).await, Verdict::Good);
    assert_eq!(proxy.requests(), 1);

    let payments: Vec<Payment> = (0..200)
        .map(|n| good(&anvil, 1 + n % 9, &format!("many {n}")))
        .collect();
    let decoded: Vec<_> = payments
        .iter()
        .map(|payment| rail.decode(&payment.request()).unwrap())
        .collect();
    let began = Instant::now();
    let all = join_all(decoded.iter().map(|authorization| rail.inspect(authorization))).await;
    let took = began.elapsed();
    assert!(
        all.iter()
            .all(|facts| facts.as_ref().is_ok_and(|facts| facts.signature_valid))
    );
    let requests = proxy.requests();
    println!("200 payments: {requests} calls, {took:?}");
    assert!(requests <= 25, "{requests} calls for 200 payments");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_neighbours_harm_nobody() {
    let anvil = Anvil::start(&[]).await;
    let rail = connect(settings(&anvil, &anvil.url)).await.unwrap();
    let hostile = |n: usize| {
        let wallet = |name: &str| {
            let mut payment = good(&anvil, 1, &format!("hostile {n}"));
            payment.from = anvil.address(name);
            payment
        };
        let mut long = wallet("bombWallet");
        long.signature = format!("0x{}", "ab".repeat(16 * 1024 - 1));
        [
            wallet("gasHogWallet"),
            wallet("bombWallet"),
            wallet("refusingWallet"),
            counterfactual(&anvil, &anvil.address("revertingFactory"), &format!("factory {n}")),
            long,
        ]
    };
    for round in 0..3 {
        let mut payments = Vec::new();
        for n in 0..12 {
            payments.extend(hostile(round * 100 + n));
            payments.extend((0..5).map(|k| good(&anvil, 1 + k, &format!("{round} {n} {k}"))));
        }
        let began = Instant::now();
        let all = verdicts(&*rail, &payments).await;
        println!(
            "{} payments, half of them hostile: {:?}",
            payments.len(),
            began.elapsed()
        );
        for (index, verdict) in all.iter().enumerate() {
            let is_hostile = index % 10 < 5;
            assert_eq!(*verdict == Verdict::Good, !is_hostile, "{index}: {verdict:?}");
            assert_ne!(verdict.name(), "Fault", "{index}: {verdict:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_spoils_its_call_is_asked_about_alone() {
    let anvil = Anvil::start(&[]).await;
    let proxy = Proxy::before(&anvil.url).await;
    let rail = connect(settings(&anvil, &proxy.url)).await.unwrap();
    let poison = anvil.account(9)[2..].to_lowercase();
    proxy.judge(move |call| {
        let spoils = call["params"][0]["data"]
            .as_str()
            .is_some_and(|data| data.contains(&poison));
        if spoils {
            Fate::Fail(-32_000, "internal error")
        } else {
            Fate::Pass
        }
    });
    let payments: Vec<Payment> = (0..40)
        .map(|n| good(&anvil, 1 + n % 9, &format!("poison {n}")))
        .collect();
    for (n, verdict) in verdicts(&*rail, &payments).await.iter().enumerate() {
        let expected = if n % 9 == 8 { "Fault" } else { "Good" };
        assert_eq!(verdict.name(), expected, "{n}: {verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_starved_in_company_is_asked_about_alone() {
    let anvil = Anvil::start(&[]).await;
    let proxy = Proxy::before(&anvil.url).await;
    let rail = connect(settings(&anvil, &proxy.url)).await.unwrap();
    // A node that gives any call enough for a few payments only.
    proxy.judge(|call| {
        let mut call = call.clone();
        call["params"][0]["gas"] = json!("0x2dc6c0");
        Fate::Change(call)
    });
    let payments: Vec<Payment> = (0..40)
        .map(|n| good(&anvil, 1 + n % 9, &format!("starved {n}")))
        .collect();
    let all = verdicts(&*rail, &payments).await;
    assert!(all.iter().all(|verdict| *verdict == Verdict::Good), "{all:?}");

    // And one that gives too little for any: no payment is refused for that.
    proxy.judge(|call| {
        let mut call = call.clone();
        call["params"][0]["gas"] = json!("0xaae60");
        Fate::Change(call)
    });
    assert_eq!(verify(&*rail, &payments[0]).await.name(), "Fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_running_the_lens_is_asked_otherwise() {
    let anvil = Anvil::start(&[]).await;
    let proxy = Proxy::before(&anvil.url).await;
    let rail = connect(settings(&anvil, &proxy.url)).await.unwrap();
    proxy.judge(|call| match carried(call) {
        Some(_) => Fate::Fail(-32_602, "missing 'to' in call"),
        None => Fate::Pass,
    });
    proxy.requests();
    for n in 0..2 {
        assert_eq!(verify(&*rail, &good(&anvil, 1, &format!("{n}"))).await, Verdict::Good);
    }
    assert_eq!(proxy.requests(), 3, "the lens is tried once more, and then no longer");
}
