//! What operators see: structured logs on standard error, and Prometheus metrics on a port of their own.

use std::net::SocketAddr;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::filter::{FilterExt, FilterFn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use self::Kind::{Counter, Gauge, Histogram};
use crate::trace::{self, Exporter};

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

/// Starts logging to standard error and, where there is one, tells the exporter of what is traced. Once a process.
///
/// # Errors
/// The filter is not one, or logging runs already.
pub fn start_logging(settings: &LogSettings, traces: Option<&Exporter>) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(&settings.filter).map_err(|error| TelemetryError(format!("log.filter: {error}")))?;
    let filter = filter.and(FilterFn::new(|it| it.target() != trace::TARGET));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text => lines.compact().boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces.map(Exporter::layer))
        .try_init()
        .map_err(|error| TelemetryError(error.to_string()))
}

/// Seconds: from a tenth of a millisecond to the longest answer, with a bound at each limit that is promised.
const BUCKETS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0,
];

/// What a metric's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while a process runs.
    Counter,
    /// How things are.
    Gauge,
    /// Seconds, in buckets.
    Histogram,
}

/// One metric that the facilitator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// What its number is.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// Its labels, in alphabetical order. Each has few values, set by the configuration or the code, never by a caller.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn metric(kind: Kind, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric {
        kind,
        name,
        labels,
        help,
    }
}

/// Every metric there is, in alphabetical order. Rules and dashboards in `deploy/` use no other.
#[rustfmt::skip]
pub const METRICS: [Metric; 43] = [
    metric(Counter, "facilitator_budget_exhausted_total", &["network", "scope"], "Payments not begun because a budget was used up"),
    metric(Gauge, "facilitator_build_info", &["version"], "1, with the version that runs"),
    metric(Gauge, "facilitator_chain_stalled", &["network"], "1 while the chain makes no blocks"),
    metric(Histogram, "facilitator_custody_duration_seconds", &["network", "signer"], "From asking whoever keeps the signer's key to an answer, or none"),
    metric(Counter, "facilitator_custody_faults_total", &["network", "signer"], "Times that whoever keeps the signer's key gave no signature of it"),
    metric(Counter, "facilitator_endpoint_disagreements_total", &["endpoint", "network"], "Looks at which the endpoint contradicted what enough others show"),
    metric(Counter, "facilitator_endpoint_faults_total", &["endpoint", "network"], "Requests that the endpoint did not answer"),
    metric(Gauge, "facilitator_endpoint_head_lag_blocks", &["endpoint", "network"], "Blocks by which the endpoint is behind"),
    metric(Gauge, "facilitator_endpoint_passed_over", &["endpoint", "network"], "1 while the endpoint is not asked because it failed again and again"),
    metric(Gauge, "facilitator_feed_hidden_seconds", &[], "For how long the oldest event that the feed does not show yet has been on record"),
    metric(Histogram, "facilitator_http_duration_seconds", &["route"], "From a request to its answer"),
    metric(Counter, "facilitator_http_requests_total", &["route", "status"], "Requests answered"),
    metric(Gauge, "facilitator_lane_out_of_funds", &["network", "signer"], "1 while a node refuses the signer's transactions for want of money"),
    metric(Gauge, "facilitator_lane_quarantined", &["network", "signer"], "1 while the lane is closed until an operator opens it"),
    metric(Gauge, "facilitator_network_withdrawn", &["network"], "1 while no signer of the network holds enough to settle"),
    metric(Counter, "facilitator_panics_total", &[], "Steps that panicked: bugs"),
    metric(Counter, "facilitator_payments_quarantined_total", &["network"], "Payments that could not be signed for, again and again"),
    metric(Counter, "facilitator_rate_limited_total", &["gate"], "Requests refused because there were too many with one key, for one payer or from one address"),
    metric(Gauge, "facilitator_reconciliation_exceptions", &["network", "state"], "Open exceptions on record"),
    metric(Gauge, "facilitator_reconciliation_lag_blocks", &["network"], "Finalized blocks not yet read by the reconciliation"),
    metric(Counter, "facilitator_report_deliveries_total", &["outcome", "schedule"], "Tries at delivering a scheduled report, by what became of them"),
    metric(Gauge, "facilitator_report_delivery_lag_seconds", &["schedule"], "Since the end of the oldest period whose report is owed; 0 when none is"),
    metric(Histogram, "facilitator_rpc_request_duration_seconds", &["network", "operation"], "From a request to a node to its answer"),
    metric(Counter, "facilitator_rpc_requests_total", &["endpoint", "method", "network"], "Calls made of nodes, each of a batch for itself"),
    metric(Counter, "facilitator_screening_decisions_total", &["decision", "stage"], "Decisions about whoever pays and is paid"),
    metric(Counter, "facilitator_screening_faults_total", &["source"], "Times that a screening source could not be read or asked"),
    metric(Gauge, "facilitator_screening_list_addresses", &["source"], "Addresses on the list"),
    metric(Gauge, "facilitator_screening_list_seconds_left", &["source"], "For how long the list still counts as known; 0 when it does not"),
    metric(Histogram, "facilitator_settlement_confirmed_seconds", &["network"], "From when this process knew of a payment to its confirmation on record"),
    metric(Histogram, "facilitator_settlement_sent_seconds", &["network"], "From when this process knew of a payment to its first transaction leaving"),
    metric(Counter, "facilitator_settlements_total", &["event", "network"], "Events of payments put on record by the watch"),
    metric(Gauge, "facilitator_settlements_unsettled", &["network"], "Payments known to this process that are neither settled nor over"),
    metric(Gauge, "facilitator_settlements_unsettled_oldest_seconds", &["network"], "For how long the oldest of them has been reserved; 0 when there is none"),
    metric(Gauge, "facilitator_settlements_unsettled_overdue", &["network"], "Those of them whose window, where it ends at a time, has closed"),
    metric(Gauge, "facilitator_signer_balance", &["network", "signer"], "What the signer holds, in the chain's coin"),
    metric(Gauge, "facilitator_signer_settlements_left", &["network", "signer"], "Settlements that the signer can pay for at the worst price it may pay"),
    metric(Gauge, "facilitator_slots_at_fee_cap", &["network", "signer"], "Transactions not mined that may not be replaced at a higher price"),
    metric(Gauge, "facilitator_statement_lag_seconds", &["network"], "Since the end of the oldest day that is final and not closed; 0 when none is"),
    metric(Counter, "facilitator_transactions_replaced_total", &["cargo", "network"], "Transactions replaced at a higher price"),
    metric(Counter, "facilitator_transactions_sent_total", &["network"], "Transactions handed to the chain for the first time"),
    metric(Gauge, "facilitator_webhook_backlog_seconds", &[], "For how long the oldest undelivered event has waited"),
    metric(Counter, "facilitator_webhook_deliveries_total", &["outcome"], "Attempts to deliver an event"),
    metric(Histogram, "facilitator_webhook_delivery_seconds", &[], "From an event's record to an endpoint's acceptance of it"),
];

/// Starts collecting metrics. Once a process.
///
/// # Errors
/// Metrics are collected already.
pub fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| TelemetryError(error.to_string()))?;
    for Metric { kind, name, help, .. } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram => metrics::describe_histogram!(name, help),
        }
    }
    Ok(handle)
}
