//! Several rules broken at once: which of them is named, and which send a payment to the smart wallets' rules.

use serde_json::json;
use solana_message::v0::MessageAddressTableLookup;

use super::*;
use crate::chain::solana::programs::SYSTEM;
use crate::chain::solana::trials::{
    Draft, MINT_OTHER, OURS, PAY_TO, STRANGER, account, call, compute_limit, compute_price, listing, memo, reads,
    signs, writes,
};

/// Changes a good payment.
type Change = fn(&mut Draft);

fn refusal(draft: &Draft) -> Refused {
    decode(&listing(), &draft.request()).unwrap_err()
}

fn lookup() -> MessageAddressTableLookup {
    MessageAddressTableLookup {
        account_key: MINT_OTHER,
        writable_indexes: vec![0],
        readonly_indexes: vec![],
    }
}

/// Of all rules broken the first in the reference's order is named: every change here breaks a rule that comes before
/// those broken so far.
#[test]
fn rules_are_applied_in_the_references_order() {
    let steps: [(&str, Change); 15] = [
        ("DecimalsMismatch", |it| it.calls[2].data[9] = 9),
        ("FeePayerExposed", |it| it.calls[0].accounts.push(reads(account(OURS)))),
        ("UnknownInstruction", |it| it.calls.push(call(SYSTEM, []))),
        ("AmountMismatch", |it| it.calls[2].data[1] ^= 1),
        ("DestinationMismatch", |it| it.calls[2].accounts[2] = writes(PAY_TO)),
        ("MintMismatch", |it| it.calls[2].accounts[1] = reads(MINT_OTHER)),
        ("FeePayerTransfers", |it| it.calls[2].accounts[3] = signs(account(OURS))),
        ("NoTransfer", |it| it.calls[2].data.push(0)),
        ("ComputePriceTooHigh", |it| it.calls[1] = compute_price(u64::MAX)),
        ("ComputeLimitTooHigh", |it| it.calls[0] = compute_limit(u32::MAX)),
        ("InstructionCount", |it| it.calls.extend(["a", "b", "c"].map(memo))),
        ("LookupTables", |it| it.lookups = vec![lookup()]),
        ("SignatureInvalid", |it| it.idle = vec![signs(account(STRANGER))]),
        ("FeePayerMismatch", |it| it.fee_payer = account(STRANGER)),
        ("TooManySigners", |it| {
            it.idle.extend([5, 6].map(|seed| signs(account(seed))));
        }),
    ];
    let mut draft = Draft::good();
    for (expected, change) in steps {
        change(&mut draft);
        let found = format!("{:?}", refusal(&draft));
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let mut request = draft.request();
    request.proof.0 = json!({ "transaction": "garbage" }).to_string().into();
    let found = decode(&listing(), &request).unwrap_err();
    assert!(matches!(
        found,
        Refused::Rejected(Rejection::Flawed(Flaw::Undecodable { .. }))
    ));
    request.terms.extra = Some(json!({ "feePayer": PAY_TO.to_string() }).to_string().into());
    let found = decode(&listing(), &request).unwrap_err();
    assert!(matches!(
        found,
        Refused::Rejected(Rejection::Flawed(Flaw::FeePayerUnknown { .. }))
    ));
}

#[test]
fn only_a_layout_sends_a_payment_to_the_smart_wallets_rules() {
    let layout: [Change; 5] = [
        |it| it.calls.truncate(2),
        |it| it.calls[0] = memo("x"),
        |it| it.calls[2].data[0] = 3,
        |it| it.calls.push(call(SYSTEM, [])),
        |it| it.lookups = vec![lookup()],
    ];
    let other: [Change; 4] = [
        |it| it.calls[0] = compute_limit(400_001),
        |it| it.calls[2].accounts[3] = signs(account(OURS)),
        |it| it.calls[2].accounts[2] = writes(PAY_TO),
        |it| it.keys.clear(),
    ];
    for (changes, expected) in [(&layout[..], true), (&other[..], false)] {
        for (number, change) in changes.iter().enumerate() {
            let mut draft = Draft::good();
            change(&mut draft);
            match refusal(&draft) {
                Refused::Rejected(Rejection::Flawed(flaw)) => assert_eq!(layout_failed(&flaw), expected, "{number}"),
                refused @ (Refused::Malformed(_) | Refused::Rejected(_)) => panic!("{number}: {refused}"),
            }
        }
    }
}
