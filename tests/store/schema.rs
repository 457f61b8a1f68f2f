//! What the database itself refuses, and which schema the program accepts.

use std::collections::BTreeSet;

use facilitator::domain::settlement::Event;
use facilitator::store::{SchemaMismatch, Settings, Store, StoreFault};
use sqlx::{Connection, Executor, PgConnection, SqlSafeStr};

use crate::support::{
    advance, again, connect, execute, intend, landed, lane, mined, network, on_database, on_empty_database, reserve,
    sample,
};

/// Every constraint, with a statement that it must refuse. The database holds: payment 1 reserved and named, 2 in
/// flight in a mined transaction, 3 confirmed by somebody else's.
const ILLEGAL: &[(&str, &str)] = &[
    ("payments_id", "insert into payments select * from payments limit 1"),
    (
        "payments_key",
        "update payments set key = (select min(key) from payments)",
    ),
    (
        "payments_key_length",
        "update payments set key = 'short' where nonce like '%1'",
    ),
    ("payments_digest_length", "update payments set digest = ''"),
    ("payments_amount_range", "update payments set amount = -1"),
    (
        "payments_amount_range",
        "update payments set amount = 340282366920938463463374607431768211456",
    ),
    (
        "payments_window_range",
        "update payments set valid_before = 18446744073709551616",
    ),
    ("payments_window_range", "update payments set valid_after = -1"),
    ("payments_since_height_range", "update payments set since_height = -1"),
    ("payments_network_named", "update payments set network = 'base'"),
    ("payments_parties_named", "update payments set payer = ''"),
    (
        "payment_references_name",
        "insert into payment_references select * from payment_references",
    ),
    (
        "payment_references_payment",
        "update payment_references set payment_id = gen_random_uuid()",
    ),
    (
        "payment_references_kind_known",
        "update payment_references set kind = 'memo'",
    ),
    (
        "payment_references_value_length",
        "update payment_references set value = ''",
    ),
    (
        "payment_references_value_length",
        "update payment_references set value = repeat('a', 256)",
    ),
    (
        "settlements_payment_id",
        "insert into settlements select * from settlements limit 1",
    ),
    (
        "settlements_payment",
        "update settlements set payment_id = gen_random_uuid() where state = 'reserved'",
    ),
    (
        "settlements_state_known",
        "update settlements set state = 'lost' where state = 'reserved'",
    ),
    ("settlements_version_range", "update settlements set version = -1"),
    (
        "settlements_tx_of_state",
        "update settlements set state = 'in_flight' where state = 'reserved'",
    ),
    (
        "settlements_tx_of_state",
        "update settlements set tx = 'x' where state = 'reserved'",
    ),
    (
        "settlements_tx_of_state",
        "update settlements set state = 'withdrawn' where state = 'in_flight'",
    ),
    (
        "settlements_setback_in_flight",
        "update settlements set setback = 'reverted' where state = 'in_flight'",
    ),
    (
        "settlements_setback_in_flight",
        "update settlements set setback = 'bad luck', setback_tx = 'x' where state = 'in_flight'",
    ),
    (
        "settlements_setback_in_flight",
        "update settlements set setback = 'reverted', setback_tx = 'x' where state = 'reserved'",
    ),
    (
        "settlements_landed_of_state",
        "update settlements set state = 'reserved', confirmed_at = null where state = 'confirmed'",
    ),
    (
        "settlements_landed_of_state",
        "update settlements set state = 'confirmed', confirmed_at = now() where state = 'reserved'",
    ),
    (
        "settlements_landed_complete",
        "update settlements set landed_hash = null where state = 'confirmed'",
    ),
    (
        "settlements_landed_complete",
        "update settlements set landed_height = 1 where state = 'reserved'",
    ),
    (
        "settlements_final_is_final",
        "update settlements set state = 'final', tx = null, final_at = now() where state = 'confirmed'",
    ),
    (
        "settlements_proof_of_state",
        "update settlements set state = 'failed' where state = 'reserved'",
    ),
    (
        "settlements_proof_known",
        "update settlements set state = 'failed', proof = 'bored', proof_tx = 'x', proof_height = 1, proof_hash = 'h', proof_time = 1 where state = 'reserved'",
    ),
    (
        "settlements_proof_complete",
        "update settlements set state = 'failed', proof = 'cancelled', proof_height = 1, proof_hash = 'h', proof_time = 1 where state = 'reserved'",
    ),
    (
        "settlements_proof_complete",
        "update settlements set state = 'failed', proof = 'window_closed', proof_height = 1, proof_time = 1 where state = 'reserved'",
    ),
    (
        "settlements_proof_complete",
        "update settlements set proof_hash = 'h' where state = 'reserved'",
    ),
    (
        "settlements_confirmed_at_of_state",
        "update settlements set confirmed_at = null where state = 'confirmed'",
    ),
    (
        "settlements_confirmed_at_of_state",
        "update settlements set confirmed_at = now() where state = 'reserved'",
    ),
    (
        "settlements_final_at_of_state",
        "update settlements set final_at = now()",
    ),
    (
        "settlements_grant_complete",
        "update settlements set granted_at = now() where state = 'confirmed'",
    ),
    (
        "settlements_grant_complete",
        "update settlements set answer = '' where state = 'confirmed'",
    ),
    ("lanes_name", "insert into lanes select * from lanes"),
    ("lanes_nonce_order", "update lanes set next_nonce = first_nonce - 1"),
    ("slots_name", "insert into slots select * from slots"),
    (
        "slots_lane",
        "insert into slots select network, 'nobody', nonce, null, created_at from slots",
    ),
    (
        "slots_nonce_range",
        "insert into slots select network, signer, -1, null, created_at from slots",
    ),
    (
        "chain_transactions_name",
        "insert into chain_transactions select * from chain_transactions",
    ),
    ("chain_transactions_slot", "update chain_transactions set nonce = 99"),
    (
        "chain_transactions_status_known",
        "update chain_transactions set status = 'lost', block_height = null, block_hash = null, block_time = null, cost = null",
    ),
    (
        "chain_transactions_mined_complete",
        "update chain_transactions set status = 'signed'",
    ),
    (
        "chain_transactions_mined_complete",
        "update chain_transactions set cost = null",
    ),
    (
        "chain_transactions_cost_range",
        "update chain_transactions set cost = -1",
    ),
    (
        "chain_transactions_cost_range",
        "update chain_transactions set cost_max = -1",
    ),
    (
        "chain_transactions_raw_present",
        "update chain_transactions set raw = ''",
    ),
    (
        "chain_transactions_one_mined",
        "insert into chain_transactions select tx || '2', network, signer, nonce, raw, cost_max, status, block_height, block_hash, block_time, cost, created_at from chain_transactions",
    ),
    (
        "settlement_attempts_name",
        "insert into settlement_attempts select payment_id, attempt, network, signer, nonce, 7, created_at, now() from settlement_attempts",
    ),
    (
        "settlement_attempts_seat",
        "insert into settlement_attempts select payment_id, 2, network, signer, nonce, seat, created_at, now() from settlement_attempts",
    ),
    (
        "settlement_attempts_one_live",
        "insert into settlement_attempts select payment_id, 2, network, signer, nonce, 7, created_at, null from settlement_attempts",
    ),
    (
        "settlement_attempts_payment",
        "update settlement_attempts set payment_id = gen_random_uuid()",
    ),
    ("settlement_attempts_slot", "update settlement_attempts set nonce = 99"),
    (
        "settlement_attempts_count_range",
        "update settlement_attempts set attempt = 0",
    ),
    (
        "settlement_attempts_count_range",
        "update settlement_attempts set seat = -1",
    ),
    ("evidence_name", "insert into evidence select * from evidence"),
    ("evidence_payment", "update evidence set payment_id = gen_random_uuid()"),
    (
        "evidence_claim_known",
        "update evidence set claim = 'hearsay', log_index = null",
    ),
    ("evidence_claim_complete", "update evidence set tx = null"),
    ("evidence_claim_complete", "update evidence set log_index = null"),
    (
        "evidence_claim_complete",
        "update evidence set claim = 'window_closed', log_index = null",
    ),
    (
        "ledger_entries_id",
        "insert into ledger_entries select * from ledger_entries",
    ),
    (
        "ledger_entries_payment",
        "update ledger_entries set payment_id = gen_random_uuid()",
    ),
    (
        "ledger_entries_once",
        "insert into ledger_entries select gen_random_uuid(), payment_id, version, purpose, stage, debit, credit, network, asset, amount, null, now() from ledger_entries",
    ),
    (
        "ledger_entries_resolved_once",
        "insert into ledger_entries select gen_random_uuid(), payment_id, version + n, purpose, 'voided', debit, credit, network, asset, amount, id, now() from ledger_entries, generate_series(1, 2) n",
    ),
    (
        "ledger_entries_pending",
        "update ledger_entries set stage = 'posted', pending_id = gen_random_uuid()",
    ),
    (
        "ledger_entries_purpose_known",
        "update ledger_entries set purpose = 'gift', stage = 'posted'",
    ),
    (
        "ledger_entries_stage_known",
        "update ledger_entries set stage = 'lost', pending_id = id",
    ),
    (
        "ledger_entries_resolution",
        "update ledger_entries set stage = 'posted'",
    ),
    ("ledger_entries_resolution", "update ledger_entries set pending_id = id"),
    ("ledger_entries_resolution", "update ledger_entries set purpose = 'gas'"),
    (
        "ledger_entries_two_accounts",
        "update ledger_entries set credit = debit",
    ),
    ("ledger_entries_amount_range", "update ledger_entries set amount = -1"),
    (
        "events_seq",
        "insert into events overriding system value select * from events limit 1",
    ),
    (
        "events_once",
        "insert into events (payment_id, version, kind, body, created_at) select payment_id, version, kind, body, created_at from events",
    ),
    ("events_payment", "update events set payment_id = gen_random_uuid()"),
    ("events_kind_named", "update events set kind = 'lunch'"),
];

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
        for (constraint, sql) in ILLEGAL {
            match execute(&mut raw, (*sql).into()).await {
                Ok(()) => panic!("{constraint} let through: {sql}"),
                Err(refused) => {
                    let said = refused
                        .as_database_error()
                        .and_then(sqlx::error::DatabaseError::constraint);
                    assert_eq!(said, Some(*constraint), "{sql}: {refused}");
                }
            }
        }
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
        let tried: BTreeSet<&str> = ILLEGAL.iter().map(|(constraint, _)| *constraint).collect();
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

#[test]
fn nothing_rewrites_the_records_of_what_happened() {
    for (name, sql) in Store::statements() {
        for table in ["evidence", "ledger_entries", "events"] {
            for verb in ["update", "delete from", "truncate"] {
                assert!(!sql.contains(&format!("{verb} {table}")), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_schema_is_accepted_only_when_it_is_exactly_ours() {
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
                "insert into _sqlx_migrations select 9000, 'later', now(), true, '', 0",
                "delete from _sqlx_migrations where version = 9000",
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
