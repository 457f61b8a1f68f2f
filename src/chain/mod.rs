//! How a chain does it: one folder for each family of chains.

mod evm;
