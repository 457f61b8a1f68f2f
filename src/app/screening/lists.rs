//! Lists in memory: looked up before anybody is asked anything.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::settings::{FILE, OFAC};
use crate::domain::screening::{Entry, Found, Look, key};
use crate::domain::time::Timestamp;
use crate::store::Listed;

/// Bytes of the operator's own list.
pub(super) const FILE_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of an address, and of what stands beside it.
const ADDRESS_MAX: usize = 200;
const NOTE_MAX: usize = 500;

/// One list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Which edition: the hash of the file.
    pub(super) version: String,
    /// By address.
    entries: HashMap<String, Entry>,
    /// Until when it counts as known.
    pub(super) good_until: Timestamp,
}

impl List {
    /// The list of these entries. Of several with one address one is kept.
    pub(super) fn new(sha256: &[u8], entries: impl IntoIterator<Item = Listed>, good_until: Timestamp) -> Self {
        Self {
            version: hex::encode(sha256),
            entries: entries.into_iter().collect(),
            good_until,
        }
    }

    /// How many addresses are on it.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn look(&self, address: &str, now: Timestamp) -> Found {
        match self.entries.get(address) {
            // What was listed when it was last known is not let pass because nobody knows whether it still is.
            Some(entry) => Found::Listed(entry.clone()),
            None if now > self.good_until => Found::Unchecked("the list is too old"),
            None => Found::Clear,
        }
    }
}

/// All lists, as they are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lists {
    /// The operator's own, where there is one.
    pub(super) file: Option<List>,
    /// OFAC's; none where it is not asked, and before it was ever fetched.
    pub(super) ofac: Option<List>,
    /// Those whom only lists may deny.
    pub(super) allowed: HashSet<String>,
}

impl Lists {
    /// What the lists of these names have of the address, which is as [`key`] has it.
    pub(super) fn look(&self, names: &[&'static str], address: &str, now: Timestamp) -> Vec<Look> {
        let known = [(FILE, &self.file), (OFAC, &self.ofac)];
        let asked = known.into_iter().filter(|(name, _)| names.contains(name));
        let look = |(source, list): (&'static str, &Option<List>)| Look {
            source,
            version: list.as_ref().map_or_else(String::new, |it| it.version.clone()),
            address: address.to_owned(),
            found: list
                .as_ref()
                .map_or(Found::Unchecked("there is no list yet"), |it| it.look(address, now)),
        };
        asked.map(look).collect()
    }
}

/// The operator's own list, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) sha256: [u8; 32],
    pub(super) denied: Vec<Listed>,
    pub(super) allowed: HashSet<String>,
}

impl Own {
    /// One line each: `deny` or `allow`, an address, and for whoever reads it why, after a `#`. Blank lines, and those that
    /// begin with `#`, say nothing.
    ///
    /// # Errors
    /// Names the first line that is something else.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut own = Self {
            sha256: Sha256::digest(text.as_bytes()).into(),
            denied: Vec::new(),
            allowed: HashSet::new(),
        };
        for (line, number) in text.lines().zip(1_u64..) {
            let (said, note) = line.split_once('#').unwrap_or((line, ""));
            let mut words = said.split_whitespace();
            let (verb, address, rest) = (words.next(), words.next(), words.next());
            let address = address
                .filter(|it| it.len() <= ADDRESS_MAX)
                .map(|it| key(it).into_owned());
            match (verb, address, rest) {
                (None, ..) => {}
                (Some("deny"), Some(address), None) => {
                    let mut reason = note.trim().to_owned();
                    reason.truncate(reason.floor_char_boundary(NOTE_MAX));
                    let reference = format!("line {number}");
                    own.denied.push((address, Entry { reference, reason }));
                }
                (Some("allow"), Some(address), None) => {
                    own.allowed.insert(address);
                }
                _ => {
                    return Err(format!(
                        "line {number}: expected deny or allow, an address, and nothing but a # after it"
                    ));
                }
            }
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVM: &str = "0xAbCdEf0123456789aBcDeF0123456789abcdef01";
    const BASE58: &str = "So11111111111111111111111111111111111111112";

    #[test]
    fn a_file_says_who_is_denied_and_who_only_by_lists_and_nothing_else() {
        let own = Own::read(&format!("# ours\n\n deny {EVM}  # fraud, case 7\nallow\t{BASE58}\n")).unwrap();
        assert_eq!(own.denied.len(), 1);
        let (address, entry) = &own.denied[0];
        assert_eq!(
            (address.as_str(), entry.reference.as_str()),
            (&*EVM.to_lowercase(), "line 3")
        );
        assert_eq!(entry.reason, "fraud, case 7");
        assert_eq!(own.allowed, [BASE58.to_owned()].into());
        for bad in ["deny", "forbid 0x1", "deny a b", "0x1", "DENY a"] {
            assert!(
                Own::read(&format!("# first\n{bad}\n"))
                    .unwrap_err()
                    .starts_with("line 2:"),
                "{bad}"
            );
        }
    }

    #[test]
    fn evm_addresses_are_found_in_any_case_and_base58_only_as_written() {
        let own = Own::read(&format!(
            "deny {}\ndeny {BASE58}",
            EVM.to_uppercase().replace("0X", "0x")
        ))
        .unwrap();
        let lists = Lists {
            file: Some(List::new(&own.sha256, own.denied, Timestamp(10))),
            ..Lists::default()
        };
        let found = |address: &str, now| lists.look(&[FILE], &key(address), Timestamp(now))[0].found.clone();
        for (address, is_listed) in [
            (EVM.to_owned(), true),
            (EVM.to_lowercase(), true),
            (BASE58.to_owned(), true),
            (BASE58.to_lowercase(), false),
        ] {
            assert_eq!(matches!(found(&address, 10), Found::Listed(_)), is_listed, "{address}");
            // Too old, it still denies whom it has, and clears nobody.
            let late = found(&address, 11);
            assert_eq!(matches!(late, Found::Listed(_)), is_listed, "{address}");
            assert_eq!(matches!(late, Found::Unchecked(_)), !is_listed, "{address}");
        }
    }
}
