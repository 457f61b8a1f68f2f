//! The records at the size of years: pages at both ends, lookups, the feed, and an export. Only when asked for by name,
//! since loading ten million payments takes its time.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;

use crate::evm;
use crate::http::{Client, get};
use crate::table::{Row, aim, count, median, number};
use crate::world::{Database, Facilitator, Helper, Running, Scratch};
use crate::{Pace, progress};

const PAYMENTS: usize = 10_000_000;
const PAYMENTS_QUICK: usize = 1_000_000;

/// Payments that one statement loads.
const PART: usize = 250_000;

/// Requests behind each figure.
const ASKED: usize = 500;

/// Requests before those. The database makes a plan anew for the first five executions of a statement on each connection, and
/// the facilitator uses its connections in turn.
const WARM: usize = 100;

const PAGE: usize = 100;

/// Payments in their order: every two seconds from the start of 2026, by 100,000 payers to 100 merchants. Final but for one
/// in 500; `$1` and `$2` are the numbers of the first and of the last.
const LOAD: &str = "
    set session_replication_role = replica;
    set synchronous_commit = off;
    create temporary table part as
        select n, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as id, sha256(n::text::bytea) as key,
            '0x' || encode(sha256(('tx' || n / 10)::bytea), 'hex') as tx,
            timestamptz '2026-01-01T00:00:00Z' + n * interval '2 seconds' as at, n % 500 <> 0 as is_final
        from generate_series($1::bigint, $2::bigint) n;
    insert into payments (id, key, scheme, network, payer, pay_to, asset, amount, nonce, valid_after, valid_before, body, digest,
            envelope, resource_url, since_height, must_go_alone, created_at, merchant_reference, order_id)
        select id, key, 'exact', 'eip155:8453', '0x' || lpad(to_hex(n * 7919 % 100000), 40, '0'),
            'merchant-' || n % 100, '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', 10000 + n % 90000,
            '0x' || encode(key, 'hex'), 0, 2000000000, key, key, 'x402/2', 'https://shop.example/reports/' || n % 1000, n, false,
            at, 'INV-' || n, 'order ' || n
        from part;
    insert into settlements (payment_id, state, version, created_at, landed_tx, landed_log_index, landed_height, landed_hash,
            landed_time, landed_is_deep_enough, landed_is_final, confirmed_at, final_at)
        select id, case when is_final then 'final' else 'withdrawn' end, 3, at, case when is_final then tx end,
            case when is_final then n % 10 end, case when is_final then n end, case when is_final then '0x' || to_hex(n) end,
            case when is_final then extract(epoch from at)::bigint end, case when is_final then true end,
            case when is_final then true end, case when is_final then at end, case when is_final then at end
        from part;
    insert into payment_references (kind, value, payment_id) select 'idempotency_key', 'key-' || n, id from part where n % 10 = 0;
    insert into evidence (payment_id, version, claim, tx, log_index, block_height, block_hash, block_time, ours, created_at)
        select id, 3, 'landed', tx, n % 10, n, '0x' || to_hex(n), extract(epoch from at)::bigint, true, at from part where is_final;
    insert into ledger_entries (id, payment_id, version, purpose, stage, debit, credit, network, asset, amount, created_at)
        select id, id, 3, 'gas', 'posted', 'facilitator:gas', 'signer:0x1', 'eip155:8453', 'native', 94512000000, at from part
        where is_final;
    insert into events (payment_id, version, kind, body, created_at)
        select id, 3, 'payment.finalized', jsonb_build_object('state', 'final', 'tx', tx, 'network', 'eip155:8453'), at from part;
    drop table part;";

/// The indexes that no constraint stands on: built once after loading, instead of row by row.
const INDEXES: &str = "select coalesce(string_agg(i.indexdef, ';' order by i.indexname), '') from pg_indexes i
    where i.schemaname = 'public' and not exists (select 1 from pg_constraint c where c.conname = i.indexname)
        and i.tablename in ('payments', 'settlements', 'evidence', 'events', 'payment_references')";
const INDEX_DROPS: &str = "select coalesce(string_agg('drop index ' || i.indexname, ';'), '') from pg_indexes i
    where i.schemaname = 'public' and not exists (select 1 from pg_constraint c where c.conname = i.indexname)
        and i.tablename in ('payments', 'settlements', 'evidence', 'events', 'payment_references')";

/// What a report takes from the database, as its own client would take it: the most that an export can be.
const COPY: &str = "copy (select p.id, p.created_at, s.state, p.network, p.asset, p.payer, p.pay_to, p.amount, p.nonce,
        s.landed_tx, s.landed_log_index, s.landed_height, s.landed_time, s.confirmed_at, s.final_at, p.resource_url, p.memo,
        p.scheme, p.key, p.merchant_reference, p.order_id, p.metadata, g.amount
    from payments p join settlements s on s.payment_id = p.id
    left join ledger_entries g on g.payment_id = p.id and g.purpose = 'gas') to stdout (format csv)";

/// All rows about the books.
pub(crate) fn rows(pace: Pace, scratch: &Scratch) -> Vec<Row> {
    let payments = if pace.is_quick() { PAYMENTS_QUICK } else { PAYMENTS };
    let (stub, database) = (Helper::start(evm::SUBJECT.stub_role), Database::create("books"));
    let start = || Facilitator::start(scratch, &[(evm::SUBJECT.network)(stub.address)], &database);
    // The first start creates the schema.
    drop(start());
    load(&database, payments);
    let facilitator = start();
    // Reads most of what there is: what is measured after it is a database that was in use before.
    let mut rows = vec![exported(&facilitator, scratch, payments), copied(&database, payments)];
    rows.push(looked_up(&database, payments));
    let mut client = Client::connect(facilitator.address).unwrap();
    let questions = questions(&database, payments);
    rows.extend(
        questions
            .iter()
            .map(|(figure, ask)| answered(&mut client, figure, payments, ask)),
    );
    rows
}

fn load(database: &Database, payments: usize) {
    let began = Instant::now();
    let (indexes, drops) = (database.one(INDEXES), database.one(INDEX_DROPS));
    database.execute(&drops);
    for first in (0..payments).step_by(PART) {
        let last = (first + PART).min(payments) - 1;
        let part = LOAD.replace("$1", &first.to_string()).replace("$2", &last.to_string());
        database.execute(&part);
        progress(&format!(
            "{} payments loaded in {} s",
            count(last + 1),
            number(began.elapsed().as_secs_f64())
        ));
    }
    database.execute(&indexes);
    // As the server would have done by itself over the years.
    database.execute("vacuum analyze");
    database.execute("checkpoint");
    progress(&format!("indexed after {} s", number(began.elapsed().as_secs_f64())));
}

/// A figure, and the path of its request of this number.
type Question = (&'static str, Box<dyn Fn(usize) -> String>);

fn questions(database: &Database, payments: usize) -> Vec<Question> {
    let before_last = payments - PAGE - ASKED - WARM;
    let place = format!(
        "select lpad(to_hex(written_by::text::bigint), 16, '0') || '00' || lpad(to_hex(seq), 16, '0') from events
            where payment_id = ('01900000-0000-7000-8000-' || lpad(to_hex({before_last}), 12, '0'))::uuid"
    );
    let last_events = database.one(&place);
    let any = move |number| any(number, payments);
    vec![
        (
            "list, first page",
            Box::new(|_| format!("/v1/settlements?limit={PAGE}")),
        ),
        (
            "list, last page",
            Box::new(move |number| format!("/v1/settlements?limit={PAGE}&cursor={}", cursor(before_last + number))),
        ),
        (
            "list of a merchant, last page",
            Box::new(move |number| {
                let late = cursor(payments.saturating_sub(100 * (PAGE + 1)));
                format!(
                    "/v1/settlements?limit={PAGE}&payTo=merchant-{}&cursor={late}",
                    number % 100
                )
            }),
        ),
        (
            "list of what was withdrawn, last page",
            Box::new(move |_| {
                let late = cursor(payments.saturating_sub(500 * (PAGE + 1)));
                format!("/v1/settlements?limit={PAGE}&state=withdrawn&cursor={late}")
            }),
        ),
        (
            "lookup by order",
            Box::new(move |number| format!("/payments/lookup?orderId=order%20{}", any(number))),
        ),
        (
            "lookup by idempotency key",
            Box::new(move |number| format!("/payments/lookup?idempotencyKey=key-{}", any(number) / 10 * 10)),
        ),
        (
            "lookup by id",
            Box::new(move |number| format!("/v1/settlements/{}", id(any(number)))),
        ),
        ("feed, first page", Box::new(|_| format!("/v1/events?limit={PAGE}"))),
        (
            "feed, last page",
            Box::new(move |_| format!("/v1/events?limit={PAGE}&after={last_events}")),
        ),
    ]
}

/// The UUID of a payment, as a number.
fn uuid(number: usize) -> u128 {
    0x0190_0000_0000_7000_8000_0000_0000_0000 + number as u128
}

/// A payment's id, in Crockford's base32.
fn id(number: usize) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let uuid = uuid(number);
    let digits = (0..26)
        .rev()
        .map(|at| char::from(DIGITS[(uuid >> (5 * at)) as usize & 31]));
    format!("pay_{}", digits.collect::<String>())
}

/// The place after a payment in the order of creation.
fn cursor(number: usize) -> String {
    let micros = (1_767_225_600 + 2 * number as u64) * 1_000_000;
    format!("{micros:016x}{:032x}", uuid(number))
}

/// Spread over all of them, and no two alike.
fn any(number: usize, payments: usize) -> usize {
    (number * 7_919 + 1) * 104_729 % payments
}

fn answered(client: &mut Client, figure: &str, payments: usize, path: &dyn Fn(usize) -> String) -> Row {
    for number in ASKED..ASKED + WARM {
        client.ask(&get(&path(number))).unwrap();
    }
    let mut took_ms: Vec<f64> = (0..ASKED)
        .map(|number| {
            let (request, began) = (get(&path(number)), Instant::now());
            let (status, body) = client.ask(&request).unwrap();
            let took = began.elapsed();
            assert!(
                status == 200 && body.len() > 100,
                "{figure}: {status} {}",
                String::from_utf8_lossy(body)
            );
            took.as_secs_f64() * 1e3
        })
        .collect();
    let p99 = p99(&mut took_ms);
    progress(&format!("{figure}: {} ms at p99", number(p99)));
    Row {
        figure: format!("{figure}, {} payments", count(payments)),
        connections: Some(1),
        p50_ms: Some(median(took_ms)),
        p99_ms: Some(p99),
        aim: aim("p99 at most 5 ms", p99 <= 5.0),
        ..Row::default()
    }
}

fn p99(took_ms: &mut [f64]) -> f64 {
    took_ms.sort_by(f64::total_cmp);
    took_ms[(took_ms.len() - 1) * 99 / 100]
}

/// What the least that can be asked of the database takes, by the same driver.
fn looked_up(database: &Database, payments: usize) -> Row {
    let mut took_ms = database.with(async |connection| {
        let mut took_ms = Vec::new();
        for number in 0..ASKED {
            let began = Instant::now();
            let id = sqlx::types::Uuid::from_u128(uuid(any(number, payments)));
            let text: String = sqlx::query_scalar("select nonce from payments where id = $1")
                .bind(id)
                .fetch_one(&mut *connection)
                .await?;
            assert!(!text.is_empty());
            took_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
        Ok(took_ms)
    });
    let p99 = p99(&mut took_ms);
    Row {
        figure: format!(
            "limit: one row by its id, by the driver alone, {} payments",
            count(payments)
        ),
        connections: Some(1),
        p50_ms: Some(median(took_ms)),
        p99_ms: Some(p99),
        ..Row::default()
    }
}

fn copied(database: &Database, payments: usize) -> Row {
    let began = Instant::now();
    let bytes = database.with(async |connection| {
        let mut bytes = 0;
        let mut stream = connection.copy_out_raw(COPY).await?;
        while let Some(some) = stream.try_next().await? {
            bytes += some.len();
        }
        Ok(bytes)
    });
    Row {
        figure: format!(
            "limit: one plain COPY of the same columns, {} payments",
            count(payments)
        ),
        rate: Some(payments as f64 / began.elapsed().as_secs_f64()),
        more: format!("{} MB, in no order", bytes / 1_000_000),
        ..Row::default()
    }
}

fn exported(facilitator: &Facilitator, scratch: &Scratch, payments: usize) -> Row {
    let (file, _) = scratch.file("export.csv");
    let arguments = ["--output", file.to_str().unwrap()];
    let mut command: Command = facilitator.subcommand("report", &arguments);
    let began = Instant::now();
    let mut process = Running(command.stdout(Stdio::null()).spawn().unwrap());
    let (mut memory, mut cpu) = (0, 0.0_f64);
    while !process.has_ended() {
        let usage = process.usage();
        memory = memory.max(usage.resident_max);
        cpu = cpu.max(usage.cpu);
        thread::sleep(Duration::from_millis(20));
    }
    let rate = payments as f64 / began.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(&file).unwrap().len();
    std::fs::remove_file(&file).unwrap();
    Row {
        figure: format!("export to CSV, {} payments", count(payments)),
        rate: Some(rate),
        more: format!(
            "{} MB of memory at most, {} MB written, {} s of its own processor time",
            memory / 1_000_000,
            bytes / 1_000_000,
            number(cpu)
        ),
        aim: aim("at least 200,000 rows/s", rate >= 200_000.0),
        ..Row::default()
    }
}
