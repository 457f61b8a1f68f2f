//! What the facilitator takes with a network of each chain: memory, time to start, size on disk.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::table::{Row, aim, count, median, number};
use crate::world::{Database, FACILITATOR, Facilitator, Helper, Scratch};
use crate::{Pace, evm, progress, solana, verify};

const STARTS: usize = 5;
const MEGABYTE: f64 = 1e6;

/// All rows about the footprint.
pub(crate) fn rows(pace: Pace, scratch: &Scratch) -> Vec<Row> {
    let subjects = [&evm::SUBJECT, &solana::SUBJECT];
    let stubs = subjects.map(|it| (it, Helper::start(it.stub_role)));
    let database = Database::create("footprint");
    let start = || {
        let networks = stubs.each_ref().map(|(it, stub)| (it.network)(stub.address));
        Facilitator::start(scratch, &networks, &database)
    };
    // The first start creates the schema, which happens once in a database's life.
    drop(start());
    let took = median((0..STARTS).map(|_| start().ready_after.as_secs_f64()));
    progress(&format!("ready after {} s", number(took)));

    let facilitator = start();
    thread::sleep(Duration::from_secs(1));
    let idle = facilitator.process.usage().resident as f64 / MEGABYTE;
    let mut good = 0;
    for subject in subjects {
        let requests = Arc::new((subject.requests)(2_000));
        good += verify::load(pace, facilitator.address, &requests, verify::VALID, 64).good;
    }
    let peak = facilitator.process.usage().resident_max as f64 / MEGABYTE;
    progress(&format!("{} MB idle, {} MB at most", number(idle), number(peak)));
    let binary = std::fs::metadata(FACILITATOR).unwrap().len() as f64 / MEGABYTE;

    let row = |figure: &str, more: String, aim: String| Row {
        figure: figure.to_owned(),
        more,
        aim,
        ..Row::default()
    };
    vec![
        row(
            "start, schema up to date",
            format!("{} s from exec to ready", number(took)),
            aim("at most 0.3 s", took <= 0.3),
        ),
        row(
            "memory, idle",
            format!("{} MB", number(idle)),
            aim("at most 40 MB", idle <= 40.0),
        ),
        row(
            "memory at most, /verify over 64 connections",
            format!("{} MB after {} answers", number(peak), count(good)),
            String::new(),
        ),
        row("release binary", format!("{} MB", number(binary)), String::new()),
    ]
}
