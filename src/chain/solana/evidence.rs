//! What a transaction's own account of itself proves about a payment. Pure: the watch fetches, this judges.
//!
//! That a transaction succeeded proves nothing by itself. A payment has landed where the balances that the chain noted
//! before and after the transaction show that exactly its amount arrived in the recipient's token account.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use solana_pubkey::Pubkey;

use super::body::{Body, Kind};
use super::instructions::TRANSFER_INDEX;
use super::listing::Asset;
use crate::domain::authorization::Authorization;

/// What a transaction did, as nodes give it (Solana JSON-RPC, `getTransaction`, field `meta`).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    /// It failed, and nothing of it was done but for its fee.
    #[serde(rename = "err", deserialize_with = "is_some")]
    pub(super) is_failed: bool,
    /// What it cost, in lamports.
    pub(super) fee: u64,
    /// What its token accounts held before; not every node says.
    #[serde(default)]
    pre_token_balances: Option<Vec<TokenBalance>>,
    /// What they held after it.
    #[serde(default)]
    post_token_balances: Option<Vec<TokenBalance>>,
    /// The accounts that it took from lookup tables.
    #[serde(default)]
    loaded_addresses: Option<LoadedAddresses>,
    /// What its programs called.
    #[serde(default)]
    inner_instructions: Option<Vec<InnerInstructions>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenBalance {
    account_index: usize,
    #[serde(deserialize_with = "address")]
    mint: Pubkey,
    /// Not every node says.
    #[serde(default, deserialize_with = "address_if_any")]
    owner: Option<Pubkey>,
    ui_token_amount: TokenAmount,
}

#[derive(Debug, Clone, Deserialize)]
struct TokenAmount {
    /// In atomic units; a string, since it may be too large for a JavaScript number.
    #[serde(deserialize_with = "number")]
    amount: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct LoadedAddresses {
    #[serde(deserialize_with = "addresses")]
    writable: Vec<Pubkey>,
    #[serde(deserialize_with = "addresses")]
    readonly: Vec<Pubkey>,
}

#[derive(Debug, Clone, Deserialize)]
struct InnerInstructions {
    /// The place of the instruction that caused them.
    index: u64,
    instructions: Vec<InnerInstruction>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InnerInstruction {
    program_id_index: usize,
    accounts: Vec<usize>,
}

/// What a transaction left in a token account that it named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// The token account.
    pub(super) account: Pubkey,
    /// Whose it is, where the node says.
    pub(super) owner: Option<Pubkey>,
    /// Atomic units in it before.
    pub(super) before: u64,
    /// Atomic units in it after.
    pub(super) after: u64,
}

impl Meta {
    /// The accounts that the transaction's indexes stand for: its own, then those of lookup tables.
    pub(super) fn keys(&self, own: &[Pubkey]) -> Vec<Pubkey> {
        let loaded = self.loaded_addresses.iter();
        let loaded = loaded.flat_map(|it| it.writable.iter().chain(&it.readonly));
        own.iter().chain(loaded).copied().collect()
    }

    /// What it left in every account of this mint that it named.
    pub(super) fn changes(&self, keys: &[Pubkey], mint: &Pubkey) -> Vec<Change> {
        let of_mint = |balances: &Option<Vec<TokenBalance>>| {
            let balances = balances.iter().flatten().filter(|it| it.mint == *mint);
            balances
                .map(|it| (it.account_index, it.clone()))
                .collect::<BTreeMap<_, _>>()
        };
        let (pre, post) = (of_mint(&self.pre_token_balances), of_mint(&self.post_token_balances));
        let places: BTreeSet<usize> = pre.keys().chain(post.keys()).copied().collect();
        let change = |place: usize| {
            let (before, after) = (pre.get(&place), post.get(&place));
            let units = |it: Option<&TokenBalance>| it.map_or(0, |it| it.ui_token_amount.amount);
            Some(Change {
                account: *keys.get(place)?,
                owner: after.or(before).and_then(|it| it.owner),
                before: units(before),
                after: units(after),
            })
        };
        places.into_iter().filter_map(change).collect()
    }

    /// The first instruction within which the program was called with the account.
    pub(super) fn inner_call(&self, program: &Pubkey, keys: &[Pubkey], account: &Pubkey) -> Option<u64> {
        let is_call = |it: &InnerInstruction| {
            let names = |index: &usize| keys.get(*index) == Some(account);
            keys.get(it.program_id_index) == Some(program) && it.accounts.iter().any(names)
        };
        let mut groups = self.inner_instructions.iter().flatten();
        let found = groups.find(|group| group.instructions.iter().any(is_call));
        found.map(|group| group.index)
    }
}

/// What the chain must show for a payment to have landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The accounts that the transaction names itself, in order.
    keys: Vec<Pubkey>,
    /// Where its transfer stands among its instructions, if it stands there.
    transfer: Option<u64>,
    asset: Asset,
    destination: Pubkey,
    /// Atomic units.
    amount: u128,
}

/// Whether a payment's transfer shows in what its transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Exactly the amount arrived.
    Exact {
        /// The place of the instruction that transferred it, counted from 0; also 0 where a smart wallet did and the
        /// node does not show how.
        index: u64,
    },
    /// Something else happened.
    Otherwise,
    /// The node does not say.
    Untold,
}

impl Target {
    /// The target of an authorization that this rail decoded; nothing when its body is not of this rail's encoding.
    pub(super) fn of(authorization: &Authorization) -> Option<Self> {
        let body = Body::decode(&authorization.body).ok()?;
        Some(Self {
            keys: body.transaction.static_keys().to_vec(),
            transfer: match body.kind {
                Kind::Static => u64::try_from(TRANSFER_INDEX).ok(),
                Kind::SmartWallet => None,
            },
            asset: body.asset,
            destination: body.destination,
            amount: authorization.amount.units(),
        })
    }

    /// The second of two accounts gets 10,000 of a token.
    #[cfg(any(test, fuzzing))]
    pub(super) fn sample() -> Self {
        Self {
            keys: vec![Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32])],
            transfer: None,
            asset: Asset {
                mint: Pubkey::new_from_array([3; 32]),
                program: super::settings::TokenProgram::Token,
                decimals: 6,
            },
            destination: Pubkey::new_from_array([2; 32]),
            amount: 10_000,
        }
    }

    /// Whether the payment arrived in this transaction, which is its own.
    pub(super) fn arrival(&self, meta: &Meta) -> Arrival {
        let (Some(pre), Some(post)) = (&meta.pre_token_balances, &meta.post_token_balances) else {
            return Arrival::Untold;
        };
        let keys = meta.keys(&self.keys);
        let Some(destination) = keys.iter().position(|it| *it == self.destination) else {
            return Arrival::Otherwise;
        };
        let held = |balances: &[TokenBalance]| {
            let held = balances
                .iter()
                .find(|it| it.account_index == destination && it.mint == self.asset.mint);
            held.map(|it| it.ui_token_amount.amount)
        };
        // An account that the transaction made held nothing before.
        let arrived = held(post).and_then(|after| after.checked_sub(held(pre).unwrap_or_default()));
        if arrived.map(u128::from) != Some(self.amount) {
            return Arrival::Otherwise;
        }
        let inner = || meta.inner_call(&self.asset.program.id(), &keys, &self.destination);
        let index = self.transfer.or_else(inner);
        Arrival::Exact {
            index: index.unwrap_or_default(),
        }
    }
}

/// Whether there is anything but `null`.
pub(super) fn is_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(|it| it.is_some())
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
    read_address(&String::deserialize(deserializer)?)
}

fn address_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Pubkey>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| read_address(&text)).transpose()
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Pubkey>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| read_address(text)).collect()
}

fn read_address<E: serde::de::Error>(text: &str) -> Result<Pubkey, E> {
    text.parse().map_err(|_| E::custom("expected base58 of 32 bytes"))
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom("expected a number below 2^64"))
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
