//! JSON as payments come in: typed from the first byte, so that no key counts twice and whatever is wrong is said
//! with its path in the caller's request.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::domain::rejection::Malformed;

/// Where a payment's proof stands in the request.
pub(super) const PAYLOAD: &str = "paymentPayload.payload";
/// Where the scheme's own terms stand in the request.
pub(super) const EXTRA: &str = "paymentRequirements.extra";

/// A JSON object, and not the array that serde would take for one.
pub(super) struct Object<T>(pub(super) T);

/// A JSON string, borrowed from the request where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// What belongs at `path` and is not there.
pub(super) fn malformed(path: impl Into<String>, expected: &str) -> Malformed {
    Malformed {
        path: path.into(),
        expected: expected.to_owned(),
    }
}

/// Reads JSON text as `T`. Where that fails it is read again to find out at which path, so that the usual case
/// keeps no track of paths.
///
/// # Errors
/// The path, below `root`, and what was expected there.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str, root: &str) -> Result<T, Malformed> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let failed = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err();
    let Some(failed) = failed else {
        return Err(malformed(root, "one JSON object and nothing after it"));
    };
    let inner = failed.path().to_string();
    let path = if inner == "." {
        root.to_owned()
    } else {
        format!("{root}.{inner}")
    };
    let said = failed.into_inner().to_string();
    Err(malformed(path, &expectation(&said)))
}

/// What serde expected, without what it found: that may be part of a signature.
fn expectation(said: &str) -> String {
    if said.starts_with("duplicate field") {
        return "each key once".to_owned();
    }
    let expected = said
        .rsplit_once("expected ")
        .map_or("well-formed JSON", |(_, rest)| rest);
    let expected = expected.rsplit_once(" at line ").map_or(expected, |(rest, _)| rest);
    expected.to_owned()
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(OnlyMap(PhantomData)).map(Self)
    }
}
