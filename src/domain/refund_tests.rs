//! Which transfer pays which refund, what can be refunded, and what names an attempt.

use super::*;
use crate::domain::rail::ChainPoint;
use crate::domain::reconciliation::Account;

fn id(n: u128) -> RefundId {
    RefundId::from_uuid(uuid::Uuid::from_u128(n))
}

fn awaited(n: u128, amount: u128, claimed: Option<&str>) -> Awaited {
    Awaited {
        id: id(n),
        recipient: "payer".to_owned(),
        amount: Amount::from_units(amount),
        claimed: claimed.map(|tx| TxId(tx.to_owned())),
        after: 5,
    }
}

fn debit(tx: &str, height: u64, amount: u128) -> Transfer {
    Transfer {
        account: Account {
            asset: "asset".to_owned(),
            holder: "merchant".to_owned(),
        },
        direction: Direction::Debit,
        counterparty: Some("payer".to_owned()),
        amount: Amount::from_units(amount),
        tx: TxId(tx.to_owned()),
        index: 3,
        block: ChainPoint {
            height,
            hash: format!("hash{height}"),
            time: Timestamp(height),
        },
        authorizer: None,
        nonce: None,
        memo: None,
        sender: "merchant".to_owned(),
    }
}

type Change = fn(&mut Transfer);

#[test]
fn a_transfer_pays_a_refund_if_it_is_the_same_and_later() {
    let refund = awaited(1, 7, None);
    let pays = |change: fn(&mut Transfer)| {
        let mut transfer = debit("tx", 6, 7);
        change(&mut transfer);
        refund.paid_by(&transfer).map_err(|it| it.state)
    };
    let cases: [(Change, Result<(), State>); 6] = [
        (|_| {}, Ok(())),
        (|it| it.block.height = 5, Err(State::StatusMismatch)),
        (|it| it.direction = Direction::Credit, Err(State::StatusMismatch)),
        (
            |it| it.counterparty = Some("another".to_owned()),
            Err(State::PartyMismatch),
        ),
        (|it| it.counterparty = None, Err(State::PartyMismatch)),
        (|it| it.amount = Amount::from_units(8), Err(State::AmountMismatch)),
    ];
    for (change, expected) in cases {
        assert_eq!(pays(change), expected);
    }
    let claimed = awaited(1, 7, Some("claimed"));
    assert_eq!(claimed.paid_by(&debit("claimed", 6, 7)), Ok(()));
    assert!(claimed.paid_by(&debit("another", 6, 7)).is_err());
}

/// Which refund is paid by which transaction, and which claims are belied, and as what.
type Made = (Vec<(u128, String)>, Vec<(u128, State)>);

fn made(pairs: &[(Awaited, Transfer)]) -> Made {
    let number = |id: &RefundId| id.as_uuid().as_u128();
    let matching = matched(pairs);
    let paid = matching.paid.iter().map(|(id, it)| (number(id), it.tx.0.clone()));
    let belied = matching.belied.iter().map(|(id, it)| (number(id), it.state));
    (paid.collect(), belied.collect())
}

#[test]
fn claims_come_first_then_the_oldest_and_a_transfer_is_used_once() {
    let all = |refunds: &[Awaited], transfers: &[Transfer]| {
        let pairs = transfers
            .iter()
            .flat_map(|transfer| refunds.iter().map(|refund| (refund.clone(), transfer.clone())));
        let named = |(refund, transfer): &(Awaited, Transfer)| {
            refund.claimed.as_ref().is_none_or(|claimed| *claimed == transfer.tx)
        };
        made(&pairs.filter(named).collect::<Vec<_>>())
    };
    let text = |n: u128, tx: &str| (n, tx.to_owned());
    let (old, young, claiming) = (awaited(1, 7, None), awaited(2, 7, None), awaited(3, 7, Some("a")));
    let (a, b) = (debit("a", 6, 7), debit("b", 7, 7));
    assert_eq!(all(&[], &[]), (vec![], vec![]));
    assert_eq!(
        all(&[young.clone(), old.clone()], std::slice::from_ref(&b)).0,
        [text(1, "b")]
    );
    assert_eq!(
        all(&[young.clone(), old.clone()], &[b.clone(), a.clone()]).0,
        [text(1, "a"), text(2, "b")]
    );
    let three = all(&[old, young, claiming.clone()], &[a.clone(), b]);
    assert_eq!(three, (vec![text(3, "a"), text(1, "b")], vec![]));
    let second = awaited(4, 7, Some("a"));
    assert_eq!(
        all(&[claiming, second], std::slice::from_ref(&a)),
        (vec![text(3, "a")], vec![(4, State::Duplicate)])
    );
    let more = awaited(5, 8, Some("a"));
    assert_eq!(
        all(std::slice::from_ref(&more), std::slice::from_ref(&a)),
        (vec![], vec![(5, State::AmountMismatch)])
    );
    let mut other = debit("a", 6, 8);
    other.index = 9;
    assert_eq!(
        all(&[more], &[a, other]),
        (vec![text(5, "a")], vec![]),
        "one of several"
    );
}

#[test]
fn a_purpose_survives_its_name_and_no_callers_key_is_one() {
    let purpose = Purpose {
        refund: RefundId::mint(),
        payment: PaymentId::mint(),
        attempt: 12,
    };
    let name = purpose.reference();
    assert!(name.value.len() <= 255);
    assert_eq!(Purpose::of(std::slice::from_ref(&name)), Some(purpose));
    assert!(name.value.contains(' '), "which a caller's key never does");
    let identifier = PaymentReference {
        kind: ReferenceKind::PaymentIdentifier,
        ..name
    };
    assert_eq!(Purpose::of(&[identifier]), None);
    assert_eq!(Purpose::of(&[]), None);
}

#[test]
fn only_what_is_final_and_no_refund_itself_is_refunded() {
    let landed = Landed {
        tx: TxId("tx".to_owned()),
        log_index: 1,
        block: debit("tx", 4, 1).block,
        is_deep_enough: true,
        is_final: true,
    };
    let confirmed = Settlement::Confirmed {
        landed: landed.clone(),
        tx: None,
    };
    let done = Settlement::Final { landed };
    assert!(refundable(&done, &[]).is_ok());
    for open in [Settlement::Reserved, confirmed, Settlement::Withdrawn] {
        assert_eq!(refundable(&open, &[]), Err(Refusal::NotFinal));
    }
    let purpose = Purpose {
        refund: RefundId::mint(),
        payment: PaymentId::mint(),
        attempt: 1,
    };
    assert_eq!(refundable(&done, &[purpose.reference()]), Err(Refusal::IsRefund));
}

#[test]
fn two_requests_are_the_same_only_if_all_of_them_is() {
    let asked = Asked {
        payment: PaymentId::mint(),
        amount: Amount::from_units(7),
        reason: Note::new("damaged"),
        merchant_reference: Label::new("R-7"),
        by: PaidBy::Merchant(None),
    };
    assert_eq!(asked.digest(), asked.clone().digest());
    let others = [
        Asked {
            payment: PaymentId::mint(),
            ..asked.clone()
        },
        Asked {
            amount: Amount::from_units(8),
            ..asked.clone()
        },
        Asked {
            reason: None,
            ..asked.clone()
        },
        Asked {
            merchant_reference: Label::new("R-8"),
            ..asked.clone()
        },
        Asked {
            by: PaidBy::Merchant(claimed("0x1")),
            ..asked.clone()
        },
        Asked {
            by: PaidBy::Us,
            ..asked.clone()
        },
    ];
    for other in others {
        assert_ne!(asked.digest(), other.digest());
    }
}

#[test]
fn a_transaction_is_claimed_as_records_write_it() {
    assert_eq!(claimed("0xABcd"), Some(TxId("0xabcd".to_owned())));
    assert_eq!(claimed("5VerLong"), Some(TxId("5VerLong".to_owned())));
    for bad in ["", "0x 1", "é", &"a".repeat(129)] {
        assert_eq!(claimed(bad), None, "{bad}");
    }
    for bad in ["", "  ", "a\nb", &"x".repeat(501)] {
        assert_eq!(Note::new(bad), None, "{bad}");
    }
    assert!(Note::new("zurück, weil kaputt").is_some());
}

#[test]
fn an_attempts_nonce_is_as_it_is_written_down() {
    let of = |refund, attempt| {
        Repayment {
            refund,
            attempt,
            wallet: "",
            recipient: "",
            asset: "",
            amount: Amount::ZERO,
            signer: "",
            now: Timestamp(0),
        }
        .nonce()
    };
    let refund: RefundId = "rfd_01kaf4rza2e38v79e6wbw02jwx".parse().unwrap();
    assert_ne!(of(refund, 1), of(refund, 2));
    assert_ne!(of(refund, 1), of(RefundId::mint(), 1));
    let bytes = [
        &b"x402 refund"[..],
        refund.as_uuid().as_bytes(),
        &[0, 0, 0, 0, 0, 0, 0, 1],
    ]
    .concat();
    assert_eq!(of(refund, 1)[..], Sha256::digest(bytes)[..]);
}
