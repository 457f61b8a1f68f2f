//! What an OpenTelemetry collector hears: a span for each request, and a trace of its own for each payment.
//!
//! A payment's trace and its root span are named by the payment's id alone, so that every process that does something for
//! it, after a crash as well, tells of the same trace without asking anybody. A stage is told once it is on record; it has
//! lasted since the one before, as far as the process that tells it was there. Requests are linked with their payments.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SdkTracer, SdkTracerProvider, ShouldSample,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

use crate::domain::id::PaymentId;

/// The target of the spans that are for the collector and not for the log.
pub const TARGET: &str = "facilitator::trace";

/// How long a batch of spans may take to reach the collector, and all that is left at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where traces go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The collector's base URL for OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is added.
    pub endpoint: String,
    /// Headers that the collector wants, as for authentication.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The share of traces that is told, from 0 to 1. A request that belongs to a trace of its caller's is told if that is.
    #[serde(default = "all")]
    pub sample: f64,
    /// What the service is called there.
    #[serde(default = "service")]
    pub service: String,
}

const fn all() -> f64 {
    1.0
}

fn service() -> String {
    "facilitator".to_owned()
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("sample", &self.sample)
            .finish_non_exhaustive()
    }
}

/// Traces cannot be told as configured.
#[derive(Debug, thiserror::Error)]
#[error("traces.{key}: {what}")]
pub struct TraceError {
    key: &'static str,
    what: String,
}

/// Tells a collector, in the background: nothing waits for it, and what it cannot take is dropped.
pub struct Exporter(SdkTracerProvider);

/// The one of this process.
static TELLER: OnceLock<Teller> = OnceLock::new();

struct Teller {
    tracer: SdkTracer,
    share: Sampler,
}

impl Exporter {
    /// Begins to tell. Once a process. The collector need not be there yet.
    ///
    /// # Errors
    /// The settings cannot be followed.
    pub fn start(settings: &Settings) -> Result<Self, TraceError> {
        let wrong = |key, what: String| TraceError { key, what };
        if !(0.0..=1.0).contains(&settings.sample) {
            return Err(wrong("sample", format!("expected 0 to 1, not {}", settings.sample)));
        }
        let base = settings.endpoint.trim_end_matches('/');
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(wrong(
                "endpoint",
                "expected a URL that begins with http:// or https://".to_owned(),
            ));
        }
        // Fails only when another client installed a provider before, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{base}/v1/traces"))
            .with_headers(settings.headers.clone().into_iter().collect())
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| wrong("endpoint", error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name(settings.service.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let share = Sampler::TraceIdRatioBased(settings.sample);
        let provider = SdkTracerProvider::builder()
            .with_id_generator(Ids(RandomIdGenerator::default()))
            .with_sampler(Sampler::ParentBased(Box::new(share.clone())))
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("facilitator");
        let told = TELLER.set(Teller { tracer, share });
        told.map_err(|_| wrong("endpoint", "this process tells a collector already".to_owned()))?;
        Ok(Self(provider))
    }

    /// What hears of the spans whose target is [`TARGET`].
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("facilitator"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(|it| it.is_span() && it.target() == TARGET))
    }

    /// Tells what is left, a moment at most.
    pub fn stop(self) {
        if let Err(error) = self.0.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(error = %error, "the last traces did not reach the collector");
        }
    }
}

/// The span of a request, in its caller's trace where it names one (W3C Trace Context, headers `traceparent` and
/// `tracestate`). `header` gives a header's value.
pub fn request(method: &str, route: &'static str, header: impl Fn(&str) -> Option<String>) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        payment.id = tracing::field::Empty,
    );
    if !span.is_disabled() {
        let headers = Headers(["traceparent", "tracestate"].map(|name| (name, header(name))));
        // Fails only for a span that nobody is told of.
        drop(span.set_parent(TraceContextPropagator::new().extract(&headers)));
    }
    span
}

/// The span of a step within a request.
pub fn step(name: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "step", otel.name = name)
}

/// Ends the request's span with its answer, and links it with the payment that it was about.
pub fn answered(span: &Span, status: u16, payment: Option<PaymentId>) {
    span.record("http.response.status_code", status);
    if let (Some(teller), Some(payment)) = (TELLER.get(), payment) {
        span.record("payment.id", tracing::field::display(payment));
        span.add_link(teller.root(payment));
    }
}

/// Tells that the payment has come through a stage, and that this is on record.
pub fn stage(payment: PaymentId, name: &'static str, took: Duration, about: &[(&'static str, &str)]) {
    let Some(teller) = TELLER.get() else { return };
    let root = teller.root(payment);
    if root.is_sampled() {
        let parent = Context::new().with_remote_span_context(root);
        teller.tell(name, took, about, &parent);
    }
}

/// Tells of the payment as a whole, now that it is over, and how it ended.
pub fn whole(payment: PaymentId, began: SystemTime, network: &str, end: &str) {
    let Some(teller) = TELLER.get() else { return };
    let took = began.elapsed().unwrap_or_default();
    let root = teller.root(payment);
    if root.is_sampled() {
        NEXT.set(Some((root.trace_id(), root.span_id())));
        let id = payment.to_string();
        let about = [("payment.id", id.as_str()), ("network", network), ("payment.end", end)];
        teller.tell("payment", took, &about, &Context::new());
        NEXT.set(None);
    }
}

impl Teller {
    /// The root of the payment's trace, whether or not it is told yet: all of it follows from the payment's id.
    fn root(&self, payment: PaymentId) -> SpanContext {
        let hash: [u8; 32] = Sha256::digest(payment.to_string()).into();
        let (Some(trace), Some(span)) = (hash.first_chunk(), hash.last_chunk()) else {
            return SpanContext::empty_context();
        };
        let (trace, span) = (TraceId::from_bytes(*trace), SpanId::from_bytes(*span));
        let sampled = self
            .share
            .should_sample(None, trace, "payment", &SpanKind::Internal, &[], &[]);
        let flags = TraceFlags::default().with_sampled(sampled.decision == SamplingDecision::RecordAndSample);
        SpanContext::new(trace, span, flags, true, TraceState::NONE)
    }

    fn tell(&self, name: &'static str, took: Duration, about: &[(&'static str, &str)], parent: &Context) {
        let now = opentelemetry::time::now();
        let attributes = about
            .iter()
            .map(|(key, value)| KeyValue::new(*key, (*value).to_owned()));
        let request = Span::current().context().span().span_context().clone();
        let links = Some(Link::with_context(request)).filter(|it| it.span_context.is_valid());
        let span = self
            .tracer
            .span_builder(name)
            .with_start_time(now.checked_sub(took).unwrap_or(now))
            .with_attributes(attributes)
            .with_links(links.into_iter().collect());
        self.tracer.build_with_context(span, parent).end_with_timestamp(now);
    }
}

thread_local! {
    /// The names of the next span that this thread begins, where they are not to be random.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

#[derive(Debug)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

/// The headers of the W3C's Trace Context.
struct Headers([(&'static str, Option<String>); 2]);

impl Extractor for Headers {
    fn get(&self, key: &str) -> Option<&str> {
        let header = self.0.iter().find(|(name, _)| *name == key);
        header.and_then(|(_, value)| value.as_deref())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}
