//! What verification promises, settlement keeps: the same calls, sent.

use facilitator::domain::rail::{Delivery, Rail};

use super::rail::{Verdict, facts, rail, verify};
use super::verify::{counterfactual, good};
use crate::support::anvil::Anvil;
use crate::support::pay::Payment;

/// Signs for these payments, sends, and gives the gas used.
async fn settle(anvil: &Anvil, rail: &dyn Rail, payments: &[&Payment]) -> u64 {
    let lane = &rail.lanes()[0];
    let nonce = rail.lane_nonce(lane).await.unwrap().unwrap();
    let quote = rail.quote().await.unwrap();
    let authorizations: Vec<_> = payments
        .iter()
        .map(|payment| rail.decode(&payment.request()).unwrap())
        .collect();
    let signed = rail
        .sign(lane, nonce, &authorizations.iter().collect::<Vec<_>>(), &quote)
        .unwrap();
    let [tx] = signed.as_slice() else {
        panic!("{} transactions", signed.len());
    };
    assert_eq!(rail.deliver(&tx.raw).await, Delivery::Accepted);
    let receipt = anvil.receipt(&tx.id.0).await;
    assert_eq!(receipt["status"], "0x1");
    u64::from_str_radix(receipt["gasUsed"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_payment_settles_once() {
    let (anvil, rail) = rail().await;
    let owner_key = anvil.address("ownerWalletOwnerKey");
    let payments = [
        ("an account's", good(&anvil, 1, "35")),
        (
            "a wallet's",
            good(&anvil, 1, "30").by_wallet(&anvil.address("ownerWallet"), &owner_key),
        ),
        (
            "a new wallet's",
            counterfactual(&anvil, &anvil.address("walletFactory"), "33"),
        ),
        (
            "the same wallet's again",
            counterfactual(&anvil, &anvil.address("walletFactory"), "33b"),
        ),
    ];
    for (what, payment) in payments {
        let before = facts(&*rail, &payment).await.balance.units();
        assert_eq!(verify(&*rail, &payment).await, Verdict::Good, "{what}");
        let gas = settle(&anvil, &*rail, &[&payment]).await;
        println!("{what}: {gas} gas");
        let after = facts(&*rail, &payment).await.balance.units();
        assert_eq!(before - after, 10_000, "{what}");
        assert_eq!(verify(&*rail, &payment).await.name(), "NonceUsed", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_payments_settle_in_one_transaction() {
    let (anvil, rail) = rail().await;
    let payments: Vec<Payment> = (0..50)
        .map(|n| good(&anvil, 1 + n % 9, &format!("batch {n}")))
        .collect();
    let gas = settle(&anvil, &*rail, &payments.iter().collect::<Vec<_>>()).await;
    println!("50 payments: {gas} gas");
    for payment in &payments {
        assert_eq!(verify(&*rail, payment).await.name(), "NonceUsed");
    }
}
