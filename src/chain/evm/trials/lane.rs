//! What transactions really cost.

use alloy::primitives::{Address, keccak256};
use alloy::signers::local::PrivateKeySigner;
use serde_json::json;

use super::*;

#[tokio::test]
async fn sharing_a_transaction_saves_a_third_of_the_gas() {
    let anvil = Anvil::start().await;
    // 102 payers, then 50 recipients of their own.
    let people: Vec<PrivateKeySigner> = (0..152)
        .map(|n: u8| PrivateKeySigner::from_bytes(&keccak256([n])).unwrap())
        .collect();
    let rich: PrivateKeySigner = anvil.keys[1].parse().unwrap();
    for some in people.chunks(76) {
        let funding: Vec<_> = some
            .iter()
            .map(|it| anvil.payment_by(&rich, it.address(), 1_000_000, &it.address().to_string(), FAR))
            .collect();
        anvil.settle(0, &funding.iter().collect::<Vec<_>>()).await;
    }
    let pay = |n: usize, to| anvil.payment_by(&people[n], to, 10_000, &format!("pay {n}"), FAR);

    let (_, to_new) = anvil.settle(0, &[&pay(0, Address::repeat_byte(0xEE))]).await;
    anvil.settle(0, &[&anvil.payment(2, 1, "first", FAR)]).await;
    let (_, alone) = anvil.settle(0, &[&pay(1, anvil.pay_to)]).await;
    let to_one: Vec<_> = (2..52).map(|n| pay(n, anvil.pay_to)).collect();
    let to_many: Vec<_> = (52..102).map(|n| pay(n, people[n + 50].address())).collect();
    println!("alone {alone}, to a new account {to_new}");
    assert!(to_new < 21_000 + TRANSFER_GAS_MAX);
    for (name, batch) in [("one seller", to_one), ("50 sellers", to_many)] {
        let (tx, together) = anvil.settle(0, &batch.iter().collect::<Vec<_>>()).await;
        let receipt = anvil.ask("eth_getTransactionReceipt", json!([tx.0])).await;
        assert_eq!(receipt["logs"].as_array().unwrap().len(), 100);
        let each = together / 50;
        println!("each of 50 to {name} {each}: {}/1000", each * 1000 / alone);
        assert!(each * 100 <= alone * 65, "{each} of {alone}");
    }
}

#[tokio::test]
async fn a_fee_under_the_chain_s_own_cannot_be_afforded() {
    let anvil = Anvil::start().await;
    let least = Fees::new(prices(1), Duration::ZERO).quote(&anvil.rpc).await.unwrap();
    assert!(!least.is_affordable() && least.floor > 1, "{least:?}");
    let fees = Fees::new(prices(u128::MAX), Duration::from_mins(1));
    let quote = fees.quote(&anvil.rpc).await.unwrap();
    assert!(quote.tip <= quote.fee_max && quote.is_affordable());
}
