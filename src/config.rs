//! One TOML file and the secrets it points to become a checked [`Config`]. The only reader of the environment.
//!
//! Any string in the file may instead say where to find it: `{ env = "NAME" }` or `{ file = "path" }`. Unknown keys
//! are refused, and each module describes its own section.

use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Value;

use crate::app::desk::Coin;
use crate::app::reports::delivery::schedule::{self as delivery, Schedule};
use crate::app::screening::sums;
use crate::domain::refund::Wallets;
use crate::domain::signing;
use crate::store::Threshold;
use crate::{app, chain, export, http, store, telemetry, trace};

/// Everything the facilitator is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The public listener.
    #[serde(default)]
    pub http: http::Settings,
    /// The operator's listener. Without it, there is none.
    pub operator: Option<http::operator::Settings>,
    /// The admin listener. Without it, there is none.
    pub admin: Option<http::admin::Settings>,
    /// The metrics listener.
    #[serde(default)]
    pub metrics: telemetry::MetricsSettings,
    /// Logging.
    #[serde(default)]
    pub log: telemetry::LogSettings,
    /// Where traces go. Without it, nowhere.
    pub traces: Option<trace::Settings>,
    /// Postgres.
    pub database: store::Settings,
    /// How `/settle` behaves.
    #[serde(default)]
    pub settle: app::Settings,
    /// How often anybody may ask.
    #[serde(default)]
    pub rates: app::turnstile::Settings,
    /// Daily statements.
    #[serde(default)]
    pub statements: export::Settings,
    /// Reports that are delivered by themselves.
    #[serde(default)]
    pub reports: delivery::Settings,
    /// What the facilitator signs for itself with. Without it, it signs nothing.
    pub signing: Option<signing::Settings>,
    /// Who is asked about whoever pays and is paid. Without it nobody is screened, and the records say so.
    pub screening: Option<app::screening::Settings>,
    /// Who may ask. Without it there is one tenant, and everybody may.
    pub tenants: Option<app::gate::Settings>,
    /// How merchants show that accounts are theirs. Without it, only the operator says so.
    pub claims: Option<app::claims::Settings>,
    /// Where webhooks may go.
    #[serde(default)]
    pub webhooks: app::webhooks::Settings,
    /// The networks to serve; at least one.
    #[serde(skip)]
    pub network: Vec<chain::Settings>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not valid TOML")]
    NotToml {
        /// The file.
        path: String,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A secret is not where the file says.
    #[error("{key}: {what}")]
    Secret {
        /// The key in the file.
        key: String,
        /// What is missing.
        what: String,
    },
    /// A key is missing, unknown or has a wrong value.
    #[error("{key}: {what}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Config {
    /// Reads and checks the file and every secret it points to. Nothing is connected to.
    ///
    /// # Errors
    /// Names the file or the key, and what was expected there. Never repeats a secret.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: name.clone(),
            source,
        })?;
        let table: toml::Table = text.parse().map_err(|source| ConfigError::NotToml {
            path: name,
            source: Box::new(source),
        })?;
        Self::from_table(table)
    }

    /// How many decimals the configured assets and the networks' own coins have.
    #[must_use]
    pub fn decimals(&self) -> export::Decimals {
        let of_network = |network: &chain::Settings| {
            let id = network.id().clone();
            let coin = (export::COIN.to_owned(), network.coin_decimals());
            let assets = network.assets().into_iter().chain([coin]);
            assets.map(move |(asset, decimals)| (id.clone(), asset, decimals))
        };
        export::Decimals::new(self.network.iter().flat_map(of_network).collect())
    }

    /// The configured assets, as the operator calls them.
    #[must_use]
    pub fn coins(&self) -> Vec<Coin> {
        let of_network = |network: &chain::Settings| {
            let id = network.id().clone();
            let named = network.symbols().into_iter().zip(network.assets());
            named.map(move |((asset, symbol), (_, decimals))| Coin {
                network: id.clone(),
                asset,
                symbol,
                decimals,
            })
        };
        self.network.iter().flat_map(of_network).collect()
    }

    /// The wallets that refunds are paid from.
    ///
    /// # Errors
    /// The first table that is not what it must be.
    pub fn wallets(&self) -> Result<Wallets, chain::Unservable> {
        Ok(Wallets::new(chain::refund_wallets(&self.network)?))
    }

    /// How statements are written.
    #[must_use]
    pub fn style(&self) -> export::Style {
        export::Style {
            settings: self.statements.clone(),
            decimals: self.decimals(),
        }
    }

    /// The reports that are delivered by themselves.
    ///
    /// # Errors
    /// Names the key, and what was expected there.
    pub fn schedules(&self) -> Result<Vec<Schedule>, ConfigError> {
        let schedules = self.reports.schedules(chain::canonical_account, self.signing.is_some());
        schedules.map_err(|it| ConfigError::Key {
            key: format!("reports.{}", it.key),
            what: it.what,
        })
    }

    /// From which sums on somebody has to be looked at who has paid them in all.
    ///
    /// # Errors
    /// Names the key, and what was expected there.
    pub fn thresholds(&self) -> Result<Vec<Threshold>, ConfigError> {
        let settings = self.screening.as_ref().map_or(&[][..], |it| &it.threshold);
        let read = sums::thresholds(settings, &self.decimals(), chain::canonical_account);
        read.map_err(unfit_screening)
    }

    fn from_table(mut table: toml::Table) -> Result<Self, ConfigError> {
        for (key, value) in &mut table {
            resolve(value, key)?;
        }
        let networks = networks(table.remove("network"))?;
        let mut config: Self = read("", Value::Table(table))?;
        config.network = networks;
        if !(1..=25).contains(&config.settle.wait_seconds) {
            return Err(ConfigError::Key {
                key: "settle.wait_seconds".into(),
                what: "expected 1 to 25".into(),
            });
        }
        if let Some((key, what)) = config.operator.as_ref().and_then(http::operator::Settings::flaw) {
            return Err(ConfigError::Key {
                key: format!("operator.{key}"),
                what: what.into(),
            });
        }
        config.schedules()?;
        if let Some(screening) = &config.screening {
            let checked = screening.check(config.signing.is_some(), chain::canonical_account);
            checked.map_err(unfit_screening)?;
        }
        config.thresholds()?;
        Ok(config)
    }
}

fn unfit_screening(unfit: app::screening::Unfit) -> ConfigError {
    ConfigError::Key {
        key: format!("screening.{}", unfit.key),
        what: unfit.what,
    }
}

/// Each network's table, read as those of its family are.
fn networks(value: Option<Value>) -> Result<Vec<chain::Settings>, ConfigError> {
    let wrong = |key: String, what: &str| ConfigError::Key {
        key,
        what: what.to_owned(),
    };
    let tables = match value {
        Some(Value::Array(tables)) if !tables.is_empty() => tables,
        _ => return Err(wrong("network".into(), "expected at least one [[network]] table")),
    };
    let read_one = |(index, table): (usize, Value)| {
        let place = format!("network[{index}]");
        let id = table.get("id").and_then(Value::as_str).unwrap_or_default();
        match id.split_once(':').map(|(family, _)| family) {
            Some("eip155") => read(&place, table).map(chain::Settings::Evm),
            Some("solana") => read(&place, table).map(chain::Settings::Solana),
            _ => Err(wrong(
                format!("{place}.id"),
                "expected a network such as eip155:8453 or solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
            )),
        }
    };
    tables.into_iter().enumerate().map(read_one).collect()
}

/// Reads what stands at `place`. The complaint names the key, and does not repeat what was found there: it may be a
/// secret.
fn read<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(value.into_deserializer()).map_err(|error| {
        let path = error.path().to_string();
        let key = match (place, path.as_str()) {
            ("", path) => path.to_owned(),
            (place, ".") => place.to_owned(),
            (place, path) => format!("{place}.{path}"),
        };
        let what = first_line(&error.inner().to_string());
        ConfigError::Key { key, what }
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Replaces each `{ env = … }` and `{ file = … }` by the text it points to.
fn resolve(value: &mut Value, key: &str) -> Result<(), ConfigError> {
    match value {
        Value::Table(table) => {
            if let Some(text) = secret(table, key)? {
                *value = Value::String(text);
                return Ok(());
            }
            for (name, inner) in table.iter_mut() {
                let inner_key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                resolve(inner, &inner_key)?;
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter_mut().enumerate() {
                resolve(inner, &format!("{key}[{index}]"))?;
            }
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
    Ok(())
}

fn secret(table: &toml::Table, key: &str) -> Result<Option<String>, ConfigError> {
    let missing = |what: String| ConfigError::Secret {
        key: key.to_owned(),
        what,
    };
    let mut entries = table.iter();
    let (Some((kind, Value::String(place))), None) = (entries.next(), entries.next()) else {
        return Ok(None);
    };
    let text = match kind.as_str() {
        "env" => {
            #[expect(clippy::disallowed_methods, reason = "the one reader of the environment")]
            let found = std::env::var(place);
            found.map_err(|_| missing(format!("the environment variable {place} is not set")))?
        }
        "file" => std::fs::read_to_string(place)
            .map_err(|error| missing(format!("the file {place} cannot be read: {}", error.kind())))?,
        _ => return Ok(None),
    };
    Ok(Some(text.trim().to_owned()))
}
