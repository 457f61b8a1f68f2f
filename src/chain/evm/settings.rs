//! What an operator says about one EVM network.

use std::collections::HashSet;

use alloy::primitives::Address;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::eip3009;
use super::listing::checksummed;
use crate::chain::{BudgetSettings, Decimal, Source, Urls, WalletSettings};
use crate::domain::network::NetworkId;

/// The most payments one transaction may be told to carry. At 120,000 gas each they come near the protocol's
/// limit for one transaction (EIP-7825, 16,777,216).
const BATCH_MAX: usize = 100;

/// The most unmined transactions a lane may be told to have. A node that is full may drop what goes beyond its
/// own bound for one account, 16 by default in geth (`txpool.accountslots`).
const IN_FLIGHT_MAX: usize = 64;

/// One `[[network]]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The chain's CAIP-2 name, `eip155:` and its chain id.
    pub id: NetworkId,
    /// The JSON-RPC endpoints, `http` or `https`: one, or a list of up to 8 of independent providers.
    pub rpc_url: Urls,
    /// How many of the endpoints must show the same of a payment for it to count as settled or as failed.
    #[serde(default = "default::quorum")]
    pub quorum: usize,
    /// The keys that settle here, one lane each: `0x` and 64 hexadecimal digits, or a table that says who keeps it. At
    /// least one.
    pub signers: Vec<Source>,
    /// Keys that take on no more payments. What they have sent is watched, sent again and replaced until it is over.
    #[serde(default)]
    pub retired_signers: Vec<Source>,
    /// The usual time between blocks, in milliseconds; at least 1.
    pub block_time_ms: u64,
    /// How many blocks, its own included, must stand for a payment to be answered as settled; at least 1.
    #[serde(default = "default::confirmations")]
    pub confirmations: u64,
    /// The least remaining lifetime of an authorization, in seconds.
    #[serde(default = "default::lifetime_min_seconds")]
    pub lifetime_min_seconds: u64,
    /// How many payments one transaction may carry, 1 to 100.
    #[serde(default = "default::batch_max")]
    pub batch_max: usize,
    /// How many unmined transactions a lane may have, 1 to 64.
    #[serde(default = "default::in_flight_max")]
    pub in_flight_max: usize,
    /// The longest pause between two looks at the chain while something is in flight, in milliseconds; at least
    /// 20. A twentieth of the block time, from 20 to 250, when absent.
    #[serde(default)]
    pub poll_ms: Option<u64>,
    /// After how many seconds without a new block the chain counts as standing still, so that no new settlements are
    /// begun; at least 1. Fifteen block times, and at least 30 s, when absent.
    #[serde(default)]
    pub stalled_after_seconds: Option<u64>,
    /// The most to pay for a unit of gas, tip included, in gwei (10^-9 of the chain's coin), with up to 9 digits
    /// after the point. No default: it bounds what a settlement can cost, and what is sane differs by a factor
    /// of ten thousand between chains. While the chain's base fee is above it, nothing is settled.
    #[serde(deserialize_with = "gwei")]
    pub fee_max_gwei: Wei,
    /// The most to pay for each 1,024 bytes of a transaction on top of its gas, in gwei, on a chain that charges for its
    /// data on another (the OP stack): needed there, and 0 when absent. While the chain asks for more than half of it,
    /// nothing is settled, since the price may rise until a transaction is mined.
    #[serde(default, deserialize_with = "gwei")]
    pub data_fee_max_gwei: Wei,
    /// A signer that holds less of the chain's coin takes on no more payments. What one settlement can cost when absent.
    #[serde(default, deserialize_with = "coins")]
    pub balance_min: Option<Wei>,
    /// What settling may cost, in the chain's coin.
    pub budget: BudgetSettings,
    /// The wallet factories that may be called to deploy a payer's wallet (ERC-6492). Whoever is listed here can
    /// spend gas of ours; nobody is by default.
    #[serde(default, deserialize_with = "addresses")]
    pub factories: Vec<Address>,
    /// The most gas that a transfer may use when it is tried.
    #[serde(default = "default::gas_transfer_max")]
    pub gas_transfer_max: u64,
    /// The most gas that the deployment of a payer's wallet may use, on top of its transfer.
    #[serde(default = "default::gas_deployment_max")]
    pub gas_deployment_max: u64,
    /// The most gas that a wallet may use to judge a signature.
    #[serde(default = "default::gas_signature_max")]
    pub gas_signature_max: u64,
    /// The most gas that one read of a token may use.
    #[serde(default = "default::gas_read_max")]
    pub gas_read_max: u64,
    /// The wallets that refunds are paid from.
    #[serde(rename = "refund_wallet", default)]
    pub refund_wallets: Vec<WalletSettings>,
    /// The tokens accepted; at least one.
    #[serde(rename = "asset")]
    pub assets: Vec<AssetSettings>,
}

/// One `[[network.asset]]` table: a token that is accepted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetSettings {
    /// The token's contract.
    #[serde(deserialize_with = "address")]
    pub address: Address,
    /// The `name` of the token's EIP-712 domain, exactly as its contract has it.
    pub name: String,
    /// The `version` of the token's EIP-712 domain, exactly as its contract has it.
    pub version: String,
    /// What reports call the token.
    pub symbol: String,
    /// Digits after the point: one unit of the token is 10^decimals atomic units.
    pub decimals: u8,
}

/// An amount of the chain's own coin: 10^-18 of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wei(pub u128);

/// Digits of the coin after the point, on every EVM chain.
pub const DECIMALS: u8 = 18;

mod default {
    pub(super) const fn quorum() -> usize {
        1
    }
    pub(super) const fn confirmations() -> u64 {
        1
    }
    pub(super) const fn lifetime_min_seconds() -> u64 {
        6
    }
    pub(super) const fn batch_max() -> usize {
        50
    }
    pub(super) const fn in_flight_max() -> usize {
        16
    }
    pub(super) const fn gas_transfer_max() -> u64 {
        300_000
    }
    pub(super) const fn gas_deployment_max() -> u64 {
        700_000
    }
    pub(super) const fn gas_signature_max() -> u64 {
        150_000
    }
    pub(super) const fn gas_read_max() -> u64 {
        60_000
    }
}

impl Settings {
    /// Each accepted token's address, checksummed, and its decimals.
    #[must_use]
    pub fn assets(&self) -> Vec<(String, u8)> {
        let assets = self.assets.iter();
        assets
            .map(|asset| (checksummed(&asset.address), asset.decimals))
            .collect()
    }

    /// What reports call each asset, beside its address in canonical text.
    #[must_use]
    pub fn symbols(&self) -> Vec<(String, String)> {
        let assets = self.assets.iter();
        assets
            .map(|asset| (checksummed(&asset.address), asset.symbol.clone()))
            .collect()
    }

    /// The pause between two looks at the chain, in milliseconds.
    pub(super) fn poll_ms(&self) -> u64 {
        self.poll_ms
            .unwrap_or_else(|| self.block_time_ms.checked_div(20).unwrap_or_default().min(250))
            .max(20)
    }

    /// The chain id, of a network that is named `eip155`.
    pub(super) fn chain_id(&self) -> Option<u64> {
        let reference = self.id.reference();
        let id = reference.parse().ok().filter(|&id| id > 0)?;
        (self.id.namespace() == "eip155" && u64::to_string(&id) == reference).then_some(id)
    }

    /// Whatever can be wrong with the table itself.
    ///
    /// # Errors
    /// Names the key and what was expected there.
    pub(super) fn check(&self) -> Result<(), String> {
        let assets: Vec<Address> = self.assets.iter().map(|asset| asset.address).collect();
        let distinct: HashSet<&Address> = assets.iter().collect();
        let rules = [
            (
                self.chain_id().is_some(),
                "id: expected eip155: and a chain id, such as eip155:8453",
            ),
            (!self.signers.is_empty(), "signers: expected at least one key"),
            (!assets.is_empty(), "asset: expected at least one token"),
            (distinct.len() == assets.len(), "asset: expected each address once"),
            (
                !assets.contains(&eip3009::MULTICALL3),
                "asset: expected a token, found Multicall3",
            ),
            (self.block_time_ms > 0, "block_time_ms: expected at least 1"),
            (self.confirmations > 0, "confirmations: expected at least 1"),
            (
                (1..=BATCH_MAX).contains(&self.batch_max),
                "batch_max: expected 1 to 100",
            ),
            (
                (1..=IN_FLIGHT_MAX).contains(&self.in_flight_max),
                "in_flight_max: expected 1 to 64",
            ),
            (self.poll_ms.is_none_or(|ms| ms >= 20), "poll_ms: expected at least 20"),
            (
                self.stalled_after_seconds != Some(0),
                "stalled_after_seconds: expected at least 1",
            ),
            (self.fee_max_gwei.0 > 0, "fee_max_gwei: expected more than 0"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, complaint)) => Err((*complaint).to_owned()),
            None => self.rpc_url.check(self.quorum),
        }
    }
}

/// `0x` and 40 hexadecimal digits of either case. The checksum of EIP-55 is not asked for: clients
/// commonly write lower case.
pub(super) fn parse_address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40)?;
    let mut bytes = [0; 20];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(Address::new(bytes))
}

fn checked_address<E: Error>(text: &str) -> Result<Address, E> {
    parse_address(text).ok_or_else(|| E::custom("expected an address, 0x and 40 hexadecimal digits"))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    checked_address(&String::deserialize(deserializer)?)
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| checked_address(text))
        .collect()
}

fn gwei<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Wei, D::Error> {
    let units = Decimal::deserialize(deserializer).ok().and_then(|it| it.units(9));
    units
        .map(Wei)
        .ok_or_else(|| D::Error::custom("expected gwei, with at most 9 digits after the point"))
}

fn coins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Wei>, D::Error> {
    let units = Decimal::deserialize(deserializer)
        .ok()
        .and_then(|it| it.units(DECIMALS));
    units
        .map(|it| Some(Wei(it)))
        .ok_or_else(|| D::Error::custom("expected coins, with at most 18 digits after the point"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// As the file's table arrives here, its secrets resolved.
    fn least() -> Value {
        json!({
            "id": "eip155:84532",
            "rpc_url": "http://node/secret-key",
            "signers": ["0xsecret"],
            "block_time_ms": 2000,
            "fee_max_gwei": 5,
            "budget": {
                "total": { "minute": 1, "day": 1 },
                "signer": { "minute": 1, "day": 1 },
                "payer": { "minute": 1, "day": "unlimited" },
            },
            "asset": [{
                "address": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
                "name": "USDC",
                "version": "2",
                "symbol": "USDC",
                "decimals": 6,
            }],
        })
    }

    fn parsed(table: Value) -> Result<Settings, serde_json::Error> {
        serde_json::from_value(table)
    }

    /// The least table with one key set, or removed.
    fn with(key: &str, value: Value) -> Value {
        let mut table = least();
        table[key] = value;
        if table[key].is_null() {
            table.as_object_mut().unwrap().remove(key);
        }
        table
    }

    #[test]
    fn the_least_table_has_sane_defaults_and_shows_no_secret() {
        let settings = parsed(least()).unwrap();
        settings.check().unwrap();
        assert_eq!(settings.chain_id(), Some(84_532));
        assert_eq!(settings.poll_ms(), 100);
        assert_eq!(settings.fee_max_gwei, Wei(5_000_000_000));
        assert_eq!((settings.batch_max, settings.confirmations), (50, 1));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_pause_follows_the_block_time() {
        for (block_time_ms, poll_ms) in [(1, 20), (250, 20), (2_000, 100), (12_000, 250)] {
            let settings = parsed(with("block_time_ms", json!(block_time_ms))).unwrap();
            assert_eq!(settings.poll_ms(), poll_ms);
        }
    }

    #[test]
    fn gwei_are_exact() {
        for (gwei, wei) in [
            (json!(1), 1_000_000_000),
            (json!(0.05), 50_000_000),
            (json!(0.000_000_001), 1),
            (json!(1000.5), 1_000_500_000_000),
        ] {
            let settings = parsed(with("fee_max_gwei", gwei)).unwrap();
            assert_eq!(settings.fee_max_gwei, Wei(wei));
        }
        assert!(parsed(with("fee_max_gwei", json!(0.000_000_000_1))).is_err());
    }

    #[test]
    fn a_wrong_table_is_refused_by_key() {
        let mut asset = least()["asset"][0].clone();
        asset["address"] = json!("036CbD53842c5426634e7929541eC2318f3dCF7e");
        for (key, value, complaint) in [
            ("fee_max_gwei", Value::Null, "fee_max_gwei"),
            ("fee_max_gwei", json!(-5), "expected gwei"),
            ("budget", Value::Null, "budget"),
            ("balance_min", json!("1 ETH"), "expected coins"),
            ("block_time", json!(5), "block_time"),
            ("asset", json!([asset]), "expected an address"),
        ] {
            let error = parsed(with(key, value)).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let asset = &least()["asset"][0];
        for (key, value, complaint) in [
            ("id", json!("eip155:084532"), "id:"),
            ("id", json!("solana:devnet"), "id:"),
            ("signers", json!([]), "signers:"),
            ("block_time_ms", json!(0), "block_time_ms:"),
            ("fee_max_gwei", json!(0), "fee_max_gwei:"),
            ("poll_ms", json!(19), "poll_ms:"),
            ("stalled_after_seconds", json!(0), "stalled_after_seconds:"),
            ("batch_max", json!(101), "batch_max:"),
            ("asset", json!([]), "asset: expected at least"),
            ("asset", json!([asset, asset]), "asset: expected each"),
        ] {
            let error = parsed(with(key, value)).unwrap().check().unwrap_err();
            assert!(error.starts_with(complaint), "{error}");
        }
    }
}
