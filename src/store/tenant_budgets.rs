//! What tenants' payments may cost and move: the limits, as the operator has set them. What is taken of them stands with all
//! other windows (`budgets`).

use serde_json::json;
use sqlx::types::Uuid;

use super::admin_log::Deed;
use super::rows::{OutOfPlace, network as network_of};
use super::tenants::NotDone;
use super::{Store, StoreFault};
use crate::domain::amount::Amount;
use crate::domain::budget::{Limits, TenantBudget};
use crate::domain::network::NetworkId;
use crate::domain::tenant::TenantId;

statements! {
    OF_TENANT = "select asset = 'native', minute::text, day::text from tenant_budgets
        where tenant = $1 and network = $2 and asset in ('native', $3)";
    SET_BUDGET = "insert into tenant_budgets (tenant, network, asset, minute, day)
        select id, $2, $3, $4::text::numeric, $5::text::numeric from tenants where id = $1
        on conflict (tenant, network, asset) do update set minute = excluded.minute, day = excluded.day";
    BUDGETS = "select tenant, network, asset, minute::text, day::text from tenant_budgets
        where $1::uuid is null or tenant = $1 order by tenant, network, asset";
}

/// What the limits on gas stand under, where others have an asset.
const NATIVE: &str = "native";

/// Tenant, network, asset, and how much in a minute and in a day.
type LimitRow = (Uuid, String, String, Option<String>, Option<String>);

/// A tenant's limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLimit {
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub network: NetworkId,
    /// On what is paid in this asset; none on what settling costs.
    pub asset: Option<String>,
    /// How much, in the smallest unit of the asset or of the chain's coin.
    pub limits: Limits,
}

impl Store {
    /// What the tenant's payments in this asset may cost and move. Without limit where nobody has set one.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn tenant_budget(
        &self,
        tenant: TenantId,
        network: &NetworkId,
        asset: &str,
    ) -> Result<TenantBudget, StoreFault> {
        let operation = "tenant_budget";
        let rows: Vec<(bool, Option<String>, Option<String>)> = sqlx::query_as(OF_TENANT)
            .bind(tenant.as_uuid())
            .bind(network.as_str())
            .bind(asset)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let mut budget = TenantBudget::default();
        for (is_gas, minute, day) in rows {
            let limits = limits(minute, day).map_err(OutOfPlace::during(operation))?;
            if is_gas {
                budget.gas = limits;
            } else {
                budget.value = limits;
            }
        }
        Ok(budget)
    }

    /// From now on the tenant's payments on the network may cost so much, or, where an asset is named, move so much of it.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn tenant_budget_set(
        &self,
        tenant: TenantId,
        network: &NetworkId,
        asset: Option<&str>,
        limits: &Limits,
        deed: &Deed,
    ) -> Result<(), NotDone> {
        let units = |limit: Option<Amount>| limit.map(|it| it.to_string());
        let (minute, day) = (units(limits.minute), units(limits.day));
        let what = json!({
            "tenant": tenant, "network": network.as_str(), "asset": asset,
            "minute": minute, "day": day,
        });
        let set = sqlx::query(SET_BUDGET)
            .bind(tenant.as_uuid())
            .bind(network.as_str())
            .bind(asset.unwrap_or(NATIVE))
            .bind(minute)
            .bind(day);
        let is_done = self.done("tenant_budget_set", deed, "budget.set", what, set).await?;
        is_done.then_some(()).ok_or(NotDone::Unknown("tenant"))
    }

    /// The tenant's limits; everybody's, if none is named.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn tenant_budgets_list(&self, tenant: Option<TenantId>) -> Result<Vec<TenantLimit>, StoreFault> {
        let operation = "tenant_budgets_list";
        let rows: Vec<LimitRow> = sqlx::query_as(BUDGETS)
            .bind(tenant.map(|it| it.as_uuid()))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |(tenant, network, asset, minute, day): LimitRow| {
            Ok(TenantLimit {
                tenant: TenantId::from_uuid(tenant),
                network: network_of(&network)?,
                asset: (asset != NATIVE).then_some(asset),
                limits: limits(minute, day)?,
            })
        };
        let limits: Result<_, _> = rows.into_iter().map(read).collect();
        limits.map_err(OutOfPlace::during(operation))
    }
}

fn limits(minute: Option<String>, day: Option<String>) -> Result<Limits, OutOfPlace> {
    let read = |limit: Option<String>| limit.map(|it| it.parse().map_err(|_| OutOfPlace("limit"))).transpose();
    Ok(Limits {
        minute: read(minute)?,
        day: read(day)?,
    })
}
