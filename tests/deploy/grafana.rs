//! Dashboards that Grafana reads, and that show only what there is.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::prometheus::faults;
use super::{python, succeeds, tools};

fn dashboards() -> Vec<Value> {
    let files = fs::read_dir("deploy/grafana").unwrap();
    let found = files.map(|it| serde_json::from_str(&fs::read_to_string(it.unwrap().path()).unwrap()).unwrap());
    found.collect()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

#[test]
fn dashboards_show_only_metrics_that_there_are() {
    let mut shown = 0;
    for panel in dashboards().iter().flat_map(panels) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap();
            assert!(faults(expr).is_empty(), "{}: {:?}", panel["title"], faults(expr));
            shown += 1;
        }
    }
    assert!(shown > 30, "{shown}");
}

#[test]
fn panels_have_their_own_places() {
    for dashboard in dashboards() {
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in panels(&dashboard) {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{panel}");
            for place in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
                assert!(taken.insert(place), "{panel}");
            }
        }
    }
}

#[test]
fn grafanas_own_types_read_the_dashboards_whole() {
    if let Some(tools) = tools() {
        succeeds(&mut python(tools, "grafana.py"));
    }
}
