use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::config::access_log::LogSink;
use crate::telemetry::logging::Throttle;
use crate::telemetry::metrics::NinonStats;

/// Bytes that may wait for the writer: what a busy proxy logs in some tenths of a second. More is dropped.
const MAX_WAITING: usize = 4 * 1024 * 1024;
/// One line about a log that cannot be written, this often.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// Lines for one sink.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) sink: LogSink,
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

/// The queue before the writer thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    stats: Arc<NinonStats>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// There is something to do.
    work: Condvar,
    /// All is done.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    waiting: usize,
    reopen: bool,
    /// The thread is there.
    started: bool,
    /// The thread has taken batches that it has not written yet.
    busy: bool,
    /// Nobody is left to hand anything over.
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub(super) fn new(stats: Arc<NinonStats>) -> Self {
        Self { queue: Arc::default(), stats }
    }

    /// Takes a batch, or drops it when too many wait.
    pub(super) fn hand_over(&self, batch: Batch) {
        let mut state = self.queue.lock();
        if state.waiting.saturating_add(batch.bytes.len()) > MAX_WAITING || !self.start(&mut state) {
            drop(state);
            self.stats.access_log_dropped.add(batch.lines);
            return;
        }
        state.waiting = state.waiting.saturating_add(batch.bytes.len());
        self.stats.access_log_waiting_bytes.set(u64::try_from(state.waiting).unwrap_or(u64::MAX));
        state.batches.push_back(batch);
        drop(state);
        self.queue.work.notify_one();
    }

    /// Starts the thread if it is not there; `false` when it cannot be started.
    fn start(&self, state: &mut State) -> bool {
        if !state.started {
            let queue = Arc::downgrade(&self.queue);
            let outputs = Outputs { open: HashMap::new(), stats: Arc::clone(&self.stats), warnings: Throttle::new(WARN_EVERY) };
            let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || write_batches(&queue, outputs));
            state.started = thread.is_ok();
        }
        state.started
    }

    pub(super) fn reopen(&self) {
        self.queue.lock().reopen = true;
        self.queue.work.notify_one();
    }

    pub(super) fn flush(&self, limit: Duration) -> bool {
        let state = self.queue.lock();
        let unwritten = |state: &mut State| state.started && (state.busy || !state.batches.is_empty());
        let waited = self.queue.idle.wait_timeout_while(state, limit, unwritten);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.work.notify_one();
    }
}

/// The thread: takes all that waits, writes it, waits again.
fn write_batches(queue: &Weak<Queue>, mut outputs: Outputs) {
    let Some(queue) = queue.upgrade() else { return };
    loop {
        let (batches, reopen) = {
            let state = queue.lock();
            let nothing = |state: &mut State| state.batches.is_empty() && !state.reopen && !state.closed;
            let mut state = queue.work.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner);
            if state.closed && state.batches.is_empty() {
                return;
            }
            state.busy = true;
            (std::mem::take(&mut state.batches), std::mem::take(&mut state.reopen))
        };
        if reopen {
            outputs.open.clear();
            outputs.stats.access_log_reopened.inc();
        }
        for batch in batches {
            outputs.write(&batch);
            let mut state = queue.lock();
            state.waiting = state.waiting.saturating_sub(batch.bytes.len());
            outputs.stats.access_log_waiting_bytes.set(u64::try_from(state.waiting).unwrap_or(u64::MAX));
        }
        queue.lock().busy = false;
        queue.idle.notify_all();
    }
}

/// Files that are open, and what is said about those that are not.
struct Outputs {
    open: HashMap<LogSink, File>,
    stats: Arc<NinonStats>,
    warnings: Throttle,
}

impl Outputs {
    fn write(&mut self, batch: &Batch) {
        let written = match &batch.sink {
            LogSink::Stdout => io::stdout().lock().write_all(&batch.bytes).and_then(|()| io::stdout().flush()),
            LogSink::Stderr => io::stderr().lock().write_all(&batch.bytes),
            LogSink::File(path) => self.file(&batch.sink, path).and_then(|file| file.write_all(&batch.bytes)),
        };
        match written {
            Ok(()) => self.stats.access_log_written.add(batch.lines),
            Err(error) => {
                self.stats.access_log_write_failed.inc();
                self.stats.access_log_dropped.add(batch.lines);
                if let Some(unsaid) = self.warnings.allow() {
                    tracing::warn!(sink = ?batch.sink, %error, lines = batch.lines, unsaid, "access log lines are lost");
                }
            }
        }
    }

    fn file(&mut self, sink: &LogSink, path: &std::path::Path) -> io::Result<&mut File> {
        if !self.open.contains_key(sink) {
            let file = OpenOptions::new().append(true).create(true).open(path)?;
            self.open.insert(sink.clone(), file);
        }
        self.open.get_mut(sink).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}
