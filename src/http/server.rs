//! The server: accepts connections, serves them, and lets them end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::app::admin::Office;
use crate::app::desk::Desk;
use crate::http::patience::{Patient, Progress};
use crate::http::rates::Peer;
use crate::http::{Parts, Settings, admin, operator};
use crate::telemetry::MetricsSettings;

/// How long a connection may idle between two requests: longer than the load balancers in front of it keep
/// theirs, commonly 60 s, so that it is never this side that closes one about to be used.
const IDLE_PATIENCE: Duration = Duration::from_secs(75);

/// Bytes of a request's head.
const HEAD_MAX: usize = 16 * 1024;

/// Connections that read metrics.
const METRICS_CONNECTIONS_MAX: usize = 16;

/// How long to wait after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long requests under way may take to end once the server is told to stop: a little more than the longest
/// answer takes.
const DRAIN_PATIENCE: Duration = Duration::from_secs(26);

/// How often metrics are tidied when nobody reads them: their samples pile up until then.
const METRICS_PERIOD: Duration = Duration::from_secs(5);

/// An address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address} ({key})")]
pub struct ListenError {
    /// The setting: `http.listen`, `metrics.listen`, `operator.listen` or `admin.listen`.
    pub key: &'static str,
    /// Its value.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// Serves the application and, at addresses of their own, its metrics and, where there is one, the operator's page, until `stop`; then takes no new connection,
/// lets the requests under way end for up to 26 s, and returns. HTTP/1 only. Call it after the metrics recorder is
/// installed.
///
/// # Errors
/// An address cannot be listened at; nothing was served.
pub async fn serve(
    settings: &Settings,
    metrics: &MetricsSettings,
    operator: Option<(&operator::Settings, Desk)>,
    office: Option<(&admin::Settings, Office)>,
    parts: Parts,
    recorded: PrometheusHandle,
    stop: impl Future<Output = ()>,
) -> Result<(), ListenError> {
    let public = listen("http.listen", settings.listen).await?;
    let private = listen("metrics.listen", metrics.listen).await?;
    let page = match operator {
        Some((settings, desk)) => Some(page(settings, desk, parts.clone()).await?),
        None => None,
    };
    metrics::gauge!("facilitator_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    let office = match office {
        Some((settings, office)) => {
            let listener = listen("admin.listen", settings.listen).await?;
            Some((listener, admin::router(office, settings)))
        }
        None => None,
    };
    tracing::info!(http = %settings.listen, metrics = %metrics.listen, "listening");
    let routes = super::router(parts, settings);
    let public = accept_all(public, routes, settings.connections_max, stop);
    let shown = recorded.clone();
    let metrics = Router::new().route("/metrics", get(async move || shown.render()));
    let private = accept_all(private, metrics, METRICS_CONNECTIONS_MAX, std::future::pending());
    let page = beside(page, operator::CONNECTIONS_MAX);
    let office = beside(office, admin::CONNECTIONS_MAX);
    // Metrics and the operator's page stay readable until the last request is answered.
    tokio::select! {
        () = public => {}
        () = page => {}
        () = office => {}
        () = private => {}
        () = tidy(&recorded) => {}
    }
    Ok(())
}

/// Serves a listener that there may be none of, for as long as the public one is served.
async fn beside(listener: Option<(TcpListener, Router)>, connections_max: usize) {
    match listener {
        Some((listener, routes)) => accept_all(listener, routes, connections_max, std::future::pending()).await,
        None => std::future::pending().await,
    }
}

async fn page(settings: &operator::Settings, desk: Desk, parts: Parts) -> Result<(TcpListener, Router), ListenError> {
    let listener = listen("operator.listen", settings.listen).await?;
    tracing::info!(operator = %settings.listen, "listening for the operator: whoever reaches it sees everything");
    Ok((listener, operator::router(parts, desk, settings)))
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError { key, address, source })
}

async fn tidy(recorded: &PrometheusHandle) {
    loop {
        tokio::time::sleep(METRICS_PERIOD).await;
        recorded.run_upkeep();
    }
}

/// Serves the router to every connection until `stop`, then lets the connections end. They live in here rather than
/// in the task module: none outlives this future.
pub(super) async fn accept_all(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    stop: impl Future<Output = ()>,
) {
    let seats = Arc::new(Semaphore::new(connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let stopped = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = stop.as_mut() => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &seats) => match accepted {
                Ok((stream, peer, seat)) => {
                    connections.spawn(connection(stream, Peer(peer.ip()), router.clone(), stopped.clone(), seat));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stopped.cancel();
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_PATIENCE, ended).await.is_err() {
        tracing::warn!("connections were cut with requests under way");
    }
}

async fn accept(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small and written at once: waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    Ok((stream, peer, seat))
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    stop: CancellationToken,
    _seat: OwnedSemaphorePermit,
) {
    let progress = Progress::default();
    let stream = TokioIo::new(Patient::new(stream, progress.clone()));
    let service = service_fn(move |request| answer(router.clone(), peer, progress.clone(), request));
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_PATIENCE)
        .max_buf_size(HEAD_MAX)
        .serve_connection(stream, service);
    let mut serve = std::pin::pin!(serve);
    let ended = tokio::select! {
        ended = serve.as_mut() => ended,
        () = stop.cancelled() => {
            serve.as_mut().graceful_shutdown();
            serve.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn answer(
    mut router: Router,
    peer: Peer,
    progress: Progress,
    mut request: Request<Incoming>,
) -> Result<Response, Infallible> {
    progress.serving();
    request.extensions_mut().insert(peer);
    let response = router.call(request.map(Body::new)).await;
    progress.served();
    response
}
