//! Where a network's nodes are found, as an operator writes it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::secret::Secret;

/// The most endpoints of one network: each is asked in every search for evidence.
const ENDPOINTS_MAX: usize = 8;

/// The JSON-RPC endpoints of one network: one URL, or a list of them. Each often holds a key, so none is ever shown.
#[derive(Debug, Clone)]
pub struct Urls(Vec<Secret>);

impl Urls {
    /// The URLs, in the order in which they were written; their places are their names.
    pub(super) fn expose(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Secret::expose)
    }

    /// Whether the list is one that can be asked, and `quorum` of it can agree.
    ///
    /// # Errors
    /// Names the key and what was expected there.
    pub(super) fn check(&self, quorum: usize) -> Result<(), String> {
        let distinct: HashSet<&str> = self.expose().collect();
        if !(1..=ENDPOINTS_MAX).contains(&self.0.len()) {
            Err("rpc_url: expected one endpoint, or a list of 1 to 8".to_owned())
        } else if distinct.len() != self.0.len() {
            Err("rpc_url: expected each endpoint once".to_owned())
        } else if !(1..=self.0.len()).contains(&quorum) {
            Err(format!(
                "quorum: expected 1 to the number of endpoints, which is {}",
                self.0.len()
            ))
        } else {
            Ok(())
        }
    }
}

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Urls;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or a list of URLs")
            }
            fn visit_str<E: Error>(self, url: &str) -> Result<Urls, E> {
                Ok(Urls(vec![Secret::from(url.to_owned())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Urls, A::Error> {
                let mut urls = Vec::new();
                while let Some(url) = list.next_element()? {
                    urls.push(url);
                }
                Ok(Urls(urls))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn urls(value: Value) -> Urls {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn one_url_and_a_list_of_one_are_the_same() {
        for value in [json!("http://a/secret"), json!(["http://a/secret"])] {
            let urls = urls(value);
            assert_eq!(urls.expose().collect::<Vec<_>>(), ["http://a/secret"]);
            assert!(!format!("{urls:?}").contains("secret"));
        }
    }

    #[test]
    fn a_list_that_cannot_be_asked_or_cannot_agree_is_refused_by_key() {
        let nine: Vec<String> = (0..9).map(|i| format!("http://{i}/secret")).collect();
        for (value, quorum, complaint) in [
            (json!([]), 1, "rpc_url: expected one"),
            (json!(nine), 1, "rpc_url: expected one"),
            (
                json!(["http://a/secret", "http://a/secret"]),
                2,
                "rpc_url: expected each",
            ),
            (json!("http://a/secret"), 0, "quorum: "),
            (json!("http://a/secret"), 2, "quorum: "),
            (json!(["http://a/secret", "http://b"]), 3, "quorum: "),
        ] {
            let error = urls(value).check(quorum).unwrap_err();
            assert!(error.starts_with(complaint) && !error.contains("secret"), "{error}");
        }
        for (value, quorum) in [(json!("http://a"), 1), (json!(["http://a", "http://b"]), 2)] {
            urls(value).check(quorum).unwrap();
        }
        for value in [json!(7), json!({ "env": "A" }), json!([["http://secret"]])] {
            let error = serde_json::from_value::<Urls>(value).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
