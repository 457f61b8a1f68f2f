//! `facilitator lanes`: which signer signs where, and who drives it. `facilitator admin lanes` opens a closed one again.

use std::error::Error;

use crate::config::Config;
use crate::store::Store;

/// Lists the lanes on record.
///
/// # Errors
/// The configuration or the database does not answer.
pub async fn lanes(config: Config) -> Result<(), Box<dyn Error>> {
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
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
