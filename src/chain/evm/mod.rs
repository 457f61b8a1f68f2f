//! EVM chains.

#![expect(dead_code, reason = "the rail that uses these parts is written beside them")]

mod body;
mod coalesce;
mod eip3009;
mod finding;
mod lane;
mod lens;
mod listing;
mod payload;
mod reader;
mod rpc;
mod settings;
mod signature;
