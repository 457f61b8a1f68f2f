//! Reports that several want to make are made by one.

use std::collections::BTreeSet;
use std::time::Duration;

use facilitator::domain::lease::ProcessId;
use facilitator::store::{Piece, Progress, Report, ReportOrder, Store, Whole};

use crate::support::{execute, on_database};

fn order(number: u8) -> ReportOrder {
    ReportOrder {
        ordered: [number; 32],
        kind: "settlements",
        format: "csv",
        question: "{}".to_owned(),
        version: 1,
        schedule: None,
    }
}

async fn ordered(store: &Store, number: u8) -> Report {
    store.report_order(&order(number)).await.unwrap().unwrap()
}

const TERM: Duration = Duration::from_mins(1);

const fn piece(position: u64, bytes: &[u8]) -> Piece<'_> {
    Piece {
        expected: 9,
        rows: position,
        position,
        bytes,
    }
}

const fn whole(rows: u64, sha256: [u8; 32]) -> Whole<'static> {
    Whole {
        rows,
        totals: "[]",
        sha256,
        edition: 1,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_report_is_claimed_by_one_of_many_and_ends_as_it_was_made() {
    on_database(async |db| {
        let store = &db.store;
        let mut ids = BTreeSet::new();
        for number in 0..3 {
            ids.insert(ordered(store, number).await.id);
            assert_eq!(ordered(store, number).await.progress, Progress::Queued);
        }
        assert_eq!(ids.len(), 3);
        let claims = (0..12).map(|_| store.report_claim(ProcessId::mint(), TERM));
        let claimed: Vec<_> = futures_util::future::join_all(claims).await;
        let mut claimed: Vec<_> = claimed
            .into_iter()
            .filter_map(|it| it.unwrap())
            .map(|it| it.id)
            .collect();
        while let Some(report) = store.report_claim(ProcessId::mint(), TERM).await.unwrap() {
            claimed.push(report.id);
        }
        assert_eq!(claimed.len(), 3);
        assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), ids);
    })
    .await;
}

#[tokio::test]
async fn who_lost_a_claim_writes_nothing_more() {
    on_database(async |db| {
        let store = &db.store;
        let (late, next) = (ProcessId::mint(), ProcessId::mint());
        let id = ordered(store, 1).await.id;
        assert_eq!(store.report_claim(late, TERM).await.unwrap().unwrap().id, id);
        assert!(store.report_piece(id, late, piece(0, b"late"), TERM).await.unwrap());
        let lapse = "update reports set claimed_until = now() - interval '1 second'";
        execute(&mut db.raw().await, lapse.into()).await.unwrap();
        assert_eq!(store.report_claim(next, TERM).await.unwrap().unwrap().id, id);
        assert!(!store.report_piece(id, late, piece(1, b"later"), TERM).await.unwrap());
        assert!(!store.report_done(id, late, whole(1, [0; 32])).await.unwrap());
        assert!(!store.report_fail(id, late, "late").await.unwrap());
        assert_eq!(db.count("notices").await, 0, "nothing is told of what was lost");
        assert_eq!(store.report_read(id, 0).await.unwrap(), None);
        assert!(store.report_piece(id, next, piece(0, b"whole"), TERM).await.unwrap());
        assert!(store.report_done(id, next, whole(7, [1; 32])).await.unwrap());
        let report = store.report_get(id).await.unwrap().unwrap();
        assert_eq!((report.rows, report.expected, report.bytes), (7, 7, 5));
        assert_eq!(store.report_read(id, 0).await.unwrap().unwrap(), b"whole");
        assert_eq!(
            db.count("notices where kind = 'report.ready' and body ->> 'rows' = '7'")
                .await,
            1
        );
        assert!(matches!(report.progress, Progress::Done { sha256: [1, ..], .. }));
        assert!(!store.reports_forget(TERM, 1).await.unwrap());
        assert!(store.reports_forget(Duration::ZERO, 1).await.unwrap());
        assert_eq!(db.count("report_pieces").await, 0);
    })
    .await;
}

#[tokio::test]
async fn of_too_many_bytes_the_oldest_reports_go_and_the_newest_stays() {
    on_database(async |db| {
        let (store, me) = (&db.store, ProcessId::mint());
        let mut ids = Vec::new();
        for number in 1..=3 {
            let id = ordered(store, number).await.id;
            store.report_claim(me, TERM).await.unwrap().unwrap();
            assert!(store.report_piece(id, me, piece(0, b"10 bytes.."), TERM).await.unwrap());
            assert!(store.report_done(id, me, whole(1, [1; 32])).await.unwrap());
            ids.push(id);
        }
        let mut left = Vec::new();
        for bytes in [21, 20, 11, 5] {
            store.reports_forget(TERM, bytes).await.unwrap();
            let mut kept = 0;
            for id in &ids {
                kept += usize::from(store.report_get(*id).await.unwrap().is_some());
            }
            left.push(kept);
        }
        assert_eq!(left, [3, 2, 2, 1]);
        assert!(store.report_get(ids[2]).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn what_failed_is_made_again_when_it_is_ordered_again() {
    on_database(async |db| {
        let (store, me) = (&db.store, ProcessId::mint());
        let id = ordered(store, 1).await.id;
        store.report_claim(me, TERM).await.unwrap().unwrap();
        assert!(store.report_fail(id, me, "disk full").await.unwrap());
        assert_eq!(
            db.count("notices where kind = 'report.failed' and body ->> 'reason' = 'disk full'")
                .await,
            1
        );
        let failed = store.report_get(id).await.unwrap().unwrap();
        assert!(matches!(failed.progress, Progress::Failed { failure } if failure == "disk full"));
        let again = ordered(store, 1).await;
        assert_eq!((again.id, again.progress), (id, Progress::Queued));
    })
    .await;
}

#[tokio::test]
async fn only_so_many_reports_wait_and_those_that_do_are_still_found() {
    on_database(async |db| {
        let store = &db.store;
        for number in 0..100 {
            ordered(store, number).await;
        }
        assert!(store.report_order(&order(100)).await.unwrap().is_none());
        assert_eq!(ordered(store, 7).await.progress, Progress::Queued);
        let me = ProcessId::mint();
        let first = store.report_claim(me, TERM).await.unwrap().unwrap();
        assert!(store.report_order(&order(100)).await.unwrap().is_none());
        assert!(store.report_done(first.id, me, whole(0, [0; 32])).await.unwrap());
        assert!(store.report_order(&order(100)).await.unwrap().is_some());
    })
    .await;
}
