//! Transactions are built byte by byte here, so that no rule of a client's library stands between a case and the code.

use serde_json::{Value, json};

use super::super::listing::Bounds;
use super::super::settings::TokenProgram;
use super::*;

const SWIG: Pubkey = WALLETS[3];
const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const TOKEN_2022: &str = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
const FEE_PAYER: Pubkey = address(1);
const OTHER_FEE_PAYER: Pubkey = address(2);
const MEMBER: Pubkey = address(3);
const VAULT: Pubkey = address(4);
const SOURCE: Pubkey = address(5);
const DESTINATION: Pubkey = address(6);
const MINT: Pubkey = address(7);
const STRANGER: Pubkey = address(8);

const fn address(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

fn listing() -> Listing {
    Listing {
        network: "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".parse().unwrap(),
        assets: vec![asset()],
        fee_payers: vec![FEE_PAYER, OTHER_FEE_PAYER],
        bounds: Bounds {
            signatures_max: 3,
            compute_units_max: 300_000,
            priority_fee_max_lamports: 10_000,
        },
        smart_wallets: true,
    }
}

fn asset() -> Asset {
    Asset {
        mint: MINT,
        program: TokenProgram::Token,
        decimals: 6,
    }
}

/// A call with its accounts and data.
type Call = (Pubkey, Vec<Pubkey>, Vec<u8>);

fn wallet_call() -> Call {
    (SWIG, vec![SOURCE, MEMBER, VAULT], vec![1, 2, 3])
}

fn budget_call(data: &[u8]) -> Call {
    (programs::COMPUTE_BUDGET, vec![], data.to_vec())
}

fn limit(units: u32) -> Call {
    budget_call(&[&[2][..], &units.to_le_bytes()].concat())
}

fn price(per_unit: u64) -> Call {
    budget_call(&[&[3][..], &per_unit.to_le_bytes()].concat())
}

fn memo(text: &[u8]) -> Call {
    (programs::MEMO, vec![], text.to_vec())
}

/// A transaction that these sign and that makes these calls, in the bytes of version 0; signatures are zeros.
fn transaction(signers: &[Pubkey], calls: &[Call]) -> Transaction {
    let mut keys = signers.to_vec();
    let mentioned = calls
        .iter()
        .flat_map(|(program, accounts, _)| accounts.iter().chain([program]));
    for key in mentioned {
        if !keys.contains(key) {
            keys.push(*key);
        }
    }
    let place = |key: &Pubkey| u8::try_from(keys.iter().position(|it| it == key).unwrap()).unwrap();
    let count = |length: usize| u8::try_from(length).unwrap();

    let mut wire = vec![count(signers.len())];
    wire.extend(vec![0; 64 * signers.len()]);
    wire.extend([0x80, count(signers.len()), 0, 0, count(keys.len())]);
    wire.extend(keys.iter().flat_map(Pubkey::to_bytes));
    wire.extend([9; 32]);
    wire.push(count(calls.len()));
    for (program, accounts, data) in calls {
        wire.extend([place(program), count(accounts.len())]);
        wire.extend(accounts.iter().map(place));
        wire.push(count(data.len()));
        wire.extend(data);
    }
    wire.push(0);
    Transaction::parse(&wire).unwrap()
}

fn decoded(calls: &[Call], memo: Option<&str>) -> Result<Pubkey, Flaw> {
    decode(&listing(), &transaction(&[FEE_PAYER, MEMBER], calls), memo)
}

fn flawed(calls: &[Call]) -> SmartWalletFlaw {
    match decoded(calls, None) {
        Err(Flaw::SmartWallet(flaw)) => flaw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_stands_for_the_payer_and_the_program_where_nobody_signs() {
    let calls = [limit(200_000), price(10_000), wallet_call(), memo(b"order 7")];
    let one = transaction(&[FEE_PAYER, MEMBER, STRANGER], &calls);
    assert_eq!(decode(&listing(), &one, None), Ok(MEMBER));
    let none = transaction(&[FEE_PAYER], &calls);
    assert_eq!(decode(&listing(), &none, None), Ok(SWIG));
}

#[test]
fn wallets_may_be_called_and_assertions_budgets_and_memos_beside_them() {
    for wallet in WALLETS {
        let call = (wallet, vec![VAULT], vec![]);
        let lighthouse = (programs::LIGHTHOUSE, vec![VAULT], vec![3]);
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
        assert_eq!(flawed(&[wallet_call(), (program, vec![], vec![])]), expected);
    }
}

#[test]
fn without_a_wallet_nothing_is_transferred() {
    let lighthouse = (programs::LIGHTHOUSE, vec![VAULT], vec![3]);
    for calls in [vec![], vec![memo(b"x"), limit(1), lighthouse]] {
        assert_eq!(flawed(&calls), SmartWalletFlaw::NoTransfer);
    }
}

#[test]
fn no_fee_payer_of_ours_stands_in_any_instruction() {
    for ours in [FEE_PAYER, OTHER_FEE_PAYER] {
        for program in [SWIG, programs::MEMO, programs::LIGHTHOUSE, programs::COMPUTE_BUDGET] {
            let mut calls = vec![wallet_call(), (program, vec![VAULT, ours], vec![2, 0, 0, 0, 0])];
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
    let limits = || limit(200_000);
    let cases = [
        (vec![budget_call(&[])], F::MalformedComputeBudget),
        (vec![budget_call(&[2])], F::MalformedComputeLimit),
        (vec![budget_call(&[2, 1, 0, 0])], F::MalformedComputeLimit),
        (vec![budget_call(&[2, 1, 0, 0, 0, 0])], F::MalformedComputeLimit),
        (vec![budget_call(&[3])], F::MalformedComputePrice),
        (vec![budget_call(&[3, 1, 0, 0, 0, 0, 0, 0])], F::MalformedComputePrice),
        (
            vec![budget_call(&[3, 1, 0, 0, 0, 0, 0, 0, 0, 0])],
            F::MalformedComputePrice,
        ),
        (vec![budget_call(&[0; 9])], F::UnsupportedComputeBudget),
        (vec![budget_call(&[1, 0, 0, 4, 0])], F::UnsupportedComputeBudget),
        (vec![budget_call(&[4, 0, 0, 1, 0])], F::UnsupportedComputeBudget),
        (vec![limits(), limits()], F::ComputeBudgetViolation),
        (vec![price(1), limits(), price(1)], F::ComputeBudgetViolation),
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
        vec![limit(300_000)],
        vec![limit(0), price(50_000)],
        vec![limit(200_000), price(50_000)],
        vec![limit(300_000), price(33_333)],
        // Without a limit, two instructions stand for 400,000 units.
        vec![price(25_000)],
    ];
    for mut calls in good {
        calls.push(wallet_call());
        assert_eq!(decoded(&calls, None), Ok(MEMBER), "{calls:?}");
    }
    let high = |found, max| SmartWalletFlaw::PriorityFeeTooHigh { found, max };
    let bad = [
        (
            vec![limit(300_001)],
            SmartWalletFlaw::ComputeUnitsTooHigh {
                found: 300_001,
                max: 300_000,
            },
        ),
        (vec![limit(1), price(50_001)], high(50_001, 50_000)),
        (vec![limit(0), price(u64::MAX)], high(u64::MAX, 50_000)),
        (vec![limit(300_000), price(33_334)], high(33_334, 33_333)),
        (vec![price(25_001)], high(25_001, 25_000)),
    ];
    for (mut calls, expected) in bad {
        calls.push(wallet_call());
        assert_eq!(flawed(&calls), expected, "{calls:?}");
    }
    // Seven instructions and more stand for no more than 1,400,000 units.
    let mut many = vec![price(7_142)];
    many.extend(std::iter::repeat_with(wallet_call).take(20));
    assert_eq!(decoded(&many, None), Ok(MEMBER));
}

#[test]
fn an_operator_cannot_allow_more_than_the_scheme_does() {
    let mut generous = listing();
    generous.bounds.compute_units_max = u32::MAX;
    generous.bounds.priority_fee_max_lamports = u64::MAX;
    let decode = |calls: &[Call]| decode(&generous, &transaction(&[FEE_PAYER, MEMBER], calls), None);
    assert_eq!(decode(&[limit(400_000), price(50_000), wallet_call()]), Ok(MEMBER));
    let units = SmartWalletFlaw::ComputeUnitsTooHigh {
        found: 400_001,
        max: 400_000,
    };
    assert_eq!(decode(&[limit(400_001), wallet_call()]), Err(units.into()));
    let fee = SmartWalletFlaw::PriorityFeeTooHigh {
        found: 50_001,
        max: 50_000,
    };
    assert_eq!(decode(&[price(50_001), wallet_call()]), Err(fee.into()));
}

#[test]
fn the_memo_asked_for_stands_there_once() {
    let with = |memos: &[&[u8]]| {
        let mut calls = vec![wallet_call()];
        calls.extend(memos.iter().map(|text| memo(text)));
        decoded(&calls, Some("order 7"))
    };
    assert_eq!(with(&[b"order 7"]), Ok(MEMBER));
    assert_eq!(with(&[]), Err(Flaw::MemoCount { found: 0 }));
    assert_eq!(with(&[b"order 7", b"order 7"]), Err(Flaw::MemoCount { found: 2 }));
    for other in [&b"order 8"[..], b"order 7 ", b"", b"order 7\xff"] {
        assert_eq!(with(&[other]), Err(Flaw::MemoMismatch));
    }
    // Nobody asked for one: any number may stand there.
    assert_eq!(decoded(&[wallet_call(), memo(b"x"), memo(b"y")], None), Ok(MEMBER));
}

fn wanted() -> Wanted {
    Wanted {
        asset: asset(),
        destination: DESTINATION,
        amount: Amount::from_units(1000),
    }
}

/// An instruction to a token program as a node tells it.
fn told(program: &str, kind: &str, info: &Value) -> Value {
    json!({ "programId": program, "program": "spl-token", "parsed": { "type": kind, "info": info }, "stackHeight": 2 })
}

fn info() -> Value {
    json!({
        "source": SOURCE.to_string(),
        "mint": MINT.to_string(),
        "destination": DESTINATION.to_string(),
        "authority": VAULT.to_string(),
        "tokenAmount": { "amount": "1000", "decimals": 6, "uiAmount": 0.001, "uiAmountString": "0.001" },
    })
}

fn transfer_with(key: &str, value: &Value) -> Value {
    let mut info = info();
    info[key] = value.clone();
    told(TOKEN, "transferChecked", &info)
}

fn transfer() -> Value {
    told(TOKEN, "transferChecked", &info())
}

fn judged(inner: &[Value]) -> Result<InnerTransfer, Flaw> {
    let groups = json!([{ "index": 0, "instructions": [] }, { "index": 2, "instructions": inner }]);
    let groups: Vec<InnerInstructions> = serde_json::from_value(groups).unwrap();
    judge(&listing(), Some(&groups), &wanted())
}

fn paid() -> InnerTransfer {
    InnerTransfer {
        authority: VAULT,
        source: SOURCE,
        index: 2,
    }
}

#[test]
fn the_one_transfer_is_found_among_others() {
    let elsewhere = transfer_with("destination", &json!(STRANGER.to_string()));
    let router = json!({
        "programId": STRANGER.to_string(),
        "accounts": [SOURCE.to_string(), DESTINATION.to_string()],
        "data": "j4EYRhtmbmRQq",
        "stackHeight": 2,
    });
    let memo = json!({ "programId": programs::MEMO.to_string(), "program": "spl-memo", "parsed": "order 7" });
    for beside in [vec![], vec![elsewhere.clone(), elsewhere], vec![router], vec![memo]] {
        let mut inner = beside.clone();
        inner.push(transfer());
        inner.extend(beside);
        assert_eq!(judged(&inner), Ok(paid()));
    }
}

#[test]
fn a_node_that_shows_nothing_proves_nothing() {
    let unavailable = Err(SmartWalletFlaw::VerificationUnavailable.into());
    assert_eq!(judge(&listing(), None, &wanted()), unavailable);
    assert_eq!(
        judge(&listing(), Some(&[]), &wanted()),
        Err(SmartWalletFlaw::NoTransfer.into())
    );
}

#[test]
fn what_is_no_checked_transfer_pays_nothing() {
    let mut others: Vec<Value> = ["transfer", "transferCheckedWithFee", "approveChecked", "mintToChecked"]
        .iter()
        .map(|kind| told(TOKEN, kind, &info()))
        .collect();
    // In the words of a token program, by another program.
    others.push(told(&STRANGER.to_string(), "transferChecked", &info()));
    for other in others {
        assert_eq!(
            judged(std::slice::from_ref(&other)),
            Err(SmartWalletFlaw::NoTransfer.into()),
            "{other}"
        );
    }
}

#[test]
fn another_transfer_than_the_one_asked_for_is_a_mismatch() {
    let stranger = json!(STRANGER.to_string());
    let cases = [
        transfer_with("mint", &stranger),
        transfer_with("destination", &stranger),
        transfer_with("tokenAmount", &json!({ "amount": "999" })),
        transfer_with("tokenAmount", &json!({ "amount": "1001" })),
        told(TOKEN_2022, "transferChecked", &info()),
    ];
    for case in cases {
        assert_eq!(
            judged(std::slice::from_ref(&case)),
            Err(SmartWalletFlaw::TransferMismatch.into()),
            "{case}"
        );
    }
}

#[test]
fn nothing_else_touches_what_the_recipient_holds() {
    let hidden = json!({
        "programId": TOKEN,
        "accounts": [DESTINATION.to_string(), STRANGER.to_string()],
        "data": "5Q",
        "stackHeight": 3,
    });
    let others = [
        transfer(),
        transfer_with("tokenAmount", &json!({ "amount": "1" })),
        transfer_with("source", &json!(STRANGER.to_string())),
        told(TOKEN, "transfer", &info()),
        told(TOKEN, "burn", &json!({ "account": DESTINATION.to_string() })),
        told(TOKEN, "closeAccount", &json!({ "account": DESTINATION.to_string() })),
        told(TOKEN_2022, "transferCheckedWithFee", &info()),
        hidden,
    ];
    for other in others {
        for inner in [[transfer(), other.clone()], [other.clone(), transfer()]] {
            assert_eq!(
                judged(&inner),
                Err(SmartWalletFlaw::MultipleTransfers.into()),
                "{other}"
            );
        }
    }
}

#[test]
fn money_that_stays_where_it_is_pays_nobody() {
    let to_itself = transfer_with("source", &json!(DESTINATION.to_string()));
    let expected = Flaw::SelfTransfer {
        account: DESTINATION.to_string(),
    };
    assert_eq!(judged(&[to_itself]), Err(expected));
}

#[test]
fn none_of_ours_stands_in_anything_that_happens_inside() {
    for ours in [FEE_PAYER, OTHER_FEE_PAYER].map(|ours| ours.to_string()) {
        let expected = Flaw::FeePayerTransfers { found: ours.clone() };
        let owner = json!({ "account": STRANGER.to_string(), "owner": ours });
        let signers =
            json!({ "source": STRANGER.to_string(), "multisigAuthority": VAULT.to_string(), "signers": [ours] });
        let raw = json!({ "programId": TOKEN, "accounts": [STRANGER.to_string(), ours], "data": "5Q" });
        let tokens = [
            transfer_with("authority", &json!(ours)),
            transfer_with("source", &json!(ours)),
            told(TOKEN_2022, "transfer", &json!({ "authority": ours })),
            told(TOKEN, "approve", &owner),
            told(
                TOKEN,
                "setAuthority",
                &json!({ "account": STRANGER.to_string(), "authority": ours }),
            ),
            told(TOKEN, "closeAccount", &owner),
            told(TOKEN, "burn", &signers),
            raw,
        ];
        for token in tokens {
            for inner in [[transfer(), token.clone()], [token.clone(), transfer()]] {
                assert_eq!(judged(&inner), Err(expected.clone()), "{token}");
            }
        }
        let lamports = told(
            &programs::SYSTEM.to_string(),
            "transfer",
            &json!({ "source": ours, "lamports": 1 }),
        );
        let isolated = Err(SmartWalletFlaw::FeePayerNotIsolated.into());
        assert_eq!(judged(&[transfer(), lamports]), isolated);
    }
}
