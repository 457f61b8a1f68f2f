//! The same on Solana: a node, payments whose payer builds the whole transaction, and books held against the chain.

pub(crate) mod books;
pub(crate) mod lab;
pub(crate) mod payer;
pub(crate) mod programs;
pub(crate) mod surfpool;
pub(crate) mod transaction;
pub(crate) mod world;
