//! EVM: bodies over TCP and in this process, and generated authorizations beside what the token itself does.

use alloy::primitives::{Address, B256, Bytes, Signature, U256};
use alloy::sol_types::{Eip712Domain, SolCall, SolStruct};
use serde_json::{Value, json};

use super::{Door, Pool, round};
use crate::dice::Dice;
use crate::support::contracts::{Account, TransferWithAuthorization, addresses};
use crate::support::counted::counted;
use crate::support::now;
use crate::support::payer::{Envelope, Payment};
use crate::support::world::{Setup, World};

/// Whether the payer signed exactly what the merchant asks for here.
fn is_signed(body: &[u8]) -> Option<bool> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let terms = &body["paymentRequirements"];
    let proof = &body["paymentPayload"]["payload"];
    let text = |at: &str| proof["authorization"][at].as_str();
    let address = |text: Option<&str>| text?.parse::<Address>().ok();
    let number = |text: Option<&str>| text?.parse::<U256>().ok();
    let asset = address(terms["asset"].as_str())?;
    let price = match body["paymentPayload"]["x402Version"].as_u64()? {
        1 => &terms["maxAmountRequired"],
        _ => &terms["amount"],
    };
    let transfer = TransferWithAuthorization {
        from: address(text("from"))?,
        to: address(terms["payTo"].as_str())?,
        value: number(price.as_str())?,
        validAfter: number(text("validAfter"))?,
        validBefore: number(text("validBefore"))?,
        nonce: text("nonce")?.parse::<B256>().ok()?,
    };
    let domain = Eip712Domain::new(
        Some("USDC".into()),
        Some("2".into()),
        Some(U256::from(84_532)),
        Some(asset),
        None,
    );
    let signature = proof["signature"].as_str()?.parse::<Bytes>().ok()?;
    let signer = Signature::from_raw(&signature).ok()?;
    let signer = signer.recover_address_from_prehash(&transfer.eip712_signing_hash(&domain));
    Some([addresses().usdc, addresses().trick_token].contains(&asset) && signer.ok()? == transfer.from)
}

/// With one thing that is not as it should be, signed so.
fn otherwise(dice: &mut Dice, good: Payment) -> Payment {
    let at = addresses();
    let other = |dice: &mut Dice| dice.pick(&at.accounts).clone();
    match dice.below(10) {
        0 => Payment {
            value: good.value + U256::from(1 + dice.below(1000)),
            ..good
        },
        1 => Payment {
            to: other(dice).address,
            ..good
        },
        2 => Payment {
            valid_after: good.valid_before,
            ..good
        },
        3 => Payment {
            valid_before: now() - dice.below(1000),
            ..good
        },
        4 => Payment {
            nonce: B256::ZERO,
            ..good
        },
        5 => Payment { chain_id: 1, ..good },
        6 => Payment {
            asset: *dice.pick(&[at.trick_token, at.plain_token, at.multicall3]),
            ..good
        },
        7 => Payment {
            name: "USD Coin",
            ..good
        },
        8 => Payment { version: "1", ..good },
        _ => Payment {
            key: other(dice).key,
            ..good
        },
    }
}

/// Good payments of three payers, and more of them that were signed otherwise.
fn pool(round: usize) -> Pool {
    let mut dice = Dice::new(round.try_into().unwrap());
    let mut bodies = Vec::new();
    for payer in 1..4 {
        for envelope in Envelope::BOTH {
            let good = Payment::by(payer);
            bodies.push(good.body_in(envelope));
            for _ in 0..2 {
                let other = otherwise(&mut dice, good.clone());
                bodies.push(other.body_in(envelope));
                bodies.push(good.body_with(envelope, &other.signature()));
            }
        }
    }
    Pool {
        bodies: bodies.iter().map(|body| body.to_string().into()).collect(),
        is_signed,
    }
}

#[tokio::test]
async fn b01_mutated_bodies_are_answered_and_never_falsely_valid() {
    let world = World::usual().await;
    let door = Door::Tcp(world.facilitator.caller());
    counted("B01", 1, super::BODIES, async |number| {
        round(&door, number, &pool(number)).await;
    })
    .await;
    assert!(!world.facilitator.logs().contains("panicked"));
    assert_eq!(world.db.count("payments").await, 0);
}

#[tokio::test]
async fn b01_mutated_bodies_in_this_process_are_answered_and_never_falsely_valid() {
    let world = World::prepare(Setup::default()).await;
    let door = Door::Inside(world.facilitator.inside().await);
    counted("B01", 10, super::BODIES, async |number| {
        round(&door, number, &pool(number)).await;
    })
    .await;
    assert_eq!(world.db.count("payments").await, 0);
    door.stop().await;
}

/// Payments side by side in a round that is held against the chain.
const GENERATED: usize = 100;

/// A payment that the merchant asks for as it is signed, so that only the chain and the facilitator's own rules can refuse
/// it. Some have nonces of `used`.
fn generated(dice: &mut Dice, used: &[B256]) -> Payment {
    let at = addresses();
    let account: &Account = dice.pick(&at.accounts[1..7]);
    let amount = *dice.pick(&[
        0,
        1,
        10_000,
        999_999_999_999,
        1_000_000_000_000,
        1_000_000_000_001,
        u64::MAX,
    ]);
    let mut payment = Payment::of(account, amount);
    if dice.chance(150) {
        payment.to = *dice.pick(&[
            at.usdc,
            at.accounts[9].address,
            account.address,
            at.accounts[0].address,
            Address::ZERO,
        ]);
        payment.pay_to = payment.to;
    }
    payment.valid_after = *dice.pick(&[0, 1, now() - 3600, now() + 3600, u64::MAX]);
    payment.valid_before = *dice.pick(&[0, now() - 3600, now() + 3600, u64::MAX]);
    payment.chain_id = *dice.pick(&[84_532, 84_532, 84_532, 8_453]);
    payment.version = *dice.pick(&["2", "2", "2", "1"]);
    if dice.chance(150) {
        payment.nonce = *dice.pick(used);
    }
    if dice.chance(100) {
        payment.key = dice.pick(&at.accounts).key;
    }
    payment
}

/// Whether the token would move the money in the next block.
async fn moves(world: &World, payment: &Payment) -> bool {
    let call = json!({"to": payment.asset, "data": Bytes::from(payment.call().abi_encode())});
    world.node.try_call("eth_call", json!([call, "latest"])).await.is_ok()
}

/// What the facilitator refuses although the token does it.
fn is_refused_all_the_same(payment: &Payment) -> bool {
    let at = addresses();
    let no_recipient = [at.usdc, at.accounts[9].address, payment.from, Address::ZERO];
    payment.value.is_zero() || no_recipient.contains(&payment.to)
}

#[tokio::test]
async fn g12_what_verify_says_of_an_authorization_is_what_the_token_does() {
    let world = World::usual().await;
    let used = [Payment::by(1), Payment::by(2)];
    let third = addresses().accounts[7].address;
    world.node.send_mined(third, addresses().usdc, &used[0].call()).await;
    world
        .node
        .send_mined(third, addresses().usdc, &used[1].cancellation())
        .await;
    let used = used.map(|payment| payment.nonce);
    let seen = std::cell::Cell::new([0; 2]);
    counted("G12", 10, GENERATED, async |number| {
        let mut dice = Dice::new(number.try_into().unwrap()).apart();
        let payments: Vec<Payment> = (0..GENERATED).map(|_| generated(&mut dice, &used)).collect();
        let verdicts = payments.iter().map(async |payment| {
            let answer = world.facilitator.verify(&payment.body()).await.verdict(200);
            let (is_valid, moves) = (answer["isValid"] == true, moves(&world, payment).await);
            let expected = moves && !is_refused_all_the_same(payment);
            assert_eq!(is_valid, expected, "{answer}: {payment:?}");
            is_valid
        });
        for is_valid in futures_util::future::join_all(verdicts).await {
            let mut counts = seen.get();
            counts[usize::from(is_valid)] += 1;
            seen.set(counts);
        }
    })
    .await;
    let [invalid, valid] = seen.get();
    assert!(
        invalid > valid && valid > 0,
        "{invalid} invalid and {valid} valid: this tests nothing"
    );
}
