//! Time as payments know it: whole seconds, passed in, never read here.

use serde::{Deserialize, Serialize};

use crate::domain::id::PaymentId;

/// Unix seconds, the resolution of `block.timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This instant and `seconds` more, stopping at the end of time instead of wrapping.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where the current time and the names made of it come from; the one door through which tests choose both.
pub trait Clock: Send + Sync {
    /// The current Unix time.
    fn now(&self) -> Timestamp;

    /// A fresh identifier, ordered after all earlier ones of this process.
    fn mint(&self) -> PaymentId {
        PaymentId::mint()
    }
}
