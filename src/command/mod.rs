//! The subcommands: how the parts are put together. Everything else is told what it needs; only this module knows
//! all of it.

pub mod lanes;
pub mod report;
pub mod serve;
