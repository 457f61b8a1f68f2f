//! Merchants show that accounts are their own, before anything of those accounts is shown to them.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use crate::domain::claim::{Claim, FacilitatorName, Unproven};
use crate::domain::network::NetworkId;
use crate::domain::rail::{Rail, RailFault};
use crate::domain::tenant::{Holder, KeyId, MerchantId, TenantId};
use crate::domain::time::Clock;
use crate::store::{Deed, NotDone, Store, StoreFault};

/// How accounts are claimed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the facilitator is called in what merchants sign.
    pub facilitator: FacilitatorName,
}

/// Where accounts are claimed.
#[derive(Clone)]
pub struct Claims {
    store: Store,
    rails: Vec<Arc<dyn Rail>>,
    clock: Arc<dyn Clock>,
    facilitator: Option<FacilitatorName>,
}

/// What a merchant says is its own.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// Whose merchant.
    pub tenant: TenantId,
    /// The merchant.
    pub merchant: MerchantId,
    /// Where the account is.
    pub network: NetworkId,
    /// The account, in any text that the network has for it.
    pub pay_to: String,
}

/// Why an account is not the merchant's.
#[derive(Debug, thiserror::Error)]
pub enum ClaimFault {
    /// The operator: it has not said what the facilitator is called.
    #[error(
        "accounts cannot be claimed here: the facilitator has no name for what would be signed (claims.facilitator)"
    )]
    Nameless,
    /// The network is not served.
    #[error("network: expected one that is served here")]
    Network,
    /// The text is no account of the network.
    #[error("payTo: expected an account of the network")]
    Account,
    /// The tenant has no such merchant.
    #[error("merchant: expected one of the tenant's")]
    Merchant,
    /// Somebody else has it.
    #[error("the account is another merchant's; whoever runs the facilitator can release it")]
    Taken,
    /// Somebody else acted in the same moment.
    #[error("somebody else changed something in the same moment; try again")]
    AtOnce,
    /// It is not shown to be its own.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// The chain could not be asked.
    #[error(transparent)]
    Rail(#[from] RailFault),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl Claims {
    /// Over these records and rails.
    #[must_use]
    pub fn new(store: Store, rails: Vec<Arc<dyn Rail>>, clock: Arc<dyn Clock>, settings: Option<Settings>) -> Self {
        Self {
            store,
            rails,
            clock,
            facilitator: settings.map(|it| it.facilitator),
        }
    }

    /// The claim to sign, as of now.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn draft(&self, assertion: &Assertion) -> Result<Claim, ClaimFault> {
        let rail = self.rail(&assertion.network)?;
        Ok(Claim {
            facilitator: self.facilitator.clone().ok_or(ClaimFault::Nameless)?,
            tenant: assertion.tenant,
            merchant: assertion.merchant,
            network: assertion.network.clone(),
            pay_to: rail.canonical_account(&assertion.pay_to).ok_or(ClaimFault::Account)?,
            at: self.clock.now(),
        })
    }

    /// Puts the account on record as the merchant's, if its owner has signed exactly this claim. Safe to repeat.
    ///
    /// # Errors
    /// It is not proven, or the account is somebody else's; or it could not be asked.
    pub async fn prove(&self, claim: &Claim, signature: &str, by: KeyId) -> Result<(), ClaimFault> {
        claim.check_time(self.clock.now())?;
        let text = claim.to_string();
        if !self
            .rail(&claim.network)?
            .has_signed(&claim.pay_to, &text, signature)
            .await?
        {
            return Err(Unproven::Unsigned.into());
        }
        let merchants = self.store.merchants_list(Some(claim.tenant)).await?;
        if merchants.iter().all(|it| it.id != claim.merchant) {
            return Err(ClaimFault::Merchant);
        }
        let proof = json!({"text": text, "signature": signature}).to_string();
        let deed = Deed {
            by: by.to_string(),
            because: "the account's owner has signed that it is the merchant's".to_owned(),
        };
        let account = (&claim.network, claim.pay_to.as_str());
        match self
            .store
            .account_claim(account, claim.merchant, Some(&proof), &deed)
            .await
        {
            Ok(()) => Ok(()),
            Err(NotDone::Store(fault)) => Err(fault.into()),
            Err(NotDone::AtOnce) => Err(ClaimFault::AtOnce),
            Err(NotDone::Unknown(_) | NotDone::TooMany) => Err(ClaimFault::Merchant),
            Err(NotDone::Taken(_)) => self.held(claim).await,
        }
    }

    /// Whether the merchant has the account already.
    async fn held(&self, claim: &Claim) -> Result<(), ClaimFault> {
        let ours = Holder {
            tenant: claim.tenant,
            merchant: claim.merchant,
        };
        let holder = self.store.account_holder(&claim.network, &claim.pay_to).await?;
        if holder == Some(ours) {
            Ok(())
        } else {
            Err(ClaimFault::Taken)
        }
    }

    fn rail(&self, network: &NetworkId) -> Result<&dyn Rail, ClaimFault> {
        let rail = self.rails.iter().find(|it| it.id().network == *network);
        rail.map(|it| &**it).ok_or(ClaimFault::Network)
    }
}
