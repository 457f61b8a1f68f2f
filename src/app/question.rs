//! What can be asked of the records: conditions on payments, and names that payments have, as pairs of keys and values. The
//! same keys ask over HTTP and for reports.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::domain::authorization::PaymentKey;
use crate::domain::id::PaymentId;
use crate::domain::labels::Label;
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::reconciliation;
use crate::domain::rejection::Malformed;
use crate::domain::request::{PaymentReference, ReferenceKind};
use crate::domain::settlement::State as Stage;
use crate::domain::time::Timestamp;
use crate::store::{Action, Cursor, DateTime, ExceptionFilter, Filter, Name, PAGE_MAX, Utc};

/// Records on a page when the caller does not say.
const PAGE_DEFAULT: u16 = 100;

/// Bytes of any value in a query. The longest is a resource's URL.
const VALUE_MAX: usize = 2048;

/// Times that a query may name, in Unix seconds: 1970 up to the end of 9999, which is what the database compares.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;

/// What a network is, for complaints.
pub const NETWORK: &str = "a CAIP-2 chain id such as eip155:8453";
const TIME: &str = "an RFC 3339 time such as 2026-11-21T00:00:00Z";
const AMOUNT: &str = "a whole number of atomic units";
/// The keys of [`Keys::filter`], for complaints.
pub const FILTERS: &str = "of state, reconciliation, network, asset, payer, payTo, amountFrom, amountTo, createdFrom, \
                       createdBefore, blockTimeFrom, blockTimeBefore, finalizedFrom, finalizedBefore, and for \
                       pages limit and cursor, each at most once and not empty";
/// The keys of [`Keys::exceptions`], for complaints.
pub const EXCEPTIONS: &str =
    "of state, network, payTo, handled, and for pages limit and cursor, each at most once and not empty";
/// The keys that ask for refunds, for complaints.
pub const REFUNDS: &str = "of state, network, payTo, and for pages limit and cursor, each at most once and not empty";
/// The keys of [`Keys::name`], for complaints.
pub const NAMES: &str = "one of id, authorizationReference, paymentIdentifier, idempotencyKey, transaction, memo, \
                     merchantReference, orderId, resource and nonce (with network, asset and payer), and limit and \
                     cursor, each at most once and not empty";

/// Keys whose values are whatever somebody wrote; all others are names of ours or of a chain's.
const TEXTS: [&str; 4] = ["memo", "merchantReference", "orderId", "resource"];

/// How a payment is looked up.
#[derive(Debug)]
pub enum Asked {
    /// By a name on record.
    Name(Name),
    /// By what the payer signed.
    Coordinates {
        /// On this network.
        network: NetworkId,
        /// The token.
        asset: String,
        /// Who signed.
        payer: String,
        /// What makes it unique for them.
        nonce: String,
    },
}

/// What a query string gives, by key.
pub struct Keys(BTreeMap<String, String>);

impl Keys {
    /// What these pairs ask.
    ///
    /// # Errors
    /// A key is given twice, or a value is empty, longer than [`VALUE_MAX`] or of characters that no such value has.
    pub fn of(pairs: impl IntoIterator<Item = (String, String)>, known: &str) -> Result<Self, Malformed> {
        let mut keys = BTreeMap::new();
        for (key, value) in pairs {
            let is_name = || value.bytes().all(|byte| byte.is_ascii_graphic());
            let is_text = || TEXTS.contains(&key.as_str()) && !value.contains('\0');
            let is_sane = (1..=VALUE_MAX).contains(&value.len()) && (is_name() || is_text());
            if !is_sane || keys.insert(key, value).is_some() {
                return Err(malformed("query", known));
            }
        }
        Ok(Self(keys))
    }

    /// Nothing else may have been given.
    ///
    /// # Errors
    /// Something was.
    pub fn end(self, expected: &str) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(malformed("query", expected))
        }
    }

    /// A key that nothing has asked for; none when all were.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.0.keys().next().map(String::as_str)
    }

    /// The key's value, which nothing asks for any more.
    pub fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    fn need<T: FromStr>(&mut self, key: &str, expected: &str) -> Result<T, Malformed> {
        self.parsed(key, expected)?.ok_or_else(|| malformed(key, expected))
    }

    /// The key's value, read.
    ///
    /// # Errors
    /// It cannot be.
    pub fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Result<Option<T>, Malformed> {
        let value = self.take(key).map(|text| text.parse()).transpose();
        value.map_err(|_| malformed(key, expected))
    }

    /// The time that the key names.
    ///
    /// # Errors
    /// It is none.
    pub fn time(&mut self, key: &str) -> Result<Option<DateTime<Utc>>, Malformed> {
        match self.parsed::<DateTime<Utc>>(key, TIME)? {
            Some(time) if !TIMES.contains(&time.timestamp()) => Err(malformed(key, TIME)),
            time => Ok(time),
        }
    }

    /// What `of` makes of the key's value, where it is given.
    ///
    /// # Errors
    /// It makes nothing of it.
    pub fn named<T>(
        &mut self,
        key: &str,
        expected: &str,
        of: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Malformed> {
        let Some(name) = self.take(key) else {
            return Ok(None);
        };
        of(&name).map(Some).ok_or_else(|| malformed(key, expected))
    }

    /// How many records are to be on a page.
    ///
    /// # Errors
    /// It is no number from 1 to `most`.
    pub fn limit(&mut self, default: u16, most: u16) -> Result<u16, Malformed> {
        let expected = format!("a whole number from 1 to {most}");
        let limit = self.parsed("limit", &expected)?.unwrap_or(default);
        if (1..=most).contains(&limit) {
            Ok(limit)
        } else {
            Err(malformed("limit", &expected))
        }
    }

    /// What `of` makes of each of the key's values, which commas part; nothing, where the key is not given.
    ///
    /// # Errors
    /// It makes nothing of one of them.
    pub fn several<T>(
        &mut self,
        key: &str,
        expected: &str,
        of: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Malformed> {
        let several = self.named(key, expected, |names| names.split(',').map(of).collect())?;
        Ok(several.unwrap_or_default())
    }

    /// A bound on blocks' times, which are in whole seconds; one within a second is the next one.
    ///
    /// # Errors
    /// It is no time.
    pub fn block_time(&mut self, key: &str) -> Result<Option<Timestamp>, Malformed> {
        let seconds = |time: DateTime<Utc>| {
            let whole = u64::try_from(time.timestamp()).unwrap_or(0);
            Timestamp(whole.saturating_add(u64::from(time.timestamp_subsec_nanos() > 0)))
        };
        Ok(self.time(key)?.map(seconds))
    }

    /// Which page of payments: after which place, and how many.
    ///
    /// # Errors
    /// One of the two is not what it must be.
    pub fn page(&mut self) -> Result<(Option<Cursor>, u16), Malformed> {
        let limit = self.limit(PAGE_DEFAULT, PAGE_MAX)?;
        Ok((self.parsed("cursor", "the nextCursor of an earlier page")?, limit))
    }

    /// The conditions that are given.
    ///
    /// # Errors
    /// One of them is not what it must be.
    pub fn filter(&mut self) -> Result<Filter, Malformed> {
        let stages = format!(
            "some of {}, with commas between them",
            Stage::ALL.map(Stage::as_str).join(", ")
        );
        let standings = reconciliation::State::ALL.map(reconciliation::State::as_str).join(", ");
        let standings = format!("some of {standings}, with commas between them");
        Ok(Filter {
            name: None,
            states: self.several("state", &stages, Stage::named)?,
            reconciliations: self.several("reconciliation", &standings, reconciliation::State::named)?,
            network: self.parsed("network", NETWORK)?,
            asset: self.take("asset"),
            payer: self.take("payer"),
            pay_to: self.take("payTo"),
            amount_from: self.parsed("amountFrom", AMOUNT)?,
            amount_to: self.parsed("amountTo", AMOUNT)?,
            created_from: self.time("createdFrom")?,
            created_before: self.time("createdBefore")?,
            landed_from: self.block_time("blockTimeFrom")?,
            landed_before: self.block_time("blockTimeBefore")?,
            final_from: self.time("finalizedFrom")?,
            final_before: self.time("finalizedBefore")?,
        })
    }

    /// The conditions on exceptions that are given.
    ///
    /// # Errors
    /// One of them is not what it must be.
    pub fn exceptions(&mut self) -> Result<ExceptionFilter, Malformed> {
        Ok(ExceptionFilter {
            state: self.named("state", "the state of an exception", |name| {
                reconciliation::State::named(name).filter(|state| state.is_exception())
            })?,
            network: self.parsed("network", NETWORK)?,
            pay_to: self.take("payTo"),
            handled: self.named("handled", "resolve or ignore", Action::named)?,
        })
    }

    /// The name that is asked for.
    ///
    /// # Errors
    /// It is not what it must be, or there is none.
    pub fn name(&mut self) -> Result<Asked, Malformed> {
        if let Some(nonce) = self.take("nonce") {
            return Ok(Asked::Coordinates {
                network: self.need("network", NETWORK)?,
                asset: self.need("asset", "the asset of the authorization with this nonce")?,
                payer: self.need("payer", "the payer of the authorization with this nonce")?,
                nonce,
            });
        }
        let reference = |kind| move |value| Name::Reference(PaymentReference { kind, value });
        let name = if let Some(id) = self.parsed("id", PaymentId::SHAPE)? {
            Name::Id(id)
        } else if let Some(key) = self.parsed("authorizationReference", PaymentKey::SHAPE)? {
            Name::Key(key)
        } else if let Some(name) = self
            .take("paymentIdentifier")
            .map(reference(ReferenceKind::PaymentIdentifier))
        {
            name
        } else if let Some(name) = self
            .take("idempotencyKey")
            .map(reference(ReferenceKind::IdempotencyKey))
        {
            name
        } else if let Some(label) = self.named("merchantReference", Label::SHAPE, Label::new)? {
            Name::MerchantReference(label)
        } else if let Some(label) = self.named("orderId", Label::SHAPE, Label::new)? {
            Name::Order(label)
        } else if let Some(tx) = self.take("transaction") {
            Name::Transaction(TxId(tx))
        } else if let Some(memo) = self.take("memo") {
            Name::Memo(memo)
        } else if let Some(resource) = self.take("resource") {
            Name::Resource(resource)
        } else {
            return Err(malformed("query", NAMES));
        };
        Ok(Asked::Name(name))
    }
}

fn malformed(key: &str, expected: &str) -> Malformed {
    Malformed {
        path: key.to_owned(),
        expected: expected.to_owned(),
    }
}
