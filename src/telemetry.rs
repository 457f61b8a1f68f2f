//! What operators see: structured logs on standard error, and Prometheus metrics on a port of their own.

use std::net::SocketAddr;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Which events: a `tracing` filter such as `info` or `info,facilitator=debug`.
    pub filter: String,
    /// How each event is written.
    pub format: LogFormat,
}

/// How each event is written.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For eyes.
    Text,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            filter: "info".into(),
            format: LogFormat::Json,
        }
    }
}

/// Where to serve `/metrics`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// The listener's address; not the public one.
    pub listen: SocketAddr,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
        }
    }
}

/// Logging or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TelemetryError(String);

/// Starts logging to standard error. Once a process.
///
/// # Errors
/// The filter is not one, or logging runs already.
pub fn start_logging(settings: &LogSettings) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(&settings.filter).map_err(|error| TelemetryError(format!("log.filter: {error}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
        LogFormat::Text => builder.compact().try_init(),
    }
    .map_err(|error| TelemetryError(error.to_string()))
}

/// Seconds: from a tenth of a millisecond to the longest answer.
const BUCKETS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 25.0,
];

/// Starts collecting metrics. Once a process.
///
/// # Errors
/// Metrics are collected already.
pub fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| TelemetryError(error.to_string()))
}
