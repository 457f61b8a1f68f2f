//! Statements as others read them: JSON, CSV, journals for QuickBooks Online and Xero, and bank statements of ISO 20022.
//! Pure: bytes out of domain values.

mod camt053;
pub mod csv;
mod journal;
pub mod json;
mod table;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::domain::amount::Amount;
use crate::domain::booking::Accounts;
use crate::domain::calendar::Calendar;
use crate::domain::merkle::Hash;
use crate::domain::network::NetworkId;
use crate::domain::statement::{Detail, Statement};

pub use table::{COLUMNS, summary};

/// How statements are kept and exported.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The time zone of the days, by its name in the IANA database. A day that was closed stays as it was closed.
    pub time_zone: Calendar,
    /// What a journal has an entry for.
    pub journal: Per,
    /// What the accounts of journals are called.
    pub accounts: Accounts,
    /// The tax rate of every line of a Xero journal, by its name there.
    pub tax_rate: String,
    /// The three capital letters that camt.053 writes for the asset. No stablecoin has a code of ISO 4217; `XXX` is that
    /// standard's own for "no currency".
    pub currency: Currency,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: Calendar::UTC,
            journal: Per::default(),
            accounts: Accounts::default(),
            tax_rate: "Tax Exempt".into(),
            currency: Currency("XXX".into()),
        }
    }
}

/// What a journal has an entry for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// A kind of movement and a day: what an import of a few hundred lines has room for.
    #[default]
    Day,
    /// A payment.
    Payment,
}

/// Three capital letters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency(String);

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        if code.len() == 3 && code.bytes().all(|it| it.is_ascii_uppercase()) {
            Ok(Self(code))
        } else {
            Err("expected three capital letters")
        }
    }
}

/// What the ledger calls a chain's own coin.
pub const COIN: &str = "native";

/// How many decimals each configured asset has, and each chain's own coin as [`COIN`].
#[derive(Debug, Clone, Default)]
pub struct Decimals(Vec<(NetworkId, String, u8)>);

impl Decimals {
    /// Those of these assets.
    #[must_use]
    pub const fn new(assets: Vec<(NetworkId, String, u8)>) -> Self {
        Self(assets)
    }

    /// The asset's; none when it is not configured.
    #[must_use]
    pub fn of(&self, network: &NetworkId, asset: &str) -> Option<u8> {
        let known = self.0.iter().find(|it| it.0 == *network && it.1 == asset);
        known.map(|(.., places)| *places)
    }

    /// The amount in whole coins; empty for an asset that is not configured.
    #[must_use]
    pub fn write(&self, network: &NetworkId, asset: &str, amount: Amount) -> String {
        let places = self.of(network, asset);
        places.map_or_else(String::new, |places| csv::coins(amount.units(), places))
    }
}

/// How statements are written.
#[derive(Debug, Clone, Default)]
pub struct Style {
    /// What the operator says.
    pub settings: Settings,
    /// How many decimals the assets have.
    pub decimals: Decimals,
}

/// A statement to write.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// What it says.
    pub statement: &'a Statement,
    /// The hash that it was closed with.
    pub hash: &'a Hash,
    /// When it was closed.
    pub closed_at: DateTime<Utc>,
    /// Its lines.
    pub details: &'a [Detail],
}

/// A form of an exported statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// All of it, with its lines and their hashes.
    Json,
    /// A row for all that moved.
    Csv,
    /// Journal entries as QuickBooks Online imports them.
    Quickbooks,
    /// Manual journals as Xero imports them.
    Xero,
    /// Bank to customer statement, camt.053.001.08.
    Camt053,
}

/// The asset is not configured, so that nobody knows what its atomic units are worth in whole coins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the asset is not configured, so that its decimals are not known")]
pub struct NoDecimals;

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Json, Self::Csv, Self::Quickbooks, Self::Xero, Self::Camt053];

    /// The format's public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Quickbooks => "quickbooks",
            Self::Xero => "xero",
            Self::Camt053 => "camt053",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv | Self::Quickbooks | Self::Xero => "text/csv; charset=utf-8; header=present",
            Self::Camt053 => "application/xml",
        }
    }

    /// Writes the statement.
    ///
    /// # Errors
    /// [`NoDecimals`], of journals and bank statements, which are written in whole coins.
    pub fn write(self, document: &Document<'_>, style: &Style) -> Result<String, NoDecimals> {
        let account = &document.statement.account;
        let places = style.decimals.of(&account.network, &account.asset);
        Ok(match self {
            Self::Json => json::whole(document, places),
            Self::Csv => table::movements(document, places, style.settings.time_zone),
            Self::Quickbooks => journal::quickbooks(document, places.ok_or(NoDecimals)?, &style.settings),
            Self::Xero => journal::xero(document, places.ok_or(NoDecimals)?, &style.settings),
            Self::Camt053 => camt053::write(document, places.ok_or(NoDecimals)?, &style.settings),
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
