//! What does not depend on the use cases: the frame around every route, and the server under it.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;

/// The real frame around routes that panic, wait for ever or answer.
fn framed(in_flight_max: usize) -> Router {
    let routes = Router::new()
        .route("/verify", post(async || -> Response { panic!("on purpose") }))
        .route("/settle", post(std::future::pending::<Response>))
        .route("/health/live", get(health::live))
        .route("/version", get(health::version));
    frame::around(routes, in_flight_max, None)
}

fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

async fn body(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn what_is_no_route_is_told_so_in_json() {
    let response = framed(9).oneshot(request(Method::GET, "/nothing")).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(body(response).await["error"]["code"], "not_found");

    for (path, allow) in [("/verify", "POST"), ("/settle", "POST"), ("/version", "GET,HEAD")] {
        let response = framed(9).oneshot(request(Method::DELETE, path)).await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], allow);
        let body = body(response).await;
        match path {
            "/verify" => assert_eq!(body["isValid"], false),
            "/settle" => assert_eq!((&body["success"], &body["network"]), (&false.into(), &NETWORK.into())),
            _ => assert_eq!(body["error"]["code"], "method_not_allowed"),
        }
    }
}

const NETWORK: &str = "unknown:unknown";

#[tokio::test]
async fn a_panic_is_an_answer_of_the_endpoints_shape() {
    let response = framed(9).oneshot(request(Method::POST, "/verify")).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = body(response).await;
    assert_eq!(body["isValid"], false);
    assert_eq!(body["invalidReason"], "unexpected_verify_error");
}

#[tokio::test(start_paused = true)]
async fn one_request_too_many_is_turned_away_and_health_is_not() {
    let router = framed(1);
    let held = router.clone().oneshot(request(Method::POST, "/settle"));
    let mut held = Box::pin(held);
    assert!(futures_util::poll!(&mut held).is_pending());

    let refused = router.clone().oneshot(request(Method::POST, "/settle")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(body(refused).await["errorReason"], "unexpected_settle_error");
    let live = router
        .clone()
        .oneshot(request(Method::GET, "/health/live"))
        .await
        .unwrap();
    assert_eq!(live.status(), StatusCode::OK);

    drop(held);
    let response = router.oneshot(request(Method::POST, "/verify")).await.unwrap();
    assert_eq!(
        response.status(),
        StatusCode::INTERNAL_SERVER_ERROR,
        "the seat is free again"
    );
}

#[tokio::test]
async fn a_request_keeps_its_name_or_gets_one() {
    let named = |name: &str| {
        let mut request = request(Method::GET, "/version");
        request.headers_mut().insert("x-request-id", name.parse().unwrap());
        framed(9).oneshot(request)
    };
    assert_eq!(named("order-7_a").await.unwrap().headers()["x-request-id"], "order-7_a");
    for unfit in ["", "a b", &"a".repeat(65)] {
        let response = named(unfit).await.unwrap();
        let minted = response.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(minted.len(), 32, "{unfit}");
        assert!(minted.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[test]
fn every_route_has_a_method_and_path_of_its_own() {
    for (index, route) in ROUTES.iter().enumerate() {
        let is_other = |it: &Route| (it.method, it.path) != (route.method, route.path);
        assert!(ROUTES[..index].iter().all(is_other), "{}", route.path);
        assert!(
            ROUTES[..index].iter().all(|it| it.endpoint != route.endpoint),
            "{}",
            route.path
        );
    }
}

async fn answered(stream: &mut TcpStream) -> String {
    let mut buffer = vec![0; 4096];
    let length = stream.read(&mut buffer).await.unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn the_server_keeps_connections_and_ends_when_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = server::accept_all(listener, framed(9), 9, stop.cancelled());
    let asking = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            stream
                .write_all(b"GET /version HTTP/1.1\r\nhost: it\r\n\r\n")
                .await
                .unwrap();
            let answer = answered(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with('}'), "{answer}");
        }
        stop.cancel();
        assert_eq!(answered(&mut stream).await, "", "an idle connection is closed");
    };
    let both = async { tokio::join!(serving, asking) };
    tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
}
