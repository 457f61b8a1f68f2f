//! Who is told of what happens, and how far.

use std::time::Duration;

use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::admin_log::{self, Deed};
use super::feed::Place;
use super::notices::{self, Notice, Whose};
use super::rows::{OutOfPlace, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::event::WEBHOOK_DISABLED;
use crate::domain::id::EndpointId;
use crate::domain::tenant::TenantId;

/// `endpoints!("where ...")`: the statement that reads [`EndpointRow`]s.
macro_rules! endpoints {
    ($tail:literal) => {
        concat!(
            "select id, tenant, url, types, generation, coalesce(previous_until > now(), false) as has_previous, cursor,
                disabled_because, created_at,
                (select count(*) from webhook_deliveries d where d.endpoint_id = webhook_endpoints.id
                    and d.state = 'pending') as waiting,
                (select min(d.created_at) from webhook_deliveries d where d.endpoint_id = webhook_endpoints.id
                    and d.state = 'pending') as waiting_since
            from webhook_endpoints ",
            $tail,
            " order by id"
        )
    };
}

statements! {
    ADD_ENDPOINT = "insert into webhook_endpoints (id, url, types, cursor, created_at, tenant)
        select $1, $2, $3, $4, now(), $6 where (select count(*) from webhook_endpoints) < $5";
    LIST = endpoints!("");
    GET = endpoints!("where id = $1");
    SERVED = "select id, tenant, url, types, generation, coalesce(previous_until > now(), false) as has_previous, cursor,
            disabled_because, created_at, 0::bigint as waiting, null::timestamptz as waiting_since
        from webhook_endpoints where disabled_at is null order by id";
    ROTATE = "update webhook_endpoints set generation = generation + 1, previous_until = now() + make_interval(secs => $2)
        where id = $1";
    DISABLE = "update webhook_endpoints set disabled_at = now(), disabled_because = $2
        where id = $1 and disabled_at is null";
    ENABLE = "update webhook_endpoints set disabled_at = null, disabled_because = null, failing_since = null
        where id = $1 and disabled_at is not null";
    REMOVE_DELIVERIES = "delete from webhook_deliveries where endpoint_id = $1 and (source, seq) in (
        select d.source, d.seq from webhook_deliveries d where d.endpoint_id = $1 limit $2)";
    REMOVE = "delete from webhook_endpoints where id = $1";
    REWIND = "update webhook_endpoints set cursor = $2 where id = $1";
}

/// How many endpoints there may be.
const ENDPOINTS_MAX: i64 = 100;

/// How many deliveries are deleted at a time.
const DELETED: i64 = 1_000;

/// Who is told.
#[derive(Clone)]
pub struct Endpoint {
    /// Our name for it.
    pub id: EndpointId,
    /// Of whose it is told; of everybody's, where it is none.
    pub tenant: Option<TenantId>,
    /// Where it is. Not to be logged: it often holds a key.
    pub url: String,
    /// The kinds of events that it is told of; all, if there is none.
    pub kinds: Vec<String>,
    /// Which secret it has, counted from 1.
    pub generation: u64,
    /// Whether the secret before signs too.
    pub has_previous: bool,
    /// How far it was told, as it is stored.
    pub cursor: Place,
    /// Why it is not told any more.
    pub disabled_because: Option<String>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// How many deliveries wait; counted where endpoints are listed only.
    pub waiting: u64,
    /// Since when the oldest does.
    pub waiting_since: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct EndpointRow {
    id: Uuid,
    tenant: Option<Uuid>,
    url: String,
    types: Vec<String>,
    generation: i64,
    has_previous: bool,
    cursor: String,
    disabled_because: Option<String>,
    created_at: DateTime<Utc>,
    waiting: i64,
    waiting_since: Option<DateTime<Utc>>,
}

impl EndpointRow {
    fn read(self) -> Result<Endpoint, OutOfPlace> {
        Ok(Endpoint {
            id: EndpointId::from_uuid(self.id),
            tenant: self.tenant.map(TenantId::from_uuid),
            url: self.url,
            kinds: self.types,
            generation: unsigned("generation", self.generation)?,
            has_previous: self.has_previous,
            cursor: self.cursor.parse().map_err(|_| OutOfPlace("cursor"))?,
            disabled_because: self.disabled_because,
            created_at: self.created_at,
            waiting: unsigned("waiting", self.waiting)?,
            waiting_since: self.waiting_since,
        })
    }
}

impl Store {
    /// A new endpoint, told of what happens from now on, of this tenant's or of everybody's; none when there are too many.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn endpoint_add(
        &self,
        url: &str,
        kinds: &[String],
        tenant: Option<TenantId>,
        deed: &Deed,
    ) -> Result<Option<EndpointId>, StoreFault> {
        let id = EndpointId::mint();
        let adding = sqlx::query(ADD_ENDPOINT)
            .bind(id.as_uuid())
            .bind(url)
            .bind(kinds)
            .bind(self.feed_end().await?.to_string())
            .bind(ENDPOINTS_MAX)
            .bind(tenant.map(|it| it.as_uuid()));
        // The log is for more eyes than may see the address.
        let what = json!({"endpoint": id, "types": kinds, "tenant": tenant});
        let is_added = self.logged("endpoint_add", deed, "webhook.add", what, adding);
        Ok(is_added.await?.then_some(id))
    }

    /// All endpoints, with what waits at them.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn endpoints_list(&self) -> Result<Vec<Endpoint>, StoreFault> {
        self.endpoints("endpoints_list", LIST, None).await
    }

    /// The endpoints that are told.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn endpoints_served(&self) -> Result<Vec<Endpoint>, StoreFault> {
        self.endpoints("endpoints_served", SERVED, None).await
    }

    /// This endpoint.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn endpoint_get(&self, id: EndpointId) -> Result<Option<Endpoint>, StoreFault> {
        Ok(self.endpoints("endpoint_get", GET, Some(id)).await?.pop())
    }

    async fn endpoints(
        &self,
        operation: &'static str,
        statement: &'static str,
        id: Option<EndpointId>,
    ) -> Result<Vec<Endpoint>, StoreFault> {
        let mut query = sqlx::query_as(statement);
        if let Some(id) = id {
            query = query.bind(id.as_uuid());
        }
        let rows: Vec<EndpointRow> = query
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let endpoints: Result<_, _> = rows.into_iter().map(EndpointRow::read).collect();
        endpoints.map_err(OutOfPlace::during(operation))
    }

    /// Gives the endpoint a new secret; the one before signs too for `overlap`. False when there is no such endpoint, as below.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn endpoint_rotate(&self, id: EndpointId, overlap: Duration, deed: &Deed) -> Result<bool, StoreFault> {
        let rotating = sqlx::query(ROTATE).bind(id.as_uuid()).bind(overlap.as_secs_f64());
        let what = json!({"endpoint": id, "overlap_seconds": overlap.as_secs()});
        self.logged("endpoint_rotate", deed, "webhook.rotate", what, rotating)
            .await
    }

    /// Tells the endpoint no more, and says so in the feed; in the admin's log too, where somebody did it.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn endpoint_disable(
        &self,
        id: EndpointId,
        because: &'static str,
        deed: Option<&Deed>,
    ) -> Result<bool, StoreFault> {
        let operation = "endpoint_disable";
        let mut transaction = self.begin(operation).await?;
        let is_disabled = disable(&mut transaction, operation, id, because).await?;
        if let Some(deed) = deed.filter(|_| is_disabled) {
            let what = json!({"endpoint": id});
            admin_log::add(&mut transaction, operation, deed, "webhook.disable", what).await?;
        }
        commit(transaction, operation).await?;
        self.ring();
        Ok(is_disabled)
    }

    /// Tells the endpoint again, of all that has happened since it was disabled, too.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn endpoint_enable(&self, id: EndpointId, deed: &Deed) -> Result<bool, StoreFault> {
        let (enabling, what) = (sqlx::query(ENABLE).bind(id.as_uuid()), json!({"endpoint": id}));
        self.logged("endpoint_enable", deed, "webhook.enable", what, enabling)
            .await
    }

    /// Forgets the endpoint and its deliveries, some at a time.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn endpoint_remove(&self, id: EndpointId, deed: &Deed) -> Result<bool, StoreFault> {
        let operation = "endpoint_remove";
        self.endpoint_disable(id, "removed", None).await?;
        loop {
            let deleted = sqlx::query(REMOVE_DELIVERIES)
                .bind(id.as_uuid())
                .bind(DELETED)
                .execute(&self.pool)
                .await
                .map_err(StoreFault::writing(operation))?;
            if deleted.rows_affected() == 0 {
                break;
            }
        }
        let (removing, what) = (sqlx::query(REMOVE).bind(id.as_uuid()), json!({"endpoint": id}));
        self.logged(operation, deed, "webhook.remove", what, removing).await
    }

    /// Delivers everything after this place to the endpoint, again where it had it. False when there is no such endpoint.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn endpoint_rewind(&self, endpoint: EndpointId, after: Place) -> Result<bool, StoreFault> {
        let rewound = sqlx::query(REWIND)
            .bind(endpoint.as_uuid())
            .bind(after.to_string())
            .execute(&self.pool)
            .await
            .map_err(StoreFault::writing("endpoint_rewind"))?;
        Ok(rewound.rows_affected() == 1)
    }
}

/// Tells the endpoint no more, within the caller's transaction; false when it is told no more already.
pub(super) async fn disable(
    connection: &mut PgConnection,
    operation: &'static str,
    id: EndpointId,
    because: &'static str,
) -> Result<bool, StoreFault> {
    let disabled = sqlx::query(DISABLE)
        .bind(id.as_uuid())
        .bind(because)
        .execute(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    if disabled.rows_affected() == 0 {
        return Ok(false);
    }
    let notice = Notice {
        kind: WEBHOOK_DISABLED,
        subject: id.to_string(),
        whose: Whose::Operators,
        data: json!({"endpoint": id, "because": because}),
    };
    notices::add(connection, operation, &[notice]).await?;
    Ok(true)
}
