#![doc = include_str!("../ARCHITECTURE.md")]

pub mod app;
pub mod chain;
pub mod command;
pub mod config;
pub mod domain;
pub mod export;
#[cfg(any(test, fuzzing))]
#[expect(clippy::panic, reason = "a property that does not hold is told by a panic")]
pub mod fuzz;
pub mod http;
pub mod outbound;
pub mod seeded;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod trace;
pub mod wire;
