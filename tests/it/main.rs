//! The facilitator from outside: the real binary between a real node, a real Postgres and the official clients, with
//! faults injected where no part of it can see them coming. Run with `./dev test`.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod harness;
