//! Slots with several transactions: one at most is mined, and the payments are where the newest is until then.

use facilitator::domain::amount::Amount;
use facilitator::domain::budget::Limits;
use facilitator::domain::id::PaymentId;
use facilitator::domain::rail::{Outbid, Replacement, TxId};
use facilitator::domain::settlement::{CannotLand, Event, Settlement, State};
use facilitator::store::{Record, Replaced, Store};
use tokio::task::JoinSet;

use crate::support::{
    Database, advance, again, block, carried_by, intend, landed, lane, lease, mined, network, on_database, reserve,
    sample, signed, tx,
};

fn with(name: &str, cargo: Outbid) -> Replacement {
    Replacement {
        id: tx(name),
        raw: name.as_bytes().to_vec(),
        cost_max: Amount::from_units(600),
        cargo,
    }
}

async fn replace(store: &Store, over: &str, by: &str, cargo: Outbid) -> Replaced {
    store
        .lane_replace(&lease(store).await, 5, &tx(over), &with(by, cargo))
        .await
        .unwrap()
}

/// Payments in flight by the transaction `first`, in the slot 5.
async fn aboard(db: &Database, count: u8) -> Vec<Record> {
    db.store.lane_prepare(&lane(), 5).await.unwrap();
    let mut records = Vec::new();
    for key in 0..count {
        records.push(reserve(&db.store, &sample(key)).await);
    }
    intend(&db.store, &records.iter().collect::<Vec<_>>(), "first").await;
    records
}

/// What is on record of the slots: each transaction, and what spent its nonce.
async fn open(db: &Database, states: &[State]) -> Vec<(TxId, Option<TxId>)> {
    let carriers = db.store.transactions_open(&network(), states).await.unwrap();
    carriers.into_iter().map(|it| (it.tx, it.spent_by)).collect()
}

#[tokio::test]
async fn a_replacement_takes_the_payments_in_flight_with_it() {
    on_database(async |db| {
        let records = aboard(&db, 2).await;
        let done = replace(&db.store, "first", "second", Outbid::Same).await;
        let mut moved = vec![records[0].id, records[1].id];
        moved.sort_by_key(PaymentId::as_uuid);
        assert_eq!(done, Replaced::Done(moved));
        for record in &records {
            let now = again(&db.store, record).await;
            let settlement = Settlement::InFlight {
                tx: tx("second"),
                setback: None,
            };
            assert_eq!((now.settlement, now.version), (settlement, 2));
            assert_eq!(now.txs, [tx("first"), tx("second")]);
        }
        assert_eq!(
            db.count("events where kind = 'payment.signed' and version = 2").await,
            2
        );
        assert_eq!(db.store.lane_in_flight(&lane()).await.unwrap(), 1);
        assert_eq!(open(&db, &[]).await, [(tx("first"), None), (tx("second"), None)]);
        let found = carried_by(&db.store, tx("second")).await;
        assert_eq!(found.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn only_the_newest_transaction_of_an_unspent_slot_is_replaced_and_only_five_times() {
    on_database(async |db| {
        aboard(&db, 1).await;
        let aboard = carried_by(&db.store, tx("first")).await;
        let names = ["first", "b", "c", "d", "e", "f", "g"];
        for pair in names.windows(2) {
            assert_eq!(replace(&db.store, "older", "x", Outbid::Same).await, Replaced::Moved);
            let expected = match pair[1] {
                "g" => Replaced::Exhausted,
                _ => Replaced::Done(aboard.iter().map(|it| it.id).collect()),
            };
            assert_eq!(replace(&db.store, pair[0], pair[1], Outbid::Same).await, expected);
        }
        assert_eq!(db.count("chain_transactions").await, 6);
        db.store
            .transactions_mined(&network(), &[mined("c", 20, 9)])
            .await
            .unwrap();
        assert_eq!(replace(&db.store, "f", "g", Outbid::Same).await, Replaced::Moved);
        assert_eq!(open(&db, &[]).await, []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_replace_one_transaction_one_does() {
    on_database(async |db| {
        aboard(&db, 1).await;
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let store = db.store.clone();
            callers.spawn(async move { replace(&store, "first", &format!("by-{caller}"), Outbid::Same).await });
        }
        let done = callers.join_all().await;
        assert_eq!(done.iter().filter(|it| matches!(it, Replaced::Done(_))).count(), 1);
        assert_eq!(db.count("chain_transactions").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_slot_is_used_up_only_when_nothing_in_flight_is_left_of_it() {
    on_database(async |db| {
        let records = aboard(&db, 2).await;
        let empty = async || replace(&db.store, "first", "empty", Outbid::Nothing).await;
        let closed = || Event::Failed(CannotLand::WindowClosed { block: block(9, "a") });
        advance(&db.store, &again(&db.store, &records[0]).await, closed()).await;
        assert_eq!(empty().await, Replaced::Moved);
        let elsewhere = Event::Confirmed(landed("theirs", 9, false));
        let confirmed = advance(&db.store, &again(&db.store, &records[1]).await, elsewhere).await;
        assert_eq!(empty().await, Replaced::Done(Vec::new()));
        let after = again(&db.store, &confirmed).await;
        assert_eq!((after.version, after.txs), (confirmed.version, vec![tx("first")]));
        assert!(carried_by(&db.store, tx("empty")).await.is_empty());
        let carriers = db.store.transactions_open(&network(), &[]).await.unwrap();
        let seen: Vec<_> = carriers.iter().map(|it| (it.tx.clone(), it.is_empty)).collect();
        assert_eq!(seen, [(tx("first"), false), (tx("empty"), true)]);
        // What outbids it carries nothing either.
        let dearer = replace(&db.store, "empty", "dearer", Outbid::Same).await;
        assert_eq!(dearer, Replaced::Done(Vec::new()));
        assert_eq!(again(&db.store, &confirmed).await.txs, [tx("first")]);

        // The landing is undone after the slot was used up: the payment may be signed for anew.
        db.store
            .transactions_mined(&network(), &[mined("empty", 10, 9)])
            .await
            .unwrap();
        let back = advance(&db.store, &confirmed, Event::Reversed).await;
        let intents = db
            .store
            .lane_intend(
                &lease(&db.store).await,
                &[back.id],
                true,
                &Limits::default(),
                |nonce, cargo| {
                    assert_eq!(nonce, 6);
                    Ok(signed("anew", cargo))
                },
            )
            .await
            .unwrap();
        assert_eq!(intents.len(), 1);
        assert_eq!(again(&db.store, &back).await.txs, [tx("first"), tx("anew")]);
    })
    .await;
}

#[tokio::test]
async fn when_one_is_mined_the_others_are_over_until_it_is_taken_back() {
    on_database(async |db| {
        aboard(&db, 1).await;
        replace(&db.store, "first", "second", Outbid::Same).await;
        let spent = |by: Option<&str>| ["first", "second"].map(|name| (tx(name), by.map(tx)));
        db.store
            .transactions_mined(&network(), &[mined("first", 20, 9)])
            .await
            .unwrap();
        assert_eq!(open(&db, &[]).await, []);
        assert_eq!(open(&db, &State::OPEN).await, spent(Some("first")));
        let both = [tx("first"), tx("second")];
        db.store.transactions_reorganized(&network(), &both).await.unwrap();
        assert_eq!(open(&db, &[]).await, spent(None));
        // Another process had seen the first one, and nobody has told that it was taken back.
        for name in ["first", "second", "first", "second"] {
            db.store
                .transactions_mined(&network(), &[mined(name, 21, 9)])
                .await
                .unwrap();
            assert_eq!(open(&db, &State::UNSETTLED).await, spent(Some(name)));
            assert_eq!(
                db.count("chain_transactions where status = 'mined' and cost = 9").await,
                1
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_mined_one_cost_is_the_payments_cost() {
    on_database(async |db| {
        let records = aboard(&db, 1).await;
        replace(&db.store, "first", "second", Outbid::Same).await;
        db.store
            .transactions_mined(&network(), &[mined("first", 20, 7)])
            .await
            .unwrap();
        let confirmed = Event::Confirmed(landed("first", 20, false));
        let record = advance(&db.store, &again(&db.store, &records[0]).await, confirmed).await;
        advance(&db.store, &record, Event::Finalized(landed("first", 20, true))).await;
        let gas = "select amount::text from ledger_entries where purpose = 'gas'";
        assert_eq!(db.texts(gas).await, ["7"]);
    })
    .await;
}
