//! A record for every transfer and a transfer for every record, but for what was planted: reconciliation finds all of that
//! and nothing else, and a gateway's file does.
//!
//! The comparing, the records and what was read of the chain are the real ones. The chain is a table of transfers that was
//! written beforehand, because no local node makes a million of them in minutes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use facilitator::app::AskFault;
use facilitator::app::books::Books;
use facilitator::app::matching::{self, Kind};
use facilitator::app::reconcile::{self, ACCOUNTS_MAX, Reconciliation};
use facilitator::app::reports::Reports;
use facilitator::domain::reconciliation::Account;
use facilitator::export::Decimals;
use facilitator::store::{Filter, Store};
use facilitator::task::Tasks;
use tokio::runtime::Handle;

use crate::shown::{KINDS, Shown, Size, transfer};
use crate::support::{Database, execute, on_database};

/// Records `$FIRST` to `$LAST`, all final but for those that say that nothing moved.
const LOAD: &str = "
    set session_replication_role = replica;
    create temporary table part as
        select n, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id, sha256(n::text::bytea) as key,
            timestamptz '2026-01-01T00:00:00Z' + n * interval '1 millisecond' as at, '0xtx' || n as tx, 1 + n / 10 as height,
            not n = any($WITHDRAWN) as is_final
        from generate_series($FIRST::bigint, $LAST::bigint) n;
    insert into payments (id, key, scheme, network, payer, pay_to, asset, amount, nonce, valid_after, valid_before, body, digest,
            envelope, since_height, must_go_alone, created_at, order_id)
        select id, key, 'exact', 'eip155:84532', '0xpayer' || n % 100000, '0xholder' || n % $HOLDERS,
            case n / $HOLDERS % 2 when 0 then '0xAsset' else '0xOther' end, 10000 + n % 90000, '0x' || lpad(to_hex(n), 64, '0'), 0,
            2000000000, key, key, 'second', 0, false, at, 'order ' || n
        from part;
    insert into settlements (payment_id, state, version, created_at, landed_tx, landed_log_index, landed_height, landed_hash,
            landed_time, landed_is_deep_enough, landed_is_final, confirmed_at, final_at)
        select id, 'final', 3, at, tx, n % 10, height, '0xblock' || height, 1700000000 + 2 * height, true, true, at, at
        from part where is_final
        union all
        select id, 'withdrawn', 3, at, null, null, null, null, null, null, null, null, null from part where not is_final;
    insert into evidence (payment_id, version, claim, tx, log_index, block_height, block_hash, block_time, ours, created_at)
        select id, 3, 'landed', tx, n % 10, height, '0xblock' || height, 1700000000 + 2 * height, true, at from part where is_final;
    drop table part";

async fn load(db: &Database, size: Size) {
    let mut raw = db.raw().await;
    let withdrawn = format!("array{:?}::bigint[]", size.planted("status_mismatch"));
    for first in (0..size.records).step_by(250_000) {
        let load = LOAD
            .replace("$FIRST", &first.to_string())
            .replace("$LAST", &(first + 249_999).min(size.records - 1).to_string())
            .replace("$HOLDERS", &size.holders.to_string())
            .replace("$WITHDRAWN", &withdrawn);
        execute(&mut raw, load).await.unwrap();
    }
    // A second payment for an order, by the same payer and of the same amount; both have landed.
    for number in size.planted("duplicate") {
        let before = number - 2 * size.holders;
        let twin = format!(
            "update payments set memo = encode(key, 'hex') where nonce = '0x{before:064x}';
            update payments p set payer = o.payer, amount = o.amount, order_id = o.order_id, memo = o.memo
                from payments o where p.nonce = '0x{number:064x}' and o.nonce = '0x{before:064x}'"
        );
        execute(&mut raw, twin).await.unwrap();
    }
    execute(&mut raw, "vacuum analyze".into()).await.unwrap();
}

/// The chain on which it is as this size says.
fn chain(size: Size) -> Shown {
    let mut shown = Shown::new(size);
    for number in size.planted("duplicate") {
        let first = transfer(size, number - 2 * size.holders);
        let of_account = shown.transfers.get_mut(&size.account(number)).unwrap();
        let second = of_account.iter_mut().find(|it| it.tx.0 == format!("0xtx{number}"));
        let second = second.unwrap();
        (second.amount, second.authorizer) = (first.amount, first.authorizer);
    }
    shown
}

/// How often it asked for transfers.
async fn reconciled(store: &Store, shown: Shown) -> Result<usize, AskFault> {
    let (store, scans) = (store.clone(), shown.scans.clone());
    // What it is told on the way is not to be told between threads.
    let whole = move || {
        let (store, rail) = (&store, &shown);
        Handle::current().block_on(Reconciliation { store, rail }.whole(None, |_, _| {}))
    };
    tokio::task::spawn_blocking(whole).await.unwrap()?;
    Ok(scans.load(Ordering::Relaxed))
}

async fn finds_all_and_invents_nothing(size: Size) {
    on_database(async move |db| {
        load(&db, size).await;
        let began = Instant::now();
        let scans = reconciled(&db.store, chain(size)).await.unwrap();
        println!(
            "{} records and as many transfers reconciled in {:?}",
            size.records,
            began.elapsed()
        );
        // As many accounts together as may be, though each begins elsewhere; what is missing is asked for once more.
        let groups = usize::try_from(2 * size.holders).unwrap().div_ceil(ACCOUNTS_MAX);
        let again = usize::try_from(size.planted).unwrap();
        assert!(scans <= groups + again, "{scans} scans");
        let planted = planted(size);
        let found: BTreeSet<String> = db.texts(FOUND).await.into_iter().collect();
        let all = KINDS.len() * usize::try_from(size.planted).unwrap();
        println!(
            "{} of {all} planted found, {} invented",
            planted.intersection(&found).count(),
            found.difference(&planted).count()
        );
        assert_eq!(planted.len(), all);
        assert_eq!(found, planted);
        let rest = db.count("reconciliations where state = 'matched'").await;
        // What is planted beside a record leaves the record as it is.
        assert_eq!(u64::try_from(rest).unwrap(), size.records - 7 * size.planted);
    })
    .await;
}

#[tokio::test]
async fn the_service_finds_the_same_and_ends_when_it_is_told_to() {
    on_database(async |db| {
        load(&db, SMALL).await;
        let tasks = Tasks::default();
        reconcile::start(&db.store, vec![Arc::new(chain(SMALL))], &tasks);
        let (planted, began) = (planted(SMALL), Instant::now());
        let mut found = BTreeSet::new();
        while found != planted && began.elapsed() < Duration::from_mins(1) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // What is taken in before its blocks are read waits.
            found = db.texts(FOUND).await.into_iter().collect();
        }
        assert_eq!(found, planted);
        assert!(tasks.drain(Duration::from_secs(10)).await);
    })
    .await;
}

fn planted(size: Size) -> BTreeSet<String> {
    let planted = (0..size.records).filter_map(|number| Some(named(size, size.kind(number)?, number)));
    planted.collect()
}

/// What each exception is about.
const FOUND: &str = "select r.state || ' ' || case r.state when 'unknown_on_chain' then r.tx
        when 'balance_mismatch' then r.asset || ' ' || r.pay_to else p.nonce end
    from reconciliations r left join payments p on p.id = r.payment_id where r.state <> 'matched'";

/// The same of what was planted.
fn named(size: Size, kind: &str, number: u64) -> String {
    let about = match kind {
        "unknown_on_chain" => format!("0xstray{number}"),
        "balance_mismatch" => {
            let Account { asset, holder } = size.account(number);
            format!("{asset} {holder}")
        }
        _ => format!("0x{number:064x}"),
    };
    format!("{kind} {about}")
}

const SMALL: Size = Size {
    records: 3_500,
    holders: 90,
    planted: 3,
};

#[tokio::test]
async fn reconciliation_finds_all_that_was_planted_and_invents_nothing() {
    finds_all_and_invents_nothing(SMALL).await;
}

#[tokio::test]
async fn accounts_of_which_some_were_read_further_than_others_are_read_together() {
    on_database(async |db| {
        load(&db, SMALL).await;
        let chain = || {
            let mut shown = chain(SMALL);
            // What came to an account before its first record is nobody's business, though its neighbours' blocks are read.
            let mut early = transfer(SMALL, 0);
            (early.account, early.nonce) = (SMALL.account(45), None);
            early.tx.0 = "0xearly".to_owned();
            let of_account = shown.transfers.get_mut(&early.account).unwrap();
            of_account.insert(0, early);
            shown
        };
        // Three groups of accounts up to the middle of the chain; then the others and all the rest, in small parts.
        let mut begun = chain();
        (begun.height, begun.scans_max) = (200, 3);
        let cut = reconciled(&db.store, begun).await;
        assert!(cut.is_err(), "{cut:?}");
        let mut rest = chain();
        rest.transfers_max = 150;
        reconciled(&db.store, rest).await.unwrap();
        let found: BTreeSet<String> = db.texts(FOUND).await.into_iter().collect();
        assert_eq!(found, planted(SMALL));
    })
    .await;
}

#[tokio::test]
async fn an_imbalance_is_named_once_though_its_step_was_cut_short_and_reads_further_when_it_is_taken_again() {
    // As few accounts as are read together.
    let size = Size {
        records: 500,
        holders: 20,
        planted: 3,
    };
    on_database(async move |db| {
        load(&db, size).await;
        let named = async || {
            let named = "reconciliations where state = 'balance_mismatch' and amount = 1";
            u64::try_from(db.count(named).await).unwrap()
        };
        let mut raw = db.raw().await;
        let cut = "alter table watched_accounts add constraint cut check (scanned_height < 10) not valid";
        execute(&mut raw, cut.into()).await.unwrap();
        let mut lower = chain(size);
        lower.height -= 10;
        let is_cut = reconciled(&db.store, lower).await;
        assert!(is_cut.is_err(), "{is_cut:?}");
        assert_eq!(named().await, size.planted);
        // Somebody handles them before it goes on, one of them when it was of another amount.
        let mend = "alter table watched_accounts drop constraint cut;
            update reconciliations set handled = 'resolve' where state = 'balance_mismatch';
            update reconciliations set amount = 2 where subject =
                (select min(subject) from reconciliations where state = 'balance_mismatch')";
        execute(&mut raw, mend.into()).await.unwrap();
        reconciled(&db.store, chain(size)).await.unwrap();
        assert_eq!(named().await, size.planted);
        let anew = "reconciliations where state = 'balance_mismatch' and handled is null";
        assert_eq!(db.count(anew).await, 1);
    })
    .await;
}

/// Prints how long it takes: `./dev test --release --test store -- --ignored --nocapture million`.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_million_records_of_a_hundred_thousand_accounts_are_reconciled() {
    let size = Size {
        records: 1_000_000,
        holders: 50_000,
        planted: 100,
    };
    finds_all_and_invents_nothing(size).await;
}

/// Holds a gateway's list of these records against them. Of each difference, `planted` are in it: a line without a payment, a
/// payment without a line, another amount, a line twice.
async fn finds_what_a_file_has_differently(records: u64, planted: u64) {
    on_database(async move |db| {
        let size = Size {
            records,
            holders: 100,
            planted: 0,
        };
        load(&db, size).await;
        let stride = records / (3 * planted);
        let mut file = "orderId,amountAtomic\n".to_owned();
        for number in 0..records {
            let amount = 10_000 + number % 90_000;
            let line = |order: &str, amount: u64| format!("{order},{amount}\n");
            let order = format!("order {number}");
            file += &match (number.is_multiple_of(stride), number / stride % 3) {
                (true, 0) => line(&format!("lost {number}"), amount),
                (true, 1) => line(&order, amount + 1),
                (true, _) => line(&order, amount) + &line(&order, amount),
                (false, _) => line(&order, amount),
            };
        }
        let lines = matching::read(Kind::Csv, file.as_bytes()).unwrap();
        let reports = Reports {
            store: db.store.clone(),
            decimals: Decimals::default(),
        };
        let began = Instant::now();
        let books = Books::new(reports, Vec::new());
        let counts = matching::match_all(&books, &lines, &Filter::default(), drop)
            .await
            .unwrap();
        println!(
            "{} lines held against {records} payments in {:?}",
            lines.len(),
            began.elapsed()
        );
        let expected = serde_json::json!({
            "matched": records - 2 * planted, "gatewayOnly": planted, "facilitatorOnly": planted,
            "mismatched": planted, "duplicate": planted,
        });
        assert_eq!(serde_json::to_value(counts).unwrap(), expected);
    })
    .await;
}

#[tokio::test]
async fn a_gateways_file_is_matched_line_by_line_and_both_ways() {
    finds_what_a_file_has_differently(1_800, 3).await;
}

/// Prints how long it takes: `./dev test --release --test store -- --ignored --nocapture largest`.
#[tokio::test]
#[ignore = "a measurement"]
async fn the_largest_file_of_a_gateway_is_matched() {
    finds_what_a_file_has_differently(99_900, 100).await;
}
