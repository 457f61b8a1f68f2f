//! A facilitator that cannot serve what it is told to serve does not start, and says which thing is wrong; `doctor`
//! says the same without serving.

use alloy::primitives::{B256, Bytes};
use serde_json::json;

use crate::support::config::{Asset, Config};
use crate::support::contracts::{Account, addresses};
use crate::support::payer::Payment;
use crate::support::proxy::SECRET;
use crate::support::world::{Setup, World};

/// Neither `serve` nor `doctor` goes through, and both name these things.
async fn refused(case: &str, world: &World, named: &[&str]) {
    for subcommand in ["serve", "doctor"] {
        let (status, said) = world.facilitator.run(subcommand, &[]).await;
        assert!(!status.success(), "{case}: {subcommand} goes through: {said}");
        for thing in named {
            assert!(
                said.contains(thing),
                "{case}: {subcommand} does not name {thing}: {said}"
            );
        }
        assert!(!said.contains(SECRET), "{case}: {said}");
        assert!(!said.contains(&world.db.password()), "{case}: {said}");
    }
    assert_eq!(world.node.sent_by(addresses().accounts[9].address).await, 0);
}

fn penniless() -> Account {
    Account {
        address: "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1".parse().unwrap(),
        key: B256::repeat_byte(1),
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_by_name() {
    let mut world = World::prepare(Setup::default()).await;
    let good = world.facilitator.config.clone();
    let usdc = addresses().usdc.to_string();
    let changed = |change: fn(&mut Config)| {
        let mut config = good.clone();
        change(&mut config);
        config
    };
    let cases: [(&str, Config, Vec<&str>); 10] = [
        (
            "another chain",
            changed(|it| it.evm[0].network = "eip155:8453"),
            vec!["eip155:8453", "84532"],
        ),
        (
            "another token name",
            changed(|it| it.evm[0].assets[0].name = "USD Coin"),
            vec![&usdc, "USD Coin"],
        ),
        (
            "another token version",
            changed(|it| it.evm[0].assets[0].version = "1"),
            vec![&usdc],
        ),
        (
            "no token there",
            changed(|it| it.evm[0].assets[0].address = penniless().address),
            vec!["0x1a642f0E"],
        ),
        (
            "another number of decimals",
            changed(|it| it.evm[0].key = "batch_max = 0"),
            vec!["batch_max"],
        ),
        (
            "a signer without money",
            changed(|it| it.evm[0].signers = vec![penniless()]),
            vec!["0x1a642f0E"],
        ),
        (
            "an unknown key",
            changed(|it| it.evm[0].key = "colour = \"red\""),
            vec!["colour"],
        ),
        (
            "a key of the wrong type",
            changed(|it| it.evm[0].key = "batch_max = \"many\""),
            vec!["batch_max"],
        ),
        (
            "no patience",
            changed(|it| it.wait_seconds = 26),
            vec!["settle.wait_seconds"],
        ),
        (
            "a broken signer",
            changed(|it| it.evm[0].signers[0].key = B256::ZERO),
            vec!["signers[0]"],
        ),
    ];
    for (case, config, named) in cases {
        world.facilitator.config = config;
        refused(case, &world, &named).await;
    }
}

#[tokio::test]
async fn doctor_says_what_is_served_and_changes_nothing() {
    let world = World::prepare(Setup::default()).await;
    let (status, said) = world.facilitator.run("doctor", &[]).await;
    assert!(status.success(), "{said}");
    let signer = addresses().accounts[9].address.to_string();
    assert!(said.contains("eip155:84532") && said.contains(&signer), "{said}");
    assert_eq!(
        world.db.count("pg_tables where schemaname = 'public'").await,
        0,
        "doctor changes nothing"
    );
    assert!(!said.contains("wrong  "), "{said}");
}

#[tokio::test]
async fn doctor_says_everything_that_is_wrong_in_plain_words() {
    let mut world = World::prepare(Setup::default()).await;
    let (at, well) = (addresses(), world.facilitator.config.clone());
    let pay_to = at.pay_to.to_string();
    let (status, said) = world.facilitator.run("doctor", &["--pay-to", &pay_to]).await;
    assert!(status.success(), "{said}");
    assert!(said.contains(&format!("payments to {pay_to} can arrive")), "{said}");
    assert!(said.contains("settlements at their dearest"), "{said}");

    let nobody = "0x0000000000000000000000000000000000000000";
    let (usdc, signer) = (at.usdc.to_string(), at.accounts[9].address.to_string());
    let asked = ["--pay-to", nobody, "--pay-to", &usdc, "--pay-to", &signer];
    let (status, said) = world.facilitator.run("doctor", &asked).await;
    assert!(!status.success() && said.contains("3 wrong"), "{said}");

    // Both networks are told of, and the database.
    let mut other = well.evm[0].clone();
    other.network = "eip155:8453";
    world.facilitator.config.evm.insert(0, other);
    world.facilitator.config.database_url = world.db.url_by(1);
    let (status, said) = world.facilitator.run("doctor", &[]).await;
    let told = [
        "wrong    database: ",
        "wrong    eip155:8453: ",
        "ok       eip155:84532: ",
        "2 wrong",
    ];
    for thing in told {
        assert!(!status.success() && said.contains(thing), "{thing}: {said}");
    }

    world.facilitator.config = well;
    world
        .node
        .call("anvil_setBalance", json!([signer, "0x9184e72a000"]))
        .await;
    let (status, said) = world.facilitator.run("doctor", &[]).await;
    assert!(
        !status.success() && said.contains("too little to take on any"),
        "{said}"
    );
}

#[tokio::test]
async fn what_the_chain_must_have_is_missed_by_name() {
    let world = World::prepare(Setup::default()).await;
    world.node.set_code(addresses().multicall3, &Bytes::new()).await;
    refused("no Multicall3", &world, &["Multicall3"]).await;
    let mut world = World::prepare(Setup::default()).await;
    world.facilitator.config.evm[0].assets = vec![Asset {
        address: addresses().plain_token,
        ..Asset::usdc()
    }];
    refused(
        "a token without EIP-3009",
        &world,
        &[&addresses().plain_token.to_string()],
    )
    .await;
}

#[tokio::test]
async fn dependencies_that_are_not_there_are_named_without_their_addresses() {
    let mut world = World::prepare(Setup::default()).await;
    let good = world.facilitator.config.clone();
    world.facilitator.config.evm[0].rpc_url = format!("http://127.0.0.1:1/{SECRET}");
    refused("no node", &world, &["eip155:84532"]).await;
    world.facilitator.config = good.clone();
    world.facilitator.config.database_url = world.db.url_by(1);
    refused("no database", &world, &["database"]).await;
    world.facilitator.config = good;
    world.facilitator.config.evm[0].rpc_url = "not a url".into();
    refused("a node's address that is none", &world, &["eip155:84532"]).await;
}

#[tokio::test]
async fn an_outdated_schema_is_brought_up_to_date_or_refused() {
    let world = World::prepare(Setup::default()).await;
    let (status, said) = world.facilitator.run("serve", &["--no-migrate"]).await;
    assert!(!status.success() && said.contains("schema"), "{said}");
    let (status, said) = world.facilitator.run("report", &[]).await;
    assert!(!status.success() && said.contains("schema"), "{said}");
    for _ in 0..2 {
        let (status, said) = world.facilitator.run("migrate", &[]).await;
        assert!(status.success(), "{said}");
    }
    let mut world = world;
    world.facilitator.start().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
}

#[tokio::test]
async fn a_lane_goes_on_from_the_nonce_that_its_signer_has() {
    let mut world = World::prepare(Setup::default()).await;
    let signer = addresses().accounts[9].address;
    let payment = Payment::by(2);
    for _ in 0..3 {
        let call = Payment::by(1).call();
        world.node.send_mined(signer, payment.asset, &call).await;
    }
    world.facilitator.start().await;
    world.facilitator.settle(&payment.body()).await.settled();
    let first: i64 = world.db.one("select first_nonce from lanes").await;
    assert_eq!(
        (
            first,
            world
                .node
                .call("eth_getTransactionCount", json!([signer, "latest"]))
                .await
        ),
        (3, json!("0x4"))
    );
}
