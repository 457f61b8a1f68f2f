//! The shapes are those of surfpool 1.5.0 (agave's own encoder), taken from a trial of a program that hands a
//! `TransferChecked` of 1,000 units on; the compiled data is what the chain recorded of the same transfer.

use serde_json::json;

use super::*;

const SOURCE: &str = "6Ckm2BrnXxsSjyG5b17kQQRjoECVrts92RKXVGT8XeqS";
const MINT: &str = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU";
const DESTINATION: &str = "pxSA3CMhcBmwWpRaRV3gMpLsKe51fJnfTUE9iAqvkRK";
const VAULT: &str = "tg8WLQUZS5ySX1zfKKUpU5LsoA8Ku6t7fegbirUL41P";
const MEMBER: &str = "C3mFiviq31WkUjUh6tXxeS4ySueED8mYzfXBtGoheuR";
const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
/// 12, then 1,000 in 8 bytes, then 6.
const DATA: &str = "j4EYRhtmbmRQq";

fn read(instruction: Value) -> InnerInstruction {
    serde_json::from_value(instruction).unwrap()
}

fn expected() -> TransferChecked {
    TransferChecked {
        source: SOURCE.parse().unwrap(),
        mint: MINT.parse().unwrap(),
        destination: DESTINATION.parse().unwrap(),
        authority: VAULT.parse().unwrap(),
        amount: Amount::from_units(1000),
    }
}

/// As told of a transfer whose authority stands under this key.
fn parsed(authority: &str) -> Value {
    json!({
        "program": "spl-token",
        "programId": TOKEN,
        "stackHeight": 2,
        "parsed": {
            "type": "transferChecked",
            "info": {
                "source": SOURCE,
                "mint": MINT,
                "destination": DESTINATION,
                authority: VAULT,
                "signers": [MEMBER],
                "tokenAmount": { "amount": "1000", "decimals": 6, "uiAmount": 0.001, "uiAmountString": "0.001" },
            },
        },
    })
}

fn unparsed(data: &str) -> Value {
    json!({
        "programId": TOKEN,
        "accounts": [SOURCE, MINT, DESTINATION, VAULT, MEMBER],
        "data": data,
        "stackHeight": null,
    })
}

#[test]
fn a_transfer_is_read_in_words_and_in_bytes() {
    for told in [parsed("authority"), parsed("multisigAuthority"), unparsed(DATA)] {
        assert_eq!(read(told.clone()).transfer_checked(), Some(expected()), "{told}");
    }
}

#[test]
fn what_is_not_a_transfer_in_words_is_none() {
    let mut cases = vec![
        json!("a memo"),
        json!({}),
        json!([]),
        json!({ "type": "transferChecked" }),
    ];
    for (key, value) in [
        ("type", json!("transfer")),
        ("type", json!("transferCheckedWithFee")),
        ("type", json!(null)),
    ] {
        let mut other = parsed("authority")["parsed"].clone();
        other[key] = value;
        cases.push(other);
    }
    for key in ["source", "mint", "destination", "authority", "tokenAmount"] {
        for value in [
            json!(null),
            json!(7),
            json!("not an address"),
            json!({ "amount": "-1" }),
        ] {
            let mut other = parsed("authority")["parsed"].clone();
            other["info"][key] = value;
            cases.push(other);
        }
    }
    for case in cases {
        // Even with accounts and data that would be one: a node does not tell an instruction twice.
        let mut told = unparsed(DATA);
        told["parsed"] = case;
        assert_eq!(read(told.clone()).transfer_checked(), None, "{told}");
    }
}

#[test]
fn only_ten_bytes_that_begin_with_twelve_are_a_transfer() {
    let others = [
        ("nothing", ""),
        ("a zero", "1"),
        ("12 alone", "D"),
        ("one byte too few", "AXe43Rfv9nQf"),
        ("one byte too many", "4CdGmi3VVrT4kAs"),
        ("a plain transfer", "3tGNFMqHiozw"),
        ("ten bytes that begin with 3", "DjGpnNx8oYShT"),
        ("ten bytes that begin with 13", "nKEHijzqguJpm"),
        ("a zero in front", "1j4EYRhtmbmRQq"),
        ("other characters", "j4EYRhtmbmRQ0"),
        ("a number of more than 16 bytes", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"),
    ];
    for (name, data) in others {
        assert_eq!(read(unparsed(data)).transfer_checked(), None, "{name}");
    }
    let mut short = unparsed(DATA);
    short["accounts"] = json!([SOURCE, MINT, DESTINATION]);
    assert_eq!(read(short).transfer_checked(), None);
    let mut wrong = unparsed(DATA);
    wrong["accounts"][3] = json!("not an address");
    assert_eq!(read(wrong).transfer_checked(), None);
}

#[test]
fn every_amount_survives() {
    // base58 of 12, the amount, 6: for 0, 1, 2^63 and 2^64-1.
    let cases = [
        (0, "g6wxXSFr4ddxH"),
        (1, "g7gn3dpVguJSh"),
        (1 << 63, "g6wxXSFr4dohF"),
        (u64::MAX, "jMwhpUMv9mXHo"),
    ];
    for (amount, data) in cases {
        let transfer = read(unparsed(data)).transfer_checked().unwrap();
        assert_eq!(transfer.amount, Amount::from_units(amount.into()));
    }
}

#[test]
fn an_account_is_found_in_every_role() {
    for told in [parsed("authority"), unparsed(DATA)] {
        let instruction = read(told);
        for named in [SOURCE, MINT, DESTINATION, VAULT, MEMBER, TOKEN] {
            assert!(instruction.names(named), "{named}");
        }
        assert!(!instruction.names("11111111111111111111111111111111"));
    }
}
