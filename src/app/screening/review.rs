//! Looks again at the accounts on record when a list has changed: whoever is paid, and whoever money is to go back to.

use std::collections::BTreeSet;

use super::settings::{FILE, OFAC};
use super::{On, Screening};
use crate::domain::screening::Known;
use crate::domain::time::Timestamp;
use crate::store::{Review, StoreFault};

/// Accounts that are read together, and reviews that may be open.
const PAGE: u16 = 1000;

impl Screening {
    /// Tells of each account on record that a list has now, and of each that none has any more. Safe to repeat.
    ///
    /// # Errors
    /// The database could not be asked; what was told stands.
    pub(super) async fn review(&self, on: &On, now: Timestamp) -> Result<(), StoreFault> {
        let mut listed = BTreeSet::new();
        let mut after = None;
        loop {
            let known = on.store.screening_known(after.as_ref(), PAGE).await?;
            for (network, address, role) in &known {
                let account = Known {
                    network,
                    role: *role,
                    address,
                };
                let Some(evidence) = on.reviewed(&self.policy, account, now) else {
                    continue;
                };
                for source in [FILE, OFAC] {
                    if !on.has(source, address, now) {
                        continue;
                    }
                    let review = Review {
                        network: network.clone(),
                        address: address.clone(),
                        source: source.to_owned(),
                        role: role.as_str().to_owned(),
                    };
                    if on.store.screening_review_open(&review, &evidence).await? {
                        tracing::warn!(account = address, %network, source, "an account on record is listed now");
                    }
                    listed.insert((review.network, review.address, review.source));
                }
            }
            match known.into_iter().last() {
                Some((network, address, _)) => after = Some((network, address)),
                None => break,
            }
        }
        for open in on.store.screening_reviews(PAGE).await? {
            let place = (open.network.clone(), open.address.clone(), open.source.clone());
            if !listed.contains(&place) && !on.has(&open.source, &open.address, now) {
                on.store.screening_review_close(&open).await?;
                tracing::info!(account = open.address, network = %open.network, source = open.source, "listed no more");
            }
        }
        Ok(())
    }
}
