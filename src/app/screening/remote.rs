//! Sources that have to be asked: contracts on the chain, and a vendor over HTTP. What they say is kept for as long as the
//! operator says; that one could not be asked is kept for a moment, so that nobody waits for it with every payment.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::lists::Lists;
use super::settings::{HOOK, HookSettings, ORACLE, OracleSettings, Settings};
use crate::app::webhooks::sign::{Keys, headers};
use crate::domain::id::ScreeningId;
use crate::domain::network::NetworkId;
use crate::domain::rail::Rail;
use crate::domain::screening::{Entry, Found, Look, key};
use crate::domain::signing::Secret;
use crate::domain::time::Timestamp;
use crate::outbound::{Outbound, Target};

/// Answers that are kept, about 200 bytes each.
const KEPT_MAX: usize = 100_000;

/// For how many seconds it is kept that a source could not be asked.
const UNHEARD_FOR: u64 = 2;

/// Bytes of what a vendor says that are kept.
const SAID_MAX: usize = 500;

/// Sources that have to be asked.
pub(super) struct Remote {
    oracles: BTreeMap<NetworkId, OracleSettings>,
    hook: Option<Hook>,
    kept: Mutex<HashMap<Question, (Found, Timestamp)>>,
}

struct Hook {
    settings: HookSettings,
    outbound: Outbound,
    target: Target,
    keys: Keys,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    source: &'static str,
    network: NetworkId,
    address: String,
}

/// What a vendor answers.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Allow,
    Deny,
    NotChecked,
}

#[derive(Deserialize)]
struct Answer {
    decision: Verdict,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    reason: String,
}

impl Remote {
    /// # Errors
    /// The vendor's address is none to send to.
    pub(super) fn new(settings: &Settings, secret: Option<&Secret>) -> Result<Self, String> {
        let hook = match (&settings.hook, secret) {
            (Some(hook), Some(secret)) => {
                let outbound = Outbound::new(hook.allow_private)?;
                let target = outbound.target(&hook.url);
                Some(Hook {
                    target: target.map_err(|unfit| format!("screening.hook.url: {unfit}"))?,
                    settings: hook.clone(),
                    outbound,
                    keys: Keys::of_screening(secret),
                })
            }
            (Some(_), None) | (None, _) => None,
        };
        Ok(Self {
            oracles: settings
                .oracle
                .iter()
                .map(|it| (it.network.clone(), it.clone()))
                .collect(),
            hook,
            kept: Mutex::default(),
        })
    }

    /// What each source that knows the rail's network has of each of these addresses.
    pub(super) async fn ask(&self, rail: &dyn Rail, lists: &Lists, addresses: &[&str], now: Timestamp) -> Vec<Look> {
        let network = &rail.id().network;
        let mut looks = Vec::new();
        if let Some(oracle) = self.oracles.get(network) {
            self.ask_oracle(oracle, rail, lists, addresses, now, &mut looks).await;
        }
        if let Some(hook) = &self.hook {
            let asked = addresses.iter().map(|it| self.ask_hook(hook, network, lists, it, now));
            looks.extend(join_all(asked).await);
        }
        looks
    }

    async fn ask_oracle(
        &self,
        oracle: &OracleSettings,
        rail: &dyn Rail,
        lists: &Lists,
        addresses: &[&str],
        now: Timestamp,
        looks: &mut Vec<Look>,
    ) {
        let question = |address: &str| Question {
            source: ORACLE,
            network: oracle.network.clone(),
            address: key(address).into_owned(),
        };
        let mut unknown: Vec<&str> = Vec::new();
        for address in addresses {
            match self.known(&question(address), lists, now) {
                Some(found) => looks.push(look(ORACLE, &oracle.address, address, found)),
                None => unknown.push(address),
            }
        }
        if unknown.is_empty() {
            return;
        }
        let answers = match rail.oracle(&oracle.address, &unknown).await {
            Ok(answers) => answers.into_iter().map(Some).collect(),
            Err(fault) => {
                failed(ORACLE, &fault.to_string());
                vec![None; unknown.len()]
            }
        };
        for (address, answer) in unknown.into_iter().zip(answers) {
            let (found, kept_for) = match answer {
                Some(false) => (Found::Clear, oracle.ttl_seconds),
                Some(true) => (
                    Found::Listed(entry(&oracle.address, "isSanctioned")),
                    oracle.ttl_seconds,
                ),
                None => (Found::Unchecked("the contract could not be asked"), UNHEARD_FOR),
            };
            self.keep(question(address), found.clone(), now.plus(kept_for), now);
            looks.push(look(ORACLE, &oracle.address, address, found));
        }
    }

    async fn ask_hook(&self, hook: &Hook, network: &NetworkId, lists: &Lists, address: &str, now: Timestamp) -> Look {
        let question = Question {
            source: HOOK,
            network: network.clone(),
            address: key(address).into_owned(),
        };
        if let Some(found) = self.known(&question, lists, now) {
            return look(HOOK, HOOK, address, found);
        }
        let (found, kept_for) = match hook.ask(network, address, now).await {
            Ok(found) => (found, hook.settings.ttl_seconds),
            Err(what) => {
                failed(HOOK, &what);
                (Found::Unchecked("the vendor could not be asked"), UNHEARD_FOR)
            }
        };
        let kept_for = if matches!(found, Found::Unchecked(_)) {
            UNHEARD_FOR
        } else {
            kept_for
        };
        self.keep(question, found.clone(), now.plus(kept_for), now);
        look(HOOK, HOOK, address, found)
    }

    fn known(&self, question: &Question, lists: &Lists, now: Timestamp) -> Option<Found> {
        if lists.allowed.contains(&question.address) {
            return Some(Found::Clear);
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, until) = kept.get(question)?;
        (*until > now).then(|| found.clone())
    }

    fn keep(&self, question: Question, found: Found, until: Timestamp, now: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (_, until)| *until > now);
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(question, (found, until));
    }
}

impl Hook {
    /// Asks about one address.
    ///
    /// # Errors
    /// What kept it from being answered, without the vendor's address.
    async fn ask(&self, network: &NetworkId, address: &str, now: Timestamp) -> Result<Found, String> {
        let id = ScreeningId::mint().to_string();
        let body = json!({"type": "screening.check", "id": id, "network": network, "address": address}).to_string();
        let headers = headers(std::slice::from_ref(&self.keys), &id, now.0, &body);
        let patience = Duration::from_millis(self.settings.timeout_ms);
        let told = self.outbound.ask(&self.target, &headers, body, patience).await;
        let (status, body) = told.map_err(|unheard| unheard.to_string())?;
        if status != 200 {
            return Err(format!("HTTP status {status}"));
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| "the answer is none".to_owned())?;
        Ok(match answer.decision {
            Verdict::Allow => Found::Clear,
            Verdict::Deny => Found::Listed(entry(&answer.reference, &answer.reason)),
            Verdict::NotChecked => Found::Unchecked("the vendor has not checked it"),
        })
    }
}

fn failed(source: &'static str, what: &str) {
    metrics::counter!("facilitator_screening_faults_total", "source" => source).increment(1);
    tracing::warn!(source, error = what, "a screening source could not be asked");
}

fn look(source: &'static str, version: &str, address: &str, found: Found) -> Look {
    Look {
        source,
        version: version.to_owned(),
        address: key(address).into_owned(),
        found,
    }
}

fn entry(reference: &str, reason: &str) -> Entry {
    let bounded = |text: &str| {
        let mut text = text.to_owned();
        text.truncate(text.floor_char_boundary(SAID_MAX));
        text
    };
    Entry {
        reference: bounded(reference),
        reason: bounded(reason),
    }
}
