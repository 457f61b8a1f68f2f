//! The unit, read by systemd.

use std::fs;
use std::process::Command;

use super::containers::drain_seconds;
use super::{all, text};

const UNIT: &str = "deploy/systemd/facilitator.service";

/// The unit with this program in the place of the installed one.
fn here() -> Option<String> {
    let has_systemd = Command::new("systemd-analyze").arg("--version").output().is_ok();
    if !has_systemd {
        use std::io::Write;
        drop(writeln!(std::io::stderr(), "SKIPPED: there is no systemd-analyze here"));
        return None;
    }
    let directory =
        std::env::temp_dir().join(format!("unit-{:?}", std::thread::current().id()).replace(['(', ')'], ""));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("facilitator.service");
    fs::write(
        &path,
        text(UNIT).replace("/usr/local/bin/facilitator", env!("CARGO_BIN_EXE_facilitator")),
    )
    .unwrap();
    Some(path.to_str().unwrap().to_owned())
}

#[test]
fn systemd_knows_all_of_the_unit() {
    let Some(unit) = here() else { return };
    let output = Command::new("systemd-analyze")
        .args(["verify", &unit])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let about_it: Vec<&str> = said.lines().filter(|it| it.contains("facilitator.service")).collect();
    assert!(output.status.success() && about_it.is_empty(), "{said}");
}

/// 0 is the best there is, 10 the worst; a unit without any confinement has 9.6.
const EXPOSURE_MAX: &str = "--threshold=15";

#[test]
fn systemd_finds_the_service_confined() {
    let Some(unit) = here() else { return };
    super::succeeds(Command::new("systemd-analyze").args(["security", "--offline=true", EXPOSURE_MAX, &unit]));
}

#[test]
fn the_service_has_the_time_to_end() {
    let seconds = all(r"(?m)^TimeoutStopSec=(\d+)$", &text(UNIT)).pop_first().unwrap();
    assert!(seconds.parse::<u64>().unwrap() > drain_seconds());
}
