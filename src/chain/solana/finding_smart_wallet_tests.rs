//! What is particular to payments of smart wallets in what the chain says.

use serde_json::json;
use serde_json::value::RawValue;
use solana_message::v0::MessageAddressTableLookup;

use super::super::payload;
use super::super::programs;
use super::super::trials::{self, Call, Draft, account, call, reads, signs};
use super::*;

const WALLET: Pubkey = Pubkey::from_str_const("swigypWHEksbC64pWKwah1WTeh9JXwx8H1rJHLdbQMB");
const TABLE: Pubkey = Pubkey::new_from_array([20; 32]);
const VAULT: Pubkey = Pubkey::new_from_array([21; 32]);
const SOURCE: Pubkey = Pubkey::new_from_array([22; 32]);

fn listing() -> Listing {
    Listing {
        smart_wallets: true,
        ..trials::listing()
    }
}

/// A payment out of a wallet, which takes the second account of a lookup table.
fn authorization() -> Authorization {
    let accounts = vec![signs(account(trials::PAYER)), reads(VAULT)];
    let draft = Draft {
        calls: vec![Call {
            accounts,
            ..call(WALLET, [1])
        }],
        lookups: vec![MessageAddressTableLookup {
            account_key: TABLE,
            writable_indexes: vec![1],
            readonly_indexes: vec![],
        }],
        ..Draft::good()
    };
    payload::decode(&listing(), &draft.request()).unwrap()
}

fn destination() -> Pubkey {
    trials::destination(trials::MINT, TokenProgram::Token)
}

/// A trial that ended so, and in which this much was transferred.
fn trial(err: Option<&str>, amount: u64) -> Trial {
    let inner = json!([{ "index": 0, "instructions": [{
        "programId": programs::TOKEN.to_string(),
        "stackHeight": 2,
        "parsed": { "type": "transferChecked", "info": {
            "source": SOURCE.to_string(),
            "mint": trials::MINT.to_string(),
            "destination": destination().to_string(),
            "authority": VAULT.to_string(),
            "tokenAmount": { "amount": amount.to_string(), "decimals": 6 },
        } },
    }] }]);
    let raw = |text: String| RawValue::from_string(text).unwrap();
    Trial::Ran(Simulated {
        err: err.map(|err| raw(err.to_owned())),
        logs: None,
        inner: Some(raw(inner.to_string())),
    })
}

/// An account of a program: a token account where it holds the mint, a lookup table of these where it is one.
fn held(owner: Pubkey, data: Vec<u8>) -> Account {
    Account {
        lamports: 1,
        owner,
        data,
    }
}

fn token_account() -> Account {
    let mut data = vec![0; TOKEN_ACCOUNT_BYTES];
    data[..32].copy_from_slice(trials::MINT.as_ref());
    held(programs::TOKEN, data)
}

fn table(entries: [Pubkey; 2]) -> Account {
    let mut data = vec![0; 56];
    data[0] = 1;
    data[4..12].fill(0xff);
    data.extend(entries.iter().flat_map(Pubkey::to_bytes));
    let program = Pubkey::from_str_const("AddressLookupTab1e1111111111111111111111111");
    held(program, data)
}

fn finding(trial: Trial) -> Finding {
    Finding {
        trial,
        source: None,
        destination: Some(token_account()),
        mint: None,
        tables: vec![Some(table([VAULT, SOURCE]))],
        lifetime: Lifetime {
            height: 100,
            blocks_left: 100,
        },
    }
}

fn facts_of(finding: &Finding) -> Facts {
    let authorization = authorization();
    let body = Body::decode(&authorization.body).unwrap();
    facts(&listing(), &authorization, &body, finding, 30).unwrap()
}

#[test]
fn who_pays_is_what_the_trial_shows() {
    let facts = facts_of(&finding(trial(None, trials::PRICE)));
    let received = Amount::from_units(trials::PRICE.into());
    assert_eq!(facts.payer, Some(VAULT.to_string()));
    assert_eq!(facts.flaw, None);
    assert_eq!(facts.transfer, Simulation::Succeeded { received });
    assert_eq!(facts.authorization, AuthorizationState::Unused);
}

#[test]
fn what_a_trial_does_not_show_is_not_paid() {
    let silent = |inner: Option<&str>| {
        let inner = inner.map(|text| RawValue::from_string(text.to_owned()).unwrap());
        Trial::Ran(Simulated {
            err: None,
            logs: None,
            inner,
        })
    };
    let cases = [
        (trial(None, 1), SmartWalletFlaw::TransferMismatch),
        (silent(None), SmartWalletFlaw::VerificationUnavailable),
        (silent(Some("{}")), SmartWalletFlaw::VerificationUnavailable),
        (silent(Some("[]")), SmartWalletFlaw::NoTransfer),
    ];
    for (trial, expected) in cases {
        let facts = facts_of(&finding(trial));
        assert_eq!(facts.flaw, Some(expected.into()));
        assert_eq!(facts.payer, None);
    }
}

#[test]
fn a_trial_that_fails_says_why() {
    let failed = r#"{"InstructionError":[0,{"Custom":1}]}"#;
    let expected = SmartWalletFlaw::SimulationFailed { reason: failed.into() };
    let facts = facts_of(&finding(trial(Some(failed), trials::PRICE)));
    assert_eq!(facts.flaw, Some(expected.into()));
    assert_eq!(facts.payer, None);

    let forgotten = facts_of(&finding(trial(Some(r#""BlockhashNotFound""#), trials::PRICE)));
    assert_eq!(forgotten.flaw, Some(Flaw::BlockhashTooOld));

    let used = facts_of(&finding(trial(Some(r#""AlreadyProcessed""#), trials::PRICE)));
    assert_eq!((used.flaw, used.authorization), (None, AuthorizationState::Used));
}

#[test]
fn tables_are_resolved_and_hold_none_of_ours() {
    let good = finding(trial(None, trials::PRICE));
    let unresolved = Flaw::LookupTableUnresolved {
        table: TABLE.to_string(),
    };
    let isolated = Flaw::from(SmartWalletFlaw::FeePayerNotIsolated);
    let cases = [
        (None, unresolved),
        (Some(table([SOURCE, account(trials::OURS)])), isolated.clone()),
        (Some(table([SOURCE, account(trials::RETIRED)])), isolated),
    ];
    for (table, expected) in cases {
        let tables = vec![table];
        let finding = Finding { tables, ..good.clone() };
        assert_eq!(facts_of(&finding).flaw, Some(expected));
    }
    // What the transaction does not take from the table makes no difference.
    let beside = vec![Some(table([account(trials::OURS), SOURCE]))];
    let finding = Finding { tables: beside, ..good };
    assert_eq!(facts_of(&finding).flaw, None);
}

#[test]
fn the_recipient_must_have_an_account_also_where_the_wallet_would_make_one() {
    let finding = Finding {
        destination: None,
        ..finding(trial(None, trials::PRICE))
    };
    let flaw = facts_of(&finding).flaw;
    assert!(matches!(flaw, Some(Flaw::DestinationMissing { .. })), "{flaw:?}");
}
