//! However many ask for refunds at once: never more than the payment, each once for its key, and a transfer pays one.

use facilitator::domain::amount::Amount;
use facilitator::domain::authorization::PaymentKey;
use facilitator::domain::calendar::Calendar;
use facilitator::domain::id::RefundId;
use facilitator::domain::labels::Label;
use facilitator::domain::merkle::root;
use facilitator::domain::reconciliation::{Account, Direction, Transfer};
use facilitator::domain::refund::{Asked, Note, PaidBy, Presented, Stage, claimed, matched};
use facilitator::domain::request::Proof;
use facilitator::domain::screening::{self, Payout, Policy, judge};
use facilitator::domain::settlement::Event;
use facilitator::domain::statement::Bounds;
use facilitator::domain::time::Timestamp;
use facilitator::store::{
    Attempt, Cancelled, NewAttempt, NewRefund, PaidWith, Record, Recorded, Refund, RefundFilter, Store,
};
use tokio::task::JoinSet;

use crate::support::{Database, advance, block, execute, landed, network, on_database, reserve, sample, tx};

/// A payment of 10,000 that is final in block 3.
async fn paid(store: &Store, key: u8) -> Record {
    let record = reserve(store, &sample(key)).await;
    let record = advance(store, &record, Event::Confirmed(landed("paid", 3, false))).await;
    advance(store, &record, Event::Finalized(landed("paid", 3, true))).await
}

fn new(payment: &Record, key: &str, amount: u128, by: PaidBy) -> NewRefund {
    let paid = &payment.authorization;
    NewRefund {
        tenant: payment.tenant,
        id: RefundId::mint(),
        key: key.to_owned(),
        network: payment.network.clone(),
        asset: paid.asset.clone(),
        pay_to: paid.pay_to.clone(),
        recipient: paid.payer.clone(),
        payment_amount: paid.amount,
        after: 3,
        wallet: (by == PaidBy::Us).then(|| paid.pay_to.clone()),
        asked: Asked {
            payment: payment.id,
            amount: Amount::from_units(amount),
            reason: Note::new("zurück"),
            merchant_reference: Label::new("R-7"),
            by,
        },
    }
}

async fn recorded(store: &Store, new: &NewRefund) -> Refund {
    let said = store.refund_record(new).await.unwrap();
    let Recorded::New(refund) = said else {
        panic!("{said:?}");
    };
    refund
}

async fn own(store: &Store, payment: &Record, key: &str, amount: u128) -> Refund {
    recorded(store, &new(payment, key, amount, PaidBy::Merchant(None))).await
}

/// What is recorded and paid of the one payment.
async fn totals(db: &Database) -> Vec<String> {
    db.texts("select recorded || ' ' || paid from refund_totals").await
}

/// A transfer out of the merchant's account.
fn debit(name: &str, height: u64, units: u128) -> Transfer {
    Transfer {
        account: Account {
            asset: "0xAsset".into(),
            holder: "0xMerchant".into(),
        },
        direction: Direction::Debit,
        counterparty: Some("0xPayer".into()),
        amount: Amount::from_units(units),
        tx: tx(name),
        index: 1,
        block: block(height, "a"),
        authorizer: None,
        nonce: None,
        memo: None,
        sender: "0xMerchant".into(),
    }
}

/// What one look at the records matches.
async fn look(store: &Store) -> Vec<RefundId> {
    let mut found = Vec::new();
    for are_claimed in [true, false] {
        let (pairs, more) = store.refunds_pairs(&network(), are_claimed, None).await.unwrap();
        assert_eq!(more, None);
        let paid: Vec<(RefundId, PaidWith)> = matched(&pairs).paid.iter().map(|(id, it)| (*id, it.into())).collect();
        found.extend(store.refunds_pay(&paid).await.unwrap().into_iter().map(|it| it.id));
    }
    found
}

async fn told(db: &Database) -> Vec<String> {
    db.texts("select kind from notices where kind like 'refund.%' order by seq")
        .await
}

#[tokio::test]
async fn a_hundred_at_once_never_refund_more_than_was_paid() {
    on_database(async |db| {
        let store = &db.store;
        let payment = paid(store, 1).await;
        let mut racing = JoinSet::new();
        for racer in 0..100 {
            let (store, new) = (
                store.clone(),
                new(&payment, &format!("k{racer}"), 300, PaidBy::Merchant(None)),
            );
            racing.spawn(async move { store.refund_record(&new).await.unwrap() });
        }
        let ends = racing.join_all().await;
        let count = |is: fn(&Recorded) -> bool| ends.iter().filter(|it| is(it)).count();
        assert_eq!(count(|it| matches!(it, Recorded::New(_))), 33);
        assert_eq!(count(|it| matches!(it, Recorded::Exceeds)), 67);
        assert_eq!(totals(&db).await, ["9900 0"]);
        assert_eq!(told(&db).await, ["refund.created"; 33]);
        assert_eq!(
            store
                .refund_record(&new(&payment, "over", 101, PaidBy::Us))
                .await
                .unwrap(),
            Recorded::Exceeds
        );
        own(store, &payment, "all", 100).await;
        assert_eq!(totals(&db).await, ["10000 0"]);
    })
    .await;
}

#[tokio::test]
async fn one_key_records_once_whoever_repeats_it() {
    on_database(async |db| {
        let store = &db.store;
        let payment = paid(store, 1).await;
        let mut racing = JoinSet::new();
        for _ in 0..20 {
            let (store, new) = (store.clone(), new(&payment, "same", 10_000, PaidBy::Merchant(None)));
            racing.spawn(async move { store.refund_record(&new).await.unwrap() });
        }
        let ends = racing.join_all().await;
        let news = ends.iter().filter(|it| matches!(it, Recorded::New(_))).count();
        let seen = ends.iter().filter(|it| matches!(it, Recorded::Seen(_))).count();
        assert_eq!((news, seen), (1, 19));
        let other = store
            .refund_record(&new(&payment, "same", 1, PaidBy::Merchant(None)))
            .await;
        assert_eq!(other.unwrap(), Recorded::KeyTaken);
        assert_eq!(totals(&db).await, ["10000 0"]);
    })
    .await;
}

#[tokio::test]
async fn a_transfer_pays_one_refund_the_oldest_and_claims_come_first() {
    on_database(async |db| {
        let store = &db.store;
        let payment = paid(store, 1).await;
        store.accounts_watch(&[payment.id], 4).await.unwrap();
        let old = own(store, &payment, "old", 7).await;
        let young = own(store, &payment, "young", 7).await;
        let by = PaidBy::Merchant(claimed("0xb"));
        let claiming = recorded(store, &new(&payment, "claiming", 7, by)).await;
        assert_eq!(look(store).await, []);
        // Of the payment's own block, of another amount, and to somebody else: none of them pays anything.
        let mut elsewhere = debit("c", 6, 7);
        elsewhere.counterparty = Some("0xOther".into());
        let others = [debit("e", 3, 7), debit("d", 6, 8), elsewhere];
        store.transfers_observe(&network(), &others).await.unwrap();
        assert_eq!(look(store).await, []);
        let paying = [debit("b", 5, 7), debit("a", 6, 7)];
        store.transfers_observe(&network(), &paying).await.unwrap();
        assert_eq!(look(store).await, [claiming.id, old.id]);
        assert_eq!(look(store).await, [], "a transfer is used once");
        store.transfers_observe(&network(), &[debit("f", 9, 7)]).await.unwrap();
        assert_eq!(look(store).await, [young.id]);
        assert_eq!(totals(&db).await, ["21 21"]);
        let read = store.refund_get(claiming.id).await.unwrap().unwrap();
        assert_eq!((read.stage, read.paid.unwrap().tx), (Stage::Paid, tx("b")));
        assert_eq!(told(&db).await[3..], ["refund.paid"; 3]);
        // One that is recorded after its transfer was seen.
        store.transfers_observe(&network(), &[debit("g", 10, 9)]).await.unwrap();
        let late = own(store, &payment, "late", 9).await;
        assert_eq!(look(store).await, [late.id]);
        // The same transfer for another refund is refused by the database itself.
        let again = own(store, &payment, "again", 9).await;
        let twice = store
            .refunds_pay(&[(again.id, (&debit("g", 10, 9)).into())])
            .await
            .unwrap_err();
        assert_eq!(twice.constraint(), Some("refunds_transfer_once"));
    })
    .await;
}

#[tokio::test]
async fn what_is_cancelled_takes_nothing_and_what_is_paid_or_sent_is_not_cancelled() {
    on_database(async |db| {
        let store = &db.store;
        let payment = paid(store, 1).await;
        store.accounts_watch(&[payment.id], 4).await.unwrap();
        let refund = own(store, &payment, "a", 10_000).await;
        let Some(Cancelled::Done(cancelled)) = store.refund_cancel(refund.id).await.unwrap() else {
            panic!("not cancelled");
        };
        assert_eq!(cancelled.stage, Stage::Cancelled);
        assert_eq!(totals(&db).await, ["0 0"]);
        assert!(matches!(
            store.refund_cancel(refund.id).await.unwrap(),
            Some(Cancelled::Done(_))
        ));
        assert_eq!(told(&db).await, ["refund.created", "refund.cancelled"], "told once");
        assert_eq!(store.refund_cancel(RefundId::mint()).await.unwrap(), None);
        let paid = own(store, &payment, "b", 7).await;
        store.transfers_observe(&network(), &[debit("b", 5, 7)]).await.unwrap();
        assert_eq!(look(store).await, [paid.id]);
        assert_eq!(store.refund_cancel(paid.id).await.unwrap(), Some(Cancelled::Refused));
        assert_eq!(totals(&db).await, ["7 7"]);
    })
    .await;
}

fn attempt(refund: &Refund, attempt: u64) -> NewAttempt {
    let key = u8::try_from(100 + attempt).unwrap();
    let payout = Payout {
        refund: refund.id,
        network: refund.network.clone(),
        wallet: refund.wallet.clone().unwrap_or_default(),
        recipient: refund.recipient.clone(),
    };
    NewAttempt {
        payout: judge(&Policy::Off, screening::Stage::Refund, payout, &[]).unwrap(),
        attempt: Attempt {
            attempt,
            key: PaymentKey([key; 32]),
            presented: Presented {
                proof: Proof("{}".into()),
                extra: "{}".into(),
                good_until: 9,
            },
        },
        nonce: format!("0x{key:064x}"),
    }
}

#[tokio::test]
async fn attempts_follow_one_another_and_a_refund_whose_attempts_are_over_fails() {
    on_database(async |db| {
        let store = &db.store;
        let payment = paid(store, 1).await;
        let refund = recorded(store, &new(&payment, "a", 7, PaidBy::Us)).await;
        assert!(
            !store.refund_begin(&attempt(&refund, 2)).await.unwrap(),
            "the first comes first"
        );
        let mut racing = JoinSet::new();
        for _ in 0..10 {
            let (store, new) = (store.clone(), attempt(&refund, 1));
            racing.spawn(async move { store.refund_begin(&new).await.unwrap() });
        }
        let begun = racing.join_all().await;
        assert_eq!(begun.into_iter().filter(|it| *it).count(), 1);
        assert_eq!(
            store.refund_cancel(refund.id).await.unwrap(),
            Some(Cancelled::Refused),
            "it is out"
        );
        store.refund_fail(refund.id, 1).await.unwrap();
        assert!(
            !store.refund_begin(&attempt(&refund, 2)).await.unwrap(),
            "the first may still pay it"
        );
        store.refund_end(refund.id, 1, "its time was over").await.unwrap();
        store.refund_end(refund.id, 1, "another word").await.unwrap();
        let read = store.refunds_executing(&network(), None, 10).await.unwrap();
        assert_eq!((read.len(), read[0].is_out, read[0].attempts), (1, false, 1));
        assert_eq!(read[0].problem.as_deref(), Some("its time was over"));
        assert!(store.refund_begin(&attempt(&refund, 2)).await.unwrap());
        store.refund_end(refund.id, 2, "its time was over").await.unwrap();
        store.refund_fail(refund.id, 2).await.unwrap();
        let failed = store.refund_get(refund.id).await.unwrap().unwrap();
        assert_eq!(failed.stage, Stage::Failed);
        assert_eq!(totals(&db).await, ["0 0"]);
        assert_eq!(told(&db).await, ["refund.created", "refund.failed"]);
        assert_eq!(
            store.refund_attempt(refund.id, 2).await.unwrap().unwrap().key,
            PaymentKey([102; 32])
        );
        assert!(store.refund_attempt(refund.id, 3).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn refunds_are_listed_by_what_is_asked_page_by_page() {
    on_database(async |db| {
        let store = &db.store;
        let (one, other) = (paid(store, 1).await, paid(store, 2).await);
        let mut ids = Vec::new();
        for n in 0..5 {
            ids.push(
                own(store, if n == 4 { &other } else { &one }, &format!("k{n}"), 7)
                    .await
                    .id,
            );
        }
        store.refund_cancel(ids[1]).await.unwrap();
        let found = async |filter: RefundFilter, after, limit| {
            let found = store.refunds_find(&filter, after, limit).await.unwrap();
            found.into_iter().map(|it| it.id).collect::<Vec<_>>()
        };
        assert_eq!(found(RefundFilter::default(), None, 10).await, ids);
        assert_eq!(found(RefundFilter::default(), Some(ids[1]), 2).await, ids[2..4]);
        let of_other = RefundFilter {
            payment: Some(other.id),
            ..RefundFilter::default()
        };
        assert_eq!(found(of_other, None, 10).await, ids[4..]);
        let cancelled = RefundFilter {
            stage: Some(Stage::Cancelled),
            pay_to: Some("0xMerchant".into()),
            network: Some(network()),
            ..RefundFilter::default()
        };
        assert_eq!(found(cancelled, None, 10).await, ids[1..2]);
        let nobodys = RefundFilter {
            pay_to: Some("0xNobody".into()),
            ..RefundFilter::default()
        };
        assert_eq!(found(nobodys, None, 10).await, []);
    })
    .await;
}

#[tokio::test]
async fn what_was_asked_is_never_rewritten() {
    on_database(async |db| {
        let payment = paid(&db.store, 1).await;
        own(&db.store, &payment, "a", 7).await;
        let mut raw = db.raw().await;
        for change in [
            "update refunds set amount = 8",
            "update refunds set recipient = 'thief'",
            "update refunds set payment_id = payment_id",
            "delete from refunds",
            "truncate refunds cascade",
        ] {
            assert!(execute(&mut raw, change.into()).await.is_err(), "{change}");
        }
        execute(&mut raw, "update refunds set problem = 'none'".into())
            .await
            .unwrap();
    })
    .await;
}

/// Of block times up to 6,399 of the first day.
#[tokio::test]
async fn a_refund_is_on_the_statement_of_its_transfers_day_and_one_found_later_stays_a_debit() {
    on_database(async |db| {
        let store = &db.store;
        let payment = paid(store, 1).await;
        store.accounts_watch(&[payment.id], 3).await.unwrap();
        let refund = own(store, &payment, "a", 7).await;
        let credit = Transfer {
            direction: Direction::Credit,
            tx: tx("paid"),
            index: 3,
            ..debit("paid", 3, 10_000)
        };
        let seen = [credit, debit("b", 5, 7), debit("c", 6, 9)];
        store.transfers_observe(&network(), &seen).await.unwrap();
        assert_eq!(look(store).await, [refund.id]);
        let day = Calendar::UTC.day_of(Timestamp(1_700_000_000)).unwrap();
        let due = store.statements_due(&network(), day).await.unwrap();
        let held = due.into_iter().map(|it| (it.account, Bounds::default())).collect();
        let closed = store.statements_close(&network(), day, &held).await.unwrap();
        let [statement] = closed.as_slice() else {
            panic!("{closed:?}");
        };
        let units = |amount: Amount| amount.units();
        assert_eq!(
            (units(statement.debits), units(statement.refunds), statement.lines),
            (16, 7, 2)
        );
        let lines = store.statement_lines(statement.id, 0, 10).await.unwrap();
        assert_eq!(lines[1].line.name(), refund.id.to_string());
        assert_eq!(
            (lines[1].line.payment, lines[1].reference.as_deref()),
            (payment.id, Some("R-7"))
        );
        let leaves: Vec<_> = lines.iter().map(|it| it.line.leaf()).collect();
        assert_eq!(statement.merkle_root, root(&leaves));
        let read = store.statement_get(statement.id).await.unwrap().unwrap();
        assert_eq!((read.statement.hash(), &read.statement), (read.hash, statement));

        let late = own(store, &payment, "late", 9).await;
        assert_eq!(look(store).await, [late.id]);
        assert_eq!(
            store.statement_lines(statement.id, 0, 10).await.unwrap(),
            lines,
            "it stays as it was closed"
        );
        let next = Calendar::UTC.day_of(day.ends).unwrap();
        store
            .transfers_observe(&network(), &[debit("d", 7_000, 1)])
            .await
            .unwrap();
        let due = store.statements_due(&network(), next).await.unwrap();
        let held = due.into_iter().map(|it| (it.account, Bounds::default())).collect();
        let closed = store.statements_close(&network(), next, &held).await.unwrap();
        assert_eq!((closed[0].refunds, closed[0].lines), (Amount::ZERO, 0));
    })
    .await;
}

#[tokio::test]
async fn what_pays_a_refund_is_no_sale_and_no_day_closes_before_it_is_known_to_be_one() {
    on_database(async |db| {
        let store = &db.store;
        let payment = paid(store, 1).await;
        let refund = recorded(store, &new(&payment, "a", 7, PaidBy::Us)).await;
        let paying = crate::support::Sample {
            payer: "0xMerchant".into(),
            pay_to: "0xPayer".into(),
            amount: 7,
            ..sample(101)
        };
        assert!(store.refund_begin(&attempt(&refund, 1)).await.unwrap());
        let record = reserve(store, &paying).await;
        let day = Calendar::UTC.day_of(Timestamp(1_700_000_000)).unwrap();
        assert!(!store.statements_unsettled(&network(), day.ends).await.unwrap());
        let record = advance(store, &record, Event::Confirmed(landed("back", 5, false))).await;
        advance(store, &record, Event::Finalized(landed("back", 5, true))).await;
        assert!(
            store.statements_unsettled(&network(), day.ends).await.unwrap(),
            "nobody knows yet"
        );
        store
            .refunds_pay(&[(refund.id, (&debit("back", 5, 7)).into())])
            .await
            .unwrap();
        assert!(!store.statements_unsettled(&network(), day.ends).await.unwrap());
        store.accounts_watch(&[payment.id, record.id], 9).await.unwrap();
        let mut watched = store.accounts_watched(&network()).await.unwrap();
        assert_eq!(watched.len(), 1, "the payer is not watched");
        assert_eq!(
            watched.pop().map(|it| (it.account.holder, it.is_wallet)),
            Some(("0xMerchant".into(), false))
        );
        let due = store.statements_due(&network(), day).await.unwrap();
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].account.pay_to, "0xMerchant");
    })
    .await;
}
