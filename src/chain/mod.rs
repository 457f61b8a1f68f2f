//! How a chain does it: one folder for each family of chains.
//!
//! A family implements [`Rail`]; nothing outside its folder knows its encodings. What is configured is proven
//! here before anything is served.

pub mod evm;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::domain::network::NetworkId;
use crate::domain::rail::Rail;
use crate::task::Tasks;

/// A network that is configured and cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{network}: {what}")]
pub struct Unservable {
    /// Which.
    pub network: NetworkId,
    /// What was expected and what was found, without keys and addresses of endpoints.
    pub what: String,
}

/// One rail for each network, in the order of the settings, each proven against its chain. Background work runs
/// in `tasks`.
///
/// # Errors
/// The first network that is not what its settings say.
pub async fn connect(networks: &[evm::Settings], tasks: &Tasks) -> Result<Vec<Arc<dyn Rail>>, Unservable> {
    let mut seen = HashSet::new();
    if let Some(twice) = networks.iter().find(|settings| !seen.insert(&settings.id)) {
        return Err(Unservable {
            network: twice.id.clone(),
            what: "expected each network once".to_owned(),
        });
    }
    try_join_all(networks.iter().map(|settings| async move {
        let rail: Arc<dyn Rail> = Arc::new(evm::EvmRail::connect(settings, tasks).await?);
        Ok(rail)
    }))
    .await
}
