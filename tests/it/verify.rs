//! `/verify`: each rule with its reason, at the least cost to the chain's node, and never "invalid" where the truth
//! is "unknown".

use std::time::Duration;

use alloy::primitives::{Address, U256};
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::books::books_agree;
use crate::support::contracts::{Token, addresses, third_party};
use crate::support::now;
use crate::support::payer::{Envelope, Payment, with, without};
use crate::support::proxy::{Fault, anything};
use crate::support::world::World;

const EXPIRED: &str = "invalid_exact_evm_payload_authorization_valid_before";
const MISMATCH: &str = "invalid_exact_evm_payload_authorization_value_mismatch";
const TOO_EARLY: &str = "invalid_exact_evm_payload_authorization_valid_after";
pub(super) const FAILED: &str = "invalid_exact_evm_transaction_simulation_failed";

/// The reason for which the payment is invalid, asking the chain as often as allowed.
pub(super) async fn invalid(world: &World, body: &Value, questions: usize) -> String {
    let before = world.proxy.questions();
    let answer = world.facilitator.verify(body).await;
    assert_eq!(
        world.proxy.questions() - before,
        questions,
        "questions to the chain about {body}"
    );
    answer.invalid()
}

/// The payer of a valid payment.
pub(super) async fn valid(world: &World, body: &Value) -> Address {
    world.facilitator.verify(body).await.valid().parse().unwrap()
}

#[tokio::test]
async fn case_11_a_good_payment_is_valid_at_the_cost_of_one_question() {
    let world = World::usual().await;
    for envelope in Envelope::BOTH {
        let payment = Payment::by(1);
        let before = world.proxy.questions();
        assert_eq!(valid(&world, &payment.body_in(envelope)).await, payment.from);
        assert_eq!(world.proxy.questions() - before, 1);
    }
    assert_eq!(world.db.count("payments").await, 0);
    assert_eq!(world.proxy.transactions(), [""; 0]);
}

#[tokio::test]
async fn b09_b12_cases_12_to_23_what_the_request_itself_gives_away_costs_no_question() {
    let world = World::usual().await;
    let by = || Payment::by(1);
    let v1 = |payment: Payment| payment.body_in(Envelope::V1);
    let somebody = addresses().accounts[6].address;
    let worth = |value: u64| Payment {
        value: U256::from(value),
        ..by()
    };
    for (case, body, reason) in [
        (
            12,
            with(by().body(), "/paymentPayload/accepted/scheme", "upto"),
            "invalid_exact_evm_scheme",
        ),
        (
            12,
            with(v1(by()), "/paymentPayload/scheme", "upto"),
            "invalid_exact_evm_scheme",
        ),
        (
            13,
            with(by().body(), "/paymentPayload/accepted/network", "eip155:8453"),
            "invalid_exact_evm_network_mismatch",
        ),
        (
            13,
            with(v1(by()), "/paymentPayload/network", "base"),
            "invalid_exact_evm_network_mismatch",
        ),
        (
            15,
            without(by().body(), "/paymentRequirements/extra"),
            "invalid_exact_evm_missing_eip712_domain",
        ),
        (
            15,
            without(by().body(), "/paymentRequirements/extra/name"),
            "invalid_exact_evm_missing_eip712_domain",
        ),
        (
            15,
            without(v1(by()), "/paymentRequirements/extra/version"),
            "invalid_exact_evm_missing_eip712_domain",
        ),
        (
            19,
            Payment { to: somebody, ..by() }.body(),
            "invalid_exact_evm_recipient_mismatch",
        ),
        (
            20,
            Payment {
                valid_before: now() + 5,
                ..by()
            }
            .body(),
            EXPIRED,
        ),
        (
            20,
            v1(Payment {
                valid_before: now() - 3600,
                ..by()
            }),
            EXPIRED,
        ),
        (
            21,
            Payment {
                valid_after: now() + 60,
                ..by()
            }
            .body(),
            TOO_EARLY,
        ),
        (22, worth(9_999).body(), MISMATCH),
        (22, worth(10_001).body(), MISMATCH),
        (23, v1(worth(9_999)), "invalid_exact_evm_authorization_value"),
        (23, v1(worth(10_001)), "invalid_exact_evm_authorization_value"),
    ] {
        assert_eq!(invalid(&world, &body, 0).await, reason, "case {case}");
    }
}

/// How long a payment may wait is its payer's affair.
#[tokio::test]
async fn b09_windows_without_a_moment_are_refused_and_those_without_an_end_are_paid() {
    let world = World::usual().await;
    for (valid_after, valid_before) in [(now() + 900, now() + 600), (u64::MAX, u64::MAX)] {
        let backwards = Payment {
            valid_after,
            valid_before,
            ..Payment::by(1)
        };
        assert_eq!(invalid(&world, &backwards.body(), 0).await, TOO_EARLY);
    }
    for valid_before in [now() + 10 * 365 * 86_400, u64::MAX - 5, u64::MAX] {
        let payment = Payment {
            valid_before,
            ..Payment::by(1)
        };
        valid(&world, &payment.body()).await;
        world.facilitator.settle(&payment.body()).await.settled();
    }
    assert_eq!(world.received().await, 30_000);
    books_agree(&world).await;
}

#[tokio::test]
async fn b07_case_16_one_bit_of_the_signature_flipped() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let good = payment.signature();
    for bit in 0..good.len() * 8 {
        let mut signature = good.clone();
        signature[bit / 8] ^= 1 << (bit % 8);
        let answer = world
            .facilitator
            .verify(&payment.body_with(Envelope::V2, &signature))
            .await;
        assert_eq!(answer.invalid(), "invalid_exact_evm_signature", "bit {bit}");
    }
}

#[tokio::test]
async fn b07_b10_x05_cases_17_and_18_signatures_of_others_and_of_other_forms() {
    let world = World::usual().await;
    let payment = Payment::by(1);
    let good = payment.signature();
    let by_another = Payment {
        key: addresses().accounts[2].key,
        ..payment.clone()
    }
    .signature();
    let other_domain = Payment {
        asset: addresses().trick_token,
        ..payment.clone()
    }
    .signature();
    for (name, signature) in [
        ("another key", by_another),
        ("another token's domain", other_domain),
        ("another payment", Payment::by(1).signature()),
        ("63 bytes", good[..63].to_vec()),
        ("64 bytes", good[..64].to_vec()),
        ("66 bytes", [&good[..], &[0]].concat()),
        ("no bytes", Vec::new()),
        ("all zero", vec![0; 65]),
        ("v = 29", [&good[..64], &[29]].concat()),
        ("r = 0", [&[0; 32], &good[32..]].concat()),
        ("s = 0", [&good[..32], &[0; 32], &good[64..]].concat()),
        (
            "s = n",
            [&good[..32], &order().to_be_bytes::<32>(), &good[64..]].concat(),
        ),
        ("upper half of the curve", malleated(&good)),
    ] {
        let body = payment.body_with(Envelope::V2, &signature);
        assert_eq!(
            world.facilitator.verify(&body).await.invalid(),
            "invalid_exact_evm_signature",
            "{name}"
        );
    }
    let zero_or_one = [&good[..64], &[good[64] - 27]].concat();
    valid(&world, &payment.body_with(Envelope::V2, &zero_or_one)).await;
}

/// The order of secp256k1's group.
fn order() -> U256 {
    let order = "115792089237316195423570985008687907852837564279074904382605163141518161494337";
    order.parse().unwrap()
}

/// The other signature that the same key and message have: s' = n - s.
fn malleated(signature: &[u8]) -> Vec<u8> {
    let s = order() - U256::from_be_slice(&signature[32..64]);
    let v = if signature[64] == 27 { 28 } else { 27 };
    [&signature[..32], &s.to_be_bytes::<32>(), &[v]].concat()
}

#[tokio::test]
async fn r23_cases_24_and_25_assets_that_are_no_such_token() {
    let world = World::usual().await;
    let at = addresses();
    for (asset, name, reason) in [
        (at.accounts[5].address, "USDC", "asset_not_deployed_contract"),
        (at.plain_token, "Plain", "invalid_exact_evm_eip3009_not_supported"),
        (at.multicall3, "USDC", "invalid_exact_evm_eip3009_not_supported"),
    ] {
        let payment = Payment {
            asset,
            name,
            ..Payment::by(1)
        };
        assert_eq!(world.facilitator.verify(&payment.body()).await.invalid(), reason);
    }
}

#[tokio::test]
async fn case_26_an_authorization_used_or_cancelled_before() {
    let world = World::usual().await;
    let (used, cancelled) = (Payment::by(1), Payment::by(2));
    world.node.send_mined(third_party(), used.asset, &used.call()).await;
    world
        .node
        .send_mined(third_party(), cancelled.asset, &cancelled.cancellation())
        .await;
    for payment in [used, cancelled] {
        assert_eq!(
            invalid(&world, &payment.body(), 1).await,
            "invalid_exact_evm_nonce_already_used"
        );
    }
}

#[tokio::test]
async fn case_27_more_than_the_payer_has() {
    let world = World::usual().await;
    let all = Payment::of(&addresses().accounts[1], 1_000_000_000_000);
    let more = Payment::of(&addresses().accounts[1], 1_000_000_000_001);
    assert_eq!(valid(&world, &all.body()).await, all.from);
    assert_eq!(
        invalid(&world, &more.body(), 1).await,
        "invalid_exact_evm_insufficient_balance"
    );
}

#[tokio::test]
async fn b10_case_28_a_wrong_domain_that_a_lax_wallet_signs() {
    let world = World::usual().await;
    let lax = || Payment::from_wallet(addresses().permissive_wallet, addresses().accounts[1].key);
    for (payment, reason) in [
        (
            Payment {
                name: "USD Coin",
                ..lax()
            },
            "invalid_exact_evm_token_name_mismatch",
        ),
        (
            Payment { version: "1", ..lax() },
            "invalid_exact_evm_token_version_mismatch",
        ),
    ] {
        assert_eq!(world.facilitator.verify(&payment.body()).await.invalid(), reason);
    }
}

#[tokio::test]
async fn case_29_a_payer_on_the_blacklist_and_a_paused_token() {
    let world = World::usual().await;
    let account = Payment::by(1).from;
    world
        .node
        .administer(addresses().usdc, &Token::blacklistCall { account })
        .await;
    assert_eq!(invalid(&world, &Payment::by(1).body(), 1).await, FAILED);
    valid(&world, &Payment::by(2).body()).await;
    world.node.administer(addresses().usdc, &Token::pauseCall {}).await;
    assert_eq!(invalid(&world, &Payment::by(2).body(), 1).await, FAILED);
}

#[tokio::test]
async fn a_chain_that_cannot_be_asked_is_no_verdict() {
    let world = World::usual().await;
    let body = Payment::by(1).body();
    for fault in [
        Fault::Status(500),
        Fault::Status(429),
        Fault::Garbage("{"),
        Fault::Garbage(""),
        Fault::Garbage("<html>"),
        Fault::Garbage("{\"jsonrpc\":\"2.0\",\"id\":999999,\"result\":\"0x\"}"),
        Fault::Result("null"),
        Fault::Result("\"0x\""),
        Fault::Result("{}"),
        Fault::Error(-32_000, "header not found"),
        Fault::Error(-32_603, "internal error"),
        Fault::Error(429, "too many requests"),
        Fault::LoseRequest,
        Fault::LoseAnswer,
    ] {
        let handle = world.proxy.fault(anything, fault);
        let answer = world.facilitator.verify(&body).await;
        let verdict = answer.verdict(503);
        assert_eq!(verdict["isValid"], false, "{fault:?}");
        assert_eq!(verdict["invalidReason"], "unexpected_verify_error", "{fault:?}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{fault:?}");
        drop(handle);
        valid(&world, &body).await;
    }
}

#[tokio::test]
async fn callers_at_the_same_time_share_questions() {
    let world = World::usual().await;
    let _slow = world.proxy.fault(anything, Fault::Delay(Duration::from_millis(25)));
    let bodies: Vec<Value> = (0..64).map(|i| Payment::by(1 + i % 6).body()).collect();
    let before = world.proxy.questions();
    let answers = join_all(bodies.iter().map(|body| world.facilitator.verify(body))).await;
    for answer in &answers {
        answer.valid();
    }
    let questions = world.proxy.questions() - before;
    assert!(questions <= 16, "{questions} questions about 64 payments");
}

#[tokio::test]
async fn b11_payments_that_nobody_may_ask_for_are_refused() {
    let world = World::usual().await;
    let at = addresses();
    let signer = at.accounts[9].address;
    let to = |to: Address| Payment {
        to,
        pay_to: to,
        ..Payment::by(1)
    };
    for (name, payment) in [
        ("to nobody", to(Address::ZERO)),
        ("to the token", to(at.usdc)),
        ("to the facilitator's signer", to(signer)),
        ("to the payer itself", to(Payment::by(1).from)),
        ("of nothing", Payment::of(&at.accounts[1], 0)),
    ] {
        let before = world.proxy.questions();
        let answer = world.facilitator.verify(&payment.body()).await;
        assert_eq!(answer.verdict(200)["isValid"], false, "{name}");
        assert_eq!(world.proxy.questions(), before, "{name}");
    }
}
