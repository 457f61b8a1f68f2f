//! Every rule that a payer's transaction can break, broken alone.

use serde_json::json;
use solana_message::v0::MessageAddressTableLookup;

use super::*;
use crate::chain::solana::programs::{ASSOCIATED_TOKEN, COMPUTE_BUDGET, LIGHTHOUSE, SYSTEM, associated_token_account};
use crate::chain::solana::settings::TokenProgram;
use crate::chain::solana::trials::{
    Call, Draft, MINT, MINT_2022, MINT_OTHER, OURS, PAY_TO, PAYER, PRICE, RETIRED, STRANGER, account, call,
    compute_limit, compute_price, destination, lighthouse, listing, memo, reads, request, signs, transfer, writes,
};
use crate::domain::amount::Amount;

/// Changes a good payment.
type Change = fn(&mut Draft);

fn check(cases: &[(&str, Change, Rejection)]) {
    for (what, change, expected) in cases {
        let mut draft = Draft::good();
        change(&mut draft);
        let found = decode(&listing(), &draft.request());
        assert_eq!(found.unwrap_err(), expected.clone().into(), "{what}");
    }
}

fn count(found: usize) -> Rejection {
    let (min, max) = (3, 7);
    Flaw::InstructionCount { found, min, max }.into()
}

fn unknown(position: usize) -> Rejection {
    Flaw::UnknownInstruction { position }.into()
}

fn exposed(position: usize) -> Rejection {
    Flaw::FeePayerExposed { position }.into()
}

fn unsigned(signer: Pubkey) -> Rejection {
    let signer = signer.to_string();
    Flaw::SignatureInvalid { signer }.into()
}

#[test]
fn the_signers_are_the_fee_payer_and_whoever_has_signed() {
    let mismatch = Flaw::FeePayerMismatch {
        expected: account(OURS).to_string(),
        found: account(STRANGER).to_string(),
    };
    let other = Flaw::FeePayerMismatch {
        expected: account(OURS).to_string(),
        found: account(RETIRED).to_string(),
    };
    check(&[
        (
            "another fee payer",
            |it| it.fee_payer = account(STRANGER),
            mismatch.into(),
        ),
        (
            "another one of ours",
            |it| it.fee_payer = account(RETIRED),
            other.into(),
        ),
        ("65: not signed", |it| it.keys.clear(), unsigned(account(PAYER))),
        (
            "four signers",
            |it| it.idle = [5, 6].map(|seed| signs(account(seed))).to_vec(),
            Flaw::TooManySigners { found: 4, max: 3 }.into(),
        ),
        (
            "a third signer who has not signed",
            |it| it.idle = vec![signs(account(STRANGER))],
            unsigned(account(STRANGER)),
        ),
        (
            "another one of ours as a signer",
            |it| it.idle = vec![signs(account(RETIRED))],
            unsigned(account(RETIRED)),
        ),
    ]);
    let mut wire = Draft::good().wire();
    wire[70] ^= 1;
    let found = decode(
        &listing(),
        &request(&wire, &json!({ "feePayer": account(OURS).to_string() })),
    );
    assert_eq!(found.unwrap_err(), unsigned(account(PAYER)).into(), "65: one bit wrong");
}

#[test]
fn the_instructions_are_those_of_a_payment() {
    check(&[
        ("57: two", |it| it.calls.truncate(2), count(2)),
        ("57: none", |it| it.calls.clear(), count(0)),
        (
            "57: eight",
            |it| it.calls.extend(["a", "b", "c", "d"].map(memo)),
            count(8),
        ),
        (
            "no limit",
            |it| drop(it.calls.remove(0)),
            Flaw::ComputeLimitMissing.into(),
        ),
        (
            "limit and price in the other order",
            |it| it.calls.swap(0, 1),
            Flaw::ComputeLimitMissing.into(),
        ),
        (
            "a durable nonce first",
            |it| it.calls.insert(0, call(SYSTEM, [4, 0, 0, 0])),
            Flaw::ComputeLimitMissing.into(),
        ),
        (
            "a limit with a byte left over",
            |it| it.calls[0].data.push(0),
            Flaw::ComputeLimitMissing.into(),
        ),
        (
            "a limit cut short",
            |it| it.calls[0].data.truncate(4),
            Flaw::ComputeLimitMissing.into(),
        ),
        (
            "a limit of another program",
            |it| it.calls[0].program = SYSTEM,
            Flaw::ComputeLimitMissing.into(),
        ),
        (
            "an empty limit",
            |it| it.calls[0].data.clear(),
            Flaw::ComputeLimitMissing.into(),
        ),
        (
            "two limits",
            |it| it.calls[1] = compute_limit(1),
            Flaw::ComputePriceMissing.into(),
        ),
        (
            "a price with a byte left over",
            |it| it.calls[1].data.push(0),
            Flaw::ComputePriceMissing.into(),
        ),
        (
            "a heap frame",
            |it| it.calls[1] = call(COMPUTE_BUDGET, [1, 0, 0, 1, 0]),
            Flaw::ComputePriceMissing.into(),
        ),
        (
            "58: too high a price",
            |it| it.calls[1] = compute_price(5_000_001),
            Flaw::ComputePriceTooHigh {
                found: 5_000_001,
                max: 5_000_000,
            }
            .into(),
        ),
        (
            "too high a limit",
            |it| it.calls[0] = compute_limit(400_001),
            Flaw::ComputeLimitTooHigh {
                found: 400_001,
                max: 400_000,
            }
            .into(),
        ),
        (
            "lookup tables",
            |it| it.lookups = vec![lookup()],
            Flaw::LookupTables.into(),
        ),
    ]);
}

fn lookup() -> MessageAddressTableLookup {
    MessageAddressTableLookup {
        account_key: MINT_OTHER,
        writable_indexes: vec![0],
        readonly_indexes: vec![],
    }
}

#[test]
fn the_third_instruction_is_the_transfer() {
    let missing = || Rejection::from(Flaw::NoTransfer);
    check(&[
        (
            "59: a plain transfer",
            |it| it.calls[2].data = [&[3][..], &PRICE.to_le_bytes()].concat(),
            missing(),
        ),
        (
            "59: a plain transfer with decimals",
            |it| it.calls[2].data[0] = 3,
            missing(),
        ),
        ("of no program", |it| it.calls[2].program = SYSTEM, missing()),
        ("of Lighthouse", |it| it.calls[2].program = LIGHTHOUSE, missing()),
        ("a byte left over", |it| it.calls[2].data.push(0), missing()),
        ("a byte short", |it| it.calls[2].data.truncate(9), missing()),
        ("no data", |it| it.calls[2].data.clear(), missing()),
        ("only the discriminator", |it| it.calls[2].data.truncate(1), missing()),
        ("a memo before it", |it| it.calls.swap(2, 3), missing()),
        (
            "three accounts",
            |it| {
                it.calls[2].accounts.truncate(3);
                it.idle = vec![signs(account(PAYER))];
            },
            missing(),
        ),
    ]);
}

#[test]
fn the_transfer_is_the_one_that_is_asked_for() {
    let other_owner = associated_token_account(&account(STRANGER), TokenProgram::Token, &MINT);
    let expected = destination(MINT, TokenProgram::Token);
    let lands = |found: Pubkey| -> Rejection {
        Flaw::DestinationMismatch {
            expected: expected.to_string(),
            found: found.to_string(),
            owner: PAY_TO.to_string(),
        }
        .into()
    };
    let mint = |found: Pubkey| -> Rejection {
        let (expected, found) = (MINT.to_string(), found.to_string());
        Flaw::MintMismatch { expected, found }.into()
    };
    let amount = |units: u64| Rejection::AmountMismatch {
        expected: Amount::from_units(PRICE.into()),
        found: Amount::from_units(units.into()),
    };
    check(&[
        (
            "61: an unlisted mint",
            |it| it.calls[2] = transfer(MINT_OTHER, TokenProgram::Token, PRICE),
            mint(MINT_OTHER),
        ),
        (
            "61: another listed mint",
            |it| it.calls[2] = transfer(MINT_2022, TokenProgram::Token2022, PRICE),
            mint(MINT_2022),
        ),
        (
            "61: another owner's account",
            |it| {
                let other = associated_token_account(&account(STRANGER), TokenProgram::Token, &MINT);
                it.calls[2].accounts[2] = writes(other);
            },
            lands(other_owner),
        ),
        (
            "61: the owner itself",
            |it| it.calls[2].accounts[2] = writes(PAY_TO),
            lands(PAY_TO),
        ),
        (
            "the account of the other token program",
            |it| it.calls[2] = transfer(MINT, TokenProgram::Token2022, PRICE),
            lands(destination(MINT, TokenProgram::Token2022)),
        ),
        (
            "61: one less",
            |it| it.calls[2] = transfer(MINT, TokenProgram::Token, PRICE - 1),
            amount(PRICE - 1),
        ),
        (
            "61: one more",
            |it| it.calls[2] = transfer(MINT, TokenProgram::Token, PRICE + 1),
            amount(PRICE + 1),
        ),
        (
            "nothing",
            |it| it.calls[2] = transfer(MINT, TokenProgram::Token, 0),
            amount(0),
        ),
        (
            "other decimals",
            |it| it.calls[2].data[9] = 9,
            Flaw::DecimalsMismatch { expected: 6, found: 9 }.into(),
        ),
        (
            "the other token program over the right accounts",
            |it| it.calls[2].program = TokenProgram::Token2022.id(),
            Rejection::SimulationFailed {
                reason: "the transfer calls another token program than the one that keeps the mint".into(),
            },
        ),
        (
            "from the recipient's account to itself",
            |it| it.calls[2].accounts[0] = it.calls[2].accounts[2],
            Flaw::SelfTransfer {
                account: expected.to_string(),
            }
            .into(),
        ),
    ]);
}

#[test]
fn the_authority_signs_and_is_none_of_ours() {
    let transfers = |seed: u8| -> Rejection {
        Flaw::FeePayerTransfers {
            found: account(seed).to_string(),
        }
        .into()
    };
    check(&[
        (
            "60: our fee payer",
            |it| it.calls[2].accounts[3] = signs(account(OURS)),
            transfers(OURS),
        ),
        (
            "60: unsigned, and not first",
            |it| it.calls[2].accounts[3] = reads(account(RETIRED)),
            transfers(RETIRED),
        ),
        (
            "nobody has signed for it",
            |it| it.calls[2].accounts[3] = reads(account(STRANGER)),
            unsigned(account(STRANGER)),
        ),
        (
            "a multisig account's member has not signed",
            |it| it.calls[2].accounts.push(reads(account(STRANGER))),
            unsigned(account(STRANGER)),
        ),
        (
            "our fee payer as a multisig account's member",
            |it| it.calls[2].accounts.push(signs(account(OURS))),
            exposed(3),
        ),
        (
            "another one of ours as a multisig account's member",
            |it| it.calls[2].accounts.push(reads(account(RETIRED))),
            exposed(3),
        ),
    ]);
}

#[test]
fn what_follows_the_transfer_can_move_nothing() {
    check(&[
        (
            "62: a system transfer",
            |it| {
                it.calls[3] = Call {
                    accounts: vec![writes(account(PAYER)), writes(account(STRANGER))],
                    ..call(SYSTEM, [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
                };
            },
            unknown(4),
        ),
        (
            "62: an account made for the recipient",
            |it| it.calls[3] = call(ASSOCIATED_TOKEN, [1]),
            unknown(4),
        ),
        ("another transfer", |it| it.calls.push(it.calls[2].clone()), unknown(5)),
        (
            "another limit",
            |it| it.calls.push(compute_limit(1_400_000)),
            unknown(5),
        ),
        (
            "another price",
            |it| it.calls.insert(3, compute_price(5_000_000)),
            unknown(4),
        ),
        (
            "a write to Lighthouse's memory",
            |it| it.calls.insert(3, lighthouse(0)),
            unknown(4),
        ),
        (
            "an end of Lighthouse's memory",
            |it| it.calls.push(lighthouse(1)),
            unknown(5),
        ),
        (
            "an unknown Lighthouse instruction",
            |it| it.calls.push(lighthouse(18)),
            unknown(5),
        ),
        (
            "Lighthouse without data",
            |it| it.calls.push(call(LIGHTHOUSE, [])),
            unknown(5),
        ),
        (
            "the seventh",
            |it| it.calls.extend([memo("a"), memo("b"), call(SYSTEM, [])]),
            unknown(7),
        ),
    ]);
}

#[test]
fn our_fee_payer_stands_in_no_instruction() {
    check(&[
        (
            "66: in a memo",
            |it| it.calls[3].accounts = vec![signs(account(OURS))],
            exposed(4),
        ),
        (
            "66: in an assertion",
            |it| {
                it.calls.push(lighthouse(5));
                it.calls[4].accounts = vec![reads(account(OURS))];
            },
            exposed(5),
        ),
        (
            "in the limit",
            |it| it.calls[0].accounts = vec![reads(account(OURS))],
            exposed(1),
        ),
        (
            "in the price",
            |it| it.calls[1].accounts = vec![writes(account(OURS))],
            exposed(2),
        ),
        (
            "as the source",
            |it| it.calls[2].accounts[0] = writes(account(OURS)),
            exposed(3),
        ),
        (
            "another one of ours",
            |it| it.calls[3].accounts = vec![reads(account(RETIRED))],
            exposed(4),
        ),
    ]);
}

#[test]
fn the_memo_is_the_one_that_is_asked_for() {
    let asked = |draft: &Draft, memo: &str| {
        let extra = json!({ "feePayer": account(OURS).to_string(), "memo": memo });
        decode(&listing(), &request(&draft.wire(), &extra))
    };
    let mut draft = Draft::good();
    draft.calls[3] = memo("order 17");
    let authorization = asked(&draft, "order 17").unwrap();
    assert_eq!(authorization.memo.as_deref(), Some("order 17"));
    for other in ["order 18", "order 1", "order 17 ", "Order 17"] {
        assert_eq!(
            asked(&draft, other).unwrap_err(),
            Rejection::from(Flaw::MemoMismatch).into(),
            "64: {other}"
        );
    }
    assert_eq!(asked(&draft, "").unwrap().memo, None, "an empty memo asks for nothing");
    let longest = "x".repeat(256);
    draft.calls[3] = memo(&longest);
    assert!(asked(&draft, &longest).is_ok());
    draft.calls.push(memo(&longest));
    assert_eq!(
        asked(&draft, &longest).unwrap_err(),
        Rejection::from(Flaw::MemoCount { found: 2 }).into(),
        "64"
    );
    draft.calls.truncate(3);
    assert_eq!(
        asked(&draft, &longest).unwrap_err(),
        Rejection::from(Flaw::MemoCount { found: 0 }).into(),
        "64"
    );
}
