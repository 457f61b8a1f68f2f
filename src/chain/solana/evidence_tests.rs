//! What balances and inner instructions prove.

use serde_json::{Value, json};

use super::super::programs::TOKEN;
use super::super::settings::TokenProgram;
use super::*;

const MINT: Pubkey = Pubkey::from_str_const("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU");
const OTHER: Pubkey = Pubkey::from_str_const("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v");

/// The account with this number; the destination is the third.
fn account(number: u8) -> Pubkey {
    Pubkey::new_from_array([number; 32])
}

fn target(transfer: Option<u64>) -> Target {
    Target {
        keys: (0..6).map(account).chain([TOKEN]).collect(),
        transfer,
        asset: Asset {
            mint: MINT,
            program: TokenProgram::Token,
            decimals: 6,
        },
        destination: account(2),
        amount: 10,
    }
}

fn balance(index: usize, mint: Pubkey, amount: &str) -> Value {
    json!({
        "accountIndex": index, "mint": mint.to_string(), "owner": account(9).to_string(), "programId": TOKEN.to_string(),
        "uiTokenAmount": { "amount": amount, "decimals": 6, "uiAmount": 0.1, "uiAmountString": "0.1" },
    })
}

fn meta(pre: &[Value], post: &[Value]) -> Value {
    json!({
        "err": null, "fee": 10_005, "logMessages": [], "status": { "Ok": null },
        "preTokenBalances": pre, "postTokenBalances": post,
        "loadedAddresses": { "writable": [], "readonly": [] }, "innerInstructions": [],
    })
}

fn read(meta: &Value) -> Meta {
    serde_json::from_value(meta.clone()).unwrap()
}

#[test]
fn only_exactly_the_amount_in_the_recipients_account_is_an_arrival() {
    let held = |amount| balance(2, MINT, amount);
    let max = u64::MAX.to_string();
    let table = [
        (vec![held("5")], vec![held("15")], Arrival::Exact { index: 2 }),
        (vec![], vec![held("10")], Arrival::Exact { index: 2 }),
        (vec![held("5")], vec![held("14")], Arrival::Otherwise),
        (vec![held("5")], vec![held("16")], Arrival::Otherwise),
        (vec![held("5")], vec![held("5")], Arrival::Otherwise),
        (vec![held("15")], vec![held("5")], Arrival::Otherwise),
        (vec![held("5")], vec![], Arrival::Otherwise),
        (vec![], vec![], Arrival::Otherwise),
        (vec![held(&max)], vec![held("9")], Arrival::Otherwise),
        // Somebody else's account, and another token.
        (
            vec![balance(1, MINT, "5")],
            vec![balance(1, MINT, "15")],
            Arrival::Otherwise,
        ),
        (
            vec![balance(2, OTHER, "5")],
            vec![balance(2, OTHER, "15")],
            Arrival::Otherwise,
        ),
        (
            vec![balance(1, MINT, "90"), held("0")],
            vec![balance(1, MINT, "80"), held("10")],
            Arrival::Exact { index: 2 },
        ),
    ];
    for (pre, post, expected) in table {
        assert_eq!(
            target(Some(2)).arrival(&read(&meta(&pre, &post))),
            expected,
            "{pre:?} {post:?}"
        );
    }
}

#[test]
fn a_node_that_shows_no_balances_says_nothing() {
    for missing in ["preTokenBalances", "postTokenBalances"] {
        let mut meta = meta(&[], &[balance(2, MINT, "10")]);
        meta[missing] = Value::Null;
        assert_eq!(target(Some(2)).arrival(&read(&meta)), Arrival::Untold);
        meta.as_object_mut().unwrap().remove(missing);
        assert_eq!(target(Some(2)).arrival(&read(&meta)), Arrival::Untold);
    }
}

#[test]
fn a_recipient_out_of_a_lookup_table_stands_behind_the_transactions_own_accounts() {
    let mut target = target(Some(1));
    target.destination = account(42);
    for (loaded, index) in [
        (
            json!({ "writable": [account(41).to_string(), account(42).to_string()], "readonly": [] }),
            8,
        ),
        (
            json!({ "writable": [account(41).to_string()], "readonly": [account(42).to_string()] }),
            8,
        ),
    ] {
        let mut meta = meta(&[], &[balance(index, MINT, "10")]);
        meta["loadedAddresses"] = loaded;
        assert_eq!(target.arrival(&read(&meta)), Arrival::Exact { index: 1 });
    }
    let meta = meta(&[], &[balance(8, MINT, "10")]);
    assert_eq!(target.arrival(&read(&meta)), Arrival::Otherwise);
}

#[test]
fn a_smart_wallets_transfer_is_found_among_what_its_programs_called() {
    let inner = |program: usize, accounts: [usize; 4]| json!({ "programIdIndex": program, "accounts": accounts, "data": "g", "stackHeight": 2 });
    let table = [
        (json!([]), 0),
        (Value::Null, 0),
        (json!([{ "index": 3, "instructions": [inner(6, [1, 4, 2, 3])] }]), 3),
        (
            json!([
                { "index": 1, "instructions": [inner(6, [1, 4, 5, 3]), inner(5, [1, 4, 2, 3])] },
                { "index": 4, "instructions": [inner(5, [0, 0, 0, 0]), inner(6, [1, 4, 2, 3])] },
            ]),
            4,
        ),
    ];
    for (inner, index) in table {
        let mut meta = meta(&[], &[balance(2, MINT, "10")]);
        meta["innerInstructions"] = inner;
        assert_eq!(target(None).arrival(&read(&meta)), Arrival::Exact { index });
    }
}

#[test]
fn a_failure_is_anything_but_null() {
    let mut meta = meta(&[], &[]);
    assert!(!read(&meta).is_failed);
    meta["err"] = json!({ "InstructionError": [2, { "Custom": 1 }] });
    assert!(read(&meta).is_failed);
    assert_eq!(read(&meta).fee, 10_005);
}
