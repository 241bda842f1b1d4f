//! The threads that the core runs on. They belong to one [`Installer`](crate::Installer) and end with it.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use lowtouch_installer::{ErrorCode, PairingError};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What is under way when the last object is gone (a connection being ended, a journal write) may take so long yet.
const LAST: Duration = Duration::from_secs(10);

pub(crate) struct Tasks {
    runtime: Option<Runtime>,
    closing: CancellationToken,
    jobs: TaskTracker,
}

impl Tasks {
    pub(crate) fn new() -> Result<Self, PairingError> {
        let mut builder = Builder::new_multi_thread();
        // The core waits more than it works; two threads also do where one is held by a foreign call.
        let runtime = builder.worker_threads(2).thread_name("lowtouch").enable_all().build();
        let runtime = runtime.map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.to_string()))?;
        Ok(Self { runtime: Some(runtime), closing: CancellationToken::new(), jobs: TaskTracker::new() })
    }

    /// Cancelled when the objects are gone, or shut down.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Does work on the core's threads. When the returned future is dropped, the work is dropped too.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PairingError>> + Send + 'static,
    ) -> Result<T, PairingError> {
        let mut task = AbortOnDrop(self.spawn(work)?);
        match pin!(&mut task.0).await {
            Ok(done) => done,
            Err(stopped) if stopped.is_panic() => {
                Err(PairingError::with_detail(ErrorCode::Internal, stopped.to_string()))
            }
            Err(_) => Err(ErrorCode::Cancelled.into()),
        }
    }

    /// Work that ends with these tasks at the latest.
    pub(crate) fn until_closing(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<(), PairingError> {
        let closing = self.closing.clone();
        self.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = work => {}
            }
        })
        .map(drop)
    }

    /// A job that [`end_jobs`](Self::end_jobs) waits for.
    pub(crate) fn job(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<(), PairingError> {
        self.spawn(self.jobs.track_future(work)).map(drop)
    }

    /// Everything is cancelled, and the jobs are waited for.
    pub(crate) async fn end_jobs(&self) {
        self.closing.cancel();
        self.jobs.close();
        let _ = tokio::time::timeout(LAST, self.jobs.wait()).await;
    }

    /// What must be called on the core's threads, from any other.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let _entered = self.runtime.as_ref()?.enter();
        Some(work())
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>, PairingError> {
        let runtime = self.runtime.as_ref().ok_or(ErrorCode::Internal)?;
        Ok(runtime.spawn(work))
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.closing.cancel();
        let Some(runtime) = self.runtime.take() else { return };
        // The last object may be dropped on any thread, also on one of the core's own.
        let end = std::thread::Builder::new().name("lowtouch-end".into()).spawn(move || {
            let tasks = runtime.metrics();
            let ended = async {
                while tasks.num_alive_tasks() > 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let _ = runtime.block_on(async { tokio::time::timeout(LAST, ended).await });
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        if let Err(error) = end {
            tracing::warn!(%error, "the core's threads end without waiting for what is under way");
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
