#![doc = include_str!("../ARCHITECTURE.md")]

pub mod chain;
pub mod domain;
pub mod task;
