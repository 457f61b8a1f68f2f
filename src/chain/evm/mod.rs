//! EVM chains.

#![expect(dead_code, reason = "the rail that uses these parts is written beside them")]

mod lane;
mod rpc;
