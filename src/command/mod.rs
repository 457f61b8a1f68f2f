//! The subcommands: how the parts are put together. Everything else is told what it needs; only this module knows
//! all of it.

pub mod admin;
pub mod audit;
mod budgets;
pub mod doctor;
pub mod health;
pub mod lanes;
pub mod matching;
pub mod receipt;
pub mod reconcile;
pub mod reference;
pub mod refund;
pub mod report;
pub mod screening;
pub mod serve;
pub mod statement;
mod told;
pub mod undumped;
