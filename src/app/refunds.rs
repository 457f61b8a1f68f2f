//! Refunds: recorded against a final payment, listed, and taken back. What pays them is found by the reconciliation, or paid
//! by [`crate::app::repay`].

use crate::app::Trouble;
use crate::domain::id::{PaymentId, RefundId};
use crate::domain::refund::{Asked, PaidBy, Refusal, Wallets, refundable};
use crate::domain::tenant::TenantId;
use crate::store::{Cancelled, NewRefund, Record, Recorded, Refund, RefundFilter, Store, StoreFault, in_time};

/// The refunds on record.
#[derive(Clone)]
pub struct Refunds {
    store: Store,
    wallets: Wallets,
}

/// A refund that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The refund as it was then.
    pub refund: Refund,
    /// By an earlier request with the same key.
    pub is_replay: bool,
}

/// Why a refund was not recorded, or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum NoRefund {
    /// There is no such payment or refund.
    #[error("there is no such payment or refund on record")]
    Unknown,
    /// A rule forbids it.
    #[error("{}", .0.words())]
    Refused(Refusal),
    /// Something else.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreFault> for NoRefund {
    fn from(fault: StoreFault) -> Self {
        Self::Trouble(fault.into())
    }
}

impl Refunds {
    /// The refunds of these records, paid from these wallets.
    #[must_use]
    pub const fn new(store: Store, wallets: Wallets) -> Self {
        Self { store, wallets }
    }

    /// The same refunds, of which it shows this tenant's alone.
    #[must_use]
    pub fn seen_by(&self, tenant: TenantId) -> Self {
        Self {
            store: self.store.seen_by(tenant),
            wallets: self.wallets.clone(),
        }
    }

    /// Records a refund, once for its key: the same request is answered the same.
    ///
    /// # Errors
    /// [`NoRefund`]; after a fault of the store, ask again with the same key.
    pub async fn record(&self, key: String, asked: Asked) -> Result<Told, NoRefund> {
        let tenant = self.store.viewer().unwrap_or(TenantId::SOLE);
        if let Some((refund, digest)) = in_time("refund_named", self.store.refund_named(tenant, &key)).await? {
            return told(if digest == asked.digest() {
                Recorded::Seen(refund)
            } else {
                Recorded::KeyTaken
            });
        }
        let payment = in_time("payment_get", self.store.payment_get(asked.payment)).await?;
        let new = self.new_refund(key, asked, &payment.ok_or(NoRefund::Unknown)?)?;
        told(in_time("refund_record", self.store.refund_record(&new)).await?)
    }

    fn new_refund(&self, key: String, asked: Asked, payment: &Record) -> Result<NewRefund, NoRefund> {
        let landed = refundable(&payment.settlement, &payment.references).map_err(NoRefund::Refused)?;
        let paid = &payment.authorization;
        let wallet = match asked.by {
            PaidBy::Merchant(_) => None,
            PaidBy::Us => {
                let wallet = self.wallets.of(&payment.network, paid);
                Some(wallet.ok_or(NoRefund::Refused(Refusal::NoWallet))?.to_owned())
            }
        };
        Ok(NewRefund {
            id: RefundId::mint(),
            tenant: payment.tenant,
            key,
            network: payment.network.clone(),
            asset: paid.asset.clone(),
            pay_to: paid.pay_to.clone(),
            recipient: paid.payer.clone(),
            payment_amount: paid.amount,
            after: landed.block.height,
            wallet,
            asked,
        })
    }

    /// The refund of this id.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn get(&self, id: RefundId) -> Result<Option<Refund>, StoreFault> {
        in_time("refund_get", self.store.refund_get(id)).await
    }

    /// Whether the payment is on record.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn has_payment(&self, id: PaymentId) -> Result<bool, StoreFault> {
        Ok(in_time("payment_get", self.store.payment_get(id)).await?.is_some())
    }

    /// Refunds, oldest first.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn find(
        &self,
        filter: &RefundFilter,
        after: Option<RefundId>,
        limit: u16,
    ) -> Result<Vec<Refund>, StoreFault> {
        in_time("refunds_find", self.store.refunds_find(filter, after, limit)).await
    }

    /// Takes a refund back, as long as nothing was sent for it.
    ///
    /// # Errors
    /// [`NoRefund`].
    pub async fn cancel(&self, id: RefundId) -> Result<Refund, NoRefund> {
        match in_time("refund_cancel", self.store.refund_cancel(id)).await? {
            Some(Cancelled::Done(refund)) => Ok(*refund),
            Some(Cancelled::Refused) => Err(NoRefund::Refused(Refusal::NotCancellable)),
            None => Err(NoRefund::Unknown),
        }
    }
}

fn told(recorded: Recorded) -> Result<Told, NoRefund> {
    let told = |refund: Refund, is_replay| {
        let refund = refund.as_recorded();
        Ok(Told { refund, is_replay })
    };
    match recorded {
        Recorded::New(refund) => told(refund, false),
        Recorded::Seen(refund) => told(refund, true),
        Recorded::KeyTaken => Err(Trouble::Conflict("the Idempotency-Key").into()),
        Recorded::Exceeds => Err(NoRefund::Refused(Refusal::Exceeds)),
    }
}
