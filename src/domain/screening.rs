//! Whether somebody may pay or be paid: what the sources show becomes one decision, and a decision that lets pass is a
//! [`Ticket`]. Pure and total.
//!
//! Nothing is reserved and no refund is begun without a ticket, and [`judge`] makes the only ones. So a way to settle that
//! forgot to screen does not compile. What an answer is missing counts as not checked, never as clear.

use std::borrow::Cow;
use std::ops::Deref;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domain::id::{RefundId, ScreeningId};
use crate::domain::network::NetworkId;
use crate::domain::rejection::Rejection;
use crate::domain::verdict::Verified;

/// What an address has to do with the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It signed for the money.
    Payer,
    /// The money goes to it.
    PayTo,
    /// It owns a token account that the money leaves or enters, and is neither of the two.
    Holder,
    /// Money goes back to it.
    RefundTarget,
}

impl Role {
    /// The role's stored and public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payer => "payer",
            Self::PayTo => "pay_to",
            Self::Holder => "holder",
            Self::RefundTarget => "refund_target",
        }
    }
}

/// Somebody to be screened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What for.
    pub role: Role,
    /// Canonical text of the rail.
    pub address: String,
}

/// An address as it is compared: one that is written as on EVM chains (`0x` and 40 hexadecimal digits) in lower case, since
/// it is the same whatever its case and on all of them; any other (base58) exactly as it is.
#[must_use]
pub fn key(address: &str) -> Cow<'_, str> {
    let digits = address.strip_prefix("0x").or_else(|| address.strip_prefix("0X"));
    let is_evm = digits.is_some_and(|it| it.len() == 40 && it.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_folded = is_evm && address.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_folded {
        Cow::Owned(address.to_ascii_lowercase())
    } else {
        Cow::Borrowed(address)
    }
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The list's own name for it (OFAC: the SDN entry's uid); up to 200 bytes.
    pub reference: String,
    /// Why it is listed (OFAC: the programmes); up to 500 bytes.
    pub reason: String,
}

/// What a source shows of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It was asked, and has nothing.
    Clear,
    /// It has this.
    Listed(Entry),
    /// It could not be asked, or what it knows is too old.
    Unchecked(&'static str),
}

/// What one source showed of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The source's name.
    pub source: &'static str,
    /// Of what it showed it: the list's hash, or where it was asked.
    pub version: String,
    /// The address, as [`key`] has it.
    pub address: String,
    /// What it showed.
    pub found: Found,
}

/// Who is asked, and what is done where nobody answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Names these rules in the evidence: 16 hexadecimal digits.
    pub version: String,
    /// Each must have been asked about each address.
    pub sources: Vec<Source>,
    /// Lets pass what could not be checked, and says so in the evidence.
    pub lets_unchecked_pass: bool,
}

/// Somebody who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: &'static str,
    /// The networks that it knows, or all of them.
    pub networks: Option<Vec<NetworkId>>,
}

impl Source {
    fn knows(&self, network: &NetworkId) -> bool {
        self.networks.as_ref().is_none_or(|it| it.contains(network))
    }
}

/// Whether anybody is screened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Nobody, by configuration: what is let pass says so.
    Off,
    /// By these rules.
    On(Rules),
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Screening is off by configuration.
    Off,
    /// Every source was asked about everybody, and none has anything.
    Clear,
    /// No source has anything, and not every one could be asked.
    NotChecked,
    /// A source has something.
    Denied,
}

impl Decision {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Off, Self::Clear, Self::NotChecked, Self::Denied];

    /// The decision's stored and public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Clear => "clear",
            Self::NotChecked => "not_checked",
            Self::Denied => "denied",
        }
    }

    /// The decision of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// At what the decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `/verify`.
    Verify,
    /// `/settle`.
    Settle,
    /// Before an attempt at a refund.
    Refund,
    /// When a list changed, of what is on record.
    Review,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Verify, Self::Settle, Self::Refund, Self::Review];

    /// The stage's stored and public name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Settle => "settle",
            Self::Refund => "refund",
            Self::Review => "review",
        }
    }

    /// The stage of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// What may be screened.
pub trait Screenable {
    /// Where the money moves.
    fn network(&self) -> &NetworkId;

    /// Everybody it has to do with.
    fn subjects(&self) -> Vec<Subject>;
}

/// A decision and all that it stands on, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Our name for it.
    pub id: ScreeningId,
    /// At what.
    pub stage: Stage,
    /// What was decided.
    pub decision: Decision,
    /// The rules that decided it.
    pub policy: String,
    /// Where the money would move.
    pub network: NetworkId,
    /// Who was screened, by which sources, and what those have: a JSON object, see [`judge`].
    pub body: String,
}

impl Evidence {
    /// SHA-256 over the JSON array of the format's number and the content in this order: id, stage, decision, policy,
    /// network, body. A payment's first event is sealed over it.
    #[must_use]
    pub fn seal(&self) -> [u8; 32] {
        let content = json!([
            1,
            self.id,
            self.stage.as_str(),
            self.decision.as_str(),
            self.policy,
            self.network,
            self.body,
        ]);
        Sha256::digest(content.to_string().as_bytes()).into()
    }
}

/// Something that may go on, and why.
#[derive(Debug, Clone)]
pub struct Ticket<T> {
    of: T,
    evidence: Option<Evidence>,
}

impl<T> Ticket<T> {
    /// What it was decided on; none where screening is off by configuration.
    #[must_use]
    pub const fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.evidence.as_ref().map_or(Decision::Off, |it| it.decision)
    }
}

impl<T> Deref for Ticket<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.of
    }
}

/// Something that may not go on, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What it was decided on.
    pub evidence: Evidence,
}

impl Denial {
    /// What the caller hears: not which source has what.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        if self.evidence.decision == Decision::Denied {
            Rejection::Screened
        } else {
            Rejection::Unscreened
        }
    }
}

/// Decides, from what the sources showed: any that has something denies; where none has and not all were asked about
/// everybody, the rules say whether it passes. The evidence's body is the object of `subjects` (`role`, `address`),
/// `sources` (`name`, `version`) and `findings` (`source`, `version`, `address`, and either `reference` and `reason` or
/// `unchecked`).
///
/// # Errors
/// [`Denial`].
pub fn judge<T: Screenable>(policy: &Policy, stage: Stage, of: T, looks: &[Look]) -> Result<Ticket<T>, Box<Denial>> {
    let Policy::On(rules) = policy else {
        return Ok(Ticket { of, evidence: None });
    };
    let (subjects, network) = (of.subjects(), of.network().clone());
    let sources: Vec<&Source> = rules.sources.iter().filter(|it| it.knows(&network)).collect();
    let mut decision = Decision::Clear;
    let mut findings = Vec::new();
    for subject in &subjects {
        let address = key(&subject.address);
        for source in &sources {
            let mut shown = looks
                .iter()
                .filter(|it| it.source == source.name && it.address == address)
                .peekable();
            if shown.peek().is_none() {
                decision = worse(decision, Decision::NotChecked);
                findings.push(json!({"source": source.name, "address": address, "unchecked": "not asked"}));
            }
            for look in shown {
                let (decided, finding) = weigh(look);
                decision = worse(decision, decided);
                findings.extend(finding);
            }
        }
    }
    findings.dedup();
    let evidence = Evidence {
        id: ScreeningId::mint(),
        stage,
        decision,
        policy: rules.version.clone(),
        network,
        body: json!({"subjects": told(&subjects), "sources": asked(looks), "findings": findings}).to_string(),
    };
    let passes = match decision {
        Decision::Off | Decision::Clear => true,
        Decision::NotChecked => rules.lets_unchecked_pass,
        Decision::Denied => false,
    };
    if passes {
        let evidence = Some(evidence);
        Ok(Ticket { of, evidence })
    } else {
        Err(Box::new(Denial { evidence }))
    }
}

const fn worse(one: Decision, other: Decision) -> Decision {
    match (one, other) {
        (Decision::Denied, _) | (_, Decision::Denied) => Decision::Denied,
        (Decision::NotChecked, _) | (_, Decision::NotChecked) => Decision::NotChecked,
        (one, Decision::Off | Decision::Clear) => one,
    }
}

fn weigh(look: &Look) -> (Decision, Option<Value>) {
    let Look {
        source,
        version,
        address,
        found,
    } = look;
    match found {
        Found::Clear => (Decision::Clear, None),
        Found::Listed(entry) => {
            let (reference, reason) = (&entry.reference, &entry.reason);
            let finding = json!({"source": source, "version": version, "address": address, "reference": reference, "reason": reason});
            (Decision::Denied, Some(finding))
        }
        Found::Unchecked(why) => {
            let finding = json!({"source": source, "version": version, "address": address, "unchecked": why});
            (Decision::NotChecked, Some(finding))
        }
    }
}

fn told(subjects: &[Subject]) -> Vec<Value> {
    let one = |it: &Subject| json!({"role": it.role.as_str(), "address": it.address});
    subjects.iter().map(one).collect()
}

/// Who was asked, each once.
fn asked(looks: &[Look]) -> Vec<Value> {
    let mut sources: Vec<(&str, &str)> = looks.iter().map(|it| (it.source, it.version.as_str())).collect();
    sources.sort_unstable();
    sources.dedup();
    let one = |(name, version)| json!({"name": name, "version": version});
    sources.into_iter().map(one).collect()
}

impl Screenable for Verified {
    fn network(&self) -> &NetworkId {
        &self.request().rail.network
    }

    fn subjects(&self) -> Vec<Subject> {
        let authorization = self.authorization();
        let mut subjects = parties(&authorization.payer, &authorization.pay_to);
        for holder in &self.facts().holders {
            if subjects.iter().all(|it| it.address != *holder) {
                subjects.push(Subject {
                    role: Role::Holder,
                    address: holder.clone(),
                });
            }
        }
        subjects
    }
}

/// Who pays and who is paid, as far as the authorization alone tells.
#[derive(Debug, Clone, Copy)]
pub struct Parties<'a> {
    /// Where.
    pub network: &'a NetworkId,
    /// Who pays.
    pub payer: &'a str,
    /// Who is paid.
    pub pay_to: &'a str,
}

impl Screenable for Parties<'_> {
    fn network(&self) -> &NetworkId {
        self.network
    }

    fn subjects(&self) -> Vec<Subject> {
        parties(self.payer, self.pay_to)
    }
}

fn parties(payer: &str, pay_to: &str) -> Vec<Subject> {
    let subject = |role, address: &str| Subject {
        role,
        address: address.to_owned(),
    };
    vec![subject(Role::Payer, payer), subject(Role::PayTo, pay_to)]
}

/// An account on record.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Where.
    pub network: &'a NetworkId,
    /// What for.
    pub role: Role,
    /// Canonical text of the rail.
    pub address: &'a str,
}

impl Screenable for Known<'_> {
    fn network(&self) -> &NetworkId {
        self.network
    }

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject {
            role: self.role,
            address: self.address.to_owned(),
        }]
    }
}

/// Money that is to go back, from a wallet of the merchant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// By which refund.
    pub refund: RefundId,
    /// Where.
    pub network: NetworkId,
    /// From whom.
    pub wallet: String,
    /// To whom.
    pub recipient: String,
}

impl Screenable for Payout {
    fn network(&self) -> &NetworkId {
        &self.network
    }

    fn subjects(&self) -> Vec<Subject> {
        let subject = |role, address: &String| Subject {
            role,
            address: address.clone(),
        };
        vec![
            subject(Role::Payer, &self.wallet),
            subject(Role::RefundTarget, &self.recipient),
        ]
    }
}

#[cfg(test)]
#[path = "screening_tests.rs"]
mod tests;
