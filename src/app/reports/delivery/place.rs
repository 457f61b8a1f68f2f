//! Where reports go: a file or an object, of which nobody sees a part.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use crate::outbound::bucket::{Bucket, PART, Unput, Upload};

/// Leftovers of claims before this one that are looked for.
const LEFTOVERS_MAX: u64 = 100;

/// Where a schedule's reports go.
#[derive(Clone)]
pub enum Place {
    /// To whoever listens for events.
    Webhook,
    /// Into this folder.
    Folder(PathBuf),
    /// Into this bucket.
    Bucket(Box<Bucket>),
}

/// Why something did not get there.
#[derive(Debug, thiserror::Error)]
pub enum Astray {
    /// The folder, or what is in it.
    #[error("the folder: {0}")]
    Folder(#[from] io::Error),
    /// The store.
    #[error(transparent)]
    Bucket(#[from] Unput),
    /// It is there, and has another length.
    #[error("what is there has {found} bytes instead of {expected}")]
    Length {
        /// Bytes sent.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
}

/// Something on its way.
pub(super) enum Sending<'a> {
    File { part: PathBuf, whole: PathBuf, file: File },
    Object(Object<'a>),
}

/// What is put into a bucket: whole if it is short, else part by part.
pub(super) struct Object<'a> {
    bucket: &'a Bucket,
    name: String,
    media_type: &'static str,
    waiting: Vec<u8>,
    sent: u64,
    upload: Option<Upload<'a>>,
}

impl Place {
    /// Proves that something can be put there.
    ///
    /// # Errors
    /// [`Astray`].
    pub async fn probe(&self) -> Result<(), Astray> {
        match self {
            Self::Webhook => Ok(()),
            Self::Folder(folder) => {
                let probe = folder.join(format!(".probe-{}", std::process::id()));
                File::create(&probe).await?.sync_all().await?;
                Ok(fs::remove_file(&probe).await?)
            }
            Self::Bucket(bucket) => Ok(bucket.probe().await?),
        }
    }

    /// Begins to send a file of this name; none where files are not sent. `attempt` tells attempts at the same apart.
    pub(super) async fn send(
        &self,
        name: &str,
        media_type: &'static str,
        attempt: u64,
    ) -> Result<Option<Sending<'_>>, Astray> {
        match self {
            Self::Webhook => Ok(None),
            Self::Folder(folder) => {
                let part = |attempt: u64| folder.join(format!(".{name}.{attempt}.part"));
                // Of attempts that were cut off; most have left nothing.
                for earlier in attempt.saturating_sub(LEFTOVERS_MAX)..attempt {
                    drop(fs::remove_file(part(earlier)).await);
                }
                let part = part(attempt);
                let file = File::create(&part).await?;
                let whole = folder.join(name);
                Ok(Some(Sending::File { part, whole, file }))
            }
            Self::Bucket(bucket) => Ok(Some(Sending::Object(Object {
                bucket,
                name: name.to_owned(),
                media_type,
                waiting: Vec::new(),
                sent: 0,
                upload: None,
            }))),
        }
    }
}

impl Sending<'_> {
    pub(super) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Astray> {
        match self {
            Self::File { file, .. } => Ok(file.write_all(&bytes).await?),
            Self::Object(object) => object.write(bytes).await,
        }
    }

    /// Ends it: from now on it is there, whole, whatever happens to this machine.
    pub(super) async fn end(self) -> Result<(), Astray> {
        match self {
            Self::File { part, whole, file } => {
                let named = name_durably(file, &part, &whole).await;
                if named.is_err() {
                    drop(fs::remove_file(&part).await);
                }
                named
            }
            Self::Object(mut object) => {
                let ended = object.end().await;
                if let (Err(_), Some(upload)) = (&ended, &object.upload) {
                    drop(upload.abandon().await);
                }
                ended
            }
        }
    }

    /// Leaves nothing of it behind, as far as that can be done.
    pub(super) async fn abandon(self) {
        match self {
            Self::File { part, .. } => drop(fs::remove_file(part).await),
            Self::Object(Object {
                upload: Some(upload), ..
            }) => drop(upload.abandon().await),
            Self::Object(_) => {}
        }
    }
}

/// Gives what was written its name.
async fn name_durably(mut file: File, part: &Path, whole: &Path) -> Result<(), Astray> {
    file.flush().await?;
    file.sync_all().await?;
    fs::rename(part, whole).await?;
    // A name is kept by its folder.
    if let Some(folder) = whole.parent() {
        File::open(folder).await?.sync_all().await?;
    }
    Ok(())
}

impl Object<'_> {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Astray> {
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            // Only what is followed by more is a part: the last one is sent as the end.
            if self.waiting.len() == PART {
                let part = std::mem::take(&mut self.waiting);
                self.part(part).await?;
            }
            // At once and no more: what grows is there twice each time.
            self.waiting.reserve_exact(PART.saturating_sub(self.waiting.len()));
            let (fitting, rest) = left.split_at(left.len().min(PART.saturating_sub(self.waiting.len())));
            self.waiting.extend_from_slice(fitting);
            left = rest;
        }
        Ok(())
    }

    async fn part(&mut self, part: Vec<u8>) -> Result<(), Astray> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.bucket.begin(&self.name, self.media_type).await?),
        };
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        upload.part(part).await?;
        self.sent = self.sent.saturating_add(length);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), Astray> {
        let rest = std::mem::take(&mut self.waiting);
        if self.upload.is_some() {
            if !rest.is_empty() {
                self.part(rest).await?;
            }
            if let Some(upload) = &self.upload {
                upload.end().await?;
            }
        } else {
            self.sent = u64::try_from(rest.len()).unwrap_or(u64::MAX);
            self.bucket.put(&self.name, self.media_type, rest).await?;
        }
        let found = self.bucket.size(&self.name).await?;
        if found == self.sent {
            Ok(())
        } else {
            Err(Astray::Length {
                expected: self.sent,
                found,
            })
        }
    }
}
