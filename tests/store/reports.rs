//! Lists that miss nothing and repeat nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use facilitator::domain::amount::Amount;
use facilitator::domain::id::PaymentId;
use facilitator::domain::labels::Label;
use facilitator::domain::reconciliation;
use facilitator::domain::settlement::{Event, State};
use facilitator::store::{Cursor, DateTime, Filter, Name, Record, Store, Summary};
use futures_util::TryStreamExt;

use crate::support::{advance, block, execute, landed, name, on_database, reserve, sample, tx};

async fn all(store: &Store, filter: &Filter, limit: u16) -> Vec<Record> {
    let (mut records, mut after) = (Vec::new(), None::<Cursor>);
    loop {
        let page = store.payments_list(filter, after.as_ref(), limit).await.unwrap();
        assert!(page.entries.len() <= usize::from(limit));
        // Through its text, as a caller carries it.
        after = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        records.extend(page.into_records());
        if after.is_none() {
            return records;
        }
    }
}

/// What a report says of the payments that meet the filter.
async fn swept(store: &Store, filter: &Filter) -> Vec<String> {
    let pages: Vec<Vec<Summary>> = store
        .payments_sweep(filter.clone(), |it| it)
        .try_collect()
        .await
        .unwrap();
    pages.into_iter().flatten().map(|it| format!("{it:?}")).collect()
}

/// The same, of those that are listed.
async fn summaries(store: &Store, filter: &Filter) -> Vec<String> {
    let page = store.payments_list(filter, None, 1_000).await.unwrap();
    let summaries = page.entries.into_iter().map(Summary::from);
    summaries.map(|it| format!("{it:?}")).collect()
}

/// Ids follow time, but where a clock was wrong they do not: then others lie between those of a stretch.
#[tokio::test]
async fn a_report_reads_payments_whose_ids_lie_far_apart() {
    on_database(async |db| {
        let store = &db.store;
        for key in 0..6 {
            let record = reserve(store, &sample(key).named(&[&format!("name {key}")])).await;
            if key == 5 {
                let confirmed = advance(store, &record, Event::Confirmed(landed("t", 3, false))).await;
                advance(store, &confirmed, Event::Finalized(landed("t", 3, true))).await;
            }
        }
        let others = "insert into payments select (jsonb_populate_record(p, jsonb_build_object('created_at', '2100-01-01T00:00:00Z',
                'id', left(p.id::text, 13) || '-7fff-bfff-' || lpad(to_hex(n), 12, '0'),
                'key', '\\x' || encode(sha256(n::text::bytea), 'hex')))).*
            from payments p, generate_series(1, 9000) n where p.key = decode(repeat('00', 32), 'hex')";
        execute(&mut db.raw().await, others.into()).await.unwrap();
        let filter = Filter {
            created_before: DateTime::from_timestamp(4_000_000_000, 0),
            ..Filter::default()
        };
        let swept = swept(store, &filter).await;
        assert_eq!(swept.len(), 6);
        assert_eq!(swept, summaries(store, &filter).await);
    })
    .await;
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
            listed.extend(page.entries.iter().map(|it| (it.record.created_at, it.record.id)));
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

type Change<'a> = &'a (dyn Fn(&mut Filter) + Sync);

fn withdrawn_by_first_payer(filter: &mut Filter) {
    filter.payer = Some("0xPayer0".into());
    filter.states = vec![State::Withdrawn];
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
            if key == 2 {
                one = one.named(&["two"]);
            }
            records.push(reserve(store, &one).await);
        }
        advance(store, &records[4], Event::Withdrawn).await;
        let confirmed = advance(store, &records[5], Event::Confirmed(landed("t", 3, false))).await;
        advance(store, &confirmed, Event::Finalized(landed("t", 3, true))).await;
        let (second, third) = (records[2].created_at, records[4].created_at);
        let judged = format!(
            "insert into reconciliations (id, subject, payment_id, network, asset, pay_to, amount, state, reason, since)
            values (gen_random_uuid(), 's', '{}', 'eip155:1', 'a', 'b', 1, 'matched', '', now())",
            records[1].id.as_uuid()
        );
        execute(&mut db.raw().await, judged).await.unwrap();
        let cases: &[(Change<'_>, &[usize])] = &[
            (&|_| {}, &[0, 1, 2, 3, 4, 5]),
            (&|it| it.payer = Some("0xPayer1".into()), &[1, 3, 5]),
            (&|it| it.pay_to = Some("0xMerchant2".into()), &[2, 5]),
            (&|it| it.states = vec![State::Final, State::Withdrawn], &[4, 5]),
            (
                &|it| it.states = vec![State::Withdrawn, State::Reserved],
                &[0, 1, 2, 3, 4],
            ),
            (&|it| it.amount_from = Some(Amount::from_units(10_001)), &[]),
            (
                &|it| it.amount_to = Some(Amount::from_units(10_000)),
                &[0, 1, 2, 3, 4, 5],
            ),
            (&|it| it.landed_from = Some(block(3, "a").time), &[5]),
            (&|it| it.landed_before = Some(block(3, "a").time), &[]),
            (&|it| it.final_from = Some(records[5].created_at), &[5]),
            (&|it| it.final_before = Some(records[5].created_at), &[]),
            (&|it| it.reconciliations = vec![reconciliation::State::Matched], &[1]),
            (&|it| it.name = Some(Name::Id(records[2].id)), &[2]),
            (&|it| it.name = Some(Name::Key(records[2].authorization.key)), &[2]),
            (&|it| it.name = Some(Name::Reference(name("two"))), &[2]),
            (&|it| it.name = Some(Name::Transaction(tx("t"))), &[5]),
            (&|it| it.name = Some(Name::Memo("order 3".into())), &[3]),
            (&|it| it.name = Some(Name::Order(Label::new("order 3").unwrap())), &[3]),
            (
                &|it| it.name = Some(Name::MerchantReference(Label::new("merchant's 4").unwrap())),
                &[4],
            ),
            (
                &|it| it.name = Some(Name::Resource("https://shop.example/1".into())),
                &[1],
            ),
            (&|it| it.states = vec![State::Withdrawn], &[4]),
            (&|it| it.states = vec![State::Reserved], &[0, 1, 2, 3]),
            (&|it| it.states = vec![State::Final], &[5]),
            (&withdrawn_by_first_payer, &[4]),
            (&|it| it.asset = Some("0xOther".into()), &[]),
            (&|it| it.network = Some("eip155:1".parse().unwrap()), &[]),
            (&|it| it.created_from = Some(third), &[4, 5]),
            (&|it| it.created_before = Some(second), &[0, 1]),
        ];
        for (change, expected) in cases {
            let mut filter = Filter::default();
            change(&mut filter);
            for limit in [1, 2, 1000] {
                let listed: Vec<PaymentId> = all(store, &filter, limit).await.iter().map(|it| it.id).collect();
                let expected: Vec<PaymentId> = expected.iter().map(|index| records[*index].id).collect();
                assert_eq!(listed, expected, "{filter:?}, {limit} a page");
            }
            assert_eq!(
                swept(store, &filter).await,
                summaries(store, &filter).await,
                "{filter:?}"
            );
        }
        assert_eq!(
            store
                .payments_list(&Filter::default(), None, 0)
                .await
                .unwrap()
                .entries
                .len(),
            1
        );
    })
    .await;
}
