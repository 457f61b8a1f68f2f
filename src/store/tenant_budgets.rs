//! What tenants' payments may cost and move: the limits, as the operator has set them. What is taken of them stands with all
//! other windows (`budgets`).

use serde_json::json;
use sqlx::types::Uuid;

use super::admin_log::Deed;
use super::rows::{OutOfPlace, network as network_of};
use super::tenants::NotDone;
use super::{Store, StoreFault};
use crate::domain::amount::Amount;
use crate::domain::budget::{Limits, Span, TenantBudget};
use crate::domain::network::NetworkId;
use crate::domain::tenant::TenantId;

statements! {
    OF_TENANT = "select asset = 'native', span, ceiling::text from tenant_budgets
        where tenant = $1 and network = $2 and asset in ('native', $3)";
    SET_BUDGET = "with lifted as (
            delete from tenant_budgets where tenant = $1 and network = $2 and asset = $3 and span <> all($4::bigint[])
        ), kept as (
            insert into tenant_budgets (tenant, network, asset, span, ceiling)
            select t.id, $2, $3, l.span, l.ceiling::numeric
            from tenants t, unnest($4::bigint[], $5::text[]) as l(span, ceiling) where t.id = $1
            on conflict (tenant, network, asset, span) do update set ceiling = excluded.ceiling
        )
        select 1 from tenants where id = $1";
    BUDGETS = "select tenant, network, asset, span, ceiling::text from tenant_budgets
        where $1::uuid is null or tenant = $1 order by tenant, network, asset, span";
}

/// What the limits on gas stand under, where others have an asset.
const NATIVE: &str = "native";

/// A limit of a tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLimit {
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub network: NetworkId,
    /// On what is paid in this asset; none on what settling costs.
    pub asset: Option<String>,
    /// Within which time.
    pub span: Span,
    /// How much, in the smallest unit of the asset or of the chain's coin.
    pub limit: Amount,
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
        let rows: Vec<(bool, i64, String)> = sqlx::query_as(OF_TENANT)
            .bind(tenant.as_uuid())
            .bind(network.as_str())
            .bind(asset)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let mut budget = TenantBudget::default();
        for (is_gas, span, ceiling) in rows {
            let limits = if is_gas { &mut budget.gas } else { &mut budget.value };
            let limit = match span_of(span) {
                Some(Span::Minute) => &mut limits.minute,
                Some(Span::Day) => &mut limits.day,
                Some(Span::Hour) | None => return Err(OutOfPlace::during(operation)(OutOfPlace("span"))),
            };
            *limit = Some(amount(&ceiling).map_err(OutOfPlace::during(operation))?);
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
        let (spans, ceilings): (Vec<i64>, Vec<String>) = [(Span::Minute, limits.minute), (Span::Day, limits.day)]
            .into_iter()
            .filter_map(|(span, limit)| Some((i64::from(span.seconds()), limit?.to_string())))
            .unzip();
        let what = json!({
            "tenant": tenant, "network": network.as_str(), "asset": asset,
            "minute": limits.minute.map(|it| it.to_string()), "day": limits.day.map(|it| it.to_string()),
        });
        let set = sqlx::query(SET_BUDGET)
            .bind(tenant.as_uuid())
            .bind(network.as_str())
            .bind(asset.unwrap_or(NATIVE))
            .bind(spans)
            .bind(ceilings);
        let is_done = self.done("tenant_budget_set", deed, "budget.set", what, set).await?;
        is_done.then_some(()).ok_or(NotDone::Unknown("tenant"))
    }

    /// The tenant's limits; everybody's, if none is named.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn tenant_budgets_list(&self, tenant: Option<TenantId>) -> Result<Vec<TenantLimit>, StoreFault> {
        let operation = "tenant_budgets_list";
        let rows: Vec<(Uuid, String, String, i64, String)> = sqlx::query_as(BUDGETS)
            .bind(tenant.map(|it| it.as_uuid()))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read = |(tenant, network, asset, span, ceiling): (_, String, String, _, String)| {
            Ok(TenantLimit {
                tenant: TenantId::from_uuid(tenant),
                network: network_of(&network)?,
                asset: (asset != NATIVE).then_some(asset),
                span: span_of(span).ok_or(OutOfPlace("span"))?,
                limit: amount(&ceiling)?,
            })
        };
        let limits: Result<_, _> = rows.into_iter().map(read).collect();
        limits.map_err(OutOfPlace::during(operation))
    }
}

fn span_of(seconds: i64) -> Option<Span> {
    Span::ALL.into_iter().find(|it| i64::from(it.seconds()) == seconds)
}

fn amount(ceiling: &str) -> Result<Amount, OutOfPlace> {
    ceiling.parse().map_err(|_| OutOfPlace("ceiling"))
}
