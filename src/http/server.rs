//! The server: accepts connections, serves them, and lets them end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::http::Settings;
use crate::http::patience::{Patient, Progress};

/// How long a connection may idle between two requests: longer than the load balancers in front of it keep
/// theirs, commonly 60 s, so that it is never this side that closes one about to be used.
const IDLE_PATIENCE: Duration = Duration::from_secs(75);

/// Bytes of a request's head.
const HEAD_MAX: usize = 16 * 1024;

/// How long to wait after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the router until `stop`, then takes no new connection, lets the requests under way end, and returns
/// when the last connection is closed. HTTP/1 only.
pub async fn serve(listener: TcpListener, router: Router, settings: &Settings, stop: CancellationToken) {
    let seats = Arc::new(Semaphore::new(
        settings.connections_max.clamp(1, Semaphore::MAX_PERMITS),
    ));
    // Connections live in here rather than in the task module: they end with this future, at the latest.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &seats) => match accepted {
                Ok((stream, seat)) => {
                    connections.spawn(connection(stream, router.clone(), stop.clone(), seat));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener, seats: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let seat = Arc::clone(seats).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are small and written at once: waiting to fill a packet only delays them.
    stream.set_nodelay(true)?;
    Ok((stream, seat))
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken, _seat: OwnedSemaphorePermit) {
    let progress = Progress::default();
    let stream = TokioIo::new(Patient::new(stream, progress.clone()));
    let service = service_fn(move |request| answer(router.clone(), progress.clone(), request));
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

async fn answer(mut router: Router, progress: Progress, request: Request<Incoming>) -> Result<Response, Infallible> {
    progress.serving();
    let response = router.call(request.map(Body::new)).await;
    progress.served();
    response
}
