//! Asks the sources about whoever pays and is paid, and keeps what was decided. The decision itself is
//! [`crate::domain::screening::judge`]'s.
//!
//! Lists are in memory and looked up before any RPC; what has to be asked is asked while the chain is, and kept for a while.
//! `/verify` writes nothing but refusals, the same at most once an hour. Where screening is off nothing is looked up,
//! asked or allocated.

mod fetch;
mod lists;
mod remote;
mod review;
mod sdn;
mod settings;
pub mod sums;
mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sha2::{Digest, Sha256};

pub use self::fetch::{Refreshed, Unfetched, fetch, load};
use self::lists::Lists;
use self::remote::Remote;
pub use self::settings::{
    FILE, FileSettings, HOOK, HookSettings, OFAC, ORACLE, OfacSettings, OracleSettings, Settings, Unchecked, Unfit,
};
use crate::domain::id::RefundId;
use crate::domain::rail::Rail;
use crate::domain::rejection::Rejection;
use crate::domain::screening::{
    Decision, Denial, Evidence, Found, Known, Look, Parties, Policy, Screenable, Stage, Ticket, judge, key,
};
use crate::domain::signing::Secret;
use crate::domain::time::Timestamp;
use crate::outbound::Outbound;
use crate::store::{Store, in_time};

/// At what something was refused, and how.
type Class = (Stage, Decision);

/// For how long the same refusal is on record once, in seconds, and how many of a class are remembered.
const NOTED_FOR: u64 = 3600;
const NOTED_MAX: usize = 10_000;

/// Seconds after which it may help to present again what could not be checked.
pub const RETRY_AFTER: u64 = 30;

/// Whoever screens.
pub struct Screening {
    policy: Policy,
    on: Option<On>,
}

/// What screening by rules takes.
struct On {
    settings: Settings,
    /// The names of the sources that are lists.
    names: Vec<&'static str>,
    lists: RwLock<Arc<Lists>>,
    remote: Remote,
    store: Store,
    /// The way to OFAC's file.
    outbound: Outbound,
    /// Refusals of the last hour, those of one class beside those of another, so that none crowds out another.
    noted: Mutex<HashMap<Class, HashMap<[u8; 32], Timestamp>>>,
}

impl Screening {
    /// Screens nobody, by configuration.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            policy: Policy::Off,
            on: None,
        }
    }

    /// Screens by these settings; what a vendor is asked is signed with what comes of the secret. Knows no list until [`Screening::load`].
    ///
    /// # Errors
    /// The machine's TLS roots cannot be used, or the vendor's address is none to send to.
    pub fn new(settings: Settings, store: Store, secret: Option<&Secret>) -> Result<Self, String> {
        let remote = Remote::new(&settings, secret)?;
        let outbound = Outbound::new(settings.ofac.as_ref().is_some_and(|it| it.allow_private))?;
        let mut names = Vec::new();
        names.extend(settings.file.is_some().then_some(FILE));
        names.extend(settings.ofac.is_some().then_some(OFAC));
        Ok(Self {
            policy: settings.policy(),
            on: Some(On {
                settings,
                names,
                lists: RwLock::default(),
                remote,
                store,
                outbound,
                noted: Mutex::default(),
            }),
        })
    }

    /// What lists alone refuse, before anything is asked of anybody.
    ///
    /// # Errors
    /// [`Rejection::Screened`] or [`Rejection::Unscreened`].
    pub async fn glance(&self, stage: Stage, parties: Parties<'_>, now: Timestamp) -> Result<(), Rejection> {
        let Some(on) = &self.on else {
            return Ok(());
        };
        let looks = on.looks(&parties, now);
        let is_hopeless = looks.iter().any(|it| on.stops(it, &self.policy));
        if !is_hopeless {
            return Ok(());
        }
        match judge(&self.policy, stage, parties, &looks) {
            Ok(_) => Ok(()),
            Err(denial) => Err(Box::pin(on.refuse(&denial, None, now)).await),
        }
    }

    /// Asks whoever has to be asked about the parties, so that their answers are known by the time of the ticket.
    pub async fn ask_ahead(&self, rail: &dyn Rail, parties: [&str; 2], now: Timestamp) {
        if let Some(on) = &self.on {
            Box::pin(on.remote.ask(rail, &on.lists(), &parties, now)).await;
        }
    }

    /// Screens everybody whom it has to do with.
    ///
    /// # Errors
    /// [`Rejection::Screened`] or [`Rejection::Unscreened`].
    pub async fn ticket<T: Screenable>(
        &self,
        stage: Stage,
        of: T,
        rail: &dyn Rail,
        refund: Option<RefundId>,
        now: Timestamp,
    ) -> Result<Ticket<T>, Rejection> {
        let mut looks = Vec::new();
        if let Some(on) = &self.on {
            looks = on.looks(&of, now);
            let subjects = of.subjects();
            let addresses: Vec<&str> = subjects.iter().map(|it| it.address.as_str()).collect();
            looks.extend(Box::pin(on.remote.ask(rail, &on.lists(), &addresses, now)).await);
        }
        match (judge(&self.policy, stage, of, &looks), &self.on) {
            (Ok(ticket), None) => Ok(ticket),
            (Ok(ticket), Some(_)) => {
                count(stage, ticket.decision());
                Ok(ticket)
            }
            (Err(denial), Some(on)) => Err(Box::pin(on.refuse(&denial, refund, now)).await),
            (Err(denial), None) => Err(denial.rejection()),
        }
    }
}

fn count(stage: Stage, decision: Decision) {
    metrics::counter!(
        "facilitator_screening_decisions_total",
        "decision" => decision.as_str(),
        "stage" => stage.as_str()
    )
    .increment(1);
}

impl On {
    fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.lists.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_list(&self, change: impl FnOnce(&mut Lists)) {
        let mut held = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        let mut lists = Lists::clone(&held);
        change(&mut lists);
        *held = Arc::new(lists);
    }

    /// What the lists have of everybody.
    fn looks(&self, of: &impl Screenable, now: Timestamp) -> Vec<Look> {
        let lists = self.lists();
        let subjects = of.subjects();
        subjects
            .iter()
            .flat_map(|it| lists.look(&self.names, &key(&it.address), now))
            .collect()
    }

    /// Nothing that is asked later can change that this refuses.
    fn stops(&self, look: &Look, policy: &Policy) -> bool {
        let is_strict = self.settings.unchecked == Unchecked::Refuse && *policy != Policy::Off;
        match look.found {
            Found::Clear => false,
            Found::Listed(_) => true,
            Found::Unchecked(_) => is_strict,
        }
    }

    /// Keeps why something was refused, and says what the caller hears.
    async fn refuse(&self, denial: &Denial, refund: Option<RefundId>, now: Timestamp) -> Rejection {
        let evidence = &denial.evidence;
        count(evidence.stage, evidence.decision);
        if let Some(place) = self.is_news(evidence, refund, now) {
            let noted = in_time("screening_refused", self.store.screening_refused(evidence, refund)).await;
            if let Err(fault) = noted {
                tracing::warn!(screening.id = %evidence.id, error = %fault, "a refusal could not be put on record");
                let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.entry(place.0).or_default().remove(&place.1);
            }
        }
        denial.rejection()
    }

    /// Where it is remembered that this was refused, unless it was within the hour. What comes in thousands is counted, and not
    /// kept; and so is what `/verify` could not check, since anybody may ask about anybody.
    fn is_news(&self, evidence: &Evidence, refund: Option<RefundId>, now: Timestamp) -> Option<(Class, [u8; 32])> {
        let class = (evidence.stage, evidence.decision);
        if class == (Stage::Verify, Decision::NotChecked) {
            return None;
        }
        let mut digest = Sha256::new();
        for part in [
            evidence.policy.as_str(),
            evidence.network.as_str(),
            evidence.body.as_str(),
            &refund.map_or_else(String::new, |it| it.to_string()),
        ] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        let digest: [u8; 32] = digest.finalize().into();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = noted.entry(class).or_default();
        if noted.len() >= NOTED_MAX {
            noted.retain(|_, until| *until > now);
        }
        let is_known = noted.get(&digest).is_some_and(|until| *until > now);
        if is_known || noted.len() >= NOTED_MAX {
            return None;
        }
        noted.insert(digest, now.plus(NOTED_FOR));
        Some((class, digest))
    }

    /// Until when a list counts as known that was known then.
    fn good_until(&self, then: Timestamp) -> Timestamp {
        then.plus(self.settings.max_age_hours.saturating_mul(3600))
    }

    /// The evidence that a list has an account on record.
    fn reviewed(&self, policy: &Policy, known: Known<'_>, now: Timestamp) -> Option<Evidence> {
        let looks = self.looks(&known, now);
        let judged = judge(policy, Stage::Review, known, &looks);
        judged
            .err()
            .map(|it| it.evidence)
            .filter(|it| it.decision == Decision::Denied)
    }
}
