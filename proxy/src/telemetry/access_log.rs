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
use crate::task::OwnedTask;
use crate::telemetry::metrics::Registry;
use crate::telemetry::substitution::{self, Exchange};

pub use filter::fits;
use writer::{Batch, Writer};

/// A buffer that holds this much goes to the writer (Envoy's `MIN_FLUSH_SIZE`).
const FULL: usize = 64 * 1024;
/// How long a line may wait in a worker. Short enough to watch a log, long enough for few batches.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// All access logs of the process.
#[derive(Debug)]
pub struct AccessLogs(Arc<Writer>);

impl AccessLogs {
    /// Nothing runs until the first line.
    pub fn new(registry: &Registry) -> Self {
        Self(Arc::new(Writer::new(Arc::clone(&registry.ninon))))
    }

    /// One worker's side; to be called on the worker's thread.
    pub fn worker(&self) -> WorkerLog {
        let lines = Rc::new(Lines { writer: Arc::clone(&self.0), buffers: RefCell::default(), first_line: Notify::new() });
        let flusher = OwnedTask::spawn(flush_in_time(Rc::clone(&lines)));
        WorkerLog { lines, _flusher: flusher }
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

/// One worker's lines that are not handed over yet. Dropped, it hands over what it has.
#[derive(Debug)]
pub struct WorkerLog {
    lines: Rc<Lines>,
    _flusher: OwnedTask,
}

#[derive(Debug)]
struct Lines {
    writer: Arc<Writer>,
    buffers: RefCell<Vec<Buffer>>,
    first_line: Notify,
}

#[derive(Debug)]
struct Buffer {
    sink: LogSink,
    bytes: Vec<u8>,
    lines: u64,
}

impl WorkerLog {
    /// Writes a line to each log whose filter lets it through.
    pub fn log(&self, logs: &[AccessLog], exchange: &Exchange<'_>) {
        for log in logs {
            if log.filter.as_ref().is_none_or(|filter| fits(filter, exchange)) {
                self.lines.append(&log.sink, &log.format, exchange);
            }
        }
    }

    /// Hands over all lines.
    pub fn flush(&self) {
        self.lines.flush();
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Lines {
    fn append(&self, sink: &LogSink, format: &LogFormat, exchange: &Exchange<'_>) {
        let mut buffers = self.buffers.borrow_mut();
        let idle = buffers.iter().all(|buffer| buffer.lines == 0);
        // A worker has few sinks: looking through them is cheaper than hashing a path.
        let place = buffers.iter().position(|buffer| same(&buffer.sink, sink)).unwrap_or_else(|| {
            buffers.push(Buffer { sink: sink.clone(), bytes: Vec::new(), lines: 0 });
            buffers.len().saturating_sub(1)
        });
        let Some(buffer) = buffers.get_mut(place) else { return };
        substitution::log_line(format, exchange, &mut buffer.bytes);
        buffer.lines = buffer.lines.saturating_add(1);
        if buffer.bytes.len() >= FULL {
            self.writer.hand_over(buffer.take());
        } else if idle {
            self.first_line.notify_one();
        }
    }

    fn flush(&self) {
        let mut buffers = self.buffers.borrow_mut();
        for buffer in buffers.iter_mut().filter(|buffer| buffer.lines > 0) {
            self.writer.hand_over(buffer.take());
        }
        // Sinks of an earlier configuration go with their empty buffers; those in use come back with their next line.
        buffers.clear();
    }
}

/// Hands lines over before they are old; sleeps as long as there are none.
async fn flush_in_time(lines: Rc<Lines>) {
    loop {
        lines.first_line.notified().await;
        tokio::time::sleep(FLUSH_AFTER).await;
        lines.flush();
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

#[cfg(test)]
mod tests;
