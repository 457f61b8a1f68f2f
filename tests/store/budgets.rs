//! What settling may cost: taken before anything can be signed, given back when the chain has told the true cost.

use facilitator::domain::amount::Amount;
use facilitator::domain::budget::{Budget, Limits, Scope, Shortage, Span};
use facilitator::domain::settlement::{Event, Setback};
use facilitator::store::{IntendFault, NewPayment, Record, Reservation, Store};
use tokio::task::JoinSet;

use crate::support::{
    Database, Sample, advance, again, connect, landed, lane, lease, mined, network, on_database, reserve, sample,
    signed, tx,
};

/// A day's limits, since a minute may end within a test.
fn day(units: u128) -> Limits {
    Limits {
        minute: None,
        day: Some(Amount::from_units(units)),
    }
}

fn budget() -> Budget {
    Budget {
        total: Limits::default(),
        signer: Limits::default(),
        payer: Limits::default(),
        payer_reverts_max: 2,
    }
}

/// The payment, whose settlement may cost this much.
fn within(budget: &Budget, sample: &Sample, cost: u128) -> NewPayment {
    NewPayment {
        reserve: budget.reserve(&sample.payer, Amount::from_units(cost)),
        ..sample.new_payment()
    }
}

async fn taken(store: &Store, new: &NewPayment) -> Record {
    match store.payment_reserve(new).await.unwrap() {
        Reservation::New(record) | Reservation::Reopened(record) => record,
        other @ (Reservation::Seen(_) | Reservation::ReferenceTaken(_) | Reservation::Short(_)) => panic!("{other:?}"),
    }
}

async fn short(store: &Store, new: &NewPayment) -> Shortage {
    let reservation = store.payment_reserve(new).await.unwrap();
    let Reservation::Short(shortage) = reservation else {
        panic!("{reservation:?}");
    };
    shortage
}

/// What the day's windows hold, by their scopes.
async fn held(db: &Database) -> Vec<String> {
    db.texts(
        "select scope || ' ' || subject || ' ' || taken from budget_windows where span = 86400 order by scope, subject",
    )
    .await
}

/// Signs for these payments within what the signer may spend.
async fn intend(store: &Store, payments: &[&Record], name: &str, limits: &Limits) -> Result<(), IntendFault> {
    let ids: Vec<_> = payments.iter().map(|it| it.id).collect();
    let sign = |_, cargo: &[_]| Ok(signed(name, cargo));
    let done = store.lane_intend(&lease(store).await, &ids, false, limits, sign).await;
    done.map(|intents| assert_eq!(intents.len(), 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m01_a_hundred_reservations_at_once_never_take_more_than_there_is() {
    on_database(async |db| {
        let budget = Budget {
            total: day(30 * 7 + 6),
            ..budget()
        };
        // Two processes.
        let stores = [db.store.clone(), connect(&db.url).await];
        let mut calls = JoinSet::new();
        for key in 0..100 {
            let (store, new) = (stores[usize::from(key % 2)].clone(), within(&budget, &sample(key), 7));
            calls.spawn(async move { store.payment_reserve(&new).await.unwrap() });
        }
        let done = calls.join_all().await;
        let made = done.iter().filter(|it| matches!(it, Reservation::New(_))).count();
        let total = |it: &&Reservation| {
            matches!(
                it,
                Reservation::Short(Shortage {
                    scope: Scope::Total,
                    span: Span::Day,
                    ..
                })
            )
        };
        assert_eq!((made, done.iter().filter(total).count()), (30, 70));
        for table in ["payments", "settlements", "events"] {
            assert_eq!(db.count(table).await, 30, "{table}");
        }
        assert_eq!(held(&db).await, ["total  210"]);
    })
    .await;
}

#[tokio::test]
async fn each_payer_has_its_own_and_a_payment_on_record_takes_nothing_again() {
    on_database(async |db| {
        let store = &db.store;
        let budget = Budget {
            total: day(100),
            payer: day(15),
            ..budget()
        };
        let other = Sample {
            payer: "0xOther".into(),
            ..sample(3)
        };
        taken(store, &within(&budget, &sample(1), 10)).await;
        let seen = store.payment_reserve(&within(&budget, &sample(1), 10)).await.unwrap();
        assert!(matches!(seen, Reservation::Seen(_)));
        let shortage = short(store, &within(&budget, &sample(2), 10)).await;
        assert_eq!((shortage.scope, shortage.span), (Scope::Payer, Span::Day));
        assert!((1..=86_400).contains(&shortage.ends_in), "{shortage:?}");
        assert!(
            store
                .payment_find(&sample(2).new_payment().verified.authorization().key)
                .await
                .unwrap()
                .is_none()
        );
        taken(store, &within(&budget, &other, 10)).await;
        assert_eq!(held(&db).await, ["payer 0xOther 10", "payer 0xPayer 10", "total  20"]);
        // A larger limit counts from the next reservation on, a smaller one too.
        let raised = Budget {
            payer: day(20),
            ..budget.clone()
        };
        taken(store, &within(&raised, &sample(2), 10)).await;
        let lowered = Budget {
            total: day(25),
            ..budget
        };
        assert_eq!(
            short(store, &within(&lowered, &Sample { key: 4, ..other }, 1))
                .await
                .scope,
            Scope::Total
        );
    })
    .await;
}

#[tokio::test]
async fn m02_the_true_cost_takes_the_place_of_the_worst_case() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let budget = Budget {
            total: day(1_000),
            signer: day(1_000),
            payer: day(1_000),
            ..budget()
        };
        let first = taken(store, &within(&budget, &sample(1), 300)).await;
        let second = taken(store, &within(&budget, &sample(2), 300)).await;
        intend(store, &[&first, &second], "ours", &budget.signer).await.unwrap();
        assert_eq!(
            held(&db).await,
            ["payer 0xPayer 600", "signer 0xSigner 500", "total  600"]
        );
        let (first, second) = (again(store, &first).await, again(store, &second).await);

        // While its nonce may still be spent, a payment may still cost all of it.
        store.budgets_meter(&[first.id, second.id]).await.unwrap();
        assert_eq!(
            held(&db).await,
            ["payer 0xPayer 600", "signer 0xSigner 500", "total  600"]
        );
        store
            .transactions_mined(&network(), &[mined("ours", 3, 31)])
            .await
            .unwrap();
        for _ in 0..2 {
            store.budgets_meter(&[first.id]).await.unwrap();
            assert_eq!(
                held(&db).await,
                ["payer 0xPayer 316", "signer 0xSigner 31", "total  316"]
            );
        }
        // Whatever is missed is done when the payment is over.
        for record in [&first, &second] {
            let confirmed = advance(store, record, Event::Confirmed(landed("ours", 3, false))).await;
            advance(store, &confirmed, Event::Finalized(landed("ours", 3, true))).await;
        }
        assert_eq!(held(&db).await, ["payer 0xPayer 31", "signer 0xSigner 31", "total  31"]);
        let spent = "select sum(amount)::text from ledger_entries where purpose = 'gas'";
        assert_eq!(db.texts(spent).await, ["31"], "as in the books");
    })
    .await;
}

#[tokio::test]
async fn a_cost_above_the_limit_is_counted_all_the_same() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let budget = Budget {
            total: day(100),
            ..budget()
        };
        let record = taken(store, &within(&budget, &sample(1), 100)).await;
        intend(store, &[&record], "ours", &budget.signer).await.unwrap();
        store
            .transactions_mined(&network(), &[mined("ours", 3, 250)])
            .await
            .unwrap();
        store.budgets_meter(&[record.id]).await.unwrap();
        assert_eq!(held(&db).await, ["total  250"]);
        assert_eq!(short(store, &within(&budget, &sample(2), 1)).await.scope, Scope::Total);
    })
    .await;
}

#[tokio::test]
async fn what_is_withdrawn_costs_nothing_and_is_taken_anew_when_it_is_reopened() {
    on_database(async |db| {
        let store = &db.store;
        let budget = Budget {
            total: day(100),
            ..budget()
        };
        let record = taken(store, &within(&budget, &sample(1), 70)).await;
        advance(store, &record, Event::Withdrawn).await;
        assert_eq!(held(&db).await, ["total  0"]);
        taken(store, &within(&budget, &sample(2), 60)).await;
        assert_eq!(short(store, &within(&budget, &sample(1), 70)).await.scope, Scope::Total);
        assert_eq!(again(store, &record).await.settlement.state().as_str(), "withdrawn");
        taken(store, &within(&budget, &sample(1), 40)).await;
        assert_eq!(held(&db).await, ["total  100"]);
    })
    .await;
}

#[tokio::test]
async fn a_signer_that_may_spend_no_more_signs_nothing_and_keeps_its_nonce() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 7).await.unwrap();
        let records = [reserve(store, &sample(1)).await, reserve(store, &sample(2)).await];
        // A transaction of these tests costs 500 at most.
        let limits = day(999);
        intend(store, &[&records[0]], "first", &limits).await.unwrap();
        let refused = intend(store, &[&records[1]], "second", &limits).await;
        assert!(
            matches!(
                refused,
                Err(IntendFault::Short(Shortage {
                    scope: Scope::Signer,
                    ..
                }))
            ),
            "{refused:?}"
        );
        assert_eq!(again(store, &records[1]).await.settlement.state().as_str(), "reserved");
        assert_eq!(store.lane_prepare(&lane(), 7).await.unwrap(), 8);
        intend(store, &[&records[1]], "second", &day(1_000)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn m03_a_payer_whose_transactions_fail_is_refused_and_others_are_not() {
    on_database(async |db| {
        let store = &db.store;
        store.lane_prepare(&lane(), 0).await.unwrap();
        let budget = budget();
        for (key, name) in [(1, "one"), (2, "two")] {
            let record = taken(store, &within(&budget, &sample(key), 1)).await;
            intend(store, &[&record], name, &budget.signer).await.unwrap();
            let setback = Setback::Reverted { tx: tx(name) };
            advance(store, &again(store, &record).await, Event::SetBack(setback)).await;
        }
        let shortage = short(store, &within(&budget, &sample(3), 1)).await;
        assert_eq!((shortage.scope, shortage.span), (Scope::Reverts, Span::Hour));
        assert_eq!(db.count("payments").await, 2);
        let other = Sample {
            payer: "0xOther".into(),
            ..sample(3)
        };
        taken(store, &within(&budget, &other, 1)).await;
        // The next hour begins anew.
        let mut raw = db.raw().await;
        crate::support::execute(
            &mut raw,
            "update budget_windows set starts_at = starts_at - 3600".into(),
        )
        .await
        .unwrap();
        taken(store, &within(&budget, &sample(4), 1)).await;
    })
    .await;
}

#[tokio::test]
async fn windows_that_have_long_ended_are_forgotten() {
    on_database(async |db| {
        let budget = Budget {
            total: day(100),
            ..budget()
        };
        taken(&db.store, &within(&budget, &sample(1), 1)).await;
        db.store.budgets_forget().await.unwrap();
        assert_eq!(db.count("budget_windows").await, 1);
        let mut raw = db.raw().await;
        crate::support::execute(
            &mut raw,
            "update budget_windows set starts_at = starts_at - 3 * 86400".into(),
        )
        .await
        .unwrap();
        db.store.budgets_forget().await.unwrap();
        assert_eq!(db.count("budget_windows").await, 0);
    })
    .await;
}
