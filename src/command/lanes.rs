//! `facilitator lanes`: which signer signs where, who drives it, and opening a lane again that was closed because
//! somebody else signed with its key.

use std::error::Error;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::chain;
use crate::config::Config;
use crate::domain::network::NetworkId;
use crate::domain::rail::LaneId;
use crate::store::Store;
use crate::task::Tasks;

/// What to do with the lanes; without it they are listed.
#[derive(Debug, Args)]
pub struct LanesArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let a closed lane be signed in again, from the nonce that the chain has now. Find out first who else has its key.
    Readmit {
        /// The network (CAIP-2).
        network: NetworkId,
        /// The signer's address, as listed.
        signer: String,
    },
}

/// Lists the lanes on record, or opens one again.
///
/// # Errors
/// The configuration, the database or the network does not answer, or there is no such lane.
pub async fn lanes(config: Config, args: LanesArgs) -> Result<(), Box<dyn Error>> {
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    match args.what {
        None => list(&store).await,
        Some(What::Readmit { network, signer }) => readmit(&config, &store, LaneId { network, signer }).await,
    }
}

async fn list(store: &Store) -> Result<(), Box<dyn Error>> {
    println!("network,signer,next_nonce,in_flight,driven_by,closed_at");
    for lane in store.lanes_list().await? {
        let driven_by = lane.holder.map(|it| it.0.to_string()).unwrap_or_default();
        let closed_at = lane.quarantined_at.map(|at| at.to_rfc3339()).unwrap_or_default();
        println!(
            "{},{},{},{},{driven_by},{closed_at}",
            lane.lane.network, lane.lane.signer, lane.next_nonce, lane.in_flight
        );
    }
    Ok(())
}

async fn readmit(config: &Config, store: &Store, lane: LaneId) -> Result<(), Box<dyn Error>> {
    let tasks = Tasks::default();
    let rails = chain::connect(&config.network, &tasks).await?;
    let rail = rails.iter().find(|rail| rail.lanes().contains(&lane));
    let rail = rail.ok_or_else(|| format!("{lane} is not configured"))?;
    let chains = rail.lane_nonce(&lane).await?;
    let is_known = store.lane_readmit(&lane, chains.unwrap_or_default(), None).await?;
    tasks.drain(Duration::from_secs(1)).await;
    if !is_known {
        return Err(format!("{lane} has never been used").into());
    }
    println!("{lane} may be signed in again");
    Ok(())
}
