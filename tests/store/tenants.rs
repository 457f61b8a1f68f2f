//! Whose rows may be seen: each statement says so, and behind it the database shows no other's whatever a statement says.

use facilitator::app::admin::{Wanted, deed, key_issue};
use facilitator::domain::network::NetworkId;
use facilitator::domain::settlement::Event;
use facilitator::domain::signing::Secret;
use facilitator::domain::tenant::{GatewayKey, Restrictions, Scope, TenantId};
use facilitator::store::{Deed, Filter, NotDone, Place, Record, Reservation, Store};
use serde_json::json;

use crate::feed::shown;
use crate::support::{Database, Sample, advance, execute, landed, network, on_database, reserve, sample};

/// Tables whose rows are somebody's.
const WALLED: [&str; 16] = [
    "payments",
    "payment_references",
    "settlements",
    "settlement_attempts",
    "evidence",
    "events",
    "notices",
    "ledger_entries",
    "refunds",
    "refund_totals",
    "refund_attempts",
    "reports",
    "report_pieces",
    "reconciliations",
    "statements",
    "statement_lines",
];

fn olga() -> Deed {
    deed("olga", "a test").unwrap()
}

async fn of_tenant(store: &Store, tenant: TenantId, sample: &Sample) -> Record {
    let new = sample.clone().of(tenant).new_payment();
    let reserved = store.payment_reserve(&new).await.unwrap();
    let Reservation::New(record) = reserved else {
        panic!("not new: {reserved:?}");
    };
    record
}

/// A row of everything of this payment's tenant.
async fn furnish(db: &Database, tenant: TenantId) {
    let sql = format!(
        "insert into settlement_attempts (payment_id, attempt, network, signer, nonce, seat, created_at)
            select p.id, 1, s.network, s.signer, s.nonce, (select count(*) from settlement_attempts), now()
            from payments p, slots s where p.tenant = '{0}';
        insert into refunds (id, payment_id, idempotency_key, digest, network, asset, pay_to, recipient, amount,
            settles_after, created_at, state, tenant) select id, id, id::text, key, network, asset, pay_to, payer, 1, 1,
            now(), 'awaiting', tenant from payments where tenant = '{0}';
        insert into refund_totals select id, amount, 0, 0 from payments where tenant = '{0}';
        insert into refund_attempts select id, 1, key, 'n', 'p', 'e', 1, now() from payments where tenant = '{0}';
        insert into reports (id, ordered, kind, format, question, version, state, expected, rows, bytes, created_at, tenant)
            select id, key, 'settlements', 'json', '{{}}', 1, 'queued', 0, 0, 0, now(), tenant from payments
            where tenant = '{0}';
        insert into report_pieces select id, 0, key from payments where tenant = '{0}';
        insert into reconciliations (id, subject, payment_id, network, asset, pay_to, amount, state, reason, since)
            select id, id::text, id, network, asset, pay_to, 1, 'missing_on_chain', 'a', now() from payments
            where tenant = '{0}';
        insert into merchants select id, tenant, 'm', now() from payments where tenant = '{0}';
        insert into merchant_accounts select network, id::text, tenant, id, 'operator', null, now() from payments
            where tenant = '{0}';
        insert into statements select network, asset, id::text, 1, 0, 9, 0, 0, 0, 1, 0, key, null, key, now(), id,
            0, 0, 0, 0, 0, null, null, null, null, 0, tenant from payments where tenant = '{0}';
        insert into statement_lines select network, asset, id::text, 1, 0, id from payments where tenant = '{0}';
        insert into notices (id, kind, subject, body, created_at, tenant) select id, 'a.b', 'a', '{{}}', now(), tenant
            from payments where tenant = '{0}'",
        tenant.as_uuid()
    );
    execute(&mut db.raw().await, sql).await.unwrap();
}

#[tokio::test]
async fn s01_the_database_shows_a_tenants_request_that_tenants_rows_alone() {
    on_database(async |db| {
        let store = &db.store;
        store.wall_raise().await.unwrap();
        store.wall_raise().await.unwrap();
        let (a, b) = (
            store.tenant_add("a", &olga()).await.unwrap(),
            store.tenant_add("b", &olga()).await.unwrap(),
        );
        let lane = "insert into lanes (network, signer, first_nonce, next_nonce, created_at) values ('eip155:1', 's', 0, 1, now());
            insert into slots (network, signer, nonce, created_at) values ('eip155:1', 's', 0, now())";
        execute(&mut db.raw().await, lane.into()).await.unwrap();
        for (key, tenant) in [(1, a), (2, b)] {
            let record = of_tenant(store, tenant, &sample(key).named(&["the-same"])).await;
            advance(store, &record, Event::Confirmed(landed("theirs", 3, false))).await;
            furnish(&db, tenant).await;
        }
        let mut raw = db.raw().await;
        let mut seen = async |table: &str, tenant: &str| -> i64 {
            execute(&mut raw, format!("begin; set local role facilitator_reader; set local facilitator.tenant = '{tenant}'"))
                .await
                .unwrap();
            let count = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")));
            let count: i64 = if table == "refund_attempts" {
                let count = sqlx::query_scalar("select count(refund_id) from refund_attempts");
                count.fetch_one(&mut raw).await.unwrap()
            } else {
                count.fetch_one(&mut raw).await.unwrap()
            };
            execute(&mut raw, "rollback".into()).await.unwrap();
            count
        };
        for table in WALLED {
            let all = db.count(table).await;
            let of_a = seen(table, &a.as_uuid().to_string()).await;
            let of_b = seen(table, &b.as_uuid().to_string()).await;
            assert!(of_a > 0 && of_a == of_b, "{table}: {of_a} and {of_b}");
            assert_eq!(of_a + of_b, all, "{table}");
            assert_eq!(seen(table, "").await, 0, "{table}: of nobody's");
        }
        for table in ["tenants", "gateway_keys", "admin_log", "webhook_endpoints", "screenings"] {
            let reading = format!("begin; set local role facilitator_reader; select * from {table}");
            assert!(execute(&mut raw, reading).await.is_err(), "{table}");
            execute(&mut raw, "rollback".into()).await.unwrap();
        }
    })
    .await;
}

/// Each tenant's view of the store shows the one record that is its own.
async fn each_sees_its_own(store: &Store, owners: [(TenantId, &Record); 3]) {
    for (tenant, own) in owners {
        let seen = store.seen_by(tenant);
        let page = seen.payments_list(&Filter::default(), None, 9).await.unwrap();
        let listed: Vec<_> = page.into_records().into_iter().map(|it| it.id).collect();
        assert_eq!(listed, [own.id]);
        assert_eq!(seen.payments_count(&Filter::default()).await.unwrap(), 1);
        for (_, other) in owners {
            let is_own = other.id == own.id;
            assert_eq!(seen.payment_get(other.id).await.unwrap().is_some(), is_own);
            assert_eq!(seen.feed_of(other.id).await.unwrap().len(), usize::from(is_own));
            assert_eq!(
                seen.payments_entries(&[other.id]).await.unwrap().len(),
                usize::from(is_own)
            );
        }
        assert_eq!(seen.feed_page(Place::BEGINNING, 9).await.unwrap().len(), 1);
        let named = store.reference_find(tenant, &own.references).await.unwrap();
        assert_eq!(named.map(|it| it.id), Some(own.id));
    }
}

#[tokio::test]
async fn s01_what_is_read_for_a_tenant_is_that_tenants() {
    on_database(async |db| {
        let store = &db.store;
        store.wall_raise().await.unwrap();
        let (a, b) = (TenantId::mint(), TenantId::mint());
        let of_a = of_tenant(store, a, &sample(1).named(&["the-same"])).await;
        let of_b = of_tenant(store, b, &sample(2).named(&["the-same"])).await;
        let of_nobody = reserve(store, &sample(3).named(&["the-same"])).await;
        // The feed waits for whatever goes on in the server's other databases.
        shown(store, 3).await;
        let owners = [(a, &of_a), (b, &of_b), (TenantId::SOLE, &of_nobody)];
        each_sees_its_own(store, owners).await;
        // Nor does a statement rely on the wall behind it.
        for table in WALLED {
            let open = format!("alter table {table} disable row level security");
            execute(&mut db.raw().await, open).await.unwrap();
        }
        each_sees_its_own(store, owners).await;
        assert_eq!(store.feed_page(Place::BEGINNING, 9).await.unwrap().len(), 3);
        // Whoever has it first keeps it, be it withdrawn.
        let again = sample(1).of(b).new_payment();
        advance(store, &of_a, Event::Withdrawn).await;
        let reserved = store.payment_reserve(&again).await.unwrap();
        assert!(matches!(reserved, Reservation::Seen(it) if it.id == of_a.id && it.tenant == a));
    })
    .await;
}

#[tokio::test]
async fn s06_a_key_is_found_by_its_name_and_only_its_hash_is_kept() {
    on_database(async |db| {
        let store = &db.store;
        let pepper: Secret = serde_json::from_value(json!("9e".repeat(32))).unwrap();
        let wanted = |scopes: &[Scope], pay_to: Option<Vec<String>>| Wanted {
            tenant: TenantId::SOLE,
            merchant: None,
            name: "k".into(),
            scopes: scopes.to_vec(),
            restrictions: Restrictions {
                pay_to,
                ..Restrictions::default()
            },
        };
        let text = key_issue(store, &pepper, wanted(&Scope::ALL, None), &olga())
            .await
            .unwrap();
        let key: GatewayKey = text.parse().unwrap();
        let kept = store.key_get(key.id).await.unwrap().unwrap();
        assert!(key.is_of(&kept.hash, &pepper));
        assert_eq!(kept.access.scopes, Scope::ALL);
        let rows: Vec<String> = db.texts("select k::text from gateway_keys k").await;
        let secret = &text[32..96];
        assert!(rows.iter().all(|row| !row.contains(secret)), "{rows:?}");
        assert!(store.key_get(GatewayKey::new([1; 32]).id).await.unwrap().is_none());
        for (scopes, pay_to) in [(&[][..], None), (&[Scope::Read][..], Some(vec!["a".to_owned()]))] {
            assert!(
                key_issue(store, &pepper, wanted(scopes, pay_to), &olga())
                    .await
                    .is_err()
            );
        }
        store.key_used(key.id).await.unwrap();
        let used = store.key_get(key.id).await.unwrap().unwrap().last_used_at;
        store.key_used(key.id).await.unwrap();
        assert_eq!(
            store.key_get(key.id).await.unwrap().unwrap().last_used_at,
            used,
            "once a minute"
        );
        store.key_revoke(key.id, &olga()).await.unwrap();
        assert!(store.key_get(key.id).await.unwrap().unwrap().revoked_at.is_some());
        assert!(matches!(
            store.key_revoke(key.id, &olga()).await,
            Err(NotDone::Unknown(_))
        ));
    })
    .await;
}

#[tokio::test]
async fn who_did_what_is_chained_and_every_change_of_it_is_found() {
    on_database(async |db| {
        let store = &db.store;
        let tenant = store.tenant_add("a", &olga()).await.unwrap();
        let merchant = store.merchant_add(tenant, "m", &olga()).await.unwrap();
        let network: NetworkId = network();
        store.account_claim((&network, "0xa"), merchant, None, &olga()).await.unwrap();
        let taken = store.account_claim((&network, "0xa"), merchant, Some("signed"), &olga()).await;
        assert!(matches!(taken, Err(NotDone::Taken("account"))), "{taken:?}");
        let unknown = store.merchant_add(TenantId::mint(), "m", &olga()).await;
        assert!(matches!(unknown, Err(NotDone::Unknown("tenant"))), "{unknown:?}");
        store.account_release(&network, "0xa", &olga()).await.unwrap();
        let (entries, broken) = store.admin_log(0, None).await.unwrap();
        assert_eq!((entries.len(), broken), (4, None), "what was not done is not in the log");
        let (rest, broken) = store.admin_log(2, Some(entries[1].hash.clone())).await.unwrap();
        assert_eq!((rest.as_slice(), broken), (&entries[2..], None));
        let actions: Vec<String> = db.texts("select entry::json ->> 'action' from admin_log order by seq").await;
        assert_eq!(actions, ["tenant.add", "merchant.add", "account.claim", "account.release"]);
        assert!(entries[0].entry.contains("olga") && entries[0].entry.contains("a test"));
        for (change, at) in [
            ("update admin_log set entry = replace(entry, 'olga', 'otto') where seq = 2", 2),
            ("delete from admin_log where seq = 3", 3),
            ("update admin_log set previous = hash where seq = 4", 4),
            ("update admin_log set hash = sha256(hash) where seq = 1", 1),
        ] {
            let mut raw = db.raw().await;
            let changed = format!("alter table admin_log disable trigger append_only; begin; create table kept as table admin_log; {change}; commit");
            execute(&mut raw, changed).await.unwrap();
            assert_eq!(store.admin_log(0, None).await.unwrap().1.map(|it| it.0), Some(at), "{change}");
            let back = "delete from admin_log; insert into admin_log table kept; drop table kept";
            execute(&mut raw, back.into()).await.unwrap();
        }
        assert_eq!(store.admin_log(0, None).await.unwrap().1, None);
    })
    .await;
}
