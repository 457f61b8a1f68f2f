//! What a payment is: pure, synchronous, no I/O and no clock reads.
//!
//! Nothing here knows HTTP, SQL, JSON dialects or a chain's encoding. Rails report facts
//! ([`rail::Facts`], [`rail::Observation`]); this module judges them ([`verdict`], [`settlement`]).
//! Keeping judgement in plain functions over enums is what lets every rule be tested by a table.

pub mod amount;
pub mod authorization;
pub mod booking;
pub mod budget;
pub mod calendar;
pub mod claim;
pub mod custody;
pub mod event;
pub mod facts;
pub mod flaw;
pub mod id;
pub mod labels;
pub mod lease;
pub mod merkle;
pub mod network;
pub mod order;
pub mod outcome;
pub mod posting;
pub mod quote;
pub mod rail;
pub mod receipt;
pub mod reconciliation;
pub mod refund;
pub mod rejection;
pub mod request;
pub mod screening;
pub mod settlement;
pub mod signing;
pub mod statement;
pub mod tenant;
pub mod time;
pub mod token;
pub mod verdict;
