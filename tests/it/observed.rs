//! What operators see: a real Prometheus reads the metrics, evaluates the rules and answers what the dashboards ask.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use facilitator::telemetry::METRICS;
use serde_json::Value;

use crate::support::anvil::Mining;
use crate::support::http::Client;
use crate::support::payer::Payment;
use crate::support::process::{Process, free_port};
use crate::support::world::{Setup, World};
use crate::support::{eventually, offered};

/// A directory that is gone with this value.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Prometheus with the shipped configuration, looking each second at these facilitators.
pub(crate) struct Prometheus {
    base: String,
    client: Client,
    _process: Process,
    _place: Place,
}

impl Prometheus {
    pub(crate) fn start(programs: &Path, metrics_ports: &[u16]) -> Self {
        let place = Place::new("prometheus");
        let shipped = std::fs::canonicalize("deploy/prometheus").unwrap();
        let config = std::fs::read_to_string(shipped.join("prometheus.yaml")).unwrap();
        let watched: Vec<String> = metrics_ports.iter().map(|it| format!("127.0.0.1:{it}")).collect();
        let config = config
            .replace("127.0.0.1:9464", &watched.join("\", \""))
            .replace(": 15s", ": 1s")
            .replace(
                "  - recording.yaml",
                &format!("  - {}", shipped.join("recording.yaml").display()),
            )
            .replace(
                "  - alerts.yaml",
                &format!("  - {}", shipped.join("alerts.yaml").display()),
            );
        let file = place.0.join("prometheus.yaml");
        std::fs::write(&file, config).unwrap();
        let port = free_port();
        let mut command = Command::new(programs.join("prometheus"));
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", place.0.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        Self {
            base: format!("http://127.0.0.1:{port}/api/v1"),
            client: Client::new(),
            _process: Process::spawn("Prometheus", &mut command),
            _place: place,
        }
    }

    /// What it says, once it says anything.
    async fn ask(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(&format!("{}{path}", self.base)).await.ok()?;
        (answer.status != 503).then(|| answer.json()["data"].clone())
    }

    /// The series that answer the expression; none when it is not one.
    pub(crate) async fn query(&self, expr: &str) -> Option<Vec<Value>> {
        let escaped: Vec<String> = expr.bytes().map(|byte| hex::encode([byte])).collect();
        self.ask(&format!("/query?query=%{}", escaped.join("%"))).await?["result"]
            .as_array()
            .cloned()
    }
}

/// What the dashboards ask of every network.
pub(crate) fn dashboards() -> Vec<String> {
    let files = std::fs::read_dir("deploy/grafana").unwrap();
    let texts = files.map(|it| std::fs::read_to_string(it.unwrap().path()).unwrap());
    let boards = texts.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let targets = boards.flat_map(|it| {
        let panels = it["panels"].as_array().unwrap().clone();
        panels
            .into_iter()
            .flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default())
    });
    let exprs = targets.map(|it| it["expr"].as_str().unwrap().to_owned());
    exprs
        .map(|it| it.replace("$__rate_interval", "1m").replace("$network", ".*"))
        .collect()
}

#[tokio::test]
async fn a_real_prometheus_reads_the_metrics_and_answers_the_dashboards() {
    let Some(programs) = offered("FACILITATOR_PROMETHEUS", "Prometheus") else {
        return;
    };
    let world = World::usual().await;
    world.facilitator.verify(&Payment::by(2).body()).await.valid();
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let prometheus = Prometheus::start(Path::new(&programs), &[world.facilitator.config.metrics_port]);

    let rules = eventually("all rules are evaluated", async || {
        let groups = prometheus.ask("/rules").await?["groups"].as_array()?.clone();
        let rules: Vec<Value> = groups
            .iter()
            .flat_map(|it| it["rules"].as_array().unwrap().clone())
            .collect();
        (!rules.is_empty() && rules.iter().all(|it| it["health"] != "unknown")).then_some(rules)
    })
    .await;
    let failed: Vec<&Value> = rules.iter().filter(|it| it["health"] != "ok").collect();
    assert!(failed.is_empty(), "{failed:?}");
    let confirmed = r#"facilitator_settlements_total{event="payment.confirmed"} == 1"#;
    eventually("the payment is seen", async || {
        prometheus.query(confirmed).await.filter(|it| it.len() == 1)
    })
    .await;
    for name in ["sent", "confirmed"] {
        let timed = format!("facilitator_settlement_{name}_seconds_count == 1");
        assert_eq!(prometheus.query(&timed).await.unwrap().len(), 1, "{name}");
    }
    for expr in dashboards() {
        assert!(prometheus.query(&expr).await.is_some(), "{expr}");
    }
    let firing = prometheus.query(r#"ALERTS{alertstate="firing"}"#).await.unwrap();
    assert!(firing.is_empty(), "{firing:?}");
}

#[tokio::test]
async fn every_metric_that_is_shown_is_described() {
    let world = World::usual().await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    let shown = world.facilitator.metrics().await;
    let mut seen = BTreeSet::new();
    for line in shown.lines().filter(|it| !it.starts_with('#') && !it.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_count", "_sum"]
            .iter()
            .fold(name, |it, end| it.strip_suffix(end).unwrap_or(it));
        let metric = METRICS.iter().find(|it| it.name == base);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not on the list"));
        assert!(shown.contains(&format!("# HELP {base} {}\n", metric.help)), "{base}");
        seen.insert(base);
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[tokio::test]
async fn the_health_command_says_whether_the_process_is_ready() {
    let mut world = World::usual().await;
    let (status, said) = world.facilitator.run("health", &[]).await;
    assert!(status.success() && said.contains(r#""status":"ready""#), "{said}");
    world.facilitator.kill();
    let (status, said) = world.facilitator.run("health", &[]).await;
    assert_eq!(status.code(), Some(1), "{said}");
}

#[tokio::test]
async fn what_is_not_settled_is_shown_until_it_is() {
    let world = World::start(Setup {
        mining: Mining::OnDemand,
        wait_seconds: 1,
        ..Setup::default()
    })
    .await;
    let unsettled = async |count: &str| {
        let metric = "facilitator_settlements_unsettled";
        let is_shown = async || (world.facilitator.series(metric, count).await == 1).then_some(());
        eventually(&format!("{count} unsettled"), is_shown).await;
    };
    let payment = Payment::by(1);
    world.facilitator.settle(&payment.body()).await.pending();
    unsettled("1").await;
    world.node.mine(1).await;
    world.reaches(&payment, "confirmed").await;
    unsettled("0").await;
    assert_eq!(
        world
            .facilitator
            .series("facilitator_settlements_unsettled_overdue", "0")
            .await,
        1
    );
}
