//! Which trials show the payment that is asked for, in the shapes that a node tells them in (see `inner`).

use serde_json::{Value, json};

use super::super::body::Kind;
use super::super::listing::Asset;
use super::super::settings::TokenProgram;
use super::super::transaction::Transaction;
use super::super::trials;
use super::*;

const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const TOKEN_2022: &str = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
const VAULT: Pubkey = address(4);
const SOURCE: Pubkey = address(5);
const DESTINATION: Pubkey = address(6);
const STRANGER: Pubkey = address(8);
const OWNER: Pubkey = address(9);

const fn address(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

/// Our fee payers on the tests' cluster, the retired one included.
fn ours() -> [Pubkey; 2] {
    [trials::OURS, trials::RETIRED].map(trials::account)
}

const AMOUNT: Amount = Amount::from_units(1000);

fn body() -> Body {
    Body {
        kind: Kind::SmartWallet,
        transaction: Transaction::parse(&trials::Draft::good().wire()).unwrap(),
        source: None,
        destination: DESTINATION,
        owner: OWNER,
        asset: Asset {
            mint: trials::MINT,
            program: TokenProgram::Token,
            decimals: 6,
        },
    }
}

/// An instruction to a token program as a node tells it.
fn told(program: &str, kind: &str, info: &Value) -> Value {
    json!({ "programId": program, "program": "spl-token", "parsed": { "type": kind, "info": info }, "stackHeight": 2 })
}

fn info() -> Value {
    json!({
        "source": SOURCE.to_string(),
        "mint": trials::MINT.to_string(),
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

fn told_transfer() -> Value {
    told(TOKEN, "transferChecked", &info())
}

fn judged(inner: &[Value]) -> Result<Pubkey, Flaw> {
    let groups = json!([{ "index": 0, "instructions": [] }, { "index": 2, "instructions": inner }]);
    let groups: Vec<InnerInstructions> = serde_json::from_value(groups).unwrap();
    judge(&trials::listing(), &body(), AMOUNT, Some(&groups))
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
        inner.push(told_transfer());
        inner.extend(beside);
        assert_eq!(judged(&inner), Ok(VAULT));
    }
}

#[test]
fn a_node_that_shows_nothing_proves_nothing() {
    let unavailable = Err(SmartWalletFlaw::VerificationUnavailable.into());
    assert_eq!(judge(&trials::listing(), &body(), AMOUNT, None), unavailable);
    assert_eq!(
        judge(&trials::listing(), &body(), AMOUNT, Some(&[])),
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
        told_transfer(),
        transfer_with("tokenAmount", &json!({ "amount": "1" })),
        transfer_with("source", &json!(STRANGER.to_string())),
        told(TOKEN, "transfer", &info()),
        told(TOKEN, "burn", &json!({ "account": DESTINATION.to_string() })),
        told(TOKEN, "closeAccount", &json!({ "account": DESTINATION.to_string() })),
        told(TOKEN_2022, "transferCheckedWithFee", &info()),
        hidden,
    ];
    for other in others {
        for inner in [[told_transfer(), other.clone()], [other.clone(), told_transfer()]] {
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
    let by_the_recipient = transfer_with("authority", &json!(OWNER.to_string()));
    for (inner, account) in [(to_itself, DESTINATION), (by_the_recipient, OWNER)] {
        let account = account.to_string();
        assert_eq!(judged(&[inner]), Err(Flaw::SelfTransfer { account }));
    }
}

#[test]
fn none_of_ours_stands_in_anything_that_happens_inside() {
    for ours in ours().map(|ours| ours.to_string()) {
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
            for inner in [[told_transfer(), token.clone()], [token.clone(), told_transfer()]] {
                assert_eq!(judged(&inner), Err(expected.clone()), "{token}");
            }
        }
        let lamports = told(
            &programs::SYSTEM.to_string(),
            "transfer",
            &json!({ "source": ours, "lamports": 1 }),
        );
        let isolated = Err(SmartWalletFlaw::FeePayerNotIsolated.into());
        assert_eq!(judged(&[told_transfer(), lamports]), isolated);
    }
}
