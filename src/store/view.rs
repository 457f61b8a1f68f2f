//! Whose rows may be seen. A store sees all of them, until it is told whose request it reads for: then every statement names
//! the tenant, and the database itself shows no other's row (row-level security, `migrations/0027_tenants.sql`).
//!
//! The role and the tenant hold for one transaction, so that poolers in transaction mode keep them apart; they are set by the
//! message that begins it. Where there is one tenant only, nothing of this happens.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, SqlSafeStr, Transaction};

use super::session::SessionFlaw;
use super::{Store, StoreFault};
use crate::domain::tenant::TenantId;
use crate::seeded::Bug;

statements! {
    IS_THERE = "select exists (select 1 from pg_roles where rolname = 'facilitator_reader')";
    MAKE = "create role facilitator_reader nologin";
    // The last of what is granted stands for all of it.
    MAY_READ = "select has_column_privilege('facilitator_reader', 'merchant_accounts', 'tenant', 'select'),
        pg_has_role(current_user, 'facilitator_reader', 'member')";
    GRANT_ROWS = "grant select on payments, payment_references, settlements, settlement_attempts, evidence, events, notices,
            ledger_entries, refunds, refund_totals, reports, report_pieces, reconciliations, statements, statement_lines
        to facilitator_reader";
    GRANT_CARRIERS = "grant select (tx, network, signer, nonce, is_empty, created_at) on chain_transactions
        to facilitator_reader";
    GRANT_ATTEMPTS = "grant select (refund_id, attempt, key) on refund_attempts to facilitator_reader";
    GRANT_ACCOUNTS = "grant select (network, address, tenant) on merchant_accounts to facilitator_reader";
    JOIN = "grant facilitator_reader to current_user";
    SEES_NOTHING = "select current_user = 'facilitator_reader' and not exists (select 1 from payments)";
}

/// How often the wall is tried to be built: another process that builds it at the same time may get in the way.
const WALL_TRIES: u32 = 3;

/// What a statement is run on.
pub(super) enum Reading {
    /// Sees everything.
    All(PoolConnection<Postgres>),
    /// Sees one tenant's rows; ends with this value.
    Of(Transaction<'static, Postgres>),
}

impl Deref for Reading {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::All(connection) => connection,
            Self::Of(transaction) => transaction,
        }
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::All(connection) => connection,
            Self::Of(transaction) => transaction,
        }
    }
}

impl Store {
    /// The same records, of which it shows this tenant's alone.
    #[must_use]
    pub fn seen_by(&self, tenant: TenantId) -> Self {
        Self {
            view: Some(tenant),
            ..self.clone()
        }
    }

    /// Whose rows alone it shows; none that shows all.
    #[must_use]
    pub const fn viewer(&self) -> Option<TenantId> {
        self.view
    }

    /// The tenant that statements name; null for whoever sees all.
    pub(super) fn seen(&self) -> Option<Uuid> {
        let view = self.view.filter(|_| !Bug::TenantNotNamed.is_on());
        view.map(|it| it.as_uuid())
    }

    /// What to read on, so that no other row is seen than may be.
    pub(super) async fn reading(&self, operation: &'static str) -> Result<Reading, StoreFault> {
        let Some(tenant) = self.view.filter(|_| !Bug::WallNotTaken.is_on()) else {
            return Ok(Reading::All(Box::pin(self.connection(operation)).await?));
        };
        let statement = format!(
            "begin read only; set local role facilitator_reader; set local facilitator.tenant = '{}'",
            tenant.as_uuid()
        );
        let statement = Some(AssertSqlSafe(statement).into_sql_str());
        Ok(Reading::Of(Box::pin(self.begin_with(operation, statement)).await?))
    }

    /// Makes the role that tenants are read for, where it is not there yet, and proves that it sees nothing of others.
    ///
    /// # Errors
    /// [`StoreFault::Session`] where it cannot be made or taken on; [`StoreFault::Unavailable`].
    pub async fn wall_raise(&self) -> Result<(), StoreFault> {
        // Another process may do the same: what counts is that it is done.
        for _ in 0..WALL_TRIES {
            if self.wall_built().await.is_ok() {
                break;
            }
        }
        let nobody = self.seen_by(TenantId::mint());
        let sees_nothing: Result<bool, _> = match nobody.reading("wall_raise").await {
            Ok(mut reading) => sqlx::query_scalar(SEES_NOTHING).fetch_one(&mut *reading).await,
            Err(fault @ StoreFault::Unavailable { .. }) => return Err(fault),
            Err(_) => Ok(false),
        };
        match sees_nothing {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(StoreFault::Session(SessionFlaw::Reader)),
        }
    }

    async fn wall_built(&self) -> Result<(), StoreFault> {
        let operation = "wall_raise";
        let mut connection = self.connection(operation).await?;
        let fault = StoreFault::reading(operation);
        let is_there: bool = sqlx::query_scalar(IS_THERE)
            .fetch_one(&mut *connection)
            .await
            .map_err(&fault)?;
        if !is_there {
            sqlx::query(MAKE).execute(&mut *connection).await.map_err(&fault)?;
        }
        let (is_granted, is_member): (bool, bool) = sqlx::query_as(MAY_READ)
            .fetch_one(&mut *connection)
            .await
            .map_err(&fault)?;
        if !is_granted {
            for grant in [GRANT_ROWS, GRANT_CARRIERS, GRANT_ATTEMPTS, GRANT_ACCOUNTS] {
                sqlx::query(grant).execute(&mut *connection).await.map_err(&fault)?;
            }
        }
        if !is_member {
            sqlx::query(JOIN).execute(&mut *connection).await.map_err(&fault)?;
        }
        Ok(())
    }
}
