//! What a node's answers mean for a payment.

use serde_json::{Value, json};
use solana_pubkey::Pubkey;

use super::super::listing::Asset;
use super::super::payload;
use super::super::programs::SYSTEM;
use super::super::trials::{Draft, MINT, MINT_2022, OURS, PAY_TO, PRICE, account, destination, listing, request};
use super::*;

const BLOCKS_MIN: u64 = 30;
const FRESH: Lifetime = Lifetime {
    height: 1_000,
    blocks_left: 120,
};

fn payment(draft: &Draft) -> (Authorization, Body) {
    let mut request = request(&draft.wire(), &json!({ "feePayer": account(OURS).to_string() }));
    request.terms.asset = draft.calls[2].accounts[1].address.to_string();
    request.offer.terms = request.terms.clone();
    let authorization = payload::decode(&listing(), &request).unwrap();
    let body = Body::decode(&authorization.body).unwrap();
    (authorization, body)
}

fn token_account(asset: &Asset, amount: u64) -> Account {
    let mut data = [asset.mint.as_ref(), &[5; 32], &amount.to_le_bytes()].concat();
    data.resize(TOKEN_ACCOUNT_BYTES, 0);
    Account {
        lamports: 2_039_280,
        owner: asset.program.id(),
        data,
    }
}

fn ran(err: &Value, logs: &[&str]) -> Trial {
    let simulated = json!({ "err": err, "logs": logs, "innerInstructions": null });
    Trial::Ran(serde_json::from_str(&simulated.to_string()).unwrap())
}

/// A payment that is in order.
fn good(body: &Body) -> Finding {
    Finding {
        trial: ran(&Value::Null, &[]),
        source: Some(token_account(&body.asset, 1_000_000)),
        destination: Some(token_account(&body.asset, 0)),
        mint: None,
        tables: Vec::new(),
        lifetime: FRESH,
    }
}

fn judged(authorization: &Authorization, body: &Body, finding: &Finding) -> Result<Facts, String> {
    facts(&listing(), authorization, body, finding, BLOCKS_MIN)
}

#[test]
fn a_payment_in_order_is_one_that_arrives_in_full() {
    let (authorization, body) = payment(&Draft::good());
    let facts = judged(&authorization, &body, &good(&body)).unwrap();
    assert_eq!(facts.flaw, None);
    assert_eq!(facts.height, FRESH.height);
    assert_eq!(facts.balance, Amount::from_units(1_000_000));
    assert_eq!(facts.authorization, AuthorizationState::Unused);
    let received = Amount::from_units(PRICE.into());
    assert_eq!(facts.transfer, Simulation::Succeeded { received });
    assert!(crate::domain::verdict::judge_facts(&authorization, &facts).is_ok());
}

/// An associated account may belong to somebody else by now, and a delegate signs for another's.
#[test]
fn whoever_owns_the_accounts_is_told_whatever_the_transaction_names() {
    let (authorization, body) = payment(&Draft::good());
    let owned_by = |owner: u8| {
        let mut account = token_account(&body.asset, 1_000_000);
        account.data[OWNER_AT..AMOUNT_AT].fill(owner);
        Some(account)
    };
    let name = |owner: u8| Pubkey::new_from_array([owner; 32]).to_string();
    let holders = |source, destination| {
        let finding = Finding {
            source,
            destination,
            ..good(&body)
        };
        judged(&authorization, &body, &finding).unwrap().holders
    };
    assert_eq!(holders(owned_by(7), owned_by(9)), [name(7), name(9)]);
    assert_eq!(holders(None, owned_by(9)), [name(9)]);
    let mut of_another = owned_by(7);
    of_another.as_mut().unwrap().owner = SYSTEM;
    assert_eq!(holders(of_another, None), [""; 0]);
}

#[test]
fn each_failure_is_told_by_what_failed() {
    let (authorization, body) = payment(&Draft::good());
    let said = [
        "Program X invoke [1]",
        "Program log: Error: insufficient funds",
        "Program X failed: 0x1",
    ];
    for (err, logs, expected) in [
        (
            json!({"InstructionError": [2, {"Custom": 1}]}),
            &said[..],
            r#"{"InstructionError":[2,{"Custom":1}]}, Error: insufficient funds"#,
        ),
        (
            json!({"InstructionError": [2, "InvalidAccountData"]}),
            &[],
            r#"{"InstructionError":[2,"InvalidAccountData"]}"#,
        ),
        (json!("ProgramAccountNotFound"), &[], r#""ProgramAccountNotFound""#),
        // Another's account may be short of rent, and that is not ours to fill up.
        (
            json!({"InsufficientFundsForRent": {"account_index": 1}}),
            &[],
            r#"{"InsufficientFundsForRent":{"account_index":1}}"#,
        ),
        (json!({}), &[], "{}"),
        (json!(7), &[], "7"),
    ] {
        let trial = ran(&err, logs);
        let facts = judged(&authorization, &body, &Finding { trial, ..good(&body) }).unwrap();
        let reason = expected.to_owned();
        assert_eq!((facts.transfer, facts.flaw), (Simulation::Failed { reason }, None));
        assert_eq!(facts.authorization, AuthorizationState::Unused);
    }
    let refused = Trial::Refused("failed to\ndeserialize".into());
    let facts = judged(
        &authorization,
        &body,
        &Finding {
            trial: refused,
            ..good(&body)
        },
    )
    .unwrap();
    let reason = "failed to deserialize".to_owned();
    assert_eq!(facts.transfer, Simulation::Failed { reason });
}

#[test]
fn what_is_not_the_payment_s_fault_is_not_held_against_it() {
    let (authorization, body) = payment(&Draft::good());
    let fee_payer = account(OURS).to_string();
    for (err, words) in [
        (json!("AccountNotFound"), fee_payer.as_str()),
        (json!("InsufficientFundsForFee"), &fee_payer),
        (json!("InvalidAccountForFee"), &fee_payer),
        (json!({"InsufficientFundsForRent": {"account_index": 0}}), &fee_payer),
        (json!("ClusterMaintenance"), "ClusterMaintenance"),
        (json!("AccountInUse"), "AccountInUse"),
        (json!("WouldExceedMaxBlockCostLimit"), "WouldExceedMaxBlockCostLimit"),
    ] {
        let trial = ran(&err, &[]);
        let cause = judged(&authorization, &body, &Finding { trial, ..good(&body) }).unwrap_err();
        assert!(cause.contains(words), "{cause}");
    }
}

#[test]
fn a_blockhash_must_be_known_and_good_for_long_enough() {
    let (authorization, body) = payment(&Draft::good());
    let known = ran(&Value::Null, &[]);
    let unknown = ran(&json!("BlockhashNotFound"), &[]);
    for (trial, blocks_left, is_flawed) in [
        (known.clone(), BLOCKS_MIN, false),
        (known, BLOCKS_MIN - 1, true),
        (unknown.clone(), 0, true),
        (unknown, 182, true),
    ] {
        let lifetime = Lifetime { blocks_left, ..FRESH };
        let finding = Finding {
            trial,
            lifetime,
            ..good(&body)
        };
        let facts = judged(&authorization, &body, &finding).unwrap();
        assert_eq!(facts.flaw, is_flawed.then_some(Flaw::BlockhashTooOld), "{blocks_left}");
    }
}

#[test]
fn a_transaction_in_a_block_is_used_whatever_else_is_wrong_with_it_by_now() {
    let (authorization, body) = payment(&Draft::good());
    let finding = Finding {
        trial: ran(&json!("AlreadyProcessed"), &[]),
        lifetime: Lifetime {
            blocks_left: 0,
            ..FRESH
        },
        source: None,
        ..good(&body)
    };
    let facts = judged(&authorization, &body, &finding).unwrap();
    assert_eq!((facts.authorization, facts.flaw), (AuthorizationState::Used, None));
}

#[test]
fn a_recipient_without_a_token_account_is_told_which_one_is_missing() {
    let (authorization, body) = payment(&Draft::good());
    let failed = || ran(&json!({"InstructionError": [2, "InvalidAccountData"]}), &[]);
    let account = token_account(&body.asset, 5);
    let of_other_mint = Account {
        data: [&[9; 32], &account.data[32..]].concat(),
        ..account.clone()
    };
    let funded_only = Account {
        owner: SYSTEM,
        data: Vec::new(),
        ..account.clone()
    };
    let of_other_program = Account {
        owner: Pubkey::new_from_array([9; 32]),
        ..account.clone()
    };
    let expected = Flaw::DestinationMissing {
        owner: PAY_TO.to_string(),
        mint: MINT.to_string(),
        account: destination(MINT, TokenProgram::Token).to_string(),
    };
    for (found, flaw) in [
        (None, Some(expected.clone())),
        (Some(funded_only), Some(expected.clone())),
        (Some(of_other_mint), Some(expected.clone())),
        (Some(of_other_program), Some(expected)),
        (Some(account), None),
    ] {
        let finding = Finding {
            trial: failed(),
            destination: found,
            ..good(&body)
        };
        assert_eq!(judged(&authorization, &body, &finding).unwrap().flaw, flaw);
    }
}

#[test]
fn a_payer_without_a_token_account_has_nothing() {
    let (authorization, body) = payment(&Draft::good());
    let finding = Finding {
        source: None,
        ..good(&body)
    };
    let facts = judged(&authorization, &body, &finding).unwrap();
    assert_eq!(facts.balance, Amount::ZERO);
}

#[test]
fn a_token_2022_mint_is_judged_as_it_is_now() {
    let (authorization, body) = payment(&Draft::paying(MINT_2022, TokenProgram::Token2022));
    let mint = |extension: Option<u16>| {
        let mut data = vec![0; 82];
        (data[44], data[45]) = (6, 1);
        if let Some(number) = extension {
            data.resize(165, 0);
            data.push(1);
            data.extend([number.to_le_bytes(), [0, 0]].concat());
        }
        let owner = TokenProgram::Token2022.id();
        Some(Account {
            lamports: 1,
            owner,
            data,
        })
    };
    for (mint, expected) in [
        (mint(None), None),
        (mint(Some(12)), None),
        (mint(Some(9)), Some("the mint's tokens cannot be transferred")),
        (None, Some("the mint does not exist any more")),
        (
            Some(Account {
                data: vec![0; 82],
                ..mint(None).unwrap()
            }),
            Some("the mint is no initialized mint"),
        ),
    ] {
        let finding = Finding { mint, ..good(&body) };
        let facts = judged(&authorization, &body, &finding).unwrap();
        match (facts.transfer, expected) {
            (Simulation::Succeeded { .. }, None) => {}
            (Simulation::Failed { reason }, Some(expected)) => assert_eq!(reason, expected),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn reasons_are_bounded_and_printable() {
    let long = format!("Program log: {}\u{7}", "x".repeat(1_000));
    let reason = reason(
        "\"Failed\"",
        &["Program log: earlier".into(), long, "Program data: AA==".into()],
    );
    assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
    assert!(reason.starts_with("\"Failed\", xxx"));
    assert_eq!(bounded("a\u{0}\r\nb"), "a   b");
}
