//! What one seed plays: how much, on which networks, and which faults. Each seed draws its own set of faults (swarm testing), so that rare
//! meetings of two of them are not drowned by all the others.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::dice::Dice;

/// A network that payments are made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Network {
    Evm,
    Solana,
}

impl Network {
    const ALL: [Self; 2] = [Self::Evm, Self::Solana];
}

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
    /// Nodes of Solana know only what is new.
    Forget,
    /// Leaders of Solana sit on what they were handed until its blockhash is nearly too old.
    Hold,
    /// One of three endpoints, of which two must agree, shows what is not so.
    Liar,
    /// Signers have nothing left to pay with, for a while.
    Drained,
    /// What carries several payments fails as a whole.
    Batch,
    /// Processes are asked to stop, and others take their place.
    Stop,
    /// What was signed for one resource is presented for another.
    Resale,
}

impl Fault {
    pub(crate) const ALL: [Self; 22] = [
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
        Self::Forget,
        Self::Hold,
        Self::Liar,
        Self::Drained,
        Self::Batch,
        Self::Stop,
        Self::Resale,
    ];
}

/// What is played. Its text is what replays it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) payments: u64,
    /// At least one.
    pub(crate) networks: BTreeSet<Network>,
    pub(crate) faults: BTreeSet<Fault>,
}

impl Plan {
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let payments = dice.within(4, 24);
        let faults = Fault::ALL.into_iter().filter(|_| dice.chance(350)).collect();
        let networks: &[Network] = match dice.below(4) {
            0 => &[Network::Evm],
            1 => &[Network::Solana],
            _ => &Network::ALL,
        };
        Self {
            seed,
            payments,
            networks: networks.iter().copied().collect(),
            faults,
        }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (networks, faults) = (joined(&self.networks), joined(&self.faults));
        write!(f, "{}/{}/{networks}/{faults}", self.seed, self.payments)
    }
}

fn joined<T: fmt::Debug>(of: &BTreeSet<T>) -> String {
    let words: Vec<String> = of.iter().map(|it| format!("{it:?}")).collect();
    words.join("+")
}

/// Those of all that the text names.
fn named<T: fmt::Debug + Ord>(all: impl IntoIterator<Item = T>, text: &str) -> BTreeSet<T> {
    let words: Vec<&str> = text.split('+').collect();
    all.into_iter()
        .filter(|it| words.contains(&format!("{it:?}").as_str()))
        .collect()
}

impl FromStr for Plan {
    type Err = std::num::ParseIntError;

    /// A seed alone, or all that [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let drawn = Self::drawn(parts.next().unwrap_or_default().parse()?);
        let (Some(payments), Some(networks), Some(faults)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(drawn);
        };
        Ok(Self {
            payments: payments.parse()?,
            networks: named(Network::ALL, networks),
            faults: named(Fault::ALL, faults),
            ..drawn
        })
    }
}
