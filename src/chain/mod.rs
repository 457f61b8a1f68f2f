//! How a chain does it: one folder for each family of chains.
//!
//! A family implements [`Rail`]; nothing outside its folder knows its encodings. What is configured is proven
//! here before anything is served.

mod coalesce;
mod coin;
mod custody;
mod cut;
mod endpoint;
pub mod evm;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod json;
mod pool;
pub mod quorum;
mod rpc;
mod secret;
pub mod solana;
mod urls;
mod wallets;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::domain::network::NetworkId;
use crate::domain::rail::Rail;
use crate::task::Tasks;

pub use self::coin::{BudgetSettings, Decimal};
pub use self::custody::{Kept, KeystoreSettings, Source};
pub use self::secret::Secret;
pub use self::urls::Urls;
pub use self::wallets::WalletSettings;

/// A network that is configured and cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{network}: {what}")]
pub struct Unservable {
    /// Which.
    pub network: NetworkId,
    /// What was expected and what was found, without keys and addresses of endpoints.
    pub what: String,
}

/// What an operator says about one network, as its family has it.
#[derive(Debug, Clone)]
pub enum Settings {
    /// An EVM network.
    Evm(evm::Settings),
    /// A Solana cluster.
    Solana(solana::Settings),
}

impl Settings {
    /// The network.
    #[must_use]
    pub const fn id(&self) -> &NetworkId {
        match self {
            Self::Evm(settings) => &settings.id,
            Self::Solana(settings) => &settings.id,
        }
    }

    /// Decimals of the chain's own coin, in which settling is paid for.
    #[must_use]
    pub const fn coin_decimals(&self) -> u8 {
        match self {
            Self::Evm(_) => evm::COIN_DECIMALS,
            Self::Solana(_) => solana::COIN_DECIMALS,
        }
    }

    /// The assets accepted there: each one's address in canonical text, and its decimals.
    #[must_use]
    pub fn assets(&self) -> Vec<(String, u8)> {
        match self {
            Self::Evm(settings) => settings.assets(),
            Self::Solana(settings) => settings.assets(),
        }
    }

    /// What the operator calls each of them: its address in canonical text, and its symbol.
    #[must_use]
    pub fn symbols(&self) -> Vec<(String, String)> {
        match self {
            Self::Evm(settings) => settings.symbols(),
            Self::Solana(settings) => settings.symbols(),
        }
    }
}

/// Which wallet refunds the payments to which recipient, of all these networks: network, recipient, wallet.
///
/// # Errors
/// The first table that is not what it must be.
pub fn refund_wallets(networks: &[Settings]) -> Result<Vec<(NetworkId, String, String)>, Unservable> {
    let mut assigned = Vec::new();
    for settings in networks {
        let of_network = match settings {
            Settings::Evm(settings) => evm::refund_wallets(settings),
            Settings::Solana(settings) => solana::refund_wallets(settings),
        };
        let of_network = of_network.map_err(|what| Unservable {
            network: settings.id().clone(),
            what,
        })?;
        assigned.extend(
            of_network
                .into_iter()
                .map(|(pay_to, wallet)| (settings.id().clone(), pay_to, wallet)),
        );
    }
    Ok(assigned)
}

/// An account or asset in its family's canonical text, however it was written; none when no family knows such a text.
#[must_use]
pub fn canonical_account(text: &str) -> Option<String> {
    evm::canonical_account(text).or_else(|| solana::canonical_account(text))
}

/// After how long without a new block a chain counts as standing still, unless it is stated: fifteen usual block times,
/// which no chain skips in its ordinary life, and not before 30 s.
fn stalled_after(stated: Option<u64>, block_time: Duration) -> Duration {
    let usual = block_time.saturating_mul(15).max(Duration::from_secs(30));
    stated.map_or(usual, Duration::from_secs)
}

/// One rail for each network, in the order of the settings, each proven against its chain. Background work runs
/// in `tasks`.
///
/// # Errors
/// The first network that is not what its settings say.
pub async fn connect(networks: &[Settings], tasks: &Tasks) -> Result<Vec<Arc<dyn Rail>>, Unservable> {
    connect_each(networks, tasks).await.into_iter().collect()
}

/// As [`connect`], and of each network what it is, whatever the others are.
pub async fn connect_each(networks: &[Settings], tasks: &Tasks) -> Vec<Result<Arc<dyn Rail>, Unservable>> {
    let mut seen = HashSet::new();
    let networks = networks.iter().map(|it| (it, seen.insert(it.id())));
    let networks: Vec<_> = networks.collect();
    join_all(networks.into_iter().map(|(settings, is_first)| async move {
        if !is_first {
            return Err(Unservable {
                network: settings.id().clone(),
                what: "expected each network once".to_owned(),
            });
        }
        let rail: Arc<dyn Rail> = match settings {
            Settings::Evm(settings) => Arc::new(evm::EvmRail::connect(settings, tasks).await?),
            Settings::Solana(settings) => Arc::new(solana::SolanaRail::connect(settings, tasks).await?),
        };
        Ok(rail)
    }))
    .await
}
