//! A payer's signature that is not the payer's: were it believed, anybody's money could be asked for in vain, and a
//! merchant be shown a payment that nobody made. Case 65.

use ed25519_dalek::Signer;
use solana_pubkey::Pubkey;

use crate::support::payer::Envelope;
use crate::support::solana::lab::{Refusal, refused, shown, valid, without_a_trace, word};
use crate::support::solana::payer::Payment;
use crate::support::solana::transaction::{message_in, transaction};

/// The order of ed25519's group, little-endian (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn invalid() -> Refusal {
    word("payload_signature_invalid", "signature_invalid")
}

/// Where the payer's signature begins, behind the count and the fee payer's.
const PAYERS: usize = 65;

#[test]
fn v08_case_65_one_bit_flipped() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.wire();
        let caller = world.facilitator.caller();
        for bit in 0..64 * 8 {
            let mut wire = good.clone();
            wire[PAYERS + bit / 8] ^= 1 << (bit % 8);
            let body = payment.body_with(Envelope::V2, &wire);
            let reason = caller.post("/verify", &body).await.invalid();
            assert_eq!(reason, "invalid_exact_svm_payload_signature_invalid", "bit {bit}");
        }
        assert_eq!(shown(world, &good), 0);
    });
}

#[test]
fn one_bit_of_what_was_signed_flipped() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.wire();
        let caller = world.facilitator.caller();
        for bit in 0..(good.len() - PAYERS - 64) * 8 {
            let mut wire = good.clone();
            wire[PAYERS + 64 + bit / 8] ^= 1 << (bit % 8);
            let body = payment.body_with(Envelope::V2, &wire);
            let reason = caller.post("/verify", &body).await.invalid();
            assert!(reason.starts_with("invalid_exact_svm_"), "bit {bit}: {reason}");
        }
        assert_eq!(shown(world, &good), 0);
    });
}

#[test]
fn signatures_of_others_and_of_other_messages() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let message = payment.message().bytes();
        let signed = |signature: [u8; 64]| transaction(&[[0; 64], signature], &message);
        let good = payment.payer.signer.sign(&message).to_bytes();

        let another = world.node.at.payers[1].signer.sign(&message).to_bytes();
        let elsewhere = payment
            .payer
            .signer
            .sign(&world.payment(0).await.message().bytes())
            .to_bytes();
        let (mut swapped, mut malleated) = (good, good);
        swapped.rotate_left(32);
        let mut carry = 0;
        for (byte, order) in malleated[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        for (case, signature) in [
            ("another's", another),
            ("another message's", elsewhere),
            ("none", [0; 64]),
            ("its halves swapped", swapped),
            ("the other form of the same number", malleated),
        ] {
            refused(world, case, &payment, &signed(signature), &invalid()).await;
        }
        valid(world, "the payer's", &payment, &signed(good)).await;
    });
}

/// For keys of small order one signature fits every message, so that a lax check takes it for anybody's.
#[test]
fn keys_that_sign_everything() {
    without_a_trace(async |world| {
        let good = world.payment(0).await;
        let identity: [u8; 32] = std::array::from_fn(|i| u8::from(i == 0));
        for weak in [identity, [0; 32]] {
            let mut payment = good.clone();
            payment.transfer.authority = Pubkey::from(weak);
            let message = payment.message().bytes();
            let mut everything = [0; 64];
            everything[..32].copy_from_slice(&identity);
            let wire = transaction(&[[0; 64], everything], &message);
            refused(world, "of small order", &payment, &wire, &invalid()).await;
        }
    });
}

/// The authority is an account that does not sign.
#[test]
fn v08_a_transfer_that_nobody_signs() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let mut instructions = payment.instructions();
        instructions[2].accounts[3].is_signer = false;
        let wire = payment.message_of(&instructions).signed_by(&[]);
        refused(world, "unsigned", &payment, &wire, &invalid()).await;
    });
}

#[test]
fn v08_more_signatures_than_are_paid_for() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let at = &world.node.at;
        let refusal = word("payload_excessive_signers", "too_many_signers");
        let with = |more: &[usize]| {
            let mut instructions = payment.instructions();
            let metas = more
                .iter()
                .map(|&i| crate::support::solana::transaction::Meta::read(at.payers[i].address).signs());
            instructions[3].accounts.extend(metas);
            let keys: Vec<_> = at.payers.iter().collect();
            payment.message_of(&instructions).signed_by(&keys)
        };
        valid(world, "three", &payment, &with(&[1])).await;
        refused(world, "four", &payment, &with(&[1, 2]), &refusal).await;
        refused(world, "six", &payment, &with(&[1, 2, 3, 4]), &refusal).await;
    });
}

#[test]
fn fewer_signatures_than_the_header_asks_for() {
    without_a_trace(async |world| {
        let payment: Payment = world.payment(0).await;
        let good = payment.wire();
        let message = message_in(&good);
        let payers: [u8; 64] = good[PAYERS..PAYERS + 64].try_into().unwrap();
        let refusal = word("payload_transaction_could_not_be_decoded", "transaction_undecodable");
        for signatures in [vec![], vec![payers], vec![[0; 64], payers, payers]] {
            let wire = transaction(&signatures, message);
            let count = signatures.len().to_string();
            refused(world, &count, &payment, &wire, &refusal).await;
        }
    });
}
