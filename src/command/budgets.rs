//! `facilitator admin budgets`: what a tenant's payments may cost and move.

use std::error::Error;

use clap::{Args, Subcommand};

use crate::command::admin::{Signed, canonical, line};
use crate::domain::amount::Amount;
use crate::domain::budget::Limits;
use crate::domain::network::NetworkId;
use crate::domain::tenant::TenantId;
use crate::store::Store;

/// What to do with budgets.
#[derive(Debug, Subcommand)]
pub enum Budgets {
    /// Say what a tenant's payments on a network may cost or move from now on; what is not named is without limit.
    Set(Limit),
    /// List them as CSV.
    List {
        /// Of this tenant alone.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
}

/// What may be spent or paid.
#[derive(Debug, Args)]
pub struct Limit {
    /// Whose.
    #[arg(long)]
    tenant: TenantId,
    /// On which network (CAIP-2).
    #[arg(long)]
    network: NetworkId,
    /// How much may be paid in this asset; without it, what settling may cost in the chain's own coin.
    #[arg(long)]
    asset: Option<String>,
    /// Within a minute, in the asset's or the coin's smallest unit.
    #[arg(long)]
    minute: Option<Amount>,
    /// Within a day, in the asset's or the coin's smallest unit.
    #[arg(long)]
    day: Option<Amount>,
    #[command(flatten)]
    signed: Signed,
}

/// Does it.
///
/// # Errors
/// There is no such tenant, or the database cannot be reached.
pub(super) async fn budgets(store: &Store, what: Budgets) -> Result<(), Box<dyn Error>> {
    match what {
        Budgets::Set(limit) => {
            let asset = limit.asset.as_deref().map(canonical).transpose()?;
            let limits = Limits {
                minute: limit.minute,
                day: limit.day,
            };
            let (tenant, network) = (limit.tenant, &limit.network);
            store
                .tenant_budget_set(tenant, network, asset.as_deref(), &limits, &limit.signed.deed()?)
                .await?;
        }
        Budgets::List { tenant } => {
            println!("tenant,network,asset,minute,day");
            let units = |limit: Option<Amount>| limit.map(|it| it.to_string()).unwrap_or_default();
            for it in store.tenant_budgets_list(tenant).await? {
                line(&[
                    &it.tenant.to_string(),
                    it.network.as_str(),
                    it.asset.as_deref().unwrap_or_default(),
                    &units(it.limits.minute),
                    &units(it.limits.day),
                ]);
            }
        }
    }
    Ok(())
}
