//! A small disk: a file system in memory, which only root can mount.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::free_port;

/// Unmounted with this value.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// One of so many MiB. None where it cannot be mounted, which this says past the test's capture of output.
    pub(crate) fn of(mib: usize) -> Option<Self> {
        let name = format!("facilitator-disk-{}-{}", std::process::id(), free_port());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0755"), "tmpfs"])
            .arg(&path)
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(path));
        }
        drop(fs::remove_dir(&path));
        drop(writeln!(
            std::io::stderr(),
            "SKIPPED: no small disk can be mounted here"
        ));
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all that is left, until the ballast is dropped.
    pub(crate) fn fill(&self) -> Ballast {
        let path = self.0.join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        Ballast(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because the last process that used it may not be gone yet.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
        drop(fs::remove_dir(&self.0));
    }
}

pub(crate) struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}
