//! `/v1/settlements` and `/payments`: what became of each payment, by any name it has.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::LINK;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;

use crate::app::books::Books;
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
use crate::http::error::{Denied, json};
use crate::http::{Edge, view};
use crate::store::{Cursor, DateTime, Filter, Name, PAGE_MAX, Utc};
use crate::wire::NETWORK_UNKNOWN;

/// Records on a page when the caller does not say.
const PAGE_DEFAULT: u16 = 100;

/// Bytes of any value in a query. The longest is a resource's URL.
const VALUE_MAX: usize = 2048;

/// Times that a query may name, in Unix seconds: 1970 up to the end of 9999, which is what the database compares.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;

/// `GET /v1/settlements/{id}` and `GET /payments/{id}`.
pub(super) async fn get(State(edge): State<Edge>, id: Result<Path<String>, PathRejection>) -> Response {
    answer(record(&edge, id).await)
}

async fn record(edge: &Edge, name: Result<Path<String>, PathRejection>) -> Result<Vec<u8>, Denied> {
    let id: PaymentId = name
        .ok()
        .and_then(|Path(text)| text.parse().ok())
        .ok_or_else(|| malformed("id", PaymentId::SHAPE))?;
    let entry = edge.books.payment(id).await?.ok_or_else(Denied::no_such_payment)?;
    Ok(view::one(&entry))
}

/// `GET /v1/settlements`.
pub(super) async fn list(State(edge): State<Edge>, uri: Uri) -> Response {
    paged(&edge, &uri, Listing::read(&uri)).await
}

/// `GET /payments/lookup`.
pub(super) async fn lookup(State(edge): State<Edge>, uri: Uri) -> Response {
    paged(&edge, &uri, Listing::named(&edge.books, &uri)).await
}

async fn paged(edge: &Edge, uri: &Uri, listing: Result<Listing, Denied>) -> Response {
    let page = match listing {
        Ok(Listing { filter, after, limit }) => edge.books.payments(filter, after.as_ref(), limit).await,
        Err(denied) => return denied.answer(None, NETWORK_UNKNOWN),
    };
    match page {
        Ok(page) => {
            let next = page.next.map(|it| it.to_string());
            let mut response = json(StatusCode::OK, view::page(&page.entries, next.as_deref()));
            if let Some(link) = next.and_then(|cursor| link_to_next(uri, &cursor)) {
                response.headers_mut().insert(LINK, link);
            }
            response
        }
        Err(fault) => Denied::from(fault).answer(None, NETWORK_UNKNOWN),
    }
}

/// The same question from this cursor on (RFC 8288, relation `next`).
pub(super) fn link_to_next(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let kept = pairs.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<&str> = kept.collect();
    let question = if query.is_empty() {
        String::new()
    } else {
        format!("{}&", query.join("&"))
    };
    HeaderValue::try_from(format!("<{}?{question}cursor={cursor}>; rel=\"next\"", uri.path())).ok()
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

/// Which payments are asked for, and which page of them.
#[derive(Debug)]
pub(super) struct Listing {
    filter: Filter,
    after: Option<Cursor>,
    limit: u16,
}

impl Listing {
    /// What a query for `/v1/settlements` asks.
    pub(super) fn read(uri: &Uri) -> Result<Self, Denied> {
        let mut keys = Keys::read(uri, FILTERS)?;
        let (after, limit) = keys.page()?;
        let stages = format!(
            "some of {}, with commas between them",
            Stage::ALL.map(Stage::as_str).join(", ")
        );
        let standings = reconciliation::State::ALL.map(reconciliation::State::as_str).join(", ");
        let standings = format!("some of {standings}, with commas between them");
        let filter = Filter {
            name: None,
            states: keys.several("state", &stages, Stage::named)?,
            reconciliations: keys.several("reconciliation", &standings, reconciliation::State::named)?,
            network: keys.parsed("network", NETWORK)?,
            asset: keys.take("asset"),
            payer: keys.take("payer"),
            pay_to: keys.take("payTo"),
            amount_from: keys.parsed("amountFrom", AMOUNT)?,
            amount_to: keys.parsed("amountTo", AMOUNT)?,
            created_from: keys.time("createdFrom")?,
            created_before: keys.time("createdBefore")?,
            landed_from: keys.block_time("blockTimeFrom")?,
            landed_before: keys.block_time("blockTimeBefore")?,
            final_from: keys.time("finalizedFrom")?,
            final_before: keys.time("finalizedBefore")?,
        };
        keys.end(FILTERS)?;
        Ok(Self { filter, after, limit })
    }

    /// What a query for `/payments/lookup` asks: one name.
    fn named(books: &Books, uri: &Uri) -> Result<Self, Denied> {
        let mut keys = Keys::read(uri, NAMES)?;
        let (after, limit) = keys.page()?;
        let name = match keys.name()? {
            Asked::Name(name) => name,
            Asked::Coordinates {
                network,
                asset,
                payer,
                nonce,
            } => books.name_of(&network, &asset, &payer, &nonce)?,
        };
        keys.end("one name, and limit and cursor")?;
        let filter = Filter {
            name: Some(name),
            ..Filter::default()
        };
        Ok(Self { filter, after, limit })
    }
}

/// How a payment is looked up.
#[derive(Debug)]
pub(super) enum Asked {
    Name(Name),
    Coordinates {
        network: NetworkId,
        asset: String,
        payer: String,
        nonce: String,
    },
}

pub(super) const NETWORK: &str = "a CAIP-2 chain id such as eip155:8453";
const TIME: &str = "an RFC 3339 time such as 2026-11-21T00:00:00Z";
const AMOUNT: &str = "a whole number of atomic units";
const FILTERS: &str = "of state, reconciliation, network, asset, payer, payTo, amountFrom, amountTo, createdFrom, \
                       createdBefore, blockTimeFrom, blockTimeBefore, finalizedFrom, finalizedBefore, limit and \
                       cursor, each at most once and not empty";
pub(super) const NAMES: &str = "one of id, authorizationReference, paymentIdentifier, idempotencyKey, transaction, memo, \
                     merchantReference, orderId, resource and nonce (with network, asset and payer), and limit and \
                     cursor, each at most once and not empty";

/// Keys whose values are whatever somebody wrote; all others are names of ours or of a chain's.
const TEXTS: [&str; 4] = ["memo", "merchantReference", "orderId", "resource"];

/// What a query string gives, by key.
pub(super) struct Keys(BTreeMap<String, String>);

impl Keys {
    pub(super) fn read(uri: &Uri, known: &str) -> Result<Self, Denied> {
        let Query(pairs): Query<Vec<(String, String)>> =
            Query::try_from_uri(uri).map_err(|_| malformed("query", known))?;
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

    /// What `of` makes of each of the key's values, which commas part.
    fn several<T>(&mut self, key: &str, expected: &str, of: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Denied> {
        let several = self.named(key, expected, |names| names.split(',').map(of).collect())?;
        Ok(several.unwrap_or_default())
    }

    /// A block's time is in whole seconds; a bound within a second is the next one.
    fn block_time(&mut self, key: &str) -> Result<Option<Timestamp>, Denied> {
        let seconds = |time: DateTime<Utc>| {
            let whole = u64::try_from(time.timestamp()).unwrap_or(0);
            Timestamp(whole.saturating_add(u64::from(time.timestamp_subsec_nanos() > 0)))
        };
        Ok(self.time(key)?.map(seconds))
    }

    fn page(&mut self) -> Result<(Option<Cursor>, u16), Denied> {
        let limit = self.limit(PAGE_DEFAULT, PAGE_MAX)?;
        Ok((self.parsed("cursor", "the nextCursor of an earlier page")?, limit))
    }

    /// The name that is asked for.
    pub(super) fn name(&mut self) -> Result<Asked, Denied> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Listing, Denied> {
        Listing::read(&format!("/v1/settlements?{query}").parse().unwrap())
    }

    fn asked(query: &str) -> Result<Asked, Denied> {
        let mut keys = Keys::read(&format!("/payments/lookup?{query}").parse().unwrap(), NAMES)?;
        let asked = keys.name()?;
        keys.end(NAMES)?;
        Ok(asked)
    }

    #[test]
    fn a_listing_is_filtered_by_everything_it_names() {
        let listing = read(
            "state=in_flight,failed&reconciliation=matched&network=eip155:1&payTo=0xe&amountFrom=1&amountTo=20\
             &createdFrom=2026-11-01T00:00:00Z&createdBefore=2026-11-02T00:00:00.5%2B01:00\
             &blockTimeFrom=2026-11-01T00:00:00.1Z&finalizedBefore=2026-11-03T00:00:00Z&limit=1000",
        );
        let Listing { filter, after, limit } = listing.unwrap();
        assert_eq!(filter.states, [Stage::InFlight, Stage::Failed]);
        assert_eq!(filter.reconciliations, [reconciliation::State::Matched]);
        assert_eq!(filter.pay_to.as_deref(), Some("0xe"));
        assert!(filter.amount_from < filter.amount_to);
        assert!(filter.created_from < filter.created_before);
        assert_eq!(filter.landed_from, Some(Timestamp(1_793_491_201)));
        assert!(filter.final_before.is_some());
        assert!(after.is_none());
        assert_eq!(limit, 1000);
        assert_eq!(read("").unwrap().limit, PAGE_DEFAULT);
    }

    #[test]
    fn a_listing_of_anything_else_is_refused() {
        for query in [
            "colour=red",
            "payer=",
            "payer=a&payer=b",
            "payer=%00",
            "payer=a%20b",
            "payer=%ff",
            "transaction=0x1",
            "network=base",
            "state=settled",
            "state=final,",
            "reconciliation=fine",
            "amountFrom=-1",
            "amountTo=1.5",
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

    #[test]
    fn a_lookup_asks_for_one_name() {
        let key = "a7".repeat(32);
        let label = || Label::new("order 7").unwrap();
        let reference = |kind, value: &str| {
            let value = value.to_owned();
            Name::Reference(PaymentReference { kind, value })
        };
        for (query, name) in [
            ("orderId=order%207", Name::Order(label())),
            ("merchantReference=order+7", Name::MerchantReference(label())),
            ("memo=%C3%A9%20", Name::Memo("é ".into())),
            ("transaction=0xd", Name::Transaction(TxId("0xd".into()))),
            (
                "resource=https://a.example/b?c",
                Name::Resource("https://a.example/b?c".into()),
            ),
            ("idempotencyKey=7", reference(ReferenceKind::IdempotencyKey, "7")),
            ("paymentIdentifier=7", reference(ReferenceKind::PaymentIdentifier, "7")),
            (
                &format!("authorizationReference={key}"),
                Name::Key(key.parse().unwrap()),
            ),
        ] {
            assert!(
                matches!(asked(query).unwrap(), Asked::Name(it) if it == name),
                "{query}"
            );
        }
        let coordinates = asked("network=eip155%3A8453&asset=0xa&payer=0xb&nonce=0xc").unwrap();
        assert!(matches!(coordinates, Asked::Coordinates { nonce, .. } if nonce == "0xc"));
        for query in [
            "",
            "colour=red",
            "id=7",
            "nonce=0x1",
            "network=base&asset=0x1&payer=0x2&nonce=0x3",
            "transaction=0x1&memo=2",
            "authorizationReference=7",
            "orderId=%20",
            "memo=%00",
        ] {
            assert!(asked(query).is_err(), "{query}");
        }
    }

    #[test]
    fn the_next_page_answers_the_same_question() {
        let link = |uri: &str| link_to_next(&uri.parse().unwrap(), "c7").unwrap();
        assert_eq!(link("/v1/settlements"), "</v1/settlements?cursor=c7>; rel=\"next\"");
        assert_eq!(
            link("/v1/settlements?cursor=c6&payTo=0xe&limit=2"),
            "</v1/settlements?payTo=0xe&limit=2&cursor=c7>; rel=\"next\""
        );
    }
}
