//! Tenants, their merchants and accounts, and keys.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Nothing, id, named, ok, order, tenant};
use crate::app::admin::{Office, Wanted};
use crate::domain::network::NetworkId;
use crate::domain::tenant::{KeyId, MerchantId, Restrictions, Scope, TenantId};
use crate::http::error::Denied;
use crate::http::records::malformed;
use crate::http::view::rfc_3339;
use crate::store::{KeptKey, Named};

fn nameds<I: ToString>(all: &[Named<I>]) -> Vec<Value> {
    let view = |it: &Named<I>| json!({"id": it.id.to_string(), "tenant": it.tenant, "name": it.name, "createdAt": rfc_3339(it.created_at)});
    all.iter().map(view).collect()
}

pub(super) async fn tenants(State(office): State<Office>) -> Response {
    let all = office.store.tenants_list().await;
    ok(all.map(|all| json!({"tenants": nameds(&all)})).map_err(Denied::from))
}

#[derive(Deserialize)]
struct NewTenant {
    name: String,
}

pub(super) async fn tenant_add(State(office): State<Office>, headers: HeaderMap, body: Body) -> Response {
    let work = async {
        let (new, deed): (NewTenant, _) = order(&headers, body).await?;
        let id = office.store.tenant_add(named(&new.name)?, &deed).await?;
        Ok(json!({"id": id}))
    };
    ok(work.await)
}

pub(super) async fn merchants(State(office): State<Office>, uri: Uri) -> Response {
    let work = async {
        let all = office.store.merchants_list(tenant(&uri)?).await?;
        Ok(json!({"merchants": nameds(&all)}))
    };
    ok(work.await)
}

#[derive(Deserialize)]
struct NewMerchant {
    tenant: TenantId,
    name: String,
}

pub(super) async fn merchant_add(State(office): State<Office>, headers: HeaderMap, body: Body) -> Response {
    let work = async {
        let (new, deed): (NewMerchant, _) = order(&headers, body).await?;
        let id = office.store.merchant_add(new.tenant, named(&new.name)?, &deed).await?;
        Ok(json!({"id": id}))
    };
    ok(work.await)
}

pub(super) async fn accounts(State(office): State<Office>, uri: Uri) -> Response {
    let work = async {
        let all = office.store.accounts_list(tenant(&uri)?).await?;
        let view = |it: &crate::store::ClaimedAccount| {
            json!({
                "network": it.network.as_str(), "account": it.address, "tenant": it.holder.tenant,
                "merchant": it.holder.merchant, "claimedBy": it.claimed_by, "createdAt": rfc_3339(it.created_at),
            })
        };
        Ok(json!({"accounts": all.iter().map(view).collect::<Vec<_>>()}))
    };
    ok(work.await)
}

#[derive(Deserialize)]
struct Account {
    network: NetworkId,
    #[serde(rename = "account")]
    address: String,
    merchant: Option<MerchantId>,
}

impl Account {
    fn canonical(&self, office: &Office) -> Result<String, Denied> {
        let canonical = office.canonical(&self.address);
        canonical.ok_or_else(|| malformed("account", "an address of a network that is served"))
    }
}

pub(super) async fn account_claim(State(office): State<Office>, headers: HeaderMap, body: Body) -> Response {
    let work = async {
        let (it, deed): (Account, _) = order(&headers, body).await?;
        let address = it.canonical(&office)?;
        let merchant = it.merchant.ok_or_else(|| malformed("merchant", MerchantId::SHAPE))?;
        office
            .store
            .account_claim((&it.network, &address), merchant, None, &deed)
            .await?;
        Ok(json!({"network": it.network.as_str(), "account": address, "merchant": merchant}))
    };
    ok(work.await)
}

pub(super) async fn account_release(State(office): State<Office>, headers: HeaderMap, body: Body) -> Response {
    let work = async {
        let (it, deed): (Account, _) = order(&headers, body).await?;
        let address = it.canonical(&office)?;
        office.store.account_release(&it.network, &address, &deed).await?;
        Ok(json!({"network": it.network.as_str(), "account": address}))
    };
    ok(work.await)
}

pub(super) async fn gateway_keys(State(office): State<Office>, uri: Uri) -> Response {
    let work = async {
        let all = office.store.keys_list(tenant(&uri)?).await?;
        Ok(json!({"keys": all.iter().map(key).collect::<Vec<_>>()}))
    };
    ok(work.await)
}

fn key(it: &KeptKey) -> Value {
    let (access, restrictions) = (&it.access, &it.access.restrictions);
    let networks = restrictions.networks.as_ref();
    json!({
        "id": access.key, "tenant": access.tenant, "merchant": access.merchant, "name": it.name,
        "scopes": access.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "networks": networks.map(|all| all.iter().map(NetworkId::as_str).collect::<Vec<_>>()),
        "assets": restrictions.assets, "payTo": restrictions.pay_to,
        "createdAt": rfc_3339(it.created_at), "revokedAt": it.revoked_at.map(rfc_3339),
        "lastUsedAt": it.last_used_at.map(rfc_3339),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedKey {
    tenant: TenantId,
    merchant: Option<MerchantId>,
    name: String,
    scopes: Vec<String>,
    networks: Option<Vec<NetworkId>>,
    assets: Option<Vec<String>>,
    pay_to: Option<Vec<String>>,
}

pub(super) async fn key_add(State(office): State<Office>, headers: HeaderMap, body: Body) -> Response {
    let work = async {
        let (asked, deed): (AskedKey, _) = order(&headers, body).await?;
        let scopes = asked
            .scopes
            .iter()
            .map(|it| Scope::named(it))
            .collect::<Option<Vec<_>>>();
        let canonical = |key: &str, texts: Option<Vec<String>>| {
            let all = texts.map(|all| all.iter().map(|it| office.canonical(it)).collect::<Option<Vec<_>>>());
            all.map(|it| it.ok_or_else(|| malformed(key, "addresses of networks that are served")))
                .transpose()
        };
        let wanted = Wanted {
            tenant: asked.tenant,
            merchant: asked.merchant,
            name: named(&asked.name)?.to_owned(),
            scopes: scopes.ok_or_else(|| malformed("scopes", "some of verify, settle, read, reports and admin"))?,
            restrictions: Restrictions {
                networks: asked.networks,
                assets: canonical("assets", asked.assets)?,
                pay_to: canonical("payTo", asked.pay_to)?,
            },
        };
        let key = office.key_issue(wanted, &deed).await?;
        Ok(json!({"key": *key}))
    };
    ok(work.await)
}

pub(super) async fn key_revoke(
    State(office): State<Office>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let work = async {
        let id: KeyId = id(name, KeyId::SHAPE)?;
        let (Nothing {}, deed) = order(&headers, body).await?;
        office.store.key_revoke(id, &deed).await?;
        Ok(json!({"id": id}))
    };
    ok(work.await)
}
