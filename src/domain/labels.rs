//! The gateway's own words for a payment. They are kept with it, shown with it and found by it; they change nothing about it.

use std::collections::BTreeMap;
use std::fmt;

/// Bytes of a label.
pub const LABEL_MAX: usize = 255;

/// Entries of metadata, and bytes of a key and of a value.
pub const ENTRIES_MAX: usize = 20;
/// See [`ENTRIES_MAX`].
pub const KEY_MAX: usize = 40;
/// See [`ENTRIES_MAX`].
pub const VALUE_MAX: usize = 500;

/// What a gateway calls a payment. Nothing need be unique: an order that is paid twice has one order id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The merchant's name for it.
    pub merchant_reference: Option<Label>,
    /// The order that it pays.
    pub order_id: Option<Label>,
    /// Whatever else is to be kept with it.
    pub metadata: Option<Metadata>,
}

/// 1 to [`LABEL_MAX`] printable ASCII characters, of which the first and the last are no spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// What a label looks like, for complaints.
    pub const SHAPE: &'static str = "1 to 255 printable ASCII characters without a space at either end";

    /// The text as a label, if it is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_printable = text.bytes().all(|it| it == b' ' || it.is_ascii_graphic());
        let is_label = (1..=LABEL_MAX).contains(&text.len()) && is_printable && text.trim() == text;
        is_label.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Up to [`ENTRIES_MAX`] texts by key: keys of 1 to [`KEY_MAX`] bytes, values of up to [`VALUE_MAX`], none with control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// What metadata looks like, for complaints.
    pub const SHAPE: &'static str = "a JSON object of at most 20 strings, each key given once and of 1 to 40 bytes, values of \
                                     at most 500 bytes, without control characters";

    /// The entries as metadata, if they are within its bounds.
    #[must_use]
    pub fn new(entries: BTreeMap<String, String>) -> Option<Self> {
        let is_plain = |text: &str| !text.chars().any(char::is_control);
        let is_bounded = entries.len() <= ENTRIES_MAX
            && entries.iter().all(|(key, value)| {
                (1..=KEY_MAX).contains(&key.len()) && value.len() <= VALUE_MAX && is_plain(key) && is_plain(value)
            });
        is_bounded.then_some(Self(entries))
    }

    /// Its entries.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_printable_bounded_and_trimmed() {
        let longest = "x".repeat(LABEL_MAX);
        for good in ["7", "order 7 / 2", &longest] {
            assert_eq!(Label::new(good).unwrap().as_str(), good);
        }
        for bad in ["", " 7", "7 ", "a\tb", "é", &format!("{longest}x")] {
            assert_eq!(Label::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn metadata_is_bounded() {
        let of = |key: String, value: String| Metadata::new(BTreeMap::from([(key, value)]));
        assert!(of("k".repeat(KEY_MAX), "é".repeat(VALUE_MAX / 2)).is_some());
        assert!(of(String::new(), "v".into()).is_none());
        assert!(of("k".repeat(KEY_MAX + 1), String::new()).is_none());
        assert!(of("k".into(), "v".repeat(VALUE_MAX + 1)).is_none());
        assert!(of("k".into(), "a\nb".into()).is_none());
        let many = |count: usize| Metadata::new((0..count).map(|it| (it.to_string(), String::new())).collect());
        assert!(many(ENTRIES_MAX).is_some());
        assert!(many(ENTRIES_MAX + 1).is_none());
    }
}
