//! Refunds that the merchant pays himself, held against what left his account.

use super::Reconciliation;
use crate::app::AskFault;
use crate::domain::id::RefundId;
use crate::domain::reconciliation::{State, Verdict};
use crate::domain::refund::matched;
use crate::store::{Judged, PaidWith};

impl Reconciliation<'_> {
    /// Finds the transfers that pay refunds, claims first, and tells of claims that their transactions do not bear out.
    pub(super) async fn repaid(&self) -> Result<(), AskFault> {
        for are_claimed in [true, false] {
            let mut after = None;
            loop {
                let (pairs, more) = self.store.refunds_pairs(self.network(), are_claimed, after).await?;
                let matching = matched(&pairs);
                let paid: Vec<(RefundId, PaidWith)> = matching
                    .paid
                    .iter()
                    .map(|(id, transfer)| (*id, transfer.into()))
                    .collect();
                self.store.refunds_pay(&paid).await?;
                self.belie(matching.belied).await?;
                after = more;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Claims that name a transaction which is nowhere to be seen, once all blocks are read in which it could have been when
    /// it was claimed.
    pub(super) async fn claims(&self) -> Result<(), AskFault> {
        if self.store.refund_claims_unplaced(self.network()).await? {
            let head = self.rail.head().await?;
            self.store.refund_claims_place(self.network(), head).await?;
        }
        let overdue = self.store.refund_claims_overdue(self.network()).await?;
        let belied = overdue.into_iter().map(|it| {
            let claimed = it.claimed.map(|tx| tx.0).unwrap_or_default();
            let verdict = Verdict {
                state: State::MissingOnChain,
                reason: format!("the claimed transaction {claimed} moves nothing out of {}", it.pay_to),
            };
            (it.id, verdict)
        });
        self.belie(belied.collect()).await
    }

    async fn belie(&self, belied: Vec<(RefundId, Verdict)>) -> Result<(), AskFault> {
        let ids: Vec<RefundId> = belied.iter().map(|(id, _)| *id).collect();
        let refunds = self.store.refunds_get(&ids).await?;
        let judged = refunds.into_iter().filter_map(|refund| {
            let (_, verdict) = belied.iter().find(|(id, _)| *id == refund.id)?;
            Some(Judged {
                subject: refund.id.to_string(),
                payment: None,
                asset: refund.asset,
                pay_to: refund.pay_to,
                amount: refund.amount,
                verdict: verdict.clone(),
                at: None,
            })
        });
        let judged: Vec<Judged> = judged.collect();
        self.store.reconciliations_judge(self.network(), &judged).await?;
        let problems: Vec<_> = belied.into_iter().map(|(id, it)| (id, Some(it.reason))).collect();
        Ok(self.store.refunds_trouble(&problems).await?)
    }
}
