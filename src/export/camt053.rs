//! Bank to customer statement, camt.053.001.08 of ISO 20022.
//!
//! Its amounts have five decimals at most, so what is booked is the change of a balance of five; the exact amount stands
//! beside it. Its references have 35 characters and account numbers 34, so that a transaction stands in the additional
//! information, and an address in the account's proxy, beside a number that is derived from it.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::domain::booking::{Booking, bookings};
use crate::domain::statement::Account;
use crate::domain::time::Timestamp;
use crate::export::csv::{decimal, rfc3339, time};
use crate::export::{Document, Settings};

/// The most decimals of an amount (`ActiveOrHistoricCurrencyAndAmount`).
const PLACES: u8 = 5;

/// The most characters of a reference (`Max35Text`).
const REFERENCE_MAX: usize = 35;

/// The most characters of additional information (`Max500Text`).
const INFORMATION_MAX: usize = 500;

struct Writer<'a> {
    text: String,
    currency: &'a str,
    /// Decimals of what is booked.
    shown: u8,
}

impl Writer<'_> {
    /// An element with nothing but text in it.
    fn leaf(&mut self, name: &str, text: &str) {
        let escaped = escape(text);
        let _always = write!(self.text, "<{name}>{escaped}</{name}>");
    }

    /// An element with what `inside` writes in it.
    fn within(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let _always = write!(self.text, "<{name}>");
        inside(self);
        let _always = write!(self.text, "</{name}>");
    }

    /// The amount without its sign, and which way it goes.
    fn amount(&mut self, booked: i128) {
        let amount = decimal(booked.saturating_abs(), self.shown);
        let _always = write!(self.text, "<Amt Ccy=\"{}\">{amount}</Amt>", self.currency);
        self.leaf("CdtDbtInd", if booked < 0 { "DBIT" } else { "CRDT" });
    }

    fn balance(&mut self, code: &str, booked: i128, at: Timestamp) {
        self.within("Bal", |it| {
            it.within("Tp", |it| it.within("CdOrPrtry", |it| it.leaf("Cd", code)));
            it.amount(booked);
            it.within("Dt", |it| it.leaf("DtTm", &time(at)));
        });
    }

    fn account(&mut self, account: &Account) {
        self.within("Acct", |it| {
            it.within("Id", |it| it.within("Othr", |it| it.leaf("Id", &number_of(account))));
            it.leaf("Ccy", it.currency);
            it.within("Prxy", |it| {
                it.leaf(
                    "Id",
                    &format!("{} {} {}", account.network, account.asset, account.pay_to),
                );
            });
        });
    }

    fn entry(&mut self, booking: &Booking<'_>, statement: &str, places: u8) {
        self.within("Ntry", |it| {
            it.amount(booking.booked);
            it.within("Sts", |it| it.leaf("Cd", "BOOK"));
            it.within("BookgDt", |it| it.leaf("Dt", &booking.date.to_string()));
            if let Some(detail) = booking.detail {
                it.within("ValDt", |it| it.leaf("DtTm", &time(detail.line.block.time)));
                it.leaf("AcctSvcrRef", &detail.line.name());
            } else {
                it.leaf("AcctSvcrRef", statement);
            }
            it.within("BkTxCd", |it| {
                it.within("Prtry", |it| it.leaf("Cd", booking.kind.as_str()));
            });
            it.within("NtryDtls", |it| it.within("TxDtls", |it| it.details(booking)));
            it.leaf("AddtlNtryInf", &format!("exactly {}", decimal(booking.exact, places)));
        });
    }

    fn details(&mut self, booking: &Booking<'_>) {
        let reference = booking.detail.and_then(|it| it.reference.as_deref());
        let fits = reference.filter(|it| (1..=REFERENCE_MAX).contains(&it.chars().count()));
        self.within("Refs", |it| it.leaf("EndToEndId", fits.unwrap_or("NOTPROVIDED")));
        let Some(detail) = booking.detail else {
            return;
        };
        self.within("RltdPties", |it| {
            let party = if detail.line.refund.is_some() { "Cdtr" } else { "Dbtr" };
            it.within(party, |it| it.within("Pty", |it| it.leaf("Nm", &detail.payer)));
        });
        let mut information = format!("transaction {} log {}", detail.line.tx, detail.line.log_index);
        if detail.line.refund.is_some() {
            let _always = write!(information, " refund of {}", detail.line.payment);
        }
        if let (None, Some(reference)) = (fits, reference) {
            let _always = write!(information, " reference {reference}");
        }
        let information: String = information.chars().take(INFORMATION_MAX).collect();
        self.leaf("AddtlTxInf", &information);
    }
}

pub(super) fn write(document: &Document<'_>, places: u8, settings: &Settings) -> String {
    let statement = document.statement;
    let shown = places.min(PLACES);
    let unit = 10_i128.saturating_pow(u32::from(places.saturating_sub(shown)));
    let (id, closed) = (statement.id.to_string(), rfc3339(document.closed_at));
    let in_books = |units: u128| i128::try_from(units).unwrap_or(i128::MAX).div_euclid(unit);
    let mut writer = Writer {
        text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".into(),
        currency: &settings.currency.0,
        shown,
    };
    writer.text += "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\">";
    writer.within("BkToCstmrStmt", |it| {
        it.within("GrpHdr", |it| {
            it.leaf("MsgId", &id);
            it.leaf("CreDtTm", &closed);
        });
        it.within("Stmt", |it| {
            it.leaf("Id", &id);
            it.leaf("ElctrncSeqNb", &statement.sequence.to_string());
            it.leaf("CreDtTm", &closed);
            it.within("FrToDt", |it| {
                it.leaf("FrDtTm", &time(statement.period.starts));
                it.leaf("ToDtTm", &time(statement.period.ends));
            });
            it.account(&statement.account);
            it.balance("OPBD", in_books(statement.opening.units()), statement.period.starts);
            it.balance("CLBD", in_books(statement.closing.units()), statement.period.ends);
            for booking in bookings(statement, document.details, settings.time_zone, unit) {
                it.entry(&booking, &id, places);
            }
            let hash = hex::encode(document.hash);
            it.leaf("AddtlStmtInf", &format!("hash {hash}, {}", evidence(document)));
        });
    });
    writer.text += "</Document>\n";
    writer.text
}

fn evidence(document: &Document<'_>) -> String {
    match &document.statement.balance {
        Some(balance) => format!(
            "{} held at block {} {}",
            balance.amount, balance.block.height, balance.block.hash
        ),
        None => "no node knew the closing balance".to_owned(),
    }
}

/// A number of 32 characters for an account.
fn number_of(account: &Account) -> String {
    let text = format!("{}\n{}\n{}\n", account.network, account.asset, account.pay_to);
    let digest: [u8; 32] = Sha256::digest(text).into();
    hex::encode(digest.get(..16).unwrap_or_default())
}

/// What XML cannot hold is left out: a memo is its payer's to choose.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => escaped.push(other),
        }
    }
    escaped
}
