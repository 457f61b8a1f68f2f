//! What an operator does with tenants and their keys; each change is logged with who did it and why.

use zeroize::Zeroizing;

use crate::domain::signing::Secret;
use crate::domain::tenant::{Access, GatewayKey, MerchantId, Restrictions, Scope, TenantId};
use crate::store::{Deed, NewKey, NotDone, Store};

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

/// Who acts and why, if both say something that fits.
#[must_use]
pub fn deed(by: &str, because: &str) -> Option<Deed> {
    let fits = |text: &str, most| !text.trim().is_empty() && text.chars().count() <= most && !text.contains('\0');
    (fits(by, NAME_MAX) && fits(because, WORD_MAX)).then(|| Deed {
        by: by.to_owned(),
        because: because.to_owned(),
    })
}
