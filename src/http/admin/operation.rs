//! Lanes, budgets, exceptions, webhooks, and the log.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, Nothing, id, ok, order, tenant};
use crate::app::admin::Office;
use crate::domain::amount::Amount;
use crate::domain::budget::Limits;
use crate::domain::id::{EndpointId, ExceptionId};
use crate::domain::network::NetworkId;
use crate::domain::rail::LaneId;
use crate::domain::tenant::TenantId;
use crate::http::error::Denied;
use crate::http::records::{keys, malformed};
use crate::http::view::rfc_3339;
use crate::store::{Action, Logged};

pub(super) async fn lanes(State(office): State<Office>) -> Response {
    let view = |it: &crate::store::LaneRecord| {
        json!({
            "network": it.lane.network.as_str(), "signer": it.lane.signer, "nextNonce": it.next_nonce,
            "inFlight": it.in_flight, "closedAt": it.quarantined_at.map(rfc_3339),
        })
    };
    let all = office.store.lanes_list().await;
    ok(all
        .map(|all| json!({"lanes": all.iter().map(view).collect::<Vec<_>>()}))
        .map_err(Denied::from))
}

#[derive(Deserialize)]
struct Lane {
    network: NetworkId,
    signer: String,
}

impl Lane {
    fn id(self) -> LaneId {
        LaneId {
            network: self.network,
            signer: self.signer,
        }
    }
}

fn lane_view(lane: &LaneId) -> Value {
    json!({"network": lane.network.as_str(), "signer": lane.signer})
}

pub(super) async fn lane_close(State(office): State<Office>, headers: HeaderMap, body: Body) -> Response {
    let work = async {
        let (it, deed): (Lane, _) = order(&headers, body).await?;
        let lane = it.id();
        office.close(&lane, &deed).await?;
        Ok(lane_view(&lane))
    };
    ok(work.await)
}

pub(super) async fn lane_readmit(State(office): State<Office>, headers: HeaderMap, body: Body) -> Response {
    let work = async {
        let (it, deed): (Lane, _) = order(&headers, body).await?;
        let lane = it.id();
        office.readmit(&lane, &deed).await?;
        Ok(lane_view(&lane))
    };
    ok(work.await)
}

pub(super) async fn budgets(State(office): State<Office>, uri: Uri) -> Response {
    let work = async {
        let units = |limit: Option<Amount>| limit.map(|it| it.to_string());
        let view = |it: &crate::store::TenantLimit| {
            json!({
                "tenant": it.tenant, "network": it.network.as_str(), "asset": it.asset,
                "minute": units(it.limits.minute), "day": units(it.limits.day),
            })
        };
        let all = office.store.tenant_budgets_list(tenant(&uri)?).await?;
        Ok(json!({"budgets": all.iter().map(view).collect::<Vec<_>>()}))
    };
    ok(work.await)
}

#[derive(Deserialize)]
struct Limit {
    tenant: TenantId,
    network: NetworkId,
    asset: Option<String>,
    minute: Option<String>,
    day: Option<String>,
}

pub(super) async fn budget_set(State(office): State<Office>, headers: HeaderMap, body: Body) -> Response {
    let work = async {
        let (it, deed): (Limit, _) = order(&headers, body).await?;
        let units = |key, text: Option<String>| {
            let read = text.map(|it| it.parse::<Amount>());
            read.transpose()
                .map_err(|_| malformed(key, "a whole number of smallest units as a string"))
        };
        let limits = Limits {
            minute: units("minute", it.minute)?,
            day: units("day", it.day)?,
        };
        let unknown = || malformed("asset", "an address of a network that is served");
        let asset = it
            .asset
            .map(|text| office.canonical(&text).ok_or_else(unknown))
            .transpose()?;
        let set = office
            .store
            .tenant_budget_set(it.tenant, &it.network, asset.as_deref(), &limits, &deed);
        set.await?;
        Ok(json!({"tenant": it.tenant, "network": it.network.as_str(), "asset": asset}))
    };
    ok(work.await)
}

#[derive(Deserialize)]
struct Acting {
    action: String,
}

pub(super) async fn exception_act(
    State(office): State<Office>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let work = async {
        let id: ExceptionId = id(name, ExceptionId::SHAPE)?;
        let (it, deed): (Acting, _) = order(&headers, body).await?;
        let action = Action::named(&it.action).ok_or_else(|| malformed("action", "resolve or ignore"))?;
        if !office.store.exception_act(id, action, &deed).await? {
            return Err(Denied::no_such_exception());
        }
        Ok(json!({"id": id, "handled": action.as_str()}))
    };
    ok(work.await)
}

pub(super) async fn webhooks(State(office): State<Office>) -> Response {
    let view = |it: &crate::store::Endpoint| {
        json!({
            "id": it.id, "tenant": it.tenant, "types": it.kinds, "disabledBecause": it.disabled_because,
            "createdAt": rfc_3339(it.created_at), "waiting": it.waiting,
        })
    };
    let all = office.store.endpoints_list().await;
    ok(all
        .map(|all| json!({"webhooks": all.iter().map(view).collect::<Vec<_>>()}))
        .map_err(Denied::from))
}

pub(super) async fn webhook_enable(
    State(office): State<Office>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    ok(webhook_turn(&office, name, &headers, body, true).await)
}

pub(super) async fn webhook_disable(
    State(office): State<Office>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    ok(webhook_turn(&office, name, &headers, body, false).await)
}

async fn webhook_turn(
    office: &Office,
    name: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    body: Body,
    on: bool,
) -> Answered {
    let id: EndpointId = id(name, EndpointId::SHAPE)?;
    let (Nothing {}, deed) = order(headers, body).await?;
    office.webhook_turn(id, on, &deed).await?;
    Ok(json!({"id": id, "enabled": on}))
}

pub(super) async fn log(State(office): State<Office>, uri: Uri) -> Response {
    let work = async {
        let known = "after or nothing";
        let mut keys = keys(&uri, known)?;
        let after: u64 = keys.parsed("after", "the seq of an entry")?.unwrap_or_default();
        keys.end(known)?;
        let (entries, broken) = office.log(after).await?;
        let view = |it: &Logged| {
            let entry: Value = serde_json::from_str(&it.entry).unwrap_or_default();
            json!({"seq": it.seq, "at": rfc_3339(it.at), "entry": entry, "hash": hex::encode(&it.hash)})
        };
        Ok(json!({
            "entries": entries.iter().map(view).collect::<Vec<_>>(),
            "brokenAt": broken.map(|it| it.0),
        }))
    };
    ok(work.await)
}
