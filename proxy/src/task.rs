//! Tasks with an owner: the only place that spawns.

mod clocks;
mod seldom;

use std::future::Future;

use tokio::task::JoinHandle;

pub use clocks::sleep_by_either_clock;
pub use seldom::Seldom;

/// A task on this thread's runtime; it stops when this is dropped.
#[derive(Debug)]
#[must_use = "the task stops when this is dropped"]
pub struct OwnedTask<T = ()>(JoinHandle<T>);

impl<T: 'static> OwnedTask<T> {
    /// Starts `future` on the current thread.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn(future: impl Future<Output = T> + 'static) -> Self {
        Self(tokio::task::spawn_local(future))
    }

    /// Waits for the end, which is told once; `None` when the task panicked.
    pub async fn wait(&mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }

    /// Waits for the end; `None` when the task panicked.
    pub async fn join(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }

    /// Runs what blocks, on a thread for such.
    pub fn blocking(work: impl FnOnce() -> T + Send + 'static) -> Self
    where
        T: Send,
    {
        Self(tokio::task::spawn_blocking(work))
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Drop for OwnedTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets a task run on its own: it ends with the connection or request that it serves, whose limits bound it.
#[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
pub fn spawn_bounded_by_connection(future: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(future));
}

/// Runs a connection's tasks of hyper's on this thread: streams of HTTP/2, which end with it.
#[derive(Clone, Copy, Debug)]
pub struct Here;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        spawn_bounded_by_connection(task);
    }
}
