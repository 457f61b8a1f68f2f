//! Fetches OFAC's file, or reads it from a disk, and makes it the list's newest edition.

use std::future::Future;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

use super::sdn::{self, NotSdn};
use super::settings::{OFAC, OfacSettings};
use crate::outbound::{Outbound, Unread};
use crate::store::{Fetched, ListReplaced, Store, StoreFault};

/// Bytes of the file. Today the longest has 80 MB.
const FILE_MAX: u64 = 512 * 1024 * 1024;

/// From the first look at the name to the last byte.
const PATIENCE: Duration = Duration::from_mins(10);

/// Bytes that are read from a disk at once.
const PIECE: usize = 64 * 1024;

/// What a refresh found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// When it says that it was published.
    pub published: String,
    /// How many entries it has.
    pub entries: usize,
    /// What became of it.
    pub became: ListReplaced,
}

/// Why the list was not refreshed. It stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum Unfetched {
    /// The file could not be read.
    #[error("the file could not be fetched: {0}")]
    Unread(#[from] Unread),
    /// It could not be opened.
    #[error("the file could not be opened: {0}")]
    Closed(io::Error),
    /// It is not the list.
    #[error(transparent)]
    NotSdn(#[from] NotSdn),
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// Fetches the file from where it is published. One that has less than half of what the list has is taken only where
/// `is_believed` says so.
///
/// # Errors
/// [`Unfetched`].
pub async fn fetch(
    settings: &OfacSettings,
    outbound: &Outbound,
    store: &Store,
    is_believed: bool,
) -> Result<Refreshed, Unfetched> {
    let incoming = outbound.read(&settings.url, FILE_MAX, PATIENCE).await?;
    let next = |mut incoming: crate::outbound::Incoming| async move {
        match incoming.next().await {
            Ok(piece) => Ok(piece.map(|it| (it, incoming))),
            Err(unread) => Err(io::Error::other(unread)),
        }
    };
    take(incoming, next, store, is_believed).await
}

/// Reads the file from a disk.
///
/// # Errors
/// [`Unfetched`].
pub async fn load(path: &Path, store: &Store, is_believed: bool) -> Result<Refreshed, Unfetched> {
    let file = File::open(path).await.map_err(Unfetched::Closed)?;
    let next = |mut file: File| async move {
        let mut piece = vec![0; PIECE];
        let length = file.read(&mut piece).await?;
        piece.truncate(length);
        Ok((length > 0).then_some((piece, file)))
    };
    take(file, next, store, is_believed).await
}

/// Reads the pieces as they come, so that no more of the file is held than its addresses.
async fn take<S, F>(from: S, next: impl Fn(S) -> F, store: &Store, is_believed: bool) -> Result<Refreshed, Unfetched>
where
    F: Future<Output = io::Result<Option<(Vec<u8>, S)>>>,
{
    let digest = Arc::new(Mutex::new(Sha256::new()));
    let pieces = stream::try_unfold(from, |from| {
        let (digest, read) = (Arc::clone(&digest), next(from));
        async move {
            let read = read.await?;
            Ok::<_, io::Error>(read.map(|(piece, from)| {
                digest.lock().unwrap_or_else(PoisonError::into_inner).update(&piece);
                (Cursor::new(piece), from)
            }))
        }
    });
    let read = sdn::read(StreamReader::new(Box::pin(pieces))).await?;
    let sha256 = digest
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
        .finalize()
        .into();
    let file = Fetched {
        sha256,
        published: read.published,
        entries: read.entries,
    };
    let became = store.screening_replace(OFAC, &file, is_believed).await?;
    Ok(Refreshed {
        sha256,
        published: file.published,
        entries: file.entries.len(),
        became,
    })
}
