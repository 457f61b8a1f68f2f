//! Tenants, their merchants and accounts, and the keys of their gateways. Whatever changes one of them is in the log of who did
//! it and why.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::types::Uuid;

use super::admin_log::Deed;
use super::rows::{OutOfPlace, network as network_of};
use super::{DateTime, NewPayment, Store, StoreFault, Utc};
use crate::domain::network::NetworkId;
use crate::domain::tenant::{Access, Holder, KeyId, MerchantId, Restrictions, Scope, TenantId};
use crate::domain::token::PublicKey;

/// `keys!("where …")`: the statement that reads [`KeyRow`]s.
macro_rules! keys {
    ($tail:literal) => {
        concat!(
            "select id, tenant, merchant_id, name, hash, scopes, networks, assets, pay_to, created_at, revoked_at, last_used_at,
                public_key
            from gateway_keys ",
            $tail
        )
    };
}

statements! {
    TENANT_ADD = "insert into tenants (id, name, created_at) values ($1, $2, now())";
    TENANTS = "select id, name, created_at from tenants order by id";
    MERCHANT_ADD = "insert into merchants (id, tenant, name, created_at) values ($1, $2, $3, now())";
    MERCHANTS = "select id, tenant, name, created_at from merchants where $1::uuid is null or tenant = $1 order by id";
    CLAIM = "insert into merchant_accounts (network, address, tenant, merchant_id, claimed_by, proof, created_at)
        select $1, $2, m.tenant, m.id, case when $4::text is null then 'operator' else 'proof' end, $4::text, now()
        from merchants m where m.id = $3";
    RELEASE = "delete from merchant_accounts where network = $1 and address = $2 returning tenant, merchant_id";
    ACCOUNTS = "select network, address, tenant, merchant_id, claimed_by, created_at from merchant_accounts
        where $1::uuid is null or tenant = $1 order by network, address";
    HOLDER = "select tenant, merchant_id from merchant_accounts where network = $1 and address = $2";
    KEY_ADD = "insert into gateway_keys (id, tenant, merchant_id, name, hash, scopes, networks, assets, pay_to, created_at)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, now()
        where (select count(*) from gateway_keys where tenant = $2 and revoked_at is null) < $10";
    KEY = keys!("where id = $1");
    KEYS = keys!("where $1::uuid is null or tenant = $1 order by id");
    KEY_REVOKE = "update gateway_keys set revoked_at = now() where id = $1 and revoked_at is null returning tenant";
    KEY_VOUCH = "update gateway_keys set public_key = $2 where id = $1 and revoked_at is null";
    KEY_USED = "update gateway_keys set last_used_at = now()
        where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')";
}

/// Live keys of one tenant.
const KEYS_MAX: i64 = 100;

/// A tenant, or a merchant of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<I> {
    /// Our name for it.
    pub id: I,
    /// Whose it is; of a tenant, itself.
    pub tenant: TenantId,
    /// The operator's name for it.
    pub name: String,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// An account that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedAccount {
    /// Its network.
    pub network: NetworkId,
    /// Its address, in canonical text.
    pub address: String,
    /// Whose it is.
    pub holder: Holder,
    /// `operator` or `proof`.
    pub claimed_by: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A key to put on record.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it may do; `access.key` is its name.
    pub access: Access,
    /// What the operator calls it.
    pub name: String,
    /// What is kept of it.
    pub hash: [u8; 32],
}

/// A key on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptKey {
    /// What it may do.
    pub access: Access,
    /// What the operator calls it.
    pub name: String,
    /// What is kept of it.
    pub hash: [u8; 32],
    /// Whose tokens stand for it.
    pub public_key: Option<PublicKey>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// Since when it lets nobody in.
    pub revoked_at: Option<DateTime<Utc>>,
    /// About when it last let somebody in; at most a minute old.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// There is nothing of this name.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// The name, or the account, is taken.
    #[error("the {0} is taken")]
    Taken(&'static str),
    /// There are as many as there may be.
    #[error("the tenant has {KEYS_MAX} live keys, which is as many as it may have")]
    TooMany,
    /// Somebody else acted in the same moment.
    #[error("somebody else changed something in the same moment; do it again")]
    AtOnce,
    /// The store's fault.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl NotDone {
    fn of(fault: StoreFault) -> Self {
        match fault.constraint() {
            Some("tenants_name") => Self::Taken("name"),
            Some("merchant_accounts_name") => Self::Taken("account"),
            Some("merchants_tenant" | "gateway_keys_tenant") => Self::Unknown("tenant"),
            Some("gateway_keys_merchant") => Self::Unknown("merchant of this tenant"),
            Some("admin_log_seq") => Self::AtOnce,
            Some(_) | None => Self::Store(fault),
        }
    }
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    tenant: Uuid,
    merchant_id: Option<Uuid>,
    name: String,
    hash: Vec<u8>,
    scopes: Vec<String>,
    networks: Option<Vec<String>>,
    assets: Option<Vec<String>>,
    pay_to: Option<Vec<String>>,
    created_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    public_key: Option<Vec<u8>>,
}

impl KeyRow {
    fn read(self) -> Result<KeptKey, OutOfPlace> {
        let scopes = self
            .scopes
            .iter()
            .map(|it| Scope::named(it).ok_or(OutOfPlace("scopes")));
        let networks = self
            .networks
            .map(|all| all.iter().map(|it| network_of(it)).collect::<Result<_, _>>());
        let public_key = self.public_key.map(|it| PublicKey::from_bytes(&it));
        Ok(KeptKey {
            access: Access {
                tenant: TenantId::from_uuid(self.tenant),
                merchant: self.merchant_id.map(MerchantId::from_uuid),
                key: KeyId::from_uuid(self.id),
                scopes: scopes.collect::<Result<_, _>>()?,
                restrictions: Restrictions {
                    networks: networks.transpose()?,
                    assets: self.assets,
                    pay_to: self.pay_to,
                },
            },
            name: self.name,
            hash: self.hash.try_into().map_err(|_| OutOfPlace("hash"))?,
            public_key: public_key.transpose().map_err(|_| OutOfPlace("public_key"))?,
            created_at: self.created_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
        })
    }
}

impl Store {
    /// A new tenant of this name.
    ///
    /// # Errors
    /// [`NotDone`]; nothing was changed, or in doubt all of it.
    pub async fn tenant_add(&self, name: &str, deed: &Deed) -> Result<TenantId, NotDone> {
        let id = TenantId::mint();
        let add = sqlx::query(TENANT_ADD).bind(id.as_uuid()).bind(name);
        let what = json!({"tenant": id, "name": name});
        self.done("tenant_add", deed, "tenant.add", what, add).await?;
        Ok(id)
    }

    /// All tenants.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn tenants_list(&self) -> Result<Vec<Named<TenantId>>, StoreFault> {
        let rows: Vec<(Uuid, String, DateTime<Utc>)> = sqlx::query_as(TENANTS)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading("tenants_list"))?;
        let tenant = |(id, name, created_at)| Named {
            id: TenantId::from_uuid(id),
            tenant: TenantId::from_uuid(id),
            name,
            created_at,
        };
        Ok(rows.into_iter().map(tenant).collect())
    }

    /// A new merchant of the tenant.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn merchant_add(&self, tenant: TenantId, name: &str, deed: &Deed) -> Result<MerchantId, NotDone> {
        let id = MerchantId::mint();
        let add = sqlx::query(MERCHANT_ADD)
            .bind(id.as_uuid())
            .bind(tenant.as_uuid())
            .bind(name);
        let what = json!({"merchant": id, "tenant": tenant, "name": name});
        self.done("merchant_add", deed, "merchant.add", what, add).await?;
        Ok(id)
    }

    /// The merchants of the tenant; of all, if none is named.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn merchants_list(&self, tenant: Option<TenantId>) -> Result<Vec<Named<MerchantId>>, StoreFault> {
        let rows: Vec<(Uuid, Uuid, String, DateTime<Utc>)> = sqlx::query_as(MERCHANTS)
            .bind(tenant.map(|it| it.as_uuid()))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading("merchants_list"))?;
        let merchant = |(id, tenant, name, created_at)| Named {
            id: MerchantId::from_uuid(id),
            tenant: TenantId::from_uuid(tenant),
            name,
            created_at,
        };
        Ok(rows.into_iter().map(merchant).collect())
    }

    /// The account, in canonical text, is this merchant's: the operator says so, or its owner has signed `proof`.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn account_claim(
        &self,
        (network, address): (&NetworkId, &str),
        merchant: MerchantId,
        proof: Option<&str>,
        deed: &Deed,
    ) -> Result<(), NotDone> {
        let claim = sqlx::query(CLAIM)
            .bind(network.as_str())
            .bind(address)
            .bind(merchant.as_uuid())
            .bind(proof);
        let what = json!({"network": network.as_str(), "account": address, "merchant": merchant, "proof": proof});
        let is_done = self.done("account_claim", deed, "account.claim", what, claim).await?;
        is_done.then_some(()).ok_or(NotDone::Unknown("merchant"))
    }

    /// The account is nobody's any more.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn account_release(&self, network: &NetworkId, address: &str, deed: &Deed) -> Result<(), NotDone> {
        let release = sqlx::query(RELEASE).bind(network.as_str()).bind(address);
        let what = json!({"network": network.as_str(), "account": address});
        let is_done = self
            .done("account_release", deed, "account.release", what, release)
            .await?;
        is_done.then_some(()).ok_or(NotDone::Unknown("account"))
    }

    /// The accounts that the tenant's merchants have; everybody's, if none is named.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn accounts_list(&self, tenant: Option<TenantId>) -> Result<Vec<ClaimedAccount>, StoreFault> {
        let operation = "accounts_list";
        let rows: Vec<(String, String, Uuid, Uuid, String, DateTime<Utc>)> = sqlx::query_as(ACCOUNTS)
            .bind(tenant.map(|it| it.as_uuid()))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let account = |(network, address, tenant, merchant, claimed_by, created_at): (String, _, _, _, _, _)| {
            Ok(ClaimedAccount {
                network: network_of(&network)?,
                address,
                holder: holder((tenant, merchant)),
                claimed_by,
                created_at,
            })
        };
        let accounts: Result<_, _> = rows.into_iter().map(account).collect();
        accounts.map_err(OutOfPlace::during(operation))
    }

    /// Whose the account is, if it is anybody's.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn account_holder(&self, network: &NetworkId, address: &str) -> Result<Option<Holder>, StoreFault> {
        let row: Option<(Uuid, Uuid)> = sqlx::query_as(HOLDER)
            .bind(network.as_str())
            .bind(address)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading("account_holder"))?;
        Ok(row.map(holder))
    }

    /// Puts a key on record.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn key_add(&self, new: &NewKey, deed: &Deed) -> Result<(), NotDone> {
        let Access {
            tenant,
            merchant,
            key,
            scopes,
            restrictions,
        } = &new.access;
        let scopes: Vec<&str> = scopes.iter().map(|it| it.as_str()).collect();
        let networks = restrictions.networks.as_ref();
        let networks = networks.map(|it| it.iter().map(ToString::to_string).collect::<Vec<_>>());
        let what = json!({
            "key": key, "tenant": tenant, "merchant": merchant, "name": new.name, "scopes": scopes,
            "networks": networks, "assets": restrictions.assets, "payTo": restrictions.pay_to,
        });
        let add = sqlx::query(KEY_ADD)
            .bind(key.as_uuid())
            .bind(tenant.as_uuid())
            .bind(merchant.map(|it| it.as_uuid()))
            .bind(&new.name)
            .bind(new.hash)
            .bind(scopes)
            .bind(networks)
            .bind(&restrictions.assets)
            .bind(&restrictions.pay_to)
            .bind(KEYS_MAX);
        let is_done = self.done("key_add", deed, "key.add", what, add).await?;
        is_done.then_some(()).ok_or(NotDone::TooMany)
    }

    /// The key of this name, revoked or not.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn key_get(&self, id: KeyId) -> Result<Option<KeptKey>, StoreFault> {
        let operation = "key_get";
        let row: Option<KeyRow> = sqlx::query_as(KEY)
            .bind(id.as_uuid())
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        row.map(KeyRow::read).transpose().map_err(OutOfPlace::during(operation))
    }

    /// The keys of the tenant; of all, if none is named.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn keys_list(&self, tenant: Option<TenantId>) -> Result<Vec<KeptKey>, StoreFault> {
        let operation = "keys_list";
        let rows: Vec<KeyRow> = sqlx::query_as(KEYS)
            .bind(tenant.map(|it| it.as_uuid()))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let keys: Result<_, _> = rows.into_iter().map(KeyRow::read).collect();
        keys.map_err(OutOfPlace::during(operation))
    }

    /// The key lets nobody in any more.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn key_revoke(&self, id: KeyId, deed: &Deed) -> Result<(), NotDone> {
        let revoke = sqlx::query(KEY_REVOKE).bind(id.as_uuid());
        let is_done = self
            .done("key_revoke", deed, "key.revoke", json!({"key": id}), revoke)
            .await?;
        is_done.then_some(()).ok_or(NotDone::Unknown("live key"))
    }

    /// From now on tokens that the owner of this public key has signed stand for the key; none stand for it where there is none.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn key_vouch(&self, id: KeyId, public_key: Option<&PublicKey>, deed: &Deed) -> Result<(), NotDone> {
        let vouch = sqlx::query(KEY_VOUCH)
            .bind(id.as_uuid())
            .bind(public_key.map(|it| it.as_bytes().as_slice()));
        let what = json!({"key": id, "publicKey": public_key.map(ToString::to_string)});
        let is_done = self.done("key_vouch", deed, "key.vouch", what, vouch).await?;
        is_done.then_some(()).ok_or(NotDone::Unknown("live key"))
    }

    /// The key has let somebody in: kept at most once a minute.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn key_used(&self, id: KeyId) -> Result<(), StoreFault> {
        let operation = "key_used";
        let mut connection = self.connection(operation).await?;
        sqlx::query(KEY_USED)
            .bind(id.as_uuid())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        Ok(())
    }

    /// [`Store::logged`], with what a constraint says of it.
    pub(super) async fn done(
        &self,
        operation: &'static str,
        deed: &Deed,
        action: &'static str,
        what: Value,
        change: Query<'_, Postgres, PgArguments>,
    ) -> Result<bool, NotDone> {
        let done = self.logged(operation, deed, action, what, change).await;
        done.map_err(NotDone::of)
    }
}

impl NewPayment {
    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.verified.request().tenant
    }
}

/// The name that a caller's key is kept under, which is no other tenant's.
pub(super) fn name_within(tenant: TenantId, key: &str) -> String {
    if tenant == TenantId::SOLE {
        return key.to_owned();
    }
    let digest = Sha256::new()
        .chain_update(tenant.as_uuid().as_bytes())
        .chain_update(key.as_bytes());
    hex::encode(digest.finalize())
}

fn holder((tenant, merchant): (Uuid, Uuid)) -> Holder {
    Holder {
        tenant: TenantId::from_uuid(tenant),
        merchant: MerchantId::from_uuid(merchant),
    }
}
