//! Whatever disagrees between the records and the chain is found by its state, in either direction, and nothing else is.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use serde_json::{Value, json};

use crate::events::notices;
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::eventually;
use crate::support::payer::{NETWORK, Payment};
use crate::support::proxy::{Call, Fault, fee_quote, past_balance};
use crate::support::solana::world::hasty;
use crate::support::world::{Setup, World};
use crate::waiting::until_facts_are_old;

/// The exit status, and how many open exceptions of each state were named.
pub(crate) async fn reconcile<N>(world: &World<N>, args: &[&str]) -> (i32, BTreeMap<String, usize>) {
    let args = [&["--json"], args].concat();
    let (status, said) = world.facilitator.run("reconcile", &args).await;
    let mut counts = BTreeMap::new();
    for exception in said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let state = exception["state"].as_str().expect("each has a state").to_owned();
        *counts.entry(state).or_default() += 1;
    }
    (status.code().unwrap(), counts)
}

fn named(states: &[(&str, usize)]) -> BTreeMap<String, usize> {
    states
        .iter()
        .map(|(state, count)| ((*state).to_owned(), *count))
        .collect()
}

/// Two final payments; blocks are final two blocks later.
pub(crate) async fn paid_world() -> (World, [Payment; 2]) {
    let world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let payments = [Payment::by(1), Payment::by(2)];
    for payment in &payments {
        world.facilitator.settle(&payment.body()).await.settled();
    }
    world.node.mine(4).await;
    for payment in &payments {
        world.reaches(payment, "final").await;
    }
    (world, payments)
}

/// Else every round would walk through all that other networks have been paid since its last payment.
#[tokio::test]
async fn what_a_network_was_searched_through_once_is_not_searched_again() {
    let world = World::start(Setup::default()).await;
    eventually("its place is where the payments are old enough", async || {
        let is_there = "select taken_at > now() - interval '30 seconds' from reconciliation_scans";
        world.db.one::<bool>(is_there).await.then_some(())
    })
    .await;
}

const NOTHING: &[(&str, usize)] = &[];

/// What somebody changes in the tables by hand, how it is changed back, and the state of what must be found.
fn planted() -> Vec<(String, String, &'static str)> {
    let one = "(select min(id::text)::uuid from payments)";
    let kept = |table: &str, change: String, state: &'static str| {
        let plant = format!("create table kept as select * from {table}; {change}");
        let columns = "landed_hash = k.landed_hash, landed_tx = k.landed_tx, state = k.state, proof = k.proof,
            proof_height = k.proof_height, proof_hash = k.proof_hash, proof_time = k.proof_time,
            landed_log_index = k.landed_log_index, landed_height = k.landed_height, landed_time = k.landed_time,
            landed_is_deep_enough = k.landed_is_deep_enough, landed_is_final = k.landed_is_final,
            confirmed_at = k.confirmed_at, final_at = k.final_at, granted_at = k.granted_at, answer = k.answer";
        let back =
            format!("update {table} s set {columns} from kept k where k.payment_id = s.payment_id; drop table kept");
        (plant, back, state)
    };
    let payment = |change: &str, back: &str, state: &'static str| {
        let of = |change: &str| format!("update payments set {change} where id = {one}");
        (of(change), of(back), state)
    };
    vec![
        payment("amount = amount + 1", "amount = amount - 1", "amount_mismatch"),
        payment(
            "pay_to = payer, payer = pay_to",
            "pay_to = payer, payer = pay_to",
            "party_mismatch",
        ),
        payment(
            "asset = payer",
            "asset = (select min(asset) from watched_accounts w where exists (select 1
            from observed_transfers t where t.asset = w.asset))",
            "asset_mismatch",
        ),
        payment("nonce = nonce || '0'", "nonce = left(nonce, -1)", "missing_on_chain"),
        kept(
            "settlements",
            format!("update settlements set landed_hash = '0xother' where payment_id = {one}"),
            "orphaned_reorg",
        ),
        kept(
            "settlements",
            format!(
                "update settlements set state = 'failed', landed_tx = null, landed_log_index = null,
                    landed_height = null, landed_hash = null, landed_time = null, landed_is_deep_enough = null,
                    landed_is_final = null, confirmed_at = null, final_at = null, proof = 'window_closed',
                    proof_height = 1, proof_hash = '0x1', proof_time = 1 where payment_id = {one}"
            ),
            "status_mismatch",
        ),
    ]
}

#[tokio::test]
async fn whatever_is_changed_in_the_records_is_found_by_its_state() {
    let (mut world, _) = paid_world().await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));
    assert_eq!(world.db.count("reconciliations where state = 'matched'").await, 2);
    for (plant, back, state) in planted() {
        world.db.tamper(&plant).await;
        assert_eq!(reconcile(&world, &[]).await, (1, named(&[(state, 1)])), "{plant}");
        world.db.tamper(&back).await;
    }
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));
    // A record that claims another's transfer.
    let twin = "update payments set nonce = (select nonce from payments order by id limit 1),
            payer = (select payer from payments order by id limit 1);
        update settlements s set landed_tx = f.landed_tx, landed_log_index = f.landed_log_index,
            landed_height = f.landed_height, landed_hash = f.landed_hash
        from (select * from settlements order by payment_id limit 1) as f";
    world.db.tamper(twin).await;
    assert_eq!(reconcile(&world, &[]).await, (1, named(&[("duplicate", 1)])));
}

#[tokio::test]
async fn a_payment_that_was_withdrawn_and_that_somebody_else_lands_is_told_of() {
    let world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let payer = addresses().accounts[1].address;
    let payment = Payment::by(1);
    let pays = async |from, to, value| {
        let call = Token::transferCall { to, value };
        world.node.send_mined(from, payment.asset, &call).await;
    };
    let all = U256::from(world.node.balance_of(payment.asset, payer).await);
    let quote = world.proxy.fault(fee_quote, Fault::Status(500));
    let settling = world.settling(&payment);
    quote.met(1).await;
    pays(payer, third_party(), all).await;
    until_facts_are_old().await;
    quote.release();
    settling.await.unwrap().unsettled();
    assert_eq!(world.state(&payment).await.unwrap(), "withdrawn");
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));

    pays(third_party(), payer, all).await;
    world
        .node
        .send_mined(third_party(), payment.asset, &payment.call())
        .await;
    world.node.mine(4).await;
    assert_eq!(reconcile(&world, &[]).await, (1, named(&[("status_mismatch", 1)])));
}

/// Handles the first of three open exceptions, and is refused what is nothing of the kind.
async fn acted_on(world: &World) {
    let path = "/v1/reconciliation/exceptions";
    let page = world
        .facilitator
        .get(&format!("{path}?state=unknown_on_chain&limit=2"))
        .await
        .json();
    let (first, cursor) = (
        page["exceptions"][0]["id"].as_str().unwrap(),
        page["nextCursor"].as_str().unwrap(),
    );
    let rest = world.facilitator.get(&format!("{path}?cursor={cursor}")).await.json();
    assert_eq!(
        (rest["exceptions"].as_array().unwrap().len(), &rest["nextCursor"]),
        (1, &Value::Null)
    );
    let actions = format!("{path}/{first}/actions");
    let wrong = json!({"action": "forget", "note": "a top-up", "actor": "ada"});
    assert_eq!(world.facilitator.caller().post(&actions, &wrong).await.status, 400);
    let unsaid = json!({"action": "ignore", "note": " ", "actor": "ada"});
    assert_eq!(world.facilitator.caller().post(&actions, &unsaid).await.status, 400);
    let ignore = json!({"action": "ignore", "note": "a top-up", "actor": "ada"});
    let answer = world.facilitator.caller().post(&actions, &ignore).await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"id": first, "handled": "ignore"}))
    );
    let nobodys = format!("{path}/exc_{}/actions", "0".repeat(26));
    assert_eq!(world.facilitator.caller().post(&nobodys, &ignore).await.status, 404);
    let ignored = world.facilitator.get(&format!("{path}?handled=ignore")).await.json();
    assert_eq!(ignored["exceptions"][0]["id"], first);
    assert_eq!(
        world
            .db
            .count("reconciliation_actions where actor = 'ada' and note = 'a top-up'")
            .await,
        1
    );
    assert_eq!(
        world.facilitator.get(&format!("{path}?state=matched")).await.status,
        400
    );
    let told = notices(world, 4).await;
    assert_eq!(told[..3], ["reconciliation.exception.opened"; 3]);
    assert_eq!(told[3..], ["reconciliation.exception.handled"]);
}

#[tokio::test]
async fn every_transfer_without_a_record_is_found_and_the_balance_is_proven() {
    let (world, _) = paid_world().await;
    let (usdc, pay_to) = (addresses().usdc, addresses().pay_to);
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));
    let direct = Token::transferCall {
        to: pay_to,
        value: U256::from(7),
    };
    world
        .node
        .send_mined(addresses().accounts[3].address, usdc, &direct)
        .await;
    let spent = Token::transferCall {
        to: third_party(),
        value: U256::from(5),
    };
    world.node.fund(pay_to).await;
    world.node.call("anvil_impersonateAccount", json!([pay_to])).await;
    world.node.send_mined(pay_to, usdc, &spent).await;
    let theirs = Payment::by(4);
    world.node.send_mined(third_party(), usdc, &theirs.call()).await;
    let signer = addresses().accounts[9].address;
    world.node.send_mined(signer, usdc, &Payment::by(5).call()).await;
    world.node.mine(4).await;
    assert_eq!(
        reconcile(&world, &[]).await,
        (1, named(&[("unknown_on_chain", 3)])),
        "what leaves the account is no exception"
    );
    let sql_looks =
        "select split_part(reason, ':', 1) from reconciliations where state = 'unknown_on_chain' order by id";
    let looks: Vec<String> = sqlx::query_scalar(sql_looks).fetch_all(&world.db.pool).await.unwrap();
    let expected = [
        "a direct transfer",
        "looks like somebody else's settlement",
        "sent by a signer of ours without a record",
    ];
    assert_eq!(looks, expected);
    let held: String = sqlx::query_scalar("select balance::text from watched_accounts")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(held, world.node.balance_of(usdc, pay_to).await.to_string());
    acted_on(&world).await;
    // The same blocks once more, without what had been seen of them: nothing is lost, and nothing twice.
    world.db.tamper("delete from observed_transfers").await;
    let again = ["--network", NETWORK, "--from", "1"];
    assert_eq!(reconcile(&world, &again).await, (1, named(&[("unknown_on_chain", 2)])));
    assert_eq!(world.db.count("observed_transfers").await, 6);
    // What is not known to have moved is told by the balance.
    world
        .db
        .tamper("update watched_accounts set balance = balance + 1")
        .await;
    world.node.mine(1).await;
    let balance_differs = named(&[("balance_mismatch", 1), ("unknown_on_chain", 2)]);
    assert_eq!(reconcile(&world, &[]).await, (1, balance_differs));
}

#[tokio::test]
async fn a_reconciliation_that_is_cut_short_goes_on_and_one_before_finality_invents_nothing() {
    let mut world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.settled();
    world.node.reorganize(1).await;
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));
    eventually("the reorganization is seen", async || {
        let is_seen = world.events(&payment).await.contains(&"payment.reversed".to_owned());
        is_seen.then_some(())
    })
    .await;
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));
    world.reaches(&payment, "confirmed").await;
    world.node.mine(4).await;
    world.reaches(&payment, "final").await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    world
        .db
        .tamper("update watched_accounts set scanned_height = first_height - 1, balance = null")
        .await;
    let silence = world
        .proxy
        .fault(|call| call.method == "eth_getLogs", Fault::Status(500));
    assert_eq!(reconcile(&world, &[]).await, (2, named(NOTHING)));
    silence.release();
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));
    assert_eq!(world.db.count("reconciliations where state = 'matched'").await, 1);
    assert_eq!(world.db.count("observed_transfers").await, 1);
}

#[tokio::test]
async fn a_node_that_knows_no_old_balance_has_no_difference_invented() {
    let (mut world, _) = paid_world().await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));
    let (from, usdc) = (addresses().accounts[3].address, addresses().usdc);
    let direct = Token::transferCall {
        to: addresses().pay_to,
        value: U256::from(7),
    };
    world.node.send_mined(from, usdc, &direct).await;
    world.node.mine(4).await;
    let pruned = Fault::Error(-32000, "missing trie node");
    let forgotten = world.proxy.fault(past_balance, pruned);
    assert_eq!(reconcile(&world, &[]).await, (1, named(&[("unknown_on_chain", 1)])));
    forgotten.release();
}

/// What is asked for by the transaction still shows it, so that nobody is told of a loss; and once lists are whole again, it
/// is matched.
#[tokio::test]
async fn a_node_that_leaves_transfers_out_of_its_lists_makes_no_loss_of_them() {
    let (mut world, _) = paid_world().await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    world.db.tamper("delete from reconciliations").await;
    world.db.tamper("delete from observed_transfers").await;
    world
        .db
        .tamper("update watched_accounts set scanned_height = first_height - 1, balance = null")
        .await;
    let is_logs = |call: &Call| call.method == "eth_getLogs";
    let left_out = world.proxy.fault(is_logs, Fault::Result("[]"));
    assert_eq!(
        reconcile(&world, &[]).await,
        (1, named(&[("balance_mismatch", 1)])),
        "the balance tells that something is missing, and not from whom"
    );
    let reasons: Vec<String> = sqlx::query_scalar("select reason from reconciliations where state = 'pending'")
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
    let is_doubt = |it: &String| it.ends_with("does not pay it, but asked for alone it is there");
    assert_eq!(reasons.len(), 2);
    assert!(reasons.iter().all(is_doubt), "{reasons:?}");
    left_out.release();
    reconcile(&world, &[]).await;
    assert_eq!(
        world
            .db
            .count("reconciliations where state = 'matched' and payment_id is not null")
            .await,
        2
    );
}

#[tokio::test]
async fn the_service_matches_what_is_paid_while_it_runs() {
    let (world, _) = paid_world().await;
    eventually("the payments are matched", async || {
        let matched = world.db.count("reconciliations where state = 'matched'").await;
        (matched == 2).then_some(())
    })
    .await;
    assert_eq!(world.db.count("reconciliations").await, 2);
}

/// An order's name on the chain as `facilitator reference derive` makes it.
const DERIVED: &str = "7747bfe0db18ca589e64c8a3bbff08b33c548a2010e9fe8530ac2c8786e8ee38";

#[tokio::test]
async fn payments_on_solana_are_matched_and_two_for_one_order_are_told() {
    let world = hasty().start().await;
    let pays = async |memo: &str, labels: &[(&'static str, &str)]| {
        let payment = world.payment(0).await.remembering(memo);
        let answer = world.facilitator.caller().settle_named(&payment.body(), labels).await;
        answer.settled();
        world.reaches(&payment, "final").await;
    };
    // A memo that the seller has for everybody names no order.
    pays("thank you", &[]).await;
    pays("thank you", &[("order-id", "7")]).await;
    assert_eq!(reconcile(&world, &[]).await, (0, named(NOTHING)));
    assert_eq!(world.db.count("reconciliations where state = 'matched'").await, 2);
    pays("thank you", &[("order-id", "7")]).await;
    assert_eq!(reconcile(&world, &[]).await, (1, named(&[("duplicate", 1)])));
    pays(DERIVED, &[]).await;
    pays(DERIVED, &[]).await;
    assert_eq!(reconcile(&world, &[]).await, (1, named(&[("duplicate", 2)])));
    world
        .db
        .tamper("update payments set amount = amount + 1 where memo = 'thank you'")
        .await;
    let differ = named(&[("amount_mismatch", 3), ("duplicate", 1)]);
    assert_eq!(reconcile(&world, &[]).await, (1, differ));
}
