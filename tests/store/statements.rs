//! Days are closed once, follow one another, and every final payment is on one of them.

use std::collections::HashMap;
use std::time::Instant;

use facilitator::domain::amount::Amount;
use facilitator::domain::calendar::Calendar;
use facilitator::domain::id::StatementId;
use facilitator::domain::merkle::root;
use facilitator::domain::reconciliation::{self, Direction, Transfer};
use facilitator::domain::settlement::Event;
use facilitator::domain::statement::{Account, Balance, Bounds, Detail, Line, Period, Statement};
use facilitator::domain::time::Timestamp;
use facilitator::store::{Closed, Record, StatementFilter, Store};
use tokio::task::JoinSet;

use crate::support::{Sample, advance, block, execute, landed, network, on_database, reserve, sample, tx};

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

/// Closes it where nobody knows what was held.
async fn close(store: &Store, period: Period) -> Vec<Statement> {
    let due = store.statements_due(&network(), period).await.unwrap();
    let held: HashMap<Account, Bounds> = due.into_iter().map(|it| (it.account, Bounds::default())).collect();
    store.statements_close(&network(), period, &held).await.unwrap()
}

/// A transfer of the merchant's.
fn transfer(name: &str, height: u64, direction: Direction, units: u128) -> Transfer {
    Transfer {
        account: reconciliation::Account {
            asset: account().asset,
            holder: account().pay_to,
        },
        direction,
        counterparty: None,
        amount: Amount::from_units(units),
        tx: tx(name),
        index: 3,
        block: block(height, "a"),
        authorizer: None,
        nonce: None,
        memo: None,
        sender: "0xSender".into(),
    }
}

/// The merchant's statements.
async fn statements(store: &Store) -> Vec<Closed> {
    let filter = StatementFilter {
        network: Some(network()),
        asset: Some(account().asset),
        pay_to: Some(account().pay_to),
        ..StatementFilter::default()
    };
    store.statements_find(&filter, None, 100).await.unwrap()
}

async fn details(store: &Store, sequence: u64) -> Vec<Detail> {
    let statements = statements(store).await;
    let of_sequence = statements.iter().find(|it| it.statement.sequence == sequence);
    let id = of_sequence.unwrap().statement.id;
    store.statement_lines(id, 0, 1_000).await.unwrap()
}

async fn lines(store: &Store, sequence: u64) -> Vec<Line> {
    details(store, sequence).await.into_iter().map(|it| it.line).collect()
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

        let closed = close(store, first).await;
        let recipients: Vec<_> = closed.iter().map(|it| it.account.pay_to.as_str()).collect();
        assert_eq!(recipients, ["0xMerchant", "0xOther"]);
        let on_first: Vec<_> = lines(store, 1).await.iter().map(|it| it.payment).collect();
        assert_eq!(on_first, [earlier.id, early.id], "in the order of the chain");

        let slow = made_final(store, &slow).await;
        assert!(!store.statements_unsettled(&network(), first.ends).await.unwrap());
        assert_eq!(close(store, first).await, [], "a day is closed once");
        let closed = close(store, second).await;
        let [next] = closed.as_slice() else {
            panic!("{closed:?}")
        };
        let on_second: Vec<_> = lines(store, 2).await.iter().map(|it| it.payment).collect();
        assert_eq!(on_second, [slow.id, of_next_day.id]);
        assert_eq!((next.sequence, next.lines, next.late), (2, 2, 1));
        assert_eq!(next.opening, Amount::from_units(20_000));
        assert_eq!(next.credits, Amount::from_units(10_000));
        assert_eq!(next.late_credits, Amount::from_units(10_000));
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
        let mut closed = close(store, first).await;
        closed.extend(close(store, second).await);
        let read = statements(store).await;
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
        let [id, second_id] = closed.iter().map(|it| it.id).collect::<Vec<_>>().try_into().unwrap();
        let tail = store.statement_lines(id, 3, 1).await.unwrap();
        assert_eq!(tail, details(store, 1).await[3..4]);
        assert_eq!(tail[0].reference.as_deref(), Some("merchant's 3"));
        assert_eq!(store.statement_get(id).await.unwrap().unwrap().statement, closed[0]);
        assert_eq!(store.statement_get(StatementId::mint()).await.unwrap(), None);
        let found = async |filter: StatementFilter, after| {
            let found = store.statements_find(&filter, after, 10).await.unwrap();
            found.iter().map(|it| it.statement.id).collect::<Vec<_>>()
        };
        let all = StatementFilter::default();
        assert_eq!(found(all.clone(), Some(id)).await, [second_id]);
        let (from, before) = (Some(second.starts), None);
        assert_eq!(
            found(
                StatementFilter {
                    from,
                    before,
                    ..all.clone()
                },
                None
            )
            .await,
            [second_id]
        );
        let (from, before) = (None, Some(second.starts));
        assert_eq!(
            found(
                StatementFilter {
                    from,
                    before,
                    ..all.clone()
                },
                None
            )
            .await,
            [id]
        );
        let pay_to = Some("0xOther".into());
        assert_eq!(found(StatementFilter { pay_to, ..all }, None).await, []);
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
            closers.spawn(async move { close(&store, days()[0]).await });
        }
        let closed: Vec<Statement> = closers.join_all().await.into_iter().flatten().collect();
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].lines, 20);
        assert_eq!(db.count("statement_lines").await, 20);
    })
    .await;
}

#[tokio::test]
async fn what_was_seen_of_an_account_is_on_its_statement_once_and_only_what_is_due_is_closed() {
    on_database(async |db| {
        let (store, [first, second]) = (&db.store, days());
        let on_time = paid(store, &sample(1), 9).await;
        let slow = confirmed(store, &sample(2), 5).await;
        store.accounts_watch(&[on_time.id], 1).await.unwrap();
        let seen = [
            transfer("tx1", 9, Direction::Credit, 10_000),
            transfer("tx2", 5, Direction::Credit, 10_000),
            transfer("direct", 6_399, Direction::Credit, 7),
            transfer("spent", 6_399, Direction::Debit, 5),
            transfer("tomorrow", 6_400, Direction::Credit, 1),
        ];
        store.transfers_observe(&network(), &seen).await.unwrap();

        let due = store.statements_due(&network(), first).await.unwrap();
        let [only] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!(
            (only.first_height, only.last_height, only.is_first),
            (5, Some(6_399), true)
        );
        assert_eq!(
            store
                .statements_close(&network(), first, &HashMap::new())
                .await
                .unwrap(),
            [],
            "of an account that became due meanwhile"
        );
        let balance = Balance {
            block: block(6_399, "a"),
            amount: Amount::from_units(20_003),
        };
        let bounds = Bounds {
            opening: Some(Amount::from_units(1)),
            closing: Some(balance.clone()),
        };
        let held = HashMap::from([(account(), bounds)]);
        let closed = store.statements_close(&network(), first, &held).await.unwrap();
        let [it] = closed.as_slice() else { panic!("{closed:?}") };
        assert_eq!((it.credits, it.other_credits), (Amount::from_units(10_000), 10_007));
        assert_eq!((it.debits, it.unexplained), (Amount::from_units(5), 0));
        assert_eq!(it.balance, Some(balance));

        assert_eq!(
            store.statements_open(&network()).await.unwrap(),
            Some(Timestamp(1_700_006_400)),
            "a day without a payment is due"
        );
        made_final(store, &slow).await;
        let closed = close(store, second).await;
        let [it] = closed.as_slice() else { panic!("{closed:?}") };
        assert_eq!(
            (it.late_credits, it.other_credits),
            (Amount::from_units(10_000), 1 - 10_000)
        );
        assert_eq!(
            (it.opening, it.closing),
            (Amount::from_units(20_003), Amount::from_units(20_004))
        );
    })
    .await;
}

/// Prints how long it takes: `./dev test --release --test store -- --ignored --nocapture hundred_thousand`.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_day_of_a_hundred_thousand_payments_is_closed() {
    on_database(async |db| {
        let (store, [first, _]) = (&db.store, days());
        let pattern = paid(store, &sample(1), 9).await;
        store.accounts_watch(&[pattern.id], 1).await.unwrap();
        let seen = [transfer("tx1", 9, Direction::Credit, 10_000)];
        store.transfers_observe(&network(), &seen).await.unwrap();
        let many = "create table n as select n, gen_random_uuid() as id from generate_series(2, 100000) as n;
            insert into payments select (jsonb_populate_record(p, jsonb_build_object('id', n.id,
                'key', '\\x' || encode(sha256(n.id::text::bytea), 'hex')))).* from payments p, n;
            insert into settlements select (jsonb_populate_record(s, jsonb_build_object('payment_id', n.id,
                'landed_tx', '0xtx' || n.n))).* from settlements s, n;
            insert into observed_transfers select (jsonb_populate_record(o, jsonb_build_object(
                'tx', '0xtx' || n.n))).* from observed_transfers o, n;
            analyze";
        execute(&mut db.raw().await, many.into()).await.unwrap();
        let began = Instant::now();
        let closed = close(store, first).await;
        println!("{} payments closed in {:?}", closed[0].lines, began.elapsed());
        assert_eq!((closed[0].lines, closed[0].other_credits), (100_000, 0));
    })
    .await;
}
