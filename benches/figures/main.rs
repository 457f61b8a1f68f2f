//! Figures of the release binary beside the limits of the machine, in one run: `./dev bench [--quick] [verify]
//! [settle] [footprint]`. One table at the end; progress on the way.
//!
//! Client, facilitator, node and database share the machine, all on loopback, so absolute figures say little. Every
//! figure is therefore held against a limit that was measured in between, with the same client; each is the median
//! of its runs. Nothing is asserted about time: a figure that misses its aim says so.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark that meets something unexpected has nothing better to do than to end"
)]

mod footprint;
mod http;
mod limit;
mod load;
mod node;
mod payment;
mod settle;
mod stub;
mod table;
mod verify;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use payment::Chain;
use table::Row;
use world::Scratch;

/// A group of figures and what measures it.
type Group = (&'static str, fn(Pace, &Scratch, &Chain) -> Vec<Row>);

const GROUPS: [Group; 3] = [
    ("verify", verify::rows),
    ("settle", settle::rows),
    ("footprint", footprint::rows),
];

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Of how many runs each figure is the median.
    pub(crate) runs: usize,
    /// How long the counted part of a timed run takes.
    pub(crate) counted: Duration,
    /// Runs of a given number of payments are cut down to this part of it: 1 / `divisor`.
    divisor: usize,
}

impl Pace {
    const FULL: Self = Self {
        runs: 3,
        counted: Duration::from_millis(2_500),
        divisor: 1,
    };
    const QUICK: Self = Self {
        runs: 1,
        counted: Duration::from_millis(1_500),
        divisor: 2,
    };

    pub(crate) fn share_of(self, payments: usize) -> usize {
        payments / self.divisor
    }
}

/// Says on stderr how far it has come.
pub(crate) fn progress(words: &str) {
    eprintln!("    {words}");
}

fn main() -> ExitCode {
    let (mut pace, mut wanted) = (Pace::FULL, Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // Roles of this program's own child processes.
            "--stub" => {
                stub::serve();
                return ExitCode::SUCCESS;
            }
            "--limit" => {
                limit::serve();
                return ExitCode::SUCCESS;
            }
            // Said by cargo to every benchmark.
            "--bench" => {}
            "--quick" => pace = Pace::QUICK,
            name if GROUPS.iter().any(|(group, _)| *group == name) => wanted.push(argument),
            other => {
                eprintln!("figures: no {other}; it takes --quick, verify, settle, footprint");
                return ExitCode::FAILURE;
            }
        }
    }
    let (began, scratch, chain) = (Instant::now(), Scratch::new(), Chain::load());
    let mut rows = Vec::new();
    for (name, measure) in GROUPS {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            rows.extend(measure(pace, &scratch, &chain));
        }
    }
    progress(&format!(
        "{} s; each figure is the median of {} run(s)",
        table::number(began.elapsed().as_secs_f64()),
        pace.runs
    ));
    print!("{}", table::render(&rows));
    ExitCode::SUCCESS
}
