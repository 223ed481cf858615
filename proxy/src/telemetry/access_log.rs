//! Access logs: a line for each request or connection, written off the request path.
//!
//! A worker appends its lines to buffers of its own. A buffer that is full, or a second old, goes to the one writer thread as
//! a whole: no lock, no system call and no other thread is woken for a single line. A writer that falls behind costs lines,
//! which are counted, and never time.

/// Which exchanges are logged.
pub mod filter;
mod writer;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::access_log::{AccessLog, LogFormat, LogSink};
use crate::telemetry::metrics::NinonStats;

pub use filter::{Loggable, passes};
use writer::{Batch, Writer};

/// A buffer that holds this much goes to the writer (Envoy's `MIN_FLUSH_SIZE`).
const FULL: usize = 64 * 1024;
/// How long a line may wait in a worker. Short enough to watch a log, long enough for few batches.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// All access logs of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLogs(Arc<Writer>);

impl AccessLogs {
    /// Nothing runs until the first line.
    pub fn new(stats: Arc<NinonStats>) -> Self {
        Self(Arc::new(Writer::new(stats)))
    }

    /// One worker's side.
    pub fn worker(&self) -> Rc<WorkerLogs> {
        Rc::new(WorkerLogs { logs: self.clone(), buffers: RefCell::default(), first_line: Notify::new() })
    }

    /// Files are opened again, so that renamed ones are let go (SIGHUP).
    pub fn reopen(&self) {
        self.0.reopen();
    }

    /// Waits until all that workers handed over is written; `false` when that took longer than `limit`. Blocks this thread.
    pub fn flush(&self, limit: Duration) -> bool {
        self.0.flush(limit)
    }
}

/// One worker's lines that are not handed over yet.
#[derive(Debug)]
pub struct WorkerLogs {
    logs: AccessLogs,
    buffers: RefCell<Vec<Buffer>>,
    first_line: Notify,
}

#[derive(Debug)]
struct Buffer {
    sink: LogSink,
    bytes: Vec<u8>,
    lines: u64,
}

impl WorkerLogs {
    /// Writes a line to each log whose filter lets it through.
    pub fn log(&self, logs: &[AccessLog], exchange: &impl Loggable) {
        for log in logs {
            if log.filter.as_ref().is_none_or(|filter| passes(filter, exchange)) {
                self.append(&log.sink, &log.format, exchange);
            }
        }
    }

    fn append(&self, sink: &LogSink, format: &LogFormat, exchange: &impl Loggable) {
        let mut buffers = self.buffers.borrow_mut();
        let idle = buffers.iter().all(|buffer| buffer.lines == 0);
        // A worker has few sinks: looking through them is cheaper than hashing a path.
        let place = buffers.iter().position(|buffer| same(&buffer.sink, sink)).unwrap_or_else(|| {
            buffers.push(Buffer { sink: sink.clone(), bytes: Vec::new(), lines: 0 });
            buffers.len().saturating_sub(1)
        });
        let Some(buffer) = buffers.get_mut(place) else { return };
        exchange.write_line(format, &mut buffer.bytes);
        buffer.lines = buffer.lines.saturating_add(1);
        if buffer.bytes.len() >= FULL {
            self.logs.0.hand_over(buffer.take());
        } else if idle {
            self.first_line.notify_one();
        }
    }

    /// Hands over all lines.
    pub fn flush(&self) {
        let mut buffers = self.buffers.borrow_mut();
        for buffer in buffers.iter_mut().filter(|buffer| buffer.lines > 0) {
            self.logs.0.hand_over(buffer.take());
        }
        // Sinks of an earlier configuration go with their empty buffers; those in use come back with their next line.
        buffers.clear();
    }

    /// Hands lines over before they are old. For a task of the worker; it sleeps as long as there are no lines.
    pub async fn flush_in_time(&self) {
        loop {
            self.first_line.notified().await;
            tokio::time::sleep(FLUSH_AFTER).await;
            self.flush();
        }
    }
}

/// Lines survive their worker.
impl Drop for WorkerLogs {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Buffer {
    fn take(&mut self) -> Batch {
        let bytes = std::mem::take(&mut self.bytes);
        Batch { sink: self.sink.clone(), bytes, lines: std::mem::take(&mut self.lines) }
    }
}

/// As `==`, but for paths by their bytes rather than by their components.
fn same(left: &LogSink, right: &LogSink) -> bool {
    match (left, right) {
        (LogSink::File(left), LogSink::File(right)) => left.as_os_str() == right.as_os_str(),
        (LogSink::Stdout, LogSink::Stdout) | (LogSink::Stderr, LogSink::Stderr) => true,
        (LogSink::File(_) | LogSink::Stdout | LogSink::Stderr, _) => false,
    }
}
