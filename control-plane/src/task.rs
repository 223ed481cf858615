//! Tasks with an owner: the only place that spawns.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A task that stops when this is dropped.
#[derive(Debug)]
#[must_use = "the task stops when this is dropped"]
pub struct OwnedTask<T = ()>(JoinHandle<T>);

impl<T: Send + 'static> OwnedTask<T> {
    /// Starts `future`.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }

    /// Starts `future` on another runtime's threads.
    pub fn spawn_on(runtime: &Handle, future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(runtime.spawn(future))
    }

    /// Runs what blocks, on a thread for such.
    pub fn blocking(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(tokio::task::spawn_blocking(work))
    }

    /// Waits for the end; `None` when the task panicked.
    pub async fn join(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for OwnedTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
