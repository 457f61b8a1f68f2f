//! Bytes as they may arrive: what is a transaction, and whose signatures stand.

use ed25519_dalek::Signer;

use super::*;
use crate::chain::solana::trials::{Draft, OURS, PAYER, STRANGER, account, key, reads, signed, signs};

fn legacy(is_legacy: bool) -> Draft {
    Draft {
        is_legacy,
        ..Draft::good()
    }
}

#[test]
fn a_transaction_is_read_as_the_official_types_wrote_it() {
    for is_legacy in [false, true] {
        let draft = legacy(is_legacy);
        let (message, wire) = (draft.message(), draft.wire());
        let transaction = Transaction::parse(&wire).unwrap();
        assert_eq!(transaction.message, message);
        assert_eq!(transaction.wire(), wire);
        assert_eq!(transaction.message_bytes(), message.serialize());
        assert_eq!(transaction.message_hash()[..], Sha256::digest(message.serialize())[..]);
        assert_eq!(transaction.fee_payer(), &account(OURS));
        assert_eq!(transaction.blockhash(), &draft.blockhash);
        assert_eq!(transaction.required_signatures(), 2);
        assert_eq!(transaction.static_keys(), message.static_account_keys());
        assert!(transaction.lookups().is_empty());
        assert_eq!(transaction.instructions().len(), draft.calls.len());
        for (read, call) in transaction.instructions().zip(&draft.calls) {
            let accounts: Vec<_> = read
                .accounts
                .iter()
                .map(|it| *transaction.account(*it).unwrap())
                .collect();
            let expected: Vec<_> = call.accounts.iter().map(|it| it.address).collect();
            assert_eq!(
                (read.program, accounts, read.data),
                (&call.program, expected, &call.data[..])
            );
        }
        assert_eq!(transaction.check_signatures(), Ok(()));
    }
}

#[test]
fn slot_0_holds_what_the_sealing_put_there_and_nothing_else() {
    let wire = Draft::good().wire();
    let mut foreign = wire.clone();
    foreign[1..65].fill(0xee);
    let transaction = Transaction::parse(&foreign).unwrap();
    assert_eq!(transaction.wire(), wire);
    let signature = key(OURS).sign(transaction.message_bytes()).to_bytes();
    let sealed = transaction.sealed(signature);
    assert_eq!(sealed[1..65], signature);
    assert_eq!((&sealed[..1], &sealed[65..]), (&wire[..1], &wire[65..]));
    assert_eq!(Transaction::parse(&sealed).unwrap(), transaction);
}

#[test]
fn every_cut_and_every_extra_byte_is_refused() {
    for is_legacy in [false, true] {
        let wire = legacy(is_legacy).wire();
        for cut in 0..wire.len() {
            assert!(Transaction::parse(&wire[..cut]).is_err(), "{cut}");
        }
        for extra in 0..=255 {
            let longer = [&wire[..], &[extra]].concat();
            assert!(Transaction::parse(&longer).is_err(), "{extra}");
        }
    }
}

/// Every byte changed in every way: whatever is still read has those bytes as its only encoding, and all its indexes
/// are good.
#[test]
fn whatever_is_read_is_canonical_and_within_bounds() {
    let (mut read, mut refused) = (0, 0);
    for is_legacy in [false, true] {
        let wire = legacy(is_legacy).wire();
        for place in (0..1).chain(65..wire.len()) {
            for flip in 1..=255 {
                let mut other = wire.clone();
                other[place] ^= flip;
                let Ok(transaction) = Transaction::parse(&other) else {
                    refused += 1;
                    continue;
                };
                read += 1;
                assert_eq!(transaction.wire(), other);
                assert_eq!(transaction.message.serialize(), transaction.message_bytes());
                for instruction in transaction.instructions() {
                    assert_ne!(instruction.program, transaction.fee_payer());
                    assert!(instruction.accounts.iter().all(|it| transaction.account(*it).is_some()));
                }
                assert!((1..=19).contains(&transaction.required_signatures()));
                assert!(transaction.static_keys().len() >= transaction.required_signatures());
            }
        }
    }
    assert!(read > 10_000 && refused > 1_000, "{read} {refused}");
}

#[test]
fn what_no_validator_takes_is_refused_with_the_reason() {
    let good = Draft::good().wire();
    let message_at = 1 + 2 * 64;
    // Legacy: three header bytes; version 0 has its version before them.
    let with = |place: usize, byte: u8| {
        let mut wire = good.clone();
        wire[place] = byte;
        wire
    };
    let mut twice = Draft::good();
    twice.idle = vec![
        reads(Pubkey::new_from_array([9; 32])),
        reads(Pubkey::new_from_array([8; 32])),
    ];
    let mut twice = twice.message();
    if let VersionedMessage::V0(message) = &mut twice {
        let last = message.account_keys.len() - 1;
        message.account_keys[last] = message.account_keys[0];
    }
    let aliased = {
        // The count of accounts in two bytes where one would do.
        let mut wire = good.clone();
        let count = wire[message_at + 4];
        wire.splice(message_at + 4..=message_at + 4, [count | 0x80, 0]);
        wire
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", vec![], "it is empty"),
        ("no signatures", with(0, 0), "it has no signatures"),
        ("one signature too few", with(0, 1), "its message is not well-formed"),
        (
            "version 1 first",
            with(0, 0x81),
            "it is neither a legacy nor a version 0 transaction",
        ),
        ("only signatures", vec![19; 1216], "it ends within its signatures"),
        (
            "version 1 message",
            with(message_at, 0x81),
            "its message is not well-formed",
        ),
        (
            "an off-chain message",
            with(message_at, 0xff),
            "its message is not well-formed",
        ),
        ("an alias length", aliased, "its message is not well-formed"),
        (
            "three signers",
            with(message_at + 1, 3),
            "it has more or fewer signatures than it requires",
        ),
        (
            "no signers",
            with(message_at + 1, 0),
            "its header or an index is out of bounds",
        ),
        (
            "a fee payer that is only read",
            with(message_at + 2, 2),
            "its header or an index is out of bounds",
        ),
        (
            "more read than there are",
            with(message_at + 3, 99),
            "its header or an index is out of bounds",
        ),
        (
            "the fee payer twice",
            signed(&twice, &[key(PAYER)]),
            "it names an account twice",
        ),
        (
            "too long",
            [&good[..], &[0; 1233]].concat(),
            "it is longer than 1232 bytes",
        ),
    ];
    for (what, wire, expected) in cases {
        assert_eq!(Transaction::parse(&wire).map(|_| ()), Err(expected), "{what}");
    }
}

#[test]
fn the_longest_transaction_is_read() {
    let mut draft = Draft::good();
    let room = BYTES_MAX - draft.wire().len();
    // A byte more for the length: the memo passes 127 bytes.
    draft.calls[3].data.extend(vec![b'x'; room - 1]);
    assert_eq!(draft.wire().len(), BYTES_MAX);
    assert!(Transaction::parse(&draft.wire()).is_ok());
}

#[test]
fn claimed_lengths_are_no_reason_to_panic() {
    for is_legacy in [false, true] {
        let wire = legacy(is_legacy).wire();
        for place in 129..wire.len() {
            for claim in [[0xff, 0xff, 0x03], [0xff, 0x7f, 0x00], [0x80, 0x80, 0x01]] {
                let mut other = wire.clone();
                other.splice(place..=place, claim);
                if let Ok(transaction) = Transaction::parse(&other) {
                    assert_eq!(transaction.message.serialize(), transaction.message_bytes());
                }
            }
        }
    }
}

#[test]
fn every_required_signature_but_ours_must_stand() {
    let mut draft = Draft::good();
    draft.idle = vec![signs(account(STRANGER))];
    draft.keys.push(key(STRANGER));
    let wire = draft.wire();
    assert_eq!(Transaction::parse(&wire).unwrap().check_signatures(), Ok(()));
    let signers = draft.message().static_account_keys()[..3].to_vec();
    for slot in 1..3 {
        for place in [0, 31, 32, 63] {
            let mut other = wire.clone();
            other[1 + 64 * slot + place] ^= 1;
            let found = Transaction::parse(&other).unwrap().check_signatures();
            assert_eq!(found, Err(signers[slot]), "{slot} {place}");
        }
        let mut missing = wire.clone();
        missing[1 + 64 * slot..=64 * (slot + 1)].fill(0);
        assert_eq!(
            Transaction::parse(&missing).unwrap().check_signatures(),
            Err(signers[slot])
        );
    }
}

/// Under a key of small order a "signature" can be made without a secret, and some bytes are no key at all.
#[test]
fn signatures_that_validators_refuse_are_refused() {
    let neutral: [u8; 32] = std::array::from_fn(|place| u8::from(place == 0));
    for weak in [neutral, [0; 32], [0xff; 32]] {
        let mut draft = Draft::good();
        draft.calls[2].accounts[3].address = Pubkey::new_from_array(weak);
        let mut wire = draft.wire();
        // R is the neutral element and s is 0, which satisfies the plain equation for the neutral key.
        wire[65..129].fill(0);
        wire[65] = 1;
        let found = Transaction::parse(&wire).unwrap().check_signatures();
        assert_eq!(found, Err(Pubkey::new_from_array(weak)), "{weak:?}");
    }
}

#[test]
fn debug_shows_no_signature() {
    let transaction = Transaction::parse(&Draft::good().wire()).unwrap();
    let shown = format!("{transaction:?}");
    let secret = hex::encode(&transaction.wire()[65..129]);
    assert!(
        !shown.contains(&secret[..8]) && shown.contains(&hex::encode(transaction.message_hash())),
        "{shown}"
    );
    assert!(shown.len() < 300, "{shown}");
}
