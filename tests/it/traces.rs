//! A payment's trace: from the request to finality, whichever process has told which part of it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::refunds::id_of;
use crate::support::eventually;
use crate::support::payer::Payment;
use crate::support::world::{Setup, World};

/// A collector of traces (OTLP over HTTP, binary): keeps every span that it is told of.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Self {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(collect))
            .with_state(Arc::clone(&spans));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, spans }
    }

    /// The span of this name, once there is one.
    async fn told(&self, name: &str) -> Span {
        eventually(&format!("a span {name}"), async || {
            let spans = self.spans.lock().unwrap();
            spans.iter().find(|it| it.name == name).cloned()
        })
        .await
    }
}

async fn collect(State(spans): State<Arc<Mutex<Vec<Span>>>>, body: Bytes) -> StatusCode {
    let told = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = told.resource_spans.into_iter().flat_map(|it| it.scope_spans);
    spans.lock().unwrap().extend(scopes.flat_map(|it| it.spans));
    StatusCode::OK
}

/// What the span says of itself under this key.
fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == key);
    match found.and_then(|it| it.value.as_ref()?.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        other => panic!("{key} of {}: {other:?}", span.name),
    }
}

async fn traced(collector: &Collector, more: &str) -> World {
    let mut world = World::prepare(Setup {
        epoch: Some(1),
        ..Setup::default()
    })
    .await;
    world.facilitator.config.more = format!("[traces]\nendpoint = \"{}\"\n{more}", collector.url);
    world.facilitator.start().await;
    world
}

#[tokio::test]
async fn one_trace_follows_a_payment_from_its_request_to_finality_through_a_crash() {
    let collector = Collector::start().await;
    let mut world = traced(&collector, "").await;
    let payment = Payment::by(1);
    let headers = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    let caller = world.facilitator.caller();
    caller.settle_named(&payment.body(), &headers).await.settled();
    let confirmed = collector.told("payment.confirmed").await;
    let request = collector.told("POST /settle").await;
    world.facilitator.kill();
    world.facilitator.start().await;
    world.node.mine(4).await;
    world.reaches(&payment, "final").await;
    let id = id_of(&world, &payment).await;

    let root = collector.told("payment").await;
    assert_eq!((root.trace_id.len(), root.parent_span_id.len()), (16, 0));
    assert_eq!(attribute(&root, "payment.id"), id);
    assert_eq!(attribute(&root, "payment.end"), "payment.finalized");
    for stage in [
        "payment.reserved",
        "payment.signed",
        "payment.confirmed",
        "payment.finalized",
    ] {
        let span = collector.told(stage).await;
        assert_eq!(
            (&span.trace_id, &span.parent_span_id),
            (&root.trace_id, &root.span_id),
            "{stage}"
        );
        assert!(
            span.start_time_unix_nano >= root.start_time_unix_nano - 1_000_000_000,
            "{stage}"
        );
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano, "{stage}");
    }
    assert!(attribute(&confirmed, "tx.id").starts_with("0x"));
    // The request is a part of its caller's trace, and each of both names the other.
    assert_eq!(hex::encode(&request.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex::encode(&request.parent_span_id), "b7ad6b7169203331");
    assert_eq!(attribute(&request, "http.response.status_code"), "200");
    let links = |span: &Span| -> Vec<Vec<u8>> { span.links.iter().map(|it| it.trace_id.clone()).collect() };
    assert_eq!(links(&request), std::slice::from_ref(&root.trace_id));
    let reserved = collector.told("payment.reserved").await;
    assert_eq!(links(&reserved), std::slice::from_ref(&request.trace_id));
    for step in ["ask the chain", "reserve", "wait for the chain"] {
        let span = collector.told(step).await;
        assert_eq!(
            (&span.trace_id, &span.parent_span_id),
            (&request.trace_id, &request.span_id),
            "{step}"
        );
    }
    // What only the collector is told is not in the log, and no collector is needed to settle.
    assert!(!world.facilitator.logs().contains("wait for the chain"));
}

#[tokio::test]
async fn nothing_waits_for_a_collector_and_what_is_not_sampled_is_not_told() {
    let collector = Collector::start().await;
    let world = traced(&collector, "sample = 0.0\n").await;
    world.facilitator.settle(&Payment::by(1).body()).await.settled();
    world.facilitator.terminate();
    let mut world = world;
    assert!(world.facilitator.ended().await.success());
    assert_eq!(collector.spans.lock().unwrap().len(), 0);

    let closed = crate::support::process::free_port();
    world.facilitator.config.more = format!("[traces]\nendpoint = \"http://127.0.0.1:{closed}\"\n");
    world.facilitator.start().await;
    world.facilitator.settle(&Payment::by(2).body()).await.settled();
}
