//! The store against a real Postgres, each test in a database of its own.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test reads where its database is, and spawns the callers that compete"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a test that overflows is a test that fails"
)]

mod abandoning;
mod admin_log;
mod advancing;
mod budgets;
mod conformance;
mod dialect;
#[expect(dead_code, reason = "the simulator throws more of them")]
#[path = "../sim/dice.rs"]
mod dice;
mod feed;
mod lanes;
mod leases;
mod moved;
mod reconciling;
mod refunds;
mod replacing;
mod report_deliveries;
mod report_jobs;
mod reports;
mod reserving;
mod schema;
mod screening;
mod shown;
#[expect(dead_code, reason = "the simulator reads more of it")]
#[path = "../sim/store/mod.rs"]
mod sim_store;
mod statements;
mod sums;
mod support;
mod tenant_budgets;
mod tenants;
