//! `/payments`: what became of each payment, by any name it has.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use crate::app;
use crate::domain::id::PaymentId;
use crate::domain::network::NetworkId;
use crate::domain::rail::TxId;
use crate::domain::rejection::Malformed;
use crate::domain::settlement::State as Stage;
use crate::http::error::{Denied, json};
use crate::http::{Edge, view};
use crate::store::{Cursor, DateTime, Filter, PAGE_MAX, Utc};
use crate::wire::NETWORK_UNKNOWN;

/// Records on a page when the caller does not say.
const PAGE_DEFAULT: u16 = 100;

/// Bytes of any value in a query. The longest is a memo.
const VALUE_MAX: usize = 256;

/// Times that a query may name, in Unix seconds: 1970 up to the end of 9999, which is what the database compares.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;

/// `GET /payments/{id}`.
pub(super) async fn get(State(edge): State<Edge>, id: Result<Path<String>, PathRejection>) -> Response {
    answer(record(&edge, id).await)
}

async fn record(edge: &Edge, name: Result<Path<String>, PathRejection>) -> Result<Vec<u8>, Denied> {
    let id: PaymentId = name
        .ok()
        .and_then(|Path(text)| text.parse().ok())
        .ok_or_else(|| malformed("id", PaymentId::SHAPE))?;
    let record = app::records::get(&edge.app, id)
        .await?
        .ok_or_else(Denied::no_such_payment)?;
    Ok(view::one(&record))
}

/// `GET /payments`.
pub(super) async fn find(State(edge): State<Edge>, uri: Uri) -> Response {
    answer(records(&edge, &uri).await)
}

async fn records(edge: &Edge, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let (records, next) = match Question::read(uri)? {
        Question::Coordinates {
            network,
            asset,
            payer,
            nonce,
        } => {
            let found = app::records::by_coordinates(&edge.app, &network, &asset, &payer, &nonce).await?;
            (found.into_iter().collect(), None)
        }
        Question::Transaction(tx) => (app::records::by_transaction(&edge.app, &tx).await?, None),
        Question::Listing { filter, after, limit } => {
            let page = app::records::list(&edge.app, filter, after.as_ref(), limit).await?;
            (page.records, page.next)
        }
    };
    Ok(view::page(&records, next))
}

pub(super) fn answer(found: Result<Vec<u8>, Denied>) -> Response {
    match found {
        Ok(body) => json(StatusCode::OK, body),
        Err(denied) => denied.answer(None, NETWORK_UNKNOWN),
    }
}

/// A key of the request is not what it must be.
pub(super) fn malformed(key: &str, expected: &str) -> Denied {
    Malformed {
        path: key.to_owned(),
        expected: expected.to_owned(),
    }
    .into()
}

/// The three things `/payments` can be asked.
#[derive(Debug)]
pub(super) enum Question {
    Coordinates {
        network: NetworkId,
        asset: String,
        payer: String,
        nonce: String,
    },
    Transaction(TxId),
    Listing {
        filter: Filter,
        after: Option<Cursor>,
        limit: u16,
    },
}

impl Question {
    pub(super) fn read(uri: &Uri) -> Result<Self, Denied> {
        let mut keys = Keys::read(uri, KNOWN)?;
        let (question, expected) = if let Some(tx) = keys.take("transaction") {
            (Self::Transaction(TxId(tx)), "no other key beside transaction")
        } else if let Some(nonce) = keys.take("nonce") {
            let question = Self::Coordinates {
                network: keys.need("network", NETWORK)?,
                asset: keys.need("asset", "the asset of the authorization with this nonce")?,
                payer: keys.need("payer", "the payer of the authorization with this nonce")?,
                nonce,
            };
            (question, "no other key beside network, asset, payer and nonce")
        } else {
            (keys.listing()?, KNOWN)
        };
        keys.end(expected)?;
        Ok(question)
    }
}

pub(super) const NETWORK: &str = "a CAIP-2 chain id such as eip155:8453";
const TIME: &str = "an RFC 3339 time such as 2026-11-21T00:00:00Z";
const KNOWN: &str = "of transaction, network, asset, payer, nonce, payTo, memo, state, createdFrom, createdBefore, \
                     limit and cursor, each at most once and not empty";

/// What a query string gives, by key.
pub(super) struct Keys(BTreeMap<String, String>);

impl Keys {
    pub(super) fn read(uri: &Uri, known: &str) -> Result<Self, Denied> {
        let Query(pairs): Query<Vec<(String, String)>> =
            Query::try_from_uri(uri).map_err(|_| malformed("query", known))?;
        let mut keys = BTreeMap::new();
        for (key, value) in pairs {
            // A memo is whatever a merchant asked for; all else is a name of ours or of a chain's.
            let is_name = || value.bytes().all(|byte| byte.is_ascii_graphic());
            let is_text = || key == "memo" && !value.contains('\0');
            let is_sane = (1..=VALUE_MAX).contains(&value.len()) && (is_name() || is_text());
            if !is_sane || keys.insert(key, value).is_some() {
                return Err(malformed("query", known));
            }
        }
        Ok(Self(keys))
    }

    /// Nothing else may have been given.
    pub(super) fn end(self, expected: &str) -> Result<(), Denied> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(malformed("query", expected))
        }
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    fn need<T: FromStr>(&mut self, key: &str, expected: &str) -> Result<T, Denied> {
        self.parsed(key, expected)?.ok_or_else(|| malformed(key, expected))
    }

    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, expected: &str) -> Result<Option<T>, Denied> {
        let value = self.take(key).map(|text| text.parse()).transpose();
        value.map_err(|_| malformed(key, expected))
    }

    fn time(&mut self, key: &str) -> Result<Option<DateTime<Utc>>, Denied> {
        match self.parsed::<DateTime<Utc>>(key, TIME)? {
            Some(time) if !TIMES.contains(&time.timestamp()) => Err(malformed(key, TIME)),
            time => Ok(time),
        }
    }

    /// What `of` makes of the key's value, where it is given.
    pub(super) fn named<T>(
        &mut self,
        key: &str,
        expected: &str,
        of: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Denied> {
        let Some(name) = self.take(key) else {
            return Ok(None);
        };
        of(&name).map(Some).ok_or_else(|| malformed(key, expected))
    }

    pub(super) fn limit(&mut self, default: u16, most: u16) -> Result<u16, Denied> {
        let expected = format!("a whole number from 1 to {most}");
        let limit = self.parsed("limit", &expected)?.unwrap_or(default);
        if (1..=most).contains(&limit) {
            Ok(limit)
        } else {
            Err(malformed("limit", &expected))
        }
    }

    fn listing(&mut self) -> Result<Question, Denied> {
        let limit = self.limit(PAGE_DEFAULT, PAGE_MAX)?;
        let stages = format!("one of {}", Stage::ALL.map(Stage::as_str).join(", "));
        Ok(Question::Listing {
            filter: Filter {
                state: self.named("state", &stages, Stage::named)?,
                network: self.parsed("network", NETWORK)?,
                asset: self.take("asset"),
                payer: self.take("payer"),
                pay_to: self.take("payTo"),
                nonce: None,
                memo: self.take("memo"),
                created_from: self.time("createdFrom")?,
                created_before: self.time("createdBefore")?,
            },
            after: self.parsed("cursor", "the nextCursor of an earlier page")?,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Question, Denied> {
        Question::read(&format!("/payments?{query}").parse().unwrap())
    }

    #[test]
    fn a_query_asks_one_of_three_things() {
        let coordinates = read("network=eip155%3A8453&asset=0xa&payer=0xb&nonce=0xc").unwrap();
        assert!(matches!(coordinates, Question::Coordinates { nonce, .. } if nonce == "0xc"));
        assert!(matches!(read("transaction=0xd").unwrap(), Question::Transaction(TxId(tx)) if tx == "0xd"));
        let listing = read(
            "state=in_flight&network=eip155:1&payTo=0xe&createdFrom=2026-11-01T00:00:00Z\
             &createdBefore=2026-11-02T00:00:00.5%2B01:00&limit=1000",
        );
        let Question::Listing { filter, after, limit } = listing.unwrap() else {
            panic!("not a listing");
        };
        assert_eq!(filter.state, Some(Stage::InFlight));
        assert_eq!(filter.pay_to.as_deref(), Some("0xe"));
        assert!(filter.created_from < filter.created_before);
        assert!(after.is_none());
        assert_eq!(limit, 1000);
        assert!(matches!(
            read("").unwrap(),
            Question::Listing {
                limit: PAGE_DEFAULT,
                ..
            }
        ));
    }

    #[test]
    fn a_query_that_asks_anything_else_is_refused() {
        for query in [
            "colour=red",
            "payer=",
            "payer=a&payer=b",
            "payer=%00",
            "payer=a%20b",
            "payer=%ff",
            "transaction=0x1&payer=0x2",
            "nonce=0x1",
            "network=eip155:1&asset=0x1&payer=0x2&nonce=0x3&limit=1",
            "network=base&asset=0x1&payer=0x2&nonce=0x3",
            "network=base",
            "state=settled",
            "limit=0",
            "limit=1001",
            "limit=ten",
            "createdFrom=yesterday",
            "createdFrom=2026-11-21",
            "createdBefore=-0001-01-01T00:00:00Z",
            "cursor=0",
        ] {
            assert!(read(query).is_err(), "{query}");
        }
        assert!(read(&format!("payer={}", "a".repeat(VALUE_MAX + 1))).is_err());
    }
}
