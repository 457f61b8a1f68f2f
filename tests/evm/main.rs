//! The EVM rail against a real node on the prepared chain. `./dev test` says where both are.

#[path = "../support/mod.rs"]
mod support;

mod company;
mod rail;
mod settle;
mod start;
mod verify;
