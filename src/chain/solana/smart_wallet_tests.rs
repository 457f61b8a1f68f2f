//! Which transactions may be tried at all as payments of smart wallets.

use solana_message::v0::MessageAddressTableLookup;

use super::super::body::{Body, Kind};
use super::super::listing::Bounds;
use super::super::payload;
use super::super::settings::TokenProgram;
use super::super::trials::{self, Call, Draft, call, compute_limit, compute_price, memo, reads, signs};
use super::*;
use crate::domain::amount::Amount;
use crate::domain::rejection::{Refused, Rejection};

const SWIG: Pubkey = WALLETS[3];
const FEE_PAYER: Pubkey = address(1);
const OTHER_FEE_PAYER: Pubkey = address(2);
const MEMBER: Pubkey = address(3);
const VAULT: Pubkey = address(4);
const SOURCE: Pubkey = address(5);
const STRANGER: Pubkey = address(8);

const fn address(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

fn listing() -> Listing {
    Listing {
        fee_payers: vec![FEE_PAYER, OTHER_FEE_PAYER],
        bounds: Bounds {
            signatures_max: 3,
            compute_units_max: 300_000,
            priority_fee_max_lamports: 10_000,
        },
        ..open_listing()
    }
}

fn calling(program: Pubkey, accounts: &[Pubkey], data: &[u8]) -> Call {
    Call {
        accounts: accounts.iter().copied().map(reads).collect(),
        ..call(program, data)
    }
}

fn wallet_call() -> Call {
    calling(SWIG, &[SOURCE, MEMBER, VAULT], &[1, 2, 3])
}

fn budget(data: &[u8]) -> Call {
    call(programs::COMPUTE_BUDGET, data)
}

/// A transaction that these sign besides the fee payer.
fn transaction(signers: &[Pubkey], calls: &[Call]) -> Transaction {
    let draft = Draft {
        fee_payer: FEE_PAYER,
        calls: calls.to_vec(),
        idle: signers.iter().copied().map(signs).collect(),
        ..Draft::good()
    };
    Transaction::parse(&draft.wire()).unwrap()
}

fn decoded(calls: &[Call], memo: Option<&str>) -> Result<Pubkey, Flaw> {
    decode(&listing(), &transaction(&[MEMBER], calls), memo)
}

fn flawed(calls: &[Call]) -> SmartWalletFlaw {
    match decoded(calls, None) {
        Err(Flaw::SmartWallet(flaw)) => flaw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_stands_for_the_payer_and_the_program_where_nobody_signs() {
    let calls = [
        compute_limit(200_000),
        compute_price(10_000),
        wallet_call(),
        memo("order 7"),
    ];
    let one = transaction(&[MEMBER, STRANGER], &calls);
    assert_eq!(decode(&listing(), &one, None), Ok(MEMBER));
    let none = transaction(&[], &calls);
    assert_eq!(decode(&listing(), &none, None), Ok(SWIG));
}

#[test]
fn wallets_may_be_called_and_assertions_budgets_and_memos_beside_them() {
    for wallet in WALLETS {
        let call = calling(wallet, &[VAULT], &[]);
        let lighthouse = calling(programs::LIGHTHOUSE, &[VAULT], &[3]);
        assert_eq!(decoded(&[lighthouse, call.clone(), call], None), Ok(MEMBER), "{wallet}");
    }
}

#[test]
fn any_other_program_is_named() {
    for program in [
        programs::SYSTEM,
        programs::TOKEN,
        programs::TOKEN_2022,
        programs::ASSOCIATED_TOKEN,
        STRANGER,
    ] {
        let expected = SmartWalletFlaw::ProgramNotAllowed {
            program: program.to_string(),
        };
        assert_eq!(flawed(&[wallet_call(), call(program, [])]), expected);
    }
}

#[test]
fn without_a_wallet_nothing_is_transferred() {
    let lighthouse = calling(programs::LIGHTHOUSE, &[VAULT], &[3]);
    for calls in [vec![], vec![memo("x"), compute_limit(1), lighthouse]] {
        assert_eq!(flawed(&calls), SmartWalletFlaw::NoTransfer);
    }
}

#[test]
fn no_fee_payer_of_ours_stands_in_any_instruction() {
    for ours in [FEE_PAYER, OTHER_FEE_PAYER] {
        for program in [SWIG, programs::MEMO, programs::LIGHTHOUSE, programs::COMPUTE_BUDGET] {
            let mut calls = vec![wallet_call(), calling(program, &[VAULT, ours], &[2, 0, 0, 0, 0])];
            assert_eq!(flawed(&calls), SmartWalletFlaw::FeePayerNotIsolated, "{ours} {program}");
            calls.reverse();
            assert_eq!(flawed(&calls), SmartWalletFlaw::FeePayerNotIsolated, "{ours} {program}");
        }
    }
    assert_eq!(check_loaded(&listing(), &[VAULT, STRANGER]), Ok(()));
    for ours in [FEE_PAYER, OTHER_FEE_PAYER] {
        let found = check_loaded(&listing(), &[VAULT, ours]);
        assert_eq!(found, Err(SmartWalletFlaw::FeePayerNotIsolated.into()));
    }
}

#[test]
fn budgets_that_cannot_be_read_have_words_of_their_own() {
    use SmartWalletFlaw as F;
    let limits = || compute_limit(200_000);
    let cases = [
        (vec![budget(&[])], F::MalformedComputeBudget),
        (vec![budget(&[2])], F::MalformedComputeLimit),
        (vec![budget(&[2, 1, 0, 0])], F::MalformedComputeLimit),
        (vec![budget(&[2, 1, 0, 0, 0, 0])], F::MalformedComputeLimit),
        (vec![budget(&[3])], F::MalformedComputePrice),
        (vec![budget(&[3, 1, 0, 0, 0, 0, 0, 0])], F::MalformedComputePrice),
        (vec![budget(&[3, 1, 0, 0, 0, 0, 0, 0, 0, 0])], F::MalformedComputePrice),
        (vec![budget(&[0; 9])], F::UnsupportedComputeBudget),
        (vec![budget(&[1, 0, 0, 4, 0])], F::UnsupportedComputeBudget),
        (vec![budget(&[4, 0, 0, 1, 0])], F::UnsupportedComputeBudget),
        (vec![limits(), limits()], F::ComputeBudgetViolation),
        (
            vec![compute_price(1), limits(), compute_price(1)],
            F::ComputeBudgetViolation,
        ),
    ];
    for (mut calls, expected) in cases {
        calls.push(wallet_call());
        assert_eq!(flawed(&calls), expected);
    }
}

#[test]
fn what_is_offered_is_bounded_in_units_in_price_and_in_all() {
    // Bounds: 300,000 units, 50,000 micro-lamports, 10,000 lamports.
    let good = [
        vec![],
        vec![compute_limit(300_000)],
        vec![compute_limit(0), compute_price(50_000)],
        vec![compute_limit(200_000), compute_price(50_000)],
        vec![compute_limit(300_000), compute_price(33_333)],
        // Without a limit it may be 1,400,000 units.
        vec![compute_price(7_142)],
    ];
    for mut calls in good {
        calls.push(wallet_call());
        assert_eq!(decoded(&calls, None), Ok(MEMBER), "{calls:?}");
    }
    let high = |found, max| SmartWalletFlaw::PriorityFeeTooHigh { found, max };
    let bad = [
        (
            vec![compute_limit(300_001)],
            SmartWalletFlaw::ComputeUnitsTooHigh {
                found: 300_001,
                max: 300_000,
            },
        ),
        (vec![compute_limit(1), compute_price(50_001)], high(50_001, 50_000)),
        (vec![compute_limit(0), compute_price(u64::MAX)], high(u64::MAX, 50_000)),
        (
            vec![compute_limit(300_000), compute_price(33_334)],
            high(33_334, 33_333),
        ),
        (vec![compute_price(7_143)], high(7_143, 7_142)),
    ];
    for (mut calls, expected) in bad {
        calls.push(wallet_call());
        assert_eq!(flawed(&calls), expected, "{calls:?}");
    }
}

#[test]
fn an_operator_cannot_allow_more_than_the_scheme_does() {
    let mut generous = listing();
    generous.bounds.compute_units_max = u32::MAX;
    generous.bounds.priority_fee_max_lamports = u64::MAX;
    let decode = |calls: &[Call]| decode(&generous, &transaction(&[MEMBER], calls), None);
    assert_eq!(
        decode(&[compute_limit(400_000), compute_price(50_000), wallet_call()]),
        Ok(MEMBER)
    );
    let units = SmartWalletFlaw::ComputeUnitsTooHigh {
        found: 400_001,
        max: 400_000,
    };
    assert_eq!(decode(&[compute_limit(400_001), wallet_call()]), Err(units.into()));
    let fee = SmartWalletFlaw::PriorityFeeTooHigh {
        found: 50_001,
        max: 50_000,
    };
    assert_eq!(decode(&[compute_price(50_001), wallet_call()]), Err(fee.into()));
}

#[test]
fn the_memo_asked_for_stands_there_once() {
    let with = |memos: &[&[u8]]| {
        let mut calls = vec![wallet_call()];
        calls.extend(memos.iter().map(|text| call(programs::MEMO, *text)));
        decoded(&calls, Some("order 7"))
    };
    assert_eq!(with(&[b"order 7"]), Ok(MEMBER));
    assert_eq!(with(&[]), Err(Flaw::MemoCount { found: 0 }));
    assert_eq!(with(&[b"order 7", b"order 7"]), Err(Flaw::MemoCount { found: 2 }));
    for other in [&b"order 8"[..], b"order 7 ", b"", b"order 7\xff"] {
        assert_eq!(with(&[other]), Err(Flaw::MemoMismatch));
    }
    // Nobody asked for one: any number may stand there.
    assert_eq!(decoded(&[wallet_call(), memo("x"), memo("y")], None), Ok(MEMBER));
}

/// The tests' cluster, with smart wallets on.
fn open_listing() -> Listing {
    Listing {
        smart_wallets: true,
        ..trials::listing()
    }
}

/// A payment out of a wallet that the payer is a member of, signed by the payer.
fn wallet_draft() -> Draft {
    let mut draft = Draft::good();
    let accounts = vec![
        trials::writes(SOURCE),
        signs(trials::account(trials::PAYER)),
        reads(VAULT),
    ];
    draft.calls = vec![Call {
        accounts,
        ..call(SWIG, [1, 2, 3])
    }];
    draft
}

#[test]
fn a_payment_of_a_smart_wallet_is_read_from_its_request() {
    let draft = wallet_draft();
    let authorization = payload::decode(&open_listing(), &draft.request()).unwrap();
    assert_eq!(authorization.payer, trials::account(trials::PAYER).to_string());
    assert_eq!(authorization.amount, Amount::from_units(trials::PRICE.into()));
    let expected = Body {
        kind: Kind::SmartWallet,
        transaction: Transaction::parse(&draft.wire()).unwrap(),
        source: None,
        destination: trials::destination(trials::MINT, TokenProgram::Token),
        owner: trials::PAY_TO,
        asset: open_listing().assets[0],
    };
    assert_eq!(Body::decode(&authorization.body), Ok(expected));
}

fn refusal(listing: &Listing, draft: &Draft) -> Flaw {
    match payload::decode(listing, &draft.request()) {
        Err(Refused::Rejected(Rejection::Flawed(flaw))) => flaw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn smart_wallets_are_refused_where_they_are_off() {
    let expected = Flaw::InstructionCount {
        found: 1,
        min: 3,
        max: 7,
    };
    assert_eq!(refusal(&trials::listing(), &wallet_draft()), expected);
}

#[test]
fn an_open_payment_is_judged_as_one_also_where_smart_wallets_are_on() {
    let authorization = payload::decode(&open_listing(), &Draft::good().request()).unwrap();
    assert_eq!(Body::decode(&authorization.body).unwrap().kind, Kind::Static);
    // What is wrong with it other than its layout is final.
    let mut dear = Draft::good();
    dear.calls[0] = compute_limit(400_001);
    let expected = Flaw::ComputeLimitTooHigh {
        found: 400_001,
        max: 400_000,
    };
    assert_eq!(refusal(&open_listing(), &dear), expected);
}

#[test]
fn a_smart_wallets_payment_keeps_the_rules_of_all_payments() {
    let payer = trials::account(trials::PAYER).to_string();
    let mut unsigned = wallet_draft();
    unsigned.keys.clear();
    assert_eq!(
        refusal(&open_listing(), &unsigned),
        Flaw::SignatureInvalid { signer: payer }
    );

    let mut crowded = wallet_draft();
    crowded.idle = [20, 21].map(address).map(signs).to_vec();
    assert_eq!(
        refusal(&open_listing(), &crowded),
        Flaw::TooManySigners { found: 4, max: 3 }
    );

    let mut request = wallet_draft().request();
    request.terms.asset = trials::MINT_OTHER.to_string();
    let refused = payload::decode(&open_listing(), &request);
    assert!(
        matches!(refused, Err(Refused::Rejected(Rejection::Unacceptable(_)))),
        "{refused:?}"
    );
}

#[test]
fn lookup_tables_are_for_smart_wallets_alone() {
    let lookup = MessageAddressTableLookup {
        account_key: STRANGER,
        writable_indexes: vec![0],
        readonly_indexes: vec![],
    };
    let mut wallet = wallet_draft();
    wallet.lookups.push(lookup.clone());
    assert!(payload::decode(&open_listing(), &wallet.request()).is_ok());
    assert_eq!(refusal(&trials::listing(), &wallet), Flaw::LookupTables);

    let mut open = Draft::good();
    open.lookups.push(lookup);
    let program = programs::TOKEN.to_string();
    let expected = SmartWalletFlaw::ProgramNotAllowed { program };
    assert_eq!(refusal(&open_listing(), &open), expected.into());
}
