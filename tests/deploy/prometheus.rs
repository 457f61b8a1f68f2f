//! Rules that a real Prometheus loads, and that ask only for what there is.

use std::collections::BTreeSet;
use std::process::Command;

use facilitator::telemetry::{Kind, METRICS};
use regex_lite::Regex;
use serde_json::Value;

use super::{all, offered, succeeds, text, yaml};

const RECORDING: &str = "deploy/prometheus/recording.yaml";
const ALERTS: &str = "deploy/prometheus/alerts.yaml";

pub(crate) fn rules(path: &str) -> Vec<Value> {
    let groups = yaml(path);
    let groups = groups["groups"].as_array().unwrap();
    groups
        .iter()
        .flat_map(|it| it["rules"].as_array().unwrap().clone())
        .collect()
}

fn named<'a>(rule: &'a Value, key: &str) -> &'a str {
    rule[key].as_str().unwrap_or_else(|| panic!("{key} of {rule}"))
}

/// What is wrong with the names in this expression.
pub(crate) fn faults(expr: &str) -> Vec<String> {
    let recorded: BTreeSet<String> = rules(RECORDING)
        .iter()
        .map(|it| named(it, "record").to_owned())
        .collect();
    let mut found = Vec::new();
    for it in Regex::new(r"(facilitator[a-z0-9_:]*)(\{[^}]*\})?")
        .unwrap()
        .captures_iter(expr)
    {
        let name = &it[1];
        if recorded.contains(name) {
            continue;
        }
        let of = METRICS.into_iter().find(|metric| match metric.kind {
            Kind::Histogram => ["_bucket", "_count", "_sum"]
                .iter()
                .any(|end| name == format!("{}{end}", metric.name)),
            Kind::Counter | Kind::Gauge => name == metric.name,
        });
        let Some(metric) = of else {
            found.push(format!("{name}: no such metric"));
            continue;
        };
        let selector = it.get(2).map_or("", |it| it.as_str());
        for label in all(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector) {
            if !metric.labels.contains(&label.as_str()) && label != "le" {
                found.push(format!("{name}: no label {label}"));
            }
        }
    }
    found
}

#[test]
fn rules_ask_only_for_metrics_that_there_are() {
    let all = [rules(RECORDING), rules(ALERTS)].concat();
    let found: Vec<String> = all.iter().flat_map(|rule| faults(named(rule, "expr"))).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_alert_says_how_urgent_it_is_and_what_to_do() {
    let page = text("docs/runbooks.md");
    for alert in rules(ALERTS) {
        let name = named(&alert, "alert");
        assert!(
            ["page", "ticket"].contains(&named(&alert["labels"], "severity")),
            "{name}"
        );
        let section = named(&alert["annotations"], "runbook_url")
            .strip_prefix("docs/runbooks.md#")
            .unwrap();
        assert!(super::runbooks::anchors(&page).contains(section), "{name}: {section}");
    }
}

#[test]
fn every_alert_is_seen_quiet_and_fired() {
    let tests = yaml("tests/deploy/alerts.test.yaml");
    let cases = tests["tests"].as_array().unwrap().iter();
    let cases = cases.flat_map(|it| it["alert_rule_test"].as_array().unwrap());
    let (fired, quiet): (Vec<_>, Vec<_>) = cases.partition(|it| !it["exp_alerts"].as_array().unwrap().is_empty());
    let alerts: BTreeSet<String> = rules(ALERTS).iter().map(|it| named(it, "alert").to_owned()).collect();
    for cases in [fired, quiet] {
        let shown: BTreeSet<String> = cases.iter().map(|it| named(it, "alertname").to_owned()).collect();
        assert_eq!(shown, alerts);
    }
}

#[test]
fn prometheus_takes_the_rules_and_the_alerts_fire() {
    let Some(prometheus) = offered("FACILITATOR_PROMETHEUS", "Prometheus") else {
        return;
    };
    for arguments in [
        ["check", "config", "deploy/prometheus/prometheus.yaml"],
        ["check", "rules", RECORDING],
        ["check", "rules", ALERTS],
        ["test", "rules", "tests/deploy/alerts.test.yaml"],
    ] {
        succeeds(Command::new(prometheus.join("promtool")).args(arguments));
    }
}
