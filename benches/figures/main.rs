//! Figures of the release binary beside the limits of the machine, in one run: `./dev bench [--quick] [verify]
//! [settle] [webhooks] [footprint] [books] [evm] [solana]`. One table at the end; progress on the way.
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

mod books;
mod evm;
mod footprint;
mod http;
mod limit;
mod load;
mod node;
mod solana;
mod stub;
mod table;
mod verify;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use table::Row;
use world::Scratch;

/// A group of figures: the words that ask for it, and what measures it.
struct Group {
    what: &'static str,
    chain: Option<&'static str>,
    rows: fn(Pace, &Scratch) -> Vec<Row>,
    /// Takes so long that it has to be asked for by name.
    is_long: bool,
}

const GROUPS: [Group; 7] = [
    Group {
        what: "verify",
        chain: Some("evm"),
        rows: |pace, scratch| verify::rows(&evm::SUBJECT, pace, scratch),
        is_long: false,
    },
    Group {
        what: "verify",
        chain: Some("solana"),
        rows: |pace, scratch| verify::rows(&solana::SUBJECT, pace, scratch),
        is_long: false,
    },
    Group {
        what: "settle",
        chain: Some("evm"),
        rows: evm::settle::rows,
        is_long: false,
    },
    Group {
        what: "settle",
        chain: Some("solana"),
        rows: solana::settle::rows,
        is_long: false,
    },
    Group {
        what: "webhooks",
        chain: Some("evm"),
        rows: evm::webhooks::rows,
        is_long: false,
    },
    Group {
        what: "footprint",
        chain: None,
        rows: footprint::rows,
        is_long: false,
    },
    Group {
        what: "books",
        chain: None,
        rows: books::rows,
        is_long: true,
    },
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

    pub(crate) const fn is_quick(self) -> bool {
        self.runs == Self::QUICK.runs
    }

    pub(crate) fn share_of(self, payments: usize) -> usize {
        payments / self.divisor
    }
}

/// Says on stderr how far it has come.
pub(crate) fn progress(words: &str) {
    eprintln!("    {words}");
}

/// What this program does instead when one of its own kind started it.
fn role(name: &str) -> Option<fn()> {
    match name {
        "--evm-limit" => Some(evm::limit::serve),
        "--evm-stub" => Some(evm::stub::serve),
        "--solana-limit" => Some(solana::limit::serve),
        "--solana-stub" => Some(solana::stub::serve),
        _ => None,
    }
}

fn main() -> ExitCode {
    let (mut pace, mut kinds, mut chains) = (Pace::FULL, Vec::new(), Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // Said by cargo to every benchmark.
            "--bench" => {}
            "--quick" => pace = Pace::QUICK,
            name if GROUPS.iter().any(|it| it.what == name) => kinds.push(argument),
            name if GROUPS.iter().any(|it| it.chain == Some(name)) => chains.push(argument),
            other => {
                if let Some(serve) = role(other) {
                    serve();
                    return ExitCode::SUCCESS;
                }
                eprintln!(
                    "figures: no {other}; it takes --quick, verify, settle, webhooks, footprint, books, evm, solana"
                );
                return ExitCode::FAILURE;
            }
        }
    }
    let asked = |words: &[String], word: &str| words.is_empty() || words.iter().any(|it| it == word);
    let (began, scratch) = (Instant::now(), Scratch::new());
    let mut rows = Vec::new();
    for group in GROUPS {
        let is_wanted = asked(&kinds, group.what) && !(group.is_long && kinds.is_empty());
        if is_wanted && group.chain.is_none_or(|it| asked(&chains, it)) {
            rows.extend((group.rows)(pace, &scratch));
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
