//! A message's header says who signs and who may be written to. A wrong one must be refused before anything relies on
//! it, whoever signed it.

use crate::support::payer::Envelope;
use crate::support::solana::lab::{refused, shown, valid, without_a_trace, word};
use crate::support::solana::transaction::{message_in, transaction};

#[test]
fn v01_every_wrong_count_in_the_header() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.message().header;
        // The fee payer and the payer sign; the mint and the programs are only read.
        assert_eq!(good, [2, 1, 4]);
        let caller = world.facilitator.caller();
        for (place, usual) in good.into_iter().enumerate() {
            for value in (0..=24).chain([127, 128, 200, 254, 255]) {
                if value == usual || is_harmless(place, value) {
                    continue;
                }
                let wire = payment.wire_in(|it| it.header[place] = value);
                let body = payment.body_with(Envelope::V2, &wire);
                let reason = caller.post("/verify", &body).await.invalid();
                assert!(reason.starts_with("invalid_exact_svm_"), "{place}: {value}: {reason}");
                // What is written to may be called read-only by so many that the chain has to say no.
                let is_shown = place == 2 && (5..=6).contains(&value);
                assert_eq!(shown(world, &wire) > 0, is_shown, "{place}: {value}: {reason}");
            }
        }
    });
}

/// Leave to write to what is only read changes nothing that the programs named would do.
fn is_harmless(place: usize, value: u8) -> bool {
    (place == 1 && value == 0) || (place == 2 && value < 4)
}

#[test]
fn leave_to_write_that_nobody_uses() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let wire = payment.wire_in(|it| it.header[1] = 0);
        valid(world, "to the payer's account", &payment, &wire).await;
    });
}

/// The signatures are as many as the header says, and the header says too many or too few.
#[test]
fn v01_signatures_that_agree_with_a_wrong_header() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let undecodable = word("payload_transaction_could_not_be_decoded", "transaction_undecodable");
        let excessive = word("payload_excessive_signers", "too_many_signers");
        for (required, refusal) in [
            (0, undecodable.clone()),
            (1, undecodable.clone()),
            (4, excessive),
            (5, undecodable),
        ] {
            let wire = payment.wire_in(|it| it.header[0] = required);
            refused(world, &required.to_string(), &payment, &wire, &refusal).await;
        }
        // One more than there are signatures for.
        let wire = payment.wire_in(|it| it.header[0] = 3);
        let invalid = word("payload_signature_invalid", "signature_invalid");
        refused(world, "the source signs too", &payment, &wire, &invalid).await;
    });
}

#[test]
fn versions_that_are_not_known() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let undecodable = word("payload_transaction_could_not_be_decoded", "transaction_undecodable");
        for version in [0x81, 0x82, 0xfe, 0xff] {
            let mut message = payment.message().bytes();
            message[0] = version;
            let signature = ed25519_dalek::Signer::sign(&payment.payer.signer, &message).to_bytes();
            let wire = transaction(&[[0; 64], signature], &message);
            refused(world, &version.to_string(), &payment, &wire, &undecodable).await;
        }
        let legacy = payment.wire_in(|it| it.is_legacy = true);
        assert_eq!(message_in(&legacy)[0], 2);
        valid(world, "legacy", &payment, &legacy).await;
    });
}

#[test]
fn accounts_named_twice() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let undecodable = word("payload_transaction_could_not_be_decoded", "transaction_undecodable");
        for place in 0..payment.message().keys.len() {
            let wire = payment.wire_in(|it| it.keys.push(it.keys[place]));
            refused(world, &place.to_string(), &payment, &wire, &undecodable).await;
        }
    });
}
