//! One payment in many encodings would be many payments to whoever looks at the bytes: there is one right encoding.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use serde_json::{Value, json};

use crate::support::payer::Envelope;
use crate::support::solana::lab::{Refusal, refused, refused_body, without_a_trace, word};
use crate::support::solana::programs::memo;
use crate::support::solana::transaction::{compact, message_in, transaction};

fn undecodable() -> Refusal {
    word("payload_transaction_could_not_be_decoded", "transaction_undecodable")
}

#[test]
fn x07_bytes_behind_the_transaction() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.wire();
        let few = (0..100).map(|n: u8| vec![n; 1 + usize::from(n)]);
        for more in few.chain([good.clone(), vec![0; 1233 - good.len()]]) {
            let wire = [good.clone(), more].concat();
            refused(world, &wire.len().to_string(), &payment, &wire, &undecodable()).await;
        }
    });
}

#[test]
fn a_transaction_cut_short() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.wire();
        for length in 0..good.len() {
            let body = payment.body_with(Envelope::V2, &good[..length]);
            let reason = world.facilitator.verify(&body).await.invalid();
            assert_eq!(
                reason, "invalid_exact_svm_payload_transaction_could_not_be_decoded",
                "{length}"
            );
        }
    });
}

/// Each count as one byte more than it needs.
#[test]
fn counts_that_are_longer_than_they_need_be() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.wire();
        let long = |count: u8| [count | 0x80, 0];
        // Of the signatures.
        let wire = [&long(good[0]), &good[1..]].concat();
        let body = payment.body_with(Envelope::V2, &wire);
        refused_body(world, "signatures", &body, Envelope::V2, &undecodable()).await;
        // Of the accounts, behind the version and the header.
        let message = message_in(&good);
        let message = [&message[..4], &long(message[4]), &message[5..]].concat();
        let signature = ed25519_dalek::Signer::sign(&payment.payer.signer, &message).to_bytes();
        let wire = transaction(&[[0; 64], signature], &message);
        refused(world, "accounts", &payment, &wire, &undecodable()).await;
        // Of the lookup tables, at the end.
        let message = message_in(&good);
        let message = [&message[..message.len() - 1], &long(0)].concat();
        let signature = ed25519_dalek::Signer::sign(&payment.payer.signer, &message).to_bytes();
        let wire = transaction(&[[0; 64], signature], &message);
        refused(world, "tables", &payment, &wire, &undecodable()).await;
    });
}

#[test]
fn v05_counts_of_more_than_there_is() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        for count in [100, 0x3fff, 0xffff, 0x1f_ffff, usize::MAX] {
            let message = payment.message().bytes();
            let message = [&message[..4], &compact(count), &message[5..]].concat();
            let wire = transaction(&[[0; 64], [0; 64]], &message);
            refused(world, &count.to_string(), &payment, &wire, &undecodable()).await;
        }
    });
}

#[test]
fn v05_longer_than_the_network_carries() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let with = |length: usize| payment.wire_with(|it| it[3] = memo(&"m".repeat(length)));
        let room = 1232 - with(200).len() + 200;
        assert_eq!(with(room).len(), 1232);
        refused(world, "by a byte", &payment, &with(room + 1), &undecodable()).await;
        crate::support::solana::lab::valid(world, "not longer", &payment, &with(room)).await;
    });
}

#[test]
fn v10_case_56_what_is_not_base64() {
    without_a_trace(async |world| {
        // Some byte that the alphabets write in different ways is there in one of these.
        let payments = [world.payment(0).await, world.payment(1).await, world.payment(2).await];
        for payment in payments {
            let wire = payment.wire();
            let good = STANDARD.encode(&wire);
            let mut cases = vec![
                ("garbage", "garbage!".to_owned()),
                ("nothing", String::new()),
                ("a space before", format!(" {good}")),
                ("a line's end behind", format!("{good}\n")),
                ("two of them", format!("{good}{good}")),
                ("hexadecimal", hex::encode(&wire)),
            ];
            let other_alphabet = URL_SAFE.encode(&wire);
            if other_alphabet != good {
                cases.push(("the alphabet of addresses", other_alphabet));
            }
            let unpadded = STANDARD_NO_PAD.encode(&wire);
            if unpadded != good {
                cases.push(("no padding", unpadded));
            }
            for (case, text) in cases {
                for envelope in Envelope::BOTH {
                    let body = payment.body_saying(envelope, &text.clone().into());
                    refused_body(world, case, &body, envelope, &undecodable()).await;
                }
            }
        }
    });
}

/// Not even a text: that is a request of the wrong form.
#[test]
fn what_is_not_a_text() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        for transaction in [Value::Null, json!(7), json!([1, 2]), json!({"a": 1}), json!(true)] {
            for envelope in Envelope::BOTH {
                let body = payment.body_saying(envelope, &transaction);
                let verdict = world.facilitator.verify(&body).await.verdict(400);
                assert_eq!(verdict["invalidReason"], "invalid_payload", "{transaction}");
                let outcome = world.facilitator.settle(&body).await.outcome(400);
                assert_eq!(outcome["errorReason"], "invalid_payload", "{transaction}");
            }
        }
    });
}
