//! Named background tasks that end together: the only place that spawns.
//!
//! Work that must survive a caller who hangs up runs here, and nothing runs here that cannot be told to stop.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// One step of a task that must outlive its steps. None when it panicked: a bug of ours, told and counted.
pub async fn guarded<T>(step: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(step).catch_unwind().await;
    if done.is_err() {
        metrics::counter!("facilitator_panics_total").increment(1);
        tracing::error!("a step panicked; the task goes on with the next");
    }
    done.ok()
}

/// Work that another processor may do meanwhile. It ends with whoever waits for it, and a panic of its is one of his.
pub async fn beside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let mut task = JoinSet::new();
    task.spawn(work.in_current_span());
    match task.join_next().await {
        Some(Ok(done)) => done,
        Some(Err(failed)) if failed.is_panic() => resume_unwind(failed.into_panic()),
        // Only a runtime that ends ends the task before its end.
        Some(Err(_)) | None => pending().await,
    }
}

/// A group of tasks with one stop signal.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Starts a task. Its log lines carry its name.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let span = tracing::info_span!("task", task.name = name);
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that spawns, so that every task is drained"
        )]
        self.tracker.spawn(work.instrument(span));
    }

    /// Runs work to its end even if the caller goes away, and hands the caller its result. None when the work
    /// panicked.
    pub async fn finish<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        self.spawn(name, async move {
            // The caller may be gone; the work is done all the same.
            drop(done.send(work.await));
        });
        result.await.ok()
    }

    /// The signal on which every task ends its current step and returns.
    #[must_use]
    pub fn stop_signal(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells all tasks to stop and waits for them, but no longer than `patience`. True when all have ended.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}
