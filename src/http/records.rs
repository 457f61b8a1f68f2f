//! `/v1/settlements` and `/payments`: what became of each payment, by any name it has.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query};
use axum::http::header::LINK;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;

use crate::app::books::Books;
use crate::app::question::{Asked, FILTERS, Keys, NAMES};
use crate::domain::id::PaymentId;
use crate::domain::rejection::Malformed;
use crate::http::access::Seen;
use crate::http::error::{Denied, json};
use crate::http::{Edge, view};
use crate::store::{Cursor, Entry, Filter};
use crate::wire::NETWORK_UNKNOWN;

/// `GET /v1/settlements/{id}` and `GET /payments/{id}`.
pub(super) async fn get(Seen(edge): Seen, id: Result<Path<String>, PathRejection>) -> Response {
    answer(found(&edge, id).await.map(|entry| view::one(&entry)))
}

/// The id of a payment that a path names.
pub(super) fn id(name: Result<Path<String>, PathRejection>) -> Result<PaymentId, Denied> {
    let read = name.ok().and_then(|Path(text)| text.parse().ok());
    read.ok_or_else(|| malformed("id", PaymentId::SHAPE))
}

/// The payment that a path names.
pub(super) async fn found(edge: &Edge, name: Result<Path<String>, PathRejection>) -> Result<Entry, Denied> {
    let id = id(name)?;
    edge.parts.books.payment(id).await?.ok_or_else(Denied::no_such_payment)
}

/// `GET /v1/settlements`.
pub(super) async fn list(Seen(edge): Seen, uri: Uri) -> Response {
    paged(&edge, &uri, Listing::read(&uri)).await
}

/// `GET /payments/lookup`.
pub(super) async fn lookup(Seen(edge): Seen, uri: Uri) -> Response {
    paged(&edge, &uri, Listing::named(&edge.parts.books, &uri)).await
}

async fn paged(edge: &Edge, uri: &Uri, listing: Result<Listing, Denied>) -> Response {
    let page = match listing {
        Ok(Listing { filter, after, limit }) => edge.parts.books.payments(filter, after.as_ref(), limit).await,
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

/// What a query string asks.
pub(super) fn keys(uri: &Uri, known: &str) -> Result<Keys, Denied> {
    let Query(pairs): Query<Vec<(String, String)>> = Query::try_from_uri(uri).map_err(|_| malformed("query", known))?;
    Ok(Keys::of(pairs, known)?)
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
        let mut keys = keys(uri, FILTERS)?;
        let (after, limit) = keys.page()?;
        let filter = keys.filter()?;
        keys.end(FILTERS)?;
        Ok(Self { filter, after, limit })
    }

    /// What a query for `/payments/lookup` asks: one name.
    fn named(books: &Books, uri: &Uri) -> Result<Self, Denied> {
        let mut keys = keys(uri, NAMES)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::labels::Label;
    use crate::domain::rail::TxId;
    use crate::domain::reconciliation;
    use crate::domain::request::{PaymentReference, ReferenceKind};
    use crate::domain::settlement::State as Stage;
    use crate::domain::time::Timestamp;
    use crate::store::Name;

    fn read(query: &str) -> Result<Listing, Denied> {
        Listing::read(&format!("/v1/settlements?{query}").parse().unwrap())
    }

    fn asked(query: &str) -> Result<Asked, Denied> {
        let mut keys = keys(&format!("/payments/lookup?{query}").parse().unwrap(), NAMES)?;
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
        assert_eq!(read("").unwrap().limit, 100);
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
        assert!(read(&format!("payer={}", "a".repeat(2049))).is_err());
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
