#![doc = include_str!("../ARCHITECTURE.md")]

pub mod app;
pub mod chain;
pub mod domain;
pub mod store;
pub mod task;
pub mod wire;
