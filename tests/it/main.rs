//! The facilitator from outside: the real binary between a real node, a real Postgres and the official clients, with
//! faults injected where no part of it can see them coming. Run with `./dev test`.
#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a test ends at the first surprise, and times and places are its own"
)]

#[path = "../sim/dice.rs"]
#[expect(dead_code, reason = "the simulator throws in more ways")]
mod dice;
#[path = "../openapi/schema.rs"]
mod schema;
#[path = "../support/mod.rs"]
mod support;

mod admin;
mod audit;
mod batch;
mod budget;
mod chain;
mod chaos;
mod claims;
mod clients;
mod crash;
mod custody;
mod database;
mod deliveries;
mod endpoints;
mod envelope;
mod events;
mod exports;
mod faults;
mod foreign;
mod forks;
mod gateway;
mod harness;
mod hosted;
mod limits;
mod load;
mod lost;
mod matching;
mod mutate;
mod networks;
mod observed;
mod operator;
mod pooler;
mod receipts;
mod reconcile;
mod records;
mod references;
mod refunds;
mod repaying;
mod replay;
mod replicas;
mod reports;
mod rolling;
mod screening;
mod secrets;
mod settle;
mod solana;
mod startup;
mod statements;
mod stuck;
mod tenants;
mod traces;
mod transport;
mod turmoil;
mod verify;
mod waiting;
mod wallets;
mod webhooks;
