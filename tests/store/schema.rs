//! What the database itself refuses, and which schema the program accepts.

use std::collections::BTreeSet;

use facilitator::domain::settlement::Event;
use facilitator::store::{SchemaMismatch, Settings, Store, StoreFault};
use sqlx::error::DatabaseError;
use sqlx::{Connection, Executor, PgConnection, SqlSafeStr};

use crate::support::{
    advance, again, connect, execute, intend, landed, lane, mined, network, on_database, on_empty_database, reserve,
    sample,
};

/// Every constraint, with statements that it must refuse: `-- constraint`, then the statement.
fn illegal() -> Vec<(&'static str, &'static str)> {
    include_str!("illegal.sql")
        .split("\n\n")
        .skip(1)
        .map(|case| case.trim_start_matches("-- ").split_once('\n').unwrap())
        .collect()
}

#[tokio::test]
async fn every_constraint_refuses_what_it_is_there_for() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        reserve(store, &sample(1).named(&["a-name"])).await;
        let carried = reserve(store, &sample(2)).await;
        intend(store, &[&carried], "ours").await.unwrap();
        store
            .transactions_mined(&network(), &[mined("ours", 3, 9)])
            .await
            .unwrap();
        let confirmed = reserve(store, &sample(3)).await;
        let confirmed = advance(store, &confirmed, Event::Confirmed(landed("theirs", 3, false))).await;
        let mut raw = db.raw().await;
        for table in APPEND_ONLY {
            let yielding = format!("alter table {table} disable trigger append_only");
            execute(&mut raw, yielding).await.unwrap();
        }
        let mut wrong = Vec::new();
        for (constraint, sql) in illegal() {
            let done = execute(&mut raw, sql.into()).await;
            let refused = done.as_ref().err().and_then(sqlx::Error::as_database_error);
            if refused.and_then(DatabaseError::constraint) != Some(constraint) {
                wrong.push(format!("{constraint}: {sql}: {done:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(again(store, &confirmed).await.version, 1);
        let declared: Vec<String> = sqlx::query_scalar(
            "select conname::text from pg_constraint where connamespace = 'public'::regnamespace
                and contype in ('c', 'f', 'p', 'u') and conrelid <> '_sqlx_migrations'::regclass
            union select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
                where i.indisunique and c.relnamespace = 'public'::regnamespace
                and i.indrelid <> '_sqlx_migrations'::regclass",
        )
        .fetch_all(&mut raw)
        .await
        .unwrap();
        let tried: BTreeSet<&str> = illegal().into_iter().map(|(constraint, _)| constraint).collect();
        assert_eq!(declared.iter().map(String::as_str).collect::<BTreeSet<_>>(), tried);
    })
    .await;
}

#[tokio::test]
async fn every_statement_fits_the_schema() {
    on_database(async |db| {
        let mut raw = db.raw().await;
        let mut count = 0;
        for (name, sql) in Store::statements() {
            let prepared = raw.prepare(sql.into_sql_str()).await;
            assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
            count += 1;
        }
        assert!(count > 30, "{count} statements only");
    })
    .await;
}

/// What happened, and is only ever added to.
const APPEND_ONLY: [&str; 15] = [
    "admin_log",
    "evidence",
    "notices",
    "events",
    "ledger_entries",
    "observed_transfers",
    "paid_sums_crossed",
    "reconciliation_actions",
    "refund_attempts",
    "screening_editions",
    "screening_entries",
    "screenings",
    "statement_lines",
    "statements",
    "thresholds_crossed",
];

#[tokio::test]
async fn nothing_rewrites_the_records_of_what_happened() {
    on_database(async |db| {
        let (store, network) = (&db.store, network());
        let payment = reserve(store, &sample(1)).await;
        advance(store, &payment, Event::Confirmed(landed("theirs", 3, false))).await;
        store.accounts_watch(&[payment.id], 1).await.unwrap();
        let mut raw = db.raw().await;
        let rest = "insert into observed_transfers (network, tx, log_index, direction, asset, holder, amount, block_height,
                block_hash, block_time, sender, created_at)
                select network, 'tx', 0, 'credit', asset, holder, 1, 1, '0x1', 1, 'a', now() from watched_accounts;
            insert into reconciliations (id, subject, network, asset, pay_to, amount, state, reason, since)
                select gen_random_uuid(), 'a', network, asset, holder, 1, 'unknown_on_chain', 'a', now() from watched_accounts;
            insert into reconciliation_actions
                select id, id, 'ignore', state, 'a', 'b', now() from reconciliations;
            insert into statements select network, asset, pay_to, 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id,
                0, 0, 0, 0, 0 from payments;
            insert into statement_lines select network, asset, pay_to, 1, 0, id from payments;
            insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount,
                settles_after, created_at, state) select id, id, 'k', key, network, asset, pay_to, payer, 1, 1, now(),
                'awaiting' from payments;
            insert into refund_attempts select id, 1, key, 'n', 'p', 'e', 1, now() from payments;
            insert into screenings select id, 'settle', 'clear', 'p', 'eip155:1', '{}', key, id, null, now() from payments;
            insert into screening_editions select 'ofac', 1, key, '', 1, 1, 0, now() from payments;
            insert into screening_entries values ('ofac', 'a', '1', '', 1);
            insert into paid_sums_crossed select network, asset, payer, 'day', 1, 1, 1, 1, now() from payments;
            insert into thresholds_crossed select tenant, network, asset, payer, 'day', 1, 1, 1, 1, now() from payments;
            insert into admin_log select 1, null, '{}', key, now() from payments;
            insert into notices (id, kind, subject, body, created_at) select id, 'a.b', 'a', '{}', now() from payments";
        execute(&mut raw, rest.into()).await.unwrap();
        assert_eq!(store.accounts_watched(&network).await.unwrap().len(), 1);
        for table in APPEND_ONLY {
            assert!(db.count(table).await > 0, "{table}");
            let column = match table {
                "statement_lines" => "position",
                "screening_entries" => "address",
                _ => "created_at",
            };
            let update = format!("update {table} set {column} = {column}");
            for change in [update, format!("delete from {table}"), format!("truncate {table} cascade")] {
                let done = execute(&mut raw, change.clone()).await;
                let refused = done.as_ref().err().and_then(sqlx::Error::as_database_error);
                assert_eq!(refused.and_then(DatabaseError::code).as_deref(), Some("23001"), "{change}: {done:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_schema_is_accepted_only_when_it_has_all_of_ours() {
    on_empty_database(async |url| {
        let store = connect(&url).await;
        let mismatch = async || match store.schema_check().await {
            Err(StoreFault::Schema(mismatch)) => Some(mismatch),
            Err(fault) => panic!("{fault}"),
            Ok(()) => None,
        };
        assert_eq!(mismatch().await, Some(SchemaMismatch::Behind(1)));
        store.migrate().await.unwrap();
        store.migrate().await.unwrap();
        assert_eq!(mismatch().await, None);
        let mut raw = PgConnection::connect(&url).await.unwrap();
        for (change, back, expected) in [
            (
                "insert into _sqlx_migrations select 9000, 'later', now(), true, '', 0;
                    insert into schema_floor values (9000)",
                "delete from schema_floor where migration = 9000;
                    delete from _sqlx_migrations where version = 9000",
                SchemaMismatch::Ahead(9000),
            ),
            (
                "update _sqlx_migrations set success = false",
                "update _sqlx_migrations set success = true",
                SchemaMismatch::Unfinished(1),
            ),
            (
                "create table kept as select * from _sqlx_migrations; update _sqlx_migrations set checksum = ''",
                "delete from _sqlx_migrations; insert into _sqlx_migrations select * from kept",
                SchemaMismatch::Altered(1),
            ),
        ] {
            execute(&mut raw, change.into()).await.unwrap();
            assert_eq!(mismatch().await, Some(expected));
            let migrated = store.migrate().await;
            assert!(
                matches!(migrated, Err(StoreFault::Schema(it)) if it == expected),
                "{migrated:?}"
            );
            execute(&mut raw, back.into()).await.unwrap();
            assert_eq!(mismatch().await, None);
        }
        // What a newer program has only added to.
        let added = "insert into _sqlx_migrations select 9000, 'later', now(), true, '', 0";
        execute(&mut raw, added.into()).await.unwrap();
        assert_eq!(mismatch().await, None);
        store.migrate().await.unwrap();
        store.ping().await.unwrap();
        store.close().await;
        assert!(matches!(store.ping().await, Err(StoreFault::Unavailable { .. })));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_fault_shows_neither_the_url_nor_what_was_stored() {
    let settings = |url: &str| Settings {
        url: url.into(),
        connections_max: 1,
    };
    assert!(!format!("{:?}", settings("postgres://u:secret@h/d")).contains("secret"));
    for url in ["secret", "postgres://u:secret@127.0.0.1:1/d"] {
        let fault = Store::connect(&settings(url)).await.err().unwrap();
        assert!(!format!("{fault} {fault:?}").contains("secret"), "{fault:?}");
    }
    on_database(async |db| {
        let long = "secret".repeat(50);
        let fault = db
            .store
            .payment_reserve(&sample(1).named(&[&long]).new_payment())
            .await
            .unwrap_err();
        assert_eq!(fault.constraint(), Some("payment_references_value_length"));
        assert!(!format!("{fault} {fault:?}").contains("secret"), "{fault:?}");
        assert_eq!(db.count("payments").await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_statements_of_the_page_on_retention_run() {
    on_database(async |db| {
        let page = std::fs::read_to_string("docs/retention.md").unwrap();
        let blocks: Vec<&str> = page
            .split("```sql")
            .skip(1)
            .filter_map(|it| it.split("```").next())
            .collect();
        assert_eq!(blocks.len(), 2);
        for block in blocks {
            execute(&mut db.raw().await, block.to_owned()).await.unwrap();
        }
    })
    .await;
}
