//! How long commands tell what they find: a line for each on standard output, and now and then how far they are.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::time::{Duration, Instant};

/// How often the progress is said to what is no terminal.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// Prints lines and counts them. What cannot be printed is told at the end.
pub(super) struct Findings {
    out: StdoutLock<'static>,
    printed: io::Result<()>,
    count: u64,
}

impl Findings {
    pub(super) fn new() -> Self {
        Self {
            out: io::stdout().lock(),
            printed: Ok(()),
            count: 0,
        }
    }

    pub(super) fn tell(&mut self, line: &str) {
        self.count = self.count.saturating_add(1);
        if self.printed.is_ok() {
            self.printed = writeln!(self.out, "{line}");
        }
    }

    /// How many there were.
    ///
    /// # Errors
    /// Not all of them could be printed.
    pub(super) fn end(self) -> io::Result<u64> {
        self.printed.map(|()| self.count)
    }
}

/// Says how far a command is.
pub(super) struct Progress(Instant);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    pub(super) fn say(&mut self, words: impl FnOnce() -> String) {
        if self.0.elapsed() >= TOLD_EVERY || io::stderr().is_terminal() {
            self.0 = Instant::now();
            eprintln!("{}", words());
        }
    }
}
