//! The code's own rules, held by reading the code: directions between modules, fences around third-party crates,
//! sizes, words, and files that nothing uses.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic: that is how it fails"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use facilitator::seeded::BUGS;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// A table of cases may be as long as it has cases to show, within reason.
const TEST_FUNCTION_LINES_MAX: usize = 100;

/// Which modules a module may name with `crate::`; its own name is always allowed.
const DIRECTIONS: [(&str, &[&str]); 17] = [
    ("domain", &[]),
    ("wire", &["domain"]),
    ("chain", &["domain", "task"]),
    ("store", &["domain", "task"]),
    ("export", &["domain"]),
    ("app", &["domain", "export", "outbound", "store", "task", "trace"]),
    (
        "http",
        &["app", "domain", "export", "store", "telemetry", "trace", "wire"],
    ),
    (
        "command",
        &[
            "app",
            "chain",
            "config",
            "domain",
            "export",
            "http",
            "outbound",
            "store",
            "task",
            "telemetry",
            "trace",
        ],
    ),
    (
        "config",
        &[
            "app",
            "chain",
            "domain",
            "export",
            "http",
            "store",
            "telemetry",
            "trace",
        ],
    ),
    ("fuzz", &["chain", "domain", "http", "wire"]),
    ("outbound", &[]),
    ("task", &[]),
    ("telemetry", &["trace"]),
    ("trace", &["domain"]),
    ("main", &[]),
    ("lib", &[]),
    ("seeded", &[]),
];

/// What every module may name: the deliberate bugs that only the tests of the tests switch on.
const EVERYWHERE: &str = "seeded";

/// Crates that may be named only under these paths.
const FENCES: [(&str, &[&str]); 18] = [
    ("alloy", &["src/chain/evm/"]),
    ("secp256k1", &["src/chain/evm/"]),
    (
        "ed25519_dalek",
        &[
            "src/app/webhooks/sign.rs",
            "src/chain/solana/",
            "src/domain/receipt.rs",
            "src/domain/token",
        ],
    ),
    ("solana_hash", &["src/chain/solana/"]),
    ("solana_message", &["src/chain/solana/"]),
    ("solana_pubkey", &["src/chain/solana/"]),
    ("solana_pubsub_client", &["src/chain/solana/"]),
    ("solana_signature", &["src/chain/solana/"]),
    ("solana_transaction", &["src/chain/solana/"]),
    ("reqwest", &["src/chain/custody/", "src/chain/rpc.rs", "src/outbound"]),
    ("opentelemetry", &["src/trace.rs"]),
    ("tracing_opentelemetry", &["src/trace.rs"]),
    ("quick_xml", &["src/app/screening/"]),
    ("rusty_s3", &["src/outbound"]),
    ("sqlx", &["src/store/"]),
    ("axum", &["src/http/"]),
    ("tower", &["src/http/"]),
    ("toml", &["src/config.rs"]),
];

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The first part of the path below `src/`, without the extension: the module it belongs to.
    fn module(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split('/').next().unwrap().trim_end_matches(".rs")
    }

    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn rust_files(top: &str) -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                walk(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new(top), &mut found);
    found.sort();
    found
        .iter()
        .map(|path| Source {
            path: path.to_string_lossy().into_owned(),
            text: fs::read_to_string(path).unwrap(),
        })
        .collect()
}

/// Words of the line, split at everything that cannot be in an identifier.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

fn assert_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

#[test]
fn modules_name_only_the_modules_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = DIRECTIONS.into_iter().collect();
    let tops: Vec<&str> = DIRECTIONS.iter().map(|(name, _)| *name).collect();
    let mut offences = Vec::new();
    for source in rust_files("src") {
        let module = source.module();
        let may = allowed
            .get(module)
            .unwrap_or_else(|| panic!("{} is not in DIRECTIONS", source.path));
        for (number, line) in source.code_lines() {
            for named in line.split("crate::").skip(1).filter_map(|rest| words(rest).next()) {
                if tops.contains(&named) && named != module && named != EVERYWHERE && !may.contains(&named) {
                    offences.push(format!("{}:{number} names crate::{named}", source.path));
                }
            }
            if line.contains("use crate::{") && module != "config" && module != "command" {
                offences.push(format!(
                    "{}:{number} imports several modules at once, which this test cannot read",
                    source.path
                ));
            }
        }
    }
    assert_none("a module names another that it may not know", &offences);
}

#[test]
fn third_party_crates_stay_behind_their_fences() {
    let mut offences = Vec::new();
    for source in rust_files("src") {
        for (crate_name, homes) in FENCES {
            if homes.iter().any(|home| source.path.starts_with(home)) {
                continue;
            }
            let named = [
                format!("use {crate_name}::"),
                format!("{crate_name}::"),
                format!("use {crate_name};"),
            ];
            for (number, line) in source.code_lines() {
                let starts_here =
                    |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
                if named
                    .iter()
                    .any(|name| line.find(name.as_str()).is_some_and(starts_here))
                {
                    offences.push(format!("{}:{number} names {crate_name}", source.path));
                }
            }
        }
    }
    assert_none("a crate is named outside its home", &offences);
}

/// A key signs what is a `Permit`; so nothing else may be one, and what is may be made by its policy only.
#[test]
fn only_the_policies_say_what_a_key_signs() {
    let is_permit = |source: &Source| source.code_lines().any(|(_, line)| line.contains("Permit for"));
    let homes: Vec<Source> = rust_files("src").into_iter().filter(is_permit).collect();
    let paths: Vec<&str> = homes.iter().map(|it| &*it.path).collect();
    assert_eq!(paths, ["src/chain/evm/policy.rs", "src/chain/solana/policy.rs"]);
    for home in &homes {
        let fields = home.text.split("struct Allowed").nth(1).unwrap();
        assert!(!fields.split(['}', ';']).next().unwrap().contains("pub"));
    }
}

#[test]
fn sql_is_only_in_the_store() {
    let mut offences = Vec::new();
    for source in rust_files("src")
        .iter()
        .filter(|source| !source.path.starts_with("src/store/"))
    {
        for (number, line) in source.code_lines() {
            let lower = line.to_lowercase();
            let is_sql = ["select ", "insert into ", "delete from "]
                .iter()
                .any(|start| lower.contains(&format!("\"{start}")))
                || (lower.contains("\"update ") && lower.contains(" set "));
            if is_sql {
                offences.push(format!("{}:{number}", source.path));
            }
        }
    }
    assert_none("SQL outside src/store", &offences);
}

#[test]
fn protocol_versions_are_named_only_by_the_wire() {
    let mut offences = Vec::new();
    for source in rust_files("src")
        .iter()
        .filter(|source| !source.path.starts_with("src/wire/"))
    {
        for (number, line) in source.code_lines() {
            let is_version = |word: &str| {
                word.split('_')
                    .any(|part| matches!(part.to_lowercase().as_str(), "v1" | "v2" | "x402v1" | "x402v2"))
            };
            // The numbers of our own API and of Standard Webhooks are not the protocol's.
            let theirs = line.replace("/v1/", "/").replace("\"v1,{}\"", "");
            if words(&theirs).any(is_version) {
                offences.push(format!("{}:{number} {}", source.path, line.trim()));
            }
        }
    }
    assert_none("a protocol version outside src/wire", &offences);
}

#[test]
fn files_and_functions_stay_readable() {
    let mut offences = Vec::new();
    for source in rust_files("src").into_iter().chain(rust_files("tests")) {
        let lines: Vec<&str> = source.text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            offences.push(format!("{} has {} lines", source.path, lines.len()));
        }
        let is_tests_file = source.path.contains("tests") || source.path.contains("trials");
        let tests_begin = if is_tests_file {
            Some(0)
        } else {
            lines.iter().position(|line| line.contains("#[cfg(test)]"))
        };
        for (name, start, length) in functions(&lines) {
            let is_test = tests_begin.is_some_and(|line| start > line);
            if length
                > if is_test {
                    TEST_FUNCTION_LINES_MAX
                } else {
                    FUNCTION_LINES_MAX
                }
            {
                offences.push(format!("{}:{start} fn {name} has {length} lines", source.path));
            }
        }
    }
    assert_none("too long to read", &offences);
}

/// Each function's name, first line and length, found by the indentation that rustfmt guarantees.
fn functions(lines: &[&str]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = words(code).any(|word| word == "fn") && !code.starts_with("//") && !code.contains('"');
        let head_end = lines[start..]
            .iter()
            .find(|line| line.ends_with(['{', ';']) || line.ends_with('}'));
        let has_body = head_end.is_some_and(|line| !line.ends_with(';'));
        let Some(name) = code.split("fn ").nth(1).filter(|_| is_function && has_body) else {
            continue;
        };
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        if let Some(length) = lines[start..].iter().position(|it| **it == end) {
            found.push((words(name).next().unwrap_or_default().to_owned(), start + 1, length + 1));
        }
    }
    found
}

#[test]
fn every_file_belongs_to_a_module() {
    let sources = rust_files("src");
    let mut offences = Vec::new();
    for source in &sources {
        let path = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let name = path.rsplit('/').next().unwrap();
        let is_declared = sources.iter().any(|it| {
            it.text.contains(&format!("mod {name};")) || it.text.contains(&format!("#[path = \"{name}.rs\"]"))
        });
        if !is_declared && name != "main" && name != "lib" {
            offences.push(source.path.clone());
        }
    }
    assert_none("nothing declares this file", &offences);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<String> = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .filter(|source| !source.text.starts_with("//!") && !source.text.starts_with("#![doc"))
        .map(|source| source.path)
        .collect();
    assert_none("no module header", &silent);
}

#[test]
fn nothing_is_left_open_in_the_code() {
    let open = [
        "TO".to_owned() + "DO",
        "FIX".to_owned() + "ME",
        "un".to_owned() + "implemented!",
        "to".to_owned() + "do!(",
    ];
    let mut offences = Vec::new();
    for source in rust_files("src").into_iter().chain(rust_files("tests")) {
        for (number, line) in source.text.lines().enumerate() {
            if open.iter().any(|word| line.contains(word.as_str())) {
                offences.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    assert_none("left open", &offences);
}

#[test]
fn the_architecture_page_stays_a_page_and_names_every_module() {
    let page = fs::read_to_string("ARCHITECTURE.md").unwrap();
    assert!(
        page.lines().count() < 200,
        "ARCHITECTURE.md has {} lines",
        page.lines().count()
    );
    for (module, _) in DIRECTIONS.iter().filter(|(name, _)| *name != "lib") {
        let named = [format!("{module}.rs"), format!("{module}/")];
        assert!(
            named.iter().any(|name| page.contains(name)),
            "ARCHITECTURE.md does not mention src/{module}"
        );
    }
}

/// The cases at the front of a test's name: `k04_k05_…` holds K04 and K05.
fn cases_of(name: &str) -> Vec<String> {
    let is_case = |word: &&str| {
        let mut letters = word.chars();
        letters.next().is_some_and(|it| "krdhxbvtms".contains(it))
            && word.len() == 3
            && letters.all(|it| it.is_ascii_digit())
    };
    name.split('_').take_while(is_case).map(str::to_uppercase).collect()
}

/// Where each test function stands: `it::settle::case_36_…`, `lib::domain::verdict::…`, without the modules within a
/// file.
fn tests() -> Vec<String> {
    let mut found = Vec::new();
    for source in rust_files("src").into_iter().chain(rust_files("tests")) {
        let place = source.path.trim_end_matches(".rs").replace("src/", "lib/");
        let modules: Vec<&str> = place
            .trim_start_matches("tests/")
            .split('/')
            .filter(|part| !["main", "mod"].contains(part))
            .collect();
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, _) in lines.iter().enumerate().filter(|(_, line)| is_test_mark(line)) {
            let head = lines[number..].iter().find_map(|line| line.split("fn ").nth(1));
            let name = head.and_then(|rest| words(rest).next());
            found.extend(name.map(|name| format!("{}::{name}", modules.join("::"))));
        }
    }
    found
}

/// The names of all test functions.
fn test_names() -> Vec<String> {
    let name = |path: &String| path.rsplit("::").next().map(str::to_owned);
    tests().iter().filter_map(name).collect()
}

fn is_test_mark(line: &str) -> bool {
    let mark = line.trim_start();
    mark == "#[test]" || mark.starts_with("#[tokio::test")
}

#[test]
fn every_fault_case_has_its_tests_or_a_reason() {
    let page = fs::read_to_string("tests/RELIABILITY.md").unwrap();
    let tests = test_names();
    let mut rows = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", id, _, held, ""] = cells.as_slice()
            && cases_of(&id.to_lowercase()) == [*id]
        {
            rows.insert((*id).to_owned(), (*held).to_owned());
        }
    }
    let mut offences = Vec::new();
    for (id, held) in &rows {
        if held.is_empty() {
            offences.push(format!("{id} has neither a test nor a reason"));
        }
        for named in held.split('`').skip(1).step_by(2) {
            if !tests.iter().any(|test| test == named) {
                offences.push(format!("{id} names {named}, which is no test"));
            }
        }
    }
    for test in &tests {
        for id in cases_of(test) {
            let is_named = rows.get(&id).is_some_and(|held| held.contains(&format!("`{test}`")));
            if !is_named {
                offences.push(format!("{test} does not stand in the row of {id}"));
            }
        }
    }
    assert_none("tests/RELIABILITY.md and the tests differ", &offences);
}

#[test]
fn every_deliberate_bug_has_its_hunters() {
    let tests = tests();
    let mut offences = Vec::new();
    for (_, bug, hunters) in BUGS {
        let (targets, filters) = hunters.split_once(" -- ").unwrap();
        let targets: Vec<&str> = words(targets).filter(|word| *word != "test").collect();
        for filter in filters.split_whitespace() {
            let hunts = |test: &String| {
                let (target, path) = test.split_once("::").unwrap();
                targets.contains(&target) && path.contains(filter)
            };
            if !tests.iter().any(hunts) {
                offences.push(format!("{bug}: {filter}"));
            }
        }
    }
    assert_none("no test is of that name (src/seeded.rs)", &offences);
}

#[test]
fn every_deliberate_bug_has_its_row() {
    let page = fs::read_to_string("tests/RELIABILITY.md").unwrap();
    let names = test_names();
    let mut offences = Vec::new();
    for (_, bug, _) in BUGS {
        let row = page.lines().find(|line| line.starts_with(&format!("| {bug} |")));
        let finder = row.and_then(|row| row.split('`').nth(1)?.rsplit("::").next());
        if !finder.is_some_and(|finder| names.iter().any(|name| name == finder)) {
            offences.push(format!("{bug}: {}", row.unwrap_or("no row")));
        }
    }
    assert_none("tests/RELIABILITY.md names no test that finds it", &offences);
}
