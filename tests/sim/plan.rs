//! What one seed plays: how much, and which faults. Each seed draws its own set of faults (swarm testing), so that rare
//! meetings of two of them are not drowned by all the others.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::dice::Dice;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The store does not take part, and nothing happens.
    StoreDown,
    /// A write's answer is lost; it happened or not.
    StoreUnknown,
    /// Nodes do not answer.
    NodeDown,
    /// Nodes are some blocks behind.
    Lag,
    /// Bytes handed over do not arrive, or the answer does not.
    Send,
    /// Blocks are taken back, with or without what was in them.
    Reorg,
    /// Nodes forget what waits.
    Drop,
    /// No blocks while time goes on.
    Halt,
    /// The price of a block jumps.
    Price,
    /// Others send the payers' authorizations first.
    FrontRun,
    /// Payers cancel.
    Cancel,
    /// Payers spend the money elsewhere.
    Broke,
    /// Processes are killed and started anew.
    Kill,
    /// Processes stand still and go on.
    Pause,
    /// Clocks disagree.
    Skew,
}

impl Fault {
    pub(crate) const ALL: [Self; 15] = [
        Self::StoreDown,
        Self::StoreUnknown,
        Self::NodeDown,
        Self::Lag,
        Self::Send,
        Self::Reorg,
        Self::Drop,
        Self::Halt,
        Self::Price,
        Self::FrontRun,
        Self::Cancel,
        Self::Broke,
        Self::Kill,
        Self::Pause,
        Self::Skew,
    ];
}

/// What is played. Its text is what replays it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) payments: u64,
    pub(crate) faults: BTreeSet<Fault>,
}

impl Plan {
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            seed,
            payments: dice.within(4, 24),
            faults: Fault::ALL.into_iter().filter(|_| dice.chance(350)).collect(),
        }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(|it| format!("{it:?}")).collect();
        write!(f, "{}/{}/{}", self.seed, self.payments, faults.join("+"))
    }
}

impl FromStr for Plan {
    type Err = std::num::ParseIntError;

    /// A seed alone, or all that [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let drawn = Self::drawn(parts.next().unwrap_or_default().parse()?);
        let (Some(payments), Some(faults)) = (parts.next(), parts.next()) else {
            return Ok(drawn);
        };
        let named: Vec<&str> = faults.split('+').collect();
        Ok(Self {
            payments: payments.parse()?,
            faults: Fault::ALL
                .into_iter()
                .filter(|it| named.contains(&format!("{it:?}").as_str()))
                .collect(),
            ..drawn
        })
    }
}
