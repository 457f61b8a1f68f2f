//! Days are closed once, follow one another, and every final payment is on one of them.

use facilitator::domain::amount::Amount;
use facilitator::domain::calendar::Calendar;
use facilitator::domain::settlement::Event;
use facilitator::domain::statement::{Account, Line, Period, Statement, root};
use facilitator::domain::time::Timestamp;
use facilitator::store::{Record, Store};
use tokio::task::JoinSet;

use crate::support::{Sample, advance, landed, network, on_database, reserve, sample};

fn account() -> Account {
    Account {
        network: network(),
        asset: "0xAsset".into(),
        pay_to: "0xMerchant".into(),
    }
}

/// Blocks of `support::landed` up to a height of 6,399 are of the first of these days, and up to 92,799 of the second.
fn days() -> [Period; 2] {
    let first = Calendar::UTC.day_of(Timestamp(1_700_000_000)).unwrap();
    [first, Calendar::UTC.day_of(first.ends).unwrap()]
}

/// A payment that has landed at this height.
async fn confirmed(store: &Store, sample: &Sample, height: u64) -> Record {
    let record = reserve(store, sample).await;
    let name = format!("tx{}", sample.key);
    advance(store, &record, Event::Confirmed(landed(&name, height, false))).await
}

async fn made_final(store: &Store, record: &Record) -> Record {
    let mut landed = record.settlement.landed().unwrap().clone();
    landed.is_final = true;
    advance(store, record, Event::Finalized(landed)).await
}

async fn paid(store: &Store, sample: &Sample, height: u64) -> Record {
    made_final(store, &confirmed(store, sample, height).await).await
}

async fn lines(store: &Store, sequence: u64) -> Vec<Line> {
    store.statement_lines(&account(), sequence, 0, 1_000).await.unwrap()
}

#[tokio::test]
async fn every_final_payment_is_on_one_statement_by_its_block_time_or_late() {
    on_database(async |db| {
        let (store, [first, second]) = (&db.store, days());
        let early = paid(store, &sample(1), 9).await;
        let earlier = paid(store, &sample(2), 3).await;
        let slow = confirmed(store, &sample(3), 5).await;
        let of_next_day = paid(store, &sample(4), 7_000).await;
        let other = Sample {
            pay_to: "0xOther".into(),
            ..sample(5)
        };
        paid(store, &other, 4).await;
        assert_eq!(
            store.statements_open(&network()).await.unwrap(),
            Some(Timestamp(1_700_000_003))
        );
        assert!(store.statements_unsettled(&network(), first.ends).await.unwrap());

        let closed = store.statements_close(&network(), first).await.unwrap();
        let recipients: Vec<_> = closed.iter().map(|it| it.account.pay_to.as_str()).collect();
        assert_eq!(recipients, ["0xMerchant", "0xOther"]);
        let on_first: Vec<_> = lines(store, 1).await.iter().map(|it| it.payment).collect();
        assert_eq!(on_first, [earlier.id, early.id], "in the order of the chain");

        let slow = made_final(store, &slow).await;
        assert!(!store.statements_unsettled(&network(), first.ends).await.unwrap());
        assert_eq!(
            store.statements_close(&network(), first).await.unwrap(),
            [],
            "a day is closed once"
        );
        let closed = store.statements_close(&network(), second).await.unwrap();
        let [next] = closed.as_slice() else {
            panic!("{closed:?}")
        };
        let on_second: Vec<_> = lines(store, 2).await.iter().map(|it| it.payment).collect();
        assert_eq!(on_second, [slow.id, of_next_day.id]);
        assert_eq!((next.sequence, next.lines, next.late), (2, 2, 1));
        assert_eq!(next.opening, Amount::from_units(20_000));
        assert_eq!(next.closing, Amount::from_units(40_000));
        assert_eq!(store.statements_closed(&network()).await.unwrap(), Some(second.ends));
        assert_eq!(store.statements_open(&network()).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn what_is_read_of_a_statement_is_what_was_closed_and_proves_itself() {
    on_database(async |db| {
        let (store, [first, second]) = (&db.store, days());
        for key in 0..7 {
            paid(store, &sample(key), u64::from(key) * 1_500).await;
        }
        let mut closed = store.statements_close(&network(), first).await.unwrap();
        closed.extend(store.statements_close(&network(), second).await.unwrap());
        let read = store.statements_list(&account(), 0, 10).await.unwrap();
        assert_eq!(read.iter().map(|it| it.statement.clone()).collect::<Vec<_>>(), closed);
        let mut before: Option<Statement> = None;
        for it in read {
            let lines = lines(store, it.statement.sequence).await;
            let leaves: Vec<_> = lines.iter().map(Line::leaf).collect();
            assert_eq!(it.statement.merkle_root, root(&leaves));
            assert_eq!(it.statement.hash(), it.hash);
            assert_eq!(it.statement.previous, before.as_ref().map(Statement::hash));
            assert_eq!(it.statement.opening, before.map_or(Amount::ZERO, |it| it.closing));
            before = Some(it.statement);
        }
        let tail = store.statement_lines(&account(), 1, 3, 1).await.unwrap();
        assert_eq!(tail, lines(store, 1).await[3..4]);
        assert_eq!(store.statements_list(&account(), 1, 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_close_one_day_at_once_close_it_once() {
    on_database(async |db| {
        for key in 0..20 {
            paid(&db.store, &sample(key), 3).await;
        }
        let mut closers = JoinSet::new();
        for _ in 0..8 {
            let store = db.store.clone();
            closers.spawn(async move { store.statements_close(&network(), days()[0]).await.unwrap() });
        }
        let closed: Vec<Statement> = closers.join_all().await.into_iter().flatten().collect();
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].lines, 20);
        assert_eq!(db.count("statement_lines").await, 20);
    })
    .await;
}
