//! The facilitator from outside: the real binary between a real node, a real Postgres and the official clients, with
//! faults injected where no part of it can see them coming. Run with `./dev test`.
#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a test ends at the first surprise, and times and places are its own"
)]

#[path = "../support/mod.rs"]
mod support;

mod batch;
mod budget;
mod chain;
mod chaos;
mod clients;
mod crash;
mod envelope;
mod faults;
mod harness;
mod lost;
mod networks;
mod records;
mod replay;
mod replicas;
mod secrets;
mod settle;
mod solana;
mod startup;
mod stuck;
mod verify;
mod waiting;
