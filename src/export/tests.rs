//! What is exported balances, and says what the statement says.

use super::*;
use crate::domain::amount::Amount;
use crate::domain::id::{PaymentId, StatementId};
use crate::domain::rail::{ChainPoint, TxId};
use crate::domain::statement::{Account, Balance, Bounds, Entry, Line, Period, Shown};
use crate::domain::time::Timestamp;

const DAY: Period = Period {
    starts: Timestamp(1_699_920_000),
    ends: Timestamp(1_700_006_400),
};

fn account() -> Account {
    Account {
        network: "eip155:8453".parse().unwrap(),
        asset: "0xAsset".into(),
        pay_to: "0xMerchant".into(),
    }
}

fn point(time: u64) -> ChainPoint {
    ChainPoint {
        height: 7,
        hash: "0xb7".into(),
        time: Timestamp(time),
    }
}

fn detail(amount: u128, reference: Option<&str>) -> Detail {
    Detail {
        line: Line {
            payment: PaymentId::mint(),
            refund: None,
            amount: Amount::from_units(amount),
            tx: TxId("0xt".into()),
            log_index: 1,
            block: point(DAY.starts.0),
        },
        payer: "0xPayer".into(),
        reference: reference.map(str::to_owned),
    }
}

/// It opens with 5; 4 came otherwise, and 3 went. Nobody saw what took 1 more.
fn statement(details: &[Detail]) -> Statement {
    let sum: u128 = details.iter().map(|it| it.line.amount.units()).sum();
    let entry = |it: &Detail| Entry {
        line: it.line.clone(),
        counted: Some(it.line.amount),
        gas: Amount::ZERO,
    };
    let entries: Vec<Entry> = details.iter().map(entry).collect();
    let shown = Shown {
        credits: Amount::from_units(sum.saturating_add(4)),
        debits: Amount::from_units(3),
        held: Bounds {
            opening: Some(Amount::from_units(5)),
            closing: Some(Balance {
                block: point(DAY.ends.0 - 1),
                amount: Amount::from_units(sum.saturating_add(5)),
            }),
        },
    };
    Statement::close(StatementId::mint(), account(), None, DAY, &entries, shown).unwrap()
}

fn written(format: Format, details: &[Detail], settings: Settings, places: u8) -> String {
    let statement = statement(details);
    let document = Document {
        statement: &statement,
        hash: &statement.hash(),
        closed_at: DateTime::UNIX_EPOCH,
        details,
    };
    let Account { network, asset, .. } = account();
    let style = Style {
        settings,
        decimals: Decimals::new(vec![(network, asset, places)]),
    };
    format.write(&document, &style).unwrap()
}

/// The rows without the names of the columns; no field here has a comma in it.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.strip_suffix("\r\n").unwrap().split("\r\n").skip(1);
    rows.map(|row| row.split(',').collect()).collect()
}

fn per(journal: Per) -> Settings {
    Settings {
        journal,
        ..Settings::default()
    }
}

#[test]
fn every_journal_entry_balances_and_the_wallet_moves_by_what_the_statement_says() {
    let details = [detail(10_000, None), detail(12_345, None), detail(7, None)];
    for journal in [Per::Day, Per::Payment] {
        for places in [0, 2, 6] {
            let unit = 10_i128.pow(u32::from(places - places.min(2)));
            let cents = |text: &str| text.replace('.', "").parse::<i128>().unwrap_or(0);
            let moved = (22_352 + 5) / unit - 5 / unit;

            let text = written(Format::Quickbooks, &details, per(journal), places);
            let mut wallet = 0;
            for pair in rows(&text).chunks(2) {
                assert_eq!(pair[0][..2], pair[1][..2], "one number and date");
                assert_eq!((pair[0][3], pair[0][4]), (pair[1][4], pair[1][3]));
                assert_eq!(pair[0][2], "Stablecoin wallet");
                wallet += cents(pair[0][3]) - cents(pair[0][4]);
            }
            assert_eq!(wallet, moved, "{text}");

            let text = written(Format::Xero, &details, per(journal), places);
            let mut wallet = 0;
            for pair in rows(&text).chunks(2) {
                assert_eq!(pair[0][..2], pair[1][..2], "one narration and date");
                assert_eq!(cents(pair[0][5]), -cents(pair[1][5]));
                wallet += cents(pair[0][5]);
            }
            assert_eq!(wallet, moved, "{text}");
        }
    }
}

#[test]
fn a_journal_has_a_pair_a_day_or_a_pair_a_payment() {
    let details = [detail(10_000, None), detail(20_000, None)];
    let text = written(Format::Quickbooks, &details, Settings::default(), 6);
    let [wallet, sales] = rows(&text).try_into().unwrap();
    assert_eq!(wallet[1..5], ["11/14/2023", "Stablecoin wallet", "0.03", ""]);
    assert_eq!(sales[1..5], ["11/14/2023", "Sales", "", "0.03"]);
    let text = written(Format::Xero, &details, per(Per::Payment), 6);
    let rows = rows(&text);
    assert_eq!(rows.len(), 4);
    let id = details[1].line.payment.to_string();
    assert_eq!(rows[2][..2], [id.as_str(), "14/11/2023"]);
    assert_eq!(rows[2][3..], ["Stablecoin wallet", "Tax Exempt", "0.02"]);
    assert_eq!(rows[3][3..], ["Sales", "Tax Exempt", "-0.02"]);
}

/// The lines of one number are an entry: two accounts' statements of one day must not run together.
#[test]
fn no_two_statements_share_the_number_of_an_entry() {
    let details = [detail(10_000, None)];
    let numbers = |text: &str| -> Vec<String> { rows(text).iter().map(|row| row[0].to_owned()).collect() };
    let [one, other] = [(); 2].map(|()| written(Format::Quickbooks, &details, Settings::default(), 0));
    assert!(
        numbers(&one).iter().all(|it| !numbers(&other).contains(it)),
        "{one}{other}"
    );
    assert!(numbers(&one).iter().all(|it| it.len() <= 21), "{one}");
}

#[test]
fn the_table_has_all_that_moved_and_disarms_what_payers_write() {
    let details = [detail(10_000, Some("=HYPERLINK(1)")), detail(1, None)];
    let text = written(Format::Csv, &details, Settings::default(), 6);
    let rows = rows(&text);
    let told: Vec<_> = rows.iter().map(|row| (row[2], row[7], row[8])).collect();
    assert_eq!(
        told,
        [
            ("payment", "10000", "0.010000"),
            ("payment", "1", "0.000001"),
            ("other_credits", "4", "0.000004"),
            ("debits", "-3", "-0.000003"),
            ("unexplained", "-1", "-0.000001"),
        ]
    );
    assert_eq!(rows[0][13], "'=HYPERLINK(1)");
}

#[test]
fn what_cannot_be_said_in_whole_coins_is_not_said() {
    let statement = statement(&[]);
    let document = Document {
        statement: &statement,
        hash: &statement.hash(),
        closed_at: DateTime::UNIX_EPOCH,
        details: &[],
    };
    let said = Format::ALL.map(|format| format.write(&document, &Style::default()).is_ok());
    assert_eq!(said, [true, true, false, false, false]);
}

#[test]
fn a_currency_is_three_capital_letters() {
    for (code, is_one) in [
        ("USD", true),
        ("XXX", true),
        ("usd", false),
        ("USDC", false),
        ("", false),
    ] {
        assert_eq!(Currency::try_from(code.to_owned()).is_ok(), is_one, "{code}");
    }
}
