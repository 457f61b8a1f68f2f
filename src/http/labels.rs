//! What a gateway says of a payment beside asking for its settlement: its names for it, and what to keep with it, each in a
//! header of its own.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::{HeaderMap, HeaderName};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::domain::labels::{Label, Labels, Metadata};
use crate::domain::rejection::Malformed;
use crate::domain::request::{PaymentReference, ReferenceKind};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
static MERCHANT_REFERENCE: HeaderName = HeaderName::from_static("merchant-reference");
static ORDER_ID: HeaderName = HeaderName::from_static("order-id");
static METADATA: HeaderName = HeaderName::from_static("metadata");

/// Bytes of an idempotency key.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// The caller's name for the request: 1 to 255 visible ASCII characters, given once.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<PaymentReference>, Malformed> {
    let is_key = |text: &str| {
        (1..=IDEMPOTENCY_KEY_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let expected = "one, of 1 to 255 visible ASCII characters";
    only(headers, "Idempotency-Key", &IDEMPOTENCY_KEY, expected, |text| {
        is_key(text).then(|| PaymentReference {
            kind: ReferenceKind::IdempotencyKey,
            value: text.to_owned(),
        })
    })
}

/// The gateway's words for the payment.
pub(super) fn labels(headers: &HeaderMap) -> Result<Labels, Malformed> {
    Ok(Labels {
        merchant_reference: only(
            headers,
            "Merchant-Reference",
            &MERCHANT_REFERENCE,
            Label::SHAPE,
            Label::new,
        )?,
        order_id: only(headers, "Order-Id", &ORDER_ID, Label::SHAPE, Label::new)?,
        metadata: only(headers, "Metadata", &METADATA, Metadata::SHAPE, |text| {
            let Entries(entries) = serde_json::from_str(text).ok()?;
            Metadata::new(entries)
        })?,
    })
}

/// What `of` makes of a header that may be given once.
fn only<T>(
    headers: &HeaderMap,
    shown: &str,
    name: &HeaderName,
    expected: &str,
    of: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Malformed> {
    let mut given = headers.get_all(name).iter();
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let read = value.to_str().ok().filter(|_| given.next().is_none()).and_then(of);
    read.map(Some).ok_or_else(|| Malformed {
        path: format!("{shown} header"),
        expected: expected.to_owned(),
    })
}

/// A JSON object of strings in which no key appears twice.
struct Entries(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    if entries.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key that is given twice"));
                    }
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn an_idempotency_key_is_visible_bounded_and_single() {
        let read =
            |values: &[&str]| idempotency_key(&headers(&IDEMPOTENCY_KEY, values)).map(|it| it.map(|it| it.value));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["order-7"]), Ok(Some("order-7".to_owned())));
        let long = "k".repeat(256);
        assert!(read(&[&long[..255]]).is_ok());
        for bad in [&[""][..], &["a b"], &["é"], &[&long], &["a", "a"]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn labels_are_read_each_from_its_header() {
        let read = |name: &HeaderName, values: &[&str]| labels(&headers(name, values));
        assert_eq!(read(&ORDER_ID, &[]), Ok(Labels::default()));
        assert_eq!(read(&ORDER_ID, &["order 7"]).unwrap().order_id, Label::new("order 7"));
        let named = read(&MERCHANT_REFERENCE, &["INV-7"]).unwrap();
        assert_eq!(named.merchant_reference, Label::new("INV-7"));
        let kept = read(&METADATA, &[r#"{"cart":"7","who":"Zo\u00eb"}"#])
            .unwrap()
            .metadata
            .unwrap();
        assert_eq!(kept.entries()["who"], "Zoë");
        for (name, bad) in [
            (&ORDER_ID, &[""][..]),
            (&ORDER_ID, &["a", "a"]),
            (&MERCHANT_REFERENCE, &["é"]),
            (&METADATA, &["cart"]),
            (&METADATA, &["[]"]),
            (&METADATA, &[r#"{"cart":7}"#]),
            (&METADATA, &[r#"{"cart":"7","cart":"8"}"#]),
            (&METADATA, &[r#"{"cart":"a\u0000"}"#]),
        ] {
            assert!(read(name, bad).is_err(), "{bad:?}");
        }
    }
}
