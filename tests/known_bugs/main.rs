//! Bugs that others had in public: each is done to the running facilitator as it was done to them. The list with all
//! references is `README.md`. Run with `./dev test --test known_bugs`.
#![cfg(test)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a test ends at the first surprise, and times and places are its own"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "../support/mod.rs"]
mod support;

mod answers_without_a_reason;
mod domain_of_another_token;
mod duplicates_that_buy_twice;
mod fee_payer_drained;
mod gas_spent_for_strangers;
mod instructions_not_understood;
mod list;
mod nonces_that_collide;
mod payments_burned_by_faults;
mod requests_refused_for_no_fault;
mod success_without_the_transfer;
mod unknown_called_failed;
mod verified_is_not_paid;
