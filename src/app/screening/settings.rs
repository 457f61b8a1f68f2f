//! What an operator says about screening.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::sums::ThresholdSettings;
use crate::domain::network::NetworkId;
use crate::domain::screening::{Policy, Rules, Source};

/// The operator's own list.
pub const FILE: &str = "file";
/// OFAC's list of Specially Designated Nationals.
pub const OFAC: &str = "ofac";
/// A contract on the chain.
pub const ORACLE: &str = "oracle";
/// A vendor.
pub const HOOK: &str = "hook";

/// Who is asked about whoever pays and is paid. Any that has something denies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What to do with what could not be checked.
    #[serde(default)]
    pub unchecked: Unchecked,
    /// For how many hours a list may go unconfirmed before it counts as unknown; 1 to 720.
    #[serde(default = "max_age_hours_default")]
    pub max_age_hours: u64,
    /// The operator's own list.
    pub file: Option<FileSettings>,
    /// OFAC's.
    pub ofac: Option<OfacSettings>,
    /// Contracts that know sanctioned addresses, at most one a network.
    #[serde(default)]
    pub oracle: Vec<OracleSettings>,
    /// A vendor, asked over HTTP.
    pub hook: Option<HookSettings>,
    /// From which sums on somebody has to be looked at who has paid them in all.
    #[serde(default)]
    pub threshold: Vec<ThresholdSettings>,
}

/// What to do with what could not be checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unchecked {
    /// Refuse it, and say that it may be tried again.
    #[default]
    Refuse,
    /// Let it pass, and keep on record that it was not checked.
    Accept,
}

/// The operator's own list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// A text file; it is read again when it changes.
    pub path: PathBuf,
}

/// OFAC's list.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfacSettings {
    /// Where the file is: `SDN.XML` or `SDN_ADVANCED.XML`.
    pub url: String,
    /// Every how many hours it is fetched; 1 to 168, or 0 for never by itself.
    pub refresh_hours: u64,
    /// Also from addresses that are not public, and without TLS: from a mirror of one's own.
    pub allow_private: bool,
}

impl Default for OfacSettings {
    fn default() -> Self {
        Self {
            // Where treasury.gov's own address leads; it answers with a redirect to a signed address elsewhere.
            url: "https://sanctionslistservice.ofac.treas.gov/api/PublicationPreview/exports/SDN.XML".to_owned(),
            refresh_hours: 6,
            allow_private: false,
        }
    }
}

impl fmt::Debug for OfacSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfacSettings")
            .field("refresh_hours", &self.refresh_hours)
            .finish_non_exhaustive()
    }
}

/// A contract with `isSanctioned(address)`, as Chainalysis deploys it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OracleSettings {
    /// On which network; an EVM one.
    pub network: NetworkId,
    /// Its address.
    pub address: String,
    /// For how many seconds an answer is good; 1 to 86400.
    #[serde(default = "ttl_seconds_default")]
    pub ttl_seconds: u64,
}

/// A vendor.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSettings {
    /// Where to ask.
    pub url: String,
    /// How long an answer is waited for, in milliseconds; 50 to 5000.
    #[serde(default = "timeout_ms_default")]
    pub timeout_ms: u64,
    /// For how many seconds an answer is good; 1 to 86400.
    #[serde(default = "ttl_seconds_default")]
    pub ttl_seconds: u64,
    /// Also at addresses that are not public, and without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

impl fmt::Debug for HookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookSettings")
            .field("timeout_ms", &self.timeout_ms)
            .finish_non_exhaustive()
    }
}

const fn max_age_hours_default() -> u64 {
    48
}

const fn ttl_seconds_default() -> u64 {
    3600
}

const fn timeout_ms_default() -> u64 {
    1000
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("screening.{key}: {what}")]
pub struct Unfit {
    /// The key, below `screening`.
    pub key: String,
    /// What was expected there.
    pub what: String,
}

impl Settings {
    /// Checks what the types do not. `canonical` writes an address as records have it.
    ///
    /// # Errors
    /// Names the key, and what was expected there.
    pub fn check(&self, is_signing: bool, canonical: fn(&str) -> Option<String>) -> Result<(), Unfit> {
        let unfit = |key: &str, what: &str| {
            Err(Unfit {
                key: key.to_owned(),
                what: what.to_owned(),
            })
        };
        if self.file.is_none() && self.ofac.is_none() && self.oracle.is_empty() && self.hook.is_none() {
            return unfit("file", "expected at least one of file, ofac, oracle and hook");
        }
        if !(1..=720).contains(&self.max_age_hours) {
            return unfit("max_age_hours", "expected 1 to 720");
        }
        if let Some(ofac) = &self.ofac {
            if ofac.refresh_hours > 168 {
                return unfit("ofac.refresh_hours", "expected 0 to 168");
            }
            if ofac.refresh_hours >= self.max_age_hours {
                return unfit("ofac.refresh_hours", "expected less than max_age_hours");
            }
        }
        for (index, oracle) in self.oracle.iter().enumerate() {
            let is_twice = self
                .oracle
                .iter()
                .skip(index.saturating_add(1))
                .any(|it| it.network == oracle.network);
            if oracle.network.namespace() != "eip155" || is_twice {
                return unfit(
                    &format!("oracle[{index}].network"),
                    "expected an EVM network, each once",
                );
            }
            if !oracle.address.starts_with("0x") || canonical(&oracle.address).is_none() {
                return unfit(&format!("oracle[{index}].address"), "expected a contract's address");
            }
            if !(1..=86_400).contains(&oracle.ttl_seconds) {
                return unfit(&format!("oracle[{index}].ttl_seconds"), "expected 1 to 86400");
            }
        }
        if let Some(hook) = &self.hook {
            if !is_signing {
                return unfit("hook", "expected [signing] beside it: what is asked is signed");
            }
            if !(50..=5_000).contains(&hook.timeout_ms) {
                return unfit("hook.timeout_ms", "expected 50 to 5000");
            }
            if !(1..=86_400).contains(&hook.ttl_seconds) {
                return unfit("hook.ttl_seconds", "expected 1 to 86400");
            }
        }
        Ok(())
    }

    /// The rules that these settings are, under a name that is another one for any others.
    pub(super) fn policy(&self) -> Policy {
        let everywhere = |name| Source { name, networks: None };
        let mut sources = Vec::new();
        sources.extend(self.file.is_some().then(|| everywhere(FILE)));
        sources.extend(self.ofac.is_some().then(|| everywhere(OFAC)));
        if !self.oracle.is_empty() {
            sources.push(Source {
                name: ORACLE,
                networks: Some(self.oracle.iter().map(|it| it.network.clone()).collect()),
            });
        }
        sources.extend(self.hook.is_some().then(|| everywhere(HOOK)));
        let lets_unchecked_pass = self.unchecked == Unchecked::Accept;
        let oracles: Vec<_> = self.oracle.iter().map(|it| (&it.network, &it.address)).collect();
        let names: Vec<_> = sources.iter().map(|it| it.name).collect();
        let said = json!([1, lets_unchecked_pass, self.max_age_hours, names, oracles]).to_string();
        let mut version = hex::encode(Sha256::digest(said));
        version.truncate(16);
        Policy::On(Rules {
            version,
            sources,
            lets_unchecked_pass,
        })
    }
}
