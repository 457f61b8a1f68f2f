//! A process that may have only so much memory: by a control group where one can be made, else by its resource limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the first and the second version of control groups are found, and what sets the limit there.
const GROUPS: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max"),
];

/// The limit, for as long as the process lives.
pub(crate) struct Confined {
    group: Option<PathBuf>,
}

impl Confined {
    pub(crate) fn to(process: u32, bytes: usize) -> Self {
        let confined = GROUPS
            .iter()
            .find_map(|(parent, limit)| group(parent, limit, process, bytes));
        if confined.is_none() {
            let arguments = [format!("--pid={process}"), format!("--data={bytes}")];
            assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
        }
        Self { group: confined }
    }
}

/// The process in a group of its own, if that may be made.
fn group(parent: &str, limit: &str, process: u32, bytes: usize) -> Option<PathBuf> {
    let group = Path::new(parent).join(format!("facilitator-{process}"));
    fs::create_dir(&group).ok()?;
    let confine = || {
        fs::write(group.join(limit), bytes.to_string())?;
        fs::write(group.join("cgroup.procs"), process.to_string())
    };
    if confine().is_err() {
        drop(fs::remove_dir(&group));
        return None;
    }
    Some(group)
}

impl Drop for Confined {
    fn drop(&mut self) {
        // Back to where it came from, since a group with processes cannot be removed.
        if let Some(group) = &self.group {
            let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            for process in processes.lines() {
                drop(fs::write(group.parent().unwrap().join("cgroup.procs"), process));
            }
            drop(fs::remove_dir(group));
        }
    }
}
