//! What a key may sign, and what it may not though it got as far as this.

use super::super::payload;
use super::super::trials::{
    Draft, MINT, OURS, PAY_TO, PAYER, PRICE, RETIRED, STRANGER, account, compute_price, listing, memo, signs,
};
use super::*;
use crate::domain::amount::Amount;

/// A good payment, as it is on record.
fn recorded() -> (Authorization, Body) {
    let authorization = payload::decode(&listing(), &Draft::good().request()).unwrap();
    let body = Body::decode(&authorization.body).unwrap();
    (authorization, body)
}

/// The record with the transaction of another draft.
fn with(change: impl Fn(&mut Draft)) -> (Authorization, Body) {
    let (authorization, body) = recorded();
    let mut draft = Draft::good();
    change(&mut draft);
    let transaction = Transaction::parse(&draft.wire()).unwrap();
    (authorization, Body { transaction, ..body })
}

fn refused((authorization, body): (Authorization, Body)) -> String {
    let judged = Policy::of(&listing()).payment(&account(OURS), &authorization, body);
    judged
        .err()
        .map_or("nothing".to_owned(), |forbidden| forbidden.to_string())
}

#[test]
fn a_payment_that_passes_the_rules_is_allowed() {
    let (authorization, body) = recorded();
    let message = body.transaction.message_bytes().to_vec();
    let allowed = Policy::of(&listing()).payment(&account(OURS), &authorization, body);
    let allowed = allowed.unwrap_or_else(|forbidden| panic!("{forbidden}"));
    assert_eq!(allowed.allowed().message(), message, "of these very bytes");
}

#[test]
fn what_does_not_pass_them_any_more_is_not() {
    for (what, record) in [
        ("another fee payer", with(|it| it.fee_payer = account(RETIRED))),
        ("who has not signed", with(|it| it.keys.clear())),
        (
            "so many signatures",
            with(|it| it.idle = [5, 6].map(|seed| signs(account(seed))).to_vec()),
        ),
        ("a dearer price", with(|it| it.calls[1] = compute_price(u64::MAX))),
        (
            "the fee payer in the transfer",
            with(|it| it.calls[2].accounts[3] = signs(account(OURS))),
        ),
        (
            "the fee payer in a memo",
            with(|it| {
                let mut exposed = memo("?");
                exposed.accounts.push(signs(account(OURS)));
                it.calls.push(exposed);
            }),
        ),
    ] {
        assert!(refused(record).starts_with("the key's policy does not allow"), "{what}");
    }
    let (mut authorization, body) = recorded();
    authorization.amount = Amount::from_units(1);
    assert!(
        refused((authorization, body)).contains("atomic units"),
        "another amount than is on record"
    );
    let (authorization, body) = recorded();
    let mut narrow = listing();
    narrow.assets.clear();
    let judged = Policy::of(&narrow).payment(&account(OURS), &authorization, body);
    assert!(judged.is_err(), "a token that is not configured any more");
}

#[test]
fn a_refund_is_the_wallets_own_transfer_with_a_fee_payer_of_ours() {
    let draft = Draft::good();
    let transaction = Transaction::parse(&draft.wire()).unwrap();
    let asked = Asked {
        fee_payer: account(OURS),
        asset: MINT,
        pay_to: PAY_TO,
        amount: Amount::from_units(PRICE.into()),
        memo: None,
    };
    let listing = listing();
    let policy = Policy::of(&listing);
    assert!(policy.refund(&account(PAYER), &asked, &transaction).is_ok());
    assert!(
        policy.refund(&account(STRANGER), &asked, &transaction).is_err(),
        "another wallet"
    );
    let others = [
        Asked {
            amount: Amount::from_units(1),
            ..asked.clone()
        },
        Asked {
            pay_to: account(STRANGER),
            ..asked.clone()
        },
        Asked {
            fee_payer: account(STRANGER),
            ..asked.clone()
        },
        Asked {
            memo: Some("refund".into()),
            ..asked.clone()
        },
    ];
    for other in others {
        assert!(
            policy.refund(&account(PAYER), &other, &transaction).is_err(),
            "{other:?}"
        );
    }
}

#[test]
fn what_is_signed_at_start_is_no_transaction() {
    let listing = listing();
    let allowed = Policy::of(&listing).trial();
    let wire = [&[1][..], &[0; 64], allowed.message()].concat();
    assert!(Transaction::parse(&wire).is_err());
}
