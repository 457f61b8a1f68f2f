//! The EVM rail against a real node on the prepared chain. `./dev test` says where both are.
#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows is a test that fails"
)]

mod support;

mod company;
mod rail;
mod settle;
mod start;
mod verify;
