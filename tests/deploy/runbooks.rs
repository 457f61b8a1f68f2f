//! The page of runbooks: every command, route, alert, metric and section it names is there.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use facilitator::http::ROUTES;

use super::prometheus::{faults, rules};
use super::{all, text};

const PAGE: &str = "docs/runbooks.md";

/// Where links may lead: the headings, as forges spell them.
pub(crate) fn anchors(page: &str) -> BTreeSet<String> {
    let headings = all(r"(?m)^##* (.+)$", page);
    let spelled = headings.iter().map(|it| it.to_lowercase().replace(' ', "-"));
    spelled
        .map(|it| it.replace(|c: char| !c.is_alphanumeric() && c != '-', ""))
        .collect()
}

fn shell_lines(page: &str) -> Vec<&str> {
    let blocks = page.split("```sh\n").skip(1);
    blocks.flat_map(|it| it.split("```").next().unwrap().lines()).collect()
}

/// What the page's table of variables stands for.
const VARIABLES: [(&str, &str); 11] = [
    ("NETWORK", "eip155:8453"),
    ("SIGNER", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
    ("PAYER", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
    ("PAY_TO", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
    ("SINCE", "2026-01-31T00:00:00Z"),
    ("BLOCK", "1000"),
    ("ENDPOINT", "hook_01h5fskfsk4fpeqwnsyz5hj55t"),
    ("PAYMENT", "pay_01h5fskfsk4fpeqwnsyz5hj55t"),
    ("EXCEPTION", "exc_01h5fskfsk4fpeqwnsyz5hj55t"),
    ("ME", "ada"),
    ("WHY", "a foreign transaction"),
];

#[test]
fn the_program_takes_every_command() {
    let page = text(PAGE);
    let lines = shell_lines(&page);
    let commands: Vec<&&str> = lines.iter().filter(|it| it.starts_with("facilitator ")).collect();
    assert!(commands.len() > 30, "{}", commands.len());
    // Without a configuration in it: each command that can be read ends by missing that.
    let place = std::env::temp_dir().join(format!("runbooks-{}", std::process::id()));
    fs::create_dir(&place).unwrap();
    fs::write(place.join("orders.csv"), "id\n").unwrap();
    for command in commands {
        let named = command.replacen("facilitator", env!("CARGO_BIN_EXE_facilitator"), 1);
        let mut shell = Command::new("sh");
        shell.args(["-euc", &named]).current_dir(&place).envs(VARIABLES);
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.starts_with("facilitator: cannot read facilitator.toml"),
            "{command}: {said}"
        );
    }
    fs::remove_dir_all(place).unwrap();
}

#[test]
fn the_routes_are_there() {
    let page = text(PAGE);
    let asked = all(r#""\$FACILITATOR(/[^"?]*)[^"]*""#, &page);
    assert!(asked.len() > 3);
    let is_named = |asked: &str, path: &str| {
        let same = |(a, b): (&str, &str)| a == b || (a.starts_with('$') && b.starts_with('{'));
        asked.split('/').count() == path.split('/').count() && asked.split('/').zip(path.split('/')).all(same)
    };
    for path in asked {
        assert!(ROUTES.iter().any(|it| is_named(&path, it.path)), "{path}");
    }
}

#[test]
fn what_the_page_names_is_there() {
    let page = text(PAGE);
    let alerts: BTreeSet<String> = rules("deploy/prometheus/alerts.yaml")
        .iter()
        .map(|it| it["alert"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        all(r"`(Facilitator[A-Za-z]+)`", &page).union(&alerts).count(),
        alerts.len()
    );
    for metric in all(r"`(facilitator[:_][a-z0-9_:]+)`", &page) {
        assert!(faults(&metric).is_empty(), "{metric}");
    }
    let anchors = anchors(&page);
    for link in all(r"\]\(#([a-z-]+)\)", &page) {
        assert!(anchors.contains(&link), "{link}");
    }
}
