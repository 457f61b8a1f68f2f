//! An S3-compatible store that checks signatures, and what is in its one bucket.

use std::path::PathBuf;
use std::process::Command;

use super::process::{Process, free_port};
use super::provided;

/// The store; gone with this value, and what it holds.
pub(crate) struct ObjectStore {
    pub(crate) port: u16,
    place: PathBuf,
    _process: Process,
}

impl ObjectStore {
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let place = std::env::temp_dir().join(format!("facilitator-s3-{}-{port}", std::process::id()));
        std::fs::create_dir(&place).unwrap();
        let mut node = Command::new("node");
        node.arg(PathBuf::from(provided("FACILITATOR_STACK")).join("s3.mjs"));
        node.env("PORT", port.to_string()).env("DIRECTORY", &place);
        let mut process = Process::spawn("the object store", &mut node);
        process.says("the store is ready", 1).await;
        Self {
            port,
            place,
            _process: process,
        }
    }

    /// Where schedules go that go there, with this key, as the configuration has it.
    pub(crate) fn to(&self, secret: &str) -> String {
        format!(
            r#"{{ s3 = {{ endpoint = "http://127.0.0.1:{}", region = "us-east-1", bucket = "reports", prefix = "books/",
                path_style = true, access_key_id = "S3RVER", secret_access_key = "{secret}" }} }}"#,
            self.port
        )
        .replace('\n', "")
    }

    /// The key that opens it.
    pub(crate) const SECRET: &str = "S3RVER";

    /// The object of this name; none where there is none.
    pub(crate) fn object(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.place.join(format!("reports/books/{name}._S3rver_object"))).ok()
    }

    /// Parts of uploads that are not over.
    pub(crate) fn leftovers(&self) -> usize {
        let uploads = std::fs::read_dir(self.place.join("reports/._S3rver_uploads"));
        uploads.map_or(0, Iterator::count)
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.place));
    }
}
