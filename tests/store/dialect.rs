//! The SQL that we write, held to what poolers and distributed databases take.

use std::fs;

use facilitator::store::Store;

/// What a pooler in transaction mode, or a distributed database that speaks Postgres's dialect, refuses or takes otherwise:
/// the first table of deploy/DATABASES.md. How no statement begins, and what stands in none.
const SQL_NEVER_BEGUN: [&str; 16] = [
    "set",
    "reset",
    "listen",
    "notify",
    "lock",
    "do",
    "call",
    "copy",
    "declare",
    "prepare",
    "create procedure",
    "create type",
    "create extension",
    "create temp",
    "create temporary",
    "create unlogged",
];
/// Of Postgres alone, and only where this is named: the order of the feed.
const SQL_OF_THE_FEED: [&str; 2] = ["pg_current_xact_id", "pg_current_snapshot"];
const FEED: [&str; 9] = [
    "PAGE",
    "TENANTS_PAGE",
    "END",
    "HIDDEN",
    "AHEAD",
    "ADD",
    "INTEND",
    "REPLACE",
    "0012_feed.sql",
];

const SQL_NEVER_USED: [&str; 15] = [
    "pg_advisory_lock",
    "pg_advisory_xact_lock",
    "pg_try_advisory_lock",
    "pg_try_advisory_xact_lock",
    "pg_notify",
    "skip locked",
    "nowait",
    "deferrable",
    "exclude using",
    "inherits",
    "with recursive",
    "xmin",
    "ctid",
    "txid_current",
    "lo_import",
];

/// Every statement of the store and of the migrations, named, in lower case, as words with a blank on each side.
fn sql() -> Vec<(String, String)> {
    let of_the_store = Store::statements().map(|(name, text)| (name.to_owned(), text.to_owned()));
    let migrations = fs::read_dir("migrations").unwrap();
    let of_migrations = migrations.map(|entry| {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        (
            path.file_name().unwrap().to_string_lossy().into_owned(),
            code.join("\n"),
        )
    });
    let spaced = |statement: &str| {
        let statement = statement.to_lowercase();
        format!(" {} ", words(&statement).collect::<Vec<_>>().join(" "))
    };
    of_the_store
        .chain(of_migrations)
        .flat_map(|(name, text)| {
            let statements: Vec<_> = text.split(';').map(|it| (name.clone(), spaced(it))).collect();
            statements
        })
        .collect()
}

/// The tables that a statement changes, as often as it does.
fn tables_changed(statement: &str) -> Vec<&str> {
    let words: Vec<&str> = words(statement).collect();
    let changed = |at: usize| match (
        at.checked_sub(1).map(|before| words[before]),
        words[at],
        words.get(at + 1),
    ) {
        (Some("insert"), "into", Some(table)) | (Some("delete"), "from", Some(table)) => Some(*table),
        (Some("for" | "do"), "update", _) => None,
        (_, "update", table) => table.copied(),
        _ => None,
    };
    (0..words.len()).filter_map(changed).collect()
}

#[test]
fn sql_keeps_to_what_poolers_and_distributed_databases_take() {
    let mut offences = Vec::new();
    let all = sql();
    assert!(all.len() > 100, "{} statements", all.len());
    for (name, statement) in &all {
        let begins = SQL_NEVER_BEGUN
            .iter()
            .filter(|it| statement.starts_with(&format!(" {it} ")));
        let uses = SQL_NEVER_USED
            .iter()
            .filter(|it| statement.contains(&format!(" {it} ")));
        let feeds = SQL_OF_THE_FEED
            .iter()
            .filter(|it| statement.contains(&format!(" {it} ")) && !FEED.contains(&name.as_str()));
        offences.extend(begins.chain(uses).chain(feeds).map(|it| format!("{name}: {it}")));
        let mut changed = tables_changed(statement);
        changed.sort_unstable();
        offences.extend(
            changed
                .windows(2)
                .filter(|two| two[0] == two[1])
                .map(|two| format!("{name} changes {} twice", two[0])),
        );
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// Words of the statement, split at everything that cannot be in a name.
fn words(statement: &str) -> impl Iterator<Item = &str> {
    statement
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}
