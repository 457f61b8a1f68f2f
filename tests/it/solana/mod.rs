//! The same on Solana: the real binary between a real node, a real Postgres and the official clients.

mod attacks;
mod both_chains;
mod chaos;
mod clients;
mod crash;
mod fates;
mod fee_payers;
mod harness;
mod records;
mod refunds;
mod replicas;
mod secrets;
mod settle;
mod startup;
mod verify;
