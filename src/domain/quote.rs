//! What a transaction costs now.

/// What a transaction costs now, in the rail's own smallest unit (wei on EVM).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// The least that a block takes for a unit of work (EVM: the base fee). Above `fee_max` when the chain asks for
    /// more than may be paid: nothing signed for this quote would be mined.
    pub floor: u128,
    /// The most to pay for a unit of work.
    pub fee_max: u128,
    /// Of that, the tip to the block's producer.
    pub tip: u128,
    /// The most that may ever be paid for a unit of work, also by what takes a transaction's place.
    pub fee_cap: u128,
    /// What the chain asks for each 1,024 bytes of a transaction on top of its work (the OP stack's fee for data on the
    /// chain underneath), and the most to pay for them; 0 where it asks for nothing.
    pub data: DataFee,
}

/// The price of 1,024 bytes of a transaction, as far as it is not in the price of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DataFee {
    /// What is asked now.
    pub now: u128,
    /// The most to pay. A transaction does not state it, so it is held by not signing while more is asked.
    pub max: u128,
}

impl Quote {
    /// Whether a transaction signed for it could be mined now.
    #[must_use]
    pub const fn is_affordable(&self) -> bool {
        self.floor <= self.fee_max && self.data.now <= self.data.max
    }
}
