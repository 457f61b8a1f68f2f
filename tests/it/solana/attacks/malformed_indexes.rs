//! Instructions name programs and accounts by number. Whatever the number, it is refused or means what is there.

use crate::support::payer::Envelope;
use crate::support::solana::lab::without_a_trace;
use crate::support::solana::transaction::Message;

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
fn every_number_in_every_instruction() {
    without_a_trace(async |world| {
        let payment = world.payment(0).await;
        let good = payment.message();
        assert_eq!(places(&good).len(), 8);
        let caller = world.facilitator.caller();
        let beyond = good.keys.len() as u8;
        for (at, account) in places(&good) {
            for value in (0..beyond + 2).chain([127, 128, 254, 255]) {
                let mut message = good.clone();
                let number = match account {
                    None => &mut message.instructions[at].program,
                    Some(account) => &mut message.instructions[at].accounts[account],
                };
                if *number == value {
                    continue;
                }
                *number = value;
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
        let caller = world.facilitator.caller();
        for (at, instruction) in payment.message().instructions.iter().enumerate() {
            for number in 0..=payment.message().keys.len() as u8 {
                let wire = payment.wire_in(|it| it.instructions[at].accounts.push(number));
                let said = caller
                    .post("/verify", &payment.body_with(Envelope::V2, &wire))
                    .await
                    .verdict(200);
                // Who pays may stand where nothing is done with it. The memo's accounts must all have signed.
                let program = payment.message().keys[usize::from(instruction.program)];
                let is_payer = number == 1;
                let is_harmless = is_payer || (number > 1 && number < payment.message().keys.len() as u8 && at < 2);
                assert_eq!(said["isValid"], is_harmless, "{number} for {program}: {said}");
            }
        }
    });
}
