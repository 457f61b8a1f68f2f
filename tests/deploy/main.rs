//! Holds what operators are given in `deploy/` and `docs/runbooks.md` to the program, by the tools that will read it:
//! Prometheus, Grafana's types, Helm, the schemas of Kubernetes, systemd, Compose. Run with `./dev test`, which fetches them.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    clippy::arithmetic_side_effects,
    reason = "a test ends at the first surprise, and its tools are named by the environment"
)]

mod containers;
mod grafana;
mod helm;
mod metrics;
mod prometheus;
mod runbooks;
mod systemd;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use regex_lite::Regex;
use serde_json::Value;

/// Where `./dev` has put some tools. Where they are missing, this says so past the capture of output.
fn offered(name: &str, what: &str) -> Option<PathBuf> {
    let offered = std::env::var(name).ok().filter(|it| !it.is_empty());
    if offered.is_none() {
        drop(writeln!(std::io::stderr(), "SKIPPED: there is no {what} here ({name})"));
    }
    offered.map(PathBuf::from)
}

/// The directory of the tools that Python packages ship.
fn tools() -> Option<PathBuf> {
    offered("FACILITATOR_TOOLS", "Helm, hadolint, Compose or schema of Kubernetes")
}

/// A script beside this file, able to import these tools.
fn python(tools: PathBuf, script: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", tools).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(format!("tests/deploy/{script}"));
    command
}

/// What it prints, if it ends well.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!(
        "{command:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn succeeds(command: &mut Command) -> String {
    output(command).unwrap_or_else(|said| panic!("{said}"))
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_norway::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The first group of each match.
fn all(pattern: &str, text: &str) -> BTreeSet<String> {
    let found = Regex::new(pattern).unwrap();
    found.captures_iter(text).map(|it| it[1].to_owned()).collect()
}
