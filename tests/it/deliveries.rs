//! Scheduled reports reach where they go once for each period, whole, with a manifest that says what they are.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exports::closed_world;
use crate::schema::faults;
use crate::support::eventually;
use crate::support::process::free_port;
use crate::support::receiver::{Manner, Receiver};
use crate::support::store::ObjectStore;
use crate::support::world::{Setup, World};
use crate::webhooks::webhook;

/// A schedule as the configuration has it.
fn schedule(name: &str, kind: &str, format: &str, to: &str) -> String {
    format!("[[reports.schedule]]\nname = \"{name}\"\ntype = \"{kind}\"\nformat = \"{format}\"\nto = {to}\n")
}

/// A folder, gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("facilitator-reports-{}-{}", std::process::id(), free_port())))
    }

    fn create() -> Self {
        let folder = Self::new();
        std::fs::create_dir(&folder.0).unwrap();
        folder
    }

    fn to(&self) -> String {
        format!("{{ folder = \"{}\" }}", self.0.display())
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(name)).ok()
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The world's facilitator again, with these schedules.
async fn scheduled(world: &mut World, schedules: &str) {
    world.facilitator.terminate();
    world.facilitator.ended().await;
    schedules.clone_into(&mut world.facilitator.config.more);
    world.facilitator.start().await;
}

/// Has everything tried now: what failed, and what a process was at when it ended.
async fn hurry(world: &World) {
    sqlx::query("update report_deliveries set due_at = now() where state = 'pending' and claims > 0")
        .execute(&world.db.pool)
        .await
        .unwrap();
}

async fn delivered(world: &World, count: i64) {
    eventually("the reports are delivered", async || {
        let done = world.db.count("report_deliveries where state = 'delivered'").await;
        (done == count).then_some(())
    })
    .await;
}

/// Has the day that is closed owed, which the machine's own clock may not have reached: its name.
async fn owe_closed_day(world: &World, schedule: &str) -> String {
    let sql = "with day as (select distinct starts_at, ends_at from statements),
        owed as (insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at)
            select $1, starts_at, ends_at, now(), now() from day returning starts_at)
        select to_char(to_timestamp(starts_at) at time zone 'UTC', 'YYYY-MM-DD') from owed";
    sqlx::query_scalar(sql)
        .bind(schedule)
        .fetch_one(&world.db.pool)
        .await
        .unwrap()
}

/// What the manifest says of the file, held to the file.
fn manifest(read: &dyn Fn(&str) -> Option<Vec<u8>>, stem: &str, format: &str) -> (Value, Vec<u8>) {
    let said = read(&format!("{stem}.manifest.json")).unwrap_or_else(|| panic!("no manifest of {stem}"));
    let said: Value = serde_json::from_slice(&said).unwrap();
    let name = format!("{stem}.{format}");
    assert_eq!(said["file"], name);
    let file = read(&name).unwrap();
    assert_eq!(said["bytes"], file.len());
    assert_eq!(said["sha256"], hex::encode(Sha256::digest(&file)));
    (said, file)
}

#[tokio::test]
async fn a_closed_day_is_delivered_once_to_folder_and_store_and_webhook_whoever_does_it() {
    let (mut world, _) = closed_world().await;
    let (folder, store) = (Folder::create(), ObjectStore::start().await);
    let receiver = Receiver::start(Manner::Status(204)).await;
    world.facilitator.config.tells_private = Some(true);
    let schedules = [
        schedule("activity", "balance_activity", "csv", &folder.to()),
        schedule("gas", "fees_and_gas", "ndjson", &store.to(ObjectStore::SECRET)),
        schedule("told", "settlements", "parquet", "\"webhook\""),
    ];
    scheduled(&mut world, &schedules.concat()).await;
    webhook(&world, &["add", "--url", &receiver.url, "--types", "report.ready"]).await;
    let other = world.replica().await;
    let mut day = String::new();
    for name in ["activity", "gas", "told"] {
        day = owe_closed_day(&world, name).await;
    }
    // The newest day that is over by the machine's clock as well; it may be the same.
    let owed = world.db.count("report_deliveries").await;
    assert!((3..=6).contains(&owed), "{owed}");
    delivered(&world, owed).await;

    let (said, file) = manifest(
        &|name| folder.read(name),
        &format!("activity-{day}-balance_activity-v1"),
        "csv",
    );
    assert_eq!(
        (&said["rows"], &said["period"], &said["edition"]),
        (&json!(4), &json!(day), &json!(1))
    );
    let text = String::from_utf8(file.clone()).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    let from = said["periodStart"].as_str().unwrap();
    let (status, printed) = world
        .facilitator
        .run("report", &["--of", "balance_activity", "--from", from])
        .await;
    assert!(status.success() && printed == text, "{printed}");
    assert!(
        !folder.names().iter().any(|it| it.contains(".part")),
        "{:?}",
        folder.names()
    );

    let (said, file) = manifest(
        &|name| store.object(name),
        &format!("gas-{day}-fees_and_gas-v1"),
        "ndjson",
    );
    let rows = String::from_utf8(file).unwrap().lines().count();
    assert_eq!(said["rows"], rows);

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let document: Value = serde_norway::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let told = eventually("the endpoint is told", async || {
        let arrivals = receiver.arrivals();
        arrivals
            .iter()
            .map(|it| it.event()["data"].clone())
            .find(|it| it["schedule"] == "told" && it["rows"] == 2)
    })
    .await;
    let shape = &document["components"]["schemas"]["ReportReady"];
    assert_eq!(faults(&document, shape, &told, "report.ready"), [""; 0]);
    let content = other.get(told["content"].as_str().unwrap()).await.body;
    assert_eq!(told["sha256"], hex::encode(Sha256::digest(&content)));
    let closed: Value = world
        .db
        .one("select body from notices where kind = 'statement.closed'")
        .await;
    let shape = &document["components"]["schemas"]["StatementClosed"];
    assert_eq!(faults(&document, shape, &closed, "statement.closed"), [""; 0]);

    // A process that was killed before it could say so delivers the same again.
    let before = (
        folder.names(),
        folder.read(&format!("activity-{day}-balance_activity-v1.manifest.json")),
    );
    sqlx::query("update report_deliveries set state = 'pending', ended_at = null, due_at = now()")
        .execute(&world.db.pool)
        .await
        .unwrap();
    delivered(&world, owed).await;
    let after = (
        folder.names(),
        folder.read(&format!("activity-{day}-balance_activity-v1.manifest.json")),
    );
    assert_eq!(after, before);
    let reports: i64 = world
        .db
        .one("select count(*) from reports where schedule is not null")
        .await;
    assert_eq!(reports, owed, "each was made once");
}

#[tokio::test]
async fn a_day_that_is_not_closed_is_waited_for() {
    let mut world = World::start(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    let folder = Folder::create();
    scheduled(&mut world, &schedule("daily", "settlements", "csv", &folder.to())).await;
    eventually("yesterday is owed", async || {
        (world.db.count("report_deliveries").await == 1).then_some(())
    })
    .await;
    // The chain's own time is the machine's: its newest final block is of today, and this day ends tomorrow.
    let tomorrow = "insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at)
        select schedule, ends_at, ends_at + 86400, now(), now() from report_deliveries";
    sqlx::query(tomorrow).execute(&world.db.pool).await.unwrap();
    eventually("it is put off", async || {
        let waits = "report_deliveries where state = 'pending' and claims > 0 and failures = 0 and report_id is null
            and due_at > now() + interval '10 seconds' and ends_at > extract(epoch from now())";
        (world.db.count(waits).await == 1).then_some(())
    })
    .await;
    assert!(folder.names().len() <= 2, "{:?}", folder.names());
}

#[tokio::test]
async fn what_cannot_be_delivered_is_tried_again_told_of_and_delivered_at_last() {
    let (mut world, _) = closed_world().await;
    let folder = Folder::new();
    let store = ObjectStore::start().await;
    let schedules = [
        schedule("lost", "statements", "json", &folder.to()),
        schedule("locked", "statements", "csv", &store.to("another key")),
    ];
    world.facilitator.config.more = schedules.concat();
    let (status, said) = world.facilitator.run("doctor", &[]).await;
    assert!(
        !status.success() && said.contains("schedule lost: the folder"),
        "{said}"
    );
    scheduled(&mut world, &schedules.concat()).await;
    // Of the day before by the machine's own clock, before one is owed that this clock may not have reached.
    eventually("the last day is owed", async || {
        (world.db.count("report_deliveries").await == 2).then_some(())
    })
    .await;
    let day = owe_closed_day(&world, "lost").await;
    owe_closed_day(&world, "locked").await;
    let age = "update report_deliveries set failing_since = now() - interval '2 hours' where failing_since is not null";
    eventually("it is told", async || {
        hurry(&world).await;
        sqlx::query(age).execute(&world.db.pool).await.unwrap();
        let told = world.db.count("notices where kind = 'report.delivery_failed'").await;
        (told >= 2).then_some(())
    })
    .await;
    let refused = "report_deliveries where outcome = 'the store answered HTTP 403 SignatureDoesNotMatch'";
    assert!(world.db.count(refused).await >= 1);
    let logs = world.facilitator.logs();
    assert!(
        logs.contains("report not delivered for long") && !logs.contains("another key"),
        "{logs}"
    );
    eventually("the lag is measured", async || {
        let metrics = world.facilitator.metrics().await;
        let lag = metrics.lines().any(|it| {
            it.starts_with("facilitator_report_delivery_lag_seconds{schedule=\"lost\"}") && !it.ends_with(" 0")
        });
        lag.then_some(())
    })
    .await;
    std::fs::create_dir(&folder.0).unwrap();
    scheduled(
        &mut world,
        &[
            &schedules[0][..],
            &schedule("locked", "statements", "csv", &store.to(ObjectStore::SECRET)),
        ]
        .concat(),
    )
    .await;
    eventually("all is delivered", async || {
        hurry(&world).await;
        (world.db.count("report_deliveries where state <> 'delivered'").await == 0).then_some(())
    })
    .await;
    let (said, file) = manifest(&|name| folder.read(name), &format!("lost-{day}-statements-v1"), "json");
    let rows: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(
        (&said["rows"], &rows[0]["credits_atomic"]),
        (&json!(1), &json!("20000"))
    );
    let (said, _) = manifest(
        &|name| store.object(name),
        &format!("locked-{day}-statements-v1"),
        "csv",
    );
    assert_eq!(said["totals"][0]["debits"], "5");
}

#[tokio::test]
async fn a_big_report_goes_part_by_part_without_being_held_in_memory() {
    let mut world = World::usual().await;
    let (folder, store) = (Folder::create(), ObjectStore::start().await);
    let schedules = [
        schedule("file", "settlements", "csv", &folder.to()),
        schedule("parts", "settlements", "csv", &store.to(ObjectStore::SECRET)),
    ];
    // 120 pieces of a MiB.
    let made = "with made as (insert into reports (id, ordered, kind, format, question, version, schedule, edition, state,
                expected, rows, bytes, totals, sha256, created_at, ended_at)
            select gen_random_uuid(), sha256('x'), 'settlements', 'csv', '{}', 1, 'file', 1, 'done', 7, 7, 120 * 1048576, '[]',
                sha256(string_agg(decode(repeat(md5(n::text), 65536), 'hex'), '' order by n)), now(), now()
            from generate_series(0, 119) n returning id),
        owed as (insert into report_deliveries (schedule, starts_at, ends_at, due_at, created_at, report_id)
            select s, 1795219200, 1795305600, now(), now(), id from made, unnest(array['file', 'parts']) s returning report_id)
        select id from made";
    let id: sqlx::types::Uuid = world.db.one(made).await;
    let pieces = "insert into report_pieces select $1, n, decode(repeat(md5(n::text), 65536), 'hex') from generate_series(0, 119) n";
    sqlx::query(pieces).bind(id).execute(&world.db.pool).await.unwrap();
    let before = world.facilitator.memory_max();
    scheduled(&mut world, &schedules.concat()).await;
    eventually("both are delivered", async || {
        let done = "report_deliveries where state = 'delivered' and starts_at = 1795219200";
        (world.db.count(done).await == 2).then_some(())
    })
    .await;
    let (of_file, _) = manifest(&|name| folder.read(name), "file-2026-11-21-settlements-v1", "csv");
    let (of_parts, _) = manifest(&|name| store.object(name), "parts-2026-11-21-settlements-v1", "csv");
    assert_eq!(of_file["sha256"], of_parts["sha256"]);
    assert_eq!(store.leftovers(), 0);
    let grown = world.facilitator.memory_max().saturating_sub(before);
    // Both deliveries, and what the allocator keeps for the next.
    assert!(grown < 100 * 1024, "{grown} KiB more for a file of 120 MiB");
}

#[tokio::test]
async fn a_schedule_that_cannot_be_kept_stops_the_start() {
    let mut world = World::prepare(Setup::default()).await;
    for (schedules, said) in [
        ("[reports]\ncolour = 1\n".to_owned(), "reports.colour"),
        (
            schedule("a", "everything", "csv", "\"webhook\""),
            "reports.schedule[0].type: expected one of",
        ),
        (
            schedule("a", "settlements", "csv", "\"webhook\""),
            "reports.schedule[0].to: expected [signing]",
        ),
        (
            schedule(
                "a",
                "fees_and_gas",
                "csv",
                "{ folder = \"/tmp\" }\nfilter = { payer = \"x\" }",
            ),
            "reports.schedule[0].filter: payer",
        ),
    ] {
        world.facilitator.config.more = schedules;
        for command in ["doctor", "serve"] {
            let (status, told) = world.facilitator.run(command, &[]).await;
            assert!(!status.success() && told.contains(said), "{said}: {told}");
        }
    }
}
