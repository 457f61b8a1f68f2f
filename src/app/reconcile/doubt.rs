//! What is asked again before a payment counts as missing on the chain.

use super::Reconciliation;
use crate::app::AskFault;
use crate::domain::rail::{Observation, Watched};
use crate::domain::reconciliation::{Claim, State, Transfer, Verdict};
use crate::domain::settlement::Landed;
use crate::store::Record;

impl Reconciliation<'_> {
    /// What the chain says when it is asked for this payment alone. A node that leaves transfers out of a list must not make
    /// a loss of them, nor one that cannot be asked.
    pub(super) async fn ask_again(
        &self,
        record: &Record,
        claim: Claim<'_>,
        landed: &Landed,
        missing: Verdict,
    ) -> Result<Verdict, AskFault> {
        let height = landed.block.height;
        let doubt = |why: &str| Verdict {
            state: State::Pending,
            reason: format!("{}, but {why}", missing.reason),
        };
        let Ok(scan) = self.rail.scan(&[super::watched(record)], height..=height).await else {
            return Ok(doubt("the block cannot be asked for again"));
        };
        if scan.transfers.iter().any(|it| claim.owns(it)) {
            self.store.transfers_observe(self.network(), &scan.transfers).await?;
            return Ok(claim.judge(&scan.transfers));
        }
        let is_anothers = |it: &Transfer| it.tx == landed.tx && it.index == landed.log_index;
        if scan.transfers.iter().any(is_anothers) {
            return Ok(missing);
        }
        let watched = Watched {
            payment: record.id,
            authorization: &record.authorization,
            txs: std::slice::from_ref(&landed.tx),
            // Where it is said to have landed is what is in question.
            landed: None,
            since_height: record.since_height,
            seek: false,
        };
        let Ok(sighting) = self.rail.observe(&[watched], &[]).await else {
            return Ok(doubt("it cannot be asked for alone"));
        };
        Ok(match sighting.payments.get(&record.id) {
            Some(Observation::Landed(seen)) if seen.tx == landed.tx && seen.log_index == landed.log_index => {
                doubt("asked for alone it is there")
            }
            _ => missing,
        })
    }
}
