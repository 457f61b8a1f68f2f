//! What an operator says about one Solana cluster.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer};
use solana_pubkey::Pubkey;

use crate::chain::{BudgetSettings, Secret, Source, Urls, WalletSettings};
use crate::domain::network::NetworkId;

/// How many characters of a cluster's genesis hash its CAIP-2 reference has (CAIP-30).
const REFERENCE_CHARS: usize = 32;

/// One `[[network]]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The cluster's CAIP-2 name, `solana:` and the first 32 characters of its genesis hash.
    pub id: NetworkId,
    /// The genesis hash that the node must have, base58, where a local cluster stands in for the one that `id` names.
    #[serde(default)]
    pub genesis_hash: Option<String>,
    /// The JSON-RPC endpoints, `http` or `https`: one, or a list of up to 8 of independent providers.
    pub rpc_url: Urls,
    /// How many of the endpoints must show the same of a payment for it to count as settled or as failed.
    #[serde(default = "default::quorum")]
    pub quorum: usize,
    /// The node's WebSocket endpoint, `ws` or `wss`. Without one the node is only polled.
    #[serde(default)]
    pub ws_url: Option<Secret>,
    /// The fee payers that are advertised: base58 of the 64 bytes of a keypair, the JSON array of 64 numbers that a
    /// keypair file holds, or a table that says who keeps the key. At least one.
    pub signers: Vec<Source>,
    /// Fee payers that are advertised no more. Payments made out to them are still accepted, since merchants may hold
    /// requirements that name them.
    #[serde(default)]
    pub retired_signers: Vec<Source>,
    /// What must stand of a payment for it to be answered as settled.
    #[serde(default)]
    pub commitment: Commitment,
    /// The usual time between slots, in milliseconds; at least 1.
    #[serde(default = "default::block_time_ms")]
    pub block_time_ms: u64,
    /// For how many more blocks a transaction's blockhash must be good, 1 to 149.
    #[serde(default = "default::lifetime_min_blocks")]
    pub lifetime_min_blocks: u64,
    /// How many signatures a transaction may need, ours included, 2 to 12: each costs 5,000 lamports.
    #[serde(default = "default::signatures_max")]
    pub signatures_max: usize,
    /// The most compute units that a transaction may ask for.
    #[serde(default = "default::compute_units_max")]
    pub compute_units_max: u32,
    /// The most that a transaction may offer in all beyond its signatures, in lamports: its compute unit limit times
    /// its price.
    #[serde(default = "default::priority_fee_max_lamports")]
    pub priority_fee_max_lamports: u64,
    /// A fee payer that holds less, in lamports, is not advertised and takes on no more payments.
    #[serde(default = "default::balance_min_lamports")]
    pub balance_min_lamports: u64,
    /// What settling may cost, in SOL.
    pub budget: BudgetSettings,
    /// Also accept payments of smart wallets, whose transfer only a simulation shows.
    #[serde(default)]
    pub smart_wallets: bool,
    /// The longest pause between two looks at the chain while something is in flight, in milliseconds; at least 20.
    /// Half the block time, from 20 to 250, when absent.
    #[serde(default)]
    pub poll_ms: Option<u64>,
    /// After how many seconds without a new block the chain counts as standing still, so that no new settlements are
    /// begun; at least 1. Fifteen block times, and at least 30 s, when absent.
    #[serde(default)]
    pub stalled_after_seconds: Option<u64>,
    /// The wallets that refunds are paid from.
    #[serde(rename = "refund_wallet", default)]
    pub refund_wallets: Vec<WalletSettings>,
    /// The tokens accepted; at least one.
    #[serde(rename = "asset")]
    pub assets: Vec<AssetSettings>,
}

/// What must stand of a payment for it to be answered as settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Commitment {
    /// Two thirds of the stake have voted on its block; no such block has ever been undone.
    #[default]
    Confirmed,
    /// Its block can no longer be undone.
    Finalized,
}

/// One `[[network.asset]]` table: a token that is accepted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetSettings {
    /// The mint.
    #[serde(deserialize_with = "address")]
    pub address: Pubkey,
    /// The token's symbol, for people.
    pub symbol: String,
    /// The token's decimals, exactly as its mint has them.
    pub decimals: u8,
    /// The program that keeps it.
    pub program: TokenProgram,
}

/// The program that keeps a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenProgram {
    /// SPL Token.
    Token,
    /// Token-2022.
    #[serde(rename = "token-2022")]
    Token2022,
}

/// Digits of SOL after the point.
pub const DECIMALS: u8 = 9;

mod default {
    pub(super) const fn quorum() -> usize {
        1
    }
    pub(super) const fn block_time_ms() -> u64 {
        400
    }
    pub(super) const fn lifetime_min_blocks() -> u64 {
        30
    }
    pub(super) const fn signatures_max() -> usize {
        3
    }
    pub(super) const fn compute_units_max() -> u32 {
        400_000
    }
    pub(super) const fn priority_fee_max_lamports() -> u64 {
        100_000
    }
    pub(super) const fn balance_min_lamports() -> u64 {
        10_000_000
    }
}

impl Settings {
    /// Each accepted mint in base58, and its decimals.
    #[must_use]
    pub fn assets(&self) -> Vec<(String, u8)> {
        let assets = self.assets.iter();
        assets
            .map(|asset| (asset.address.to_string(), asset.decimals))
            .collect()
    }

    /// What reports call each asset, beside its address in canonical text.
    #[must_use]
    pub fn symbols(&self) -> Vec<(String, String)> {
        let assets = self.assets.iter();
        assets
            .map(|asset| (asset.address.to_string(), asset.symbol.clone()))
            .collect()
    }

    /// The pause between two looks at the chain, in milliseconds.
    pub(super) fn poll_ms(&self) -> u64 {
        self.poll_ms
            .unwrap_or_else(|| self.block_time_ms.checked_div(2).unwrap_or_default().min(250))
            .max(20)
    }

    /// Whatever can be wrong with the table itself.
    ///
    /// # Errors
    /// Names the key and what was expected there.
    pub(super) fn check(&self) -> Result<(), String> {
        let distinct: HashSet<&Pubkey> = self.assets.iter().map(|asset| &asset.address).collect();
        let rules = [
            (
                self.id.namespace() == "solana" && self.id.reference().len() == REFERENCE_CHARS,
                "id: expected solana: and the first 32 characters of the genesis hash",
            ),
            (!self.signers.is_empty(), "signers: expected at least one keypair"),
            (!self.assets.is_empty(), "asset: expected at least one token"),
            (distinct.len() == self.assets.len(), "asset: expected each address once"),
            (self.block_time_ms > 0, "block_time_ms: expected at least 1"),
            (
                (1..150).contains(&self.lifetime_min_blocks),
                "lifetime_min_blocks: expected 1 to 149",
            ),
            (
                (2..=12).contains(&self.signatures_max),
                "signatures_max: expected 2 to 12",
            ),
            (self.compute_units_max > 0, "compute_units_max: expected at least 1"),
            (self.poll_ms.is_none_or(|ms| ms >= 20), "poll_ms: expected at least 20"),
            (
                self.stalled_after_seconds != Some(0),
                "stalled_after_seconds: expected at least 1",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, complaint)) => Err((*complaint).to_owned()),
            None => self.rpc_url.check(self.quorum),
        }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pubkey, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom("expected an address, base58 of 32 bytes"))
}
