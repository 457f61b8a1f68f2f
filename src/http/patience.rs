//! A connection that gives a request's head a short time to arrive, and itself a long time between requests; and
//! that does not wait for ever for a client to take its answer.
//!
//! hyper has one timeout for both (`header_read_timeout`, which also runs while a kept-alive connection is idle).
//! Set short, it closes connections that a proxy or a client's pool is about to use again, and a `POST` that meets
//! a closing connection cannot be repeated safely by them; set long, it lets anybody hold a connection with a
//! byte now and then. So hyper's is set for idling and this stream watches the head.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a request's head may take, from its first byte on.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long the client may take none of an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// How far a connection is with its present request; shared by its stream and its service. One task runs both,
/// so nothing is ordered by these.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Flags>);

#[derive(Default)]
struct Flags {
    /// Bytes of a head have arrived, and not all of it.
    is_heading: AtomicBool,
    /// The head is there and the answer is not: what arrives now is the request's body.
    is_serving: AtomicBool,
}

impl Progress {
    /// The head is complete.
    pub(super) fn serving(&self) {
        self.0.is_heading.store(false, Ordering::Relaxed);
        self.0.is_serving.store(true, Ordering::Relaxed);
    }

    /// The answer is ready.
    pub(super) fn served(&self) {
        self.0.is_serving.store(false, Ordering::Relaxed);
    }

    fn arrived(&self) {
        if !self.0.is_serving.load(Ordering::Relaxed) {
            self.0.is_heading.store(true, Ordering::Relaxed);
        }
    }

    fn is_heading(&self) -> bool {
        self.0.is_heading.load(Ordering::Relaxed)
    }
}

/// A time limit on one thing that may be pending.
#[derive(Default)]
struct Limit {
    /// Made on first need: nothing usually waits long enough to need it.
    timer: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl Limit {
    /// The thing is still pending; an error once it has been for `patience`.
    fn poll(&mut self, patience: Duration, context: &mut Context<'_>) -> Poll<io::Error> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !self.is_running {
            self.is_running = true;
            let now = Instant::now();
            timer.as_mut().reset(now.checked_add(patience).unwrap_or(now));
        }
        timer.as_mut().poll(context).map(|()| io::ErrorKind::TimedOut.into())
    }

    /// The thing is done.
    fn rest(&mut self) {
        self.is_running = false;
    }
}

/// A stream of requests.
pub(super) struct Patient<S> {
    stream: S,
    progress: Progress,
    head: Limit,
    answer: Limit,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, progress: Progress) -> Self {
        Self {
            stream,
            progress,
            head: Limit::default(),
            answer: Limit::default(),
        }
    }

    /// Holds what writing came to against the time that it may take.
    fn limited<T>(&mut self, wrote: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if wrote.is_pending() {
            return self.answer.poll(ANSWER_PATIENCE, context).map(Err);
        }
        self.answer.rest();
        wrote
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.stream).poll_read(context, buffer)?.is_ready() {
            if buffer.filled().len() > before {
                self.progress.arrived();
            }
            return Poll::Ready(Ok(()));
        }
        if self.progress.is_heading() {
            return self.head.poll(HEAD_PATIENCE, context).map(Err);
        }
        self.head.rest();
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limited(wrote, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.limited(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.limited(shut, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limited(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_must_come_soon_and_an_idle_connection_may_wait() {
        let (mut client, server) = duplex(64);
        let progress = Progress::default();
        let mut stream = Patient::new(server, progress.clone());
        let mut buffer = [0; 64];

        let idle = tokio::time::timeout(HEAD_PATIENCE.saturating_mul(10), stream.read(&mut buffer)).await;
        assert!(idle.is_err(), "an idle connection is left alone");

        client.write_all(b"GET / HTTP").await.unwrap();
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 10);
        progress.serving();
        let body = tokio::time::timeout(HEAD_PATIENCE.saturating_mul(10), stream.read(&mut buffer)).await;
        assert!(body.is_err(), "a request being served is left alone");
        progress.served();
        let idle = tokio::time::timeout(HEAD_PATIENCE.saturating_mul(10), stream.read(&mut buffer)).await;
        assert!(idle.is_err(), "and so is the connection after it");

        let began = Instant::now();
        client.write_all(b"GET").await.unwrap();
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 3);
        let error = stream.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), HEAD_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_buys_no_time() {
        let (mut client, server) = duplex(64);
        let mut stream = Patient::new(server, Progress::default());
        let mut buffer = [0; 64];
        let began = Instant::now();
        let drip = async {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let read = async { while stream.read(&mut buffer).await.is_ok() {} };
        tokio::select! { () = drip => {}, () = read => {} }
        assert!(began.elapsed() <= HEAD_PATIENCE.saturating_mul(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_left() {
        let (mut client, server) = duplex(64);
        let mut stream = Patient::new(server, Progress::default());
        stream.write_all(&[0; 64]).await.unwrap();
        let began = Instant::now();
        let taken = async {
            tokio::time::sleep(ANSWER_PATIENCE / 2).await;
            client.read_exact(&mut [0; 64]).await.unwrap();
        };
        let (wrote, ()) = tokio::join!(stream.write_all(&[0; 65]), taken);
        assert_eq!(wrote.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), ANSWER_PATIENCE.mul_f32(1.5));
    }
}
