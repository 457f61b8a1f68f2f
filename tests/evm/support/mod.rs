//! What integration tests share: a real node, payments, and a way to come between the two.

pub(crate) mod anvil;
pub(crate) mod pay;
pub(crate) mod proxy;
