//! Nonces without gaps, each for payments that were still free to be signed for.

use std::collections::BTreeSet;
use std::time::Duration;

use facilitator::domain::budget::Limits;
use facilitator::domain::id::PaymentId;
use facilitator::domain::rail::{RailFault, SignedTx};
use facilitator::domain::settlement::{Event, Setback, Settlement, State};
use facilitator::store::{IntendFault, Record, StoreFault};
use tokio::task::JoinSet;

use crate::support::{
    Database, advance, again, carried_by, execute, intend, landed, lane, lease, mined, network, on_database, reserve,
    sample, signed, tx,
};

async fn prepared(db: &Database, count: u8) -> Vec<Record> {
    assert_eq!(db.store.lane_prepare(&lane(), 5).await.unwrap(), 5);
    let mut records = Vec::new();
    for key in 0..count {
        records.push(reserve(&db.store, &sample(key)).await);
    }
    records
}

#[tokio::test]
async fn a_lane_begins_at_the_chains_nonce_and_never_goes_back() {
    on_database(async |db| {
        let records = prepared(&db, 1).await;
        for chain_nonce in [0, 5, 900] {
            assert_eq!(db.store.lane_prepare(&lane(), chain_nonce).await.unwrap(), 5);
        }
        assert_eq!(intend(&db.store, &[&records[0]], "t").await.unwrap().nonce, 5);
        assert_eq!(db.store.lane_prepare(&lane(), 5).await.unwrap(), 6);
        let too_far = db.store.lane_prepare(&lane(), u64::MAX).await;
        assert!(matches!(too_far, Err(StoreFault::Corrupt { .. })));
    })
    .await;
}

#[tokio::test]
async fn only_reserved_payments_of_the_network_are_claimed_in_the_order_given() {
    on_database(async |db| {
        let records = prepared(&db, 4).await;
        let mut elsewhere = sample(9);
        elsewhere.network = "eip155:1".parse().unwrap();
        let elsewhere = reserve(&db.store, &elsewhere).await;
        advance(&db.store, &records[1], Event::Withdrawn).await;
        intend(&db.store, &[&records[3]], "earlier").await.unwrap();
        let asked = [
            &records[2],
            &elsewhere,
            &records[3],
            &records[1],
            &records[0],
            &records[2],
        ]
        .map(|it| it.id);
        let mut shown = Vec::new();
        let intents = db
            .store
            .lane_intend(
                &lease(&db.store).await,
                &asked,
                false,
                &Limits::default(),
                |nonce, claimed| {
                    shown = claimed.to_vec();
                    assert_eq!(nonce, 6);
                    Ok(signed("batch", claimed))
                },
            )
            .await
            .unwrap();
        let [intent] = intents.as_slice() else {
            panic!("{intents:?}")
        };
        assert_eq!(intent.payments, [records[2].id, records[0].id]);
        assert_eq!(shown, intent.payments);
        let carried = again(&db.store, &records[0]).await;
        let settlement = Settlement::InFlight {
            tx: tx("batch"),
            setback: None,
        };
        assert_eq!((carried.settlement, carried.version), (settlement, 1));
        assert_eq!(carried.txs, [tx("batch")]);
        let found = carried_by(&db.store, tx("batch")).await;
        assert_eq!(
            found.iter().map(|it| it.id).collect::<Vec<_>>(),
            [records[0].id, records[2].id]
        );
        assert!(intend(&db.store, &[&records[0], &elsewhere], "none").await.is_none());
        assert!(
            db.store
                .lane_intend(
                    &lease(&db.store).await,
                    &[],
                    false,
                    &Limits::default(),
                    |_, _| unreachable!()
                )
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(db.store.lane_in_flight(&lane()).await.unwrap(), 2);
        assert_eq!(db.count("events where kind = 'payment.signed'").await, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_callers_on_one_lane_take_nonces_without_gaps_and_no_payment_twice() {
    on_database(async |db| {
        let records = prepared(&db, 60).await;
        let ids: Vec<PaymentId> = records.iter().map(|it| it.id).collect();
        let mut callers = JoinSet::new();
        for caller in 0..8_usize {
            let (store, lease, mut ids) = (db.store.clone(), lease(&db.store).await, ids.clone());
            ids.rotate_left(caller * 7);
            callers.spawn(async move {
                let mut intents = Vec::new();
                // Overlapping on purpose: every caller asks for every payment, three at a time.
                for asked in ids.chunks(3) {
                    let sign = |nonce: u64, cargo: &[PaymentId]| Ok(signed(&format!("{caller}-{nonce}"), cargo));
                    intents.extend(
                        store
                            .lane_intend(&lease, asked, false, &Limits::default(), sign)
                            .await
                            .unwrap(),
                    );
                }
                intents
            });
        }
        let intents: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
        let nonces: BTreeSet<u64> = intents.iter().map(|it| it.nonce).collect();
        let count = u64::try_from(intents.len()).unwrap();
        assert_eq!(nonces, (5..5 + count).collect());
        let carried: Vec<PaymentId> = intents.iter().flat_map(|it| it.payments.clone()).collect();
        assert_eq!(carried.len(), 60);
        assert_eq!(carried.into_iter().collect::<BTreeSet<_>>(), ids.into_iter().collect());
        assert_eq!(db.store.lane_in_flight(&lane()).await.unwrap(), count);
        let unmined = db.store.transactions_open(&network(), &[]).await.unwrap();
        let in_order: Vec<u64> = unmined.iter().map(|it| it.nonce).collect();
        assert_eq!(in_order, nonces.into_iter().collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn payments_that_cannot_share_are_signed_in_one_commit_and_a_transaction_each() {
    on_database(async |db| {
        let records = prepared(&db, 3).await;
        let ids: Vec<PaymentId> = records.iter().map(|it| it.id).collect();
        let each = |nonce: u64, cargo: &[PaymentId]| {
            let alone = |(at, id): (u64, &PaymentId)| signed(&format!("tx-{}", nonce + at), &[*id]);
            Ok((0..).zip(cargo).flat_map(alone).collect())
        };
        let intents = db
            .store
            .lane_intend(&lease(&db.store).await, &ids, false, &Limits::default(), each)
            .await
            .unwrap();
        let seen: Vec<_> = intents
            .iter()
            .map(|it| (it.nonce, it.tx.id.clone(), it.payments.clone()))
            .collect();
        let expected = (5..)
            .zip(&ids)
            .map(|(nonce, id)| (nonce, tx(&format!("tx-{nonce}")), vec![*id]));
        assert_eq!(seen, expected.collect::<Vec<_>>());
        for (nonce, record) in (5..).zip(&records) {
            let name = tx(&format!("tx-{nonce}"));
            let carried = again(&db.store, record).await;
            assert_eq!(
                (carried.settlement.state(), carried.txs),
                (State::InFlight, vec![name.clone()])
            );
            let found = carried_by(&db.store, name.clone()).await;
            assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [record.id]);
        }
        assert_eq!(db.store.lane_prepare(&lane(), 0).await.unwrap(), 8);
    })
    .await;
}

#[tokio::test]
async fn transactions_that_do_not_carry_what_was_claimed_are_not_recorded() {
    on_database(async |db| {
        let records = prepared(&db, 2).await;
        let ids: Vec<PaymentId> = records.iter().map(|it| it.id).collect();
        for cargo in [&ids[..1], &[ids[0], ids[1], ids[0]], &[]] {
            let done = db
                .store
                .lane_intend(&lease(&db.store).await, &ids, false, &Limits::default(), |_, _| {
                    Ok(signed("t", cargo))
                })
                .await;
            assert!(
                matches!(done, Err(IntendFault::Store(StoreFault::Corrupt { .. }))),
                "{done:?}"
            );
        }
        assert_eq!(db.count("slots").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_dead_transaction_is_delivered_no_more_and_gives_its_place_back() {
    on_database(async |db| {
        let records = prepared(&db, 2).await;
        intend(&db.store, &[&records[0]], "dead").await.unwrap();
        intend(&db.store, &[&records[1]], "mined").await.unwrap();
        db.store
            .transactions_mined(&network(), &[mined("mined", 20, 9)])
            .await
            .unwrap();
        for _ in 0..2 {
            let gone = [tx("dead"), tx("mined"), tx("foreign")];
            db.store.transactions_dead(&network(), &gone).await.unwrap();
            assert!(db.store.transactions_open(&network(), &[]).await.unwrap().is_empty());
            assert_eq!(db.store.lane_in_flight(&lane()).await.unwrap(), 0);
        }
        let statuses = db
            .texts("select tx || ' ' || status from chain_transactions order by tx")
            .await;
        assert_eq!(
            statuses.iter().filter(|it| it.ends_with(" mined")).count(),
            1,
            "{statuses:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_signer_that_fails_leaves_nothing_behind() {
    on_database(async |db| {
        let records = prepared(&db, 1).await;
        let fails = |_: u64, _: &[PaymentId]| -> Result<Vec<SignedTx>, IntendFault> {
            Err(IntendFault::Sign(RailFault {
                operation: "sign",
                network: network(),
                cause: "no key".into(),
            }))
        };
        let done = db
            .store
            .lane_intend(
                &lease(&db.store).await,
                &[records[0].id],
                false,
                &Limits::default(),
                fails,
            )
            .await;
        assert!(matches!(done, Err(IntendFault::Sign(_))));
        for table in ["slots", "chain_transactions", "settlement_attempts"] {
            assert_eq!(db.count(table).await, 0, "{table}");
        }
        let after = again(&db.store, &records[0]).await;
        assert_eq!((after.settlement, after.version), (Settlement::Reserved, 0));
        assert_eq!(intend(&db.store, &[&records[0]], "t").await.unwrap().nonce, 5);
    })
    .await;
}

#[tokio::test]
async fn a_payment_is_tried_again_alone_only_once_its_nonce_is_spent() {
    on_database(async |db| {
        let records = prepared(&db, 2).await;
        intend(&db.store, &[&records[0], &records[1]], "batch").await.unwrap();
        let retry = async |name: &'static str| {
            let asked = [records[1].id];
            db.store
                .lane_intend(&lease(&db.store).await, &asked, true, &Limits::default(), |_, cargo| {
                    Ok(signed(name, cargo))
                })
                .await
                .unwrap()
                .pop()
        };
        assert!(retry("too-early").await.is_none());
        db.store
            .transactions_mined(&network(), &[mined("batch", 20, 9)])
            .await
            .unwrap();
        assert!(intend(&db.store, &[&records[1]], "not-reserved").await.is_none());
        let set_back = again(&db.store, &records[1]).await;
        let setback = Setback::Reverted { tx: tx("batch") };
        advance(&db.store, &set_back, Event::SetBack(setback)).await;
        assert_eq!(retry("alone").await.unwrap().payments, [records[1].id]);
        let alone = again(&db.store, &records[1]).await;
        let settlement = Settlement::InFlight {
            tx: tx("alone"),
            setback: None,
        };
        assert_eq!(alone.settlement, settlement);
        assert_eq!(alone.txs, [tx("batch"), tx("alone")]);
        assert!(retry("twice").await.is_none());
        assert_eq!(db.count("settlement_attempts where closed_at is null").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_is_unmined_until_mined_and_again_after_a_reorganization() {
    on_database(async |db| {
        let records = prepared(&db, 2).await;
        intend(&db.store, &[&records[0]], "first").await.unwrap();
        intend(&db.store, &[&records[1]], "second").await.unwrap();
        let unmined = async || -> Vec<String> {
            let all = db.store.transactions_open(&network(), &[]).await.unwrap();
            all.into_iter().map(|it| String::from_utf8(it.raw).unwrap()).collect()
        };
        assert_eq!(unmined().await, ["first", "second"]);
        let seen = [mined("first", 20, u128::MAX), mined("foreign", 20, 1)];
        for _ in 0..2 {
            db.store.transactions_mined(&network(), &seen).await.unwrap();
            assert_eq!(unmined().await, ["second"]);
            assert_eq!(db.store.lane_in_flight(&lane()).await.unwrap(), 1);
        }
        let cost = "select cost::text from chain_transactions where status = 'mined'";
        assert_eq!(db.texts(cost).await, [u128::MAX.to_string()]);
        let gone = [tx("first"), tx("second"), tx("foreign")];
        for _ in 0..2 {
            db.store.transactions_reorganized(&network(), &gone).await.unwrap();
            assert_eq!(unmined().await, ["first", "second"]);
        }
        assert_eq!(db.store.lane_in_flight(&lane()).await.unwrap(), 2);
        db.store
            .transactions_mined(&"eip155:1".parse().unwrap(), &seen)
            .await
            .unwrap();
        assert_eq!(unmined().await.len(), 2);
        db.store.transactions_mined(&network(), &[]).await.unwrap();
        db.store.transactions_reorganized(&network(), &[]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_payment_with_a_seat_is_never_withdrawn() {
    on_database(async |db| {
        let records = prepared(&db, 1).await;
        intend(&db.store, &[&records[0]], "t").await.unwrap();
        let mut forged = again(&db.store, &records[0]).await;
        forged.settlement = Settlement::Reserved;
        let change = facilitator::store::Advance {
            record: &forged,
            event: Event::Withdrawn,
            next: Settlement::Withdrawn,
        };
        assert!(db.store.settlements_advance(&[change]).await.unwrap().is_empty());
        let confirmed = Event::Confirmed(landed("t", 3, false));
        let record = advance(&db.store, &again(&db.store, &records[0]).await, confirmed).await;
        assert_eq!(record.version, 2);
    })
    .await;
}

#[tokio::test]
async fn a_write_cut_off_midway_says_that_nobody_knows() {
    on_database(async |db| {
        db.store.lane_prepare(&lane(), 0).await.unwrap();
        let mut holder = db.raw().await;
        execute(&mut holder, "begin; select * from lanes for update".into())
            .await
            .unwrap();
        let store = db.store.clone();
        let waiting = tokio::spawn(async move { store.lane_prepare(&lane(), 0).await });
        let cut = "select pg_terminate_backend(pid)::text from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        while db.texts(cut).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let fault = waiting.await.unwrap().unwrap_err();
        assert!(matches!(fault, StoreFault::OutcomeUnknown { .. }), "{fault:?}");
    })
    .await;
}

#[tokio::test]
async fn a_lane_held_too_long_is_given_up_with_nothing_written() {
    on_database(async |db| {
        let records = prepared(&db, 1).await;
        let lease = lease(&db.store).await;
        let mut holder = db.raw().await;
        execute(&mut holder, "begin; select * from lanes for update".into())
            .await
            .unwrap();
        let done = db
            .store
            .lane_intend(
                &lease,
                &[records[0].id],
                false,
                &Limits::default(),
                |_, _| unreachable!(),
            )
            .await;
        let Err(IntendFault::Store(StoreFault::Unavailable { source, .. })) = done else {
            panic!("{done:?}");
        };
        assert_eq!(source.sqlstate(), Some("55P03"));
    })
    .await;
}
