//! What an operator does with tenants and their keys; each change is logged with who did it and why.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::domain::id::EndpointId;
use crate::domain::rail::{LaneId, Rail, RailFault};
use crate::domain::signing::Secret;
use crate::domain::tenant::{Access, GatewayKey, MerchantId, Restrictions, Scope, TenantId};
use crate::store::{Broken, Deed, Logged, NewKey, NotDone, Store, StoreFault};

/// The longest name of a tenant, a merchant, a key, or of whoever acts, in characters.
pub const NAME_MAX: usize = 100;

/// The longest word on why, in characters.
pub const WORD_MAX: usize = 1000;

/// A key to make.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whose it is to be.
    pub tenant: TenantId,
    /// The merchant that its payments have to be to, if it has to be one.
    pub merchant: Option<MerchantId>,
    /// What the operator calls it.
    pub name: String,
    /// What it is for; at least one.
    pub scopes: Vec<Scope>,
    /// What it is restricted to, accounts in canonical text.
    pub restrictions: Restrictions,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// It would be for nothing.
    #[error("a key is for at least one of verify, settle, read, reports and admin")]
    ForNothing,
    /// It would show what it is not for.
    #[error(
        "a key that is restricted to a merchant, networks, assets or accounts is for verify and settle alone: what it might read \
         is of all the tenant's accounts"
    )]
    ShowsTooMuch,
    /// There is nothing to hash it with.
    #[error("keys are hashed with a pepper: the configuration needs [tenants]")]
    NoPepper,
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers")]
    NotRandom,
    /// It was not put on record.
    #[error(transparent)]
    NotDone(#[from] NotDone),
}

impl Wanted {
    fn check(&self) -> Result<(), NoKey> {
        let is_restricted = self.merchant.is_some() || self.restrictions != Restrictions::default();
        if self.scopes.is_empty() {
            return Err(NoKey::ForNothing);
        }
        if is_restricted && !self.scopes.iter().all(|it| it.moves()) {
            return Err(NoKey::ShowsTooMuch);
        }
        Ok(())
    }
}

/// Makes a key and puts what is kept of it on record. Its text is shown by nothing else ever after.
///
/// # Errors
/// [`NoKey`].
pub async fn key_issue(
    store: &Store,
    pepper: &Secret,
    wanted: Wanted,
    deed: &Deed,
) -> Result<Zeroizing<String>, NoKey> {
    wanted.check()?;
    let mut secret = Zeroizing::new([0; 32]);
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut *secret).map_err(|_| NoKey::NotRandom)?;
    let key = GatewayKey::new(*secret);
    let new = NewKey {
        access: Access {
            tenant: wanted.tenant,
            merchant: wanted.merchant,
            key: key.id,
            scopes: wanted.scopes,
            restrictions: wanted.restrictions,
        },
        name: wanted.name,
        hash: key.hash(pepper),
    };
    store.key_add(&new, deed).await?;
    Ok(key.reveal())
}

/// Why a lane was not opened again.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// There is none, or it is not on record.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// The chain could not be asked.
    #[error(transparent)]
    Rail(#[from] RailFault),
}

/// What whoever administrates may do.
#[derive(Clone)]
pub struct Office {
    /// The records.
    pub store: Store,
    /// What keys are hashed with, where there are any.
    pub pepper: Option<Secret>,
    /// The ways to pay.
    pub rails: Vec<Arc<dyn Rail>>,
}

impl Office {
    /// The account as records have it; none that no rail knows.
    #[must_use]
    pub fn canonical(&self, account: &str) -> Option<String> {
        self.rails.iter().find_map(|rail| rail.canonical_account(account))
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`NoKey`].
    pub async fn key_issue(&self, wanted: Wanted, deed: &Deed) -> Result<Zeroizing<String>, NoKey> {
        let pepper = self.pepper.as_ref().ok_or(NoKey::NoPepper)?;
        key_issue(&self.store, pepper, wanted, deed).await
    }

    /// Lets nothing new be signed in a lane, by any process.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn close(&self, lane: &LaneId, deed: &Deed) -> Result<(), NotDone> {
        let is_closed = self.store.lane_close(lane, deed).await?;
        is_closed.then_some(()).ok_or(NotDone::Unknown("open lane"))
    }

    /// Lets a closed lane be signed in again, from the nonce that the chain has now.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub async fn readmit(&self, lane: &LaneId, deed: &Deed) -> Result<(), NotOpened> {
        let rail = self.rails.iter().find(|rail| rail.lanes().contains(lane));
        let rail = rail.ok_or(NotDone::Unknown("lane"))?;
        let chains = rail.lane_nonce(lane).await?.unwrap_or_default();
        let readmitted = self.store.lane_readmit(lane, chains, deed).await;
        let is_known = readmitted.map_err(NotDone::Store)?;
        Ok(is_known.then_some(()).ok_or(NotDone::Unknown("lane"))?)
    }

    /// Tells an endpoint again, or no more.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn webhook_turn(&self, id: EndpointId, on: bool, deed: &Deed) -> Result<(), NotDone> {
        let turned = if on {
            self.store.endpoint_enable(id, deed).await?
        } else {
            self.store
                .endpoint_disable(id, "an operator said so", Some(deed))
                .await?
        };
        turned
            .then_some(())
            .ok_or(NotDone::Unknown("endpoint of which this is to be changed"))
    }

    /// The log after this place, a thousand entries at most, with the first of them that is not what was written.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn log(&self, after: u64) -> Result<(Vec<Logged>, Option<Broken>), StoreFault> {
        let before = match after.checked_sub(1) {
            // What the entry itself stands on was checked when it was read.
            Some(earlier) => self
                .store
                .admin_log(earlier, None)
                .await?
                .0
                .first()
                .map(|it| it.hash.clone()),
            None => None,
        };
        self.store.admin_log(after, before).await
    }
}

/// Who acts and why, if both say something that fits.
#[must_use]
pub fn deed(by: &str, because: &str) -> Option<Deed> {
    let fits = |text: &str, most| !text.trim().is_empty() && text.chars().count() <= most && !text.contains('\0');
    (fits(by, NAME_MAX) && fits(because, WORD_MAX)).then(|| Deed {
        by: by.to_owned(),
        because: because.to_owned(),
    })
}
