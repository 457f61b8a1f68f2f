//! The list of metrics is the code's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use facilitator::telemetry::{Kind, METRICS, Metric};

use super::all;

fn sources(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.ends_with("telemetry.rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The text up to the parenthesis that closes what is open at its start.
fn arguments(text: &str) -> &str {
    let mut open = 1;
    let end = text.find(|c| {
        open += i32::from(c == '(') - i32::from(c == ')');
        open == 0
    });
    &text[..end.unwrap()]
}

/// Kind, name and labels of each place that writes a metric.
fn written() -> BTreeSet<(String, String, Vec<String>)> {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let counted = all(r#"\.count\("(facilitator_[a-z_]+)"\)"#, &files.concat());
    let mut found = BTreeSet::new();
    for file in &files {
        for (at, _) in file.match_indices("metrics::") {
            let (before, rest) = (&file[..at], &file[at + "metrics::".len()..]);
            let Some((kind, rest)) = rest.split_once("!(") else {
                continue;
            };
            if !["counter", "gauge", "histogram"].contains(&kind) {
                continue;
            }
            let arguments = arguments(rest);
            let labels = if arguments.contains("&labels") {
                let labels = before.rsplit("let labels = ").next().unwrap();
                all(r#"\("([a-z_]+)","#, labels.split("];").next().unwrap())
            } else {
                all(r#""([a-z_]+)" =>"#, arguments)
            };
            let labels: Vec<String> = labels.into_iter().collect();
            let named = all(r#"^\s*"([a-z_]+)""#, arguments);
            let metrics = if named.is_empty() { counted.clone() } else { named };
            found.extend(metrics.into_iter().map(|name| (kind.to_owned(), name, labels.clone())));
        }
    }
    found
}

#[test]
fn the_list_of_metrics_is_what_the_code_writes() {
    let kind = |it: Kind| match it {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let listed = METRICS.map(|it| {
        let labels = it.labels.iter().map(|label| (*label).to_owned()).collect();
        (kind(it.kind).to_owned(), it.name.to_owned(), labels)
    });
    assert_eq!(BTreeSet::from(listed), written());
}

#[test]
fn metrics_are_named_as_prometheus_asks() {
    assert!(METRICS.is_sorted_by_key(|it| it.name));
    for Metric {
        kind,
        name,
        labels,
        help,
    } in METRICS
    {
        assert!(labels.is_sorted(), "{name}");
        assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        assert!(kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
    }
}
