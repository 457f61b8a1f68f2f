//! Payers that are contracts: their code says what a signature is worth, and does what it likes when it is asked.

use std::time::Duration;

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolCall;
use futures_util::future::join_all;
use serde_json::Value;

use super::verify::{FAILED, invalid, valid};
use crate::support::books::books_agree;
use crate::support::contracts::{addresses, flipping_wallet, reentering_wallet};
use crate::support::payer::{Envelope, Payment, wrapped_6492};
use crate::support::proxy::{Fault, anything};
use crate::support::world::{Setup, World};

const SIGNATURE: &str = "invalid_exact_evm_signature";

#[tokio::test]
async fn case_30_a_contract_wallet_says_itself_what_its_signature_is() {
    let world = World::usual().await;
    let at = addresses();
    let payment = Payment::from_wallet(at.owner_wallet, at.owner_wallet_owner_key);
    let good = payment.body_with(Envelope::V2, &payment.signature_for_owner_wallet());
    assert_eq!(valid(&world, &good).await, at.owner_wallet);
    let wrong = Payment {
        key: at.accounts[1].key,
        ..payment.clone()
    };
    for signature in [payment.signature(), wrong.signature_for_owner_wallet(), Vec::new()] {
        let body = payment.body_with(Envelope::V2, &signature);
        assert_eq!(invalid(&world, &body, 1).await, SIGNATURE);
    }
}

#[tokio::test]
async fn b15_case_31_a_delegated_account_is_judged_by_its_delegate_alone() {
    let world = World::usual().await;
    let payment = Payment::by(3);
    valid(&world, &payment.body()).await;
    let delegation = [&[0xef, 0x01, 0x00], addresses().refusing_wallet.as_slice()].concat();
    world.node.set_code(payment.from, &delegation.into()).await;
    assert_eq!(invalid(&world, &payment.body(), 1).await, SIGNATURE);
}

fn counterfactual(factory: Address) -> Value {
    let at = addresses();
    let payment = Payment::from_wallet(at.counterfactual_wallet, at.owner_wallet_owner_key);
    payment.body_with(Envelope::V2, &payment.signature_6492(factory))
}

#[tokio::test]
async fn b13_case_32_a_wallet_to_be_deployed_by_a_factory_that_is_not_listed() {
    let at = addresses();
    let factories = vec![at.reverting_factory];
    let world = World::start(Setup {
        factories,
        ..Setup::default()
    })
    .await;
    for factory in [at.wallet_factory, at.usdc, at.multicall3] {
        let reason = world.facilitator.verify(&counterfactual(factory)).await.invalid();
        assert_eq!(reason, "eip6492_factory_not_allowed", "{factory}");
    }
    let reason = world
        .facilitator
        .verify(&counterfactual(at.reverting_factory))
        .await
        .invalid();
    assert_eq!(reason, FAILED);
}

/// Only the outermost wrapper is one: the wallet is shown what is in it, and takes no other.
#[tokio::test]
async fn b13_a_wrapper_within_a_wrapper_is_no_signature() {
    let at = addresses();
    let factories = vec![at.wallet_factory];
    let world = World::start(Setup {
        factories,
        ..Setup::default()
    })
    .await;
    let payment = Payment::from_wallet(at.counterfactual_wallet, at.owner_wallet_owner_key);
    for inner in [at.wallet_factory, at.reverting_factory] {
        for levels in [1, 20] {
            let nested = (0..levels).fold(payment.signature_6492(inner), |signature, _| {
                wrapped_6492(at.wallet_factory, signature)
            });
            let body = payment.body_with(Envelope::V2, &nested);
            assert_eq!(world.facilitator.verify(&body).await.invalid(), FAILED, "{levels}");
            world.facilitator.settle(&body).await.unsettled();
        }
    }
    assert_eq!(world.db.count("payments").await, 0);
    assert_eq!(world.proxy.transactions(), [""; 0]);
}

#[tokio::test]
async fn case_33_a_wallet_to_be_deployed_by_a_listed_factory() {
    let factories = vec![addresses().wallet_factory];
    let world = World::start(Setup {
        factories,
        ..Setup::default()
    })
    .await;
    let good = counterfactual(addresses().wallet_factory);
    assert_eq!(valid(&world, &good).await, addresses().counterfactual_wallet);
    let code = world
        .node
        .call(
            "eth_getCode",
            serde_json::json!([addresses().counterfactual_wallet, "latest"]),
        )
        .await;
    assert_eq!(code, "0x", "verification deploys nothing");
}

#[tokio::test]
async fn b14_hostile_wallets_spoil_nothing_for_their_neighbours() {
    let world = World::usual().await;
    let _slow = world.proxy.fault(anything, Fault::Delay(Duration::from_millis(25)));
    let at = addresses();
    let hostile = |wallet: Address, signature: usize| {
        Payment::from_wallet(wallet, B256::repeat_byte(1)).body_with(Envelope::V2, &vec![1; signature])
    };
    // The bomb wallet reverts with or returns its bytes by the parity of the question's length.
    let mut bodies = vec![
        hostile(at.gas_hog_wallet, 65),
        hostile(at.bomb_wallet, 65),
        hostile(at.bomb_wallet, 64),
        hostile(at.refusing_wallet, 65),
    ];
    let refused = bodies.len();
    // This one has the token ask it again and again, for as long as there is gas.
    let again = Payment::by(6);
    let wallet = reentering_wallet(again.asset, &again.call().abi_encode());
    world.node.set_code(again.from, &wallet).await;
    bodies.push(again.body());
    bodies.extend((0..20).map(|i| Payment::by(1 + i % 5).body()));
    let answers = join_all(bodies.iter().map(|body| world.facilitator.verify(body))).await;
    for answer in &answers[..refused] {
        assert_eq!(answer.invalid(), SIGNATURE);
    }
    assert_eq!(answers[refused].invalid(), FAILED);
    for answer in &answers[refused + 1..] {
        answer.valid();
    }
}

/// A wallet that takes the signature in the block in which it is asked, and not in the next.
#[tokio::test]
async fn b14_a_wallet_that_flips_by_block_costs_one_transaction() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    world.node.set_code(payment.from, &flipping_wallet()).await;
    world.node.mine(world.node.block_number().await % 2).await;
    let (_, tx) = world.facilitator.settle(&payment.body()).await.unsettled();
    assert_eq!(world.node.receipt(&tx).await["status"], "0x0");
    assert_eq!(world.proxy.transactions(), [tx]);
    let verdict = world.facilitator.verify(&Payment::by(1).body()).await.invalid();
    assert_eq!(verdict, SIGNATURE);
    assert_eq!(world.received().await, 0);
    books_agree(&world).await;
}
