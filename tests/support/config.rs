//! What a facilitator's configuration file says, and the secrets that stand beside it in the environment.

use alloy::primitives::Address;

use super::contracts::{Account, addresses};
use super::process::free_port;

/// What the facilitator signs for itself with.
pub(crate) const SIGNING: &str = "5ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4e75ec4";

/// The configuration of one facilitator: as many networks as there are tables.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) port: u16,
    pub(crate) metrics_port: u16,
    /// Where the operator's page is, if it is anywhere.
    pub(crate) operator_port: Option<u16>,
    pub(crate) database_url: String,
    pub(crate) wait_seconds: u64,
    pub(crate) log_filter: &'static str,
    /// Open connections to the public listener.
    pub(crate) http_connections_max: usize,
    /// Whether webhooks are sent, and if so whether to addresses that are not public, too.
    pub(crate) tells_private: Option<bool>,
    /// What it signs for itself with, and what else stands beside that.
    pub(crate) signing: (&'static str, String),
    pub(crate) evm: Vec<Evm>,
    pub(crate) solana: Vec<Solana>,
    /// Sections besides.
    pub(crate) more: String,
}

/// An EVM network.
#[derive(Debug, Clone)]
pub(crate) struct Evm {
    pub(crate) network: &'static str,
    pub(crate) rpc_url: String,
    /// Endpoints besides.
    pub(crate) other_rpc_urls: Vec<String>,
    pub(crate) signers: Vec<Account>,
    /// Who keeps their keys, as the file writes it; where it says so of none, they stand in the environment.
    pub(crate) sources: Vec<String>,
    pub(crate) assets: Vec<Asset>,
    pub(crate) factories: Vec<Address>,
    pub(crate) budget: Budget,
    pub(crate) stalled_after_seconds: u32,
    /// Another key of the table, or none.
    pub(crate) key: &'static str,
}

/// What settling may cost on a network, as the file writes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) total: &'static str,
    pub(crate) signer: &'static str,
    pub(crate) payer: &'static str,
    pub(crate) payer_reverts_max: u32,
}

/// A token on an EVM network.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    pub(crate) address: Address,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) symbol: &'static str,
}

/// A Solana cluster.
#[derive(Debug, Clone)]
pub(crate) struct Solana {
    pub(crate) network: String,
    pub(crate) genesis_hash: Option<String>,
    pub(crate) rpc_url: String,
    /// Endpoints besides.
    pub(crate) other_rpc_urls: Vec<String>,
    pub(crate) ws_url: Option<String>,
    /// Keypairs as the file may write them.
    pub(crate) signers: Vec<String>,
    pub(crate) retired_signers: Vec<String>,
    /// Who keeps the keys of those that are advertised, as the file writes it; where it says so of none, they stand in the
    /// environment.
    pub(crate) sources: Vec<String>,
    pub(crate) mints: Vec<Listed>,
    pub(crate) commitment: &'static str,
    pub(crate) slot_ms: u64,
    /// Another key of the table, or none.
    pub(crate) key: &'static str,
}

/// A token on a Solana cluster.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) address: String,
    pub(crate) symbol: String,
    pub(crate) decimals: u8,
    pub(crate) program: String,
}

impl Config {
    /// A facilitator that serves nothing yet.
    pub(crate) fn new(database_url: String) -> Self {
        Self {
            port: free_port(),
            metrics_port: free_port(),
            operator_port: None,
            database_url,
            wait_seconds: 20,
            log_filter: "info",
            http_connections_max: 8192,
            tells_private: None,
            signing: (SIGNING, String::new()),
            evm: Vec::new(),
            solana: Vec::new(),
            more: String::new(),
        }
    }

    /// How many lanes it will say are ready.
    pub(crate) fn lanes(&self) -> usize {
        let evm = self.evm.iter().map(|it| it.signers.len());
        let solana = self.solana.iter().map(|it| it.keypairs().count());
        evm.chain(solana).sum()
    }

    /// The file.
    pub(crate) fn to_toml(&self) -> String {
        let Self {
            port,
            metrics_port,
            log_filter,
            http_connections_max,
            wait_seconds,
            more,
            ..
        } = self;
        let evm = self.evm.iter().enumerate().map(|(i, it)| it.to_toml(i));
        let solana = self.solana.iter().enumerate().map(|(i, it)| it.to_toml(i));
        format!(
            r#"
            [http]
            listen = "127.0.0.1:{port}"
            connections_max = {http_connections_max}
            [metrics]
            listen = "127.0.0.1:{metrics_port}"
            [log]
            filter = "{log_filter}"
            [database]
            url = {{ env = "DATABASE" }}
            connections_max = 8
            {webhooks}
            {operator}
            [settle]
            wait_seconds = {wait_seconds}
            {networks}
            {more}
            "#,
            operator = self
                .operator_port
                .map_or_else(String::new, |it| format!("[operator]\nlisten = \"127.0.0.1:{it}\"")),
            webhooks = self.tells_private.map_or_else(String::new, |it| format!(
                "[signing]\nsecret = {{ env = \"SIGNING\" }}\n{}\n[webhooks]\nallow_private = {it}",
                self.signing.1
            )),
            networks = evm.chain(solana).collect::<String>(),
        )
    }

    /// What the file takes from the environment.
    pub(crate) fn secrets(&self) -> Vec<(String, String)> {
        let mut secrets = vec![
            ("DATABASE".to_owned(), self.database_url.clone()),
            ("SIGNING".to_owned(), self.signing.0.to_owned()),
        ];
        for (index, network) in self.evm.iter().enumerate() {
            secrets.push((format!("RPC_{index}"), network.rpc_url.clone()));
            let others = network.other_rpc_urls.iter().cloned().enumerate();
            secrets.extend(others.map(|(i, url)| (format!("RPC_{index}_{i}"), url)));
            let keys = network.signers.iter().map(|it| it.key.to_string());
            secrets.extend(keys.enumerate().map(|(i, key)| (format!("SIGNER_{index}_{i}"), key)));
        }
        for (index, cluster) in self.solana.iter().enumerate() {
            secrets.push((format!("SOLANA_RPC_{index}"), cluster.rpc_url.clone()));
            let others = cluster.other_rpc_urls.iter().cloned().enumerate();
            secrets.extend(others.map(|(i, url)| (format!("SOLANA_RPC_{index}_{i}"), url)));
            let ws_url = cluster.ws_url.clone();
            secrets.extend(ws_url.map(|url| (format!("SOLANA_WS_{index}"), url)));
            let keys = cluster.keypairs().cloned().enumerate();
            secrets.extend(keys.map(|(i, key)| (format!("FEE_PAYER_{index}_{i}"), key)));
        }
        secrets
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn sources(stated: &[String], keys: impl Iterator<Item = String>) -> String {
    if stated.is_empty() {
        joined(keys)
    } else {
        joined(stated.iter().cloned())
    }
}

/// One endpoint by itself, or a list with the others.
fn endpoints(name: &str, others: usize) -> String {
    let first = format!("{{ env = \"{name}\" }}");
    if others == 0 {
        return first;
    }
    let others = (0..others).map(|i| format!("{{ env = \"{name}_{i}\" }}"));
    format!("[{}]", joined(std::iter::once(first).chain(others)))
}

impl Evm {
    fn to_toml(&self, index: usize) -> String {
        format!(
            r#"
            [[network]]
            id = "{network}"
            rpc_url = {rpc_url}
            signers = [{signers}]
            factories = [{factories}]
            {budget}
            block_time_ms = 1000
            poll_ms = 50
            stalled_after_seconds = {stalled_after_seconds}
            fee_max_gwei = 100
            {key}
            {assets}
            "#,
            network = self.network,
            rpc_url = endpoints(&format!("RPC_{index}"), self.other_rpc_urls.len()),
            signers = sources(
                &self.sources,
                (0..self.signers.len()).map(|i| format!("{{ env = \"SIGNER_{index}_{i}\" }}"))
            ),
            factories = joined(self.factories.iter().map(|it| format!("\"{it}\""))),
            budget = self.budget.to_toml(),
            stalled_after_seconds = self.stalled_after_seconds,
            key = self.key,
            assets = self.assets.iter().map(Asset::to_toml).collect::<String>(),
        )
    }
}

impl Budget {
    const NO_LIMITS: &'static str = r#"{ minute = "unlimited", day = "unlimited" }"#;

    pub(crate) const UNLIMITED: Self = Self {
        total: Self::NO_LIMITS,
        signer: Self::NO_LIMITS,
        payer: Self::NO_LIMITS,
        payer_reverts_max: 100,
    };

    fn to_toml(self) -> String {
        let Self {
            total,
            signer,
            payer,
            payer_reverts_max,
        } = self;
        format!(
            "budget = {{ total = {total}, signer = {signer}, payer = {payer}, payer_reverts_max = {payer_reverts_max} }}"
        )
    }
}

impl Asset {
    pub(crate) fn usdc() -> Self {
        Self {
            address: addresses().usdc,
            name: "USDC",
            version: "2",
            symbol: "USDC",
        }
    }

    pub(crate) fn trick() -> Self {
        Self {
            address: addresses().trick_token,
            name: "USDC",
            version: "2",
            symbol: "TRICK",
        }
    }

    fn to_toml(&self) -> String {
        let Self {
            address,
            name,
            version,
            symbol,
        } = self;
        format!(
            r#"
            [[network.asset]]
            address = "{address}"
            name = "{name}"
            version = "{version}"
            symbol = "{symbol}"
            decimals = 6
            "#
        )
    }
}

impl Solana {
    fn keypairs(&self) -> impl Iterator<Item = &String> {
        self.signers.iter().chain(&self.retired_signers)
    }

    fn to_toml(&self, index: usize) -> String {
        let optional = |key: &str, value: Option<String>| value.map_or_else(String::new, |it| format!("{key} = {it}"));
        let key = |i: usize| format!("{{ env = \"FEE_PAYER_{index}_{i}\" }}");
        let advertised = self.signers.len();
        format!(
            r#"
            [[network]]
            id = "{network}"
            {genesis_hash}
            rpc_url = {rpc_url}
            {ws_url}
            signers = [{signers}]
            retired_signers = [{retired}]
            commitment = "{commitment}"
            block_time_ms = {slot_ms}
            poll_ms = {poll_ms}
            {budget}
            {key}
            {mints}
            "#,
            network = self.network,
            genesis_hash = optional("genesis_hash", self.genesis_hash.as_ref().map(|it| format!("\"{it}\""))),
            rpc_url = endpoints(&format!("SOLANA_RPC_{index}"), self.other_rpc_urls.len()),
            ws_url = optional(
                "ws_url",
                self.ws_url
                    .as_ref()
                    .map(|_| format!("{{ env = \"SOLANA_WS_{index}\" }}"))
            ),
            signers = sources(&self.sources, (0..advertised).map(key)),
            retired = joined((advertised..self.keypairs().count()).map(key)),
            commitment = self.commitment,
            slot_ms = self.slot_ms,
            poll_ms = (self.slot_ms / 2).max(20),
            budget = Budget::UNLIMITED.to_toml(),
            key = self.key,
            mints = self.mints.iter().map(Listed::to_toml).collect::<String>(),
        )
    }
}

impl Listed {
    fn to_toml(&self) -> String {
        let Self {
            address,
            symbol,
            decimals,
            program,
        } = self;
        format!(
            r#"
            [[network.asset]]
            address = "{address}"
            symbol = "{symbol}"
            decimals = {decimals}
            program = "{program}"
            "#
        )
    }
}
