//! Journals for bookkeeping software: balanced pairs of lines. Both programs keep two decimals.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::domain::booking::{Booking, Kind, bookings};
use crate::export::csv::{decimal, row};
use crate::export::{Document, Per, Settings};

/// Decimals that amounts in the books have.
const PLACES: u8 = 2;

/// Digits of a statement's id in the number of an entry.
const STATEMENT_DIGITS: usize = 13;

/// A balanced pair: so much from the counterpart into the wallet, or back where it is below zero.
struct Pair {
    name: String,
    date: NaiveDate,
    kind: Kind,
    description: String,
    amount: i128,
}

/// The entries of the statement's journal, without those that books with two decimals cannot say.
fn pairs(document: &Document<'_>, places: u8, settings: &Settings) -> Vec<Pair> {
    let statement = document.statement;
    let shown = places.min(PLACES);
    let unit = 10_i128.saturating_pow(u32::from(places.saturating_sub(shown)));
    let bookings = bookings(statement, document.details, settings.time_zone, unit);
    let single = |it: &Booking<'_>| (it.detail.filter(|_| settings.journal == Per::Payment)).map(|it| it.line.name());
    let mut sums: BTreeMap<(NaiveDate, Kind, usize), (Pair, usize)> = BTreeMap::new();
    for (position, it) in bookings.iter().enumerate() {
        let payment = single(it);
        let key = (it.date, it.kind, payment.as_ref().map_or(0, |_| position));
        let (pair, count) = sums.entry(key).or_insert_with(|| {
            let of_kind = || format!("{} {}", statement.id, it.kind.as_str());
            let name = payment.clone().unwrap_or_else(of_kind);
            let pair = Pair {
                name,
                date: it.date,
                kind: it.kind,
                description: String::new(),
                amount: 0,
            };
            (pair, 0)
        });
        pair.amount = pair.amount.saturating_add(it.booked);
        *count = count.saturating_add(1);
        pair.description = match it.detail {
            Some(detail) if payment.is_some() => format!("{} {}", statement.id, detail.line.tx),
            Some(_) => format!("{count} of {} on statement {}", it.kind.as_str(), statement.sequence),
            None => format!("{} on statement {}", it.kind.as_str(), statement.sequence),
        };
    }
    let pairs = sums.into_values().map(|(pair, _)| pair);
    pairs.filter(|it| it.amount != 0).collect()
}

/// Journal entries as QuickBooks Online imports them (its help, "Import journal entries"): the lines of one number are an
/// entry, dates are month, day, year, and accounts go by their names.
pub(super) fn quickbooks(document: &Document<'_>, places: u8, settings: &Settings) -> String {
    let mut text = row(&[
        "JournalNo",
        "JournalDate",
        "AccountName",
        "Debits",
        "Credits",
        "Description",
    ]);
    let accounts = &settings.accounts;
    let pairs = pairs(document, places, settings);
    // An entry's number has 21 characters at most there. What of an id is chance tells statements apart, of other accounts
    // too, and is the same when one is imported again.
    let id = document.statement.id.to_string();
    let statement = id.get(id.len().saturating_sub(STATEMENT_DIGITS)..).unwrap_or_default();
    for (number, it) in pairs.iter().enumerate() {
        let number = format!("{statement}-{number}");
        let amount = decimal(it.amount.saturating_abs(), places.min(PLACES));
        let date = it.date.format("%m/%d/%Y").to_string();
        let (wallet, other) = if it.amount > 0 {
            ([amount.as_str(), ""], ["", amount.as_str()])
        } else {
            (["", amount.as_str()], [amount.as_str(), ""])
        };
        let description = format!("{}: {}", it.name, it.description);
        for (account, [debit, credit]) in [
            (accounts.wallet.as_str(), wallet),
            (it.kind.counterpart(accounts), other),
        ] {
            text += &row(&[number.as_str(), &date, account, debit, credit, &description]);
        }
    }
    text
}

/// Manual journals as Xero imports them (its help, "Import manual journals"): the lines of one narration and date are a
/// journal, dates are day, month, year, accounts go by their codes, and what is below zero is credited.
pub(super) fn xero(document: &Document<'_>, places: u8, settings: &Settings) -> String {
    let mut text = row(&[
        "*Narration",
        "*Date",
        "Description",
        "*AccountCode",
        "*TaxRate",
        "*Amount",
    ]);
    let accounts = &settings.accounts;
    for it in pairs(document, places, settings) {
        let date = it.date.format("%d/%m/%Y").to_string();
        let sides = [
            (accounts.wallet.as_str(), it.amount),
            (it.kind.counterpart(accounts), it.amount.saturating_neg()),
        ];
        for (account, amount) in sides {
            let amount = decimal(amount, places.min(PLACES));
            let fields = [&it.name, &date, &it.description, account, &settings.tax_rate, &amount];
            text += &row(&fields);
        }
    }
    text
}
