//! The same on Solana.

mod attacks;
mod harness;
