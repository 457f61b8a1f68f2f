//! What books are told sums to what the statement says.

use super::*;
use crate::domain::amount::Amount;
use crate::domain::id::{PaymentId, StatementId};
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::statement::{Account, Bounds, Entry, Line, Period, Shown};
use crate::domain::time::Timestamp;

const DAY: Period = Period {
    starts: Timestamp(1_699_920_000),
    ends: Timestamp(1_700_006_400),
};

fn detail(amount: u128, time: u64) -> Detail {
    Detail {
        line: Line {
            payment: PaymentId::mint(),
            refund: None,
            amount: Amount::from_units(amount),
            tx: TxId("0x1".into()),
            log_index: 1,
            block: ChainPoint {
                height: 1,
                hash: "0xb".into(),
                time: Timestamp(time),
            },
        },
        payer: "0xPayer".into(),
        reference: None,
    }
}

fn statement(details: &[Detail], credits: u128, debits: u128) -> Statement {
    let account = Account {
        network: "eip155:8453".parse().unwrap(),
        asset: "0xAsset".into(),
        pay_to: "0xMerchant".into(),
    };
    let entries: Vec<Entry> = details
        .iter()
        .map(|it| Entry {
            line: it.line.clone(),
            counted: None,
            gas: Amount::ZERO,
        })
        .collect();
    let shown = Shown {
        credits: Amount::from_units(credits),
        debits: Amount::from_units(debits),
        held: Bounds {
            opening: Some(Amount::from_units(7)),
            closing: None,
        },
    };
    Statement::close(StatementId::mint(), account, None, DAY, &entries, shown).unwrap()
}

#[test]
fn every_movement_is_dated_where_its_block_is_and_told_apart() {
    let details = [detail(5, DAY.starts.0 - 1), detail(10, DAY.ends.0 - 1)];
    let statement = statement(&details, 3, 4);
    let told = |zone: &str| {
        bookings(&statement, &details, zone.parse().unwrap(), 1)
            .iter()
            .map(|it| (it.kind.as_str(), it.date.to_string(), it.exact))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("late_payment", "2023-11-13", 5),
        ("payment", "2023-11-14", 10),
        ("other_credits", "2023-11-14", 3),
        ("debits", "2023-11-14", -4),
    ];
    assert_eq!(
        told("UTC"),
        expected.map(|(kind, date, units)| (kind, date.to_owned(), units))
    );
    assert_eq!(told("Asia/Tokyo")[0].1, "2023-11-14");
}

#[test]
fn a_refund_is_told_apart_from_what_else_went() {
    let mut refund = detail(3, DAY.starts.0);
    refund.line.refund = Some(crate::domain::id::RefundId::mint());
    let details = [detail(10, DAY.starts.0), refund];
    let statement = statement(&details, 0, 4);
    let told: Vec<_> = bookings(&statement, &details, Calendar::UTC, 1)
        .iter()
        .map(|it| (it.kind.as_str(), it.exact))
        .collect();
    assert_eq!(told, [("payment", 10), ("refund", -3), ("debits", -1)]);
}

#[test]
fn what_is_booked_is_the_change_of_the_balance_that_books_can_say() {
    for unit in [1, 10, 100, 10_000] {
        let details: Vec<Detail> = (1..40).map(|it| detail(it * 37, DAY.starts.0)).collect();
        for debits in [0, 100, 1_999] {
            let statement = statement(&details, 13, debits);
            let bookings = bookings(&statement, &details, Calendar::UTC, unit);
            let (opening, closing) = (units(statement.opening.units()), units(statement.closing.units()));
            let booked: i128 = bookings.iter().map(|it| it.booked).sum();
            assert_eq!(booked, closing / unit - opening / unit);
            assert_eq!(bookings.iter().map(|it| it.exact).sum::<i128>(), closing - opening);
        }
    }
}
