//! What happened that is no payment's, written by the transaction that made it happen. Told in the feed, with the
//! payments' events.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::types::Uuid;

use super::{Store, StoreFault};

statements! {
    ADD = "insert into notices (id, kind, subject, body, created_at)
        select n.id, n.kind, n.subject, n.body::jsonb, now()
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as n(id, kind, subject, body)";
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
    sqlx::query(ADD)
        .bind(notices.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
        .bind(notices.iter().map(|it| it.kind).collect::<Vec<_>>())
        .bind(notices.iter().map(|it| it.subject.as_str()).collect::<Vec<_>>())
        .bind(notices.iter().map(|it| it.data.to_string()).collect::<Vec<_>>())
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
