//! Statements that follow one another and close against the chain.

use super::*;

fn account() -> Account {
    Account {
        network: "eip155:8453".parse().unwrap(),
        asset: "0xAsset".into(),
        pay_to: "0xMerchant".into(),
    }
}

const DAY: Period = Period {
    starts: Timestamp(86_400),
    ends: Timestamp(172_800),
};

const NEXT_DAY: Period = Period {
    starts: DAY.ends,
    ends: Timestamp(259_200),
};

fn id(number: u128) -> StatementId {
    StatementId::from_uuid(uuid::Uuid::from_u128(number))
}

fn point(height: u64, time: u64) -> ChainPoint {
    ChainPoint {
        height,
        hash: format!("0xb{height}"),
        time: Timestamp(time),
    }
}

/// A payment that cost 2 of gas, and whose transfer was not seen.
fn entry(number: u64, amount: u128, time: u64) -> Entry {
    Entry {
        line: Line {
            payment: PaymentId::from_uuid(uuid::Uuid::from_u128(u128::from(number))),
            refund: None,
            amount: Amount::from_units(amount),
            tx: TxId(format!("0x{number}")),
            log_index: number,
            block: point(number, time),
        },
        counted: None,
        gas: Amount::from_units(2),
    }
}

fn seen(number: u64, amount: u128, time: u64) -> Entry {
    Entry {
        counted: Some(Amount::from_units(amount)),
        ..entry(number, amount, time)
    }
}

fn shown(credits: u128, debits: u128, opening: Option<u128>, closing: Option<u128>) -> Shown {
    Shown {
        credits: Amount::from_units(credits),
        debits: Amount::from_units(debits),
        held: Bounds {
            opening: opening.map(Amount::from_units),
            closing: closing.map(|units| Balance {
                block: point(9, DAY.ends.0 - 1),
                amount: Amount::from_units(units),
            }),
        },
    }
}

fn first(entries: &[Entry], shown: Shown) -> Statement {
    Statement::close(id(1), account(), None, DAY, entries, shown).unwrap()
}

fn second(before: &Statement, entries: &[Entry], shown: Shown) -> Statement {
    Statement::close(id(2), account(), Some(before), NEXT_DAY, entries, shown).unwrap()
}

/// Opening, credits, late credits, other credits, debits, unexplained, closing.
fn sums(it: &Statement) -> [i128; 7] {
    let units = |amount: Amount| i128::try_from(amount.units()).unwrap();
    [
        units(it.opening),
        units(it.credits),
        units(it.late_credits),
        it.other_credits,
        units(it.debits),
        it.unexplained,
        units(it.closing),
    ]
}

#[test]
fn a_statement_opens_where_the_one_before_closed_and_names_it() {
    let before = first(
        &[seen(1, 10, 90_000), seen(2, 5, 100_000)],
        shown(15, 0, Some(0), Some(15)),
    );
    assert_eq!(
        (before.sequence, before.previous, before.gas),
        (1, None, Amount::from_units(4))
    );
    assert_eq!(sums(&before), [0, 15, 0, 0, 0, 0, 15]);
    let after = second(
        &before,
        &[entry(3, 1, 100_001), seen(4, 2, 172_800)],
        shown(2, 0, None, Some(18)),
    );
    assert_eq!((after.sequence, after.previous), (2, Some(before.hash())));
    assert_eq!(sums(&after), [15, 2, 1, 0, 0, 0, 18]);
    assert_eq!((after.lines, after.late), (2, 1));
}

#[test]
fn what_moved_closes_against_what_the_chain_says_is_held() {
    let paid = [seen(1, 10, 90_000)];
    for (case, shown, expected) in [
        ("all is ours", shown(10, 0, Some(3), Some(13)), [3, 10, 0, 0, 0, 0, 13]),
        (
            "some came otherwise, some went",
            shown(17, 4, Some(3), Some(16)),
            [3, 10, 0, 7, 4, 0, 16],
        ),
        (
            "more is held than moved",
            shown(10, 0, Some(3), Some(14)),
            [3, 10, 0, 0, 0, 1, 14],
        ),
        (
            "less is held than moved",
            shown(10, 0, Some(3), Some(12)),
            [3, 10, 0, 0, 0, -1, 12],
        ),
        (
            "nobody knows what was held before",
            shown(10, 2, None, Some(11)),
            [3, 10, 0, 0, 2, 0, 11],
        ),
        (
            "nor can it have been less than nothing",
            shown(10, 0, None, Some(9)),
            [0, 10, 0, 0, 0, -1, 9],
        ),
        (
            "nobody knows what is held now",
            shown(10, 2, Some(3), None),
            [3, 10, 0, 0, 2, 0, 11],
        ),
        (
            "more went than anybody knows of",
            shown(10, 12, None, None),
            [0, 10, 0, 0, 12, 2, 0],
        ),
    ] {
        let closed = first(&paid, shown);
        assert_eq!(sums(&closed), expected, "{case}");
    }
}

#[test]
fn a_late_payment_that_was_another_credit_before_is_not_counted_twice() {
    let before = first(&[], shown(10, 0, Some(0), Some(10)));
    assert_eq!(sums(&before), [0, 0, 0, 10, 0, 0, 10]);
    let after = second(&before, &[seen(1, 10, 90_000)], shown(0, 0, None, Some(10)));
    assert_eq!(sums(&after), [10, 0, 10, -10, 0, 0, 10]);
    let unseen_before = first(&[], Shown::default());
    let after = second(&unseen_before, &[entry(1, 10, 90_000)], Shown::default());
    assert_eq!(sums(&after), [0, 0, 10, 0, 0, 0, 10]);
}

#[test]
fn whatever_is_changed_on_a_statement_changes_its_hash() {
    let entries = [seen(1, 10, 90_000), seen(2, 5, 100_000)];
    let whole = first(&entries, shown(15, 0, Some(0), Some(15)));
    let changed = |change: fn(&mut Line, &Line)| {
        let [mut one, other] = entries.clone();
        change(&mut one.line, &other.line);
        first(&[one, other], shown(15, 0, Some(0), Some(15))).merkle_root
    };
    assert_eq!(changed(|_, _| ()), whole.merkle_root);
    let of_lines: [fn(&mut Line, &Line); 8] = [
        |it, other| *it = other.clone(),
        |it, other| it.payment = other.payment,
        |it, _| it.amount = Amount::from_units(11),
        |it, _| it.tx = TxId("0x3".into()),
        |it, _| it.log_index = 9,
        |it, _| it.block.height = 9,
        |it, _| it.block.hash = "0xb9".into(),
        |it, _| it.block.time = Timestamp(90_001),
    ];
    for (number, change) in of_lines.into_iter().enumerate() {
        assert_ne!(changed(change), whole.merkle_root, "change {number} of a line");
    }
    let of_totals: [fn(&mut Statement); 17] = [
        |it| it.id = id(7),
        |it| it.account.pay_to = "0xOther".into(),
        |it| it.sequence = 2,
        |it| it.period.ends = Timestamp(172_801),
        |it| it.opening = Amount::from_units(1),
        |it| it.credits = Amount::from_units(14),
        |it| it.late_credits = Amount::from_units(1),
        |it| it.other_credits = 1,
        |it| it.debits = Amount::from_units(1),
        |it| it.unexplained = -1,
        |it| it.closing = Amount::from_units(14),
        |it| it.balance = None,
        |it| it.balance.as_mut().unwrap().block.height = 8,
        |it| it.gas = Amount::ZERO,
        |it| it.late = 1,
        |it| it.merkle_root = [0; 32],
        |it| it.previous = Some([0; 32]),
    ];
    for (number, change) in of_totals.into_iter().enumerate() {
        let mut other = whole.clone();
        change(&mut other);
        assert_ne!(other.hash(), whole.hash(), "change {number} of a total");
    }
}

#[test]
fn sums_beyond_all_amounts_close_nothing() {
    let most = i128::MAX.unsigned_abs();
    let close = |amounts: [u128; 2]| {
        let [one, other] = amounts;
        let entries = [entry(1, one, 90_000), entry(2, other, 90_000)];
        Statement::close(id(1), account(), None, DAY, &entries, Shown::default())
    };
    assert_eq!(close([most, 1]), Err(TooMuch));
    assert_eq!(close([u128::MAX, 1]), Err(TooMuch));
    assert_eq!(close([most, 0]).unwrap().closing, Amount::from_units(most));
}

/// A refund of payment 1.
fn refund(number: u64, amount: u128, time: u64) -> Entry {
    let mut entry = entry(1, amount, time);
    entry.line.refund = Some(RefundId::from_uuid(uuid::Uuid::from_u128(u128::from(number))));
    entry.gas = Amount::ZERO;
    entry
}

#[test]
fn refunds_are_lines_of_what_went_and_in_no_credit() {
    let paid = seen(1, 10, 90_000);
    let without = first(std::slice::from_ref(&paid), shown(10, 7, Some(5), Some(8)));
    let lines = [paid, refund(1, 3, 91_000), refund(2, 2, 92_000)];
    let with = first(&lines, shown(10, 7, Some(5), Some(8)));
    assert_eq!(sums(&with), sums(&without), "no sum is another");
    assert_eq!((with.refunds, without.refunds), (Amount::from_units(5), Amount::ZERO));
    assert_eq!((with.lines, with.late, with.gas), (3, 0, Amount::from_units(2)));
    let [payment, one, other] = lines.map(|it| it.line.leaf());
    assert_eq!(with.merkle_root, root(&[payment, one, other]));
    assert!(payment != one && one != other);
    let changed = Statement {
        refunds: Amount::from_units(4),
        ..with.clone()
    };
    assert_ne!(changed.hash(), with.hash(), "it is part of what is closed");
}
