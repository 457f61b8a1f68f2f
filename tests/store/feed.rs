//! The feed shows everything once, in an order that no late commit upsets.

use facilitator::domain::settlement::Event;
use facilitator::store::{Happening, Place, Store};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::{advance, deed, execute, intend, landed, lane, on_database, reserve, sample};

/// Everything after this place, read in pages of this many.
async fn read(store: &Store, mut after: Place, limit: u16) -> Vec<Happening> {
    let mut found = Vec::new();
    loop {
        let page = store.feed_page(after, limit).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = last.place;
        found.extend(page);
    }
}

fn kinds(entries: &[Happening]) -> Vec<&str> {
    entries.iter().map(|it| it.event.kind.as_str()).collect()
}

const NOTICE: &str = "insert into notices (id, kind, subject, body, created_at)
    values (gen_random_uuid(), 'statement.closed', 's', '{}', now())";

#[tokio::test]
async fn what_is_committed_late_is_not_skipped() {
    on_database(async |db| {
        let store = &db.store;
        let mut slow = db.raw().await;
        let mut transaction = slow.begin().await.unwrap();
        execute(&mut transaction, NOTICE.into()).await.unwrap();
        reserve(store, &sample(1)).await;
        let before = store.feed_page(Place::BEGINNING, 10).await.unwrap();
        assert_eq!(kinds(&before), [""; 0], "an older transaction is under way");
        transaction.commit().await.unwrap();
        let place = before.last().map_or(Place::BEGINNING, |last| last.place);
        // Other tests' transactions on the same server hold the feed up as well.
        while store.feed_page(place, 10).await.unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            kinds(&read(store, place, 1).await),
            ["statement.closed", "payment.reserved"]
        );
    })
    .await;
}

/// Waits until this many entries are shown.
pub(crate) async fn shown(store: &Store, count: usize) -> Vec<Happening> {
    loop {
        let all = read(store, Place::BEGINNING, 1000).await;
        if all.len() >= count {
            return all;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn pages_of_any_size_meet_every_entry_once_in_the_same_order() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let mut raw = db.raw().await;
        for key in 0..4 {
            let record = reserve(store, &sample(key)).await;
            execute(&mut raw, NOTICE.into()).await.unwrap();
            let confirmed = advance(store, &record, Event::Confirmed(landed("theirs", 3, false))).await;
            // In one transaction.
            execute(&mut raw, format!("begin; {NOTICE}; {NOTICE}; commit"))
                .await
                .unwrap();
            assert_eq!(confirmed.version, 1);
        }
        // As a program writes it that knows nothing of the feed, before its migration.
        execute(&mut raw, "update events set written_by = '0' where version = 0".into())
            .await
            .unwrap();
        let all = shown(store, 20).await;
        assert_eq!(all.len(), 20);
        assert!(all.is_sorted_by_key(|it| it.place));
        let places: Vec<Place> = all.iter().map(|it| it.place).collect();
        for limit in [1, 2, 3, 7, 19, 20] {
            let again: Vec<Place> = read(store, Place::BEGINNING, limit)
                .await
                .iter()
                .map(|it| it.place)
                .collect();
            assert_eq!(again, places, "in pages of {limit}");
        }
        assert_eq!(kinds(&read(store, store.feed_end().await.unwrap(), 10).await), [""; 0]);
        let ids: std::collections::HashSet<String> = all.iter().map(|it| it.event.id.to_string()).collect();
        assert_eq!(ids.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn a_payments_events_come_in_order_whoever_began_first() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let record = reserve(store, &sample(1)).await;
        // As if its writer had begun after whoever signs for it, and come first all the same.
        let later = "update events set written_by = (pg_current_xact_id()::text::bigint + 2)::text::xid8";
        execute(&mut db.raw().await, later.into()).await.unwrap();
        intend(store, &[&record], "ours").await.unwrap();
        let told = shown(store, 2).await;
        assert_eq!(kinds(&told), ["payment.reserved", "payment.signed"]);
    })
    .await;
}

#[tokio::test]
async fn an_event_tells_what_was_paid_and_nothing_that_authorizes() {
    on_database(async |db| {
        let store = &db.store;
        let record = reserve(store, &sample(1)).await;
        let [entry] = &shown(store, 1).await[..] else { panic!() };
        let told: Value = serde_json::from_str(&entry.event.json()).unwrap();
        let paid = &record.authorization;
        assert_eq!(
            told,
            json!({
                "id": format!("evt_{}_0", &record.id.to_string()[4..]),
                "type": "payment.reserved",
                "createdAt": told["createdAt"],
                "payment": record.id,
                "version": 0,
                "data": {
                    "state": "reserved",
                    "transaction": null,
                    "reason": null,
                    "network": record.network.as_str(),
                    "scheme": "exact",
                    "asset": paid.asset,
                    "payer": paid.payer,
                    "payTo": paid.pay_to,
                    "amount": "10000",
                    "authorizationReference": paid.key.to_string(),
                    "resource": record.resource_url,
                    "memo": paid.memo,
                    "merchantReference": "merchant's 1",
                    "orderId": "order 1",
                },
            })
        );
        assert_eq!(
            entry.event.json(),
            shown(store, 1).await[0].event.json(),
            "the same bytes each time"
        );
    })
    .await;
}

#[tokio::test]
async fn a_turn_is_told_once_until_there_is_another() {
    on_database(async |db| {
        let turn = async |kind| {
            db.store
                .notice_turn(kind, "eip155:1", &json!({"network": "eip155:1"}))
                .await
                .unwrap();
        };
        for kind in [
            "network.withdrawn",
            "network.withdrawn",
            "network.restored",
            "network.restored",
            "network.withdrawn",
        ] {
            turn(kind).await;
        }
        assert_eq!(
            kinds(&shown(&db.store, 3).await),
            ["network.withdrawn", "network.restored", "network.withdrawn"]
        );
    })
    .await;
}

#[tokio::test]
async fn what_was_moved_from_another_server_is_noticed_and_put_right_as_documented() {
    on_database(async |db| {
        let store = &db.store;
        let mut raw = db.raw().await;
        reserve(store, &sample(1)).await;
        execute(&mut raw, NOTICE.into()).await.unwrap();
        assert!(
            store
                .endpoint_add("https://shop.example/", &[], None, &deed())
                .await
                .unwrap()
                .is_some()
        );
        assert!(!store.feed_is_ahead().await.unwrap());
        let ahead = "update events set written_by = (pg_current_xact_id()::text::bigint + 1000000)::text::xid8";
        execute(&mut raw, ahead.into()).await.unwrap();
        assert!(store.feed_is_ahead().await.unwrap());
        let page = include_str!("../../deploy/DATABASES.md");
        let remedy = page
            .split("```sql\n")
            .find(|it| it.starts_with("update events"))
            .unwrap();
        execute(&mut raw, remedy.split("```").next().unwrap().into())
            .await
            .unwrap();
        assert!(!store.feed_is_ahead().await.unwrap());
        assert_eq!(kinds(&shown(store, 2).await), ["payment.reserved", "statement.closed"]);
        let endpoint = store.endpoints_served().await.unwrap().remove(0);
        reserve(store, &sample(2)).await;
        shown(store, 3).await;
        assert_eq!(kinds(&read(store, endpoint.cursor, 10).await), ["payment.reserved"]);
    })
    .await;
}
