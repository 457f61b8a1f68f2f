//! `/verify`: what is good, at the cost of one question; what the merchant asks for and does not get; and never
//! "invalid" where the truth is "unknown". What attackers do stands in `attacks`.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::payer::{Envelope, with};
use crate::support::proxy::{Fault, anything};
use crate::support::solana::lab::{refused, refused_body, shorter_in_v1, shown, valid, without_a_trace, word};
use crate::support::solana::payer::{NETWORK, Payment};
use crate::support::solana::programs::memo;
use crate::support::solana::surfpool::Sureness;
use crate::support::solana::transaction::{wire_in, with_slot_0};
use crate::support::solana::world::{Setup, SolanaWorld};
use crate::support::solana::{simulation, statuses};

/// A payment over a block that the node has confirmed; while it has not, the node is asked twice.
async fn settled_in(world: &SolanaWorld, payer: usize) -> Payment {
    let payment = world.payment(payer).await;
    world.node.blocks_pass(2, Sureness::Confirmed).await;
    payment
}

#[tokio::test]
async fn case_54_a_good_payment_is_valid_at_the_cost_of_one_question() {
    let world = Setup::default().start().await;
    for envelope in Envelope::BOTH {
        let payment = settled_in(&world, 0).await;
        let before = world.proxy.requests();
        let payer = world.facilitator.verify(&payment.body_in(envelope)).await.valid();
        assert_eq!(payer, payment.payer.address.to_string());
        assert_eq!(world.proxy.requests() - before, 1);
    }
    assert_eq!(world.db.count("payments").await, 0);
    assert_eq!(world.proxy.transactions(), [""; 0]);
}

#[tokio::test]
async fn a_node_that_takes_no_batches_is_asked_one_by_one() {
    let world = Setup {
        batches: false,
        ..Setup::default()
    }
    .start()
    .await;
    let payment = settled_in(&world, 0).await;
    let (requests, calls) = (world.proxy.requests(), world.proxy.calls(anything).len());
    valid(&world, "good", &payment, &payment.wire()).await;
    assert_eq!(
        world.proxy.requests() - requests,
        world.proxy.calls(anything).len() - calls
    );
}

/// A transaction that is signed can be sent by whoever sees it.
#[test]
fn verification_signs_nothing() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        // Not even what the payer left in the fee payer's place goes out.
        for slot_0 in [[0; 64], [7; 64]] {
            valid(world, "good", &payment, &with_slot_0(payment.wire(), slot_0)).await;
        }
        assert_eq!(shown(world, &payment.wire()), 4);
        for call in world.proxy.calls(simulation) {
            assert_eq!(wire_in(&call.params[0])[1..65], [0; 64]);
            assert_eq!(call.params[1]["sigVerify"], false);
            assert_eq!(call.params[1]["replaceRecentBlockhash"], false);
        }
        assert_eq!(world.proxy.transactions(), [""; 0]);
    });
}

#[test]
fn v07_case_67_tokens_of_both_programs() {
    without_a_trace(async |world| {
        for mint in ["usdc", "pyusd", "ousd"] {
            let payment = Payment::in_mint(&world.node, 1, world.node.mint(mint)).await;
            valid(world, mint, &payment, &payment.wire()).await;
        }
    });
}

#[test]
fn v11_forms_that_are_as_good_as_the_official_clients() {
    without_a_trace(async |world| {
        let payment = world.payment(2).await;
        valid(world, "legacy", &payment, &payment.wire_in(|it| it.is_legacy = true)).await;
        valid(
            world,
            "without a memo",
            &payment,
            &payment.wire_with(|it| drop(it.pop())),
        )
        .await;
        let memos = payment.wire_with(|it| it.push(memo("and another")));
        valid(world, "with two memos, where none is asked for", &payment, &memos).await;
        let hinted = Payment {
            extra: json!({
                "feePayer": payment.fee_payer.to_string(),
                "recentBlockhash": "ignored",
                "lastValidBlockHeight": "7",
                "decimals": null,
            }),
            ..payment
        };
        valid(world, "with hints", &hinted, &hinted.wire()).await;
    });
}

#[test]
fn v11_case_64_the_memo_that_is_asked_for() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await.remembering("order 7, ünïcode");
        valid(world, "as asked for", &payment, &payment.wire()).await;
        let mismatch = word("payload_memo_mismatch", "memo_mismatch");
        for other in ["order 8", "order 7, ünïcode ", "ORDER 7, ÜNÏCODE", ""] {
            let wire = payment.wire_with(|it| it[3] = memo(other));
            refused(world, other, &payment, &wire, &mismatch).await;
        }
        let count = word("payload_memo_count", "memo_count");
        let none = payment.wire_with(|it| drop(it.pop()));
        refused(world, "none", &payment, &none, &count).await;
        let two = payment.wire_with(|it| it.push(it[3].clone()));
        refused(world, "twice", &payment, &two, &count).await;
        let longest = world.payment(0).await.remembering(&"m".repeat(256));
        valid(world, "the longest", &longest, &longest.wire()).await;
    });
}

#[test]
fn schemes_and_networks_that_differ() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let scheme = shorter_in_v1("unsupported_scheme", "scheme_mismatch");
        let network = shorter_in_v1("network_mismatch", "network_mismatch");
        let v1 = || payment.body_in(Envelope::V1);
        let v2 = || payment.body();
        for (case, body, envelope, refusal) in [
            (
                "scheme",
                with(v1(), "/paymentPayload/scheme", "upto"),
                Envelope::V1,
                &scheme,
            ),
            (
                "scheme",
                with(v2(), "/paymentPayload/accepted/scheme", "upto"),
                Envelope::V2,
                &scheme,
            ),
            (
                "network",
                with(v1(), "/paymentPayload/network", "solana"),
                Envelope::V1,
                &network,
            ),
            (
                "network",
                with(
                    v2(),
                    "/paymentPayload/accepted/network",
                    "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
                ),
                Envelope::V2,
                &network,
            ),
        ] {
            refused_body(world, case, &body, envelope, refusal).await;
        }
    });
}

#[test]
fn requirements_that_cannot_be_read() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let long = "m".repeat(257);
        for (pointer, value) in [
            (
                "/paymentRequirements/asset",
                json!("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
            ),
            ("/paymentRequirements/asset", json!("1111")),
            ("/paymentRequirements/payTo", json!("")),
            ("/paymentRequirements/payTo", json!("0OIl")),
            ("/paymentRequirements/extra/memo", json!(long)),
            ("/paymentRequirements/extra/memo", json!("a\u{0}b")),
            ("/paymentRequirements/extra/memo", json!(7)),
            ("/paymentRequirements/extra", json!("feePayer")),
        ] {
            for envelope in Envelope::BOTH {
                let body = with(payment.body_in(envelope), pointer, value.clone());
                let verdict = world.facilitator.verify(&body).await.verdict(400);
                assert_eq!(
                    verdict["invalidReason"], "invalid_payment_requirements",
                    "{pointer}: {value}"
                );
                let place = pointer.trim_start_matches('/').replace('/', ".");
                let message = verdict["invalidMessage"].as_str().unwrap();
                assert!(message.contains(&place), "{pointer}: {message}");
                world.facilitator.settle(&body).await.outcome(400);
            }
        }
    });
}

#[test]
fn addresses_of_one_chain_are_nothing_on_another() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let body = with(payment.body(), "/paymentRequirements/network", "eip155:84532");
        let body = with(body, "/paymentPayload/accepted/network", "eip155:84532");
        assert_eq!(world.facilitator.verify(&body).await.invalid(), "invalid_network");
        for unknown in [
            "solana",
            "solana:",
            "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa2",
            &format!("{NETWORK}x"),
        ] {
            let body = with(payment.body(), "/paymentRequirements/network", unknown);
            let body = with(body, "/paymentPayload/accepted/network", unknown);
            let answer = world.facilitator.verify(&body).await;
            assert_ne!(answer.json()["isValid"], true, "{unknown}");
        }
    });
}

#[tokio::test]
async fn a_chain_that_cannot_be_asked_is_no_verdict() {
    for batches in [true, false] {
        let world = Setup {
            batches,
            ..Setup::default()
        }
        .start()
        .await;
        let payment = world.payment(0).await;
        for fault in [
            Fault::Status(500),
            Fault::Status(429),
            Fault::Garbage("{"),
            Fault::Garbage(""),
            Fault::Garbage("<html>"),
            Fault::Garbage("{\"jsonrpc\":\"2.0\",\"id\":999999,\"result\":\"0x\"}"),
            Fault::Result("null"),
            Fault::Result("{}"),
            Fault::Result("{\"context\":{\"slot\":1},\"value\":null}"),
            Fault::Error(-32_005, "Node is behind by 42 slots"),
            Fault::Error(-32_603, "internal error"),
            Fault::Error(429, "too many requests"),
            Fault::LoseRequest,
            Fault::LoseAnswer,
        ] {
            let handle = world.proxy.fault(anything, fault);
            let answer = world.facilitator.verify(&payment.body()).await;
            let verdict = answer.verdict(503);
            assert_eq!(verdict["invalidReason"], "unexpected_verify_error", "{fault:?}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{fault:?}");
            let outcome = world.facilitator.settle(&payment.body()).await.outcome(503);
            assert_eq!(outcome["errorReason"], "unexpected_settle_error", "{fault:?}");
            drop(handle);
            valid(&world, "afterwards", &payment, &payment.wire()).await;
        }
        assert_eq!(world.db.count("payments").await, 0);
    }
}

/// What the node says of the transaction's bytes is about them; all else is about the node.
#[tokio::test]
async fn a_node_that_cannot_read_the_transaction_refuses_it() {
    let world = Setup::default().start().await;
    let payment = world.payment(0).await;
    let _strict = world
        .proxy
        .fault(simulation, Fault::Error(-32_602, "invalid transaction"));
    let reason = world.facilitator.verify(&payment.body()).await.invalid();
    assert_eq!(reason, "invalid_exact_svm_transaction_simulation_failed");
}

/// An empty fee payer is this facilitator's own trouble, not the payer's.
#[tokio::test]
async fn a_fee_payer_that_cannot_pay_is_no_verdict() {
    let world = Setup::default().start().await;
    let payment = world.payment(0).await;
    let empty =
        "{\"context\":{\"slot\":1},\"value\":{\"err\":\"InsufficientFundsForFee\",\"logs\":[],\"unitsConsumed\":0}}";
    let _empty = world.proxy.fault(simulation, Fault::Result(empty));
    world.facilitator.verify(&payment.body()).await.verdict(503);
    world.facilitator.settle(&payment.body()).await.outcome(503);
}

#[tokio::test]
async fn callers_at_the_same_time_share_questions() {
    let world = Setup::default().start().await;
    let _slow = world.proxy.fault(anything, Fault::Delay(Duration::from_millis(25)));
    let mut bodies: Vec<Value> = Vec::new();
    for i in 0..64 {
        bodies.push(world.payment(i % 10).await.body());
    }
    world.node.blocks_pass(2, Sureness::Confirmed).await;
    let before = world.proxy.requests();
    let answers = join_all(bodies.iter().map(|body| world.facilitator.verify(body))).await;
    for answer in &answers {
        answer.valid();
    }
    let questions = world.proxy.requests() - before;
    assert!(questions <= 16, "{questions} questions about 64 payments");
}

#[tokio::test]
async fn bad_payments_spoil_nothing_for_their_neighbours() {
    let world = Setup::default().start().await;
    let _slow = world.proxy.fault(anything, Fault::Delay(Duration::from_millis(25)));
    let nobody = world.node.at.seller_without_accounts.address;
    let mut payments = vec![
        Payment {
            blockhash: [9; 32],
            ..world.payment(0).await
        },
        world.payment(1).await.to(nobody),
        Payment {
            amount: u64::MAX,
            price: u64::MAX.to_string(),
            ..world.payment(2).await
        },
    ];
    let bad = payments.len();
    for i in 0..20 {
        payments.push(world.payment(i % 10).await);
    }
    let answers = join_all(
        payments
            .iter()
            .map(|it| async { world.facilitator.verify(&it.body()).await }),
    )
    .await;
    for answer in &answers[..bad] {
        assert_eq!(answer.invalid(), "invalid_exact_svm_transaction_simulation_failed");
    }
    for answer in &answers[bad..] {
        answer.valid();
    }
    assert_eq!(world.proxy.calls(statuses).len(), 0);
}
