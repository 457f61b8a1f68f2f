//! The list in `README.md` and the tests are the same: each bug of the list has its test, each test its bug.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A bug and the test that does to us what was done there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    reference: String,
    module: String,
    test: String,
}

fn read(name: &str) -> String {
    let home = Path::new("tests/known_bugs");
    fs::read_to_string(home.join(name)).unwrap()
}

/// What stands between the backquotes of a text.
fn quoted(text: &str) -> &str {
    text.split('`').nth(1).unwrap_or_else(|| panic!("no name in {text}"))
}

fn rows() -> Vec<Row> {
    let listed = read("README.md");
    let lines = listed.lines().filter(|line| line.starts_with("| ["));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            let (module, test) = quoted(cells[3]).split_once("::").unwrap();
            Row {
                reference: cells[1].split(['[', ']']).nth(1).unwrap().to_owned(),
                module: module.to_owned(),
                test: test.to_owned(),
            }
        })
        .collect()
}

/// The modules that `main.rs` has, but for this one.
fn modules() -> Vec<String> {
    let main = read("main.rs");
    let names = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    names
        .filter(|name| !["list", "support"].contains(name))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_bug_has_its_test_and_every_test_its_bug() {
    let rows = rows();
    let named: BTreeSet<(&str, &str)> = rows.iter().map(|row| (&*row.module, &*row.test)).collect();
    let mut found = BTreeSet::new();
    let modules = modules();
    for module in &modules {
        let source = read(&format!("{module}.rs"));
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            if matches!(line, "#[test]" | "#[tokio::test]") {
                let test = lines.next().unwrap().split("fn ").nth(1).unwrap();
                found.insert((module.clone(), test.split('(').next().unwrap().to_owned()));
            }
        }
    }
    let found: BTreeSet<(&str, &str)> = found.iter().map(|(module, test)| (&**module, &**test)).collect();
    assert_eq!(named, found);
}

#[test]
fn every_module_says_which_bugs_it_is_about() {
    let listed: BTreeSet<(String, String)> = rows().into_iter().map(|row| (row.module, row.reference)).collect();
    let mut said = BTreeSet::new();
    for module in modules() {
        for line in read(&format!("{module}.rs")).lines() {
            let Some((reference, _)) = line.strip_prefix("//! - ").and_then(|line| line.split_once(": ")) else {
                continue;
            };
            said.insert((module.clone(), reference.to_owned()));
        }
    }
    assert_eq!(listed, said);
}

#[test]
fn no_bug_is_listed_twice() {
    let rows = rows();
    let different: BTreeSet<&Row> = rows.iter().collect();
    assert_eq!(different.len(), rows.len());
}

#[test]
fn every_reference_leads_to_what_it_names() {
    for line in read("README.md").lines().filter(|line| line.starts_with("| [")) {
        let reference = line.split(['[', ']']).nth(1).unwrap();
        let address = line.split(['(', ')']).nth(1).unwrap();
        let expected = match reference.split_once('#') {
            Some((repository, number)) => ["issues", "pull"]
                .map(|kind| format!("https://github.com/{repository}/{kind}/{number}"))
                .to_vec(),
            None => vec![reference.replace("arXiv:", "https://arxiv.org/abs/")],
        };
        assert!(expected.iter().any(|it| it == address), "{reference}: {address}");
    }
}
