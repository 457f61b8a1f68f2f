//! The image and Compose: linted, and true to the program.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{all, succeeds, text, tools};

/// How long a process may take to end once it is told to: its requests, then its tasks.
pub(crate) fn drain_seconds() -> u64 {
    [
        ("src/http/server.rs", "DRAIN_PATIENCE"),
        ("src/command/serve.rs", "DRAIN"),
    ]
    .into_iter()
    .map(|(file, name)| {
        let pattern = format!(r"const {name}: Duration = Duration::from_secs\((\d+)\);");
        all(&pattern, &text(file)).pop_first().unwrap().parse::<u64>().unwrap()
    })
    .sum()
}

fn compose() -> Option<Value> {
    let mut command = Command::new(tools()?.join("bin/docker-compose"));
    command.args(["-f", "deploy/compose.yaml", "config", "--format", "json"]);
    for name in all(r"\$\{([A-Z_]+):\?\}", &text("deploy/compose.yaml")) {
        command.env(name, "x");
    }
    Some(serde_json::from_str(&succeeds(&mut command)).unwrap())
}

#[test]
fn the_dockerfile_has_no_fault_that_hadolint_knows() {
    if let Some(tools) = tools() {
        succeeds(Command::new(tools.join("bin/hadolint")).arg("deploy/Dockerfile"));
    }
}

#[test]
fn the_image_runs_as_nobody_without_a_shell() {
    let file = text("deploy/Dockerfile");
    let last = file.rsplit("\nFROM ").next().unwrap();
    assert!(last.contains("\nUSER 65532:65532\n"));
    for instruction in ["HEALTHCHECK", "ENTRYPOINT", "CMD"] {
        let form = last
            .split(&format!("\n{instruction} "))
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap();
        assert!(form.contains('[') && form.ends_with(']'), "{instruction} {form}");
    }
    assert!(!last.contains("\nRUN "));
}

/// What images of distroless/cc have.
const LIBRARIES: [&str; 5] = [
    "linux-vdso.so",
    "libc.so",
    "libm.so",
    "libgcc_s.so",
    "/lib64/ld-linux-x86-64.so",
];

#[test]
fn the_image_has_what_the_program_is_linked_with() {
    if !Path::new("/lib64/ld-linux-x86-64.so.2").exists() {
        return;
    }
    let linked = succeeds(Command::new("ldd").arg(env!("CARGO_BIN_EXE_facilitator")));
    for library in linked.lines().map(str::trim) {
        assert!(LIBRARIES.iter().any(|it| library.starts_with(it)), "{library}");
    }
}

#[test]
fn compose_confines_the_facilitator_and_gives_it_time() {
    let Some(compose) = compose() else { return };
    let service = &compose["services"]["facilitator"];
    assert_eq!(service["read_only"], true);
    assert_eq!(service["cap_drop"], json!(["ALL"]));
    assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]));
    let grace = service["stop_grace_period"].as_str().unwrap().trim_end_matches('s');
    assert!(grace.parse::<u64>().unwrap() > drain_seconds(), "{grace}");
    let is_local = |it: &Value| it["target"] != 9464 || it["host_ip"] == "127.0.0.1";
    assert!(service["ports"].as_array().unwrap().iter().all(is_local));
    assert!(service["depends_on"]["postgres"]["condition"] == "service_healthy");
}

#[test]
fn compose_sets_every_variable_that_the_configuration_names() {
    let Some(compose) = compose() else { return };
    let config = text("deploy/facilitator.toml");
    let config: Vec<&str> = config.lines().filter(|it| !it.starts_with('#')).collect();
    let set = compose["services"]["facilitator"]["environment"].as_object().unwrap();
    assert!(set.keys().eq(all(r#"env = "([A-Z_]+)""#, &config.join("\n")).iter()));
}
