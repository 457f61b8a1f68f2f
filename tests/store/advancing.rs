//! What happened is written once, whole, and only over what it was judged by.

use facilitator::domain::amount::Amount;
use facilitator::domain::budget::Limits;
use facilitator::domain::id::PaymentId;
use facilitator::domain::settlement::{CannotLand, Event, Setback, Settlement, State, apply};
use facilitator::domain::time::Timestamp;
use facilitator::store::{Advance, Record, StoreFault};
use sqlx::AssertSqlSafe;

use crate::support::{
    Database, Sample, advance, again, block, carried_by, execute, intend, landed, lane, lease, mined, network,
    on_database, reserve, sample, signed, tx,
};

const LEDGER: &str = "select concat_ws(' ', purpose, stage, debit, credit, asset, amount, pending_id is not null)
    from ledger_entries order by version, purpose desc";

async fn in_flight(db: &Database, sample: &Sample, name: &str) -> Record {
    db.store.lane_prepare(&lane(), 0).await.unwrap();
    let record = reserve(&db.store, sample).await;
    intend(&db.store, &[&record], name).await.unwrap();
    again(&db.store, &record).await
}

#[tokio::test]
async fn every_settlement_reads_as_it_was_written() {
    on_database(async |db| {
        let store = &db.store;
        let reserved = reserve(store, &sample(1)).await;
        assert_eq!(again(store, &reserved).await.settlement, Settlement::Reserved);
        let withdrawn = advance(store, &reserved, Event::Withdrawn).await;
        assert_eq!(withdrawn.settlement, Settlement::Withdrawn);

        let mut record = in_flight(&db, &sample(2), "ours").await;
        for setback in [
            Setback::Reverted { tx: tx("ours") },
            Setback::TransferMissing { tx: tx("ours") },
        ] {
            let expected = apply(record.settlement.clone(), &Event::SetBack(setback.clone())).unwrap();
            record = advance(store, &record, Event::SetBack(setback)).await;
            assert_eq!(record.settlement, expected);
        }
        for event in [
            Event::LateSettled(landed("ours", 40, false)),
            Event::Confirmed(landed("theirs", 40, true)),
        ] {
            let expected = apply(record.settlement.clone(), &event).unwrap();
            record = advance(store, &record, event).await;
            assert_eq!(record.settlement, expected);
            assert!(record.confirmed_at.is_some());
            record = advance(store, &record, Event::Reversed).await;
            assert!(record.confirmed_at.is_none());
        }
        record = advance(store, &record, Event::Confirmed(landed("theirs", 41, false))).await;
        record = advance(store, &record, Event::Finalized(landed("theirs", 41, true))).await;
        let landed = landed("theirs", 41, true);
        assert_eq!(record.settlement, Settlement::Final { landed });
        assert!(record.final_at >= record.confirmed_at);

        let proofs = [
            CannotLand::Cancelled {
                tx: tx("c"),
                block: block(50, "a"),
            },
            CannotLand::UsedOtherwise {
                tx: tx("u"),
                block: block(51, "a"),
            },
            CannotLand::FailedOnChain {
                tx: tx("f"),
                block: block(52, "a"),
            },
            CannotLand::WindowClosed { block: block(53, "a") },
        ];
        for (key, proof) in (10..).zip(proofs) {
            let record = reserve(store, &sample(key)).await;
            let failed = advance(store, &record, Event::Failed(proof.clone())).await;
            assert_eq!(failed.settlement, Settlement::Failed { proof });
        }
        let claims = db.texts("select claim from evidence order by created_at, claim").await;
        assert_eq!(
            claims,
            [
                "landed",
                "landed",
                "landed",
                "cancelled",
                "used_otherwise",
                "failed_on_chain",
                "window_closed"
            ]
        );
        assert_eq!(db.count("evidence where ours").await, 1);
        let told = db.count("events").await;
        let versions: Vec<String> = db.texts("select sum(version + 1)::text from settlements").await;
        assert_eq!(versions, [told.to_string()]);
    })
    .await;
}

#[tokio::test]
async fn a_stale_record_changes_nothing_and_holds_up_no_other() {
    on_database(async |db| {
        let store = &db.store;
        let stale = reserve(store, &sample(1)).await;
        let fresh = reserve(store, &sample(2)).await;
        advance(store, &stale, Event::Withdrawn).await;
        let event = Event::Confirmed(landed("t", 7, false));
        let next = apply(Settlement::Reserved, &event).unwrap();
        let change = |record| Advance {
            record,
            event: event.clone(),
            next: next.clone(),
        };
        let mut unknown = fresh.clone();
        unknown.id = facilitator::domain::id::PaymentId::mint();
        let both = [change(&unknown), change(&stale), change(&fresh), change(&fresh)];
        assert_eq!(store.settlements_advance(&both).await.unwrap(), [fresh.id]);
        assert!(store.settlements_advance(&both).await.unwrap().is_empty());
        assert!(store.settlements_advance(&[]).await.unwrap().is_empty());
        assert_eq!(again(store, &stale).await.settlement, Settlement::Withdrawn);
        assert_eq!(db.count("evidence").await, 1);
        assert_eq!(db.count("ledger_entries").await, 1);
        assert_eq!(db.count("events").await, 4);
    })
    .await;
}

#[tokio::test]
async fn what_others_record_is_refused_here() {
    on_database(async |db| {
        let record = &reserve(&db.store, &sample(1)).await;
        for event in [Event::Signed(tx("t")), Event::Reopened] {
            let next = record.settlement.clone();
            let done = db.store.settlements_advance(&[Advance { record, event, next }]).await;
            assert!(matches!(done, Err(StoreFault::Corrupt { .. })));
        }
        let mut far = landed("t", 1, false);
        far.block.time = Timestamp(u64::MAX);
        let event = Event::Confirmed(far);
        let next = apply(Settlement::Reserved, &event).unwrap();
        let done = db.store.settlements_advance(&[Advance { record, event, next }]).await;
        assert!(matches!(
            done,
            Err(StoreFault::Corrupt {
                what: "landed_time",
                ..
            })
        ));
    })
    .await;
}

#[tokio::test]
async fn a_movement_is_pending_then_voided_then_pending_again_then_posted() {
    on_database(async |db| {
        let mut record = reserve(&db.store, &sample(1)).await;
        for event in [
            Event::Confirmed(landed("a", 7, false)),
            Event::Reversed,
            Event::Confirmed(landed("b", 8, false)),
            Event::Finalized(landed("b", 8, true)),
        ] {
            record = advance(&db.store, &record, event).await;
        }
        let row = |stage: &str, resolves: &str| {
            format!("payment {stage} payer:0xPayer merchant:0xMerchant 0xAsset 10000 {resolves}")
        };
        let expected = [
            row("pending", "f"),
            row("voided", "t"),
            row("pending", "f"),
            row("posted", "t"),
        ];
        assert_eq!(db.texts(LEDGER).await, expected);
        let mut raw = db.raw().await;
        for stage in ["voided", "posted"] {
            let twice = format!(
                "insert into ledger_entries select '{}', payment_id, version + 100, purpose, '{stage}', debit, credit,
                    network, asset, amount, pending_id, now() from ledger_entries where stage = '{stage}'",
                uuid::Uuid::now_v7(),
            );
            let refused = execute(&mut raw, twice).await.unwrap_err();
            let constraint = refused.as_database_error().unwrap().constraint();
            assert_eq!(constraint, Some("ledger_entries_resolved_once"));
        }
        // Nothing is open any more: one more resolution through the store is refused too, and leaves no trace.
        let mut forged = record.clone();
        forged.settlement = Settlement::Reserved;
        let forged_change = Advance {
            record: &forged,
            event: Event::Reversed,
            next: Settlement::Reserved,
        };
        let fault = db.store.settlements_advance(&[forged_change]).await.unwrap_err();
        assert_eq!(fault.constraint(), Some("ledger_entries_resolution"));
        assert_eq!(again(&db.store, &record).await.version, record.version);
    })
    .await;
}

#[tokio::test]
async fn final_payments_share_what_our_transaction_cost() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let mut records = Vec::new();
        for key in 0..3 {
            records.push(reserve(store, &sample(key)).await);
        }
        intend(store, &[&records[0], &records[1], &records[2]], "batch")
            .await
            .unwrap();
        for record in &mut records {
            let read = again(store, record).await;
            *record = advance(store, &read, Event::Confirmed(landed("batch", 9, false))).await;
        }
        let event = Event::Finalized(landed("batch", 9, true));
        let next = apply(records[0].settlement.clone(), &event).unwrap();
        let changes: Vec<_> = records
            .iter()
            .map(|record| Advance {
                record,
                event: event.clone(),
                next: next.clone(),
            })
            .collect();
        // Not before the cost is known.
        assert!(store.settlements_advance(&changes).await.unwrap().is_empty());
        store
            .transactions_mined(&network(), &[mined("batch", 9, 100)])
            .await
            .unwrap();
        assert_eq!(store.settlements_advance(&changes).await.unwrap().len(), 3);
        let gas = "select concat_ws(' ', debit, credit, asset, stage, amount) from ledger_entries
            where purpose = 'gas' order by amount";
        let row = |amount: u128| {
            let amount = Amount::from_units(amount);
            format!("facilitator:gas signer:0xSigner native posted {amount}")
        };
        assert_eq!(db.texts(gas).await, [row(33), row(33), row(34)]);
        assert_eq!(db.count("settlement_attempts where closed_at is null").await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_failed_has_cost_us_all_the_same_and_all_of_it() {
    on_database(async |db| {
        let store = &db.store;
        let record = in_flight(&db, &sample(1), "first").await;
        let set_back = Event::SetBack(Setback::Reverted { tx: tx("first") });
        let record = advance(store, &record, set_back).await;
        store
            .transactions_mined(&network(), &[mined("first", 9, 100)])
            .await
            .unwrap();
        let again_alone = |_: u64, cargo: &[PaymentId]| Ok(signed("second", cargo));
        store
            .lane_intend(
                &lease(&db.store).await,
                &[record.id],
                true,
                &Limits::default(),
                again_alone,
            )
            .await
            .unwrap();
        let record = again(store, &record).await;
        let proof = CannotLand::FailedOnChain {
            tx: tx("second"),
            block: block(10, "a"),
        };
        let event = Event::Failed(proof);
        let next = apply(record.settlement.clone(), &event).unwrap();
        let record = &record;
        let change = [Advance { record, event, next }];
        // Not before the cost is known.
        assert!(store.settlements_advance(&change).await.unwrap().is_empty());
        store
            .transactions_mined(&network(), &[mined("second", 10, 11)])
            .await
            .unwrap();
        assert_eq!(store.settlements_advance(&change).await.unwrap(), [record.id]);
        assert_eq!(
            db.texts(LEDGER).await,
            ["gas posted facilitator:gas signer:0xSigner native 111 f"]
        );
    })
    .await;
}

/// A payment that somebody else landed is over, and then our own transaction is mined, mined elsewhere, and taken back.
#[tokio::test]
async fn what_it_costs_after_it_is_over_is_posted_and_moved_back() {
    on_database(async |db| {
        let store = &db.store;
        let record = in_flight(&db, &sample(1), "ours").await;
        let record = advance(store, &record, Event::Confirmed(landed("theirs", 9, false))).await;
        advance(store, &record, Event::Finalized(landed("theirs", 9, true))).await;
        let to = |amount: u128| format!("facilitator:gas signer:0xSigner {amount}");
        let back = |amount: u128| format!("signer:0xSigner facilitator:gas {amount}");
        let mut expected = Vec::new();
        for (cost, change) in [
            (Some((10, 100)), Some(to(100))),
            (Some((10, 100)), None),
            (Some((11, 130)), Some(to(30))),
            (Some((12, 90)), Some(back(40))),
            (None, Some(back(90))),
            (None, None),
            (Some((13, 7)), Some(to(7))),
        ] {
            match cost {
                Some((height, cost)) => {
                    let seen = [mined("ours", height, cost)];
                    store.transactions_mined(&network(), &seen).await.unwrap();
                }
                None => store.transactions_reorganized(&network(), &[tx("ours")]).await.unwrap(),
            }
            expected.extend(change);
            let gas = "select concat_ws(' ', debit, credit, amount) from ledger_entries where purpose = 'gas'
                order by correction";
            assert_eq!(db.texts(gas).await, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_foreign_landing_costs_us_nothing() {
    on_database(async |db| {
        let record = in_flight(&db, &sample(1), "ours").await;
        let record = advance(&db.store, &record, Event::Confirmed(landed("theirs", 9, false))).await;
        advance(&db.store, &record, Event::Finalized(landed("theirs", 9, true))).await;
        assert_eq!(db.count("ledger_entries where purpose = 'gas'").await, 0);
        for name in ["ours", "theirs"] {
            let found = carried_by(&db.store, tx(name)).await;
            assert_eq!(found.len(), 1, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn open_settlements_come_back_by_the_end_of_their_windows() {
    on_database(async |db| {
        let store = &db.store;
        let mut late = sample(1);
        late.before = Some(u64::MAX);
        let mut elsewhere = sample(4);
        elsewhere.network = "eip155:1".parse().unwrap();
        reserve(store, &elsewhere).await;
        let late = reserve(store, &late).await;
        let mut soon = sample(2);
        soon.before = Some(9);
        let soon = in_flight(&db, &soon, "t").await;
        let recent = Sample {
            before: None,
            ..sample(6)
        };
        let recent = reserve(store, &recent).await;
        let middle = reserve(store, &sample(3)).await;
        let middle = advance(store, &middle, Event::Confirmed(landed("m", 3, false))).await;
        let gone = reserve(store, &sample(5)).await;
        advance(store, &gone, Event::Withdrawn).await;
        let open = store.settlements_open(&network(), &State::OPEN).await.unwrap();
        let ids: Vec<_> = open.iter().map(|it| it.id).collect();
        assert_eq!(ids, [recent.id, soon.id, middle.id, late.id]);
        advance(store, &middle, Event::Finalized(landed("m", 3, true))).await;
        assert_eq!(store.settlements_open(&network(), &State::OPEN).await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn events_tell_what_happened_and_authorize_nothing() {
    on_database(async |db| {
        let record = in_flight(&db, &sample(1), "ours").await;
        let id = record.id;
        let setback = Setback::Reverted { tx: tx("ours") };
        let record = advance(&db.store, &record, Event::SetBack(setback)).await;
        let proof = CannotLand::WindowClosed { block: block(50, "a") };
        advance(&db.store, &record, Event::Failed(proof)).await;
        let sql = "select concat_ws(' ', seq, version, kind, body->>'state', body->>'tx', body->>'reason',
            body->>'payment', body->>'network') from events order by seq";
        let row = |text: &str| format!("{text} {id} eip155:84532");
        assert_eq!(
            db.texts(sql).await,
            [
                row("1 0 payment.reserved reserved"),
                row("2 1 payment.signed in_flight 0xours"),
                row("3 2 payment.set_back in_flight 0xours reverted"),
                row("4 3 payment.failed failed window_closed"),
            ]
        );
        let mut raw = db.raw().await;
        let keys: Vec<String> = sqlx::query_scalar(AssertSqlSafe(
            "select distinct jsonb_object_keys(body) from events order by 1",
        ))
        .fetch_all(&mut raw)
        .await
        .unwrap();
        assert_eq!(keys, ["change", "network", "payment", "reason", "state", "tx"]);
    })
    .await;
}

#[tokio::test]
async fn what_every_account_has_sums_to_nothing_and_what_is_undone_is_had_by_nobody() {
    on_database(async |db| {
        let store = &db.store;
        let ours = in_flight(&db, &sample(1), "ours").await;
        store
            .transactions_mined(&network(), &[mined("ours", 3, 9)])
            .await
            .unwrap();
        let ours = advance(store, &ours, Event::Confirmed(landed("ours", 3, false))).await;
        advance(store, &ours, Event::Finalized(landed("ours", 3, true))).await;
        let undone = reserve(store, &sample(2)).await;
        let undone = advance(store, &undone, Event::Confirmed(landed("theirs", 4, false))).await;
        let balances = "select concat_ws(' ', asset, account, posted, pending) from ledger_balances order by 1";
        let had = db.texts(balances).await;
        assert_eq!(
            had,
            [
                "0xAsset merchant:0xMerchant 10000 10000",
                "0xAsset payer:0xPayer -10000 -10000",
                "native facilitator:gas -9 0",
                "native signer:0xSigner 9 0",
            ]
        );
        advance(store, &undone, Event::Reversed).await;
        let pending = "select concat_ws(' ', account, pending) from ledger_balances where pending <> 0";
        assert_eq!(db.texts(pending).await, Vec::<String>::new());
        let sums = "select sum(posted)::text from ledger_balances group by network, asset";
        assert_eq!(db.texts(sums).await, ["0", "0"]);
    })
    .await;
}
