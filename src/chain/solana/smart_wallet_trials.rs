//! Payments of a smart wallet on a real node: a program makes the transfer, out of an account that only it can sign for
//! (`tests/stack/smart-wallet.mjs`, in the place of a wallet that the rail knows).

use std::time::Duration;

use serde_json::json;
use solana_message::v0::MessageAddressTableLookup;
use solana_pubkey::Pubkey;

use super::programs::{TOKEN, associated_token_account};
use super::rail_trials::{FREE, connect, decode, settings, until};
use super::surfpool::Surfpool;
use super::trials::{Call, Draft, compute_limit, compute_price, memo, reads, signs, writes};
use super::{SolanaRail, TokenProgram};
use crate::domain::amount::Amount;
use crate::domain::flaw::{Flaw, SmartWalletFlaw};
use crate::domain::rail::{Delivery, Rail};
use crate::domain::verdict::judge_facts;
use crate::task::Tasks;

const AMOUNT: u64 = 10_000;

async fn rail(node: &Surfpool, tasks: &Tasks) -> SolanaRail {
    let mut settings = settings(node, &["usdc"]);
    settings["smart_wallets"] = json!(true);
    connect(settings, tasks).await.unwrap()
}

/// A call by which the wallet pays so much into this token account.
fn pay(node: &Surfpool, destination: Pubkey, amount: u64) -> Call {
    let bump = u8::try_from(node.at["smartWallet"]["bump"].as_u64().unwrap()).unwrap();
    Call {
        program: node.address("/smartWallet/program"),
        accounts: vec![
            reads(TOKEN),
            writes(node.address("/smartWallet/account")),
            reads(node.address("/mints/usdc/address")),
            writes(destination),
            reads(node.address("/smartWallet/vault")),
            signs(node.address("/payers/0/address")),
        ],
        data: [&[bump, 12][..], &amount.to_le_bytes(), &[6]].concat(),
    }
}

fn to_seller(node: &Surfpool, amount: u64) -> Call {
    pay(node, node.address("/mints/usdc/sellerAccount"), amount)
}

async fn draft(node: &Surfpool, calls: Vec<Call>) -> Draft {
    Draft {
        fee_payer: node.address("/feePayers/0/address"),
        blockhash: node.latest().await.0,
        calls,
        keys: vec![node.key("/payers/0/key")],
        ..Draft::good()
    }
}

fn lookup(table: Pubkey) -> MessageAddressTableLookup {
    MessageAddressTableLookup {
        account_key: table,
        writable_indexes: vec![2],
        readonly_indexes: vec![3],
    }
}

#[tokio::test]
async fn a_smart_wallet_pays_and_its_vault_is_the_payer() {
    let (node, tasks) = (Surfpool::start(50), Tasks::default());
    let rail = rail(&node, &tasks).await;
    let (mint, owner) = (node.address("/mints/usdc/address"), node.address("/seller/address"));
    let calls = vec![
        compute_limit(60_000),
        compute_price(1_000),
        to_seller(&node, AMOUNT),
        memo("a note"),
    ];
    let mut draft = draft(&node, calls).await;
    draft.lookups.push(lookup(node.address("/lookupTable/address")));
    let authorization = decode(&rail, &draft, mint, owner, AMOUNT);
    assert_eq!(authorization.payer, node.text("/payers/0/address"));

    let facts = rail.inspect(&authorization).await.unwrap();
    judge_facts(&authorization, &facts).unwrap();
    assert_eq!(facts.payer.as_deref(), Some(node.text("/smartWallet/vault")));

    let signed = rail.sign(&rail.lanes()[0], 0, &[&authorization], &FREE).unwrap();
    let [tx] = signed.as_slice() else { panic!("{signed:?}") };
    assert_eq!(tx.cost_max, Amount::from_units(10_060));
    assert_eq!(rail.deliver(&tx.raw).await, Delivery::Accepted);
    let landed = until(&rail, &authorization, &facts, tx, |it| it.is_final).await;
    assert_eq!((&landed.tx, landed.log_index), (&tx.id, 2));
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_trial_on_the_node_shows_what_is_wrong() {
    let (node, tasks) = (Surfpool::start(50), Tasks::default());
    let rail = rail(&node, &tasks).await;
    let (mint, owner) = (node.address("/mints/usdc/address"), node.address("/seller/address"));
    let payer = node.address("/payers/1/address");
    let elsewhere = associated_token_account(&payer, TokenProgram::Token, &mint);
    let pays = |amount| to_seller(&node, amount);
    let short = SmartWalletFlaw::SimulationFailed {
        reason: r#"{"InstructionError":[0,{"Custom":1}]}, Error: insufficient funds"#.into(),
    };
    let unresolved = Flaw::LookupTableUnresolved {
        table: elsewhere.to_string(),
    };
    let mismatch = || Some(SmartWalletFlaw::TransferMismatch.into());
    let multiple = || Some(SmartWalletFlaw::MultipleTransfers.into());
    let cases = [
        (vec![pays(AMOUNT), pay(&node, elsewhere, 1)], None, None),
        (vec![pays(AMOUNT - 1)], None, mismatch()),
        (vec![pays(AMOUNT + 1)], None, mismatch()),
        (vec![pay(&node, elsewhere, AMOUNT)], None, mismatch()),
        (vec![pays(AMOUNT), pays(AMOUNT)], None, multiple()),
        (vec![pays(AMOUNT), pays(1)], None, multiple()),
        (vec![pays(2_000_000)], None, Some(short.into())),
        (vec![pays(AMOUNT)], Some(elsewhere), Some(unresolved)),
    ];
    for (calls, table, expected) in cases {
        let mut draft = draft(&node, calls).await;
        draft.lookups = table.into_iter().map(lookup).collect();
        let authorization = decode(&rail, &draft, mint, owner, AMOUNT);
        let facts = rail.inspect(&authorization).await.unwrap();
        assert_eq!(facts.flaw, expected);
        assert_eq!(judge_facts(&authorization, &facts).is_ok(), expected.is_none());
    }
    tasks.drain(Duration::from_secs(5)).await;
}
