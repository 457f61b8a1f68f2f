//! Instructions name programs and accounts by number. Whatever the number, it is refused or means what is there.

use crate::support::payer::Envelope;
use crate::support::solana::lab::without_a_trace;
use crate::support::solana::transaction::{Message, number};

/// Every number in every instruction: which one it is, and where.
fn places(message: &Message) -> Vec<(usize, Option<usize>)> {
    let mut places = Vec::new();
    for (at, instruction) in message.instructions.iter().enumerate() {
        places.push((at, None));
        places.extend((0..instruction.accounts.len()).map(|account| (at, Some(account))));
    }
    places
}

#[test]
fn v01_every_number_in_every_instruction() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.message();
        assert_eq!(places(&good).len(), 8);
        let caller = world.facilitator.caller();
        let beyond = number(good.keys.len());
        for (at, account) in places(&good) {
            for value in (0..beyond + 2).chain([127, 128, 254, 255]) {
                let mut message = good.clone();
                let found = match account {
                    None => &mut message.instructions[at].program,
                    Some(account) => &mut message.instructions[at].accounts[account],
                };
                if *found == value {
                    continue;
                }
                *found = value;
                let body = payment.body_with(Envelope::V2, &message.signed_by(&[&payment.payer]));
                let reason = caller.post("/verify", &body).await.invalid();
                assert!(
                    reason.starts_with("invalid_exact_svm_"),
                    "{at} {account:?} is {value}: {reason}"
                );
                if value >= beyond {
                    assert!(
                        reason.ends_with("could_not_be_decoded"),
                        "{at} {account:?} is {value}: {reason}"
                    );
                }
            }
        }
    });
}

#[test]
fn numbers_too_many() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.message();
        let caller = world.facilitator.caller();
        let beyond = number(good.keys.len());
        for at in 0..good.instructions.len() {
            for more in 0..=beyond {
                let wire = payment.wire_in(|it| it.instructions[at].accounts.push(more));
                let said = caller
                    .post("/verify", &payment.body_with(Envelope::V2, &wire))
                    .await
                    .verdict(200);
                // The compute budget takes no accounts and looks at none. What else may be named is the payer, who
                // signs: a memo's accounts must have signed, and so must those behind a transfer's.
                let is_harmless = more == 1 || (at < 2 && (1..beyond).contains(&more));
                assert_eq!(
                    said["isValid"], is_harmless,
                    "{more} behind the accounts of {at}: {said}"
                );
            }
        }
    });
}
