//! Lists of addresses that were fetched: which editions there were, and what each added and took away. Every process reads
//! the newest from here, so that one fetch is enough for all, and a restart needs none.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use super::rows::{OutOfPlace, unsigned};
use super::{DateTime, Store, StoreFault, Utc, commit};
use crate::domain::screening::Entry;

statements! {
    HEAD = "select h.edition, h.checked_at, e.sha256, e.published, e.entries, e.added, e.removed, e.created_at
        from screening_heads h join screening_editions e on e.source = h.source and e.edition = h.edition
        where h.source = $1";
    LOCK = "select edition from screening_heads where source = $1 for update";
    DIGEST = "select sha256 from screening_editions where source = $1 and edition = $2";
    EDITION = "insert into screening_editions (source, edition, sha256, published, entries, added, removed, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, now())";
    MOVE = "insert into screening_heads (source, edition, checked_at) values ($1, $2, now())
        on conflict (source) do update set edition = excluded.edition, checked_at = now()";
    ENTRIES = "select address, reference, reason from screening_entries where source = $1 and removed_in is null
        order by address, reference";
    ADD = "insert into screening_entries (source, address, reference, reason, added_in)
        select $1, n.address, n.reference, n.reason, $2
        from unnest($3::text[], $4::text[], $5::text[]) as n(address, reference, reason)";
    REMOVE = "update screening_entries e set removed_in = $2 from unnest($3::text[], $4::text[]) as n(address, reference)
        where e.source = $1 and e.address = n.address and e.reference = n.reference and e.removed_in is null";
    EDITIONS = "select edition, created_at as checked_at, sha256, published, entries, added, removed, created_at
        from screening_editions where source = $1 order by edition desc limit $2";
}

/// A list's entry with its address, as [`crate::domain::screening::key`] has it.
pub type Listed = (String, Entry);

/// An edition of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// From 1.
    pub number: u64,
    /// SHA-256 of the file.
    pub sha256: Vec<u8>,
    /// When the file says that it was published, in its own words.
    pub published: String,
    /// How many entries it has.
    pub entries: u64,
    /// How many of them the one before had not.
    pub added: u64,
    /// How many of the one before it has not.
    pub removed: u64,
    /// When it was put on record, on the database's clock.
    pub created_at: DateTime<Utc>,
    /// When the list was last found to be this.
    pub checked_at: DateTime<Utc>,
}

/// A file that was fetched.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// When it says that it was published, in its own words.
    pub published: String,
    /// What is on it, each once; at least one.
    pub entries: BTreeSet<Listed>,
}

#[derive(sqlx::FromRow)]
struct EditionRow {
    edition: i64,
    checked_at: DateTime<Utc>,
    sha256: Vec<u8>,
    published: String,
    entries: i64,
    added: i64,
    removed: i64,
    created_at: DateTime<Utc>,
}

impl EditionRow {
    fn read(self) -> Result<Edition, OutOfPlace> {
        Ok(Edition {
            number: unsigned("edition", self.edition)?,
            sha256: self.sha256,
            published: self.published,
            entries: unsigned("entries", self.entries)?,
            added: unsigned("added", self.added)?,
            removed: unsigned("removed", self.removed)?,
            created_at: self.created_at,
            checked_at: self.checked_at,
        })
    }
}

/// What became of a file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// The list is that file already.
    Same,
    /// It is the newest edition now, and says what is different.
    New(Edition),
    /// It has less than half of what the list has, which is not believed of itself; nothing was changed.
    Shrunk {
        /// Entries of the list.
        had: u64,
        /// Entries of the file.
        has: u64,
    },
}

impl Store {
    /// The list's newest edition; none when there was never one.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn screening_list(&self, source: &str) -> Result<Option<Edition>, StoreFault> {
        let operation = "screening_list";
        let row: Option<EditionRow> = sqlx::query_as(HEAD)
            .bind(source)
            .fetch_optional(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        row.map(EditionRow::read)
            .transpose()
            .map_err(OutOfPlace::during(operation))
    }

    /// What the list has now.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn screening_entries(&self, source: &str) -> Result<BTreeSet<Listed>, StoreFault> {
        let operation = "screening_entries";
        let mut connection = self.connection(operation).await?;
        entries(&mut connection, operation, source).await
    }

    /// The list's editions, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn screening_editions(&self, source: &str, limit: u16) -> Result<Vec<Edition>, StoreFault> {
        let operation = "screening_editions";
        let rows: Vec<EditionRow> = sqlx::query_as(EDITIONS)
            .bind(source)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(StoreFault::reading(operation))?;
        let read: Result<_, _> = rows.into_iter().map(EditionRow::read).collect();
        read.map_err(OutOfPlace::during(operation))
    }

    /// Makes the file the list's newest edition, all of it or nothing. One that has less than half of what the list has is
    /// taken only where `is_believed` says so.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn screening_replace(
        &self,
        source: &str,
        file: &Fetched,
        is_believed: bool,
    ) -> Result<Replaced, StoreFault> {
        let operation = "screening_replace";
        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let mut transaction = self.begin(operation).await?;
        let head = hold(&mut transaction, operation, source).await?;
        let edition = head.as_ref().map_or(1, |(edition, _)| edition.saturating_add(1));
        if let Some((edition, sha256)) = &head
            && *sha256 == file.sha256
        {
            move_head(&mut transaction, operation, source, *edition).await?;
            commit(transaction, operation).await?;
            return Ok(Replaced::Same);
        }
        let old = entries(&mut transaction, operation, source).await?;
        let (before, after) = (old.len(), file.entries.len());
        if after.saturating_mul(2) < before && !is_believed {
            let [earlier, found] = [before, after].map(|it| u64::try_from(it).unwrap_or(u64::MAX));
            return Ok(Replaced::Shrunk {
                had: earlier,
                has: found,
            });
        }
        let added: Vec<&Listed> = file.entries.difference(&old).collect();
        let removed: Vec<&Listed> = old.difference(&file.entries).collect();
        sqlx::query(EDITION)
            .bind(source)
            .bind(edition)
            .bind(file.sha256.to_vec())
            .bind(&file.published)
            .bind(count(after))
            .bind(count(added.len()))
            .bind(count(removed.len()))
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        sqlx::query(REMOVE)
            .bind(source)
            .bind(edition)
            .bind(removed.iter().map(|it| it.0.as_str()).collect::<Vec<_>>())
            .bind(removed.iter().map(|it| it.1.reference.as_str()).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        sqlx::query(ADD)
            .bind(source)
            .bind(edition)
            .bind(added.iter().map(|it| it.0.as_str()).collect::<Vec<_>>())
            .bind(added.iter().map(|it| it.1.reference.as_str()).collect::<Vec<_>>())
            .bind(added.iter().map(|it| it.1.reason.as_str()).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await
            .map_err(StoreFault::reading(operation))?;
        move_head(&mut transaction, operation, source, edition).await?;
        commit(transaction, operation).await?;
        let new = self.screening_editions(source, 1).await?.pop();
        new.map(Replaced::New).ok_or(StoreFault::Corrupt {
            operation,
            what: "an edition that is gone",
        })
    }
}

/// The list's newest edition and its file's hash, which nobody else changes until the transaction is over. Who comes second
/// waits here, and goes on from what the first has made of it.
async fn hold(
    connection: &mut PgConnection,
    operation: &'static str,
    source: &str,
) -> Result<Option<(i64, Vec<u8>)>, StoreFault> {
    let newest: Option<i64> = sqlx::query_scalar(LOCK)
        .bind(source)
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    // Read only once the head is held: what was read with it would be from before the wait.
    let digest: Option<Vec<u8>> = sqlx::query_scalar(DIGEST)
        .bind(source)
        .bind(newest)
        .fetch_optional(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(newest.zip(digest))
}

async fn move_head(
    connection: &mut PgConnection,
    operation: &'static str,
    source: &str,
    edition: i64,
) -> Result<(), StoreFault> {
    sqlx::query(MOVE)
        .bind(source)
        .bind(edition)
        .execute(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    Ok(())
}

async fn entries(
    connection: &mut PgConnection,
    operation: &'static str,
    source: &str,
) -> Result<BTreeSet<Listed>, StoreFault> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(ENTRIES)
        .bind(source)
        .fetch_all(connection)
        .await
        .map_err(StoreFault::reading(operation))?;
    let read = |(address, reference, reason)| (address, Entry { reference, reason });
    Ok(rows.into_iter().map(read).collect())
}
