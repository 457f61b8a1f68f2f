//! Lists that miss nothing and repeat nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use facilitator::domain::id::PaymentId;
use facilitator::domain::settlement::{Event, State};
use facilitator::store::{Cursor, Filter, Record, Store};

use crate::support::{advance, execute, landed, on_database, reserve, sample};

async fn all(store: &Store, filter: &Filter, limit: u16) -> Vec<Record> {
    let (mut records, mut after) = (Vec::new(), None::<Cursor>);
    loop {
        let page = store.payments_list(filter, after.as_ref(), limit).await.unwrap();
        assert!(page.records.len() <= usize::from(limit));
        records.extend(page.records);
        // Through its text, as a caller carries it.
        after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        if after.is_none() {
            return records;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_read_while_payments_come_in_is_complete_and_repeats_nothing() {
    on_database(async |db| {
        let mut there = BTreeSet::new();
        for key in 0..60 {
            there.insert(reserve(&db.store, &sample(key)).await.id);
        }
        // Same instant for some: the id must break the tie.
        let tie = "update payments set created_at = (select min(created_at) from payments) where get_byte(key, 0) < 30";
        execute(&mut db.raw().await, tie.into()).await.unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let writer = {
            let (store, is_done) = (db.store.clone(), is_done.clone());
            tokio::spawn(async move {
                for key in 60..=255 {
                    reserve(&store, &sample(key)).await;
                    if is_done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            })
        };
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = db
                .store
                .payments_list(&Filter::default(), after.as_ref(), 7)
                .await
                .unwrap();
            listed.extend(page.records.iter().map(|it| (it.created_at, it.id)));
            tokio::time::sleep(Duration::from_millis(2)).await;
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        is_done.store(true, Ordering::Relaxed);
        writer.await.unwrap();
        assert!(listed.is_sorted());
        let ids: BTreeSet<PaymentId> = listed.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids.len(), listed.len());
        assert!(ids.is_superset(&there));
    })
    .await;
}

#[tokio::test]
async fn each_filter_lists_what_it_names_and_nothing_else() {
    on_database(async |db| {
        let store = &db.store;
        let mut records = Vec::new();
        for key in 0..6_u8 {
            let mut one = sample(key);
            one.payer = format!("0xPayer{}", key % 2);
            one.pay_to = format!("0xMerchant{}", key % 3);
            records.push(reserve(store, &one).await);
        }
        advance(store, &records[4], Event::Withdrawn).await;
        let confirmed = advance(store, &records[5], Event::Confirmed(landed("t", 3, false))).await;
        advance(store, &confirmed, Event::Finalized(landed("t", 3, true))).await;
        let any = Filter::default;
        let cases: [(&str, Filter, &[usize]); 12] = [
            ("all", any(), &[0, 1, 2, 3, 4, 5]),
            (
                "payer",
                Filter {
                    payer: Some("0xPayer1".into()),
                    ..any()
                },
                &[1, 3, 5],
            ),
            (
                "recipient",
                Filter {
                    pay_to: Some("0xMerchant2".into()),
                    ..any()
                },
                &[2, 5],
            ),
            (
                "nonce",
                Filter {
                    nonce: Some(records[3].authorization.nonce.clone()),
                    ..any()
                },
                &[3],
            ),
            (
                "withdrawn",
                Filter {
                    state: Some(State::Withdrawn),
                    ..any()
                },
                &[4],
            ),
            (
                "reserved",
                Filter {
                    state: Some(State::Reserved),
                    ..any()
                },
                &[0, 1, 2, 3],
            ),
            (
                "final",
                Filter {
                    state: Some(State::Final),
                    ..any()
                },
                &[5],
            ),
            (
                "payer and state",
                Filter {
                    payer: Some("0xPayer0".into()),
                    state: Some(State::Withdrawn),
                    ..any()
                },
                &[4],
            ),
            (
                "asset",
                Filter {
                    asset: Some("0xOther".into()),
                    ..any()
                },
                &[],
            ),
            (
                "network",
                Filter {
                    network: Some("eip155:1".parse().unwrap()),
                    ..any()
                },
                &[],
            ),
            (
                "from",
                Filter {
                    created_from: Some(records[4].created_at),
                    ..any()
                },
                &[4, 5],
            ),
            (
                "before",
                Filter {
                    created_before: Some(records[2].created_at),
                    ..any()
                },
                &[0, 1],
            ),
        ];
        for (case, filter, expected) in cases {
            for limit in [1, 2, 1000] {
                let listed: Vec<PaymentId> = all(store, &filter, limit).await.iter().map(|it| it.id).collect();
                let expected: Vec<PaymentId> = expected.iter().map(|index| records[*index].id).collect();
                assert_eq!(listed, expected, "{case}, {limit} a page");
            }
        }
        assert_eq!(store.payments_list(&any(), None, 0).await.unwrap().records.len(), 1);
    })
    .await;
}
