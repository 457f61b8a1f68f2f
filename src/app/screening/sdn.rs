//! Reads the digital currency addresses out of OFAC's list of Specially Designated Nationals, as it comes: the plain file
//! (`SDN.XML`, root `sdnList`) and the advanced one (`SDN_ADVANCED.XML`, root `Sanctions`), which say the same.
//!
//! Names are compared without their namespace, of which the files have a default one that has changed before. A file that
//! ends before its root does, or in which no address is found, is no list: an empty one would let everybody pass.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use tokio::io::AsyncBufRead;

use crate::domain::screening::{Entry, key};
use crate::store::Listed;

/// What the kinds of identifications begin with that are addresses: "Digital Currency Address - XBT". What follows names a
/// currency, not a chain: an address listed under one may be used on all chains that write it so.
const KIND: &str = "Digital Currency Address";

/// Elements within one another, and bytes of what one of them says.
const DEPTH_MAX: usize = 32;
const TEXT_MAX: usize = 8 * 1024;

/// Addresses; today there are about a thousand.
const ENTRIES_MAX: usize = 1_000_000;

/// Bytes of an address, and of the programmes together, that are kept.
const ADDRESS_MAX: usize = 200;
const REASON_MAX: usize = 500;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sdn {
    /// When it was published, in its own words.
    pub(super) published: String,
    /// Each address with the entry's uid and its programmes.
    pub(super) entries: BTreeSet<Listed>,
}

/// Why a file is not taken for the list.
#[derive(Debug, thiserror::Error)]
pub enum NotSdn {
    /// It is not well-formed, or could not be read to its end.
    #[error("the file cannot be read as XML: {0}")]
    Xml(String),
    /// It is another document.
    #[error("the file's root is neither sdnList nor Sanctions")]
    OtherRoot,
    /// It breaks off.
    #[error("the file ends before its end")]
    Truncated,
    /// Its like was never seen.
    #[error("the file has more than belongs into one: {0}")]
    Excess(&'static str),
    /// There is nothing in it: that cannot be.
    #[error("the file has no digital currency address")]
    Empty,
}

/// Reads the file to its end.
///
/// # Errors
/// [`NotSdn`].
pub(super) async fn read(from: impl AsyncBufRead + Unpin) -> Result<Sdn, NotSdn> {
    let mut reader = Reader::from_reader(from);
    reader.config_mut().check_end_names = true;
    let mut reading = Reading::default();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let event = reader.read_event_into_async(&mut buffer).await;
        match event.map_err(|error| NotSdn::Xml(error.to_string()))? {
            Event::Start(start) => reading.begin(&start)?,
            Event::Empty(start) => {
                reading.begin(&start)?;
                reading.end();
            }
            Event::Text(text) => reading.say(&text)?,
            Event::CData(text) => reading.say(&text)?,
            Event::End(_) => reading.end(),
            Event::Eof => return reading.done(),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::GeneralRef(_) => {}
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    path: Vec<String>,
    is_over: bool,
    text: String,
    published: Vec<String>,
    /// Of the entry that is being read.
    uid: String,
    programmes: Vec<String>,
    addresses: Vec<String>,
    /// Of the identification or feature that is being read.
    kind: String,
    number: String,
    /// The advanced file's numbers for kinds of addresses, and which kind the feature that is being read is.
    kinds: BTreeSet<String>,
    profile: String,
    found: Vec<(String, String)>,
    reasons: BTreeMap<String, Vec<String>>,
}

impl Reading {
    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), NotSdn> {
        let name = start.local_name().as_ref().to_owned();
        if self.path.is_empty() && (self.is_over || !["sdnList", "Sanctions"].contains(&name.as_str())) {
            return Err(NotSdn::OtherRoot);
        }
        if self.path.len() >= DEPTH_MAX {
            return Err(NotSdn::Excess("elements within one another"));
        }
        self.text.clear();
        self.path.push(name);
        match self.place().as_slice() {
            ["sdnList", "sdnEntry"] => {
                self.uid.clear();
                self.programmes.clear();
                self.addresses.clear();
            }
            ["sdnList", "sdnEntry", "idList", "id"] => {
                self.kind.clear();
                self.number.clear();
            }
            ["Sanctions", "DistinctParties", "DistinctParty"] => self.uid = attribute(start, "FixedRef"),
            ["Sanctions", "ReferenceValueSets", "FeatureTypeValues", "FeatureType"] => {
                self.number = attribute(start, "ID");
            }
            ["Sanctions", "DistinctParties", .., "Feature"] => self.kind = attribute(start, "FeatureTypeID"),
            ["Sanctions", "SanctionsEntries", "SanctionsEntry"] => self.profile = attribute(start, "ProfileID"),
            _ => {}
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> Result<(), NotSdn> {
        if self.text.len().saturating_add(text.len()) > TEXT_MAX {
            return Err(NotSdn::Excess("text"));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn end(&mut self) {
        let said = std::mem::take(&mut self.text).trim().to_owned();
        match self.place().as_slice() {
            ["sdnList", "publshInformation", "Publish_Date"]
            | ["Sanctions", "DateOfIssue", "Year" | "Month" | "Day"] => self.published.push(said),
            ["sdnList", "sdnEntry", "uid"] => self.uid = said,
            ["sdnList", "sdnEntry", "programList", "program"] => self.programmes.push(said),
            ["sdnList", "sdnEntry", "idList", "id", "idType"] => self.kind = said,
            ["sdnList", "sdnEntry", "idList", "id", "idNumber"] => self.number = said,
            ["sdnList", "sdnEntry", "idList", "id"] if self.kind.starts_with(KIND) => {
                let number = std::mem::take(&mut self.number);
                self.addresses.push(number);
            }
            ["sdnList", "sdnEntry"] => {
                let addresses = std::mem::take(&mut self.addresses);
                self.found
                    .extend(addresses.into_iter().map(|it| (it, self.uid.clone())));
                self.reasons
                    .insert(self.uid.clone(), std::mem::take(&mut self.programmes));
            }
            ["Sanctions", "ReferenceValueSets", "FeatureTypeValues", "FeatureType"] if said.starts_with(KIND) => {
                self.kinds.insert(std::mem::take(&mut self.number));
            }
            [
                "Sanctions",
                "DistinctParties",
                ..,
                "Feature",
                "FeatureVersion",
                "VersionDetail",
            ] if self.kinds.contains(&self.kind) => {
                self.found.push((said, self.uid.clone()));
            }
            [
                "Sanctions",
                "SanctionsEntries",
                "SanctionsEntry",
                "SanctionsMeasure",
                "Comment",
            ] if !said.is_empty() => {
                self.reasons.entry(self.profile.clone()).or_default().push(said);
            }
            _ => {}
        }
        self.path.pop();
        self.is_over = self.path.is_empty();
    }

    fn place(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    fn done(self) -> Result<Sdn, NotSdn> {
        if !self.is_over {
            return Err(NotSdn::Truncated);
        }
        if self.found.len() > ENTRIES_MAX {
            return Err(NotSdn::Excess("addresses"));
        }
        let entry = |(address, uid): (String, String)| {
            let mut reason = self.reasons.get(&uid).map_or_else(String::new, |it| it.join(", "));
            reason.truncate(reason.floor_char_boundary(REASON_MAX));
            let is_address = (1..=ADDRESS_MAX).contains(&address.len()) && !uid.is_empty() && uid.len() <= ADDRESS_MAX;
            let entry = Entry { reference: uid, reason };
            is_address.then(|| (key(&address).into_owned(), entry))
        };
        let entries: BTreeSet<Listed> = self.found.into_iter().filter_map(entry).collect();
        if entries.is_empty() {
            return Err(NotSdn::Empty);
        }
        Ok(Sdn {
            published: self.published.join("-"),
            entries,
        })
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> String {
    let found = start.attributes().flatten().find(|it| it.key.as_ref() == name);
    found.map_or_else(String::new, |it| it.value.into_owned())
}

#[cfg(test)]
#[path = "sdn_tests.rs"]
mod tests;
