//! Solana's nodes say of a transaction that they have that they take it: two who hand over the same both hear of
//! success. What a node says on being handed something is no proof of anything.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::proxy::{Call, Fault, name_of, send};
use crate::support::solana::books::books_agree;
use crate::support::solana::world::{Setup, SolanaWorld};

/// Whatever the node says, it says that it took the transaction.
fn is_taken(call: &Call, answer: &mut Value) {
    *answer = json!({"jsonrpc": "2.0", "id": answer["id"], "result": name_of(call)});
}

/// How many were told of success, and the transactions that were named to anybody.
async fn settled_at_once(world: &SolanaWorld, bodies: &[Value]) -> (usize, Vec<String>) {
    let answers = join_all(bodies.iter().map(|body| world.facilitator.settle(body))).await;
    let told = answers.iter().filter(|it| it.outcome(200)["success"] == true).count();
    let mut named: Vec<String> = answers
        .iter()
        .filter_map(|it| it.json()["transaction"].as_str().map(str::to_owned))
        .filter(|it| !it.is_empty())
        .collect();
    named.sort();
    named.dedup();
    (told, named)
}

#[tokio::test]
async fn a_node_that_takes_everything_twice() {
    let world = Setup {
        wait_seconds: 5,
        ..Setup::default()
    }
    .start()
    .await;
    let _polite = world.proxy.fault(send, Fault::Falsify(is_taken));
    let body = world.payment(0).await.body();
    let (told, named) = settled_at_once(&world, &vec![body.clone(); 8]).await;
    assert_eq!(told, 1);
    assert_eq!(named, world.proxy.transactions());
    // Later, and by itself.
    let (reason, tx) = world.facilitator.settle(&body).await.unsettled();
    assert_eq!((reason.as_str(), vec![tx]), ("duplicate_settlement", named));
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}

/// The node says that it took it and does nothing: nobody is told of success, and nothing is called failed.
#[tokio::test]
async fn h16_a_node_that_takes_everything_and_does_nothing() {
    let world = Setup {
        wait_seconds: 1,
        ..Setup::default()
    }
    .start()
    .await;
    let payment = world.payment(0).await;
    let lying = world.proxy.fault(send, Fault::Pretend(|call| name_of(call).into()));
    let tx = world.facilitator.settle(&payment.body()).await.pending();
    assert_eq!(world.state(&payment).await.as_deref(), Some("in_flight"));
    assert_eq!(world.received().await, 0);
    lying.release();
    let answer = world.facilitator.caller().settle_until_known(&payment.body()).await;
    assert_eq!(answer.settled(), tx);
    assert_eq!(world.received().await, 10_000);
    books_agree(&world).await;
}
