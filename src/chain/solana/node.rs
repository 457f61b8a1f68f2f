//! One cluster's node: many questions in one round trip, and the answers that several parts of this rail read.
//!
//! Knows the node's dialect and nothing of payments. Questions of one round trip go in a JSON-RPC batch where the node
//! takes batches, and otherwise as requests of their own at the same time: public nodes and local ones differ here,
//! and nobody who asks has to care.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use solana_hash::Hash;
use solana_pubkey::Pubkey;

use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::rail::RailFault;

/// How many requests are under way at once for one round trip on a node that takes no batches.
const REQUESTS_AT_ONCE: usize = 24;

/// How many accounts one `getMultipleAccounts` may name (Solana JSON-RPC, getMultipleAccounts).
pub(super) const ACCOUNTS_MAX: usize = 100;

/// For how many blocks after its own a blockhash is good (agave `MAX_PROCESSING_AGE`).
pub(super) const BLOCKHASH_BLOCKS: u64 = 150;

/// The answer to one question: its result as the node wrote it, or the node's error.
pub(super) type Answer = Result<Box<RawValue>, RpcError>;

/// How one cluster's node is asked.
#[derive(Debug)]
pub(super) struct Node {
    rpc: Pool,
    batches: bool,
}

/// An account as the node shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Account {
    /// What it holds, in lamports.
    pub(super) lamports: u64,
    /// The program that it belongs to.
    #[serde(deserialize_with = "from_text")]
    pub(super) owner: Pubkey,
    /// Its data, or the part that was asked for.
    #[serde(deserialize_with = "bytes")]
    pub(super) data: Vec<u8>,
}

/// A result together with the slot that it holds for.
#[derive(Debug, Deserialize)]
pub(super) struct InContext<T> {
    /// What holds.
    pub(super) value: T,
}

/// The newest blockhash at some commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LatestBlockhash {
    /// The hash.
    #[serde(deserialize_with = "from_text")]
    pub(super) blockhash: Hash,
    /// The last block height at which a transaction that names it can land.
    pub(super) last_valid_block_height: u64,
}

/// What happened when a transaction was tried.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Simulated {
    /// Why it failed, in the runtime's own form (agave `TransactionError`); none when it succeeded.
    pub(super) err: Option<Box<RawValue>>,
    /// What the programs said.
    #[serde(default)]
    pub(super) logs: Option<Vec<String>>,
    /// What the programs called, where that was asked for: the RPC's `UiInnerInstructions`, unread.
    #[serde(default, rename = "innerInstructions")]
    pub(super) inner: Option<Box<RawValue>>,
}

/// How far a block must have come for its state to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AsOf {
    /// The node's newest block; it may still be dropped.
    Processed,
    /// Two thirds of the stake have voted on it.
    Confirmed,
    /// It can no longer be undone.
    Finalized,
}

impl AsOf {
    /// The RPC's name of it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Confirmed => "confirmed",
            Self::Finalized => "finalized",
        }
    }
}

impl Node {
    /// Asks this node, in batches if it takes them.
    pub(super) const fn new(rpc: Pool, batches: bool) -> Self {
        Self { rpc, batches }
    }

    /// The same cluster through another view of its endpoints.
    pub(super) const fn through(&self, rpc: Pool) -> Self {
        Self::new(rpc, self.batches)
    }

    /// The client below.
    pub(super) const fn rpc(&self) -> &Pool {
        &self.rpc
    }

    /// The answers to all the questions, in their order, from one round trip. For reads only: a question may be
    /// asked again in a smaller batch when the answers are too large together.
    ///
    /// # Errors
    /// A fault when any question went without an answer of its own.
    pub(super) async fn ask(&self, operation: &'static str, calls: &[Call]) -> Result<Vec<Answer>, RailFault> {
        if self.batches && calls.len() > 1 {
            return self.rpc.batch(operation, calls).await;
        }
        let requests: Vec<_> = calls.iter().map(|call| self.ask_alone(operation, call)).collect();
        stream::iter(requests).buffered(REQUESTS_AT_ONCE).try_collect().await
    }

    async fn ask_alone(&self, operation: &'static str, call: &Call) -> Result<Answer, RailFault> {
        match self.rpc.call(operation, call.method, &call.params).await {
            Err(RpcError::Fault(fault)) => Err(fault),
            answer => Ok(answer),
        }
    }

    /// Reads an answer whose question a node in order answers with a result.
    ///
    /// # Errors
    /// The node's error and a result of another shape are faults.
    pub(super) fn read<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        answer: Option<Answer>,
    ) -> Result<T, RailFault> {
        match answer {
            Some(Ok(result)) => self.rpc.read(operation, &result),
            Some(Err(error)) => Err(self.rpc.refused(operation, error)),
            None => Err(self.rpc.fault(operation, "the answers came back short")),
        }
    }
}

/// Asks for these accounts, at most [`ACCOUNTS_MAX`], as they are in a confirmed block. Read the answer as
/// [`InContext`] of a list, in the same order, with none for an account that does not exist.
pub(super) fn accounts_call(addresses: &[Pubkey]) -> Call {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Call {
        method: "getMultipleAccounts",
        params: json!([addresses, { "encoding": "base64", "commitment": AsOf::Confirmed.as_str() }]),
    }
}

/// Asks for the newest confirmed blockhash. Read the answer as [`InContext`] of [`LatestBlockhash`].
pub(super) fn latest_blockhash_call() -> Call {
    Call {
        method: "getLatestBlockhash",
        params: json!([{ "commitment": AsOf::Confirmed.as_str() }]),
    }
}

/// Asks what these bytes would do, whoever has signed them. `inner` asks for what the programs call, too. Read the
/// answer as [`InContext`] of [`Simulated`].
pub(super) fn simulate_call(wire: &[u8], as_of: AsOf, inner: bool) -> Call {
    Call {
        method: "simulateTransaction",
        params: json!([BASE64.encode(wire), {
            "encoding": "base64",
            "commitment": as_of.as_str(),
            "sigVerify": false,
            "replaceRecentBlockhash": false,
            "innerInstructions": inner,
        }]),
    }
}

fn from_text<'de, T: std::str::FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom("expected base58 of 32 bytes"))
}

/// The RPC's `["…", "base64"]`.
fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let (text, _) = <(String, IgnoredAny)>::deserialize(deserializer)?;
    BASE64
        .decode(text)
        .map_err(|_| D::Error::custom("expected bytes in base64"))
}
