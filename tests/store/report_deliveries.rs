//! What is owed of a schedule is delivered by one of many, and what fails is told once it has failed for long.

use std::time::Duration;

use facilitator::domain::id::ReportId;
use facilitator::domain::statement::Period;
use facilitator::domain::time::Timestamp;
use facilitator::store::{Delivering, Failed, Pauses, Store};

use crate::support::{Database, execute, on_database};

const TERM: Duration = Duration::from_mins(1);

const PAUSES: Pauses = Pauses {
    most: Duration::from_secs(20),
    told_after: Duration::from_hours(1),
    patience: Duration::from_hours(24),
};

const fn day(number: u64) -> Period {
    Period {
        starts: Timestamp(number * 86_400),
        ends: Timestamp((number + 1) * 86_400),
    }
}

async fn owe(store: &Store, days: &[u64]) {
    let periods: Vec<_> = days.iter().map(|it| (day(*it), day(*it).ends)).collect();
    store.deliveries_owe("daily", &periods).await.unwrap();
}

async fn take(store: &Store) -> Option<Delivering> {
    store.delivery_take("daily", TERM).await.unwrap()
}

async fn now_due(db: &Database) {
    let sql = "update report_deliveries set due_at = now() - interval '1 second' where state = 'pending'";
    execute(&mut db.raw().await, sql.into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_period_is_owed_and_claimed_once() {
    on_database(async |db| {
        let store = &db.store;
        assert_eq!(store.delivery_last("daily").await.unwrap(), None);
        owe(store, &[1, 2, 3]).await;
        owe(store, &[3, 4]).await;
        assert_eq!(store.delivery_last("daily").await.unwrap(), Some(day(4).ends));
        assert!(store.delivery_take("other", TERM).await.unwrap().is_none());
        let claims = (0..12).map(|_| store.delivery_take("daily", TERM));
        let claimed = futures_util::future::join_all(claims).await;
        let mut days: Vec<Period> = claimed
            .into_iter()
            .filter_map(|it| it.unwrap())
            .map(|it| it.period)
            .collect();
        while let Some(it) = take(store).await {
            days.push(it.period);
        }
        days.sort_by_key(|it| it.starts);
        assert_eq!(days, [day(1), day(2), day(3), day(4)]);
        owe(store, &[4]).await;
        assert!(take(store).await.is_none(), "what is claimed is not owed anew");
        assert!(store.delivery_lag("daily").await.unwrap().unwrap() > 0);
        assert_eq!(store.delivery_lag("other").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn who_was_replaced_neither_ends_a_delivery_nor_puts_it_off() {
    on_database(async |db| {
        let store = &db.store;
        owe(store, &[1]).await;
        let late = take(store).await.unwrap();
        let report = ReportId::mint();
        assert!(store.delivery_ordered(&late, report).await.unwrap());
        now_due(&db).await;
        let next = take(store).await.unwrap();
        assert_eq!((next.claim, next.report), (late.claim + 1, Some(report)));
        assert!(!store.delivery_put_off(&late, TERM).await.unwrap());
        assert!(!store.delivery_made(&late, "file").await.unwrap());
        assert_eq!(
            store.delivery_missed(&late, "late", PAUSES).await.unwrap(),
            Failed::Lost
        );
        assert!(store.delivery_made(&next, "file").await.unwrap());
        assert!(!store.delivery_made(&next, "file").await.unwrap(), "once");
        now_due(&db).await;
        assert!(take(store).await.is_none());
        assert_eq!(store.delivery_lag("daily").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn what_fails_is_tried_again_told_after_long_and_given_up_at_last() {
    on_database(async |db| {
        let store = &db.store;
        owe(store, &[1]).await;
        let miss = async || {
            now_due(&db).await;
            let it = take(store).await.unwrap();
            store.delivery_missed(&it, "disk full", PAUSES).await.unwrap()
        };
        let age = async |hours: u32| {
            let sql = format!("update report_deliveries set failing_since = now() - interval '{hours} hours'");
            execute(&mut db.raw().await, sql).await.unwrap();
        };
        let told = async || db.count("notices where kind = 'report.delivery_failed'").await;
        assert_eq!((miss().await, told().await), (Failed::Again, 0));
        age(2).await;
        assert_eq!((miss().await, told().await), (Failed::Told, 1));
        assert_eq!((miss().await, told().await), (Failed::Again, 1), "once");
        age(25).await;
        assert_eq!((miss().await, told().await), (Failed::GivenUp, 2));
        now_due(&db).await;
        assert!(take(store).await.is_none());
        let last = "notices where body ->> 'givenUp' = 'true' and body ->> 'failures' = '4'
            and body ->> 'reason' = 'disk full'";
        assert_eq!(db.count(last).await, 1);
    })
    .await;
}
