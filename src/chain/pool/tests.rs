//! The pool against nodes that answer by script, and by the clock where none needs to answer.

use serde_json::json;

use super::*;
use crate::chain::rpc::tests::node;
use crate::domain::rail::{Delivery, Refusal};

/// Any chain is the right one.
#[derive(Debug)]
struct Any;

impl Dialect for Any {
    fn identity(&self) -> &'static str {
        "eth_chainId"
    }
    fn judge(&self, _: &RawValue) -> Result<(), String> {
        Ok(())
    }
    fn head(&self) -> &'static str {
        "eth_blockNumber"
    }
    fn height(&self, head: &RawValue) -> Option<u64> {
        serde_json::from_str(head.get()).ok()
    }
}

impl Pool {
    /// One endpoint that is believed to be of the right chain.
    pub(in crate::chain) fn alone(rpc: Rpc) -> Self {
        Self::among(vec![rpc])
    }

    /// These endpoints, believed to be of the right chain.
    fn among(rpcs: Vec<Rpc>) -> Self {
        Self::agreeing(rpcs, 1)
    }

    /// As many of these endpoints must say the same.
    fn agreeing(rpcs: Vec<Rpc>, quorum: usize) -> Self {
        let network = rpcs.first().unwrap().network().clone();
        let endpoints: Vec<_> = rpcs.into_iter().map(|rpc| Arc::new(Endpoint::new(rpc))).collect();
        for endpoint in &endpoints {
            endpoint.believe();
        }
        Self::of(
            &network,
            endpoints,
            quorum,
            Box::new(Any),
            Duration::from_secs(1),
            &Tasks::default(),
        )
    }
}

fn answer(id: u64, result: &str) -> (u16, String) {
    (200, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
}

fn bad() -> (u16, String) {
    (502, "<html>".to_owned())
}

async fn ask(pool: &Pool) -> Result<String, RpcError> {
    let said = pool.call("trial", "eth_gasPrice", &[(); 0]).await;
    said.map(|it| it.get().to_owned())
}

#[tokio::test]
async fn a_read_goes_over_to_another_endpoint_and_stays_there() {
    let pool = Pool::among(vec![node(vec![bad()]), node(vec![answer(1, "2"), answer(2, "3")])]);
    assert_eq!(ask(&pool).await.unwrap(), "2");
    assert_eq!(ask(&pool).await.unwrap(), "3");
}

#[tokio::test]
async fn an_error_of_a_node_is_an_answer_unless_it_asks_to_be_left_alone() {
    let error = r#"{"id":1,"error":{"code":-32005,"message":"limit exceeded"}}"#;
    let asked = Pool::among(vec![node(vec![(200, error.to_owned())]), node(vec![answer(1, "2")])]);
    assert!(matches!(ask(&asked).await, Err(RpcError::Node { code: -32_005, .. })));
    let limited = Pool::among(vec![node(vec![(429, error.to_owned())]), node(vec![answer(1, "2")])]);
    assert_eq!(ask(&limited).await.unwrap(), "2");
    let alone = Pool::alone(node(vec![(429, error.to_owned())]));
    assert!(matches!(ask(&alone).await, Err(RpcError::Node { code: -32_005, .. })));
}

#[tokio::test]
async fn an_endpoint_that_failed_shows_its_chain_before_it_is_asked_again() {
    let pool = Pool::alone(node(vec![bad(), answer(2, "\"0x1\""), answer(3, "7"), answer(4, "8")]));
    ask(&pool).await.unwrap_err();
    assert_eq!(ask(&pool).await.unwrap(), "7", "the second answer was for the chain");
    assert_eq!(ask(&pool).await.unwrap(), "8");
}

#[tokio::test]
async fn a_view_of_one_endpoint_asks_no_other() {
    let pool = Pool::among(vec![node(vec![bad()]), node(vec![answer(1, "2")])]);
    let [first, second] = pool.each().try_into().unwrap();
    ask(&first).await.unwrap_err();
    assert_eq!(ask(&second).await.unwrap(), "2");
}

#[tokio::test]
async fn one_that_takes_the_bytes_outweighs_all_that_do_not() {
    let refused = || (200, r#"{"id":1,"error":{"code":1,"message":"no funds"}}"#.to_owned());
    let said = |words: &str| Delivery::Refused(Refusal::OutOfFunds, words.to_owned());
    for (nodes, expected) in [
        (vec![vec![refused()], vec![answer(1, "\"0x\"")]], Delivery::Accepted),
        (vec![vec![answer(1, "\"0x\"")], Vec::new()], Delivery::Accepted),
        (vec![vec![refused()], vec![refused()]], said("no funds")),
    ] {
        let pool = Pool::among(nodes.into_iter().map(node).collect());
        assert_eq!(
            pool.deliver("eth_sendRawTransaction", json!(["0x"]), said).await,
            expected
        );
    }
    // Whoever did not answer may have taken them: that the others have no use for them is not all there is to say.
    let unsure = Pool::among(vec![node(vec![refused()]), node(vec![bad()])]);
    let delivery = unsure.deliver("eth_sendRawTransaction", json!(["0x"]), said).await;
    assert!(matches!(delivery, Delivery::Unknown(_)), "{delivery:?}");
}

#[tokio::test]
async fn what_enough_endpoints_say_alike_counts_and_a_faulty_one_is_not_counted() {
    let gas_price = |pool: Pool| async move {
        let said = pool.call("trial", "eth_gasPrice", &[(); 0]).await;
        said.map(|it| it.get().to_owned())
            .map_err(|error| pool.refused("trial", error))
    };
    let says = |word: &str| node(vec![answer(1, word)]);
    let silent = || node(vec![bad()]);
    for (nodes, quorum, agreed) in [
        (vec![says("1"), says("2"), says("2")], 2, Some("2")),
        (vec![silent(), says("2"), says("2")], 2, Some("2")),
        (vec![says("1"), says("2"), says("3")], 2, None),
        (vec![silent(), silent(), says("2")], 2, None),
        (vec![says("2"), says("2"), says("1")], 3, None),
        (vec![silent(), says("2"), says("3")], 1, Some("2")),
        (vec![silent(), silent()], 1, None),
    ] {
        let said = Pool::agreeing(nodes, quorum).alike(gas_price).await;
        assert_eq!(said.ok().as_deref(), agreed, "{quorum} have to agree");
    }
}
