//! Days that are over and final are closed, by the chain's own time and against what it holds, and prove themselves.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, U256};
use serde_json::Value;

use crate::audit::audit;
use crate::reconcile::{paid_world, reconcile};
use crate::support::anvil::number;
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::eventually;
use crate::support::proxy::{Fault, past_balance};
use crate::support::solana::surfpool::Sureness;
use crate::support::solana::world::hasty;
use crate::support::world::World;

const DAY: u64 = 86_400;

/// A row by the names of its columns.
pub(crate) type Row = BTreeMap<String, String>;

async fn statement<N>(world: &World<N>, arguments: &[&str]) -> (Option<i32>, Vec<Row>) {
    let (status, said) = world.facilitator.run("statement", arguments).await;
    let mut lines = said.split("\r\n");
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let fields = line.split(',').map(str::to_owned);
        columns.iter().map(|it| (*it).to_owned()).zip(fields).collect()
    };
    let rows = lines.filter(|line| !line.is_empty()).map(row).collect();
    (status.code(), rows)
}

async fn closed<N>(world: &World<N>) -> Vec<Row> {
    let (status, rows) = statement(world, &["close"]).await;
    assert_eq!(status, Some(0), "{rows:?}");
    rows
}

pub(crate) async fn is_closed<N>(world: &World<N>) -> Row {
    let rows = closed(world).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    row.clone()
}

async fn newest_time(world: &World) -> u64 {
    let newest = world
        .node
        .call("eth_getBlockByNumber", serde_json::json!(["latest", false]))
        .await;
    number(&newest["timestamp"])
}

/// The next midnight is a block's, and what was before it is final.
pub(crate) async fn day_passes(world: &World) -> u64 {
    let midnight = (newest_time(world).await / DAY + 1) * DAY;
    world.node.mine_at(midnight).await;
    world.node.mine(4).await;
    midnight
}

/// The service is stopped, so that nothing is read or closed but by these tests.
pub(crate) async fn paid_world_at_rest() -> (World, [crate::support::payer::Payment; 2]) {
    let (mut world, payments) = paid_world().await;
    world.facilitator.terminate();
    world.facilitator.ended().await;
    (world, payments)
}

pub(crate) async fn pays(world: &World, from: Address, to: Address, value: u64) {
    let call = Token::transferCall {
        to,
        value: U256::from(value),
    };
    world.node.send_mined(from, addresses().usdc, &call).await;
}

/// What the ledger has of the transactions' costs.
async fn gas_posted<N>(world: &World<N>) -> String {
    let posted = "select sum(amount)::text from ledger_entries where purpose = 'gas'";
    sqlx::query_scalar(posted).fetch_one(&world.db.pool).await.unwrap()
}

fn sums(row: &Row) -> [&str; 5] {
    ["credits", "late_credits", "other_credits", "debits", "unexplained"]
        .map(|it| row[&format!("{it}_atomic")].as_str())
}

#[tokio::test]
async fn a_day_is_closed_once_it_is_over_final_and_read_and_proves_itself() {
    let (world, payments) = paid_world_at_rest().await;
    assert_eq!(closed(&world).await, [], "the day is not over");
    let midnight = (newest_time(&world).await / DAY + 1) * DAY;
    world.node.mine_at(midnight).await;
    assert_eq!(closed(&world).await, [], "its end is not final");
    world.node.mine(4).await;
    assert_eq!(closed(&world).await, [], "its end was not read");
    reconcile(&world, &[]).await;
    let row = is_closed(&world).await;
    let holder = addresses().pay_to;
    assert_eq!(sums(&row), ["20000", "0", "0", "0", "0"]);
    assert_eq!([&row["sequence"], &row["lines"], &row["late"]], ["1", "2", "0"]);
    assert_eq!(
        row["closing_atomic"],
        world.node.balance_of(addresses().usdc, holder).await.to_string()
    );
    assert_eq!(row["balance_atomic"], row["closing_atomic"]);
    let cut = format!("0x{:x}", row["block_number"].parse::<u64>().unwrap());
    let block = world
        .node
        .call("eth_getBlockByNumber", serde_json::json!([cut, false]))
        .await;
    assert_eq!(block["hash"], row["block_hash"].as_str());
    assert!(number(&block["timestamp"]) < midnight);
    assert_eq!(row["gas_atomic"], gas_posted(&world).await);
    assert_eq!(closed(&world).await, [], "a day is closed once");
    let told = world.db.count("notices where kind = 'statement.closed'").await;
    assert_eq!(told, 1);

    let (token, recipient) = (addresses().usdc.to_string(), holder.to_string());
    let account = ["--network", "eip155:84532", "--asset", &token, "--pay-to", &recipient];
    let (status, listed) = statement(&world, &[&["list"], &account[..]].concat()).await;
    assert_eq!((status, listed), (Some(0), vec![row.clone()]));
    let show = ["export", "--id", &row["id"]];
    let (status, shown) = statement(&world, &show).await;
    assert_eq!((status, shown.len()), (Some(0), 2));
    for (payment, line) in payments.iter().zip(&shown) {
        let signed: Value = payment.body();
        let authorization = &signed["paymentPayload"]["payload"]["authorization"];
        let nonce: String = sqlx::query_scalar("select nonce from payments p join settlements s on s.payment_id = p.id where s.landed_tx = $1 and s.landed_log_index::text = $2")
            .bind(&line["transaction"])
            .bind(&line["log_index"])
            .fetch_one(&world.db.pool)
            .await
            .unwrap();
        assert_eq!(authorization["nonce"], nonce);
        assert_eq!([&line["amount_atomic"], &line["amount"]], ["10000", "0.010000"]);
    }

    assert_eq!(audit(&world).await, (0, BTreeSet::new()));
    let lost = "create table kept as select * from statement_lines where position = 1;
        delete from statement_lines where position = 1;
        update settlements set final_at = final_at - interval '1 day'";
    world.db.tamper(lost).await;
    let named = BTreeSet::from(["not_on_statement".to_owned()]);
    assert_eq!(
        audit(&world).await,
        (1, named),
        "a day that is closed without a payment"
    );
    world
        .db
        .tamper("insert into statement_lines select * from kept; drop table kept")
        .await;

    let change = "update payments set amount = amount + 1 where payer = (select min(payer) from payments)";
    world.db.tamper(change).await;
    let (status, said) = world.facilitator.run("statement", &show).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("the lines are not those"), "{said}");
}

#[tokio::test]
async fn a_statement_tells_all_that_moved_and_what_nothing_explains() {
    let (world, _) = paid_world_at_rest().await;
    let (usdc, pay_to) = (addresses().usdc, addresses().pay_to);
    let somebody = addresses().accounts[3].address;
    world.node.fund(pay_to).await;
    world
        .node
        .call("anvil_impersonateAccount", serde_json::json!([pay_to]))
        .await;
    let held = async || world.node.balance_of(usdc, pay_to).await.to_string();

    pays(&world, somebody, pay_to, 7).await;
    pays(&world, pay_to, third_party(), 5).await;
    let at_end = held().await;
    day_passes(&world).await;
    // Of the next day, before the first is closed.
    pays(&world, somebody, pay_to, 9).await;
    world.node.mine(4).await;
    reconcile(&world, &[]).await;
    let first = is_closed(&world).await;
    assert_eq!(sums(&first), ["20000", "0", "7", "5", "0"]);
    assert_eq!(first["closing_atomic"], at_end);

    day_passes(&world).await;
    reconcile(&world, &[]).await;
    let second = is_closed(&world).await;
    assert_eq!(sums(&second), ["0", "0", "9", "0", "0"], "a day without a payment");
    assert_eq!(
        [&second["sequence"], &second["lines"], &second["opening_atomic"]],
        ["2", "0", &at_end]
    );
    assert_eq!(second["previous"], first["hash"]);

    pays(&world, somebody, pay_to, 4).await;
    pays(&world, somebody, pay_to, 3).await;
    day_passes(&world).await;
    reconcile(&world, &[]).await;
    world.db.tamper("delete from observed_transfers where amount = 4").await;
    let third = is_closed(&world).await;
    assert_eq!(sums(&third), ["0", "0", "3", "0", "4"], "what nobody has seen move");
    assert_eq!(third["balance_atomic"], held().await);

    pays(&world, somebody, pay_to, 2).await;
    day_passes(&world).await;
    reconcile(&world, &[]).await;
    let pruned = Fault::Error(-32000, "missing trie node");
    let forgotten = world.proxy.fault(past_balance, pruned);
    let fourth = is_closed(&world).await;
    forgotten.release();
    assert_eq!(sums(&fourth), ["0", "0", "2", "0", "0"]);
    assert_eq!(
        [&fourth["balance_atomic"], &fourth["block_hash"]],
        ["", ""],
        "no node could say"
    );
    assert_eq!(fourth["closing_atomic"], held().await);
}

#[tokio::test]
async fn a_day_on_solana_is_closed_against_what_the_token_account_held() {
    let mut world = hasty().start().await;
    for _ in 0..2 {
        let payment = world.payment(0).await;
        world.facilitator.settle(&payment.body()).await.settled();
        world.reaches(&payment, "final").await;
    }
    world.facilitator.terminate();
    world.facilitator.ended().await;
    assert_eq!(closed(&world).await, [], "the day is not over");
    let midnight = (world.node.time().await / DAY + 1) * DAY;
    world.node.travel(midnight + 60).await;
    eventually("the next day is final", async || {
        let newest = world.node.slot(Sureness::Finalized).await;
        (world.node.time_of(newest).await? > midnight).then_some(())
    })
    .await;
    assert_eq!(closed(&world).await, [], "its end was not read");
    assert_eq!(reconcile(&world, &[]).await, (0, BTreeMap::new()));
    let row = is_closed(&world).await;
    assert_eq!(sums(&row), ["20000", "0", "0", "0", "0"]);
    assert_eq!([&row["sequence"], &row["lines"], &row["late"]], ["1", "2", "0"]);
    assert_eq!(row["closing_atomic"], world.received().await.to_string());
    assert_eq!(row["balance_atomic"], row["closing_atomic"]);
    assert!(world.node.time_of(row["block_number"].parse().unwrap()).await.unwrap() < midnight);
    assert_eq!(row["gas_atomic"], gas_posted(&world).await);
    let (status, shown) = statement(&world, &["export", "--id", &row["id"]]).await;
    assert_eq!((status, shown.len()), (Some(0), 2));
    assert_eq!(closed(&world).await, [], "a day is closed once");
}
