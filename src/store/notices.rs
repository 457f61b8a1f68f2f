//! What happened that is no payment's, written by the transaction that made it happen. Told in the feed, with the
//! payments' events.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::{Store, StoreFault};
use crate::domain::network::NetworkId;
use crate::domain::tenant::TenantId;

statements! {
    // Whose it is: as it says, its payment's or statement's, or whoever's its account is; the operator's own otherwise.
    ADD = "insert into notices (id, kind, subject, body, created_at, tenant)
        select n.id, n.kind, n.subject, n.body::jsonb, now(),
            coalesce(n.tenant, (select p.tenant from payments p where p.id = n.record),
                (select t.tenant from statements t where t.id = n.record),
                (select m.tenant from merchant_accounts m where m.network = n.network and m.address = n.account),
                '00000000-0000-0000-0000-000000000000')
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::text[])
            as n(id, kind, subject, body, tenant, record, network, account)";
    TURN = "insert into notices (id, kind, subject, body, created_at)
        select $1, $2, $3, $4::text::jsonb, now()
        where $2 is distinct from (select n.kind from notices n where n.subject = $3 order by n.seq desc limit 1)";
}

/// Something to tell.
pub(super) struct Notice {
    /// One of [`crate::domain::event::KINDS`].
    pub(super) kind: &'static str,
    /// What it happened to.
    pub(super) subject: String,
    /// What it was: an object. Nothing in it authorizes anything.
    pub(super) data: Value,
    /// Who is told.
    pub(super) whose: Whose,
}

/// Who is told of something, besides the operator.
pub(super) enum Whose {
    /// Nobody.
    Operators,
    /// This tenant.
    Of(TenantId),
    /// Whoever's this payment or statement is.
    Records(Uuid),
    /// Whoever's this account on this network is.
    Accounts(NetworkId, String),
}

impl Whose {
    const fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Of(tenant) => Some(*tenant),
            Self::Operators | Self::Records(_) | Self::Accounts(..) => None,
        }
    }

    const fn record(&self) -> Option<Uuid> {
        match self {
            Self::Records(record) => Some(*record),
            Self::Operators | Self::Of(_) | Self::Accounts(..) => None,
        }
    }

    fn account(&self) -> Option<(&str, &str)> {
        match self {
            Self::Accounts(network, account) => Some((network.as_str(), account)),
            Self::Operators | Self::Of(_) | Self::Records(_) => None,
        }
    }
}

/// Adds the rows within the caller's transaction.
pub(super) async fn add(
    connection: &mut PgConnection,
    operation: &'static str,
    notices: &[Notice],
) -> Result<(), StoreFault> {
    if notices.is_empty() {
        return Ok(());
    }
    let whose = || notices.iter().map(|it| &it.whose);
    sqlx::query(ADD)
        .bind(notices.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
        .bind(notices.iter().map(|it| it.kind).collect::<Vec<_>>())
        .bind(notices.iter().map(|it| it.subject.as_str()).collect::<Vec<_>>())
        .bind(notices.iter().map(|it| it.data.to_string()).collect::<Vec<_>>())
        .bind(whose().map(|it| it.tenant().map(|id| id.as_uuid())).collect::<Vec<_>>())
        .bind(whose().map(Whose::record).collect::<Vec<_>>())
        .bind(
            whose()
                .map(|it| it.account().map(|account| account.0))
                .collect::<Vec<_>>(),
        )
        .bind(
            whose()
                .map(|it| it.account().map(|account| account.1))
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

impl Store {
    /// Tells that the subject took this turn, unless that is the last that was told of it: several processes see the same,
    /// and two that see it in the same moment may both tell.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn notice_turn(&self, kind: &str, subject: &str, data: &Value) -> Result<(), StoreFault> {
        let operation = "notice_turn";
        let mut connection = self.connection(operation).await?;
        sqlx::query(TURN)
            .bind(Uuid::now_v7())
            .bind(kind)
            .bind(subject)
            .bind(data.to_string())
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        self.ring();
        Ok(())
    }
}
