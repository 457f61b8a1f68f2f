//! Fee payers: several, some retired, some without money. Whoever is advertised can pay, and whoever was advertised
//! yesterday still does.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::payer::Envelope;
use crate::support::solana::books::books_agree;
use crate::support::solana::payer::NETWORK;
use crate::support::solana::world::{Setup, SolanaWorld};

async fn supported(world: &SolanaWorld) -> Value {
    let answer = world.facilitator.get("/supported").await;
    assert_eq!(answer.status, 200);
    answer.json()
}

/// The fee payers that are advertised, and the one that each version is told.
async fn advertised(world: &SolanaWorld) -> (Vec<String>, Vec<(u64, String, String)>) {
    let said = supported(world).await;
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let signers = said["signers"]["solana:*"].as_array().into_iter().flatten().map(text);
    let kinds = said["kinds"].as_array().unwrap().iter();
    let kinds = kinds.map(|it| {
        assert_eq!(it["scheme"], "exact");
        (
            it["x402Version"].as_u64().unwrap(),
            text(&it["network"]),
            text(&it["extra"]["feePayer"]),
        )
    });
    (signers.collect(), kinds.collect())
}

#[tokio::test]
async fn case_9_both_versions_are_told_the_fee_payer() {
    let world = Setup::default().start().await;
    let fee_payer = world.node.at.fee_payers[0].address.to_string();
    let (signers, mut kinds) = advertised(&world).await;
    kinds.sort();
    assert_eq!(signers, std::slice::from_ref(&fee_payer));
    assert_eq!(
        kinds,
        [
            (1, "solana-devnet".to_owned(), fee_payer.clone()),
            (2, NETWORK.to_owned(), fee_payer)
        ]
    );
}

/// Official servers ask more than once for one purchase, and refuse a client that was told another fee payer.
#[tokio::test]
async fn of_several_fee_payers_all_pay_and_the_same_is_told() {
    let setup = Setup {
        fee_payers: 2,
        ..Setup::default()
    };
    let world = setup.start().await;
    let at = &world.node.at;
    let (signers, kinds) = advertised(&world).await;
    assert_eq!(signers.len(), 2);
    for _ in 0..5 {
        assert_eq!(advertised(&world).await.1, kinds);
    }
    for fee_payer in at.fee_payers.iter().chain([&at.retired_fee_payer]) {
        for envelope in Envelope::BOTH {
            let payment = world.payment(0).await.through(fee_payer.address);
            let tx = world.facilitator.settle(&payment.body_in(envelope)).await.settled();
            let found = world.node.transaction(&tx).await.unwrap();
            let keys = &found["transaction"]["message"]["accountKeys"];
            assert_eq!(keys[0], fee_payer.address.to_string());
        }
        assert!(world.node.lamports(fee_payer.address).await < 10_000_000_000);
    }
    assert_eq!(world.received().await, 60_000);
    books_agree(&world).await;
}

/// Merchants hold requirements that name it, so that it is accepted as long as its key is there.
#[tokio::test]
async fn a_retired_fee_payer_still_pays_and_is_not_advertised() {
    let mut world = Setup::default().start().await;
    let keys = &world.node.at;
    let (old, new) = (keys.fee_payers[0].clone(), keys.fee_payers[1].clone());
    let asked_before = world.payment(0).await;
    assert_eq!(asked_before.fee_payer, old.address);
    world.facilitator.terminate();
    assert!(world.facilitator.ended().await.success());
    let cluster = &mut world.facilitator.config.solana[0];
    (cluster.signers, cluster.retired_signers) = (vec![new.text], vec![old.text]);
    world.facilitator.start().await;
    let (signers, kinds) = advertised(&world).await;
    assert_eq!(signers, [new.address.to_string()]);
    assert!(
        kinds.iter().all(|(.., told)| *told == new.address.to_string()),
        "{kinds:?}"
    );
    world.facilitator.settle(&asked_before.body()).await.settled();
    let asked_after = world.payment(1).await.through(new.address);
    world.facilitator.settle(&asked_after.body()).await.settled();
    let gone = world.payment(2).await.through(world.node.at.retired_fee_payer.address);
    assert_eq!(
        world.facilitator.verify(&gone.body()).await.invalid(),
        "invalid_exact_svm_fee_payer_not_managed_by_facilitator"
    );
    books_agree(&world).await;
}

#[tokio::test]
async fn m04_a_fee_payer_with_too_little_is_not_advertised_and_takes_no_payments() {
    let mut world = Setup::default().prepare().await;
    let poor = world.node.at.poor_fee_payer.clone();
    let rich = world.node.at.fee_payers[0].clone();
    world.facilitator.config.solana[0].signers = vec![poor.text.clone(), rich.text];
    world.facilitator.start().await;
    let (signers, kinds) = advertised(&world).await;
    assert_eq!(signers, [rich.address.to_string()]);
    assert!(
        kinds.iter().all(|(.., told)| *told == rich.address.to_string()),
        "{kinds:?}"
    );
    let payment = world.payment(0).await.through(poor.address);
    world.facilitator.verify(&payment.body()).await.verdict(503);
    world.facilitator.settle(&payment.body()).await.outcome(503);
    assert_eq!(world.db.count("payments").await, 0);
    let metrics = world.facilitator.metrics().await;
    let gauge = metrics
        .lines()
        .find(|it| it.starts_with("facilitator_signer_balance") && it.contains(&poor.address.to_string()));
    assert!(gauge.is_some_and(|it| it.ends_with(" 0.001")), "{gauge:?}");
}

/// Nobody could pay: merchants are told so by finding nothing.
#[tokio::test]
async fn a_network_that_nobody_can_pay_on_is_not_offered() {
    let mut world = Setup::default().prepare().await;
    world.facilitator.config.solana[0].signers = vec![world.node.at.poor_fee_payer.text.clone()];
    world.facilitator.start().await;
    let said = supported(&world).await;
    assert_eq!((&said["kinds"], &said["signers"]), (&json!([]), &json!({})));
}

/// Money runs out, or comes back, while payments are taken.
#[tokio::test]
async fn what_is_advertised_follows_the_balance() {
    let setup = Setup {
        fee_payers: 2,
        ..Setup::default()
    };
    let world = setup.start().await;
    let [first, second] = [0, 1].map(|i| world.node.at.fee_payers[i].address);
    assert!(
        advertised(&world)
            .await
            .1
            .iter()
            .all(|(.., told)| *told == first.to_string())
    );
    world.node.set_lamports(first, 9_999_999).await;
    eventually("the next one is advertised", async || {
        let (signers, kinds) = advertised(&world).await;
        let all = kinds.iter().all(|(.., told)| *told == second.to_string());
        (all && signers == [second.to_string()]).then_some(())
    })
    .await;
}
