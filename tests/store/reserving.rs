//! One payment for each key, one payment for each name, one grant for each payment.

use facilitator::domain::amount::Amount;
use facilitator::domain::authorization::Window;
use facilitator::domain::id::PaymentId;
use facilitator::domain::request::{PaymentReference, ReferenceKind};
use facilitator::domain::settlement::{Event, Settlement, State, apply};
use facilitator::domain::tenant::TenantId;
use facilitator::store::{Advance, Record, Reservation};
use tokio::task::JoinSet;

use crate::support::{Sample, advance, again, carried_by, landed, name, on_database, reserve, sample, told, tx};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_for_one_key_reserve_it_once() {
    on_database(async |db| {
        let mut calls = JoinSet::new();
        for _ in 0..100 {
            let (store, new) = (db.store.clone(), sample(1).named(&["order-1"]).new_payment());
            calls.spawn(async move { store.payment_reserve(&new).await.unwrap() });
        }
        let (mut made, mut seen) = (Vec::new(), Vec::new());
        while let Some(done) = calls.join_next().await {
            match done.unwrap() {
                Reservation::New(record) => made.push(record.id),
                Reservation::Seen(record) => seen.push(record.id),
                other @ (Reservation::Reopened(_) | Reservation::ReferenceTaken(_) | Reservation::Short(_)) => {
                    panic!("{other:?}")
                }
            }
        }
        assert_eq!((made.len(), seen.len()), (1, 99));
        assert!(seen.iter().all(|id| *id == made[0]));
        for table in ["payments", "settlements", "payment_references", "events"] {
            assert_eq!(db.count(table).await, 1, "{table}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_reserved_is_what_is_read() {
    on_database(async |db| {
        let mut widest = sample(7).named(&["b", "a", "b"]);
        widest.amount = u128::MAX;
        widest.before = Some(u64::MAX);
        widest.references.push(PaymentReference {
            kind: ReferenceKind::PaymentIdentifier,
            value: "a".into(),
        });
        let made = reserve(&db.store, &widest).await;
        assert_eq!(made.authorization.amount, Amount::from_units(u128::MAX));
        assert_eq!(made.references.len(), 3);
        assert_eq!(told(&again(&db.store, &made).await), told(&made));
        let by_key = db.store.payment_find(&made.authorization.key).await.unwrap().unwrap();
        assert_eq!(told(&by_key), told(&made));
        let recent = Sample {
            before: None,
            ..sample(8)
        };
        let recent = reserve(&db.store, &recent).await;
        assert_eq!(recent.authorization.window, Window::Recent);
        assert_eq!(told(&again(&db.store, &recent).await), told(&recent));
        for reference in &made.references {
            let found = db
                .store
                .reference_find(TenantId::SOLE, &[name("nobody's"), reference.clone()])
                .await
                .unwrap();
            assert_eq!(found.unwrap().id, made.id);
        }
        assert!(db.store.reference_find(TenantId::SOLE, &[]).await.unwrap().is_none());
        assert!(
            db.store
                .reference_find(TenantId::SOLE, &[name("nobody's")])
                .await
                .unwrap()
                .is_none()
        );
        assert!(matches!(
            db.store.payment_reserve(&widest.new_payment()).await.unwrap(),
            Reservation::Seen(record) if told(&record) == told(&made)
        ));
    })
    .await;
}

#[tokio::test]
async fn a_name_taken_by_another_payment_refuses_the_reservation_whole() {
    on_database(async |db| {
        reserve(&db.store, &sample(1).named(&["taken"])).await;
        let refused = sample(2).named(&["free", "taken"]).new_payment();
        assert!(matches!(
            db.store.payment_reserve(&refused).await.unwrap(),
            Reservation::ReferenceTaken(reference) if reference == name("taken")
        ));
        assert_eq!(db.count("payments").await, 1);
        assert_eq!(db.count("payment_references").await, 1);
        assert_eq!(db.count("events").await, 1);
        // The same value of the other kind is another name.
        let mut other_kind = sample(2);
        other_kind.references.push(PaymentReference {
            kind: ReferenceKind::PaymentIdentifier,
            value: "taken".into(),
        });
        reserve(&db.store, &other_kind).await;
        // A payment on record does not borrow another's name either.
        assert!(matches!(
            db.store.payment_reserve(&sample(2).named(&["taken"]).new_payment()).await.unwrap(),
            Reservation::ReferenceTaken(reference) if reference == name("taken")
        ));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_payments_that_claim_the_same_two_names_get_them_once() {
    on_database(async |db| {
        let mut calls = JoinSet::new();
        for key in 0..50 {
            let values = if key % 2 == 0 { ["x", "y"] } else { ["y", "x"] };
            let (store, new) = (db.store.clone(), sample(key).named(&values).new_payment());
            calls.spawn(async move { store.payment_reserve(&new).await.unwrap() });
        }
        let done = calls.join_all().await;
        let made = done.iter().filter(|it| matches!(it, Reservation::New(_))).count();
        let taken = done
            .iter()
            .filter(|it| matches!(it, Reservation::ReferenceTaken(_)))
            .count();
        assert_eq!((made, taken), (1, 49));
        assert_eq!(db.count("payments").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_payment_is_reopened_once_by_the_next_request() {
    on_database(async |db| {
        let first = reserve(&db.store, &sample(1).named(&["first"])).await;
        advance(&db.store, &first, Event::Withdrawn).await;
        let mut second = sample(1).named(&["second"]);
        second.digest = 2;
        second.amount = 77;
        second.pay_to = "0xOther".into();
        let mut calls = JoinSet::new();
        for _ in 0..20 {
            let (store, new) = (db.store.clone(), second.new_payment());
            calls.spawn(async move { store.payment_reserve(&new).await.unwrap() });
        }
        let done = calls.join_all().await;
        let reopened: Vec<_> = done
            .iter()
            .filter_map(|it| match it {
                Reservation::Reopened(record) => Some(record),
                Reservation::New(_) | Reservation::Seen(_) | Reservation::ReferenceTaken(_) | Reservation::Short(_) => {
                    None
                }
            })
            .collect();
        assert_eq!(reopened.len(), 1);
        let record = reopened[0];
        assert_eq!((record.id, record.version), (first.id, 2));
        assert_eq!(record.settlement, Settlement::Reserved);
        assert_eq!(record.digest, [2; 32]);
        assert_eq!(record.references, [name("second")]);
        assert_eq!(record.authorization.amount, Amount::from_units(77));
        assert_eq!(record.authorization.pay_to, "0xOther");
        assert_eq!(record.authorization.body, [2; 65]);
        assert_eq!(record.created_at, first.created_at);
        assert_eq!(told(record), told(&again(&db.store, record).await));
        let kinds = db.texts("select kind from events order by seq").await;
        assert_eq!(kinds, ["payment.reserved", "payment.withdrawn", "payment.reopened"]);
        // The first request's name is free again.
        reserve(&db.store, &sample(3).named(&["first"])).await;
    })
    .await;
}

#[tokio::test]
async fn reopening_with_a_taken_name_leaves_the_payment_withdrawn() {
    on_database(async |db| {
        let first = reserve(&db.store, &sample(1)).await;
        let withdrawn = advance(&db.store, &first, Event::Withdrawn).await;
        reserve(&db.store, &sample(2).named(&["taken"])).await;
        let new = sample(1).named(&["taken"]).new_payment();
        assert!(matches!(
            db.store.payment_reserve(&new).await.unwrap(),
            Reservation::ReferenceTaken(_)
        ));
        assert_eq!(told(&again(&db.store, &first).await), told(&withdrawn));
    })
    .await;
}

#[tokio::test]
async fn a_success_is_granted_with_the_confirmation_once_and_only_where_it_applied() {
    on_database(async |db| {
        let (first, second) = (
            reserve(&db.store, &sample(1)).await,
            reserve(&db.store, &sample(2)).await,
        );
        let stale = Record {
            version: 7,
            ..second.clone()
        };
        let confirm = |record| {
            let event = Event::Confirmed(landed("a", 9, false));
            let next = apply(Settlement::Reserved, &event).unwrap();
            Advance { record, event, next }
        };
        let answers: [(PaymentId, &[u8]); 2] = [(first.id, b"one"), (second.id, b"two")];
        let changes = [confirm(&first), confirm(&stale)];
        let done = db.store.settlements_advance_granting(&changes, &answers).await.unwrap();
        assert_eq!((done.moved, done.granted), (vec![first.id], [first.id].into()));
        assert_eq!(again(&db.store, &first).await.answer.as_deref(), Some(&b"one"[..]));
        assert_eq!(again(&db.store, &second).await.answer, None);
        assert!(!db.store.settlement_grant(first.id, b"again").await.unwrap());

        // Confirmed anew after a reorganization, it is not granted anew.
        let reversed = advance(&db.store, &again(&db.store, &first).await, Event::Reversed).await;
        let done = db
            .store
            .settlements_advance_granting(&[confirm(&reversed)], &answers)
            .await
            .unwrap();
        assert_eq!((done.moved, done.granted.len()), (vec![first.id], 0));
        assert_eq!(again(&db.store, &first).await.answer.as_deref(), Some(&b"one"[..]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_callers_are_granted_one_success() {
    on_database(async |db| {
        let record = reserve(&db.store, &sample(1)).await;
        assert!(!db.store.settlement_grant(record.id, b"too early").await.unwrap());
        let record = advance(&db.store, &record, Event::Confirmed(landed("a", 9, false))).await;
        let mut calls = JoinSet::new();
        for caller in 0..50_u8 {
            let store = db.store.clone();
            calls.spawn(async move { (caller, store.settlement_grant(record.id, &[caller]).await.unwrap()) });
        }
        let granted: Vec<u8> = calls
            .join_all()
            .await
            .into_iter()
            .filter_map(|(caller, is_granted)| is_granted.then_some(caller))
            .collect();
        assert_eq!(granted.len(), 1);
        let granted_record = again(&db.store, &record).await;
        assert_eq!(granted_record.answer, Some(vec![granted[0]]));
        assert!(granted_record.granted_at.is_some());
        // Neither a reorganization nor finality grants it a second time.
        let reversed = advance(&db.store, &granted_record, Event::Reversed).await;
        assert_eq!(reversed.answer, granted_record.answer);
        let landed_again = advance(&db.store, &reversed, Event::Confirmed(landed("b", 10, false))).await;
        assert!(!db.store.settlement_grant(record.id, b"again").await.unwrap());
        let last = advance(&db.store, &landed_again, Event::Finalized(landed("b", 10, true))).await;
        assert!(!db.store.settlement_grant(record.id, b"again").await.unwrap());
        assert_eq!(last.settlement.state(), State::Final);
        assert_eq!(carried_by(&db.store, tx("b")).await[0].id, record.id);
    })
    .await;
}
