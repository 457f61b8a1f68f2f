//! Days that are over and final are closed, by the chain's own time, and prove themselves.

use serde_json::Value;

use crate::events::notices;
use crate::reconcile::paid_world;
use crate::support::anvil::number;
use crate::support::contracts::addresses;
use crate::support::world::World;

const DAY: u64 = 86_400;

async fn statement(world: &World, arguments: &[&str]) -> (Option<i32>, Vec<Vec<String>>) {
    let (status, said) = world.facilitator.run("statement", arguments).await;
    let rows = said.lines().map(|line| line.split(',').map(str::to_owned).collect());
    (status.code(), rows.collect())
}

/// What closing prints, without the names of the columns.
async fn closed(world: &World) -> Vec<Vec<String>> {
    let (status, mut rows) = statement(world, &["close"]).await;
    assert_eq!(status, Some(0), "{rows:?}");
    rows.split_off(1)
}

async fn block_time(world: &World) -> u64 {
    let newest = world
        .node
        .call("eth_getBlockByNumber", serde_json::json!(["latest", false]))
        .await;
    number(&newest["timestamp"])
}

#[tokio::test]
async fn a_day_is_closed_once_it_is_over_and_final_and_proves_itself() {
    let (world, payments) = paid_world().await;
    assert_eq!(closed(&world).await, Vec::<Vec<String>>::new(), "the day is not over");

    let midnight = (block_time(&world).await / DAY + 1) * DAY;
    world.node.mine_at(midnight).await;
    assert_eq!(closed(&world).await, Vec::<Vec<String>>::new(), "its end is not final");
    world.node.mine(4).await;
    let rows = closed(&world).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let (sequence, opening, credits, closing, lines) = (&row[3], &row[6], &row[7], &row[8], &row[9]);
    assert_eq!(
        [sequence, opening, credits, closing, lines],
        ["1", "0", "20000", "20000", "2"]
    );
    assert_eq!(closed(&world).await, Vec::<Vec<String>>::new(), "a day is closed once");
    assert_eq!(notices(&world, 1).await, ["statement.closed"]);

    let (token, recipient) = (addresses().usdc.to_string(), addresses().pay_to.to_string());
    let account = ["--network", "eip155:84532", "--asset", &token, "--pay-to", &recipient];
    let (status, listed) = statement(&world, &[&["list"], &account[..]].concat()).await;
    assert_eq!((status, &listed[1..]), (Some(0), rows.as_slice()));

    let show = [&["show", "--sequence", "1"], &account[..]].concat();
    let (status, shown) = statement(&world, &show).await;
    assert_eq!((status, shown.len()), (Some(0), 3));
    for (payment, line) in payments.iter().zip(&shown[1..]) {
        let found = world.facilitator.get(&format!("/payments/{}", line[1])).await.json();
        let signed: Value = payment.body();
        let authorization = &signed["paymentPayload"]["payload"]["authorization"];
        assert_eq!(found["nonce"], authorization["nonce"]);
        assert_eq!([&line[2], &line[3]], ["10000", "0.010000"]);
        assert_eq!(found["transaction"], line[4].as_str());
    }

    let change = "update payments set amount = amount + 1 where payer = (select min(payer) from payments)";
    sqlx::query(change).execute(&world.db.pool).await.unwrap();
    let (status, said) = statement(&world, &show).await;
    assert_eq!(status, Some(1));
    assert!(format!("{said:?}").contains("the lines are not those"), "{said:?}");
}
