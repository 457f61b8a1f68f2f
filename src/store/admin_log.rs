//! Who did what to the facilitator, and why: written by the transaction that does it, each entry chained to the one before.
//!
//! The chain shows that no entry was altered, taken out or put in between. Whoever may write the table and knows how can
//! write its end anew: keep the newest hash elsewhere.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;

use super::rows::{OutOfPlace, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};

statements! {
    // Whoever adds to the log holds the row of the sole tenant, which every database has: a second waits, and then finds what the
    // first has added. Payments of that tenant do not wait.
    HOLD = "select id from tenants where id = '00000000-0000-0000-0000-000000000000' for no key update";
    NEWEST = "select seq, hash from admin_log order by seq desc limit 1";
    ADD_ENTRY = "insert into admin_log (seq, previous, entry, hash, created_at) values ($1, $2, $3, $4, now())";
    ENTRIES = "select seq, previous, entry, hash, created_at from admin_log where seq > $1 order by seq limit $2";
}

/// Entries that are read together.
const PAGE: i64 = 1_000;

/// Who acts, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Who.
    pub by: String,
    /// Why.
    pub because: String,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place, from 1.
    pub seq: u64,
    /// What was done, by whom and why, as JSON.
    pub entry: String,
    /// Its hash.
    pub hash: Vec<u8>,
    /// When it was written, on the database's clock.
    pub at: DateTime<Utc>,
}

/// The log's first entry that does not follow from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {0} of the log is not what was written after the one before")]
pub struct Broken(pub u64);

/// SHA-256 over the JSON array of the format's number, the place, the previous hash in hexadecimal, and the entry's text.
fn hash(seq: i64, previous: Option<&[u8]>, entry: &str) -> Vec<u8> {
    let content = json!([1, seq, previous.map(hex::encode), entry]);
    Sha256::digest(content.to_string().as_bytes()).to_vec()
}

/// Adds what is done by the caller's transaction.
pub(super) async fn add(
    connection: &mut PgConnection,
    operation: &'static str,
    deed: &Deed,
    action: &'static str,
    what: Value,
) -> Result<(), StoreFault> {
    sqlx::query(HOLD)
        .execute(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let newest: Option<(i64, Vec<u8>)> = sqlx::query_as(NEWEST)
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let seq = newest.as_ref().map_or(1, |(seq, _)| seq.saturating_add(1));
    let previous = newest.map(|(_, hash)| hash);
    let entry = json!({"by": deed.by, "because": deed.because, "action": action, "what": what}).to_string();
    sqlx::query(ADD_ENTRY)
        .bind(seq)
        .bind(&previous)
        .bind(&entry)
        .bind(hash(seq, previous.as_deref(), &entry))
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    seq: i64,
    previous: Option<Vec<u8>>,
    entry: String,
    hash: Vec<u8>,
    created_at: DateTime<Utc>,
}

impl Store {
    /// Makes the change and logs it, both or neither; false, and nothing logged, when it changed nothing.
    pub(super) async fn logged(
        &self,
        operation: &'static str,
        deed: &Deed,
        action: &'static str,
        what: Value,
        change: Query<'_, Postgres, PgArguments>,
    ) -> Result<bool, StoreFault> {
        let mut transaction = self.begin(operation).await?;
        let changed = change
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        add(&mut transaction, operation, deed, action, what).await?;
        commit(transaction, operation).await?;
        Ok(true)
    }

    /// The log's entries after this place, at most a thousand, each held against the one before it: `before` is the hash of
    /// the entry at `after`, none of the first.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`]; within, the first entry that is not what was written.
    pub async fn admin_log(
        &self,
        after: u64,
        mut before: Option<Vec<u8>>,
    ) -> Result<(Vec<Logged>, Option<Broken>), StoreFault> {
        let operation = "admin_log";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let rows: Vec<EntryRow> = sqlx::query_as(ENTRIES)
            .bind(after)
            .bind(PAGE)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let (mut logged, mut broken) = (Vec::new(), None);
        for (expected, row) in (after.saturating_add(1)..).zip(rows) {
            let is_next = row.seq == expected && row.previous == before;
            let is_whole = is_next && row.hash == hash(row.seq, row.previous.as_deref(), &row.entry);
            let seq = unsigned("seq", row.seq).map_err(OutOfPlace::during(operation))?;
            if !is_whole && broken.is_none() {
                broken = Some(Broken(
                    unsigned("seq", expected).map_err(OutOfPlace::during(operation))?,
                ));
            }
            before = Some(row.hash.clone());
            logged.push(Logged {
                seq,
                entry: row.entry,
                hash: row.hash,
                at: row.created_at,
            });
        }
        Ok((logged, broken))
    }
}
