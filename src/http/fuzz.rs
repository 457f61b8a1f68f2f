//! What is always true of a query and of an idempotency key, however they are spoiled.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property that does not hold has to end the run"
)]

use axum::http::{HeaderMap, HeaderValue, Uri};

use super::labels;
use super::records::Listing;

/// A query's meaning does not depend on the order of its keys.
pub fn query(bytes: &[u8]) {
    let Ok(uri) = format!("/?{}", String::from_utf8_lossy(bytes)).parse::<Uri>() else {
        return;
    };
    let Ok(question) = Listing::read(&uri) else { return };
    let mut pairs: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    pairs.reverse();
    let reversed: Uri = format!("/?{}", pairs.join("&")).parse().unwrap();
    let again = Listing::read(&reversed).unwrap_or_else(|denied| panic!("{reversed}: {denied:?}"));
    assert_eq!(format!("{question:?}"), format!("{again:?}"));
}

/// A key that is taken is the header's own text, and fit for a log and the database. Each line is one header.
pub fn idempotency_key(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(3) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("idempotency-key", value);
        }
    }
    match labels::idempotency_key(&headers) {
        Ok(Some(reference)) => {
            assert_eq!(headers.len(), 1);
            assert_eq!(headers["idempotency-key"].as_bytes(), reference.value.as_bytes());
            assert!((1..=255).contains(&reference.value.len()));
            assert!(reference.value.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        Ok(None) => assert!(headers.is_empty()),
        Err(malformed) => assert!(malformed.path.contains("Idempotency-Key")),
    }
}
