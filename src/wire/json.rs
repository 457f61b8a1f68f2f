//! Reading JSON strictly, one field at a time, so that every complaint names the field and what belongs there.
//!
//! Objects are typed structs whose fields are raw JSON text: `serde` then refuses keys given twice, ignores
//! unknown ones and takes `null` for absent, and what is wrong with a value is said by the reader of that field
//! instead of being guessed from the parser's message. Scheme data is passed on as text without being parsed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::amount::Amount;
use crate::domain::rejection::Malformed;

/// Nesting allowed in a body. Official clients echo extensions with JSON Schemas inside, whose every level costs
/// two of these; the reader itself does not recurse, but readers of the scheme's data do.
pub(super) const DEPTH_MAX: usize = 64;

/// Whether arrays and objects nest no deeper than [`DEPTH_MAX`]. Brackets in strings do not count. Says nothing
/// about whether the text is JSON.
pub(super) fn is_shallow(text: &str) -> bool {
    let mut depth: usize = 0;
    let mut in_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            // The escaped byte may be a quote; it never ends the string.
            b'\\' if in_string => {
                bytes.next();
            }
            b'{' | b'[' if !in_string => {
                depth = depth.saturating_add(1);
                if depth > DEPTH_MAX {
                    return false;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// One key of an object of the request: where it stands and what is there.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    place: &'static str,
    key: &'static str,
    value: Option<&'a RawValue>,
}

impl<'a> Field<'a> {
    /// The value of `key` in the object at `place`, which is empty for the body itself.
    pub(super) fn new(place: &'static str, key: &'static str, value: Option<&'a RawValue>) -> Self {
        Self { place, key, value }
    }

    /// It is absent or null.
    pub(super) fn is_absent(self) -> bool {
        self.value.is_none()
    }

    /// The complaint that something else belongs here.
    pub(super) fn malformed(self, expected: impl Into<String>) -> Malformed {
        let path = if self.place.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}.{}", self.place, self.key)
        };
        Malformed {
            path,
            expected: expected.into(),
        }
    }

    /// An object, read as `T`.
    pub(super) fn object<T: Deserialize<'a>>(self) -> Result<T, Malformed> {
        let text = self.object_text(usize::MAX)?;
        // The text is known to be JSON and every field takes any value: only a repeated key is left.
        serde_json::from_str(text).map_err(|_| self.malformed("an object in which no known key appears twice"))
    }

    /// An object, read as `T`, or nothing.
    pub(super) fn object_if_any<T: Deserialize<'a>>(self) -> Result<Option<T>, Malformed> {
        if self.is_absent() {
            return Ok(None);
        }
        self.object().map(Some)
    }

    /// An object of at most `max` bytes, as text.
    pub(super) fn object_text(self, max: usize) -> Result<&'a str, Malformed> {
        match self.value.map(RawValue::get) {
            Some(text) if text.starts_with('{') && text.len() <= max => Ok(text),
            Some(text) if text.starts_with('{') => Err(self.malformed(format!("an object of at most {max} bytes"))),
            _ => Err(self.malformed("an object")),
        }
    }

    /// An object of at most `max` bytes, as text of its own, or nothing.
    pub(super) fn object_text_if_any(self, max: usize) -> Result<Option<Box<str>>, Malformed> {
        if self.is_absent() {
            return Ok(None);
        }
        self.object_text(max).map(|text| Some(text.into()))
    }

    /// A string of 1 to `max` bytes without control characters, which no name, address or URL has and which
    /// the database cannot store.
    pub(super) fn text(self, max: usize) -> Result<Cow<'a, str>, Malformed> {
        self.any_text()
            .filter(|text| (1..=max).contains(&text.len()) && !text.chars().any(char::is_control))
            .ok_or_else(|| self.malformed(format!("a string of 1 to {max} bytes without control characters")))
    }

    /// Any string.
    pub(super) fn any_text(self) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
        let Text(text) = serde_json::from_str(self.value?.get()).ok()?;
        Some(text)
    }

    /// Atomic units, as a canonical decimal string.
    pub(super) fn amount(self) -> Result<Amount, Malformed> {
        self.any_text()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.malformed("a decimal string without sign or leading zero, below 2^128"))
    }

    /// A whole number.
    pub(super) fn whole_number(self) -> Result<u64, Malformed> {
        self.value
            .and_then(|value| serde_json::from_str(value.get()).ok())
            .ok_or_else(|| self.malformed("a whole number"))
    }

    /// A whole number of seconds, at least 1.
    pub(super) fn seconds(self) -> Result<u64, Malformed> {
        self.whole_number()
            .ok()
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| self.malformed("a whole number above 0"))
    }

    /// A truth value; false when absent.
    pub(super) fn is_set(self) -> Result<bool, Malformed> {
        match self.value.map(RawValue::get) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(self.malformed("true or false")),
        }
    }
}

/// The value as JSON text. The bodies written here are structs of strings and numbers, which cannot fail.
pub(super) fn bytes(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let written = serde_json::to_writer(&mut out, value);
    debug_assert!(written.is_ok(), "an answer is always JSON");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(json: &str) -> Field<'_> {
        Field::new("place", "key", serde_json::from_str(json).unwrap())
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(is_shallow(&nested(DEPTH_MAX)));
        assert!(!is_shallow(&nested(DEPTH_MAX + 1)));
        assert!(is_shallow(&format!("[\"{}\"]", "[".repeat(DEPTH_MAX + 1))));
        assert!(is_shallow(&format!(r#"["\"{}"]"#, "[".repeat(DEPTH_MAX + 1))));
        assert!(!is_shallow(&format!(r#"["\\"{}"]"#, "[".repeat(DEPTH_MAX + 1))));
        assert!(is_shallow(&"[]".repeat(DEPTH_MAX + 1)));
    }

    #[test]
    fn text_is_bounded_and_printable() {
        assert_eq!(field(r#""caf\u00e9""#).text(5).unwrap(), "café");
        for bad in [
            r#""""#,
            r#""123456""#,
            r#""a\u0000""#,
            r#""a\nb""#,
            "5",
            "null",
            "{}",
            r#""\ud800""#,
        ] {
            let malformed = field(bad).text(5).unwrap_err();
            assert_eq!(malformed.path, "place.key", "{bad}");
        }
    }

    #[test]
    fn amounts_are_strings_and_seconds_are_numbers() {
        assert_eq!(field(r#""10000""#).amount().unwrap().units(), 10_000);
        for bad in ["10000", r#""010""#, r#""1e4""#, r#""-1""#, "null"] {
            assert!(field(bad).amount().is_err(), "{bad}");
        }
        assert_eq!(field("60").seconds().unwrap(), 60);
        for bad in ["0", "-1", "1.5", r#""60""#, "1e2", "null", "18446744073709551616"] {
            assert!(field(bad).seconds().is_err(), "{bad}");
        }
    }

    #[test]
    fn objects_are_not_arrays_and_repeat_no_key() {
        #[derive(Debug, Deserialize)]
        struct Pair<'a> {
            #[serde(borrow)]
            a: Option<&'a RawValue>,
        }
        assert_eq!(
            field(r#"{"a":1,"b":1,"b":2}"#)
                .object::<Pair<'_>>()
                .unwrap()
                .a
                .unwrap()
                .get(),
            "1"
        );
        assert!(field(r#"{"a":null}"#).object::<Pair<'_>>().unwrap().a.is_none());
        for bad in [r#"{"a":1,"a":1}"#, "[1]", "null", r#""{""#] {
            assert!(field(bad).object::<Pair<'_>>().is_err(), "{bad}");
        }
        assert!(field(r#"{"a":1}"#).object_text(6).is_err());
    }
}
