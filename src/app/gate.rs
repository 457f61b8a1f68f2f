//! Who is let in. A key is looked up by its public part, and what it proves itself by is held against what is kept of it in a
//! time that says nothing of either.
//!
//! What is on record of a key, and of whose an account is, is remembered for [`REMEMBERED`]: a key that is revoked lets nobody in
//! from then on at every process, and what came in before goes on.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::domain::network::NetworkId;
use crate::domain::signing::Secret;
use crate::domain::tenant::{Access, Barred, GatewayKey, Holder, KeyId, Scope};
use crate::domain::time::Timestamp;
use crate::domain::token::{self, Bound, Flaw, Token};
use crate::seeded::Bug;
use crate::store::{KeptKey, Store, StoreFault, in_time};
use crate::task::Tasks;

/// How long what is on record is remembered, that there is nothing too.
const REMEMBERED: Duration = Duration::from_secs(2);

/// The most that is remembered of each: more is asked for anew.
const REMEMBERED_MAX: usize = 10_000;

/// How often it is kept that a key was used.
const USED_EVERY: Duration = Duration::from_mins(1);

/// The `[tenants]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What keys are hashed with: another secret than the one that the facilitator signs with. Whoever changes it has every
    /// key made anew.
    pub pepper: Secret,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum NotLetIn {
    /// There is no key, or none that lets anybody in. Which of it is not said.
    #[error("expected Authorization: Bearer with a key of this facilitator that is not revoked")]
    Unknown,
    /// The token is none, or not for this request.
    #[error(transparent)]
    Token(#[from] Flaw),
    /// The key is not for this.
    #[error("the key has not the scope {}", .0.as_str())]
    NotFor(Scope),
    /// The key is not for such a payment.
    #[error(transparent)]
    Barred(#[from] Barred),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// Lets requests in, or not. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    store: Store,
    pepper: Secret,
    tasks: Tasks,
    keys: Memory<KeyId, Option<KeptKey>>,
    holders: Memory<(NetworkId, String), Option<Holder>>,
    used: Memory<KeyId, ()>,
}

impl Gate {
    /// A gate for the keys on these records.
    #[must_use]
    pub fn new(store: Store, settings: &Settings, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            store,
            pepper: settings.pepper.clone(),
            tasks,
            keys: Memory::lasting(REMEMBERED),
            holders: Memory::lasting(REMEMBERED),
            used: Memory::lasting(USED_EVERY),
        }))
    }

    /// What the bearer of this key may do, if that is this.
    ///
    /// # Errors
    /// [`NotLetIn`].
    pub async fn enter(&self, bearer: Option<&str>, scope: Scope) -> Result<Access, NotLetIn> {
        let presented: GatewayKey = bearer.and_then(|text| text.parse().ok()).ok_or(NotLetIn::Unknown)?;
        let kept = self.key(presented.id).await?.ok_or(NotLetIn::Unknown)?;
        if !presented.is_of(&kept.hash, &self.0.pepper) || (kept.revoked_at.is_some() && !Bug::RevokedLetIn.is_on()) {
            return Err(NotLetIn::Unknown);
        }
        self.used_for(kept, scope)
    }

    /// What the bearer of this token may do with this request, if that is this, and the body that the request must have.
    ///
    /// # Errors
    /// [`NotLetIn`]. A key that there is not is told like one that another has signed for.
    pub async fn enter_by_token(
        &self,
        token: &Token,
        request: token::Request<'_>,
        now: Timestamp,
        scope: Scope,
    ) -> Result<(Access, Bound), NotLetIn> {
        let kept = self.key(token.key).await?.filter(|it| it.revoked_at.is_none());
        let vouched = kept.and_then(|it| Some((it.public_key?, it)));
        let (public_key, kept) = vouched.ok_or(Flaw::Forged)?;
        let bound = token.check(&public_key, request, now)?;
        Ok((self.used_for(kept, scope)?, bound))
    }

    fn used_for(&self, kept: KeptKey, scope: Scope) -> Result<Access, NotLetIn> {
        self.note_use(kept.access.key);
        if kept.access.has(scope) || Bug::ScopeIgnored.is_on() {
            Ok(kept.access)
        } else {
            Err(NotLetIn::NotFor(scope))
        }
    }

    /// Whether this key may be used for a payment in this asset to this account, both in canonical text.
    ///
    /// # Errors
    /// [`NotLetIn::Barred`] names the field; the database could not be asked.
    pub async fn admit(&self, access: &Access, network: &NetworkId, asset: &str, pay_to: &str) -> Result<(), NotLetIn> {
        let holder = self.holder(network, pay_to).await?;
        Ok(access.admits(network, asset, pay_to, holder)?)
    }

    async fn key(&self, id: KeyId) -> Result<Option<KeptKey>, StoreFault> {
        if let Some(known) = self.0.keys.get(&id) {
            return Ok(known);
        }
        let kept = in_time("key_get", self.0.store.key_get(id)).await?;
        self.0.keys.put(id, kept.clone());
        Ok(kept)
    }

    async fn holder(&self, network: &NetworkId, account: &str) -> Result<Option<Holder>, StoreFault> {
        let name = (network.clone(), account.to_owned());
        if let Some(known) = self.0.holders.get(&name) {
            return Ok(known);
        }
        let holder = in_time("account_holder", self.0.store.account_holder(network, account)).await?;
        self.0.holders.put(name, holder);
        Ok(holder)
    }

    /// Keeps that the key was used, in the background.
    fn note_use(&self, key: KeyId) {
        if self.0.used.get(&key).is_some() {
            return;
        }
        self.0.used.put(key, ());
        let gate = self.clone();
        self.0.tasks.spawn("key_used", async move {
            if let Err(fault) = in_time("key_used", gate.0.store.key_used(key)).await {
                tracing::warn!(error = %fault, "that a key was used is not on record");
            }
        });
    }
}

/// Some of what is on record, for a while.
struct Memory<K, V> {
    lasts: Duration,
    entries: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash, V: Clone> Memory<K, V> {
    fn lasting(lasts: Duration) -> Self {
        Self {
            lasts,
            entries: Mutex::default(),
        }
    }

    fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries();
        let (since, value) = entries.get(key)?;
        (since.elapsed() < self.lasts).then(|| value.clone())
    }

    /// Where there is no room it is not remembered.
    fn put(&self, key: K, value: V) {
        let mut entries = self.entries();
        if entries.len() >= REMEMBERED_MAX {
            entries.retain(|_, (since, _)| since.elapsed() < self.lasts);
        }
        if entries.len() < REMEMBERED_MAX || entries.contains_key(&key) {
            entries.insert(key, (Instant::now(), value));
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, (Instant, V)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_lasts_and_is_bounded() {
        let memory = Memory::lasting(REMEMBERED);
        for key in 0..REMEMBERED_MAX {
            memory.put(key, ());
        }
        memory.put(REMEMBERED_MAX, ());
        assert_eq!((memory.get(&0), memory.get(&REMEMBERED_MAX)), (Some(()), None));
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(memory.get(&0), None);
        memory.put(REMEMBERED_MAX, ());
        assert_eq!(memory.get(&REMEMBERED_MAX), Some(()));
        assert_eq!(memory.entries().len(), 1);
    }
}
