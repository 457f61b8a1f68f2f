//! Many payments at once: they share transactions, and nobody pays for a neighbour's failure.

use std::collections::HashSet;

use alloy::primitives::Address;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::anvil::{Mining, number, parse};
use crate::support::books::books_agree;
use crate::support::contracts::{Trick, addresses};
use crate::support::eventually;
use crate::support::http::Answer;
use crate::support::payer::{Envelope, Payment};
use crate::support::proxy::{Fault, FaultHandle, send};
use crate::support::world::{Setup, World};

/// A lane that is kept busy with one payment, so that all others gather behind it and go together.
struct Busy {
    first: JoinHandle<Answer>,
    sending: FaultHandle,
}

impl Busy {
    async fn lane(world: &World) -> Self {
        let sending = world.proxy.fault(send, Fault::HoldRequest);
        let first = world.settling(&Payment::by(6));
        sending.met(1).await;
        Self { first, sending }
    }

    async fn no_more(self) {
        self.sending.release();
        self.first.await.unwrap().settled();
    }
}

/// To whom a transaction speaks.
async fn target(world: &World, tx: &str) -> Address {
    parse(&world.node.transaction(tx).await["to"])
}

#[tokio::test]
async fn fifty_payments_at_once_share_a_transaction() {
    let world = World::start(Setup {
        mining: Mining::EverySecond,
        ..Setup::default()
    })
    .await;
    let busy = Busy::lane(&world).await;
    let payments: Vec<Payment> = (0..50).map(|i| Payment::by(1 + i % 6)).collect();
    let settling: Vec<_> = payments.iter().map(|payment| world.settling(payment)).collect();
    world.recorded(51).await;
    busy.no_more().await;
    let mut transactions = HashSet::new();
    for answer in settling {
        transactions.insert(answer.await.unwrap().settled());
    }
    let all = world.proxy.transactions();
    assert!(all.len() <= 3, "{} transactions for 51 payments", all.len());
    assert_eq!(
        target(&world, &all[0]).await,
        addresses().usdc,
        "one payment is a plain call"
    );
    for tx in &transactions {
        assert_eq!(target(&world, tx).await, addresses().multicall3);
    }
    let evidence: i64 = world
        .db
        .one("select count(distinct (tx, log_index)) from evidence where ours")
        .await;
    assert_eq!(evidence, 51);
    assert_eq!(world.received().await, 510_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn what_a_shared_transaction_costs_is_shared_to_the_last_wei() {
    let world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let busy = Busy::lane(&world).await;
    let payments: Vec<Payment> = (0..7).map(|i| Payment::by(1 + i % 6)).collect();
    let settling: Vec<_> = payments.iter().map(|payment| world.settling(payment)).collect();
    world.recorded(8).await;
    busy.no_more().await;
    for answer in settling {
        answer.await.unwrap().settled();
    }
    world.node.mine(3).await;
    for payment in &payments {
        world.reaches(payment, "final").await;
    }
    let mut cost = 0;
    for tx in world.proxy.transactions() {
        let receipt = world.node.receipt(&tx).await;
        cost += u128::from(number(&receipt["gasUsed"])) * u128::from(number(&receipt["effectiveGasPrice"]));
    }
    let shares = "select sum(amount)::text from ledger_entries where purpose = 'gas'";
    eventually("all shares are posted", async || {
        (world.db.count("ledger_entries where purpose = 'gas'").await == 8).then_some(())
    })
    .await;
    assert_eq!(world.db.one::<String>(shares).await, cost.to_string());
    books_agree(&world).await;
}

#[tokio::test]
async fn a_crowd_of_gateways_is_served_whatever_the_order() {
    let world = World::start(Setup {
        mining: Mining::EverySecond,
        signers: 2,
        ..Setup::default()
    })
    .await;
    let payments: Vec<Payment> = (0..60).map(|i| Payment::by(1 + i % 6)).collect();
    let settling: Vec<_> = payments.iter().map(|payment| world.settling(payment)).collect();
    for answer in settling {
        answer.await.unwrap().settled();
    }
    assert!(world.proxy.transactions().len() < 60);
    assert_eq!(world.received().await, 600_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_payer_with_code_shares_with_nobody() {
    let world = World::usual().await;
    let at = addresses();
    let busy = Busy::lane(&world).await;
    let wallet = Payment::from_wallet(at.owner_wallet, at.owner_wallet_owner_key);
    let wallet = wallet.body_with(Envelope::V2, &wallet.signature_for_owner_wallet());
    let delegated = delegated_payer(&world).await.body();
    // In this order they wait: whoever boards first, somebody with code comes after somebody without.
    let (mut apart, mut together) = (Vec::new(), Vec::new());
    for (place, body) in (2..).zip([
        Payment::by(1).body(),
        wallet,
        Payment::by(2).body(),
        delegated,
        Payment::by(3).body(),
    ]) {
        let settling = world.facilitator.caller().settling(body);
        if place % 2 == 0 {
            together.push(settling);
        } else {
            apart.push(settling);
        }
        world.recorded(place).await;
    }
    busy.no_more().await;
    for answer in apart {
        assert_eq!(target(&world, &answer.await.unwrap().settled()).await, at.usdc);
    }
    let mut shared = HashSet::new();
    for answer in together {
        shared.insert(answer.await.unwrap().settled());
    }
    for tx in &shared {
        assert_eq!(target(&world, tx).await, at.multicall3);
    }
    assert_eq!(shared.len(), 1);
    books_agree(&world).await;
}

/// An account that has code of its own (EIP-7702) and pays with a signature that its delegate accepts.
async fn delegated_payer(world: &World) -> Payment {
    let payment = Payment::by(5);
    let delegation = [&[0xef, 0x01, 0x00], addresses().permissive_wallet.as_slice()].concat();
    world.node.set_code(payment.from, &delegation.into()).await;
    payment
}

#[tokio::test]
async fn the_innocent_are_paid_though_one_of_them_burns_all_the_gas() {
    let world = World::usual().await;
    world
        .node
        .administer(addresses().trick_token, &Trick::BurnAllGas.on())
        .await;
    let busy = Busy::lane(&world).await;
    // The culprit boards first, so that those after it are left without gas.
    let culprit = Payment::in_trick_token(1);
    let burning = world.settling(&culprit);
    world.recorded(2).await;
    let innocent: Vec<Payment> = (1..6).map(Payment::by).collect();
    let settling: Vec<_> = innocent.iter().map(|payment| world.settling(payment)).collect();
    world.recorded(7).await;
    busy.no_more().await;
    for answer in settling {
        answer.await.unwrap().settled();
    }
    let (reason, tx) = burning.await.unwrap().unsettled();
    assert_eq!(reason, "invalid_exact_evm_transaction_failed");
    assert!(!tx.is_empty());
    let shared = "select count(*) from (select nonce from settlement_attempts group by nonce having count(*) > 1) s";
    assert_eq!(world.db.one::<i64>(shared).await, 1, "they did share one transaction");
    assert_eq!(world.received().await, 60_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn one_payment_that_fails_in_company_fails_alone() {
    let world = World::usual().await;
    world
        .node
        .administer(addresses().trick_token, &Trick::Revert.on())
        .await;
    let busy = Busy::lane(&world).await;
    let failing = world.settling(&Payment::in_trick_token(1));
    let settling: Vec<_> = (1..5).map(|payer| world.settling(&Payment::by(payer))).collect();
    world.recorded(6).await;
    busy.no_more().await;
    let mut paid = HashSet::new();
    for answer in settling {
        paid.insert(answer.await.unwrap().settled());
    }
    let (reason, tx) = failing.await.unwrap().unsettled();
    assert_eq!(reason, "invalid_exact_evm_transaction_failed");
    assert_eq!(
        paid,
        HashSet::from([tx]),
        "in the very transaction that paid the others"
    );
    assert_eq!(world.proxy.transactions().len(), 2);
    books_agree(&world).await;
}

#[tokio::test]
async fn two_signers_are_two_lanes() {
    let world = World::start(Setup {
        signers: 2,
        ..Setup::default()
    })
    .await;
    let sending = world.proxy.fault(send, Fault::HoldRequest);
    let first = world.settling(&Payment::by(1));
    sending.met(1).await;
    let second = world.settling(&Payment::by(2));
    sending.met(2).await;
    assert_eq!(
        world
            .db
            .one::<i64>("select count(distinct signer) from chain_transactions")
            .await,
        2
    );
    sending.release();
    let (first, second) = (first.await.unwrap().settled(), second.await.unwrap().settled());
    let from = async |tx: &str| parse::<Address>(&world.node.transaction(tx).await["from"]);
    assert_ne!(from(&first).await, from(&second).await);
    books_agree(&world).await;
}

#[tokio::test]
async fn a_lane_that_is_full_holds_back_and_goes_on() {
    let setup = Setup {
        mining: Mining::OnDemand,
        network_key: "in_flight_max = 2",
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let mut settling = Vec::new();
    for sent in 1..=2_u64 {
        settling.push(world.settling(&Payment::by(1)));
        world.is_waiting(sent).await;
    }
    settling.extend((2..6).map(|payer| world.settling(&Payment::by(payer))));
    world.recorded(6).await;
    assert_eq!(world.proxy.transactions().len(), 2);
    world.node.call("evm_setIntervalMining", json!([1])).await;
    for answer in settling {
        answer.await.unwrap().settled();
    }
    assert_eq!(world.proxy.transactions().len(), 3);
    books_agree(&world).await;
}

/// Whoever asks whether payments would go through, without end, does not keep others from being paid.
#[tokio::test]
async fn x13_a_storm_of_verifications_does_not_starve_settling() {
    let world = World::start(Setup {
        mining: Mining::EverySecond,
        ..Setup::default()
    })
    .await;
    let asking = (0..64).map(|i| {
        let (caller, body) = (world.facilitator.caller(), Payment::by(1 + i % 6).body());
        tokio::spawn(async move {
            loop {
                caller.post("/verify", &body).await;
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    for payer in 1..=6 {
        world.facilitator.settle(&Payment::by(payer).body()).await.settled();
    }
    for storm in asking {
        assert!(!storm.is_finished(), "every question was answered");
        storm.abort();
    }
    assert_eq!(world.received().await, 60_000);
    books_agree(&world).await;
}
