//! The audit finds every kind of disagreement that is planted, names it as what it is, and invents none.

use std::collections::BTreeSet;

use alloy::primitives::U256;
use serde_json::Value;

use crate::support::books::books_agree;
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::proxy::{Fault, anything};
use crate::support::solana::world::Setup as SolanaSetup;
use crate::support::world::{Setup, World};

/// The exit status, and the kinds that were named.
pub(crate) async fn audit<N>(world: &World<N>) -> (i32, BTreeSet<String>) {
    let (status, said) = world.facilitator.run("audit", &["--json"]).await;
    let findings = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let kinds = findings.map(|it| it["kind"].as_str().expect("each has a kind").to_owned());
    (status.code().unwrap(), kinds.collect())
}

/// One final payment, one confirmed, one withdrawn in all but name: nothing of it was ever signed.
async fn audited_world() -> World {
    let world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let payments = [Payment::by(1), Payment::by(2), Payment::by(3)];
    world.facilitator.settle(&payments[0].body()).await.settled();
    world.node.mine(4).await;
    world.reaches(&payments[0], "final").await;
    world.facilitator.settle(&payments[1].body()).await.settled();
    world
}

const FINAL: &str = "(select payment_id from settlements where state = 'final')";

#[tokio::test]
async fn records_and_chain_that_agree_are_told_apart_from_those_that_cannot_be_asked() {
    let world = audited_world().await;
    books_agree(&world).await;
    assert_eq!(audit(&world).await, (0, BTreeSet::new()));
    let silence = world.proxy.fault(anything, Fault::Status(500));
    let (status, said) = world.facilitator.run("audit", &[]).await;
    assert_eq!(status.code(), Some(2), "{said}");
    silence.release();
    let none = ["--network", "eip155:1"];
    let (status, said) = world.facilitator.run("audit", &none).await;
    assert!(
        status.success() && said.contains("audited 0 payments and 0 nonces: 0 disagreements"),
        "{said}"
    );
}

/// What somebody changes in the tables by hand, how it is changed back, and all that must be named.
type Planted = (String, String, &'static [&'static str]);

/// The table is as it was afterwards.
fn kept(table: &str, change: &str, kinds: &'static [&'static str]) -> Planted {
    let plant = format!("create table kept as select * from {table}; {change}");
    let back = format!("delete from {table}; insert into {table} select * from kept; drop table kept");
    (plant, back, kinds)
}

fn pair(plant: &str, back: &str, kinds: &'static [&'static str]) -> Planted {
    (plant.to_owned(), back.to_owned(), kinds)
}

fn planted_in_books() -> Vec<Planted> {
    let event = |change: &str, which: &str, kinds: &'static [&'static str]| {
        let plant = format!(
            "create table kept as select * from events;
            update events set {change} where payment_id = {FINAL} and version = {which}"
        );
        let back = "delete from events; insert into events overriding system value select * from kept; drop table kept";
        (plant, back.to_owned(), kinds)
    };
    vec![
        pair(
            "alter table payments drop constraint payments_key cascade",
            "alter table payments add constraint payments_key unique (key)",
            &["constraint_missing"],
        ),
        event("body = jsonb_set(body, '{tx}', '\"0xother\"')", "1", &["event_altered"]),
        event(
            "body = jsonb_set(body, '{payment}', '\"pay_other\"')",
            "2",
            &["event_altered"],
        ),
        event("kind = 'payment.other'", "0", &["event_altered"]),
        event("seal = sha256('')", "1", &["event_altered"]),
        event("seal = null", "3", &["event_unsealed"]),
        event("version = 9", "3", &["events_incomplete", "event_altered"]),
        event(
            "body = jsonb_set(body, '{state}', '\"failed\"')",
            "3",
            &["events_incomplete", "event_altered"],
        ),
        kept(
            "evidence",
            &format!("delete from evidence where payment_id = {FINAL}"),
            &["evidence_missing"],
        ),
        pair(
            &format!(
                "update ledger_entries set amount = amount + 1 where purpose = 'payment' and payment_id = {FINAL}"
            ),
            &format!(
                "update ledger_entries set amount = amount - 1 where purpose = 'payment' and payment_id = {FINAL}"
            ),
            &["ledger_payment"],
        ),
        pair(
            "update ledger_entries set amount = amount + 1 where purpose = 'gas'",
            "update ledger_entries set amount = amount - 1 where purpose = 'gas'",
            &["ledger_gas"],
        ),
        pair(
            "update payments set amount = amount + 1",
            "update payments set amount = amount - 1",
            // What the record asks for is not what was paid.
            &["ledger_payment", "not_on_chain"],
        ),
    ]
}

fn planted_against_the_chain() -> Vec<Planted> {
    vec![
        kept(
            "settlements",
            "update settlements set landed_hash = '0xother' where state = 'confirmed'",
            &["elsewhere_on_chain", "evidence_missing"],
        ),
        kept(
            "settlements",
            "update settlements set landed_tx = '0x' || repeat('1', 64) where state = 'confirmed'",
            &["not_on_chain", "evidence_missing"],
        ),
        kept(
            "settlements",
            "update settlements set state = 'failed', tx = null, landed_tx = null, landed_log_index = null,
                landed_height = null, landed_hash = null, landed_time = null, landed_is_deep_enough = null,
                landed_is_final = null, confirmed_at = null, proof = 'window_closed', proof_height = 1,
                proof_hash = '0x1', proof_time = 1 where state = 'confirmed'",
            &["failed_but_paid", "events_incomplete", "ledger_payment", "ledger_gas"],
        ),
        pair(
            "update lanes set next_nonce = next_nonce + 1",
            "update lanes set next_nonce = next_nonce - 1",
            &["slot_gap"],
        ),
        kept(
            "chain_transactions",
            "delete from chain_transactions where nonce = 0",
            &["slot_without_bytes", "nonce_unaccounted", "ledger_gas"],
        ),
        pair(
            "update slots set consumed_by = null where nonce = 0",
            "update slots set consumed_by = (select tx from chain_transactions t where t.nonce = 0) where nonce = 0",
            &["nonce_unaccounted"],
        ),
        pair(
            "update chain_transactions set cost = cost + 1 where nonce = 1",
            "update chain_transactions set cost = cost - 1 where nonce = 1",
            &["transaction_differs"],
        ),
        pair(
            "update chain_transactions set block_hash = block_hash || '0' where nonce = 0",
            "update chain_transactions set block_hash = left(block_hash, -1) where nonce = 0",
            &["transaction_differs"],
        ),
    ]
}

/// d11: a row of what happened that was tampered with is among them.
#[tokio::test]
async fn d11_whatever_is_changed_in_the_tables_is_named() {
    let mut world = audited_world().await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    for (plant, back, kinds) in planted_in_books().into_iter().chain(planted_against_the_chain()) {
        world.db.tamper(&plant).await;
        let expected: BTreeSet<String> = kinds.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(audit(&world).await, (1, expected), "{plant}");
        world.db.tamper(&back).await;
    }
    assert_eq!(audit(&world).await, (0, BTreeSet::new()));
}

#[tokio::test]
async fn what_the_chain_does_behind_our_back_is_named() {
    let mut world = World::usual().await;
    let height = world.node.block_number().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    eventually("its transaction is on record as mined", async || {
        let mined = world.db.count("chain_transactions where status = 'mined'").await;
        (mined == 1).then_some(())
    })
    .await;
    world.facilitator.kill();
    let foreign = Token::transferCall {
        to: third_party(),
        value: U256::from(1),
    };
    let signer = addresses().accounts[9].address;
    world.node.send_mined(signer, addresses().usdc, &foreign).await;
    let named = |kinds: &[&str]| kinds.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(audit(&world).await, (1, named(&["transaction_unknown"])));
    let undone = world.node.block_number().await - height;
    world.node.reorganize(undone).await;
    assert_eq!(
        audit(&world).await,
        (1, named(&["not_on_chain", "transaction_differs"]))
    );
}

#[tokio::test]
async fn a_fee_payer_of_solana_is_audited_by_its_history() {
    let world = SolanaSetup::default().start().await;
    let payment = world.payment(0).await;
    let tx = world.facilitator.settle(&payment.body()).await.settled();
    assert_eq!(audit(&world).await, (0, BTreeSet::new()));
    let lost = "create table lost as select * from chain_transactions; delete from chain_transactions";
    world.db.tamper(lost).await;
    let (status, said) = world.facilitator.run("audit", &[]).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("transaction_unknown: {tx}")), "{said}");
}
