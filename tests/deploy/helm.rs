//! The chart, rendered by Helm and held against the schemas of Kubernetes.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use facilitator::http::ROUTES;
use serde_json::{Value, json};

use super::containers::drain_seconds;
use super::prometheus::rules;
use super::{output, python, text, tools, yaml};

const CHART: &str = "deploy/helm/facilitator";
const EXAMPLE: &str = "deploy/helm/example.yaml";
const SECRETS: &str = "/run/secrets/facilitator";

/// The manifests of the chart with the example's values and these in their place; or why there are none. None where there
/// is no Helm.
fn rendered(values: &Value) -> Option<Result<Vec<Value>, String>> {
    let tools = tools()?;
    let place = temporary("values.json");
    fs::write(&place, values.to_string()).unwrap();
    let said = output(python(tools, "helm.py").args([CHART, EXAMPLE]).arg(&place));
    fs::remove_file(place).unwrap();
    Some(said.map(|it| serde_json::from_str(&it).unwrap()))
}

fn temporary(name: &str) -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    std::env::temp_dir().join(format!(
        "deploy-{}-{}-{name}",
        std::process::id(),
        thread.replace(['(', ')'], "")
    ))
}

fn of_kind<'a>(manifests: &'a [Value], kind: &str) -> Vec<&'a Value> {
    manifests.iter().filter(|it| it["kind"] == kind).collect()
}

#[test]
fn the_chart_is_of_this_version() {
    assert_eq!(
        yaml(&format!("{CHART}/Chart.yaml"))["appVersion"],
        env!("CARGO_PKG_VERSION")
    );
}

#[test]
fn every_pod_is_confined() {
    let Some(manifests) = rendered(&json!({})) else { return };
    let manifests = manifests.unwrap();
    let pods = [of_kind(&manifests, "Deployment"), of_kind(&manifests, "Job")].concat();
    assert_eq!(pods.len(), 2);
    for pod in pods.iter().map(|it| &it["spec"]["template"]["spec"]) {
        assert_eq!(pod["automountServiceAccountToken"], false);
        let expected = json!({
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        });
        assert_eq!(pod["securityContext"], expected);
        let container = &pod["containers"][0];
        let expected = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(container["securityContext"], expected);
        assert!(container["resources"]["limits"]["memory"].is_string());
        let is_read_only = |it: &Value| it["readOnly"] == true;
        assert!(container["volumeMounts"].as_array().unwrap().iter().all(is_read_only));
        assert!(container.get("env").is_none(), "secrets are files");
    }
    assert!(of_kind(&manifests, "Secret").is_empty());
}

#[test]
fn a_process_is_asked_where_it_answers_and_has_the_time_to_end() {
    let Some(manifests) = rendered(&json!({})) else { return };
    let manifests = manifests.unwrap();
    let pod = &of_kind(&manifests, "Deployment")[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        assert!(ROUTES.iter().any(|it| it.path == path && it.method == "GET"), "{path}");
    }
    let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > pause + drain_seconds(), "{grace}");
    assert_eq!(
        container["ports"],
        json!([{"name": "http", "containerPort": 4020}, {"name": "metrics", "containerPort": 9464}])
    );
}

#[test]
fn what_selects_pods_selects_them() {
    let Some(manifests) = rendered(&json!({})) else { return };
    let manifests = manifests.unwrap();
    let includes = |all: &Value, some: &Value| {
        let some = some.as_object().unwrap();
        !some.is_empty() && some.iter().all(|(key, value)| all[key] == *value)
    };
    let labels = |kind: &str| of_kind(&manifests, kind)[0]["spec"]["template"]["metadata"]["labels"].clone();
    let (serving, migrating) = (labels("Deployment"), labels("Job"));
    let spec = |kind: &str| of_kind(&manifests, kind).into_iter().map(|it| &it["spec"]);
    let services = spec("Service").map(|it| &it["selector"]);
    let budgets = spec("PodDisruptionBudget").map(|it| &it["selector"]["matchLabels"]);
    for selector in services.chain(budgets) {
        assert!(
            includes(&serving, selector) && !includes(&migrating, selector),
            "{selector}"
        );
    }
    let policies: Vec<&Value> = spec("NetworkPolicy")
        .map(|it| &it["podSelector"]["matchLabels"])
        .collect();
    for pod in [&serving, &migrating] {
        assert_eq!(policies.iter().filter(|it| includes(pod, it)).count(), 1, "{pod}");
    }
    let monitored = &of_kind(&manifests, "ServiceMonitor")[0]["spec"];
    let has_metrics = |it: &&Value| includes(&it["metadata"]["labels"], &monitored["selector"]["matchLabels"]);
    let services: Vec<&Value> = of_kind(&manifests, "Service").into_iter().filter(has_metrics).collect();
    assert_eq!(services.len(), 1);
    assert_eq!(
        services[0]["spec"]["ports"][0]["name"],
        monitored["endpoints"][0]["port"]
    );
}

#[test]
fn the_migration_comes_first_and_brings_what_it_needs() {
    let Some(manifests) = rendered(&json!({})) else { return };
    let manifests = manifests.unwrap();
    let job = of_kind(&manifests, "Job")[0];
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["args"][0], "migrate");
    let weight = |it: &Value| {
        it["metadata"]["annotations"]["helm.sh/hook-weight"]
            .as_str()
            .map(|it| it.parse::<i32>().unwrap())
    };
    let is_hook = |it: &&Value| it["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade";
    let hooks: Vec<&Value> = manifests.iter().filter(is_hook).collect();
    let kinds: BTreeSet<&str> = hooks.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["ConfigMap", "Job", "NetworkPolicy"]));
    assert!(hooks.iter().all(|it| it["kind"] == "Job" || weight(it) < weight(job)));
    let config = &pod["volumes"][0]["configMap"]["name"];
    assert!(
        hooks
            .iter()
            .any(|it| it["kind"] == "ConfigMap" && it["metadata"]["name"] == *config)
    );
    let serve = &of_kind(&manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(serve["args"][0], "serve");
    assert_eq!(serve["args"][1], "--no-migrate");
}

#[test]
fn the_rules_in_the_chart_are_those_beside_it() {
    let Some(manifests) = rendered(&json!({})) else { return };
    let manifests = manifests.unwrap();
    let groups = of_kind(&manifests, "PrometheusRule")[0]["spec"]["groups"]
        .as_array()
        .unwrap()
        .iter();
    let shipped: Vec<Value> = groups.flat_map(|it| it["rules"].as_array().unwrap().clone()).collect();
    let beside = [
        rules("deploy/prometheus/recording.yaml"),
        rules("deploy/prometheus/alerts.yaml"),
    ]
    .concat();
    assert_eq!(shipped, beside);
}

#[test]
fn what_is_optional_renders_too_and_what_is_wrong_does_not() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let minimal = json!({
        "serviceMonitor": {"enabled": false}, "prometheusRule": {"enabled": false},
        "networkPolicy": {"enabled": false}, "podDisruptionBudget": {"enabled": false},
        "autoscaling": {"enabled": true}, "image": {"digest": digest, "pullSecrets": ["registry"]},
        "tolerations": [{"key": "payments", "operator": "Exists"}], "priorityClassName": "payments",
    });
    let Some(manifests) = rendered(&minimal) else { return };
    let manifests = manifests.unwrap();
    assert_eq!(of_kind(&manifests, "HorizontalPodAutoscaler").len(), 1);
    let deployment = &of_kind(&manifests, "Deployment")[0]["spec"];
    assert!(deployment.get("replicas").is_none());
    let image = deployment["template"]["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap();
    assert!(image.ends_with(&format!("@{digest}")), "{image}");

    let listens = |http: &str| format!("[http]\nlisten = \"{http}\"\n[metrics]\nlisten = \"[::]:9464\"\n");
    for (wrong, why) in [
        (json!({"config": ""}), "minLength"),
        (json!({"config": listens("127.0.0.1:4020")}), "expected [http] listen"),
        (json!({"config": "[http"}), "config is not TOML"),
        (json!({"secrets": []}), "minItems"),
        (json!({"image": {"tag": "latest"}}), "image"),
        (
            json!({"terminationGracePeriodSeconds": 30}),
            "terminationGracePeriodSeconds",
        ),
        (json!({"replica": 3}), "replica"),
    ] {
        let said = rendered(&wrong).unwrap().unwrap_err();
        assert!(said.contains(why), "{wrong}: {said}");
    }
    assert!(rendered(&json!({"config": listens("[::]:80")})).unwrap().is_ok());
}

/// A key that every local chain starts with: public, and worth nothing.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

#[test]
fn the_program_takes_the_examples_configuration() {
    let place = temporary("secrets");
    fs::create_dir(&place).unwrap();
    let secret = |name: &str, text: &str| fs::write(place.join(name), text).unwrap();
    // Nobody listens at port 1.
    secret("database-url", "postgres://nobody@127.0.0.1:1/nothing");
    secret("signing", &"ab".repeat(32));
    secret("base-rpc", "http://127.0.0.1:1");
    secret("base-signer", KEY);
    let config = yaml(EXAMPLE)["config"]
        .as_str()
        .unwrap()
        .replace(SECRETS, place.to_str().unwrap());
    let file = place.join("facilitator.toml");
    fs::write(&file, config).unwrap();
    let said = output(
        Command::new(env!("CARGO_BIN_EXE_facilitator"))
            .args(["doctor", "--config"])
            .arg(&file),
    );
    fs::remove_dir_all(&place).unwrap();
    let said = said.unwrap_err();
    assert!(said.contains("configuration: can be read; eip155:8453"), "{said}");
    assert!(text(&format!("{CHART}/templates/_helpers.tpl")).contains(&format!("mountPath: {SECRETS}")));
}
