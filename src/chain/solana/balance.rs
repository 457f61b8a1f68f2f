//! What the fee payers have left: one that runs dry is advertised no more, before its payments begin to fail.
//!
//! Read in the background, so that nobody waits for it; between two readings, and while the node cannot be asked, the
//! last one stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use super::node::{ACCOUNTS_MAX, Account, InContext, Node, accounts_call};
use crate::domain::rail::RailFault;
use crate::task::Tasks;

/// How often the balances are read.
const EVERY: Duration = Duration::from_secs(15);

const OPERATION: &str = "fee payers' balances";

/// The fee payers' last known balances.
#[derive(Debug)]
pub(super) struct Balances {
    node: Arc<Node>,
    fee_payers: Vec<Pubkey>,
    /// A fee payer that has less, in lamports, has not enough.
    min: u64,
    /// In lamports.
    last: Mutex<HashMap<Pubkey, u64>>,
}

impl Balances {
    /// Reads the balances once, and from then on in `tasks`.
    ///
    /// # Errors
    /// The node could not be asked.
    pub(super) async fn start(
        node: Arc<Node>,
        fee_payers: Vec<Pubkey>,
        min: u64,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, RailFault> {
        let balances = Arc::new(Self {
            node,
            fee_payers,
            min,
            last: Mutex::default(),
        });
        balances.note(&balances.read().await?);
        tasks.spawn("balances", Arc::clone(&balances).run(tasks.stop_signal()));
        Ok(balances)
    }

    async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            match self.read().await {
                Ok(lamports) => self.note(&lamports),
                Err(fault) => tracing::warn!(error = %fault, "could not read the fee payers' balances"),
            }
        }
    }

    /// The fee payers that have enough to be advertised, in the order of the settings.
    pub(super) fn enough(&self) -> Vec<Pubkey> {
        let last = self.lock();
        let fee_payers = self.fee_payers.iter();
        fee_payers
            .filter(|it| last.get(it).is_some_and(|lamports| *lamports >= self.min))
            .copied()
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pubkey, u64>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each fee payer's lamports, in their order.
    async fn read(&self) -> Result<Vec<u64>, RailFault> {
        let calls: Vec<_> = self.fee_payers.chunks(ACCOUNTS_MAX).map(accounts_call).collect();
        let mut balances = Vec::with_capacity(self.fee_payers.len());
        for answer in self.node.ask(OPERATION, &calls).await? {
            let accounts: InContext<Vec<Option<Account>>> = self.node.read(OPERATION, Some(answer))?;
            // An account that does not exist is one with nothing in it.
            balances.extend(accounts.value.iter().map(|it| it.as_ref().map_or(0, |it| it.lamports)));
        }
        if balances.len() == self.fee_payers.len() {
            Ok(balances)
        } else {
            let cause = "the node answers for another number of accounts";
            Err(self.node.rpc().fault(OPERATION, cause))
        }
    }

    fn note(&self, balances: &[u64]) {
        let network = self.node.rpc().network();
        let mut last = self.lock();
        for (fee_payer, &lamports) in self.fee_payers.iter().zip(balances) {
            metrics::gauge!(
                "facilitator_fee_payer_lamports",
                "network" => network.to_string(),
                "signer" => fee_payer.to_string()
            )
            .set(as_f64(lamports));
            let had_enough = last.insert(*fee_payer, lamports).map(|before| before >= self.min);
            match (had_enough, lamports >= self.min) {
                (None | Some(true), false) => tracing::warn!(
                    network = %network, signer = %fee_payer, lamports, lamports.min = self.min,
                    "fee payer runs dry: advertised no more until it is filled up"
                ),
                (Some(false), true) => {
                    tracing::info!(network = %network, signer = %fee_payer, lamports, "fee payer has enough again");
                }
                (None | Some(true), true) | (Some(false), false) => {}
            }
        }
    }
}

/// The number as metrics have it; from 2^53 on, only about.
fn as_f64(number: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default());
    half(number >> 32) * 4_294_967_296.0 + half(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers below 2^53 are exact")]
    fn lamports_are_exact_as_metrics() {
        for (lamports, metric) in [
            (0, 0.0),
            (5_000, 5e3),
            (4_294_967_296, 4_294_967_296.0),
            (1 << 52, 4_503_599_627_370_496.0),
        ] {
            assert_eq!(as_f64(lamports), metric);
        }
    }
}
