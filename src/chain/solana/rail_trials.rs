//! The whole rail against a real node, from its start-up proof to a final payment.

use std::time::Duration;

use serde_json::{Value, json};
use solana_hash::Hash;
use solana_pubkey::Pubkey;

use super::surfpool::Surfpool;
use super::trials::{Draft, request};
use super::{Settings, SolanaRail};
use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::flaw::Flaw;
use crate::domain::id::PaymentId;
use crate::domain::rail::{DataFee, Delivery, Facts, LaneId, Observation, Quote, Rail, Simulation, Watched};
use crate::domain::settlement::Landed;
use crate::domain::verdict::judge_facts;
use crate::task::Tasks;

const AMOUNT: u64 = 10_000;
pub(super) const FREE: Quote = Quote {
    floor: 0,
    fee_max: 0,
    tip: 0,
    fee_cap: 0,
    data: DataFee { now: 0, max: 0 },
};

/// Settings for this node that accept these mints, each by its name there.
pub(super) fn settings(node: &Surfpool, mints: &[&str]) -> Value {
    let assets: Vec<Value> = mints
        .iter()
        .map(|name| {
            let mint = &node.at["mints"][name];
            let (address, decimals, program) = (&mint["address"], &mint["decimals"], &mint["program"]);
            json!({ "address": address, "symbol": name, "decimals": decimals, "program": program })
        })
        .collect();
    json!({
        "id": node.text("/network"),
        "genesis_hash": node.text("/genesisHash"),
        "rpc_url": node.text("/rpcUrl"),
        "ws_url": node.text("/wsUrl"),
        "signers": [node.text("/feePayers/0/key"), node.text("/feePayers/1/key")],
        "retired_signers": [node.text("/retiredFeePayer/key")],
        "budget": {
            "total": { "minute": "unlimited", "day": "unlimited" },
            "signer": { "minute": "unlimited", "day": "unlimited" },
            "payer": { "minute": "unlimited", "day": "unlimited" },
        },
        "block_time_ms": 50,
        "asset": assets,
    })
}

pub(super) async fn connect(settings: Value, tasks: &Tasks) -> Result<SolanaRail, String> {
    let settings: Settings = serde_json::from_value(settings).unwrap();
    SolanaRail::connect(&settings, tasks).await.map_err(|it| it.to_string())
}

/// The authorization of a payment to this owner that the draft makes.
pub(super) fn decode(rail: &SolanaRail, draft: &Draft, mint: Pubkey, owner: Pubkey, amount: u64) -> Authorization {
    let mut request = request(&draft.wire(), &json!({ "feePayer": draft.fee_payer.to_string() }));
    request.terms.asset = mint.to_string();
    request.terms.pay_to = owner.to_string();
    request.terms.amount = Amount::from_units(amount.into());
    request.offer.terms = request.terms.clone();
    rail.decode(&request).unwrap()
}

#[tokio::test]
async fn a_payment_is_verified_signed_and_seen_until_it_is_final() {
    let (node, tasks) = (Surfpool::start(50), Tasks::default());
    let rail = connect(settings(&node, &["usdc"]), &tasks).await.unwrap();
    let (mint, owner) = (node.address("/mints/usdc/address"), node.address("/seller/address"));
    let draft = node.draft("usdc", owner, AMOUNT, "a note").await;
    let authorization = decode(&rail, &draft, mint, owner, AMOUNT);
    let (_, newest) = node.latest().await;

    let facts = rail.inspect(&authorization).await.unwrap();
    judge_facts(&authorization, &facts).unwrap();
    assert!((newest - 2..=newest + 2).contains(&facts.height), "{facts:?}, {newest}");

    let signed = rail.sign(&rail.lanes()[0], 7, &[&authorization], &FREE).unwrap();
    let [tx] = signed.as_slice() else { panic!("{signed:?}") };
    // Two signatures, and 20,000 units at a micro-lamport are rounded up to a whole one.
    assert_eq!((tx.payments, tx.cost_max), (1, Amount::from_units(10_001)));
    assert!(rail.sign(&rail.lanes()[1], 7, &[&authorization], &FREE).is_err());

    assert_eq!(rail.deliver(&tx.raw).await, Delivery::Accepted);
    tokio::time::timeout(Duration::from_secs(10), rail.hint())
        .await
        .unwrap();
    let landed = until(&rail, &authorization, &facts, tx, |it| it.is_deep_enough).await;
    assert_eq!((&landed.tx, landed.log_index), (&tx.id, 2));
    until(&rail, &authorization, &facts, tx, |it| it.is_final).await;
    tasks.drain(Duration::from_secs(5)).await;
}

/// Looks until the payment has landed so well.
pub(super) async fn until(
    rail: &SolanaRail,
    authorization: &Authorization,
    facts: &Facts,
    tx: &crate::domain::rail::SignedTx,
    enough: impl Fn(&Landed) -> bool,
) -> Landed {
    let payment = PaymentId::mint();
    let txs = [tx.id.clone()];
    for _ in 0..400 {
        let watched = Watched {
            payment,
            authorization,
            txs: &txs,
            landed: None,
            since_height: facts.height,
            seek: false,
        };
        let mut sighting = rail.observe(&[watched], &[]).await.unwrap();
        match sighting.payments.remove(&payment) {
            Some(Observation::Landed(landed)) if enough(&landed) => return landed,
            Some(Observation::Landed(_) | Observation::Unseen { .. }) | None => {}
            Some(other) => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not seen");
}

#[tokio::test]
async fn the_node_says_of_each_payment_what_is_wrong_with_it() {
    let (node, tasks) = (Surfpool::start(50), Tasks::default());
    let rail = connect(settings(&node, &["usdc", "pyusd", "nineDecimals"]), &tasks)
        .await
        .unwrap();
    let (seller, nobody) = (
        node.address("/seller/address"),
        node.address("/sellerWithoutAccounts/address"),
    );
    let fortune = 10_u64.pow(18);
    // Verified at once, they share calls and are told apart.
    let cases = [
        ("usdc", seller, AMOUNT, None),
        ("pyusd", seller, AMOUNT, None),
        ("nineDecimals", seller, AMOUNT, None),
        ("usdc", nobody, AMOUNT, None),
        ("usdc", seller, fortune, None),
        ("usdc", seller, AMOUNT, Some(Hash::new_from_array([3; 32]))),
    ];
    let mut payments = Vec::new();
    for (mint, owner, amount, blockhash) in cases {
        let mut draft = node.draft(mint, owner, amount, mint).await;
        draft.blockhash = blockhash.unwrap_or(draft.blockhash);
        let mint = node.address(&format!("/mints/{mint}/address"));
        payments.push(decode(&rail, &draft, mint, owner, amount));
    }
    let facts = futures_util::future::join_all(payments.iter().map(|it| rail.inspect(it))).await;
    let facts: Vec<Facts> = facts.into_iter().map(Result::unwrap).collect();
    for good in 0..3 {
        judge_facts(&payments[good], &facts[good]).unwrap();
    }
    assert!(matches!(&facts[3].flaw, Some(Flaw::DestinationMissing { owner, .. }) if *owner == nobody.to_string()));
    assert_eq!(facts[4].balance, Amount::from_units(1_000_000_000_000));
    let Simulation::Failed { reason } = &facts[4].transfer else {
        panic!("{:?}", facts[4])
    };
    assert!(reason.contains("insufficient funds"), "{reason}");
    assert_eq!(facts[5].flaw, Some(Flaw::BlockhashTooOld));
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn one_fee_payer_is_named_and_none_that_is_poor_or_retired() {
    let (node, tasks) = (Surfpool::start(50), Tasks::default());
    let mut settings = settings(&node, &["usdc"]);
    let poor = node.text("/poorFeePayer/key");
    settings["signers"].as_array_mut().unwrap().insert(0, poor.into());
    let rail = connect(settings, &tasks).await.unwrap();
    let able = [node.text("/feePayers/0/address"), node.text("/feePayers/1/address")];
    assert_eq!(rail.lanes().len(), 4);
    let balances = rail.balances().await.unwrap();
    let rich: Vec<LaneId> = rail
        .lanes()
        .iter()
        .zip(balances)
        .filter(|(_, balance)| *balance >= rail.purse().balance_min)
        .map(|(lane, _)| lane.clone())
        .collect();
    for _ in 0..2 {
        let advertised = rail.advertised(&rich);
        assert_eq!(advertised.signers, able);
        let extra: Value = serde_json::from_str(&advertised.extra.unwrap()).unwrap();
        assert_eq!(extra, json!({ "feePayer": able[0] }));
    }
    let owner = node.address("/seller/address");
    let mut draft = node.draft("usdc", owner, AMOUNT, "to a retired one").await;
    draft.fee_payer = node.address("/retiredFeePayer/address");
    let authorization = decode(&rail, &draft, node.address("/mints/usdc/address"), owner, AMOUNT);
    let facts = rail.inspect(&authorization).await.unwrap();
    judge_facts(&authorization, &facts).unwrap();
    let lane = rail
        .lanes()
        .iter()
        .find(|it| Some(&it.signer) == authorization.signer.as_ref());
    assert!(rail.sign(lane.unwrap(), 0, &[&authorization], &FREE).is_ok());
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_cluster_that_is_not_as_configured_is_not_served() {
    let (node, tasks) = (Surfpool::start(50), Tasks::default());
    let good = || settings(&node, &["usdc"]);
    let with = |path: &str, value: Value| {
        let mut settings = good();
        *settings.pointer_mut(path).unwrap() = value;
        settings
    };
    let unfit = |mint: &str| settings(&node, &[mint]);
    let penniless = bs58_keypair([77; 32]);
    let payer = node.text("/payers/0/address");
    for (settings, words) in [
        // No digit of base58, so that no cluster's begins so by chance.
        (with("/genesis_hash", "0".into()), "expected genesis hash 0"),
        (
            with("/genesis_hash", Value::Null),
            "expected genesis hash EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
        ),
        (with("/asset/0/decimals", 9.into()), "expected 9 decimals, found 6"),
        (
            with("/asset/0/program", "token-2022".into()),
            "found an account that belongs to another program",
        ),
        (
            with("/asset/0/address", payer.into()),
            "expected a mint of program token, found no account",
        ),
        (
            with("/asset/0/address", node.text("/mints/usdc/sellerAccount").into()),
            "is no mint",
        ),
        (unfit("transferFee"), "takes a transfer fee of 100 basis points"),
        (unfit("transferHook"), "has a transfer hook"),
        (unfit("nonTransferable"), "cannot be transferred"),
        (with("/signers/1", penniless.clone().into()), "send it SOL"),
        (
            with("/signers/1", node.text("/feePayers/0/key").into()),
            "signers[1]: expected each key once",
        ),
        (
            with("/retired_signers/0", node.text("/feePayers/0/key").into()),
            "retired_signers[0]: expected each key",
        ),
        (with("/signers/0", "secret".into()), "signers[0]: "),
        (
            with("/rpc_url", "http://127.0.0.1:1/secret".into()),
            "error sending request",
        ),
    ] {
        let complaint = connect(settings, &tasks).await.expect_err(words);
        assert!(complaint.contains(words), "{complaint}");
        assert!(
            !complaint.contains("secret") && !complaint.contains("127.0.0.1"),
            "{complaint}"
        );
    }
    // Nothing is sent by one that is retired before somebody pays out to it.
    connect(with("/retired_signers/0", penniless.into()), &tasks)
        .await
        .unwrap();
    connect(settings(&node, &["pyusd", "ousd"]), &tasks).await.unwrap();
    tasks.drain(Duration::from_secs(5)).await;
}

fn bs58_keypair(seed: [u8; 32]) -> String {
    let key = ed25519_dalek::SigningKey::from_bytes(&seed);
    solana_signature::Signature::from(key.to_keypair_bytes()).to_string()
}
