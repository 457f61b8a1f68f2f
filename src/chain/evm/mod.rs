//! EVM chains.

#![expect(dead_code, reason = "the rail that uses these parts is written beside them")]

mod body;
mod eip3009;
mod evidence;
mod lane;
mod node;
mod rpc;
mod search;
#[cfg(test)]
mod trials;
mod watch;
