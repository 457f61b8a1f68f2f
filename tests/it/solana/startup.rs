//! A facilitator that cannot serve the cluster that it is told to serve does not start, and says which thing is wrong.

use solana_pubkey::Pubkey;

use crate::support::config::{Listed, Solana};
use crate::support::proxy::SECRET;
use crate::support::solana::world::{Setup, SolanaWorld, listed};

/// Neither `serve` nor `doctor` goes through with this, and both name these things.
async fn refused(world: &mut SolanaWorld, case: &str, change: impl FnOnce(&mut Solana), named: &[&str]) {
    let good = world.facilitator.config.clone();
    change(&mut world.facilitator.config.solana[0]);
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
        for key in world.facilitator.config.solana[0]
            .signers
            .iter()
            .filter(|key| key.len() > 60)
        {
            assert!(!said.contains(key.as_str()), "{case}: {said}");
        }
    }
    world.facilitator.config = good;
}

#[tokio::test]
async fn another_cluster_is_refused() {
    let mut world = Setup::default().prepare().await;
    let found = world.node.at.genesis_hash.clone();
    let other = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";
    let by_hash = |it: &mut Solana| it.genesis_hash = Some(other.into());
    refused(&mut world, "another genesis hash", by_hash, &[other, &found]).await;
    // Without a hash of its own, the network's name says which it is.
    let by_name = |it: &mut Solana| it.genesis_hash = None;
    refused(
        &mut world,
        "another network",
        by_name,
        &["EtWTRABZaYq6iMfeYKouRu166VU2xqa1", &found],
    )
    .await;
    let short = |it: &mut Solana| it.network = "solana:devnet".into();
    refused(&mut world, "a network's nickname", short, &["id"]).await;
}

#[tokio::test]
async fn tokens_that_are_not_what_they_are_said_to_be() {
    let mut world = Setup::default().prepare().await;
    let token = |world: &SolanaWorld, name: &str| listed(world, name);
    let usdc = token(&world, "usdc");
    let nobody = world.node.at.seller_without_accounts.address.to_string();
    let account = world.node.mint("usdc").seller_account.to_string();
    let fee_payer = world.node.at.fee_payers[0].address.to_string();
    let with = |change: fn(&mut Listed)| {
        let mut changed = usdc.clone();
        change(&mut changed);
        changed
    };
    let at = |address: &str| Listed {
        address: address.into(),
        ..usdc.clone()
    };
    for (case, mint, named) in [
        ("another number of decimals", with(|it| it.decimals = 9), vec!["9", "6"]),
        (
            "another program",
            with(|it| it.program = "token-2022".into()),
            vec!["token-2022"],
        ),
        ("no account", at(&nobody), vec![nobody.as_str()]),
        ("a token account", at(&account), vec![account.as_str()]),
        ("a wallet", at(&fee_payer), vec![fee_payer.as_str()]),
        ("a fee", token(&world, "transferFee"), vec!["fee"]),
        ("a hook", token(&world, "transferHook"), vec!["hook"]),
        ("not transferable", token(&world, "nonTransferable"), vec!["transfer"]),
        ("no address", at("0x00"), vec!["address"]),
        ("no program", with(|it| it.program = "spl".into()), vec!["program"]),
    ] {
        let address = mint.address.clone();
        let named = [
            named,
            if case.starts_with("no ") {
                vec![]
            } else {
                vec![address.as_str()]
            },
        ]
        .concat();
        refused(&mut world, case, |it| it.mints = vec![mint], &named).await;
    }
    refused(&mut world, "no token", |it| it.mints.clear(), &["asset"]).await;
    let twice = vec![usdc.clone(), usdc];
    refused(&mut world, "a token twice", |it| it.mints = twice, &["asset"]).await;
}

#[tokio::test]
async fn fee_payers_that_cannot_pay_or_are_none() {
    let mut world = Setup::default().prepare().await;
    let at = &world.node.at;
    // Nobody has sent it anything.
    let empty = (at.seller.text.clone(), at.seller.address.to_string());
    let good = at.fee_payers[0].text.clone();
    let mut mismatched = [0; 64];
    mismatched[..32].copy_from_slice(&at.fee_payers[0].signer.to_bytes());
    mismatched[32..].copy_from_slice(&at.payers[0].address.to_bytes());
    let mismatched = solana_signature::Signature::from(mismatched).to_string();
    let signers = |keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|it| (*it).to_owned()).collect();
        move |it: &mut Solana| it.signers = keys
    };
    refused(&mut world, "without lamports", signers(&[&empty.0]), &[&empty.1, "SOL"]).await;
    refused(&mut world, "no key", signers(&["key"]), &["signers[0]"]).await;
    refused(&mut world, "an address", signers(&[&empty.1]), &["signers[0]"]).await;
    refused(
        &mut world,
        "halves that do not fit",
        signers(&[&mismatched]),
        &["signers[0]"],
    )
    .await;
    refused(&mut world, "numbers too few", signers(&["[1,2,3]"]), &["signers[0]"]).await;
    refused(&mut world, "the same twice", signers(&[&good, &good]), &["signers[1]"]).await;
    refused(&mut world, "none", signers(&[]), &["signers"]).await;
    let retired = |it: &mut Solana| it.retired_signers = it.signers.clone();
    refused(&mut world, "advertised and retired", retired, &["retired_signers[0]"]).await;
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_by_name() {
    let mut world = Setup::default().prepare().await;
    for (case, key, named) in [
        ("an unknown key", "colour = \"red\"", "colour"),
        ("a key of EVM", "fee_max_gwei = 1", "fee_max_gwei"),
        ("too much time", "lifetime_min_blocks = 150", "lifetime_min_blocks"),
        ("no time", "lifetime_min_blocks = 0", "lifetime_min_blocks"),
        ("too few signatures", "signatures_max = 1", "signatures_max"),
        ("too many signatures", "signatures_max = 13", "signatures_max"),
        ("no compute units", "compute_units_max = 0", "compute_units_max"),
    ] {
        refused(&mut world, case, |it| it.key = key, &[named]).await;
    }
    let sure = |it: &mut Solana| it.commitment = "processed";
    refused(&mut world, "too little sureness", sure, &["commitment"]).await;
    let nowhere = |it: &mut Solana| it.rpc_url = format!("http://127.0.0.1:1/{SECRET}");
    let network = world.node.at.network.clone();
    refused(&mut world, "no node", nowhere, &[&network]).await;
}

#[tokio::test]
async fn doctor_says_what_is_served_who_can_be_paid_and_changes_nothing() {
    let world = Setup::default().prepare().await;
    let (status, said) = world.facilitator.run("doctor", &[]).await;
    assert!(status.success(), "{said}");
    for thing in [
        world.node.at.network.clone(),
        world.node.at.fee_payers[0].address.to_string(),
    ] {
        assert!(said.contains(&thing), "{thing}: {said}");
    }
    let tables = "pg_tables where schemaname = 'public'";
    assert_eq!(world.db.count(tables).await, 0, "doctor changes nothing");
    let (paid, new) = (
        world.node.at.seller.address.to_string(),
        Pubkey::new_from_array([9; 32]).to_string(),
    );
    let (status, said) = world.facilitator.run("doctor", &["--pay-to", &paid]).await;
    assert!(
        status.success() && said.contains(&format!("payments to {paid} can arrive")),
        "{said}"
    );
    let (status, said) = world.facilitator.run("doctor", &["--pay-to", &new]).await;
    assert!(
        !status.success() && said.contains("does not exist: its owner has to create it"),
        "{said}"
    );
    assert_eq!(world.lamports_spent().await, 0);
}

#[tokio::test]
async fn a_keypair_may_be_written_as_its_file_has_it() {
    let mut world = Setup::default().prepare().await;
    let key = world.node.at.fee_payers[0].clone();
    let bytes = [key.signer.to_bytes(), key.address.to_bytes()].concat();
    world.facilitator.config.solana[0].signers = vec![format!("{bytes:?}")];
    world.facilitator.start().await;
    world.facilitator.settle(&world.payment(0).await.body()).await.settled();
}

/// A WebSocket only saves time.
#[tokio::test]
async fn a_websocket_that_is_not_there_is_done_without() {
    let mut world = Setup::default().prepare().await;
    for ws_url in [None, Some(format!("ws://127.0.0.1:1/{SECRET}"))] {
        world.facilitator.config.solana[0].ws_url = ws_url;
        world.facilitator.start().await;
        world.facilitator.settle(&world.payment(0).await.body()).await.settled();
        world.facilitator.kill();
    }
    assert!(!world.facilitator.logs().contains(SECRET));
    assert_eq!(world.received().await, 20_000);
}
